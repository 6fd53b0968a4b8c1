#include "tests/sim/sim_disk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <vector>

namespace {

constexpr size_t kFileBytes = 64 * 1024;
constexpr const char *kName = "part-0000/0000000000000001.segment";

struct alignas(4096) Blocks {
    std::array<uint8_t, 16 * 4096> bytes;
};

class SimDisk : public testing::Test {
  protected:
    SimDisk()
    {
        const struct sim_disk_options options = {/*seed=*/7, 0, /*delay_reaps_max=*/5, 0};
        disk_ = sim_disk_create(&options);
        EXPECT_EQ(files_create(sim_disk_files(disk_), kName, kFileBytes, &file_), STATUS_OK);
        blocks_.bytes.fill(0xab);
    }
    ~SimDisk() override { sim_disk_destroy(disk_); }

    void Submit(uint64_t tag)
    {
        const struct disk_write write = {bytes_of(&blocks_.bytes[tag * 4096], 4096), file_,
                                         SIM_DISK_FILE_BEGIN + tag * 4096, tag};
        ASSERT_EQ(disk_submit(sim_disk_port(disk_), &write), STATUS_OK);
    }
    std::vector<struct disk_completion> Reap(int times)
    {
        std::vector<struct disk_completion> out;
        for (int i = 0; i < times; i++) {
            struct disk_completion batch[DISK_REAP_MAX];
            const size_t count = disk_reap(sim_disk_port(disk_), batch, DISK_REAP_MAX);
            out.insert(out.end(), batch, batch + count);
        }
        return out;
    }
    static size_t Count(struct sim_disk *disk, uint8_t value)
    {
        uint64_t size_bytes;
        const uint8_t *const at = sim_disk_bytes(disk, kName, &size_bytes);
        size_t count = 0;
        for (size_t i = 0; i < size_bytes; i++) { count += at[i] == value; }
        return count;
    }

