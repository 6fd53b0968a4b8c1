/* test_device.h - a file that holds the image of a device, or a loop device over one, gone after
 * the test. */
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "storage/device_open.h"
#include "storage/device_table.h"
#include "storage/disk.h"
#include "tests/storage/temporary_directory.h"

constexpr uint64_t kMiB = 1 << 20;

struct FreeDeleter {
    void operator()(uint8_t *at) const { free(at); }
};
using Blocks = std::unique_ptr<uint8_t[], FreeDeleter>;

inline Blocks BlocksOf(size_t len_bytes, int fill)
{
    Blocks out(static_cast<uint8_t *>(aligned_alloc(DISK_BLOCK_BYTES, len_bytes)));
    memset(out.get(), fill, len_bytes);
    return out;
}

class TestDevice {
  public:
    enum Kind { IMAGE, LOOP };

    // Room for tables and `slots` slots of 1 MiB, full of 0xee.
    TestDevice(Kind kind, uint32_t slots) : path_(directory_ / "device"), bytes_((2 + slots) * kMiB)
    {
        const int file = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        const std::vector<uint8_t> garbage(bytes_, 0xee);
        EXPECT_EQ(write(file, garbage.data(), bytes_), static_cast<ssize_t>(bytes_));
        EXPECT_EQ(fsync(file), 0);
        close(file);
        if (kind == LOOP) { Attach(); }
    }
    ~TestDevice()
    {
        if (!loop_.empty()) { EXPECT_EQ(system(("losetup -d " + loop_).c_str()), 0); }
    }
    TestDevice(const TestDevice &) = delete;
    TestDevice &operator=(const TestDevice &) = delete;

    bool there() const { return there_; } // false: no loop device to be had here
    const std::string &path() const { return loop_.empty() ? path_ : loop_; }

    // The layout that the last Format wrote.
    const struct device_superblock &superblock() const { return superblock_; }

    void Format(uint8_t id)
    {
        ASSERT_TRUE(device_superblock_plan(bytes_, kMiB, &superblock_));
        superblock_.device_id.bytes[0] = id;
        int descriptor;
        uint64_t device_bytes;
        ASSERT_EQ(device_open(path().c_str(), DEVICE_WRITE, &descriptor, &device_bytes), STATUS_OK);
        ASSERT_EQ(device_bytes, bytes_);
        ASSERT_EQ(device_table_format(descriptor, &superblock_), STATUS_OK);
        close(descriptor);
    }

    Blocks Read(uint64_t position, size_t len_bytes) const
    {
        Blocks out = BlocksOf(len_bytes, 0);
        const int file = open(path().c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
        EXPECT_EQ(pread(file, out.get(), len_bytes, static_cast<off_t>(position)),
                  static_cast<ssize_t>(len_bytes));
        close(file);
        return out;
    }
    void Write(uint64_t position, const uint8_t *bytes, size_t len_bytes) const
    {
        const int file = open(path().c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
        EXPECT_EQ(pwrite(file, bytes, len_bytes, static_cast<off_t>(position)),
                  static_cast<ssize_t>(len_bytes));
        close(file);
    }
    // As rot would, in the block at `position`.
    void FlipByte(uint64_t position) const
    {
        const uint64_t block = position / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
        const Blocks bytes = Read(block, DISK_BLOCK_BYTES);
        bytes[position - block] = static_cast<uint8_t>(bytes[position - block] ^ 0x10);
        Write(block, bytes.get(), DISK_BLOCK_BYTES);
    }

  private:
    void Attach()
    {
        FILE *const pipe = popen(("losetup --find --show " + path_ + " 2>/dev/null").c_str(), "r");
        char line[64] = "";
        if (pipe != nullptr && fgets(line, sizeof line, pipe) != nullptr) {
            line[strcspn(line, "\n")] = 0;
            loop_ = line;
        }
        if (pipe != nullptr) { pclose(pipe); }
        there_ = !loop_.empty();
    }

    const TemporaryDirectory directory_;
    std::string path_;
    std::string loop_;
    uint64_t bytes_;
    bool there_ = true;
    struct device_superblock superblock_ = {};
};
