// What of a log that ended badly is rot, what is a torn tail, and which offsets are not given
// again.
#include "storage/recovery.h"

#include <gtest/gtest.h>

#include "tests/storage/recovery_rig.h"

namespace {

using namespace penstock_test;

TEST(Recovery, CutsATornTailAndSkipsWhatItCanHaveNamed)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.TailRecordsMax(5000).OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit torn = log.Commit({{0, 10}});
    std::memset(SegmentBytes(disk, 1) + torn.position + 200, 0xFF, 512);

    const Recovered recovered = Recover(disk);

    EXPECT_EQ(recovered.Only(RECOVERY_CUT).value, torn.position);
    EXPECT_EQ(recovered.Only(RECOVERY_SKIPPED_OFFSETS).value, 5000U);
    EXPECT_EQ(recovered.log->topics[0].next_offset, 3U + 5000U);
    EXPECT_EQ(recovered.log->topics[1].next_offset, 5000U);
    EXPECT_EQ(recovered.log->leader_epoch, 1U);
    EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1}));
}

TEST(Recovery, RemembersTheSkipWhenItIsInterruptedBeforeTheNextSegment)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit torn = log.Commit({{0, 10}});
    SegmentBytes(disk, 1)[torn.position + 20] ^= 1;

    const Recovered first = Recover(disk);
    const Recovered second = Recover(disk);

    EXPECT_EQ(second.log->topics[0].next_offset, first.log->topics[0].next_offset);
    EXPECT_EQ(second.log->leader_epoch, first.log->leader_epoch);
    EXPECT_EQ(second.Count(RECOVERY_CUT), 0U);
}

TEST(Recovery, GoesOnWithoutAGapWhenTheRootPageProvesTheTailWasNotDurable)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit torn = log.Commit({{0, 10}});
    SegmentBytes(disk, 1)[torn.position + 20] ^= 1;
    const struct recovery_witness witness = WitnessOf(1, torn.number - 1);

    const Recovered recovered = Recover(disk, &witness);

    EXPECT_EQ(recovered.Only(RECOVERY_CLEAN_TAIL).value, torn.position);
    EXPECT_EQ(recovered.Count(RECOVERY_SKIPPED_OFFSETS), 0U);
    EXPECT_EQ(recovered.log->topics[0].next_offset, 3U);
    EXPECT_EQ(recovered.log->leader_epoch, 0U);
}

TEST(Recovery, DoesNotBelieveARootPageOfAnotherIncarnation)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.Incarnation(5).OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit torn = log.Commit({{0, 10}});
    SegmentBytes(disk, 1)[torn.position + 20] ^= 1;
    const struct recovery_witness witness = WitnessOf(1, torn.number - 1, /*incarnation=*/4);

    EXPECT_EQ(Recover(disk, &witness).Count(RECOVERY_CUT), 1U);
}

TEST(Recovery, FencesWhatALaterCommitSaysWasDurable)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit rotten = log.Commit({{0, 10}});
    log.Commit({{0, 2}});
    SegmentBytes(disk, 1)[rotten.position + 20] ^= 1;

    const Recovered recovered = Recover(disk);

    const Finding fenced = recovered.Only(RECOVERY_FENCED);
    EXPECT_EQ(fenced.value, rotten.position);
    EXPECT_EQ(fenced.other, rotten.length_bytes);
    EXPECT_EQ(recovered.Count(RECOVERY_CUT), 0U);
    EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1, 3}));
    EXPECT_GE(recovered.log->topics[0].next_offset, 15U);
}

using Lost = std::vector<LostOffsets>;

TEST(Recovery, NamesTheOffsetsOfACommitThatIsLost)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit rotten = log.Commit({{0, 10}, {1, 5}});
    log.Commit({{0, 2}});
    log.Commit({{1, 1}, {0, 1}});
    SegmentBytes(disk, 1)[rotten.position + 20] ^= 1;

    EXPECT_EQ(Recover(disk).lost, Lost({{"events", 3, 13}, {"payments", 0, 5}}));
}

TEST(Recovery, NamesTheOffsetsOfACommitThatIsLostInFrontOfAFooter)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit rotten = log.Commit({{1, 5}});
    log.Footer();
    log.OpenSegment();
    log.Commit({{0, 1}});
    SegmentBytes(disk, 1)[rotten.position + 20] ^= 1;

    EXPECT_EQ(Recover(disk).lost, Lost({{"payments", 0, 5}}));
}

