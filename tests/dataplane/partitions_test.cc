#include "dataplane/partitions.h"

#include <gtest/gtest.h>

#include <memory>

namespace {

class SettleLedger : public testing::Test {
  protected:
    // What the run that ended had counted: 100 in, 10 dropped, 60 known to be durable.
    void SetUp() override
    {
        stats_page_init(page_.get(), 0);
        uint64_t *const counters = page_->counters;
        counters[STATS_frames_received] = 50;
        counters[STATS_frames_lines] = 50;
        counters[STATS_records_in] = 100;
        counters[STATS_records_dropped_by_rule] = 10;
        counters[STATS_records_stored] = 60;
        page_->records_in_flight = 30;

        resume_->totals_count = STATS_COUNTER_COUNT;
        for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) { resume_->totals[i] = counters[i]; }
    }

    int64_t RecordsResidue() const
    {
        struct ledger ledger;
        ledger_of(page_.get(), &ledger);
        return ledger.records_residue;
    }

    std::unique_ptr<struct stats_page> page_ = std::make_unique<struct stats_page>();
    std::unique_ptr<struct log_resume> resume_ = std::make_unique<struct log_resume>();
};

TEST_F(SettleLedger, BooksWhatWasInFlightAsLost)
{
    partitions_settle_ledger(page_.get(), /*survived=*/true, resume_.get());

    EXPECT_EQ(page_->counters[STATS_records_lost_at_crash], 30U);
    EXPECT_EQ(page_->records_in_flight, 0U);
    EXPECT_EQ(RecordsResidue(), 0);
}

TEST_F(SettleLedger, BooksWhatReachedTheDiskUnseenAsStored)
{
    resume_->totals[STATS_records_stored] = 85; // recovery found more than was known durable

    partitions_settle_ledger(page_.get(), /*survived=*/true, resume_.get());

    EXPECT_EQ(page_->counters[STATS_records_stored], 85U);
    EXPECT_EQ(page_->counters[STATS_records_lost_at_crash], 5U);
    EXPECT_EQ(RecordsResidue(), 0);
}

TEST_F(SettleLedger, GoesOnFromTheNewestCommitWhenThePageIsGone)
{
    stats_page_init(page_.get(), 0);
    memset(page_->counters, 0, sizeof page_->counters);

    partitions_settle_ledger(page_.get(), /*survived=*/false, resume_.get());

    EXPECT_EQ(page_->counters[STATS_records_in], 100U);
    EXPECT_EQ(page_->counters[STATS_records_lost_at_crash], 30U);
    EXPECT_EQ(RecordsResidue(), 0);
}

TEST_F(SettleLedger, BooksAnInterruptedTurnsFrames)
{
    page_->counters[STATS_frames_received] = 114; // 64 received, none judged

    partitions_settle_ledger(page_.get(), /*survived=*/true, resume_.get());

    struct ledger ledger;
    ledger_of(page_.get(), &ledger);
    EXPECT_EQ(page_->counters[STATS_frames_lost_at_crash], 64U);
    EXPECT_EQ(ledger.frames_residue, 0);
}

TEST_F(SettleLedger, TwiceBooksNothingTwice)
{
    partitions_settle_ledger(page_.get(), true, resume_.get());
    partitions_settle_ledger(page_.get(), true, resume_.get());

    EXPECT_EQ(page_->counters[STATS_records_lost_at_crash], 30U);
}

class BeginIncarnation : public testing::Test {
  protected:
    BeginIncarnation()
    {
        partitions_->count = 1;
        partitions_->items[0].resume = resume_.get();
    }
    uint64_t Begin(int64_t wall_ms)
    {
        partitions_begin_incarnation(partitions_.get(), root_.get(), wall_ms);
        return root_->incarnation;
    }

    std::unique_ptr<struct partitions> partitions_ = std::make_unique<struct partitions>();
    std::unique_ptr<struct log_resume> resume_ = std::make_unique<struct log_resume>();
    std::unique_ptr<struct root_page> root_ = std::make_unique<struct root_page>();
};

TEST_F(BeginIncarnation, IsTheClockAtFirstAndRisesWithEveryStart)
{
    EXPECT_EQ(Begin(5'000'000), 5000U);
    EXPECT_EQ(Begin(5'000'000), 5001U);
}

TEST_F(BeginIncarnation, IsAboveWhatIsInTheLogsWhenThePageIsGoneAndTheClockWasSetBack)
{
    resume_->incarnation = 1'700'000'000;

    EXPECT_EQ(Begin(/*wall_ms=*/0), 1'700'000'001U);
}

TEST_F(BeginIncarnation, TakesNoClockFromBefore1970)
{
    EXPECT_EQ(Begin(/*wall_ms=*/-86'400'000), 1U);
}

} // namespace
