#include "storage/retention.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "tests/storage/log_rig.h"

namespace {

constexpr uint64_t kSecond = NS_PER_S;
constexpr uint64_t kGraceNs = 5 * kSecond;

/* A log of sealed segments, one open and one prepared, and a retention over it. */
class Retention : public testing::Test {
  protected:
    Retention()
    {
        for (int i = 0; i < 120; i++) { rig_.MustWrite(2, 8000); }
        rig_.Settle();
        rig_.Turns(5);
        sealed_ = rig_.Counter(STATS_segments_sealed);
        EXPECT_GE(sealed_, 4U);
        slot_ = &rig_.root->partitions[LogRig::kPartition];
        node_page_init(node_.get());
    }
    ~Retention() override { retention_destroy(retention_); }

    void Make(uint64_t retain_bytes, uint64_t retain_age_ns)
    {
        struct retention_options options = {};
        options.files = sim_disk_files(rig_.disk);
        options.root = rig_.root.get();
        options.node = node_.get();
        options.retain_bytes = retain_bytes;
        options.retain_age_ns = retain_age_ns;
        options.grace_ns = kGraceNs;
        ASSERT_EQ(retention_create(&options, &retention_), STATUS_OK);
    }
    void Pass(uint64_t ns)
    {
        rig_.now.mono_ns += ns;
        rig_.now.wall_ms += static_cast<int64_t>(ns / NS_PER_MS);
    }
    size_t Run() { return retention_run(retention_, rig_.now); }

    std::set<uint64_t> Files()
    {
        std::set<uint64_t> out;
        EXPECT_EQ(files_list_segments(
                      sim_disk_files(rig_.disk), LogRig::kPartition,
                      [](void *context, uint64_t number, uint64_t) {
                          static_cast<std::set<uint64_t> *>(context)->insert(number);
                      },
                      &out),
                  STATUS_OK);
        return out;
    }
    uint64_t RecordsIn(uint64_t segment)
    {
        uint64_t count = 0;
        const LogWalk walk = rig_.Walk();
        for (const auto &commit : walk.segments.at(segment).commits) {
            for (const auto &entry : commit.records) { count += entry.record_count; }
        }
        return count;
    }

    LogRig rig_;
    uint64_t sealed_ = 0;
    const struct root_partition *slot_ = nullptr;
    std::unique_ptr<struct node_page> node_ = std::make_unique<struct node_page>();
    struct retention *retention_ = nullptr;
};

TEST_F(Retention, WithoutLimitsNothingGoes)
{
    Make(0, 0);
    Pass(1'000'000 * kSecond);

    EXPECT_EQ(Run(), 0U);
    EXPECT_EQ(slot_->first_segment_number, 0U);
}

TEST_F(Retention, RetiresTheOldestUntilTheBytesFit)
{
    const size_t files = Files().size();
    const uint64_t records = RecordsIn(1) + RecordsIn(2);
    Make((files - 2) * 256 * 1024, 0);

    EXPECT_EQ(Run(), 2U);

    EXPECT_EQ(slot_->first_segment_number, 3U);
    EXPECT_EQ(node_->segments_expired, 2U);
    EXPECT_EQ(node_->expired_bytes, 2U * 256 * 1024);
    EXPECT_EQ(node_->entries_expired, records);
    EXPECT_EQ(Run(), 0U) << "what is retired counts no more";
}

TEST_F(Retention, RemovesTheFileOnlyAfterTheGraceTime)
{
    Make(0, 100 * kSecond);
    Pass(99 * kSecond);
    while (Run() == 0) { Pass(100 * NS_PER_MS); }
    EXPECT_EQ(Files().count(1), 1U);

    Pass(kGraceNs - NS_PER_MS);
    EXPECT_EQ(Run(), 0U);
    EXPECT_EQ(Files().count(1), 1U);
    Pass(NS_PER_MS);
    EXPECT_EQ(Run(), 1U);

    EXPECT_EQ(Files().count(1), 0U);
    EXPECT_EQ(Files().count(2), 1U);
}

TEST_F(Retention, KeepsTheSegmentsThatLanesAreRecoveredFrom)
{
    Make(1, 0);
    rig_.root->partitions[LogRig::kPartition].lane_floor = 3;

    EXPECT_EQ(Run(), 2U);
    EXPECT_EQ(slot_->first_segment_number, 3U);
    rig_.root->partitions[LogRig::kPartition].lane_floor = 4;

    EXPECT_EQ(Run(), 1U);
    EXPECT_EQ(slot_->first_segment_number, 4U);
}

TEST_F(Retention, NeverTakesTheNewestSealedSegmentOrTheOpenOne)
{
    Make(1, 0);

    Run();
    Pass(kGraceNs);
    Run();

    EXPECT_EQ(slot_->first_segment_number, sealed_);
    EXPECT_EQ(*Files().begin(), sealed_);
    EXPECT_EQ(node_->segments_expired, sealed_ - 1);
}

TEST_F(Retention, TakesWhatIsOlderThanTheLimitAndNotBefore)
{
    Make(0, 100 * kSecond);
    Run();
    const int64_t newest_of_first = rig_.Walk().segments.at(1).commits.back().header.wall_ms;
    const int64_t due_ms = newest_of_first + 100'000;

    Pass(static_cast<uint64_t>(due_ms - rig_.now.wall_ms) * NS_PER_MS);
    EXPECT_EQ(Run(), 0U) << "exactly as old as the limit";
    Pass(NS_PER_MS);
    EXPECT_EQ(Run(), 1U);

    EXPECT_EQ(slot_->first_segment_number, 2U);
}

TEST_F(Retention, AClockThatStepsForwardDeletesNothingThenOrLater)
{
    Make(0, 3600 * kSecond);
    Run();

    rig_.now.wall_ms += int64_t{10} * 365 * 86400 * 1000;
    EXPECT_EQ(Run(), 0U);
    EXPECT_EQ(retention_clock_step_ms(retention_), int64_t{10} * 365 * 86400 * 1000);
    Pass(60 * kSecond);
    EXPECT_EQ(Run(), 0U);
    EXPECT_EQ(retention_clock_step_ms(retention_), 0);
    Pass(3600 * kSecond);

    EXPECT_GT(Run(), 0U) << "real time still does";
}

TEST_F(Retention, ASegmentWhoseFooterRotsStillGoes)
{
    char name[LOG_NAME_BYTES];
    uint64_t size_bytes;
    log_segment_name(LogRig::kPartition, 1, name);
    uint8_t *const bytes = sim_disk_bytes(rig_.disk, name, &size_bytes);
    bytes[size_bytes - LOG_BLOCK_BYTES] ^= 1;
    Make((Files().size() - 1) * 256 * 1024, 0);

    EXPECT_EQ(Run(), 1U);

    EXPECT_EQ(slot_->first_segment_number, 2U);
    EXPECT_EQ(node_->entries_expired, 0U) << "nobody can count them";
}

TEST_F(Retention, FilesBelowTheFirstNumberAreRemovedThoughAnotherProcessRetiredThem)
{
    rig_.root->partitions[LogRig::kPartition].first_segment_number = 3;
    Make(0, 0);

    Run();
    Pass(kGraceNs);

    EXPECT_EQ(Run(), 2U);
    EXPECT_EQ(*Files().begin(), 3U);
}

} // namespace
