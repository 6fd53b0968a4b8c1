#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "storage/disk.h"
#include "storage/files.h"
#include "tests/storage/temporary_directory.h"
#include "wire/log_format.h"

namespace {

constexpr size_t kSegmentBytes = 256 * 1024;

struct FreeDeleter {
    void operator()(uint8_t *at) const { free(at); }
};
using Block = std::unique_ptr<uint8_t[], FreeDeleter>;

Block Blocks(size_t len_bytes, int fill)
{
    Block out(static_cast<uint8_t *>(aligned_alloc(DISK_BLOCK_BYTES, len_bytes)));
    memset(out.get(), fill, len_bytes);
    return out;
}

struct Posix {
    explicit Posix(std::vector<std::string> paths, bool read_only = false)
    {
        std::vector<const char *> names;
        for (const auto &path : paths) { names.push_back(path.c_str()); }
        EXPECT_EQ(posix_files_create(names.data(), names.size(), read_only, &self), STATUS_OK);
        port = posix_files_port(self);
    }
    ~Posix() { posix_files_destroy(self); }
    struct posix_files *self = nullptr;
    struct files port = {};
};

std::string SegmentName(uint32_t partition, uint64_t number)
{
    char name[LOG_NAME_BYTES];
    log_segment_name(partition, number, name);
    return name;
}

int Create(const Posix &files, uint32_t partition, uint64_t number)
{
    int file = -1;
    EXPECT_EQ(
        files_create(files.port, SegmentName(partition, number).c_str(), kSegmentBytes, &file),
        STATUS_OK);
    return file;
}

std::set<uint32_t> Partitions(const Posix &files)
{
    std::set<uint32_t> out;
    EXPECT_EQ(files_list_partitions(
                  files.port,
                  [](void *context, uint32_t partition) {
                      const bool fresh =
                          static_cast<std::set<uint32_t> *>(context)->insert(partition).second;
                      EXPECT_TRUE(fresh) << "visited twice: " << partition;
                  },
                  &out),
              STATUS_OK);
    return out;
}

std::set<uint64_t> Segments(const Posix &files, uint32_t partition)
{
    std::set<uint64_t> out;
    EXPECT_EQ(files_list_segments(
                  files.port, partition,
                  [](void *context, uint64_t number, uint64_t size_bytes) {
                      EXPECT_EQ(size_bytes, kSegmentBytes);
                      static_cast<std::set<uint64_t> *>(context)->insert(number);
                  },
                  &out),
              STATUS_OK);
    return out;
}

TEST(PosixFiles, ANewFileIsAllWrittenZeros)
{
    const TemporaryDirectory directory;
    const Posix files({directory / "a"});

    const int file = Create(files, 3, 1);

    const Block read = Blocks(kSegmentBytes, 0xff);
    ASSERT_EQ(files_read(files.port, file, 0, read.get(), kSegmentBytes), STATUS_OK);
    EXPECT_TRUE(
        std::all_of(read.get(), read.get() + kSegmentBytes, [](uint8_t b) { return b == 0; }));
    EXPECT_NE(fcntl(file, F_GETFL) & O_DIRECT, 0);
    struct stat stat_;
    ASSERT_EQ(fstat(file, &stat_), 0);
    EXPECT_GE(static_cast<size_t>(stat_.st_blocks) * 512, kSegmentBytes) << "not a sparse file";
    files_close(files.port, file);
}

TEST(PosixFiles, WhatWasWrittenIsReadBackThroughAnotherHandle)
{
    const TemporaryDirectory directory;
    const Posix files({directory.path()});
    const int written = Create(files, 0, 1);
    const Block block = Blocks(DISK_BLOCK_BYTES, 0x5a);

    ASSERT_EQ(files_write(files.port, written, 8192, bytes_of(block.get(), DISK_BLOCK_BYTES)),
              STATUS_OK);

    int file;
    uint64_t size_bytes;
    ASSERT_EQ(files_open(files.port, SegmentName(0, 1).c_str(), FILES_READ, &file, &size_bytes),
              STATUS_OK);
    EXPECT_EQ(size_bytes, kSegmentBytes);
    const Block read = Blocks(DISK_BLOCK_BYTES, 0);
    ASSERT_EQ(files_read(files.port, file, 8192, read.get(), DISK_BLOCK_BYTES), STATUS_OK);
    EXPECT_EQ(memcmp(read.get(), block.get(), DISK_BLOCK_BYTES), 0);
    files_close(files.port, file);
    files_close(files.port, written);
}

TEST(PosixFiles, AReadPastTheEndIsTruncated)
{
    const TemporaryDirectory directory;
    const Posix files({directory.path()});
    const int file = Create(files, 0, 1);
    const Block read = Blocks(2 * DISK_BLOCK_BYTES, 0);

    EXPECT_EQ(files_read(files.port, file, kSegmentBytes - DISK_BLOCK_BYTES, read.get(),
                         2 * DISK_BLOCK_BYTES),
              STATUS_TRUNCATED);
    files_close(files.port, file);
}

TEST(PosixFiles, RefusesANameThatIsTaken)
{
    const TemporaryDirectory directory;
    const Posix files({directory.path()});
    files_close(files.port, Create(files, 0, 1));

    int file;
    EXPECT_EQ(files_create(files.port, SegmentName(0, 1).c_str(), kSegmentBytes, &file),
              STATUS_EXISTS);
}

TEST(PosixFiles, LeavesNothingBehindWhenTheFileSystemRefuses)
{
    const TemporaryDirectory directory;
    const Posix files({directory.path()});
    const uint64_t more_than_any_file_bytes = uint64_t{1} << 61;

    int file;
    EXPECT_EQ(files_create(files.port, SegmentName(0, 1).c_str(), more_than_any_file_bytes, &file),
              STATUS_IO);

    EXPECT_TRUE(std::filesystem::is_empty(directory / "part-0000"));
}

TEST(PosixFiles, SaysHowMuchSpaceIsLeft)
{
    const TemporaryDirectory directory;
    const Posix files({directory.path()});
    uint64_t free_bytes = 0;

    ASSERT_EQ(files_space(files.port, 0, &free_bytes), STATUS_OK);

    EXPECT_EQ(free_bytes % DISK_BLOCK_BYTES, 0U);
    EXPECT_LE(free_bytes, std::filesystem::space(directory.path()).capacity);
    EXPECT_GT(free_bytes, 0U);
}

TEST(PosixFiles, ANewPartitionGoesToPathNumberPartitionModuloCount)
{
    const TemporaryDirectory directory;
    const Posix files({directory / "a", directory / "b"});

    files_close(files.port, Create(files, 4, 1));
    files_close(files.port, Create(files, 5, 1));

    EXPECT_TRUE(std::filesystem::exists(directory / "a/part-0004"));
    EXPECT_TRUE(std::filesystem::exists(directory / "b/part-0005"));
}

TEST(PosixFiles, APartitionStaysWhereItIsFoundWhenPathsAreReordered)
{
    const TemporaryDirectory directory;
    {
        const Posix files({directory / "a", directory / "b"});
        files_close(files.port, Create(files, 4, 1));
    }

    const Posix files({directory / "b", directory / "a"});
    files_close(files.port, Create(files, 4, 2));

    EXPECT_EQ(Partitions(files), std::set<uint32_t>({4}));
    EXPECT_EQ(Segments(files, 4), (std::set<uint64_t>{1, 2}));
    EXPECT_FALSE(std::filesystem::exists(directory / "b/part-0004"));
}

TEST(PosixFiles, ListsSegmentsAndNothingElse)
{
    const TemporaryDirectory directory;
    const Posix files({directory.path()});
    files_close(files.port, Create(files, 0, 0x1f));
    std::ofstream(directory / "part-0000/notes.txt") << "not a segment";
    std::ofstream(directory / "part-xyz") << "not a partition";

    EXPECT_EQ(Segments(files, 0), std::set<uint64_t>({0x1f}));
    EXPECT_EQ(Partitions(files), std::set<uint32_t>({0}));
}

TEST(PosixFiles, DraftsThatACrashLeftAreRemovedAtTheNextStart)
{
    const TemporaryDirectory directory;
    std::filesystem::create_directories(directory / "part-0000");
    const std::string draft = directory / "part-0000/0000000000000001.segment.draft";
    std::ofstream(draft) << "half";

    const Posix files({directory.path()});

    EXPECT_FALSE(std::filesystem::exists(draft));
}

TEST(PosixFiles, AReaderMakesAndRemovesNothing)
{
    const TemporaryDirectory directory;
    std::filesystem::create_directories(directory / "part-0000");
    const std::string draft = directory / "part-0000/0000000000000001.segment.draft";
    std::ofstream(draft) << "in the making";

    const Posix files({directory.path(), directory / "not-there"}, /*read_only=*/true);

    EXPECT_EQ(Partitions(files), std::set<uint32_t>({0}));
    EXPECT_TRUE(std::filesystem::exists(draft));
    EXPECT_FALSE(std::filesystem::exists(directory / "not-there"));
}

TEST(PosixFiles, ARemovedSegmentStaysReadableForWhoHasItOpen)
{
    const TemporaryDirectory directory;
    const Posix files({directory.path()});
    const int file = Create(files, 0, 1);

    ASSERT_EQ(files_remove(files.port, SegmentName(0, 1).c_str()), STATUS_OK);

    const Block read = Blocks(DISK_BLOCK_BYTES, 1);
    EXPECT_EQ(files_read(files.port, file, 0, read.get(), DISK_BLOCK_BYTES), STATUS_OK);
    EXPECT_TRUE(Segments(files, 0).empty());
    EXPECT_EQ(files_remove(files.port, SegmentName(0, 1).c_str()), STATUS_NOT_FOUND);
    files_close(files.port, file);
}

TEST(PosixFiles, APartitionWithoutADirectoryIsNotFound)
{
    const TemporaryDirectory directory;
    const Posix files({directory.path()});

    EXPECT_EQ(files_list_segments(
                  files.port, 9, [](void *, uint64_t, uint64_t) {}, nullptr),
              STATUS_NOT_FOUND);
}

TEST(PosixFiles, RefusesARelativePath)
{
    const char *const paths[] = {"relative"};
    struct posix_files *files;
    EXPECT_EQ(posix_files_create(paths, 1, false, &files), STATUS_INVALID);
}

} // namespace