TEST(Recovery, FencesNoMoreThanTheEntryThatIsDamaged)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    log.Commit({{0, 10}, {1, 5}});
    log.Commit({{0, 2}});
    const BuiltBatch &damaged = log.Batches()[2];
    SegmentBytes(disk, 1)[damaged.position + 7] ^= 1;

    const Recovered recovered = Recover(disk);

    EXPECT_EQ(recovered.Only(RECOVERY_FENCED).value, damaged.position);
    EXPECT_EQ(recovered.Only(RECOVERY_FENCED).other, damaged.bytes.size());
    EXPECT_EQ(recovered.lost, Lost({{"payments", 0, 5}}));
}

TEST(Recovery, SaysHowMuchItCut)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.InFlight(4).OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit torn = log.Commit({{0, 10}});
    const BuiltCommit last = log.Commit({{0, 2, 5000}});
    SegmentBytes(disk, 1)[torn.position + 20] ^= 1;

    const Finding cut = Recover(disk).Only(RECOVERY_CUT);

    EXPECT_EQ(cut.value, torn.position);
    EXPECT_EQ(cut.other, last.position + last.length_bytes - torn.position);
}

TEST(Recovery, CutsAHoleInFlightThoughTheCommitBehindItIsWhole)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.InFlight(4).OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit hole = log.Commit({{0, 10}});
    log.Commit({{0, 2}});
    std::memset(SegmentBytes(disk, 1) + hole.position, 0, hole.length_bytes);

    const Recovered first = Recover(disk);
    const Recovered second = Recover(disk);

    EXPECT_EQ(first.Only(RECOVERY_CUT).value, hole.position);
    EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1}));
    EXPECT_EQ(second.log->next_commit_number, 3U) << "the commit behind the hole stays cut";
    EXPECT_TRUE(second.findings.empty());
}

TEST(Recovery, KeepsWholeCommitsThatWereNotYetAcknowledged)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.InFlight(8).OpenSegment();
    log.Commit({{0, 3}});
    log.Commit({{0, 4}});
    const struct recovery_witness witness = WitnessOf(1, 1);

    const Recovered recovered = Recover(disk, &witness);

    EXPECT_EQ(recovered.log->topics[0].next_offset, 7U);
    EXPECT_EQ(recovered.Count(RECOVERY_CLEAN_TAIL), 0U);
}

TEST(Recovery, SaysThatDurableCommitsAreSimplyGone)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.TailRecordsMax(100).OpenSegment();
    log.Commit({{0, 3}});
    const struct recovery_witness witness = WitnessOf(1, 4);

    const Recovered recovered = Recover(disk, &witness);

    EXPECT_EQ(recovered.Only(RECOVERY_FENCED).other, 0U);
    EXPECT_EQ(recovered.log->next_commit_number, 6U) << "above every number that was served";
    EXPECT_EQ(recovered.log->topics[0].next_offset, 3U + 3 * 100) << "once a commit";
    EXPECT_EQ(recovered.log->leader_epoch, 1U);
}

TEST(Recovery, GivesNoOffsetTwiceWhenTheNewestSegmentIsGone)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.TailRecordsMax(100).OpenSegment();
    log.Commit({{0, 3}});
    log.Seal(); // commit 2
    log.OpenSegment();
    log.Commit({{0, 80}});
    const BuiltCommit last = log.Commit({{0, 80}});
    const uint64_t named = log.NextOffset(0);
    ASSERT_EQ(files_remove(sim_disk_files(disk.get()), SegmentName(2).c_str()), STATUS_OK);
    const struct recovery_witness witness = WitnessOf(2, last.number);

    const Recovered recovered = Recover(disk, &witness);

    EXPECT_EQ(recovered.Only(RECOVERY_FENCED).other, 0U);
    EXPECT_TRUE(recovered.log->durable_lost);
    EXPECT_GT(recovered.log->next_commit_number, last.number);
    EXPECT_GE(recovered.log->topics[0].next_offset, named + 100) << "and what was in flight";
    EXPECT_EQ(recovered.log->leader_epoch, 1U);
}

