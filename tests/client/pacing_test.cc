#include "client/pacing.h"

#include <gtest/gtest.h>

namespace {

constexpr uint32_t DATAGRAM = 1200;
constexpr uint64_t MS = 1000 * 1000;
// 5/4 * 12000 bytes in 15 ms: a datagram takes 1.2 ms.
constexpr struct pacing_rate RATE = {12000, 15 * MS};
constexpr uint64_t INTERVAL = 1200 * 1000;

struct pacing Full(uint64_t now_ns = 0)
{
    struct pacing pacing;
    pacing_init(&pacing, DATAGRAM, now_ns);
    return pacing;
}

// The burst is gone at `now_ns`.
struct pacing Empty(uint64_t now_ns = 0)
{
    struct pacing pacing = Full(now_ns);
    for (int i = 0; i < PACING_BURST_DATAGRAMS; i++) {
        pacing_sent(&pacing, RATE, DATAGRAM, now_ns);
    }
    return pacing;
}

// Datagrams that leave until `end_ns` when each leaves as soon as it may.
int SentUntil(struct pacing *pacing, struct pacing_rate rate, uint64_t now_ns, uint64_t end_ns)
{
    int count = 0;
    while (now_ns <= end_ns) {
        const uint64_t next_ns = pacing_next_ns(pacing, rate, DATAGRAM, now_ns);
        if (next_ns <= now_ns) {
            pacing_sent(pacing, rate, DATAGRAM, now_ns);
            count++;
        }
        now_ns = next_ns;
    }
    return count;
}

TEST(Pacing, LetsABurstOfTenGoAtOnce)
{
    struct pacing pacing = Full();

    EXPECT_EQ(SentUntil(&pacing, RATE, 0, 0), PACING_BURST_DATAGRAMS);
}

TEST(Pacing, SpacesWhatFollowsAtFiveQuartersOfAWindowARoundTrip)
{
    struct pacing pacing = Empty();

    EXPECT_EQ(pacing_next_ns(&pacing, RATE, DATAGRAM, 0), INTERVAL);
    EXPECT_EQ(pacing_next_ns(&pacing, RATE, DATAGRAM, INTERVAL - 1), INTERVAL);
    EXPECT_EQ(pacing_next_ns(&pacing, RATE, DATAGRAM, INTERVAL), INTERVAL);
    pacing_sent(&pacing, RATE, DATAGRAM, INTERVAL);
    EXPECT_EQ(pacing_next_ns(&pacing, RATE, DATAGRAM, INTERVAL), 2 * INTERVAL);
}

TEST(Pacing, AsksLessTimeForASmallerDatagram)
{
    const struct pacing pacing = Empty();

    EXPECT_EQ(pacing_next_ns(&pacing, RATE, 100, 0), INTERVAL / 12);
}

TEST(Pacing, KeepsItsRateOverASecond)
{
    struct pacing pacing = Empty();

    const int count = SentUntil(&pacing, RATE, 0, 1200 * MS);

    EXPECT_EQ(count, 1000);
}

TEST(Pacing, SavesUpNoMoreThanABurstInALongPause)
{
    struct pacing pacing = Empty();
    const uint64_t later_ns = 86400 * 1000 * MS;

    EXPECT_EQ(SentUntil(&pacing, RATE, later_ns, later_ns), PACING_BURST_DATAGRAMS);
}

TEST(Pacing, PaysTheInitialBurstOffAtTheRateThatIsMeasuredLater)
{
    struct pacing pacing = Empty();
    const struct pacing_rate measured = {12000, 15 * MS / 100};

    EXPECT_EQ(pacing_next_ns(&pacing, measured, DATAGRAM, 1000), INTERVAL / 100);
}

TEST(Pacing, ChargesForProbesThatDidNotAsk)
{
    struct pacing pacing = Empty();

    pacing_sent(&pacing, RATE, DATAGRAM, 0);

    EXPECT_EQ(pacing_next_ns(&pacing, RATE, DATAGRAM, 0), 2 * INTERVAL);
}

TEST(Pacing, ForgivesADebtAboveOneBurst)
{
    struct pacing pacing = Empty();

    for (int i = 0; i < 1000; i++) { pacing_sent(&pacing, RATE, DATAGRAM, 0); }

    EXPECT_EQ(pacing_next_ns(&pacing, RATE, DATAGRAM, 0), 11 * INTERVAL);
}

TEST(Pacing, AsksAFullBucketForMoreThanABurst)
{
    const struct pacing pacing = Empty();

    EXPECT_EQ(pacing_next_ns(&pacing, RATE, 60000, 0), 10 * INTERVAL);
    EXPECT_EQ(pacing_next_ns(&pacing, RATE, 60000, 10 * INTERVAL), 10 * INTERVAL);
}

TEST(Pacing, GrowsAndShrinksItsBurstWithTheDatagram)
{
    struct pacing pacing = Full();

    pacing_set_datagram(&pacing, DATAGRAM / 2);
    EXPECT_EQ(SentUntil(&pacing, RATE, 0, 0), PACING_BURST_DATAGRAMS / 2);
    pacing_set_datagram(&pacing, 2 * DATAGRAM);
    EXPECT_EQ(SentUntil(&pacing, RATE, 3600 * MS, 3600 * MS), 2 * PACING_BURST_DATAGRAMS);
}

TEST(Pacing, TakesARoundTripOfZeroAsNoPacing)
{
    const struct pacing pacing = Empty();

    EXPECT_EQ(pacing_next_ns(&pacing, {12000, 0}, DATAGRAM, 0), 1u);
}

TEST(Pacing, WrapsNowhereAtTheEndsOfItsNumbers)
{
    const struct pacing early = Empty(0);
    const struct pacing late = Empty(UINT64_MAX - 1000);

    EXPECT_EQ(pacing_next_ns(&early, {UINT64_MAX / 8, 1}, DATAGRAM, UINT64_MAX), UINT64_MAX);
    EXPECT_EQ(pacing_next_ns(&early, {1, UINT64_MAX}, DATAGRAM, 0), UINT64_MAX);
    EXPECT_EQ(pacing_next_ns(&late, RATE, DATAGRAM, UINT64_MAX - 1000), UINT64_MAX);
}

} // namespace
