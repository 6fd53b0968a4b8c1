#include "storage/retention.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <vector>

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
        options_.files = sim_disk_files(rig_.disk);
        options_.root = rig_.root.get();
        options_.node = node_.get();
        options_.retain_bytes = retain_bytes;
        options_.retain_age_ns = retain_age_ns;
        options_.grace_ns = kGraceNs;
        stats_[LogRig::kPartition] = rig_.stats.get();
        retention_destroy(retention_);
        ASSERT_EQ(retention_create(&options_, &retention_), STATUS_OK);
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
    struct retention_options options_ = {};
    const struct stats_page *stats_[ROOT_PARTITIONS_MAX] = {};
    struct retention *retention_ = nullptr;
};

/* Topics 0 ("events": 2 records and 8,000 bytes a commit) and 1 ("payments": 1 and 4,000) with
 * limits of their own. */
class TopicRetention : public Retention {
  protected:
    TopicRetention()
    {
        topic_starts_init(starts_.get(), LogRig::kPartition, rig_.resume->log_id);
        pages_[LogRig::kPartition] = starts_.get();
        options_.starts = pages_;
        options_.runtime = rig_.Runtime();
    }
    void Limit(const char *topic, uint64_t bytes, uint64_t age_ns)
    {
        const struct topic_limits limits = {topic, bytes, age_ns};
        options_.topics = &limits;
        options_.topic_count = 1;
        Make(0, 0);
        options_.topics = nullptr;
    }
    uint64_t Start(int32_t topic) const { return starts_->starts[topic]; }
    /* As many runs as a segment's wall times may take. */
    void Runs()
    {
        for (int i = 0; i < 3; i++) { Run(); }
    }
    /* Wall time and records of the commits with a batch of the topic, oldest first. */
    struct Batch {
        uint64_t base_offset;
        int64_t wall_ms;
    };
    std::vector<Batch> Batches(int32_t topic)
    {
        std::vector<Batch> out;
        const LogWalk walk = rig_.Walk();
        for (const auto &commit : walk.chain) {
            for (const auto &entry : commit.records) {
                if (entry.topic == topic) {
                    out.push_back({entry.base_offset, commit.header.wall_ms});
                }
            }
        }
        return out;
    }

    std::unique_ptr<struct topic_starts> starts_ = std::make_unique<struct topic_starts>();
    struct topic_starts *pages_[ROOT_PARTITIONS_MAX] = {};
};

/* Commits an hour apart from what came before them, so that an age tells them apart. */
TEST_F(TopicRetention, ByAgeTheLogStartMovesThroughSegmentsThatStay)
{
    const uint64_t old_end = core_log_next_offset(rig_.log, 0);
    Pass(3600 * kSecond);
    for (int i = 0; i < 30; i++) { rig_.MustWrite(2, 8000); }
    rig_.Settle();
    const size_t files = Files().size();
    Limit("events", 0, 1800 * kSecond);

    Runs();

    EXPECT_EQ(Start(0), old_end);
    EXPECT_EQ(Start(1), 0U) << "the other topic has no limit";
    EXPECT_EQ(Files().size(), files);
    EXPECT_EQ(node_->entries_expired, old_end);
    EXPECT_EQ(node_->entries_expired_in_place, old_end);
}