TEST(Recovery, GivesNoOffsetTwiceWhenTheNewestSegmentBeginsInNoise)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.TailRecordsMax(100).OpenSegment();
    log.Commit({{0, 3}});
    log.Seal();
    log.OpenSegment();
    const BuiltCommit last = log.Commit({{0, 80}});
    memset(SegmentBytes(disk, 2), 0x5A, static_cast<size_t>(2) * LOG_BLOCK_BYTES);
    const struct recovery_witness witness = WitnessOf(2, last.number);

    const Recovered recovered = Recover(disk, &witness);

    EXPECT_EQ(recovered.Only(RECOVERY_FENCED).other, 0U);
    EXPECT_GE(recovered.log->topics[0].next_offset, log.NextOffset(0));
    EXPECT_GT(recovered.log->next_commit_number, last.number);
    EXPECT_EQ(recovered.log->next_segment_number, 3U);
}

TEST(Recovery, SkipsTheMostThereCanBeWhenAWholeLifeIsGone)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.TailRecordsMax(100).OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit footer = log.Seal();
    const struct recovery_witness witness = WitnessOf(2, footer.number + 1, /*incarnation=*/2);

    const Recovered recovered = Recover(disk, &witness);

    EXPECT_TRUE(recovered.log->durable_lost);
    EXPECT_EQ(recovered.log->topics[0].next_offset, 3U + 2 * (64U << 20));
}

TEST(Recovery, DoesNotBelieveARootPageOfAnotherLog)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    log.Seal();
    struct recovery_witness witness = WitnessOf(7, 900);
    witness.log_id = IdOf(0x77);

    const Recovered recovered = Recover(disk, &witness);

    EXPECT_FALSE(recovered.log->durable_lost);
    EXPECT_EQ(recovered.log->topics[0].next_offset, 3U);
}

TEST(Recovery, SaysThatNothingIsLeftOfALog)
{
    SimDisk disk = MakeDisk();
    const struct recovery_witness witness = WitnessOf(1, 12);

    const Recovered recovered = Recover(disk, &witness);

    EXPECT_EQ(recovered.status, STATUS_NOT_FOUND);
    EXPECT_EQ(recovered.Only(RECOVERY_LOST_LOG).value, 12U);
    EXPECT_TRUE(recovered.log->durable_lost);
    EXPECT_EQ(recovered.log->leader_epoch, 1U);
}

// Found by the fuzzer: an assertion said that nothing can be in doubt behind a footer.
TEST(Recovery, RemembersASkipBehindAFooterToo)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.TailRecordsMax(100).OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit footer = log.Seal();
    const struct recovery_witness witness = WitnessOf(1, footer.number + 2);

    const Recovered first = Recover(disk, &witness);
    const Recovered second = Recover(disk);

    EXPECT_EQ(first.log->topics[0].next_offset, 3U + 2 * 100);
    EXPECT_EQ(second.log->topics[0].next_offset, first.log->topics[0].next_offset);
    EXPECT_EQ(second.log->leader_epoch, first.log->leader_epoch);
    EXPECT_EQ(second.log->next_commit_number, footer.number + 4);
    EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1}));
}

TEST(Recovery, ReplacesAFooterWhoseTopicsAreRotten)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit footer = log.Seal();
    const size_t topics = commit_entries_position(3) + 30;
    SegmentBytes(disk, 1)[footer.position + topics] ^= 1;
    const struct recovery_witness witness = WitnessOf(1, footer.number);

    const Recovered first = Recover(disk, &witness);
    const Recovered second = Recover(disk);

    EXPECT_GE(first.log->topics[0].next_offset, 3U);
    EXPECT_EQ(second.log->topics[0].next_offset, first.log->topics[0].next_offset);
    EXPECT_TRUE(second.findings.empty());
    EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1}));
}

TEST(Recovery, GivesNoOffsetTwiceWhenAFooterSaysLessThanTheCommitsBeforeIt)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.TailRecordsMax(100).OpenSegment();
    const BuiltCommit commit = log.Commit({{0, 3}, {1, 4}});
    log.ContinueBehind(commit, {3, 1}).Footer();

    const Recovered first = Recover(disk);
    const Recovered second = Recover(disk);

    EXPECT_EQ(first.log->topics[0].next_offset, 3U + 100);
    EXPECT_EQ(first.log->topics[1].next_offset, 4U + 100);
    EXPECT_EQ(second.log->topics[0].next_offset, first.log->topics[0].next_offset);
    EXPECT_EQ(second.log->topics[1].next_offset, first.log->topics[1].next_offset);
    EXPECT_EQ(second.log->leader_epoch, first.log->leader_epoch);
    EXPECT_TRUE(second.findings.empty());
    EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1}));
}

