#include "storage/uring_disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "storage/disk.h"
#include "tests/storage/temporary_directory.h"

namespace {

constexpr size_t kBlock = DISK_BLOCK_BYTES;
constexpr size_t kMemoryBytes = 64 * kBlock;
constexpr uint32_t kDepth = 8;

struct FreeDeleter {
    void operator()(uint8_t *at) const { free(at); }
};
using Memory = std::unique_ptr<uint8_t[], FreeDeleter>;

Memory Aligned(size_t bytes)
{
    return Memory(static_cast<uint8_t *>(aligned_alloc(kBlock, bytes)));
}

class UringDisk : public testing::TestWithParam<enum uring_disk_method> {
  protected:
    UringDisk() : memory_(Aligned(kMemoryBytes))
    {
        doorbell_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        const struct uring_disk_options options = {kDepth, bytes_of(memory_.get(), kMemoryBytes),
                                                   doorbell_, GetParam()};
        EXPECT_EQ(uring_disk_create(&options, &self_), STATUS_OK);
        EXPECT_EQ(uring_disk_adopt(self_), STATUS_OK);
        disk_ = uring_disk_port(self_);
        for (size_t i = 0; i < kMemoryBytes; i++) {
            memory_[i] = static_cast<uint8_t>(i / kBlock + 1);
        }
        file_ = Open(O_RDWR | O_CREAT);
        EXPECT_EQ(posix_fallocate(file_, 0, kMemoryBytes), 0);
    }
    ~UringDisk() override
    {
        uring_disk_destroy(self_);
        close(file_);
        close(doorbell_);
    }

    int Open(int flags)
    {
        const int file = open((directory_ / "file").c_str(), flags | O_DIRECT | O_CLOEXEC, 0600);
        EXPECT_GE(file, 0);
        return file;
    }
    enum status Submit(int file, const uint8_t *at, size_t bytes, uint64_t position, uint64_t tag)
    {
        const struct disk_write write = {bytes_of(at, bytes), file, position, tag};
        return disk_submit(disk_, &write);
    }
    /* Reaps, at most for five seconds, until that many are there. */
    std::map<uint64_t, enum status> Reap(size_t count)
    {
        std::map<uint64_t, enum status> out;
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
        while (out.size() < count && std::chrono::steady_clock::now() < deadline) {
            struct disk_completion completions[DISK_REAP_MAX];
            const size_t n = disk_reap(disk_, completions, DISK_REAP_MAX);
            for (size_t i = 0; i < n; i++) {
                EXPECT_TRUE(out.emplace(completions[i].tag, completions[i].status).second);
            }
        }
        EXPECT_EQ(out.size(), count);
        return out;
    }

