// What the storage code asks of the kernel so that a power cut keeps its promises. No test can cut
// the power under a real file system, so the calls themselves are looked at: the linker puts this
// file between the code and libc (--wrap in meson.build), which then does what was asked.
#include <gtest/gtest.h>
#include <liburing.h>
#include <sys/uio.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "storage/disk.h"
#include "storage/files.h"
#include "storage/uring_disk.h"
#include "tests/storage/temporary_directory.h"
#include "wire/log_format.h"

namespace {

using Calls = std::vector<std::string>;
Calls calls;

// The last two parts of a path: what a test can name without knowing its own directory.
std::string Tail(const std::string &path)
{
    const size_t last = path.rfind('/');
    return path.substr(path.rfind('/', last - 1) + 1);
}

std::string PathOf(int file)
{
    char path[PATH_MAX];
    const ssize_t length =
        readlink(("/proc/self/fd/" + std::to_string(file)).c_str(), path, sizeof path);
    return length > 0 ? Tail(std::string(path, static_cast<size_t>(length))) : "nowhere";
}

void NoteWrite(bool durable) { calls.emplace_back(durable ? "write, durable" : "write"); }

void NoteQueued(const struct io_uring &ring)
{
    for (unsigned at = ring.sq.sqe_head; at != ring.sq.sqe_tail; at++) {
        const struct io_uring_sqe &sqe = ring.sq.sqes[at & ring.sq.ring_mask];
        if (sqe.opcode == IORING_OP_NOP) { continue; }
        if (sqe.opcode == IORING_OP_FSYNC) {
            calls.push_back((sqe.fsync_flags & IORING_FSYNC_DATASYNC) != 0 ? "datasync" : "sync");
            continue;
        }
        NoteWrite((sqe.rw_flags & RWF_DSYNC) != 0);
    }
}

} // namespace

extern "C" {
int __real_fsync(int file);
int __wrap_fsync(int file);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags);
int __wrap_renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags);
ssize_t __real_pwritev64v2(int file, const struct iovec *pieces, int count, off_t at, int flags);
ssize_t __wrap_pwritev64v2(int file, const struct iovec *pieces, int count, off_t at, int flags);
int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __real_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);

int __wrap_fsync(int file)
{
    calls.push_back("sync " + PathOf(file));
    return __real_fsync(file);
}

int __wrap_unlink(const char *path)
{
    const int result = __real_unlink(path);
    if (result == 0) { calls.push_back("unlink " + Tail(path)); }
    return result;
}

int __wrap_renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    calls.push_back("rename to " + Tail(to));
    return __real_renameat2(from_at, from, to_at, to, flags);
}

ssize_t __wrap_pwritev64v2(int file, const struct iovec *pieces, int count, off_t at, int flags)
{
    NoteWrite((flags & RWF_DSYNC) != 0);
    return __real_pwritev64v2(file, pieces, count, at, flags);
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
    NoteQueued(*ring);
    return __real_io_uring_submit(ring);
}

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
    NoteQueued(*ring);
    return __real_io_uring_submit_and_get_events(ring);
}
}

namespace {

constexpr size_t SEGMENT_BYTES = 16 * DISK_BLOCK_BYTES;

struct FreeDeleter {
    void operator()(uint8_t *at) const { std::free(at); }
};
using Block = std::unique_ptr<uint8_t[], FreeDeleter>;

Block ZeroBlock()
{
    Block block(static_cast<uint8_t *>(std::aligned_alloc(DISK_BLOCK_BYTES, DISK_BLOCK_BYTES)));
    std::memset(block.get(), 0, DISK_BLOCK_BYTES);
    return block;
}

// Segment 1 of partition 3, in a storage path called "a".
class Durability : public testing::Test {
  protected:
    Durability()
    {
        const std::string path = directory_ / "a";
        const char *const paths[] = {path.c_str()};
        EXPECT_EQ(posix_files_create(paths, 1, false, &self_), STATUS_OK);
        files_ = posix_files_port(self_);
        log_segment_name(3, 1, name_);
        calls.clear();
    }
    ~Durability() override
    {
        if (file_ >= 0) { files_close(files_, file_); }
        posix_files_destroy(self_);
    }
    void Create() { ASSERT_EQ(files_create(files_, name_, SEGMENT_BYTES, &file_), STATUS_OK); }