    Blocks blocks_;
    struct sim_disk *disk_ = nullptr;
    int file_ = -1;
};

TEST_F(SimDisk, CompletesEveryWriteOnceInAnotherOrder)
{
    for (uint64_t tag = 0; tag < 16; tag++) { Submit(tag); }

    const auto done = Reap(6);

    std::vector<uint64_t> order;
    for (const auto &completion : done) { order.push_back(completion.tag); }
    EXPECT_EQ(std::set<uint64_t>(order.begin(), order.end()).size(), 16U);
    EXPECT_EQ(order.size(), 16U);
    EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
    EXPECT_EQ(Count(disk_, 0xab), kFileBytes);
}

TEST_F(SimDisk, NothingIsThereBeforeItsCompletion)
{
    Submit(0);

    EXPECT_EQ(Count(disk_, 0xab), 0U);
}

TEST_F(SimDisk, APowerCutKeepsSomeSectorsLosesSomeAndSpoilsSome)
{
    for (uint64_t tag = 0; tag < 16; tag++) { Submit(tag); }

    struct sim_disk *const after = sim_disk_after_crash(disk_, 1);

    const size_t kept = Count(after, 0xab);
    const size_t lost = Count(after, 0);
    EXPECT_GT(kept, kFileBytes / 4);
    EXPECT_GT(lost, kFileBytes / 8);
    EXPECT_LT(kept + lost, kFileBytes) << "the rest is garbage";
    sim_disk_destroy(after);
}

TEST_F(SimDisk, ACutLeavesOfEachSectorWhatItIsTold)
{
    Submit(0);
    Submit(1);
    const auto decide = [](void *, size_t flight, size_t sector) {
        return flight == 1 ? SIM_DISK_LOST : sector == 7 ? SIM_DISK_GARBAGE : SIM_DISK_KEPT;
    };

    struct sim_disk *const after = sim_disk_after_cut(disk_, 1, decide, nullptr);

    uint64_t size_bytes;
    const uint8_t *const at = sim_disk_bytes(after, kName, &size_bytes);
    const std::vector<uint8_t> kept(7 * 512, 0xab);
    const std::vector<uint8_t> lost(4096, 0);
    EXPECT_EQ(memcmp(at, kept.data(), kept.size()), 0);
    EXPECT_NE(memcmp(at + kept.size(), kept.data(), 512), 0);
    EXPECT_NE(memcmp(at + kept.size(), lost.data(), 512), 0);
    EXPECT_EQ(memcmp(at + 4096, lost.data(), lost.size()), 0);
    sim_disk_destroy(after);
}

TEST_F(SimDisk, WhatWasReapedSurvivesEveryPowerCut)
{
    for (uint64_t tag = 0; tag < 16; tag++) { Submit(tag); }
    Reap(6);

    struct sim_disk *const after = sim_disk_after_crash(disk_, 1);

    EXPECT_EQ(Count(after, 0xab), kFileBytes);
    sim_disk_destroy(after);
}

TEST_F(SimDisk, TheSameSeedLeavesTheSameWreckage)
{
    for (uint64_t tag = 0; tag < 16; tag++) { Submit(tag); }

    struct sim_disk *const one = sim_disk_after_crash(disk_, 3);
    struct sim_disk *const same = sim_disk_after_crash(disk_, 3);
    struct sim_disk *const other = sim_disk_after_crash(disk_, 4);

    uint64_t size_bytes;
    const uint8_t *const bytes = sim_disk_bytes(one, kName, &size_bytes);
    EXPECT_EQ(memcmp(bytes, sim_disk_bytes(same, kName, &size_bytes), kFileBytes), 0);
    EXPECT_NE(memcmp(bytes, sim_disk_bytes(other, kName, &size_bytes), kFileBytes), 0);
    sim_disk_destroy(one);
    sim_disk_destroy(same);
    sim_disk_destroy(other);
}

TEST_F(SimDisk, FailsTheChosenWritesAndNoOthers)
{
    sim_disk_fail_writes(disk_, 2, 2, STATUS_NO_SPACE);
    for (uint64_t tag = 1; tag <= 5; tag++) { Submit(tag); }

    std::set<uint64_t> failed;
    for (const auto &completion : Reap(6)) {
        if (completion.status == STATUS_NO_SPACE) { failed.insert(completion.tag); }
    }
    EXPECT_EQ(failed, (std::set<uint64_t>{2, 3}));
}

TEST_F(SimDisk, WithThePowerOffNothingChangesAnyMore)
{
    sim_disk_cut_power_after(disk_, 1);
    const struct files files = sim_disk_files(disk_);
    EXPECT_EQ(files_write(files, file_, 0, bytes_of(&blocks_.bytes[0], 4096)), STATUS_OK);
    EXPECT_NE(files_write(files, file_, 4096, bytes_of(&blocks_.bytes[0], 8192)), STATUS_OK);
    ASSERT_TRUE(sim_disk_power_is_off(disk_));

    const size_t before = Count(disk_, 0xab);
    EXPECT_EQ(files_write(files, file_, 32768, bytes_of(&blocks_.bytes[0], 4096)), STATUS_IO);
    EXPECT_EQ(files_remove(files, kName), STATUS_IO);

    EXPECT_EQ(Count(disk_, 0xab), before);
    EXPECT_GE(before, 4096U);
}

TEST_F(SimDisk, CompletesInVirtualTimeAndSaysWhen)
{
    sim_disk_set_latency(disk_, 1000, 1000);
    sim_disk_advance(disk_, 50);
    Submit(0);
    EXPECT_EQ(sim_disk_next_ns(disk_), 1050U);

    sim_disk_advance(disk_, 1049);
    EXPECT_TRUE(Reap(10).empty());
    sim_disk_advance(disk_, 1050);

    EXPECT_EQ(Reap(10).size(), 1U);
    EXPECT_EQ(sim_disk_next_ns(disk_), UINT64_MAX);
}

TEST_F(SimDisk, GivesEachQueueItsOwnCompletions)
{
    const struct disk_write write = {bytes_of(&blocks_.bytes[0], 4096), file_, SIM_DISK_FILE_BEGIN,
                                     /*tag=*/9};
    ASSERT_EQ(disk_submit(sim_disk_queue(disk_, 3), &write), STATUS_OK);
    Submit(1);

    const std::vector<struct disk_completion> first = Reap(10);
    struct disk_completion other[DISK_REAP_MAX] = {};
    size_t count = 0;
    for (int i = 0; i < 10; i++) {
        count += disk_reap(sim_disk_queue(disk_, 3), other + count, DISK_REAP_MAX - count);
    }

    ASSERT_EQ(first.size(), 1U);
    EXPECT_EQ(first[0].tag, 1U);
    ASSERT_EQ(count, 1U);
    EXPECT_EQ(other[0].tag, 9U);
}

TEST_F(SimDisk, RefusesAsOftenAsTheChancesSay)
{
    struct sim_disk_chances chances = {};
    chances.io_error = 500'000;
    sim_disk_set_chances(disk_, &chances);
    size_t refused = 0;
    for (int i = 0; i < 100; i++) {
        Submit(0);
        const std::vector<struct disk_completion> done = Reap(10);
        ASSERT_EQ(done.size(), 1U);
        refused += done[0].status == STATUS_IO;
    }

    EXPECT_GT(refused, 25U);
    EXPECT_LT(refused, 75U);
}

TEST_F(SimDisk, CalmEndsWhatWasSwallowedSlowOrHeld)
{
    struct sim_disk_chances chances = {};
    chances.swallowed = 1'000'000;
    sim_disk_set_chances(disk_, &chances);
    Submit(0);
    chances.swallowed = 0;
    chances.slow = 1'000'000;
    chances.slow_ns = 1'000'000'000;
    sim_disk_set_chances(disk_, &chances);
    Submit(1);
    sim_disk_hold(disk_, true);
    EXPECT_TRUE(Reap(10).empty());

    sim_disk_calm(disk_);

    EXPECT_EQ(Reap(1).size(), 2U);
}

TEST_F(SimDisk, HasRoomAgainWhenSpaceComesBack)
{
    int file;
    sim_disk_set_capacity(disk_, kFileBytes);
    const struct files files = sim_disk_files(disk_);
    constexpr const char *kSecond = "part-0000/0000000000000002.segment";
    EXPECT_EQ(files_create(files, kSecond, kFileBytes, &file), STATUS_NO_SPACE);

    sim_disk_set_capacity(disk_, 2 * kFileBytes);

    EXPECT_EQ(files_create(files, kSecond, kFileBytes, &file), STATUS_OK);
}

using SimDiskDeath = SimDisk;

TEST_F(SimDiskDeath, BytesThatChangeUnderAWriteAbort)
{
    Submit(0);
    blocks_.bytes[100] ^= 1;

    EXPECT_DEATH(Reap(6), "bytes changed under a write in flight");
}

} // namespace
