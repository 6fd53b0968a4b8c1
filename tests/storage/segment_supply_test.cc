#include "storage/segment_supply.h"

#include <gtest/gtest.h>
#include <string.h>

#include <filesystem>
#include <string>

#include "base/clock.h"
#include "tests/sim/sim_disk.h"
#include "tests/storage/temporary_directory.h"
#include "wire/log_format.h"

namespace {

constexpr uint64_t kSegmentBytes = 64 * 1024;
constexpr uint64_t kGraceNs = 5 * uint64_t{NS_PER_S};

class SegmentSupply : public testing::Test {
  protected:
    SegmentSupply()
    {
        const struct sim_disk_options disk_options = {1, 0, 0, 0};
        disk_ = sim_disk_create(&disk_options);
        Make(/*reserve_bytes=*/0);
    }
    void Make(uint64_t reserve_bytes)
    {
        segment_supply_destroy(supply_);
        struct segment_supply_options options = {};
        options.files = sim_disk_files(disk_);
        options.runtime = runtime_.path().c_str();
        options.segment_bytes = kSegmentBytes;
        options.index_bytes = 4096;
        options.log_count = 2;
        options.grace_ns = kGraceNs;
        options.reserve_bytes = reserve_bytes;
        EXPECT_EQ(segment_supply_create(&options, &supply_), STATUS_OK);
        segment_supply_add_log(supply_, 0, /*partition=*/3, /*next_number=*/7);
        segment_supply_add_log(supply_, 1, /*partition=*/4, /*next_number=*/1);
    }
    ~SegmentSupply() override
    {
        segment_supply_destroy(supply_);
        EXPECT_EQ(sim_disk_open_handles(disk_), taken_);
        sim_disk_destroy(disk_);
    }

    bool HasSegment(uint32_t partition, uint64_t number)
    {
        char name[LOG_NAME_BYTES];
        uint64_t size_bytes;
        log_segment_name(partition, number, name);
        return sim_disk_bytes(disk_, name, &size_bytes) != nullptr;
    }
    bool HasIndex(uint32_t partition, uint64_t number)
    {
        char name[LIVE_INDEX_NAME_BYTES];
        live_index_file_name(partition, number, name);
        return std::filesystem::exists(runtime_ / name);
    }
    struct prepared_segment Take(size_t index)
    {
        struct prepared_segment segment = {};
        EXPECT_EQ(segment_supply_take(supply_, index, &segment), STATUS_OK);
        taken_++;
        return segment;
    }
    void GiveBack(size_t index, const struct prepared_segment &segment)
    {
        EXPECT_EQ(segment_supply_give_back(supply_, index, &segment), STATUS_OK);
        taken_--;
    }

