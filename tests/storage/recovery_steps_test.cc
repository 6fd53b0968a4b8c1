// Recovery interrupted at any of its steps.
#include "storage/recovery.h"

#include <gtest/gtest.h>

#include "tests/storage/recovery_rig.h"

namespace {

using namespace penstock_test;

// The footer that a recovery put over the torn one has its number: the segment that was cut, and
// not yet removed, does not continue it.
TEST(Recovery, DropsASegmentThatWasCutThoughThePowerGoesBeforeItIsRemoved)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        SimDisk disk = MakeDisk(seed);
        LogBuilder log(disk);
        log.InFlight(4).OpenSegment();
        log.Commit({{0, 3}});
        log.Commit({{0, 1}});
        const BuiltCommit footer = log.Footer();
        log.OpenSegment();
        log.Commit({{0, 9}});
        std::memset(SegmentBytes(disk, 1) + footer.position, 0, footer.length_bytes);
        SegmentBytes(disk, 2)[50] ^= 1;
        sim_disk_cut_power_after(disk.get(), /*operations=*/2); // trailer and footer
        Recover(disk);
        disk = AfterCrash(disk);

        const Recovered again = Recover(disk);

        EXPECT_FALSE(Exists(disk, 2)) << "seed " << seed;
        EXPECT_EQ(again.log->next_commit_number, 4U) << "seed " << seed;
        EXPECT_EQ(again.log->topics[0].next_offset, 4U + 1000U) << "seed " << seed;
        EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1, 2}));
    }
}

// Crashes at every changing call, up to three deep, end in the state of an undisturbed run.
TEST(Recovery, EndsTheSameHoweverOftenItIsInterrupted)
{
    SimDisk original = MakeDisk();
    LogBuilder log(original);
    log.InFlight(6).OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit rotten = log.Commit({{0, 4}});
    log.Commit({{0, 5}});
    const BuiltCommit torn = log.Commit({{0, 6}});
    log.InFlight(2);
    log.Commit({{0, 7}}); // says that the rotten one was durable
    log.InFlight(6);
    log.Footer();
    log.OpenSegment();
    log.Commit({{1, 8}});
    SegmentBytes(original, 1)[rotten.position + 17] ^= 1;
    std::memset(SegmentBytes(original, 1) + torn.position, 0, torn.length_bytes);
    SegmentBytes(original, 2)[50] ^= 1;
    SimDisk undisturbed = AfterCrash(original);
    const Recovered expected = Recover(undisturbed);
    ASSERT_EQ(expected.status, STATUS_OK);
    const Numbers commits = CommitsInIndex(undisturbed, 1);

    for (uint64_t seed = 0; seed < 400; seed++) {
        SimDisk disk = AfterCrash(original, seed);
        for (uint64_t depth = 0; depth < 3; depth++) {
            sim_disk_cut_power_after(disk.get(), (seed >> (2 * depth)) % 4);
            Recover(disk);
            disk = AfterCrash(disk, seed * 3 + depth);
        }
        const Recovered recovered = Recover(disk);

        ASSERT_EQ(recovered.status, STATUS_OK) << "seed " << seed;
        ASSERT_EQ(CommitsInIndex(disk, 1), commits) << "seed " << seed;
        ASSERT_EQ(recovered.log->next_commit_number, expected.log->next_commit_number);
        ASSERT_GE(recovered.log->topics[0].next_offset, expected.log->topics[0].next_offset);
        ASSERT_GE(recovered.log->leader_epoch, expected.log->leader_epoch);
        ASSERT_FALSE(Exists(disk, 2)) << "seed " << seed;
    }
}

// Commit 2 rots, 3 was in flight, and only 4 says that 2 was durable: a footer of three blocks in
// the place of 2 takes its witness away. A crash in the midst of the footer must not take what it
// said.
TEST(Recovery, RemembersWhatTheCommitUnderItsFooterTestified)
{
    SimDisk original = MakeDisk();
    LogBuilder log(original);
    for (int i = 0; i < 40; i++) { log.AddTopic(std::to_string(i) + std::string(200, 'x')); }
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit rotten = log.Commit({{0, 4}});
    const BuiltCommit torn = log.Commit({{0, 5}});
    log.InFlight(2);
    const BuiltCommit witness = log.Commit({{0, 6}});
    uint8_t *const bytes = SegmentBytes(original, 1);
    bytes[rotten.position + 17] ^= 1;
    std::memset(bytes + torn.position, 0, torn.length_bytes);
    SimDisk undisturbed = AfterCrash(original);
    const Recovered expected = Recover(undisturbed);
    ASSERT_EQ(expected.log->next_commit_number, 4U) << "2 is gone, 3 is the footer";
    ASSERT_NE(SegmentBytes(undisturbed, 1)[witness.position], bytes[witness.position]);

    for (uint64_t seed = 0; seed < 64; seed++) {
        SimDisk disk = AfterCrash(original, seed);
        sim_disk_cut_power_after(disk.get(), seed % 2); /* the first write or the second: half */
        Recover(disk);
        disk = AfterCrash(disk, seed);

        const Recovered recovered = Recover(disk);

        ASSERT_EQ(recovered.log->next_commit_number, 4U) << "seed " << seed;
    }
}

} // namespace
