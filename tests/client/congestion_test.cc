#include "client/congestion.h"

#include <gtest/gtest.h>

namespace {

constexpr uint32_t DATAGRAM = 1200;
constexpr uint64_t FULL = UINT64_MAX; // in flight: more than any window
constexpr uint64_t MS = 1000 * 1000;

struct congestion Fresh(uint32_t datagram_bytes = DATAGRAM, uint64_t cap_bytes = 0)
{
    const struct congestion_options options = {datagram_bytes, cap_bytes};
    struct congestion congestion;
    congestion_init(&congestion, &options);
    return congestion;
}

// Cut once, at 10 ms, to a window of five datagrams: congestion avoidance from there.
struct congestion Avoiding()
{
    struct congestion congestion = Fresh();
    congestion_lost(&congestion, /*newest_sent_ns=*/5 * MS, /*now_ns=*/10 * MS);
    return congestion;
}

void AckDatagrams(struct congestion *congestion, int count, uint64_t sent_ns,
                  uint64_t in_flight_bytes = FULL)
{
    for (int i = 0; i < count; i++) {
        congestion_acked(congestion, DATAGRAM, sent_ns, in_flight_bytes);
    }
}

TEST(Congestion, StartsWithTenDatagrams) { EXPECT_EQ(Fresh().window_bytes, 10u * DATAGRAM); }

TEST(Congestion, StartsWithLessWhereDatagramsAreLarge)
{
    EXPECT_EQ(Fresh(1472).window_bytes, 14720u);
    EXPECT_EQ(Fresh(1500).window_bytes, 14720u);
    EXPECT_EQ(Fresh(8952).window_bytes, 2u * 8952);
}

TEST(Congestion, HasRoomUpToItsWindow)
{
    const struct congestion congestion = Fresh();

    EXPECT_EQ(congestion_room_bytes(&congestion, 0), 12000u);
    EXPECT_EQ(congestion_room_bytes(&congestion, 11999), 1u);
    EXPECT_EQ(congestion_room_bytes(&congestion, 12000), 0u);
    EXPECT_EQ(congestion_room_bytes(&congestion, UINT64_MAX), 0u);
}

TEST(Congestion, DoublesAWindowAckedInSlowStart)
{
    struct congestion congestion = Fresh();

    AckDatagrams(&congestion, 10, /*sent_ns=*/0);

    EXPECT_EQ(congestion.window_bytes, 20u * DATAGRAM);
}

TEST(Congestion, GrowsInSlowStartOnlyIfHalfTheWindowWasUsed)
{
    struct congestion congestion = Fresh();

    AckDatagrams(&congestion, 1, 0, /*in_flight_bytes=*/5 * DATAGRAM - 1);
    EXPECT_EQ(congestion.window_bytes, 10u * DATAGRAM);
    AckDatagrams(&congestion, 1, 0, /*in_flight_bytes=*/5 * DATAGRAM);
    EXPECT_EQ(congestion.window_bytes, 11u * DATAGRAM);
}

TEST(Congestion, HalvesItsWindowOnALoss)
{
    const struct congestion congestion = Avoiding();

    EXPECT_EQ(congestion.window_bytes, 5u * DATAGRAM);
    EXPECT_EQ(congestion.threshold_bytes, 5u * DATAGRAM);
}

TEST(Congestion, TakesOneRoundTripsLossesAsOneEvent)
{
    struct congestion congestion = Avoiding();

    congestion_lost(&congestion, /*newest_sent_ns=*/10 * MS, /*now_ns=*/12 * MS);
    EXPECT_EQ(congestion.window_bytes, 5u * DATAGRAM);
    congestion_lost(&congestion, /*newest_sent_ns=*/10 * MS + 1, /*now_ns=*/50 * MS);
    EXPECT_EQ(congestion.window_bytes, 5u * DATAGRAM / 2);
}

TEST(Congestion, TakesALossOfTheVeryFirstInstant)
{
    struct congestion congestion = Fresh();

    congestion_lost(&congestion, /*newest_sent_ns=*/0, /*now_ns=*/0);

    EXPECT_EQ(congestion.window_bytes, 5u * DATAGRAM);
}

TEST(Congestion, DoesNotGrowForWhatWasSentBeforeTheRecovery)
{
    struct congestion congestion = Avoiding();

    AckDatagrams(&congestion, 100, /*sent_ns=*/10 * MS);

    EXPECT_EQ(congestion.window_bytes, 5u * DATAGRAM);
}

TEST(Congestion, GrowsByOneDatagramForEachWindowInAvoidance)
{
    struct congestion congestion = Avoiding();

    AckDatagrams(&congestion, 4, /*sent_ns=*/11 * MS);
    EXPECT_EQ(congestion.window_bytes, 5u * DATAGRAM);
    AckDatagrams(&congestion, 1, /*sent_ns=*/11 * MS);
    EXPECT_EQ(congestion.window_bytes, 6u * DATAGRAM);
    AckDatagrams(&congestion, 5, /*sent_ns=*/11 * MS);
    EXPECT_EQ(congestion.window_bytes, 6u * DATAGRAM);
    AckDatagrams(&congestion, 1, /*sent_ns=*/11 * MS);
    EXPECT_EQ(congestion.window_bytes, 7u * DATAGRAM);
}

TEST(Congestion, GrowsInAvoidanceAlsoAboveADatagramSquared)
{
    struct congestion congestion = Fresh();
    AckDatagrams(&congestion, 4000, 0);
    congestion_lost(&congestion, 5 * MS, 10 * MS);
    const uint64_t cut_bytes = 4010u * DATAGRAM / 2;
    ASSERT_EQ(congestion.window_bytes, cut_bytes);

    AckDatagrams(&congestion, 2005, /*sent_ns=*/11 * MS);

    EXPECT_EQ(congestion.window_bytes, cut_bytes + DATAGRAM);
}

TEST(Congestion, GrowsInAvoidanceOnlyIfNoOtherDatagramFitted)
{
    struct congestion congestion = Avoiding();

    AckDatagrams(&congestion, 50, /*sent_ns=*/11 * MS, /*in_flight_bytes=*/4 * DATAGRAM);
    EXPECT_EQ(congestion.window_bytes, 5u * DATAGRAM);
    AckDatagrams(&congestion, 5, /*sent_ns=*/11 * MS, /*in_flight_bytes=*/4 * DATAGRAM + 1);
    EXPECT_EQ(congestion.window_bytes, 6u * DATAGRAM);
}

TEST(Congestion, FallsToTwoDatagramsAndNoFurther)
{
    struct congestion congestion = Fresh();

    for (uint64_t round = 1; round <= 70; round++) {
        congestion_lost(&congestion, round * 10 * MS, round * 10 * MS + 1);
    }

    EXPECT_EQ(congestion.window_bytes, 2u * DATAGRAM);
}

TEST(Congestion, CollapsesToTheMinimumAndStartsSlowlyUpToTheThreshold)
{
    struct congestion congestion = Avoiding();

    congestion_collapse(&congestion);
    EXPECT_EQ(congestion.window_bytes, 2u * DATAGRAM);
    AckDatagrams(&congestion, 3, /*sent_ns=*/6 * MS); // the recovery is over, too
    EXPECT_EQ(congestion.window_bytes, 5u * DATAGRAM);
    AckDatagrams(&congestion, 4, /*sent_ns=*/20 * MS);
    EXPECT_EQ(congestion.window_bytes, 5u * DATAGRAM);
}

TEST(Congestion, NeverGrowsAboveItsCap)
{
    struct congestion congestion = Fresh(DATAGRAM, /*cap_bytes=*/13000);

    AckDatagrams(&congestion, 100, 0);

    EXPECT_EQ(congestion.window_bytes, 13000u);
}

TEST(Congestion, AllowsTwoDatagramsWhateverItsCap)
{
    EXPECT_EQ(Fresh(DATAGRAM, /*cap_bytes=*/1).window_bytes, 2u * DATAGRAM);
}

TEST(Congestion, RaisesItsFloorWithTheDatagram)
{
    struct congestion congestion = Fresh();
    congestion_collapse(&congestion);

    congestion_set_datagram(&congestion, 8952);

    EXPECT_EQ(congestion.window_bytes, 2u * 8952);
}

} // namespace
