#include "tools/time_text.h"

#include <gtest/gtest.h>

namespace {

constexpr int64_t kNow = INT64_C(1767225600000); // 2026-01-01T00:00:00Z

int64_t Parsed(const char *text)
{
    int64_t out = -1;
    EXPECT_TRUE(time_text_parse(text, kNow, &out)) << text;
    return out;
}

bool Refused(const char *text)
{
    int64_t out;
    return !time_text_parse(text, kNow, &out);
}

TEST(TimeText, TakesMillisecondsAndWhatPeopleWrite)
{
    EXPECT_EQ(Parsed("1767225600123"), kNow + 123);
    EXPECT_EQ(Parsed("2026-01-01T00:00:00Z"), kNow);
    EXPECT_EQ(Parsed("2026-01-01 01:30:00.25+01:30"), kNow + 250);
    EXPECT_EQ(Parsed("2025-12-31T19:00:00-05:00"), kNow);
    EXPECT_EQ(Parsed("2026-01-01"), kNow);
    EXPECT_EQ(Parsed("1970-01-01T00:00:00Z"), 0);
}

TEST(TimeText, CountsBackFromNow)
{
    EXPECT_EQ(Parsed("now"), kNow);
    EXPECT_EQ(Parsed("-10m"), kNow - 600 * 1000);
    EXPECT_EQ(Parsed("-1500ms"), kNow - 1500);
}

TEST(TimeText, RefusesWhatIsNoTime)
{
    for (const char *text :
         {"", "-", "-10", "-10x", "yesterday", "2026-13-01", "2026-02-31", "2026-1-1",
          "2026-01-01T24:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "12ms",
          "2026-01-01T00:00:00+1:00", "99999999999999999999"}) {
        EXPECT_TRUE(Refused(text)) << text;
    }
}

} // namespace
