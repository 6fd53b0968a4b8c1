#include "storage/scrub.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/storage/log_builder.h"
#include "wire/log_format.h"

namespace {

using namespace penstock_test;

constexpr int64_t kNow = 1'800'000'000'000;

/* Two sealed segments of two commits each with batches of two topics, and one that is open. */
class Scrub : public testing::Test {
  protected:
    Scrub() : log_(disk_)
    {
        for (int i = 0; i < 2; i++) {
            log_.OpenSegment();
            commits_.push_back(log_.Commit({{0, 3}, {1, 2}}));
            commits_.push_back(log_.Commit({{0, 3}}));
            footers_.push_back(log_.Seal());
        }
        log_.OpenSegment();
        commits_.push_back(log_.Commit({{0, 3}}));
        const struct scrub_report report = {OnDamage, this};
        EXPECT_EQ(scrub_create_over(sim_disk_files(disk_.get()), &report, &scrub_), STATUS_OK);
    }
    ~Scrub() override { scrub_destroy(scrub_); }

    static void OnDamage(void *context, const struct scrub_damage *damage)
    {
        static_cast<Scrub *>(context)->damages_.push_back(*damage);
    }
    /* Steps until nothing is due. */
    uint64_t Pass(int64_t wall_ms = kNow)
    {
        uint64_t read = 0;
        for (int i = 0; i < 10000; i++) {
            const size_t bytes = scrub_step(scrub_, wall_ms);
            if (bytes == 0) { return read; }
            read += bytes;
        }
        ADD_FAILURE() << "it never rests";
        return read;
    }
    struct scrub_progress Progress()
    {
        struct scrub_progress progress;
        scrub_progress(scrub_, &progress);
        return progress;
    }
    void Flip(uint64_t segment, uint64_t position) { SegmentBytes(disk_, segment)[position] ^= 1; }
    /* Of the commit's n-th entry. */
    struct entry Entry(const BuiltCommit &commit, uint32_t index)
    {
        uint8_t *const at = SegmentBytes(disk_, 1) + commit.position;
        return entry_decode(bytes_of(at, LOG_BLOCK_BYTES), index);
    }
    void ExpectOne(uint64_t segment, uint64_t position, uint64_t len_bytes)
    {
        ASSERT_EQ(damages_.size(), 1U);
        EXPECT_EQ(damages_[0].partition, 0U);
        EXPECT_EQ(damages_[0].segment_number, segment);
        EXPECT_EQ(damages_[0].position, position);
        EXPECT_EQ(damages_[0].len_bytes, len_bytes);
        EXPECT_EQ(damages_[0].why, STATUS_CORRUPT);
    }

    SimDisk disk_ = MakeDisk();
    LogBuilder log_;
    std::vector<BuiltCommit> commits_;
    std::vector<BuiltCommit> footers_;
    std::vector<struct scrub_damage> damages_;
    struct scrub *scrub_ = nullptr;
};

TEST_F(Scrub, FindsNothingWrongWithWhatIsWhole)
{
    EXPECT_GT(Pass(), 0U);

    EXPECT_TRUE(damages_.empty());
    const struct scrub_progress progress = Progress();
    EXPECT_EQ(progress.passes, 1U);
    EXPECT_EQ(progress.segments, 2U) << "the open one is not its business";
    EXPECT_EQ(progress.pass_end_wall_ms, kNow);
    EXPECT_EQ(progress.oldest_wall_ms, kNow);
    EXPECT_EQ(progress.damaged_ranges, 0U);
}

TEST_F(Scrub, NamesTheEntryThatDoesNotHoldAndOnlyThat)
{
    const struct entry payments = Entry(commits_[0], 1);
    Flip(1, commits_[0].position + payments.position + 7);

    Pass();

    ExpectOne(1, commits_[0].position + payments.position, payments.length_bytes);
    EXPECT_EQ(Progress().damaged_bytes, payments.length_bytes);
}

TEST_F(Scrub, NamesACommitWhoseHeaderDoesNotHoldWhole)
{
    Flip(1, commits_[1].position + 40);

    Pass();

    ExpectOne(1, commits_[1].position, footers_[0].position - commits_[1].position);
}

TEST_F(Scrub, NamesAFooterThatDoesNotHold)
{
    Flip(1, footers_[0].position + 40);

    Pass();

    ASSERT_EQ(damages_.size(), 1U);
    EXPECT_EQ(damages_[0].position, footers_[0].position);
}

TEST_F(Scrub, NamesAFooterThatIsGoneThoughTheTrailerKnowsOfIt)
{
    std::memset(SegmentBytes(disk_, 1) + footers_[0].position, 0, LOG_BLOCK_BYTES);

    Pass();

    ASSERT_EQ(damages_.size(), 1U);
    EXPECT_EQ(damages_[0].position, footers_[0].position);
}

TEST_F(Scrub, NamesAHeaderThatDoesNotHold)
{
    Flip(1, 50);

    Pass();

    ExpectOne(1, 0, LOG_BLOCK_BYTES);
}

TEST_F(Scrub, NamesATrailerThatDoesNotHold)
{
    Flip(2, log_.Capacity() - LOG_BLOCK_BYTES + 20);

    Pass();

    ExpectOne(2, log_.Capacity() - LOG_BLOCK_BYTES, LOG_BLOCK_BYTES);
}

TEST_F(Scrub, TellsARangeOnce)
{
    Flip(1, commits_[0].position + Entry(commits_[0], 0).position);
    Pass();
    ASSERT_EQ(damages_.size(), 1U);

    EXPECT_EQ(Pass(kNow + SCRUB_INTERVAL_MS - 1), 0U) << "not again so soon";
    EXPECT_GT(Pass(kNow + SCRUB_INTERVAL_MS), 0U);

    EXPECT_EQ(damages_.size(), 1U);
    EXPECT_EQ(Progress().passes, 2U);
}

TEST_F(Scrub, SaysNothingOfBytesThatWereWrongOnlyOnce)
{
    const uint64_t position = commits_[0].position + Entry(commits_[0], 0).position;
    Flip(1, position);
    for (int i = 0; i < 2; i++) { scrub_step(scrub_, kNow); } /* met by the first read */
    Flip(1, position);

    Pass();

    EXPECT_TRUE(damages_.empty());
}

TEST_F(Scrub, ReadsWhatTheDiskRefusesAsDamage)
{
    sim_disk_fail_reads(disk_.get(), SegmentName(1).c_str(), commits_[1].position, LOG_BLOCK_BYTES);

    Pass();

    ASSERT_EQ(damages_.size(), 1U);
    EXPECT_EQ(damages_[0].position, commits_[1].position);
    EXPECT_EQ(damages_[0].why, STATUS_IO);
}

TEST_F(Scrub, LeavesASegmentThatGoesWhileItIsRead)
{
    scrub_step(scrub_, kNow);
    ASSERT_EQ(files_remove(sim_disk_files(disk_.get()), SegmentName(1).c_str()), STATUS_OK);

    Pass();

    EXPECT_TRUE(damages_.empty());
    EXPECT_EQ(Progress().segments, 1U);
}

} // namespace
