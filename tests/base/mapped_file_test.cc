#include "base/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace {

class MappedFile : public testing::Test {
  protected:
    void SetUp() override { ASSERT_NE(mkdtemp(folder_.data()), nullptr); }
    void TearDown() override
    {
        unlink(Path().c_str());
        rmdir(folder_.c_str());
    }
    std::string Path() const { return folder_ + "/page"; }

    std::string folder_ = "/tmp/mapped_file_test.XXXXXX";
    struct mapped_file file_ = {};
};

TEST_F(MappedFile, OpensWhatItCreated)
{
    ASSERT_EQ(mapped_file_create(Path().c_str(), 4096, &file_), STATUS_OK);
    file_.at[100] = 7;
    mapped_file_close(&file_);

    ASSERT_EQ(mapped_file_open(Path().c_str(), false, 4096, &file_), STATUS_OK);
    EXPECT_EQ(file_.at[100], 7);
    mapped_file_close(&file_);
    EXPECT_EQ(mapped_file_open(Path().c_str(), false, 4097, &file_), STATUS_TRUNCATED);
}

TEST_F(MappedFile, DoesNotWaitForTheOtherEndOfAFifo)
{
    ASSERT_EQ(mkfifo(Path().c_str(), 0600), 0);
    alarm(5); // a failure would hang

    EXPECT_EQ(mapped_file_open(Path().c_str(), false, 1, &file_), STATUS_INVALID);
    EXPECT_EQ(mapped_file_open(Path().c_str(), true, 1, &file_), STATUS_INVALID);
    alarm(0);
}

TEST_F(MappedFile, RefusesADirectory)
{
    EXPECT_EQ(mapped_file_open(folder_.c_str(), false, 1, &file_), STATUS_INVALID);
}

} // namespace