TEST_F(TopicRetention, ByAgeNothingYoungerThanTheAgeGoes)
{
    const auto batches = Batches(0);
    const int64_t first_ms = batches.front().wall_ms;
    Limit("events", 0, 100 * kSecond);

    Pass(static_cast<uint64_t>(first_ms + 100'000 - rig_.now.wall_ms) * NS_PER_MS);
    Runs();
    EXPECT_EQ(Start(0), 0U) << "exactly as old as the limit";

    Pass(2 * kSecond);
    Runs();
    for (const auto &batch : batches) {
        if (rig_.now.wall_ms - batch.wall_ms <= 100'000) { EXPECT_GE(batch.base_offset, Start(0)); }
    }
    EXPECT_GT(Start(0), 0U);
}

TEST_F(TopicRetention, ByAgeItReachesIntoTheOpenSegment)
{
    const uint64_t end = core_log_next_offset(rig_.log, 0);
    ASSERT_NE(slot_->open_segment_number, 0U);
    Limit("events", 0, 10 * kSecond);
    Run();

    Pass(12 * kSecond);
    Runs();

    EXPECT_EQ(Start(0), end);
    EXPECT_EQ(node_->entries_expired, end);
}

TEST_F(TopicRetention, OfALogThatWentIdleTheSegmentThatStaysIsEmptiedInPlace)
{
    rig_.Finish();
    const uint64_t end = core_log_next_offset(rig_.log, 0);
    const uint64_t newest = rig_.Counter(STATS_segments_sealed);
    Make(0, 100 * kSecond);
    const int64_t last_ms = rig_.Walk().chain.back().header.wall_ms;

    Pass(static_cast<uint64_t>(last_ms + 100'000 - rig_.now.wall_ms) * NS_PER_MS);
    Run();
    EXPECT_EQ(Start(0), 0U) << "exactly as old as the limit";
    Pass(NS_PER_MS);
    Run();
    Run();

    EXPECT_EQ(slot_->first_segment_number, newest);
    EXPECT_EQ(Files().count(newest), 1U);
    EXPECT_EQ(Start(0), end);
    EXPECT_EQ(Start(1), end / 2);
    EXPECT_EQ(node_->entries_expired, end + end / 2) << "each once";
}

TEST_F(TopicRetention, ByBytesTheNewestBatchesStay)
{
    const auto batches = Batches(0);
    Limit("events", 20 * 8000, 0);

    Runs();

    EXPECT_EQ(Start(0), batches[batches.size() - 20].base_offset);
    EXPECT_EQ(node_->entries_expired, Start(0));
}

TEST_F(TopicRetention, ByBytesABatchThatDoesNotFitWholeGoes)
{
    const auto batches = Batches(0);
    Limit("events", 70 * 8000 + 7999, 0);

    Runs();

    EXPECT_EQ(Start(0), batches[batches.size() - 70].base_offset);
}

TEST_F(TopicRetention, ByBytesTheNewestBatchOfAllStays)
{
    const auto batches = Batches(0);
    Limit("events", 1, 0);

    Runs();

    EXPECT_EQ(Start(0), batches.back().base_offset);
}

TEST_F(TopicRetention, WhatExpiredInPlaceIsNotCountedAgainWithItsSegment)
{
    Limit("events", 20 * 8000, 0);
    Runs();
    const uint64_t in_place = node_->entries_expired;
    uint64_t records = 0;
    for (uint64_t segment = 1; segment < sealed_; segment++) { records += RecordsIn(segment) / 3; }
    options_.retain_bytes = 1;

    const struct topic_limits limits = {"events", 20 * 8000, 0};
    options_.topics = &limits;
    Make(1, 0);
    Run();

    ASSERT_EQ(slot_->first_segment_number, sealed_);
    EXPECT_EQ(node_->entries_expired, in_place + records) << "a third of them are payments'";
}

TEST_F(TopicRetention, AfterARebootTheSameStartIsFoundAgain)
{
    Limit("events", 0, 1800 * kSecond);
    Pass(3600 * kSecond);
    rig_.MustWrite(2, 8000);
    rig_.Settle();
    Runs();
    const uint64_t before = Start(0); /* inside the open segment */
    ASSERT_EQ(before, core_log_next_offset(rig_.log, 0) - 2);
    rig_.Finish();

    topic_starts_init(starts_.get(), LogRig::kPartition, rig_.resume->log_id);
    Limit("events", 0, 1800 * kSecond);
    Runs();

    EXPECT_EQ(Start(0), before);
}

TEST_F(TopicRetention, ALongerLimitNeverBringsRecordsBack)
{
    Limit("events", 8000, 0);
    Runs();
    const uint64_t before = Start(0);

    Limit("events", 40 * 8000, 0);
    Runs();

    EXPECT_EQ(Start(0), before);
}

TEST_F(TopicRetention, AFooterThatRotsHidesItsSegmentFromTheLimitsAlone)
{
    const auto batches = Batches(0);
    char name[LOG_NAME_BYTES];
    uint64_t size_bytes;
    log_segment_name(LogRig::kPartition, 2, name);
    sim_disk_bytes(rig_.disk, name, &size_bytes)[size_bytes - LOG_BLOCK_BYTES] ^= 1;
    sim_disk_bytes(rig_.disk, name, &size_bytes);
    Limit("events", 20 * 8000, 0);

    Runs();

    EXPECT_EQ(Start(0), batches[batches.size() - 20].base_offset);
}

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
    Pass(100 * kSecond + NS_PER_S);
    Run();
    EXPECT_EQ(Files().count(1), 1U);

    Pass(kGraceNs - NS_PER_MS);
    Run();
    EXPECT_EQ(Files().count(1), 1U);
    Pass(NS_PER_MS);
    Run();

    EXPECT_EQ(Files().count(1), 0U);
}

TEST_F(Retention, RemovesTheFileAfterASecondWhileBytesPress)
{
    Make((Files().size() - 1) * 256 * 1024, 0);
    Run();
    EXPECT_EQ(node_->log_bytes, Files().size() * 256 * 1024);

    Pass(kSecond - NS_PER_MS);
    EXPECT_EQ(Run(), 0U);
    EXPECT_EQ(Files().count(1), 1U);
    Pass(NS_PER_MS);
    EXPECT_EQ(Run(), 1U);

    EXPECT_EQ(Files().count(1), 0U);
    EXPECT_EQ(Files().count(2), 1U);
}

TEST_F(Retention, KeepsRoomWithinTheBytesForWhatIsWrittenMeanwhile)
{
    const uint64_t limit = Files().size() * 256 * 1024;
    options_.stats = stats_;
    Make(limit, 0);
    EXPECT_EQ(Run(), 0U);
    Pass(kSecond);
    rig_.stats->counters[STATS_commits_durable_bytes] += 80 * 1024; /* a second's */

    EXPECT_EQ(Run(), 1U) << "one segment, that holds three seconds";

    EXPECT_EQ(slot_->first_segment_number, 2U);
}

TEST_F(Retention, KeepsNoRoomForALogThatWasEnded)
{
    const uint64_t limit = Files().size() * 256 * 1024;
    options_.stats = stats_;
    Make(limit, 0);
    EXPECT_EQ(Run(), 0U);
    Pass(kSecond);
    rig_.stats->counters[STATS_commits_durable_bytes] += 100 * 1024;
    rig_.root->partitions[LogRig::kPartition].open_segment_number = 0;

    EXPECT_EQ(Run(), 0U);

    EXPECT_EQ(slot_->first_segment_number, 0U) << "none was taken";
}

TEST_F(Retention, UsesTheBytesWholeOnceNothingIsWrittenAnyMore)
{
    const struct files files = sim_disk_files(rig_.disk);
    const uint64_t count = Files().size();
    options_.stats = stats_;
    Make((count + 1) * 256 * 1024, 0);
    EXPECT_EQ(Run(), 0U);
    Pass(kSecond);
    rig_.stats->counters[STATS_commits_durable_bytes] += 80 * 1024;
    EXPECT_EQ(Run(), 0U) << "there is room for what comes";
    for (int i = 0; i < 2; i++) {
        Pass(kSecond);
        EXPECT_EQ(Run(), 0U);
    }

    char name[LOG_NAME_BYTES];
    int file;
    log_segment_name(LogRig::kPartition, 100, name);
    ASSERT_EQ(files_create(files, name, 256 * 1024, &file), STATUS_OK);
    files_close(files, file);
    Pass(kSecond);

    EXPECT_EQ(Run(), 0U) << "nothing comes, so no room is kept for it";
}

TEST_F(Retention, TakesTheOldestWhereAPathRunsLow)
{
    sim_disk_set_capacity(rig_.disk, Files().size() * 256 * 1024 + 100 * 1024);
    options_.retain_free_bytes = 300 * 1024;
    Make(0, 0);

    EXPECT_EQ(Run(), 1U);

    EXPECT_EQ(node_->paths[0].low, 1U);
    EXPECT_EQ(node_->paths[0].free_bytes, 100U * 1024);
    EXPECT_EQ(node_->segments_expired_early, 1U);
    EXPECT_EQ(Run(), 0U) << "what comes back is counted already";
    Pass(kSecond);
    EXPECT_EQ(Run(), 1U) << "its file goes";
    Pass(kSecond);
    Run();
    EXPECT_EQ(node_->paths[0].low, 0U);
}

TEST_F(Retention, SaysHowLongUntilThePathIsFull)
{
    sim_disk_set_capacity(rig_.disk, Files().size() * 256 * 1024 + 11 * 1024 * 1024);
    options_.stats = stats_;
    options_.reserve_bytes = 1024 * 1024;
    Make(0, 0);
    Run();
    EXPECT_EQ(node_->paths[0].full_seconds, NODE_SECONDS_NEVER) << "nothing is written";
    for (int i = 0; i < 10; i++) {
        Pass(kSecond);
        rig_.stats->counters[STATS_commits_durable_bytes] += 1024 * 1024;
        Run();
    }

    EXPECT_EQ(node_->paths[0].full_seconds, 10U);
    EXPECT_EQ(node_->paths[0].trim_seconds, NODE_SECONDS_NEVER);
    EXPECT_EQ(node_->paths[0].write_bytes_per_s, 1024U * 1024);
}

TEST_F(Retention, ALimitThatIsReachedFirstKeepsThePathFromBeingFull)
{
    sim_disk_set_capacity(rig_.disk, Files().size() * 256 * 1024 + 11 * 1024 * 1024);
    options_.stats = stats_;
    Make(Files().size() * 256 * 1024 + 6 * 1024 * 1024, 0);
    Run();
    Pass(kSecond);
    rig_.stats->counters[STATS_commits_durable_bytes] += 1024 * 1024;
    Run();

    EXPECT_EQ(node_->paths[0].full_seconds, NODE_SECONDS_NEVER);
    EXPECT_EQ(node_->paths[0].trim_seconds, 2U) << "6 MiB less what comes in three seconds";
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
