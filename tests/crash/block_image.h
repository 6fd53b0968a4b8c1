// block_image.h - a block device whose bytes a test sets, as often as it likes, for a file system
// on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace penstock_test {

// A loop device over a file without a name in memory. Become makes it hold `image`, whatever a
// mount left there: only what differs is copied. Nothing of it outlives the process. Aborts when
// the kernel refuses.
class BlockImage {
  public:
    explicit BlockImage(size_t size_bytes);
    ~BlockImage();
    BlockImage(const BlockImage &) = delete;
    BlockImage &operator=(const BlockImage &) = delete;

    // Not while it is mounted.
    void Become(const uint8_t *image);
    const std::string &Path() const { return path_; } // of the device

  private:
    bool HoldsData(size_t position) const;

    static constexpr size_t CHUNK_BYTES = 64 * 1024;
    const size_t size_bytes_;
    int file_;
    int device_;
    std::string path_;
    std::vector<uint8_t> chunk_;
};

// A mounted file system: gone with the object. `failed`: it could not be mounted.
class Mount {
  public:
    Mount(const std::string &device, const std::string &directory, const std::string &type);
    ~Mount();
    Mount(const Mount &) = delete;
    Mount &operator=(const Mount &) = delete;

    const bool failed;

  private:
    const std::string directory_;
};

// [begin, end) of the device, in order.
struct BlockRange {
    uint64_t begin;
    uint64_t end;
};
// Where the bytes of a file lie on the device under its file system.
std::vector<BlockRange> BlocksOfFile(const std::string &path);

} // namespace penstock_test
