#include "storage/recovery.h"

#include <gtest/gtest.h>

#include "tests/storage/recovery_rig.h"

namespace {

using namespace penstock_test;

TEST(Recovery, FindsNothingWhereNoLogIs)
{
    const SimDisk disk = MakeDisk();

    EXPECT_EQ(Recover(disk).status, STATUS_NOT_FOUND);
}

TEST(Recovery, RemovesSparesAndTakesThemForNoLog)
{
    SimDisk disk = MakeDisk();
    LogBuilder(disk).Spare().Spare();

    const Recovered recovered = Recover(disk);

    EXPECT_EQ(recovered.status, STATUS_NOT_FOUND);
    EXPECT_EQ(recovered.Count(RECOVERY_REMOVED_SPARE), 2U);
    EXPECT_FALSE(Exists(disk, 1));
}

TEST(Recovery, ResumesBehindASealedSegmentWithoutWriting)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}, {1, 4}}, /*wall_ms=*/7000);
    const BuiltCommit footer = log.Seal();
    log.Spare();
    const uint64_t writes = sim_disk_write_count(disk.get());

    const Recovered recovered = Recover(disk);

    ASSERT_EQ(recovered.status, STATUS_OK);
    EXPECT_EQ(recovered.log->next_commit_number, footer.number + 1);
    EXPECT_EQ(recovered.log->predecessor_commit_crc32c, log.PreviousCrc());
    EXPECT_TRUE(log_id_equal(recovered.log->predecessor_nonce, LogBuilder::NonceOf(1)));
    EXPECT_TRUE(log_id_equal(recovered.log->log_id, IdOf(0x10)));
    EXPECT_TRUE(log_id_equal(recovered.log->cluster_id, IdOf(0xC1)));
    EXPECT_EQ(recovered.log->next_segment_number, 3U);
    ASSERT_EQ(recovered.log->topic_count, 2U);
    EXPECT_STREQ(recovered.log->topics[1].name, "payments");
    EXPECT_EQ(recovered.log->topics[0].next_offset, 3U);
    EXPECT_EQ(recovered.log->topics[1].next_offset, 4U);
    EXPECT_EQ(recovered.log->totals_count, 2U);
    EXPECT_EQ(recovered.log->totals[1], 77U);
    EXPECT_EQ(sim_disk_write_count(disk.get()), writes);
}

TEST(Recovery, SealsAnOpenSegmentSoThatTheNextStartReadsItsFooter)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    log.Commit({{1, 2}, {0, 1}}, /*wall_ms=*/4242);

    const Recovered first = Recover(disk);
    const Recovered second = Recover(disk);

    ASSERT_EQ(first.status, STATUS_OK);
    EXPECT_EQ(first.log->last_wall_ms, 4242);
    EXPECT_EQ(first.Only(RECOVERY_SEALED).value, 3U) << "two commits and the footer";
    EXPECT_EQ(first.log->next_commit_number, 4U);
    EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1, 2}));
    EXPECT_TRUE(second.findings.empty());
    EXPECT_EQ(std::memcmp(first.log.get(), second.log.get(), sizeof(struct log_resume)), 0);
}

TEST(Recovery, DropsASegmentWhosePredecessorIsTornLikeItsHeader)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.InFlight(4).OpenSegment();
    log.Commit({{0, 3}});
    log.Commit({{0, 1}});
    const BuiltCommit footer = log.Footer();
    log.OpenSegment();
    log.Commit({{0, 9}});
    std::memset(SegmentBytes(disk, 1) + footer.position, 0, footer.length_bytes);
    SegmentBytes(disk, 2)[50] ^= 1; // in flight with it

    const Recovered first = Recover(disk);
    const Recovered second = Recover(disk);

    ASSERT_EQ(first.status, STATUS_OK);
    EXPECT_FALSE(Exists(disk, 2));
    EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1, 2}));
    EXPECT_EQ(first.log->next_segment_number, 3U);
    EXPECT_TRUE(second.findings.empty());
}

