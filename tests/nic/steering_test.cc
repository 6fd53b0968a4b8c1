#include "nic/steering.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tests/nic/frames.h"

namespace {

using namespace frames;

// Of Microsoft's "Verifying the RSS hash calculation".
const Bytes KEY = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                   0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                   0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                   0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

constexpr size_t ENTRIES = 128;

uint32_t Address(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return a << 24 | b << 16 | c << 8 | d;
}

struct bytes Over(const Bytes &bytes) { return bytes_of(bytes.data(), bytes.size()); }

std::vector<uint16_t> RoundRobin(size_t entries, uint16_t queues)
{
    std::vector<uint16_t> out;
    for (size_t i = 0; i < entries; i++) { out.push_back(static_cast<uint16_t>(i % queues)); }
    return out;
}

struct steering Steering(uint16_t queues, size_t entries = ENTRIES)
{
    struct steering out = {};
    const std::vector<uint16_t> table = RoundRobin(entries, queues);
    EXPECT_TRUE(steering_init(&out, Over(KEY), table.data(), table.size()));
    return out;
}

struct udp_flow Flow(uint16_t source_port = 50000)
{
    const struct udp_flow out = {THEIR_ADDRESS, OUR_ADDRESS, source_port, 4650};
    return out;
}

// ---- the hash

struct Vector {
    struct udp_flow flow;
    uint32_t hash;
};

class SteeringHash : public testing::TestWithParam<Vector> {};

TEST_P(SteeringHash, AgreesWithMicrosoftsVector)
{
    const struct steering steering = Steering(4);

    EXPECT_EQ(steering_hash(&steering, &GetParam().flow), GetParam().hash);
}

INSTANTIATE_TEST_SUITE_P(
    Published, SteeringHash,
    testing::Values(
        Vector{{Address(66, 9, 149, 187), Address(161, 142, 100, 80), 2794, 1766}, 0x51ccc178},
        Vector{{Address(199, 92, 111, 2), Address(65, 69, 140, 83), 14230, 4739}, 0xc626b0ea},
        Vector{{Address(24, 19, 198, 95), Address(12, 22, 207, 184), 12898, 38024}, 0x5c2b394a},
        Vector{{Address(38, 27, 205, 30), Address(209, 142, 163, 6), 48228, 2217}, 0xafc7327f},
        Vector{{Address(153, 39, 163, 191), Address(202, 188, 127, 2), 44251, 1303}, 0x10e828a2}));

TEST(Steering, TakesTheQueueThatTheLowBitsOfTheHashChoose)
{
    std::vector<uint16_t> table(ENTRIES, 0);
    table[0x78] = 7; // 0x51ccc178 & 127
    const struct udp_flow flow = {Address(66, 9, 149, 187), Address(161, 142, 100, 80), 2794, 1766};
    struct steering steering = {};

    ASSERT_TRUE(steering_init(&steering, Over(KEY), table.data(), table.size()));

    EXPECT_EQ(steering_queue(&steering, &flow), 7);
}

TEST(Steering, TakesTheFirstFortyBytesOfALongerKey)
{
    Bytes longer = KEY;
    longer.resize(52, 0xff);
    const std::vector<uint16_t> table = RoundRobin(ENTRIES, 4);
    struct steering steering = {};
    const struct steering plain = Steering(4);
    const struct udp_flow flow = Flow();

    ASSERT_TRUE(steering_init(&steering, Over(longer), table.data(), table.size()));

    EXPECT_EQ(steering_hash(&steering, &flow), steering_hash(&plain, &flow));
}

TEST(Steering, RefusesWhatItCannotComputeWith)
{
    const std::vector<uint16_t> table(1024, 0);
    const Bytes short_key(39, 1);
    struct steering steering = {};

    EXPECT_FALSE(steering_init(&steering, Over(short_key), table.data(), 128));
    EXPECT_FALSE(steering_init(&steering, Over(KEY), table.data(), 0));
    EXPECT_FALSE(steering_init(&steering, Over(KEY), table.data(), 100));
    EXPECT_FALSE(steering_init(&steering, Over(KEY), table.data(), 1024));
    EXPECT_TRUE(steering_init(&steering, Over(KEY), table.data(), 512));
}

// ---- the search

TEST(SteeringSearch, KeepsAPortThatLeadsThereAlready)
{
    const struct steering steering = Steering(4);
    const struct udp_flow flow = Flow(/*source_port=*/40000); // no dynamic one
    uint16_t port = 0;

    ASSERT_TRUE(
        steering_find_source_port(&steering, &flow, steering_queue(&steering, &flow), &port));

    EXPECT_EQ(port, 40000);
}

TEST(SteeringSearch, FindsADynamicPortForEachQueueFromEachStart)
{
    constexpr uint16_t queues = 64;
    const struct steering steering = Steering(queues, STEERING_ENTRIES_MAX);

    for (const uint16_t start : {uint16_t{1}, uint16_t{40000}, uint16_t{49152}, uint16_t{65535}}) {
        const struct udp_flow flow = Flow(start);
        for (uint16_t queue = 0; queue < queues; queue++) {
            struct udp_flow steered = flow;
            ASSERT_TRUE(steering_find_source_port(&steering, &flow, queue, &steered.source_port));
            EXPECT_EQ(steering_queue(&steering, &steered), queue);
            EXPECT_TRUE(steered.source_port == start || steered.source_port >= STEERING_PORT_MIN);
        }
    }
}

TEST(SteeringSearch, TakesTheNearestPortAndGoesRoundAtTheEnd)
{
    const struct steering steering = Steering(2);
    const struct udp_flow last = Flow(/*source_port=*/65535);
    const auto other = static_cast<uint16_t>(1 - steering_queue(&steering, &last));
    struct udp_flow nearest = Flow(/*source_port=*/STEERING_PORT_MIN);
    while (steering_queue(&steering, &nearest) != other) { nearest.source_port++; }
    uint16_t port = 0;

    ASSERT_TRUE(steering_find_source_port(&steering, &last, other, &port));

    EXPECT_EQ(port, nearest.source_port);
}

TEST(SteeringSearch, TellsProducersOfOneHostDifferentPorts)
{
    const struct steering steering = Steering(4);
    std::set<uint16_t> ports;

    for (uint16_t source = 32768; source < 32768 + 256; source += 16) {
        const struct udp_flow flow = Flow(source);
        uint16_t port = 0;
        ASSERT_TRUE(steering_find_source_port(&steering, &flow, 0, &port));
        ports.insert(port);
    }

    EXPECT_EQ(ports.size(), 16U);
}

TEST(SteeringSearch, FindsNothingForAQueueThatIsNotInTheTable)
{
    const struct steering steering = Steering(4);
    const struct udp_flow flow = Flow();
    uint16_t port = 7;

    EXPECT_FALSE(steering_find_source_port(&steering, &flow, 4, &port));
    EXPECT_EQ(port, 7);
}

TEST(SteeringSearch, FindsNothingWhereTheDeviceIsUnknown)
{
    const struct udp_flow flow = Flow();
    uint16_t port = 7;

    EXPECT_FALSE(steering_find_source_port(nullptr, &flow, 0, &port));
    EXPECT_EQ(port, 7);
}

} // namespace
