#include "dataplane/iowq_watch.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/clock.h"
#include "tests/storage/temporary_directory.h"

namespace {

/* Threads as /proc shows them. Workers have cores 2 and 5. */
class IowqWatch : public testing::Test {
  protected:
    IowqWatch() { iowq_watch_init(&watch_, cores_, 2); }

    void Thread(int id, const std::string &name, const std::string &allowed, int processor)
    {
        const std::string path = directory_ / std::to_string(id);
        std::filesystem::create_directories(path);
        std::ofstream(path + "/comm") << name << "\n";
        std::ofstream(path + "/status")
            << "Name:\t" << name << "\nState:\tS\nCpus_allowed:\tff\nCpus_allowed_list:\t"
            << allowed << "\nMems_allowed:\t1\n";
        std::ofstream stat(path + "/stat");
        stat << id << " (" << name << ") S";
        for (int field = 4; field < 39; field++) { stat << " 2"; } /* 2: of a wrong count, seen */
        stat << " " << processor << " 0 0\n";
    }
    struct iowq_count Look() { return iowq_watch_look(&watch_, directory_.path().c_str()); }

    const TemporaryDirectory directory_;
    const uint32_t cores_[2] = {2, 5};
    struct iowq_watch watch_ = {};
};

TEST_F(IowqWatch, CountsTheKernelsDiskThreadsAndNoOthers)
{
    Thread(10, "iou-wrk-9", "0-1", 0);
    Thread(11, "iou-wrk-9", "0-1", 1);
    Thread(12, "penstock-ingest", "2", 2);
    Thread(13, "iou-sqp-9", "0", 0);

    EXPECT_EQ(Look().threads, 2U);
    EXPECT_EQ(Look().astray, 0U);
}

TEST_F(IowqWatch, OneThatMayRunOnAWorkersCoreIsAstray)
{
    Thread(10, "iou-wrk-9", "0-1,3,4-6", 0);
    Thread(11, "iou-wrk-9", "0,2", 0);
    Thread(12, "iou-wrk-9", "0-1,3-4,6-25", 0);

    EXPECT_EQ(Look().astray, 2U);
}

TEST_F(IowqWatch, OneThatRanThereLastIsAstrayWhateverItMayNow)
{
    Thread(10, "iou-wrk-9", "0-1", 5);
    Thread(11, "iou-wrk-9", "0-1", 1);

    EXPECT_EQ(Look().astray, 1U);
}

TEST_F(IowqWatch, ANameWithBracketsAndBlanksMovesNoField)
{
    Thread(10, "iou-wrk-) 5 (9", "0-1", 1);

    EXPECT_EQ(Look().threads, 1U);
    EXPECT_EQ(Look().astray, 0U);
}

TEST_F(IowqWatch, AThreadThatIsGoneMeanwhileIsNone)
{
    std::filesystem::create_directories(directory_ / "14");

    EXPECT_EQ(Look().threads, 0U);
}

TEST_F(IowqWatch, LooksOnceASecond)
{
    struct node_page page = {};
    page.iowq_threads = 77;
    iowq_watch_turn(&watch_, &page, NS_PER_S / 2);
    EXPECT_EQ(page.iowq_threads, 77U);

    iowq_watch_turn(&watch_, &page, NS_PER_S);

    EXPECT_EQ(page.iowq_threads, 0U) << "this process has none";
    EXPECT_EQ(page.iowq_sightings, 0U);
}

} // namespace