// A header is written once the commit that it continues is durable: what is not there was.
TEST(Recovery, KeepsASegmentWhosePredecessorIsLostWhenItsHeaderStands)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.InFlight(4).OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit rotten = log.Commit({{0, 1}});
    log.Footer();
    log.OpenSegment();
    log.Commit({{0, 9}});
    SegmentBytes(disk, 1)[rotten.position + 20] ^= 1;

    const Recovered recovered = Recover(disk);

    EXPECT_EQ(recovered.Only(RECOVERY_FENCED).value, rotten.position);
    EXPECT_EQ(recovered.Count(RECOVERY_CUT), 0U);
    EXPECT_EQ(CommitsInIndex(disk, 2), Numbers({4}));
}

TEST(Recovery, DropsASegmentThatContinuesAnotherCommitOfTheSameNumber)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.InFlight(8).OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit last = log.Commit({{0, 1}});
    log.OpenSegment();
    log.Commit({{0, 9}});
    uint8_t *const at = SegmentBytes(disk, 1) + last.position;
    struct commit_header header;
    ASSERT_EQ(commit_header_decode(bytes_of(at, last.length_bytes), &header), STATUS_OK);
    header.wall_ms++;
    commit_header_encode(&header, at);

    const Recovered recovered = Recover(disk);

    ASSERT_EQ(recovered.status, STATUS_OK);
    EXPECT_FALSE(Exists(disk, 2));
    EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1, 2}));
}

TEST(Recovery, AbandonsWhatAFailedSegmentHoldsBehindTheCommitThatWasContinued)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit last_good = log.Commit({{0, 4}});
    log.Commit({{0, 50}});
    log.ContinueBehind(last_good, {7, 0}).OpenSegment();
    log.Commit({{0, 1}});

    const Recovered recovered = Recover(disk);

    EXPECT_EQ(recovered.log->topics[0].next_offset, 8U);
    EXPECT_EQ(recovered.Only(RECOVERY_ABANDONED).value,
              last_good.position + last_good.length_bytes);
    EXPECT_EQ(recovered.Only(RECOVERY_ABANDONED).other, last_good.number);
    EXPECT_EQ(recovered.Count(RECOVERY_FENCED), 0U);
    EXPECT_EQ(recovered.Count(RECOVERY_CUT), 0U);
    EXPECT_EQ(CommitsInIndex(disk, 2), Numbers({3}));
}

TEST(Recovery, WritesTheTrailerThatACrashCutOff)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit footer = log.Footer();

    const Recovered recovered = Recover(disk);

    EXPECT_EQ(recovered.log->next_commit_number, footer.number + 1);
    EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1}));
}

// A roll that the power cut: the trailer of the one and the header of the next were in flight
// (crash test, seeds 54 and 293). Both are written again, so that readers know them for settled.
TEST(Recovery, WritesTheTrailerAndTheHeaderThatACrashTore)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.LeaderEpoch(5).OpenSegment();
    log.Commit({{0, 3}});
    log.Seal();
    log.OpenSegment();
    log.Commit({{0, 4}});
    SegmentBytes(disk, 1)[log.Capacity() - LOG_BLOCK_BYTES + 20] ^= 1;
    SegmentBytes(disk, 2)[50] ^= 1;

    const Recovered recovered = Recover(disk);

    EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1}));
    EXPECT_EQ(CommitsInIndex(disk, 2), Numbers({3}));
    const struct segment_header header = HeaderOf(disk, 2);
    EXPECT_TRUE(log_id_equal(header.predecessor_nonce, LogBuilder::NonceOf(1)));
    EXPECT_EQ(header.predecessor_commit_number, 2U);
    EXPECT_EQ(header.tail_records_max, 1000U);
    EXPECT_EQ(header.leader_epoch, 5U);
    EXPECT_EQ(recovered.log->leader_epoch, 5U);
}

TEST(Recovery, KeepsTheLeaderEpochWhenTheNewestHeaderIsRotten)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.LeaderEpoch(5).OpenSegment();
    log.Commit({{0, 3}});
    log.Seal();
    log.OpenSegment();
    log.Commit({{0, 4}});
    log.Seal();
    SegmentBytes(disk, 2)[70] ^= 1;

    const Recovered recovered = Recover(disk);

    EXPECT_EQ(recovered.log->leader_epoch, 5U);
    EXPECT_EQ(recovered.log->topics[0].next_offset, 7U);
    EXPECT_EQ(HeaderOf(disk, 2).leader_epoch, 5U);
}

