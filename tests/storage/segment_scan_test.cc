#include "storage/segment_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/storage/log_builder.h"

namespace {

using namespace penstock_test;

// Opens segment 1 and scans it.
class Scan {
  public:
    explicit Scan(const SimDisk &disk, uint64_t number = 1) : files_(sim_disk_files(disk.get()))
    {
        uint64_t size_bytes = 0;
        EXPECT_EQ(files_open(files_, SegmentName(number).c_str(), FILES_READ, &file_, &size_bytes),
                  STATUS_OK);
        status = segment_scan_create(files_, file_, size_bytes, &scan);
    }
    ~Scan()
    {
        if (status == STATUS_OK) { segment_scan_destroy(scan); }
        files_close(files_, file_);
    }
    Scan(const Scan &) = delete;
    Scan &operator=(const Scan &) = delete;

    enum scan_result Next() { return segment_scan_next(scan, &commit); }
    enum scan_result Resync() { return segment_scan_resync(scan, &commit); }

    // Numbers of all commits that can be had, stepping over whatever is bad.
    std::vector<uint64_t> Numbers()
    {
        std::vector<uint64_t> numbers;
        for (enum scan_result result = Next(); result != SCAN_END;) {
            if (result == SCAN_COMMIT) { numbers.push_back(commit.header.number); }
            result = result == SCAN_COMMIT || commit.directory_holds ? Next() : Resync();
        }
        return numbers;
    }

    enum status status;
    struct segment_scan *scan = nullptr;
    struct scanned_commit commit = {};

  private:
    struct files files_;
    int file_ = -1;
};

std::vector<uint64_t> UpTo(uint64_t last)
{
    std::vector<uint64_t> numbers(last);
    std::iota(numbers.begin(), numbers.end(), 1);
    return numbers;
}

TEST(SegmentScan, WalksEveryCommitAndEndsAtTheZeros)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}, {1, 2}});
    log.Commit({{0, 1, 9000}});

    Scan scan(disk);

    ASSERT_EQ(scan.status, STATUS_OK);
    EXPECT_EQ(scan.Next(), SCAN_COMMIT);
    EXPECT_EQ(scan.commit.header.entry_count, 4U);
    EXPECT_EQ(scan.Next(), SCAN_COMMIT);
    EXPECT_EQ(scan.commit.header.length_bytes, 3U * LOG_BLOCK_BYTES);
    EXPECT_EQ(scan.Next(), SCAN_END);
    EXPECT_EQ(segment_scan_position(scan.scan), log.Position());
}

TEST(SegmentScan, ReachesTheFooterByTheTrailerWithoutAWalk)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit footer = log.Seal();

    Scan scan(disk);
    struct scanned_commit commit;

    EXPECT_EQ(segment_scan_footer(scan.scan, &commit), STATUS_OK);
    EXPECT_EQ(commit.header.number, footer.number);
    EXPECT_EQ(scan.Numbers(), UpTo(2)) << "and the walk still begins at the beginning";
}

TEST(SegmentScan, IsNotFoundInAPreparedFile)
{
    SimDisk disk = MakeDisk();
    LogBuilder(disk).Spare();

    EXPECT_EQ(Scan(disk).status, STATUS_NOT_FOUND);
}

TEST(SegmentScan, RefusesANewerFormatByName)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    const BuiltCommit commit = log.Commit({{0, 1}});
    store_le32(SegmentBytes(disk, 1) + 8, LOG_FORMAT_VERSION + 1);
    store_le32(SegmentBytes(disk, 1) + commit.position + 8, LOG_FORMAT_VERSION + 1);

    EXPECT_EQ(Scan(disk).status, STATUS_UNSUPPORTED);
}

TEST(SegmentScan, RebuildsADamagedHeaderFromTheFirstCommit)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 1}});
    std::memset(SegmentBytes(disk, 1), 0, LOG_BLOCK_BYTES);

    Scan scan(disk);

    ASSERT_EQ(scan.status, STATUS_OK);
    EXPECT_TRUE(segment_scan_header_is_rebuilt(scan.scan));
    EXPECT_EQ(scan.Numbers(), UpTo(1));
}

TEST(SegmentScan, NamesAHoleAndFindsTheCommitBehindIt)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 1}});
    const BuiltCommit hole = log.Commit({{0, 1}});
    const BuiltCommit behind = log.Commit({{0, 1}});
    std::memset(SegmentBytes(disk, 1) + hole.position, 0, hole.length_bytes);

    Scan scan(disk);

    EXPECT_EQ(scan.Next(), SCAN_COMMIT);
    EXPECT_EQ(scan.Next(), SCAN_BAD);
    EXPECT_EQ(scan.commit.position, hole.position);
    EXPECT_EQ(scan.Resync(), SCAN_COMMIT);
    EXPECT_EQ(scan.commit.position, behind.position);
    EXPECT_EQ(scan.Next(), SCAN_END);
}

TEST(SegmentScan, GoesOnInOrderBehindACommitWithADamagedEntry)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 1}});
    const BuiltCommit damaged = log.Commit({{0, 1}});
    log.Commit({{0, 1}});
    SegmentBytes(disk, 1)[log.Index()[1].position] ^= 1;

    Scan scan(disk);

    EXPECT_EQ(scan.Next(), SCAN_COMMIT);
    EXPECT_EQ(scan.Next(), SCAN_BAD);
    EXPECT_TRUE(scan.commit.directory_holds);
    EXPECT_EQ(scan.commit.header.number, damaged.number);
    EXPECT_EQ(scan.Next(), SCAN_COMMIT) << "the chain is unbroken";
}