TEST(Recovery, RebuildsTheEndWhenTheNewestFooterIsRotten)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit footer = log.Seal();
    SegmentBytes(disk, 1)[footer.position + 30] ^= 4;

    const Recovered recovered = Recover(disk);

    ASSERT_EQ(recovered.status, STATUS_OK);
    EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1}));
    EXPECT_GE(recovered.log->topics[0].next_offset, 3U);
}

// Doubles the capacity that the header names: the file lacks its second half.
void LoseTheSecondHalf(const SimDisk &disk, uint64_t number)
{
    struct segment_header header = HeaderOf(disk, number);
    header.capacity_bytes *= 2;
    segment_header_encode(&header, SegmentBytes(disk, number));
}

TEST(Recovery, TellsOfASegmentThatWasCutShortInTheMidstOfTheLog)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    for (int i = 0; i < 3; i++) {
        log.OpenSegment();
        log.Commit({{0, 3}});
        log.Seal();
    }
    LoseTheSecondHalf(disk, 2);

    const Recovered recovered = Recover(disk);

    const Finding fenced = recovered.Only(RECOVERY_FENCED);
    EXPECT_EQ(fenced.number, 2U);
    EXPECT_EQ(fenced.value, log.Capacity());
    EXPECT_EQ(fenced.other, log.Capacity());
    EXPECT_TRUE(recovered.log->durable_lost);
    EXPECT_EQ(recovered.log->topics[0].next_offset, 9U);
}

TEST(Recovery, TellsOfASegmentWhoseFooterRotted)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit footer = log.Seal();
    for (int i = 0; i < 2; i++) {
        log.OpenSegment();
        log.Commit({{0, 3}});
        log.Seal();
    }
    memset(SegmentBytes(disk, 1) + footer.position, 0, footer.length_bytes);

    EXPECT_EQ(Recover(disk).Only(RECOVERY_FENCED).value, footer.position);
}

TEST(Recovery, GivesNoOffsetThatAnEndCutOffMayHaveHeld)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    LoseTheSecondHalf(disk, 1);

    EXPECT_EQ(Recover(disk).log->topics[0].next_offset, 3U + (64U << 20));
}

class UnreadableNewest : public ::testing::Test {
  protected:
    UnreadableNewest()
    {
        log_.OpenSegment();
        log_.Commit({{0, 3}});
        log_.Seal();
        log_.OpenSegment();
        log_.Commit({{0, 4}});
        sim_disk_fail_reads(disk_.get(), SegmentName(2).c_str(), 0, log_.Capacity());
    }

    SimDisk disk_ = MakeDisk();
    LogBuilder log_{disk_};
};

TEST_F(UnreadableNewest, GivesNoOffsetThatItMayHaveGiven)
{
    const Recovered recovered = Recover(disk_);

    EXPECT_EQ(recovered.Count(RECOVERY_UNREADABLE), 1U);
    EXPECT_EQ(recovered.log->topics[0].next_offset, 3U + (64U << 20));
    EXPECT_EQ(recovered.log->leader_epoch, 1U);
}

TEST_F(UnreadableNewest, CostsNothingWhenTheRootPageProvesThatNothingInItWasDurable)
{
    const struct recovery_witness witness = WitnessOf(1, 2);

    const Recovered recovered = Recover(disk_, &witness);

    EXPECT_EQ(recovered.log->topics[0].next_offset, 3U);
    EXPECT_EQ(recovered.log->leader_epoch, 0U);
}

TEST(Recovery, LosesAtMostTheCommitWhoseByteIsFlipped)
{
    SimDisk original = MakeDisk();
    LogBuilder log(original, 32 * 1024);
    log.OpenSegment();
    log.Commit({{0, 3}, {1, 1}});
    log.Commit({{0, 2}});
    log.Commit({{1, 5}});
    uint64_t size = 0;
    SegmentBytes(original, 1, &size);

    for (uint64_t i = 0; i < size - LOG_BLOCK_BYTES; i += 3) {
        SimDisk disk = AfterCrash(original);
        SegmentBytes(disk, 1)[i] ^= static_cast<uint8_t>(1U << (i % 8));

        const Recovered recovered = Recover(disk);

        ASSERT_EQ(recovered.status, STATUS_OK) << "byte " << i;
        ASSERT_GE(CommitsInIndex(disk, 1).size(), 2U) << "byte " << i;
        ASSERT_GE(recovered.log->topics[0].next_offset, 5U) << "byte " << i;
        ASSERT_GE(recovered.log->topics[1].next_offset, 6U) << "byte " << i;
    }
}

} // namespace