    const RuntimeDirectory runtime_;
    struct sim_disk *disk_ = nullptr;
    struct segment_supply *supply_ = nullptr;
    size_t taken_ = 0;
};

TEST_F(SegmentSupply, LeavesTheReserveAlone)
{
    Make(/*reserve_bytes=*/100'000);
    sim_disk_set_capacity(disk_, 2 * kSegmentBytes + 100'000 - 1);

    EXPECT_TRUE(segment_supply_work(supply_, 0));
    EXPECT_TRUE(HasSegment(3, 7));
    EXPECT_FALSE(HasSegment(4, 1)) << "a byte short";
    EXPECT_EQ(segment_supply_trouble(supply_, 1), STATUS_NO_SPACE);
    sim_disk_set_capacity(disk_, 2 * kSegmentBytes + 100'000);

    EXPECT_TRUE(segment_supply_work(supply_, NS_PER_S));
    EXPECT_TRUE(HasSegment(4, 1)) << "by itself, a second later";
}

TEST_F(SegmentSupply, IsBusyUntilItHasWorked)
{
    struct prepared_segment segment;
    EXPECT_EQ(segment_supply_take(supply_, 0, &segment), STATUS_BUSY);

    EXPECT_TRUE(segment_supply_work(supply_, 0));

    segment = Take(0);
    EXPECT_EQ(segment.number, 7U);
    EXPECT_EQ(segment.capacity_bytes, kSegmentBytes);
    EXPECT_EQ(live_index_check(segment.index, segment.index_size_bytes), STATUS_OK);
    EXPECT_EQ(segment.index->state, uint32_t{LIVE_INDEX_PREPARED});
    EXPECT_TRUE(HasSegment(3, 7));
    EXPECT_TRUE(HasIndex(3, 7));
    GiveBack(0, segment);
}

TEST_F(SegmentSupply, EverySegmentHasANumberAndANonceOfItsOwn)
{
    segment_supply_work(supply_, 0);
    const struct prepared_segment first = Take(0);
    segment_supply_work(supply_, 0);
    const struct prepared_segment second = Take(0);

    EXPECT_EQ(second.number, first.number + 1);
    EXPECT_FALSE(log_id_equal(first.nonce, second.nonce));

    GiveBack(0, first);
    segment_supply_work(supply_, 0);
    GiveBack(0, second);
}

TEST_F(SegmentSupply, ASealedSegmentKeepsItsLiveIndexForTheGraceTime)
{
    segment_supply_work(supply_, 0);
    struct prepared_segment segment = Take(0);
    segment.index->state = LIVE_INDEX_SEALED;
    GiveBack(0, segment);

    segment_supply_work(supply_, 1000);
    segment_supply_work(supply_, 1000 + kGraceNs - 1);
    EXPECT_TRUE(HasIndex(3, 7));
    segment_supply_work(supply_, 1000 + kGraceNs);

    EXPECT_FALSE(HasIndex(3, 7));
    EXPECT_TRUE(HasSegment(3, 7));
}

TEST_F(SegmentSupply, AFailedSegmentKeepsItsLiveIndex)
{
    segment_supply_work(supply_, 0);
    struct prepared_segment segment = Take(0);
    segment.index->state = LIVE_INDEX_FAILED;
    GiveBack(0, segment);

    segment_supply_work(supply_, 0);
    segment_supply_work(supply_, 100 * kGraceNs);

    EXPECT_TRUE(HasIndex(3, 7));
}

TEST_F(SegmentSupply, ASegmentThatWasSpentForNothingGoes)
{
    segment_supply_work(supply_, 0);
    struct prepared_segment segment = Take(0);
    segment.index->state = LIVE_INDEX_FAILED;
    segment.spent_for_nothing = true;
    GiveBack(0, segment);

    segment_supply_work(supply_, 0);

    EXPECT_FALSE(HasSegment(3, 7));
    EXPECT_FALSE(HasIndex(3, 7));
}

TEST_F(SegmentSupply, GivingBackIsBusyWhileTheSlotHoldsAnEarlierOne)
{
    segment_supply_work(supply_, 0);
    const struct prepared_segment first = Take(0);
    segment_supply_work(supply_, 0);
    const struct prepared_segment second = Take(0);
    GiveBack(0, first);

    EXPECT_EQ(segment_supply_give_back(supply_, 0, &second), STATUS_BUSY);

    segment_supply_work(supply_, 0);
    GiveBack(0, second);
}

TEST_F(SegmentSupply, TriesAgainAfterASecondAndSaysWhy)
{
    sim_disk_refuse_creates(disk_, STATUS_NO_SPACE);
    EXPECT_FALSE(segment_supply_work(supply_, 0));
    EXPECT_EQ(segment_supply_trouble(supply_, 0), STATUS_NO_SPACE);
    sim_disk_refuse_creates(disk_, STATUS_OK);

    EXPECT_FALSE(segment_supply_work(supply_, NS_PER_S - 1));
    EXPECT_TRUE(segment_supply_work(supply_, NS_PER_S));

    EXPECT_EQ(segment_supply_trouble(supply_, 0), STATUS_OK);
    GiveBack(0, Take(0));
}

TEST_F(SegmentSupply, StepsOverANumberThatIsTaken)
{
    char name[LOG_NAME_BYTES];
    log_segment_name(3, 7, name);
    int file;
    ASSERT_EQ(files_create(sim_disk_files(disk_), name, kSegmentBytes, &file), STATUS_OK);
    files_close(sim_disk_files(disk_), file);

    segment_supply_work(supply_, 0);
    segment_supply_work(supply_, NS_PER_S);

    const struct prepared_segment segment = Take(0);
    EXPECT_EQ(segment.number, 8U);
    GiveBack(0, segment);
}

TEST_F(SegmentSupply, DoesNotWaitASecondForEachNumberThatIsTaken)
{
    for (const uint64_t number : {7, 8, 9}) {
        char name[LOG_NAME_BYTES];
        log_segment_name(3, number, name);
        int file;
        ASSERT_EQ(files_create(sim_disk_files(disk_), name, kSegmentBytes, &file), STATUS_OK);
        files_close(sim_disk_files(disk_), file);
    }

    EXPECT_TRUE(segment_supply_work(supply_, 0));

    const struct prepared_segment segment = Take(0);
    EXPECT_EQ(segment.number, 10U);
    GiveBack(0, segment);
}

TEST_F(SegmentSupply, DestroyRemovesWhatNobodyTook)
{
    segment_supply_work(supply_, 0);
    ASSERT_TRUE(HasSegment(4, 1));

    segment_supply_destroy(supply_);
    supply_ = nullptr;

    EXPECT_FALSE(HasSegment(4, 1));
    EXPECT_FALSE(HasIndex(4, 1));
}

} // namespace