    const TemporaryDirectory directory_;
    struct posix_files *self_ = nullptr;
    struct files files_ = {};
    char name_[LOG_NAME_BYTES];
    int file_ = -1;
};

TEST_F(Durability, ANewSegmentIsOnStableStorageBeforeItsNameAndThatBeforeAnybodyWritesToIt)
{
    Create();

    const std::string name = name_;
    const std::string partition = name.substr(0, name.find('/'));
    EXPECT_EQ(calls, (Calls{"sync " + Tail(directory_ / "a"), "write", "sync " + name + ".draft",
                            "rename to " + name, "sync a/" + partition}));
}

TEST_F(Durability, ARemovedSegmentStaysRemoved)
{
    Create();
    calls.clear();

    ASSERT_EQ(files_remove(files_, name_), STATUS_OK);

    const std::string name = name_;
    EXPECT_EQ(calls, (Calls{"unlink " + name, "sync a/" + name.substr(0, name.find('/'))}));
}

TEST_F(Durability, WhatRecoveryWritesIsOnStableStorageWhenTheCallReturns)
{
    Create();
    calls.clear();

    const Block block = ZeroBlock();
    ASSERT_EQ(files_write(files_, file_, 0, bytes_of(block.get(), DISK_BLOCK_BYTES)), STATUS_OK);

    EXPECT_EQ(calls, Calls{"write, durable"});
}

// What the kernel is asked for between the submit of two writes and their coming back.
class DurabilityOfCommits : public Durability {
  protected:
    void WriteTwo(enum uring_disk_method method);
};

void DurabilityOfCommits::WriteTwo(enum uring_disk_method method)
{
    Create();
    calls.clear();
    const Block registered = ZeroBlock();
    const Block elsewhere = ZeroBlock();
    const struct uring_disk_options options = {4, bytes_of(registered.get(), DISK_BLOCK_BYTES), -1,
                                               method};
    struct uring_disk *uring = nullptr;
    ASSERT_EQ(uring_disk_create(&options, &uring), STATUS_OK);
    ASSERT_EQ(uring_disk_adopt(uring), STATUS_OK);
    const struct disk disk = uring_disk_port(uring);

    const struct disk_write writes[] = {
        {bytes_of(registered.get(), DISK_BLOCK_BYTES), file_, 0, 1},
        {bytes_of(elsewhere.get(), DISK_BLOCK_BYTES), file_, DISK_BLOCK_BYTES, 2},
    };
    ASSERT_EQ(disk_submit(disk, &writes[0]), STATUS_OK);
    ASSERT_EQ(disk_submit(disk, &writes[1]), STATUS_OK);
    size_t reaped = 0;
    for (int i = 0; i < 50'000 && reaped < 2; i++) {
        struct disk_completion completions[DISK_REAP_MAX];
        reaped += disk_reap(disk, completions, DISK_REAP_MAX);
        if (reaped < 2) { usleep(100); }
    }
    ASSERT_EQ(reaped, 2U);
    uring_disk_destroy(uring);
}

TEST_F(DurabilityOfCommits, WithDsyncEachIsDurableByItself)
{
    WriteTwo(URING_DISK_DSYNC);

    EXPECT_EQ(calls, (Calls{"write, durable", "write, durable"}));
}

TEST_F(DurabilityOfCommits, WithFdatasyncTheLastThingIsAFlush)
{
    WriteTwo(URING_DISK_FDATASYNC);

    ASSERT_GE(calls.size(), 3U);
    EXPECT_EQ(calls[0], "write");
    EXPECT_EQ(calls[1], "write");
    EXPECT_EQ(calls[2], "datasync");
    EXPECT_EQ(calls.back(), "datasync");
}

} // namespace
