#include "tests/crash/block_image.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace penstock_test {
namespace {

[[noreturn]] void Refused(const char *what)
{
    std::fprintf(stderr, "block_image: %s: %s\n", what, std::strerror(errno));
    std::abort();
}

// Another program may take the free device first: then the next one.
int AttachLoop(int file, std::string *out_path)
{
    const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0) { Refused("/dev/loop-control"); }
    for (int attempt = 0; attempt < 20; attempt++) {
        const int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0) { Refused("no free loop device"); }
        *out_path = "/dev/loop" + std::to_string(number);
        const int device = open(out_path->c_str(), O_RDWR | O_CLOEXEC);
        if (device < 0) { Refused(out_path->c_str()); }
        struct loop_config config = {};
        config.fd = static_cast<uint32_t>(file);
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR; // its last user takes it away
        if (ioctl(device, LOOP_CONFIGURE, &config) == 0) {
            close(control);
            return device;
        }
        close(device);
        if (errno != EBUSY) { Refused("LOOP_CONFIGURE"); }
    }
    Refused("every free loop device was taken by others");
}

bool IsZero(const uint8_t *at, size_t length)
{
    return at[0] == 0 && std::memcmp(at, at + 1, length - 1) == 0;
}

} // namespace

BlockImage::BlockImage(size_t size_bytes)
    : size_bytes_(size_bytes), file_(memfd_create("block_image", MFD_CLOEXEC)), chunk_(CHUNK_BYTES)
{
    if (file_ < 0 || ftruncate(file_, static_cast<off_t>(size_bytes)) != 0) { Refused("memory"); }
    device_ = AttachLoop(file_, &path_);
}

BlockImage::~BlockImage()
{
    close(device_);
    close(file_);
}

bool BlockImage::HoldsData(size_t position) const
{
    const off_t data = lseek(file_, static_cast<off_t>(position), SEEK_DATA);
    return data >= 0 && static_cast<size_t>(data) < position + CHUNK_BYTES;
}

void BlockImage::Become(const uint8_t *image)
{
    for (size_t at = 0; at < size_bytes_; at += CHUNK_BYTES) {
        const size_t length = size_bytes_ - at < CHUNK_BYTES ? size_bytes_ - at : CHUNK_BYTES;
        const bool holds_data = HoldsData(at);
        if (!holds_data && IsZero(image + at, length)) { continue; }
        if (holds_data) {
            if (pread(file_, chunk_.data(), length, static_cast<off_t>(at)) !=
                static_cast<ssize_t>(length)) {
                Refused("read");
            }
            if (std::memcmp(chunk_.data(), image + at, length) == 0) { continue; }
        }
        if (pwrite(file_, image + at, length, static_cast<off_t>(at)) !=
            static_cast<ssize_t>(length)) {
            Refused("write");
        }
    }
    // The device keeps pages of its own; the next mount must not meet those of the last.
    if (ioctl(device_, BLKFLSBUF) != 0) { Refused("BLKFLSBUF"); }
}

Mount::Mount(const std::string &device, const std::string &directory, const std::string &type)
    : failed(mount(device.c_str(), directory.c_str(), type.c_str(), 0, nullptr) != 0),
      directory_(directory)
{}

Mount::~Mount()
{
    if (!failed && umount(directory_.c_str()) != 0) { Refused("umount"); }
}

std::vector<BlockRange> BlocksOfFile(const std::string &path)
{
    constexpr uint32_t EXTENTS_MAX = 512;
    std::vector<uint64_t> memory(
        (sizeof(struct fiemap) + EXTENTS_MAX * sizeof(struct fiemap_extent)) / sizeof(uint64_t));
    auto *const request = reinterpret_cast<struct fiemap *>(memory.data());
    request->fm_length = FIEMAP_MAX_OFFSET;
    request->fm_flags = FIEMAP_FLAG_SYNC;
    request->fm_extent_count = EXTENTS_MAX;
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0 || ioctl(file, FS_IOC_FIEMAP, request) != 0) { Refused(path.c_str()); }
    close(file);
    std::vector<BlockRange> out;
    for (uint32_t i = 0; i < request->fm_mapped_extents; i++) {
        const struct fiemap_extent &extent = request->fm_extents[i];
        out.push_back({extent.fe_physical, extent.fe_physical + extent.fe_length});
    }
    return out;
}

} // namespace penstock_test
