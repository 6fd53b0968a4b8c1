#include "dataplane/runtime.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

namespace {

class RuntimeTest : public testing::Test {
  protected:
    void SetUp() override
    {
        char path[] = "/dev/shm/penstock-runtime-XXXXXX";
        ASSERT_NE(mkdtemp(path), nullptr);
        path_ = path;
    }
    void TearDown() override { ASSERT_EQ(system(("rm -rf " + path_).c_str()), 0); }

    std::string path_;
};

TEST_F(RuntimeTest, PagesOutliveTheRunThatMadeThem)
{
    struct runtime first;
    ASSERT_EQ(runtime_open(&first, path_.c_str(), "edge"), STATUS_OK);
    EXPECT_FALSE(first.root_survived);
    first.root->incarnation = 41;
    first.root->state = ROOT_STATE_RUNNING;
    runtime_close(&first);

    struct runtime second;
    ASSERT_EQ(runtime_open(&second, path_.c_str(), "edge"), STATUS_OK);

    EXPECT_TRUE(second.root_survived);
    EXPECT_FALSE(second.ended_in_order);
    EXPECT_EQ(second.root->incarnation, 41U);
    runtime_close(&second);
}

TEST_F(RuntimeTest, ASecondIngestIsRefused)
{
    struct runtime first;
    struct runtime second;
    ASSERT_EQ(runtime_open(&first, path_.c_str(), "edge"), STATUS_OK);

    EXPECT_EQ(runtime_open(&second, path_.c_str(), "edge"), STATUS_BUSY);
    runtime_close(&first);
    EXPECT_EQ(runtime_open(&second, path_.c_str(), "edge"), STATUS_OK);
    runtime_close(&second);
}

TEST_F(RuntimeTest, MakesTheDirectoryAndItsParents)
{
    struct runtime runtime;
    ASSERT_EQ(runtime_open(&runtime, (path_ + "/a/b").c_str(), "edge"), STATUS_OK);
    runtime_close(&runtime);
}

TEST_F(RuntimeTest, RefusesADirectoryThatIsNoTmpfs)
{
    struct runtime runtime;
    EXPECT_EQ(runtime_open(&runtime, "/var/tmp/penstock-runtime-test", "edge"), STATUS_UNSUPPORTED);
    rmdir("/var/tmp/penstock-runtime-test");
}

TEST_F(RuntimeTest, APageOfAnotherVersionIsMadeAnew)
{
    struct runtime first;
    ASSERT_EQ(runtime_open(&first, path_.c_str(), "edge"), STATUS_OK);
    first.root->version = SHARED_VERSION + 1;
    runtime_close(&first);

    struct runtime second;
    ASSERT_EQ(runtime_open(&second, path_.c_str(), "edge"), STATUS_OK);
    EXPECT_FALSE(second.root_survived);
    EXPECT_EQ(second.root->version, static_cast<uint32_t>(SHARED_VERSION));
    runtime_close(&second);
}

} // namespace