// A commit of another life of these blocks, of another place, or out of order.
TEST(SegmentScan, TakesNoCommitThatBelongsElsewhere)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    const BuiltCommit first = log.Commit({{0, 1}});
    log.OpenSegment();
    const BuiltCommit other_nonce = log.Commit({{0, 1}});
    uint8_t *const bytes = SegmentBytes(disk, 1);
    std::memcpy(bytes + first.position + first.length_bytes,
                SegmentBytes(disk, 2) + other_nonce.position, other_nonce.length_bytes);
    std::memcpy(bytes + 32768, bytes + first.position, first.length_bytes);

    Scan scan(disk);

    EXPECT_EQ(scan.Next(), SCAN_COMMIT);
    EXPECT_EQ(scan.Next(), SCAN_BAD);
    EXPECT_EQ(scan.Resync(), SCAN_END);
}

// Gives a commit another header whose checksum holds.
void Forge(const SimDisk &disk, const BuiltCommit &commit, void (*change)(struct commit_header *))
{
    uint8_t *const at = SegmentBytes(disk, commit.segment) + commit.position;
    struct commit_header header;
    ASSERT_EQ(commit_header_decode(bytes_of(at, commit.length_bytes), &header), STATUS_OK);
    change(&header);
    commit_header_encode(&header, at);
}

TEST(SegmentScan, TakesNoCommitOfAnEarlierUseOfItsBlocks)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 1}});
    Forge(disk, log.Commit({{0, 1}}),
          [](struct commit_header *header) { header->nonce = LogBuilder::NonceOf(9); });

    Scan scan(disk);

    EXPECT_EQ(scan.Next(), SCAN_COMMIT);
    EXPECT_EQ(scan.Next(), SCAN_BAD);
    EXPECT_EQ(scan.Resync(), SCAN_END);
}

TEST(SegmentScan, TakesNoCommitThatFollowsAnotherOne)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 1}});
    Forge(disk, log.Commit({{0, 1}}),
          [](struct commit_header *header) { header->previous_crc32c ^= 1; });

    Scan scan(disk);

    EXPECT_EQ(scan.Next(), SCAN_COMMIT);
    EXPECT_EQ(scan.Next(), SCAN_BAD);
    EXPECT_FALSE(scan.commit.directory_holds);
}

TEST(SegmentScan, TakesNothingBehindTheFooterForACommit)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 1}});
    log.Footer();
    log.Commit({{0, 1}});

    Scan scan(disk);

    EXPECT_EQ(scan.Numbers(), UpTo(2));
}

TEST(SegmentScan, CutsATornCommitAtEverySector)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 1}});
    const BuiltCommit torn = log.Commit({{0, 7, 12000}});
    uint8_t *const at = SegmentBytes(disk, 1) + torn.position;
    const std::vector<uint8_t> whole(at, at + torn.length_bytes);
    // Behind the entries there is padding: a tear there harms nothing.
    const size_t payload_end = 12000 + commit_entries_position(2) + 16;

    for (size_t kept = 0; kept + 512 < payload_end; kept += 512) {
        std::copy(whole.begin(), whole.end(), at);
        std::memset(at + kept, 0, whole.size() - kept);

        EXPECT_EQ(Scan(disk).Numbers(), UpTo(1)) << "kept " << kept;
    }
}

TEST(SegmentScan, FindsTheOtherCommitsWhicheverByteIsFlipped)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk, 32 * 1024);
    log.OpenSegment();
    log.Commit({{0, 3}, {1, 1}});
    log.Commit({{0, 2}});
    log.Commit({{1, 5}});
    log.Seal();
    uint64_t size = 0;
    uint8_t *const bytes = SegmentBytes(disk, 1, &size);

    for (uint64_t i = 0; i < size; i++) {
        bytes[i] ^= static_cast<uint8_t>(1U << (i % 8));
        Scan scan(disk);
        ASSERT_EQ(scan.status, STATUS_OK) << "byte " << i;
        const size_t found = scan.Numbers().size();
        bytes[i] ^= static_cast<uint8_t>(1U << (i % 8));

        ASSERT_GE(found, 3U) << "byte " << i << ": at most one of the four commits is gone";
    }
}

TEST(SegmentScan, PassesOverBlocksThatCannotBeRead)
{
    SimDisk disk = MakeDisk();
    LogBuilder log(disk);
    log.OpenSegment();
    log.Commit({{0, 1}});
    const BuiltCommit bad = log.Commit({{0, 1}});
    log.Commit({{0, 1}});
    sim_disk_fail_reads(disk.get(), SegmentName(1).c_str(), bad.position, 1);

    Scan scan(disk);

    EXPECT_EQ(scan.Next(), SCAN_COMMIT);
    EXPECT_EQ(scan.Next(), SCAN_IO);
    EXPECT_EQ(scan.commit.position, bad.position);
    EXPECT_EQ(scan.Resync(), SCAN_COMMIT);
    EXPECT_EQ(scan.commit.header.number, 3U);
}

} // namespace
