#include "storage/open_segments.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/sim/sim_disk.h"

namespace {

constexpr uint64_t kBytes = 256 * 1024;
constexpr struct log_id kNonce = {{1}};

struct DiskDeleter {
    void operator()(struct sim_disk *disk) const { sim_disk_destroy(disk); }
};
struct OpenDeleter {
    void operator()(struct open_segments *open) const { open_segments_destroy(open); }
};

class OpenSegments : public ::testing::Test {
  protected:
    void SetUp() override
    {
        struct sim_disk_options options = {};
        options.seed = 1;
        disk_.reset(sim_disk_create(&options));
        for (uint64_t number = 1; number <= 3; number++) {
            char name[LOG_NAME_BYTES];
            int file;
            log_segment_name(0, number, name);
            ASSERT_EQ(files_create(Files(), name, kBytes, &file), STATUS_OK);
            files_close(Files(), file);
        }
        struct open_segments *open = nullptr;
        ASSERT_EQ(open_segments_create(Files(), &open), STATUS_OK);
        open_.reset(open);
    }

    struct files Files() { return sim_disk_files(disk_.get()); }

    void Read(uint64_t number)
    {
        struct open_segment segment;
        ASSERT_EQ(open_segments_take(open_.get(), 0, number, &kNonce, &segment), STATUS_OK);
        open_segments_give_back(open_.get(), &segment);
    }

    size_t Held() { return sim_disk_open_handles(disk_.get()); }

    std::unique_ptr<struct sim_disk, DiskDeleter> disk_;
    std::unique_ptr<struct open_segments, OpenDeleter> open_;
};

TEST_F(OpenSegments, KeepsAFileForTheNextRead)
{
    Read(1);
    EXPECT_EQ(Held(), 1U);
    Read(1);
    EXPECT_EQ(Held(), 1U);
}

TEST_F(OpenSegments, ClosesWhatIsRetiredOnceNobodyReadsIt)
{
    struct open_segment segment;
    Read(1);
    ASSERT_EQ(open_segments_take(open_.get(), 0, 2, &kNonce, &segment), STATUS_OK);
    Read(3);

    open_segments_retire(open_.get(), 0, 3);

    EXPECT_EQ(Held(), 2U) << "the second, which is being read, and the third";
    open_segments_give_back(open_.get(), &segment);
    EXPECT_EQ(Held(), 1U);
}

TEST_F(OpenSegments, AReadThatComesAfterItsSegmentWasRetiredLeavesNoFileOpen)
{
    open_segments_retire(open_.get(), 0, 3);

    Read(2);

    EXPECT_EQ(Held(), 0U) << "its disk space would never come back";
    Read(3);
    EXPECT_EQ(Held(), 1U);
}

TEST_F(OpenSegments, AnotherLogOfTheSamePartitionBeginsAnew)
{
    open_segments_retire(open_.get(), 0, 3);
    open_segments_retire(open_.get(), 0, 0);

    Read(1);

    EXPECT_EQ(Held(), 1U);
}

} // namespace