// Behind a footer that remembers a skip, the header that was torn said one epoch more.
TEST(Recovery, RaisesTheLeaderEpochThatATornHeaderSaid)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.LeaderEpoch(5).OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit torn = log.Commit({{0, 4}});
    SegmentBytes(disk, 1)[torn.position + 200] ^= 1;
    const Recovered before = Recover(disk);
    ASSERT_EQ(before.log->leader_epoch, 6U);
    log.GoOn(*before.log).LeaderEpoch(6).OpenSegment();
    log.Commit({{0, 1}});
    SegmentBytes(disk, 2)[70] ^= 1;

    const Recovered recovered = Recover(disk);

    EXPECT_EQ(recovered.log->leader_epoch, 6U);
    EXPECT_EQ(HeaderOf(disk, 2).leader_epoch, 6U);
}

// The disk refused segment 2, whose commits were written again to segment 3.
TEST(Recovery, RemovesASegmentThatWasGivenUpAndNotYetRemoved)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit footer = log.Seal();
    log.OpenSegment();
    log.Commit({{0, 4}});
    log.ContinueBehind(footer, {3, 0}).OpenSegment();
    log.Commit({{0, 4}});

    const Recovered recovered = Recover(disk);

    EXPECT_FALSE(Exists(disk, 2));
    EXPECT_EQ(recovered.Only(RECOVERY_REMOVED_SPARE).number, 2U);
    EXPECT_EQ(recovered.log->topics[0].next_offset, 7U);
}

// It may be one that could not be read when the next was opened.
TEST(Recovery, LeavesASegmentThatAnEarlierLifeDoesNotContinue)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit footer = log.Seal();
    log.OpenSegment();
    log.Commit({{0, 4}});
    log.ContinueBehind(footer, {3, 0}).Incarnation(2).OpenSegment();
    log.Commit({{0, 4}});

    Recover(disk);

    EXPECT_TRUE(Exists(disk, 2));
}

TEST(Recovery, RemovesASegmentThatWasOpenedAndNeverWritten)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    log.Seal();
    log.OpenSegment();

    const Recovered recovered = Recover(disk);

    EXPECT_FALSE(Exists(disk, 2));
    EXPECT_TRUE(log_id_equal(recovered.log->predecessor_nonce, LogBuilder::NonceOf(1)));
    EXPECT_EQ(recovered.log->topics[0].next_offset, 3U);
    EXPECT_EQ(recovered.log->leader_epoch, 0U);
}

TEST(Recovery, NamesAMissingSegmentAndKeepsBothSides)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    for (int i = 0; i < 3; i++) {
        log.OpenSegment();
        log.Commit({{0, 3}});
        log.Seal();
    }
    ASSERT_EQ(files_remove(sim_disk_files(disk.get()), SegmentName(2).c_str()), STATUS_OK);

    const Recovered recovered = Recover(disk);

    EXPECT_EQ(recovered.Only(RECOVERY_MISSING_SEGMENT).number, 2U);
    EXPECT_EQ(recovered.log->topics[0].next_offset, 9U);
}

TEST(Recovery, LeavesASegmentWithoutRoomForAFooterAndStillResumes)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk, 16 * 1024);
    log.OpenSegment();
    log.Commit({{0, 3}});
    log.Commit({{0, 3}});

    const Recovered recovered = Recover(disk);

    ASSERT_EQ(recovered.status, STATUS_OK);
    EXPECT_EQ(recovered.Only(RECOVERY_UNSEALED).value, static_cast<uint64_t>(STATUS_FULL));
    EXPECT_EQ(recovered.log->next_commit_number, 3U);
    EXPECT_EQ(recovered.log->predecessor_commit_crc32c, log.PreviousCrc());
}

