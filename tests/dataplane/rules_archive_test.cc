#include "dataplane/rules_archive.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

namespace {

namespace fs = std::filesystem;

class RulesArchive : public testing::Test {
  protected:
    void SetUp() override
    {
        char path[] = "/tmp/penstock-archive-XXXXXX";
        ASSERT_NE(mkdtemp(path), nullptr);
        root_ = path;
        cache_ = root_ + "/var/cache/penstock";
    }
    void TearDown() override { fs::remove_all(root_); }

    enum status Keep(uint64_t epoch, const std::string &text)
    {
        return rules_archive_keep(cache_.c_str(), epoch, bytes_of(text.data(), text.size()));
    }
    static std::string Name(uint64_t epoch)
    {
        char name[32];
        snprintf(name, sizeof name, "%016llx.yaml", static_cast<unsigned long long>(epoch));
        return name;
    }
    std::string Text(uint64_t epoch) const
    {
        std::ifstream file(cache_ + "/rules/" + Name(epoch));
        return {std::istreambuf_iterator<char>(file), {}};
    }
    std::set<std::string> Names() const
    {
        std::set<std::string> names;
        for (const auto &entry : fs::directory_iterator(cache_ + "/rules")) {
            names.insert(entry.path().filename());
        }
        return names;
    }

    std::string root_;
    std::string cache_;
};

TEST_F(RulesArchive, KeepsTheBytesUnderTheEpochInADirectoryThatItMakes)
{
    EXPECT_EQ(Keep(0x0123456789abcdef, "rules: []\n"), STATUS_OK);

    EXPECT_EQ(Names(), std::set<std::string>{"0123456789abcdef.yaml"});
    EXPECT_EQ(Text(0x0123456789abcdef), "rules: []\n");
    struct stat facts;
    ASSERT_EQ(stat((cache_ + "/rules").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777 & ~0755U, 0U);
}

TEST_F(RulesArchive, KeepsTheNewestAndLeavesAloneWhatIsNotItsOwn)
{
    EXPECT_EQ(Keep(1, "one"), STATUS_OK);
    std::ofstream(cache_ + "/rules/notes.txt") << "mine";
    for (uint64_t epoch = 2; epoch <= RULES_ARCHIVE_MAX; epoch++) {
        EXPECT_EQ(Keep(epoch, "text"), STATUS_OK);
    }
    EXPECT_EQ(Text(1), "one");
    EXPECT_EQ(Keep(1, "one"), STATUS_OK); // in force again: the newest
    EXPECT_EQ(Keep(1000, "more"), STATUS_OK);

    EXPECT_EQ(Names().size(), size_t{RULES_ARCHIVE_MAX} + 1);
    EXPECT_EQ(Names().count(Name(2)), 0U) << "the oldest goes";
    EXPECT_EQ(Text(1), "one");
    EXPECT_EQ(Text(1000), "more");
    EXPECT_EQ(Names().count("notes.txt"), 1U);
}

TEST_F(RulesArchive, SaysWhenItCannot)
{
    std::ofstream(root_ + "/var") << "a file in the way";

    EXPECT_NE(Keep(1, "text"), STATUS_OK);
}

} // namespace
