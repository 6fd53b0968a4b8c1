#include "client/identity.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

namespace {

class Identity : public testing::Test {
  protected:
    void SetUp() override
    {
        char name[] = "/tmp/identity_test.XXXXXX";
        folder_ = mkdtemp(name);
        path_ = folder_ + "/id";
    }
    void TearDown() override
    {
        unlink(path_.c_str());
        EXPECT_EQ(rmdir(folder_.c_str()), 0) << "something was left beside the file";
    }

    struct identity Load(enum status expected = STATUS_OK)
    {
        struct identity identity;
        EXPECT_EQ(identity_load(path_.c_str(), &identity), expected);
        if (expected == STATUS_OK) { identity_deinit(&identity); }
        return identity;
    }

    std::string Text()
    {
        std::stringstream text;
        text << std::ifstream(path_).rdbuf();
        return text.str();
    }

    std::string folder_;
    std::string path_;
};

TEST_F(Identity, IsMadeOnceAndPrivate)
{
    const struct identity first = Load();
    const struct identity second = Load();

    EXPECT_TRUE(first.is_new);
    EXPECT_FALSE(second.is_new);
    EXPECT_EQ(memcmp(&first.id, &second.id, sizeof first.id), 0);
    struct stat file;
    ASSERT_EQ(stat(path_.c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777, 0600u);
}

TEST_F(Identity, HasANewEpochInTheFileBeforeEachUse)
{
    const struct identity first = Load();
    const struct identity second = Load();

    EXPECT_GT(second.epoch, first.epoch);
    EXPECT_NE(Text().find("epoch " + std::to_string(second.epoch) + "\n"), std::string::npos);
}

TEST_F(Identity, NeverFallsBehindAClockThatStepped)
{
    struct identity identity;
    ASSERT_EQ(identity_load(path_.c_str(), &identity), STATUS_OK);
    identity.epoch = UINT64_MAX - 10; // a process of the far future wrote it
    ASSERT_EQ(identity_begin(&identity, 0), STATUS_OK);
    identity_deinit(&identity);

    EXPECT_EQ(Load().epoch, UINT64_MAX - 9);
}

TEST_F(Identity, RemembersTheLanesThatBegan)
{
    struct identity identity;
    ASSERT_EQ(identity_load(path_.c_str(), &identity), STATUS_OK);
    ASSERT_EQ(identity_begin(&identity, 3), STATUS_OK);
    ASSERT_EQ(identity_begin(&identity, 255), STATUS_OK);
    identity_deinit(&identity);

    const struct identity again = Load();

    EXPECT_TRUE(identity_has_begun(&again, 3));
    EXPECT_TRUE(identity_has_begun(&again, 255));
    EXPECT_FALSE(identity_has_begun(&again, 4));
}

TEST_F(Identity, RefusesAFileThatIsNotWhole)
{
    Load();
    const std::string text = Text();

    std::ofstream(path_) << text.substr(0, text.size() - 1);
    Load(STATUS_CORRUPT);
    std::string flipped = text;
    flipped[25] = flipped[25] == 'a' ? 'b' : 'a';
    std::ofstream(path_) << flipped;
    Load(STATUS_CORRUPT);
    std::ofstream(path_) << text + "more";
    Load(STATUS_CORRUPT);
    std::ofstream(path_) << text;
    Load(STATUS_OK);
}

TEST_F(Identity, SaysWhenTheFolderIsNotThere)
{
    struct identity identity;

    EXPECT_EQ(identity_load((folder_ + "/no/id").c_str(), &identity), STATUS_NOT_FOUND);
}

TEST_F(Identity, ParsesHexOfEitherCase)
{
    struct identity identity;
    char text[IDENTITY_HEX_BYTES];

    ASSERT_EQ(identity_parse("00112233445566778899AABBccddeeff", &identity), STATUS_OK);
    identity_format(&identity.id, text);
    EXPECT_STREQ(text, "00112233445566778899aabbccddeeff");
    EXPECT_FALSE(identity.is_new);
    EXPECT_EQ(identity_parse("00112233445566778899aabbccddeef", &identity), STATUS_INVALID);
    EXPECT_EQ(identity_parse("00112233445566778899aabbccddeefg", &identity), STATUS_INVALID);
    EXPECT_EQ(identity_parse("00000000000000000000000000000000", &identity), STATUS_INVALID);
}

} // namespace