// Found by the fuzzer: the trailer would have gone behind the end of the file.
TEST(Recovery, WritesNothingBehindTheEndOfAFileThatWasCutShort)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    log.Footer();
    struct segment_header header;
    uint8_t *const block = SegmentBytes(disk, 1);
    ASSERT_EQ(segment_header_decode(bytes_of(block, LOG_BLOCK_BYTES), &header), STATUS_OK);
    header.capacity_bytes *= 2;
    segment_header_encode(&header, block);

    const Recovered recovered = Recover(disk);

    EXPECT_EQ(recovered.status, STATUS_OK);
    EXPECT_EQ(recovered.Only(RECOVERY_UNSEALED).value, static_cast<uint64_t>(STATUS_TRUNCATED));
    EXPECT_EQ(recovered.log->topics[0].next_offset, 3U);
}

TEST(Recovery, RefusesAnotherFormatByItsVersion)
{
    for (const uint32_t version : {0U, LOG_FORMAT_VERSION + 1U, 9U}) {
        SimDisk disk = MakeDisk();
        LogBuilder log(disk);
        log.OpenSegment();
        store_le32(SegmentBytes(disk, 1) + 8, version);

        const Recovered recovered = Recover(disk);

        EXPECT_EQ(recovered.status, STATUS_UNSUPPORTED);
        EXPECT_EQ(recovered.Only(RECOVERY_UNSUPPORTED).value, version);
    }
}

TEST(Recovery, StartsAboveFilesThatItCannotRead)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    SegmentBytes(disk, 1)[40] ^= 1;

    const Recovered recovered = Recover(disk);

    EXPECT_EQ(recovered.status, STATUS_OK);
    EXPECT_EQ(recovered.Count(RECOVERY_UNREADABLE), 1U);
    EXPECT_EQ(recovered.log->next_segment_number, 2U);
    EXPECT_EQ(recovered.log->next_commit_number, 1U);
    EXPECT_TRUE(Exists(disk, 1));
}

// A copy of a segment, or any other file, with a number that cannot be counted up from.
TEST(Recovery, CountsOnFromItsOwnSegmentsOnly)
{
    for (const uint64_t number : {UINT64_C(0x100), UINT64_MAX}) {
        for (const bool copy : {true, false}) {
            SimDisk disk = MakeDisk();
            LogBuilder log(disk);
            log.OpenSegment();
            log.Commit({{0, 3}});
            log.Seal();
            uint64_t size = 0;
            SegmentBytes(disk, 1, &size);
            int file;
            ASSERT_EQ(
                files_create(sim_disk_files(disk.get()), SegmentName(number).c_str(), size, &file),
                STATUS_OK);
            files_close(sim_disk_files(disk.get()), file);
            uint8_t *const foreign = SegmentBytes(disk, number);
            if (copy) { memcpy(foreign, SegmentBytes(disk, 1), size); }
            if (!copy) { memset(foreign, 0x5A, size); }

            const Recovered recovered = Recover(disk);

            EXPECT_EQ(recovered.status, STATUS_OK);
            EXPECT_EQ(recovered.Only(RECOVERY_UNREADABLE).number, number);
            EXPECT_EQ(recovered.log->next_segment_number, number == 0x100 && !copy ? 0x101U : 2U);
            EXPECT_EQ(recovered.log->topics[0].next_offset, 3U);
            EXPECT_TRUE(Exists(disk, number));
        }
    }
}

TEST(Recovery, DoesNotStartOverWhileNothingCanBeRead)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    sim_disk_fail_reads(disk.get(), SegmentName(1).c_str(), 0, log.Capacity());

    EXPECT_EQ(Recover(disk).status, STATUS_IO);
}

TEST(Recovery, StartsWhateverReadsFail)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit footer = log.Seal();
    log.OpenSegment();
    log.Commit({{0, 1}});

    for (uint64_t at = 0; at < log.Capacity(); at += LOG_BLOCK_BYTES) {
        SimDisk copy = AfterCrash(disk);
        sim_disk_fail_reads(copy.get(), SegmentName(1).c_str(), at, LOG_BLOCK_BYTES);

        const Recovered recovered = Recover(copy);

        ASSERT_EQ(recovered.status, STATUS_OK) << "position " << at;
        ASSERT_GE(recovered.log->topics[0].next_offset, 4U) << "position " << at;
        ASSERT_GT(recovered.log->next_commit_number, footer.number + 1);
    }
}

} // namespace
