#include "storage/recovery.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "storage/log_chain.h"
#include "storage/segment_footer.h"
#include "storage/segment_scan.h"
#include "tests/storage/log_builder.h"

namespace {

using namespace penstock_test;

struct Finding {
    enum recovery_finding finding;
    uint64_t number;
    uint64_t value;
    uint64_t other;
};

struct Recovered {
    enum status status;
    std::unique_ptr<struct log_resume> log = std::make_unique<struct log_resume>();
    std::vector<Finding> findings;

    size_t Count(enum recovery_finding finding) const
    {
        return static_cast<size_t>(
            std::count_if(findings.begin(), findings.end(),
                          [&](const Finding &each) { return each.finding == finding; }));
    }
    Finding Only(enum recovery_finding finding) const
    {
        EXPECT_EQ(Count(finding), 1U) << "finding " << finding;
        for (const Finding &each : findings) {
            if (each.finding == finding) { return each; }
        }
        return {};
    }
};

Recovered Recover(const SimDisk &disk, const struct recovery_witness *witness = nullptr)
{
    Recovered out;
    struct recovery_report report = {};
    report.context = &out.findings;
    report.found = [](void *context, uint32_t, enum recovery_finding finding, uint64_t number,
                      uint64_t value, uint64_t other) {
        static_cast<std::vector<Finding> *>(context)->push_back({finding, number, value, other});
    };
    out.log->log_id = IdOf(0xEE);
    out.status = recovery_run(sim_disk_files(disk.get()), 0, witness, &report, out.log.get());
    return out;
}

struct recovery_witness WitnessOf(uint64_t segment, uint64_t durable_number,
                                  uint64_t incarnation = 1)
{
    struct recovery_witness witness = {};
    witness.valid = true;
    witness.log_id = IdOf(0x10);
    witness.nonce = LogBuilder::NonceOf(segment);
    witness.incarnation = incarnation;
    witness.durable_number = durable_number;
    return witness;
}

// Index of the footer of a sealed segment.
std::vector<struct index_entry> FooterIndex(const SimDisk &disk, uint64_t number)
{
    std::vector<struct index_entry> index;
    const struct files files = sim_disk_files(disk.get());
    int file;
    uint64_t size_bytes;
    EXPECT_EQ(files_open(files, SegmentName(number).c_str(), FILES_READ, &file, &size_bytes),
              STATUS_OK);
    struct segment_scan *scan = nullptr;
    EXPECT_EQ(segment_scan_create(files, file, size_bytes, &scan), STATUS_OK);
    struct scanned_commit commit;
    struct segment_footer footer;
    EXPECT_EQ(segment_scan_footer(scan, &commit), STATUS_OK);
    EXPECT_EQ(segment_footer_open(commit.bytes, &commit.header, &footer), STATUS_OK);
    struct segment_footer_walk walk = segment_footer_walk_begin(&footer);
    struct index_entry line;
    while (segment_footer_walk_next(&walk, &line) == STATUS_OK) { index.push_back(line); }
    std::sort(index.begin(), index.end(),
              [](const struct index_entry &left, const struct index_entry &right) {
                  return left.position < right.position;
              });
    segment_scan_destroy(scan);
    files_close(files, file);
    return index;
}

// The number of the commit that has a byte of the segment.
uint64_t CommitAround(const SimDisk &disk, uint64_t number, uint64_t position)
{
    uint64_t size;
    const uint8_t *const bytes = SegmentBytes(disk, number, &size);
    for (uint64_t at = position - position % LOG_BLOCK_BYTES; at > 0; at -= LOG_BLOCK_BYTES) {
        struct commit_header header;
        if (commit_header_decode(bytes_of(bytes + at, size - at), &header) == STATUS_OK) {
            return header.number;
        }
    }
    return 0;
}

std::vector<uint64_t> CommitsInIndex(const SimDisk &disk, uint64_t number)
{
    std::vector<uint64_t> commits;
    for (const struct index_entry &entry : FooterIndex(disk, number)) {
        const uint64_t commit = CommitAround(disk, number, entry.position);
        if (commits.empty() || commits.back() != commit) { commits.push_back(commit); }
    }
    return commits;
}

bool Exists(const SimDisk &disk, uint64_t number)
{
    uint64_t size_bytes;
    return sim_disk_bytes(disk.get(), SegmentName(number).c_str(), &size_bytes) != nullptr;
}

struct segment_header HeaderOf(const SimDisk &disk, uint64_t number)
{
    struct segment_header header = {};
    EXPECT_EQ(segment_header_decode(bytes_of(SegmentBytes(disk, number), LOG_BLOCK_BYTES), &header),
              STATUS_OK);
    return header;
}

using Numbers = std::vector<uint64_t>;

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

TEST(Recovery, DropsASegmentWhosePredecessorIsTorn)
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

    const Recovered first = Recover(disk);
    const Recovered second = Recover(disk);

    ASSERT_EQ(first.status, STATUS_OK);
    EXPECT_FALSE(Exists(disk, 2));
    EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1, 2}));
    EXPECT_EQ(first.log->next_segment_number, 3U);
    EXPECT_TRUE(second.findings.empty());
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

TEST(Recovery, DoesNotStartOverWhileNothingCanBeRead)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    sim_disk_fail_reads(disk.get(), SegmentName(1).c_str(), 0, log.Capacity());

    EXPECT_EQ(Recover(disk).status, STATUS_IO);
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