    const TemporaryDirectory directory_;
    const Memory memory_;
    struct uring_disk *self_ = nullptr;
    struct disk disk_ = {};
    int doorbell_ = -1;
    int file_ = -1;
};

TEST_P(UringDisk, WritesComeBackOnceEachAndAreInTheFile)
{
    ASSERT_EQ(Submit(file_, &memory_[0], kBlock, 0, 100), STATUS_OK);
    ASSERT_EQ(Submit(file_, &memory_[kBlock], 3 * kBlock, kBlock, UINT64_MAX), STATUS_OK);

    const auto done = Reap(2);

    EXPECT_EQ(done.at(100), STATUS_OK);
    EXPECT_EQ(done.at(UINT64_MAX), STATUS_OK);
    const Memory read = Aligned(4 * kBlock);
    ASSERT_EQ(pread(file_, read.get(), 4 * kBlock, 0), static_cast<ssize_t>(4 * kBlock));
    EXPECT_EQ(memcmp(read.get(), memory_.get(), 4 * kBlock), 0);
}

TEST_P(UringDisk, MemoryThatIsNotRegisteredIsWrittenToo)
{
    const Memory elsewhere = Aligned(kBlock);
    memset(elsewhere.get(), 0x77, kBlock);

    ASSERT_EQ(Submit(file_, elsewhere.get(), kBlock, 8 * kBlock, 1), STATUS_OK);

    EXPECT_EQ(Reap(1).at(1), STATUS_OK);
    const Memory read = Aligned(kBlock);
    ASSERT_EQ(pread(file_, read.get(), kBlock, 8 * kBlock), static_cast<ssize_t>(kBlock));
    EXPECT_EQ(memcmp(read.get(), elsewhere.get(), kBlock), 0);
}

TEST_P(UringDisk, IsBusyBeyondItsDepthAndNotBefore)
{
    for (uint64_t tag = 0; tag < kDepth; tag++) {
        ASSERT_EQ(Submit(file_, &memory_[0], kBlock, tag * kBlock, tag), STATUS_OK);
    }
    EXPECT_EQ(Submit(file_, &memory_[0], kBlock, 0, 99), STATUS_BUSY);

    Reap(kDepth);

    EXPECT_EQ(Submit(file_, &memory_[0], kBlock, 0, 99), STATUS_OK);
    Reap(1);
}

TEST_P(UringDisk, AWriteThatTheFileRefusesIsAnError)
{
    const int read_only = Open(O_RDONLY);

    ASSERT_EQ(Submit(read_only, &memory_[0], kBlock, 0, 5), STATUS_OK);

    EXPECT_EQ(Reap(1).at(5), STATUS_IO);
    close(read_only);
}

TEST_P(UringDisk, AClosedFileIsAnErrorAndTheRestGoesOn)
{
    const int gone = Open(O_RDWR);
    close(gone);

    ASSERT_EQ(Submit(gone, &memory_[0], kBlock, 0, 5), STATUS_OK);
    ASSERT_EQ(Submit(file_, &memory_[0], kBlock, 0, 6), STATUS_OK);

    const auto done = Reap(2);
    EXPECT_EQ(done.at(5), STATUS_IO);
    EXPECT_EQ(done.at(6), STATUS_OK);
}

TEST_P(UringDisk, TheDoorbellArrivesAndIsNoCompletion)
{
    disk_ring_doorbell(disk_);
    disk_ring_doorbell(disk_);
    disk_ring_doorbell(disk_);

    uint64_t value = 0;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (read(doorbell_, &value, sizeof value) < 0 &&
           std::chrono::steady_clock::now() < deadline) {
        Reap(0);
        struct disk_completion completion;
        EXPECT_EQ(disk_reap(disk_, &completion, 1), 0U);
    }

    EXPECT_GE(value, 1U);
    EXPECT_LE(value, 3U);
}

TEST_P(UringDisk, AFullDoorbellHoldsNothingUp)
{
    const uint64_t full = UINT64_MAX - 1;
    ASSERT_EQ(write(doorbell_, &full, sizeof full), static_cast<ssize_t>(sizeof full));

    disk_ring_doorbell(disk_);
    ASSERT_EQ(Submit(file_, &memory_[0], kBlock, 0, 1), STATUS_OK);
    EXPECT_EQ(Reap(1).at(1), STATUS_OK);
    disk_ring_doorbell(disk_);
    ASSERT_EQ(Submit(file_, &memory_[0], kBlock, 0, 2), STATUS_OK);

    EXPECT_EQ(Reap(1).at(2), STATUS_OK);
}

TEST_P(UringDisk, AnIdleLoopDoesNotEnterTheKernel)
{
    ASSERT_EQ(Submit(file_, &memory_[0], kBlock, 0, 1), STATUS_OK);
    Reap(1);
    struct disk_costs before;
    struct disk_costs after;

    disk_costs(disk_, &before);
    struct disk_completion completion;
    for (int turn = 0; turn < 1000; turn++) { EXPECT_EQ(disk_reap(disk_, &completion, 1), 0U); }
    disk_costs(disk_, &after);

    EXPECT_EQ(after.enter_calls, before.enter_calls);
    EXPECT_GT(before.enter_calls, 0U);
    EXPECT_GT(before.enter_cycles, 0U);
}

TEST_P(UringDisk, TakesMoreCompletionsThanTheCallerHasRoomForAndKeepsTheRest)
{
    for (uint64_t tag = 0; tag < kDepth; tag++) {
        ASSERT_EQ(Submit(file_, &memory_[tag * kBlock], kBlock, tag * kBlock, tag), STATUS_OK);
    }

    std::set<uint64_t> tags;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (tags.size() < kDepth && std::chrono::steady_clock::now() < deadline) {
        struct disk_completion one;
        if (disk_reap(disk_, &one, 1) == 0) { continue; }
        EXPECT_EQ(one.status, STATUS_OK);
        EXPECT_TRUE(tags.insert(one.tag).second);
    }

    EXPECT_EQ(tags.size(), kDepth);
}

TEST_P(UringDisk, WritesToTwoFilesAtATimeEachGetAFlushOfTheirOwn)
{
    const int other = open((directory_ / "other").c_str(), O_RDWR | O_CREAT | O_DIRECT, 0600);
    ASSERT_EQ(posix_fallocate(other, 0, kMemoryBytes), 0);
    for (uint64_t tag = 0; tag < kDepth; tag++) {
        ASSERT_EQ(Submit(tag % 2 == 0 ? file_ : other, &memory_[0], kBlock, tag * kBlock, tag),
                  STATUS_OK);
    }

    const auto done = Reap(kDepth);

    for (uint64_t tag = 0; tag < kDepth; tag++) { EXPECT_EQ(done.at(tag), STATUS_OK); }
    close(other);
}

TEST_P(UringDisk, ASpinningLoopEntersAboutOnceAWriteNotOnceATurn)
{
    uint64_t turns = 0;
    struct disk_completion completion;
    ASSERT_EQ(Submit(file_, &memory_[0], 32 * kBlock, 0, 1), STATUS_OK);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (disk_reap(disk_, &completion, 1) == 0 && std::chrono::steady_clock::now() < deadline) {
        turns++;
    }

    struct disk_costs costs;
    disk_costs(disk_, &costs);
    EXPECT_LT(costs.enter_calls, 10U) << turns << " turns";
}

INSTANTIATE_TEST_SUITE_P(Methods, UringDisk,
                         testing::Values(URING_DISK_DSYNC, URING_DISK_FDATASYNC),
                         [](const auto &method) {
                             return method.param == URING_DISK_DSYNC ? "Dsync" : "Fdatasync";
                         });

/* Where the threads that the kernel made for this process's rings may run; their names tell them.
 */
std::vector<cpu_set_t> CpusOfKernelThreads()
{
    std::vector<cpu_set_t> out;
    for (const auto &task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string name;
        std::ifstream(task.path() / "comm") >> name;
        cpu_set_t cpus;
        const int thread = std::stoi(task.path().filename());
        if (name.rfind("iou-wrk-", 0) != 0) { continue; }
        if (sched_getaffinity(thread, sizeof cpus, &cpus) == 0) { out.push_back(cpus); }
    }
    return out;
}

TEST(UringDiskThreads, TheKernelsOwnKeepOffTheCpuThatTheWorkerIsPinnedTo)
{
    const TemporaryDirectory directory;
    const Memory memory = Aligned(kBlock);
    memset(memory.get(), 1, kBlock);
    cpu_set_t all;
    ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    if (CPU_COUNT(&all) < 2) { GTEST_SKIP() << "there is no other CPU to keep to"; }
    int own = CPU_SETSIZE - 1;
    while (!CPU_ISSET(own, &all)) { own--; }
    const struct uring_disk_options options = {4, bytes_of(memory.get(), kBlock), -1,
                                               URING_DISK_FDATASYNC};
    struct uring_disk *self;
    ASSERT_EQ(uring_disk_create(&options, &self), STATUS_OK);
    const int file = open((directory / "f").c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);

    std::vector<cpu_set_t> seen;
    std::thread worker([&] {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(own, &one);
        EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
        EXPECT_EQ(uring_disk_adopt(self), STATUS_OK);
        const struct disk disk = uring_disk_port(self);
        const struct disk_write write = {bytes_of(memory.get(), kBlock), file, 0, 1};
        EXPECT_EQ(disk_submit(disk, &write), STATUS_OK);
        struct disk_completion completion;
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
        while (disk_reap(disk, &completion, 1) == 0 &&
               std::chrono::steady_clock::now() < deadline) {}
        seen = CpusOfKernelThreads();
    });
    worker.join();

    EXPECT_FALSE(seen.empty()) << "a flush needs one";
    for (const cpu_set_t &cpus : seen) { EXPECT_FALSE(CPU_ISSET(own, &cpus)); }
    uring_disk_destroy(self);
    close(file);
}

TEST(UringDiskThreads, BelongsToTheThreadThatAdoptsIt)
{
    const TemporaryDirectory directory;
    const Memory memory = Aligned(kBlock);
    memset(memory.get(), 1, kBlock);
    const struct uring_disk_options options = {4, bytes_of(memory.get(), kBlock), -1,
                                               URING_DISK_DSYNC};
    struct uring_disk *self;
    ASSERT_EQ(uring_disk_create(&options, &self), STATUS_OK);
    const int file = open((directory / "f").c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);

    size_t reaped = 0;
    std::thread worker([&] {
        EXPECT_EQ(uring_disk_adopt(self), STATUS_OK);
        const struct disk disk = uring_disk_port(self);
        const struct disk_write write = {bytes_of(memory.get(), kBlock), file, 0, 1};
        EXPECT_EQ(disk_submit(disk, &write), STATUS_OK);
        struct disk_completion completion;
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
        while (reaped == 0 && std::chrono::steady_clock::now() < deadline) {
            reaped = disk_reap(disk, &completion, 1);
        }
    });
    worker.join();

    EXPECT_EQ(reaped, 1U);
    uring_disk_destroy(self);
    close(file);
}

} // namespace
