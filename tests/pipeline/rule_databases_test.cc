#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "pipeline/rule_cache.h"
#include "tests/pipeline/rules_source_builder.h"

namespace {

namespace fs = std::filesystem;

// A directory that goes when the test does.
class Folder {
  public:
    Folder()
    {
        char name[] = "/tmp/penstock_rule_cache_XXXXXX";
        path_ = mkdtemp(name);
    }
    ~Folder() { fs::remove_all(path_); }

    std::string Path() const { return path_ + "/cache"; }

    std::vector<fs::path> Files() const
    {
        std::vector<fs::path> out;
        for (const fs::directory_entry &entry : fs::directory_iterator(Path())) {
            out.push_back(entry.path());
        }
        return out;
    }

  private:
    std::string path_;
};

ino_t InodeOf(const fs::path &path)
{
    struct stat stat = {};
    EXPECT_EQ(::lstat(path.c_str(), &stat), 0);
    return stat.st_ino;
}

std::string ContentOf(const fs::path &path)
{
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void Write(const fs::path &path, const std::string &content)
{
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

SourceBuilder Cached(const std::string &path, const std::string &pattern = "needle[0-9]")
{
    SourceBuilder b;
    b.Drop(b.Match(pattern));
    b.Drop(b.Match("^k", b.Field(RULE_FIELD_KEY)));
    b.source.cache_path = b.Text(path);
    return b;
}

// Compiles, and has them judge.
void ExpectGoodRules(SourceBuilder b)
{
    const auto rules = b.Compile();
    ASSERT_NE(rules, nullptr) << testing::PrintToString(b.errors);
    Judge judge(rules.get());
    EXPECT_EQ(judge("a needle5").rule, 0);
    EXPECT_EQ(judge("a needle").rule, RULES_NONE);
}

TEST(RuleCache, IsWrittenOnceAndThenRead)
{
    const Folder folder;
    ExpectGoodRules(Cached(folder.Path()));
    ASSERT_EQ(folder.Files().size(), 1U);
    const ino_t written = InodeOf(folder.Files()[0]);

    ExpectGoodRules(Cached(folder.Path()));

    EXPECT_EQ(InodeOf(folder.Files()[0]), written); // a new one would have come by rename
    EXPECT_EQ(folder.Files().size(), 1U);
}

TEST(RuleCache, OtherPatternsHaveAnotherFile)
{
    const Folder folder;
    ExpectGoodRules(Cached(folder.Path()));
    ExpectGoodRules(Cached(folder.Path(), "needle[1-9]"));

    EXPECT_EQ(folder.Files().size(), 2U);
}

TEST(RuleCache, AFileWithOneBitTurnedOverIsReplaced)
{
    const Folder folder;
    ExpectGoodRules(Cached(folder.Path()));
    const fs::path path = folder.Files()[0];
    const std::string good = ContentOf(path);

    for (size_t at = 0; at < good.size(); at += at < 128 ? 1 : good.size() / 16) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 0x10);
        Write(path, bad);
        ExpectGoodRules(Cached(folder.Path()));
        ASSERT_EQ(ContentOf(path), good) << "byte " << at;
    }
}

TEST(RuleCache, AFileOfAnotherLengthIsReplaced)
{
    const Folder folder;
    ExpectGoodRules(Cached(folder.Path()));
    const fs::path path = folder.Files()[0];
    const std::string good = ContentOf(path);

    for (const size_t size :
         {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, good.size() - 1}) {
        Write(path, good.substr(0, size));
        ExpectGoodRules(Cached(folder.Path()));
        ASSERT_EQ(ContentOf(path), good) << size;
    }
    Write(path, good + "x");
    ExpectGoodRules(Cached(folder.Path()));
    EXPECT_EQ(ContentOf(path), good);
}

TEST(RuleCache, AnotherSetsFileUnderThisNameIsReplaced)
{
    const Folder folder;
    ExpectGoodRules(Cached(folder.Path()));
    const fs::path path = folder.Files()[0];
    const std::string good = ContentOf(path);
    const Folder elsewhere;
    ExpectGoodRules(Cached(elsewhere.Path(), "needle[1-9]"));
    Write(path, ContentOf(elsewhere.Files()[0]));

    ExpectGoodRules(Cached(folder.Path()));

    EXPECT_EQ(ContentOf(path), good);
}

TEST(RuleCache, WhatIsNoFileIsNotRead)
{
    const Folder folder;
    ExpectGoodRules(Cached(folder.Path()));
    const fs::path path = folder.Files()[0];
    const std::string good = ContentOf(path);
    fs::remove(path);
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0); // whoever reads it would wait

    ExpectGoodRules(Cached(folder.Path()));

    EXPECT_EQ(ContentOf(path), good);
}

TEST(RuleCache, KeepsTheFilesThatWereUsedLast)
{
    const Folder folder;
    fs::create_directory(folder.Path());
    for (int i = 0; i < 40; i++) {
        const fs::path path = folder.Path() + "/rules-old" + std::to_string(i) + ".hsdb";
        Write(path, "old");
        fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(i + 1));
    }
    Write(folder.Path() + "/notes.txt", "not ours");

    ExpectGoodRules(Cached(folder.Path()));

    EXPECT_EQ(folder.Files().size(), size_t{RULE_CACHE_FILES_MAX} + 1);
    EXPECT_TRUE(fs::exists(folder.Path() + "/notes.txt"));
    EXPECT_TRUE(fs::exists(folder.Path() + "/rules-old14.hsdb"));
    EXPECT_FALSE(fs::exists(folder.Path() + "/rules-old15.hsdb"));
}

TEST(RuleCache, ADirectoryThatCannotBeIsAWarning)
{
    SourceBuilder b = Cached("/dev/null/cache");

    const auto rules = b.Compile();

    EXPECT_NE(rules, nullptr);
    ASSERT_EQ(b.warnings.size(), 1U);
    EXPECT_NE(b.warnings[0].find("/dev/null/cache"), std::string::npos);
}

// ---------------------------------------------------------------------------------- limits

TEST(RuleLimits, TooLargeDatabasesAreRefusedWithTheDearestPattern)
{
    SourceBuilder b;
    b.Drop(b.Match("cheap"));
    b.Drop(b.Match("[a-f].{20,400}[0-9]{3,300}x"));
    const uint32_t dear_line = b.rules()[1].when.place.line;
    b.source.limits.database_bytes_max = 1024;

    EXPECT_EQ(b.Compile(), nullptr);

    ASSERT_EQ(b.errors.size(), 1U) << testing::PrintToString(b.errors);
    EXPECT_EQ(b.errors[0].find(std::to_string(dear_line) + ": "), 0U) << b.errors[0];
    EXPECT_NE(b.errors[0].find("1KiB"), std::string::npos) << b.errors[0];
    EXPECT_NE(b.errors[0].find("rules.yaml:" + std::to_string(dear_line)), std::string::npos);
}

TEST(RuleLimits, PatternsThatTakeTooLongAreRefusedWithTheDearest)
{
    SourceBuilder b;
    b.Drop(b.Match("cheap"));
    for (int i = 0; i < 40; i++) {
        b.Drop(b.Match("a(b[^x]{1,200}c" + std::to_string(i) + "){1,60}d.{1,300}e"));
    }
    b.source.limits.compile_seconds_max = 1;

    EXPECT_EQ(b.Compile(), nullptr);

    ASSERT_EQ(b.errors.size(), 1U) << testing::PrintToString(b.errors);
    EXPECT_NE(b.errors[0].find("more than 1s"), std::string::npos) << b.errors[0];
    EXPECT_NE(b.errors[0].find("rules.yaml:"), std::string::npos) << b.errors[0];
}

TEST(RuleLimits, WhatHyperscanRefusesIsSaidOfEachPattern)
{
    SourceBuilder b;
    b.Drop(b.Match("(x)\\1"));
    b.Drop(b.Match("(y)\\1", b.Field(RULE_FIELD_KEY)));

    EXPECT_EQ(b.Compile(), nullptr);

    EXPECT_EQ(b.errors.size(), 2U) << testing::PrintToString(b.errors);
}

} // namespace
