#include "tests/sim/sim_network.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr struct sim_address kClient = {0x0a000001, 1000};
constexpr struct sim_address kNode = {0x0a000002, 0}; // every port
constexpr struct sim_address kNodePort = {0x0a000002, 4650};
constexpr uint32_t kAlways = 1'000'000;

struct Arrival {
    uint64_t at_ns;
    size_t endpoint;
    std::string payload;
    bool checksum_is_bad;
};

class SimNetwork : public testing::Test {
  protected:
    SimNetwork() { Begin(7); }
    ~SimNetwork() override { sim_network_destroy(network_); }

    void Begin(uint64_t seed)
    {
        sim_network_destroy(network_);
        network_ = sim_network_create(seed);
        client_ = sim_network_add(network_, kClient);
        node_ = sim_network_add(network_, kNode);
    }
    void Send(const std::string &payload, uint64_t now_ns = 0)
    {
        sim_network_send(network_, kClient, kNodePort, bytes_of(payload.data(), payload.size()),
                         now_ns);
    }
    // Everything that arrives up to then.
    std::vector<Arrival> Arrivals(uint64_t until_ns = UINT64_MAX - 1)
    {
        std::vector<Arrival> out;
        while (sim_network_next_ns(network_) <= until_ns) {
            const uint64_t at_ns = sim_network_next_ns(network_);
            size_t endpoint;
            struct sim_datagram datagram;
            if (!sim_network_pop(network_, at_ns, &endpoint, &datagram)) { continue; }
            out.push_back({at_ns, endpoint,
                           std::string(reinterpret_cast<const char *>(datagram.payload.at),
                                       datagram.payload.len_bytes),
                           datagram.checksum_is_bad});
        }
        return out;
    }
    struct sim_network_counts Counts() const { return sim_network_counts(network_); }

    struct sim_network *network_ = nullptr;
    struct sim_network_settings settings_ = {};
    size_t client_ = 0;
    size_t node_ = 0;
};

TEST_F(SimNetwork, DeliversInTheOrderOfArrivalAndNotOfSending)
{
    settings_.delay_ns_min = 1;
    settings_.delay_ns_max = 1000;
    sim_network_set(network_, &settings_);
    for (int i = 0; i < 100; i++) { Send(std::to_string(i)); }

    const std::vector<Arrival> arrivals = Arrivals();

    ASSERT_EQ(arrivals.size(), 100U);
    bool reordered = false;
    for (size_t i = 1; i < arrivals.size(); i++) {
        EXPECT_LE(arrivals[i - 1].at_ns, arrivals[i].at_ns);
        reordered |= std::stoi(arrivals[i - 1].payload) > std::stoi(arrivals[i].payload);
    }
    EXPECT_TRUE(reordered);
    EXPECT_EQ(arrivals[0].endpoint, node_);
    EXPECT_LE(arrivals.back().at_ns, 1000U);
}

TEST_F(SimNetwork, KeepsTheOrderOfWhatIsDueTogether)
{
    for (int i = 0; i < 20; i++) { Send(std::to_string(i)); }

    const std::vector<Arrival> arrivals = Arrivals();

    ASSERT_EQ(arrivals.size(), 20U);
    for (int i = 0; i < 20; i++) {
        EXPECT_EQ(arrivals[static_cast<size_t>(i)].payload, std::to_string(i));
    }
}

TEST_F(SimNetwork, CountsEveryCopyOnce)
{
    settings_.delay_ns_max = 100;
    settings_.loss = 200'000;
    settings_.duplication = 300'000;
    settings_.mtu_bytes = 100;
    settings_.queue_max = 300;
    sim_network_set(network_, &settings_);
    const std::string too_big(73, 'x'); // 100 less 28, and one more
    for (int i = 0; i < 1000; i++) { Send(i % 10 == 0 ? too_big : "fits"); }

    const struct sim_network_counts before = Counts(); // asserts that it adds up
    const std::vector<Arrival> arrivals = Arrivals();
    const struct sim_network_counts after = Counts();

    EXPECT_EQ(before.sent, 1000U);
    EXPECT_EQ(before.too_big, 100U);
    EXPECT_EQ(before.in_flight, 300U);
    EXPECT_GT(before.lost_overflow, 0U);
    EXPECT_GT(before.lost_by_chance, 0U);
    EXPECT_GT(before.duplicated, 0U);
    EXPECT_EQ(after.delivered, arrivals.size());
    EXPECT_EQ(after.in_flight, 0U);
}

TEST_F(SimNetwork, DamagesTheBytesAndTellsByTheChecksumOrNot)
{
    settings_.corruption = kAlways;
    settings_.checksum_forged = 500'000;
    sim_network_set(network_, &settings_);
    for (int i = 0; i < 200; i++) { Send("as it was sent"); }
    Send("");

    size_t told = 0;
    for (const Arrival &arrival : Arrivals()) {
        EXPECT_NE(arrival.payload, "as it was sent");
        EXPECT_NE(arrival.payload, arrival.payload.empty() ? "never" : "");
        told += arrival.checksum_is_bad;
    }

    EXPECT_GT(told, 60U);
    EXPECT_LT(told, 140U);
    EXPECT_EQ(Counts().corrupted, 201U);
}

TEST_F(SimNetwork, LosesWhatMeetsACutLinkInThatDirectionOnly)
{
    sim_network_cut(network_, client_, node_, true);
    Send("lost");
    sim_network_send(network_, kNodePort, kClient, bytes_of_text("back"), 0);

    const std::vector<Arrival> arrivals = Arrivals();

    ASSERT_EQ(arrivals.size(), 1U);
    EXPECT_EQ(arrivals[0].payload, "back");
    EXPECT_EQ(Counts().lost_cut, 1U);

    sim_network_isolate(network_, client_, true);
    sim_network_send(network_, kNodePort, kClient, bytes_of_text("back"), 0);
    EXPECT_TRUE(Arrivals().empty());

    sim_network_heal(network_);
    Send("through");
    EXPECT_EQ(Arrivals().size(), 1U);
}

TEST_F(SimNetwork, HoldsWhatMeetsAClogUntilItGoes)
{
    sim_network_clog(network_, client_, node_, true);
    Send("one");
    Send("two");
    EXPECT_TRUE(Arrivals(1000).empty());
    EXPECT_EQ(Counts().in_flight, 2U);

    sim_network_clog(network_, client_, node_, false);

    const std::vector<Arrival> arrivals = Arrivals();
    ASSERT_EQ(arrivals.size(), 2U);
    EXPECT_EQ(arrivals[0].payload, "one");
    EXPECT_EQ(arrivals[1].payload, "two");
}

TEST_F(SimNetwork, FindsNobodyBehindAnOldAddress)
{
    settings_.delay_ns_min = 10;
    settings_.delay_ns_max = 10;
    sim_network_set(network_, &settings_);
    const struct sim_address rebound = {kClient.host, 2000};
    sim_network_send(network_, kNodePort, kClient, bytes_of_text("old"), 0);

    sim_network_rebind(network_, client_, rebound);
    sim_network_send(network_, kNodePort, rebound, bytes_of_text("new"), 0);

    const std::vector<Arrival> arrivals = Arrivals();
    ASSERT_EQ(arrivals.size(), 1U);
    EXPECT_EQ(arrivals[0].payload, "new");
    EXPECT_EQ(Counts().lost_nobody, 1U);
}

TEST_F(SimNetwork, DoesTheSameForTheSameSeedAndAnotherForAnother)
{
    const auto run = [this](uint64_t seed) {
        Begin(seed);
        settings_.delay_ns_max = 1000;
        settings_.loss = settings_.duplication = settings_.corruption = 100'000;
        sim_network_set(network_, &settings_);
        for (int i = 0; i < 200; i++) { Send("datagram " + std::to_string(i)); }
        std::string all;
        for (const Arrival &each : Arrivals()) {
            all += std::to_string(each.at_ns) + each.payload + (each.checksum_is_bad ? "!" : ".");
        }
        return all;
    };

    EXPECT_EQ(run(1), run(1));
    EXPECT_NE(run(1), run(2));
}

} // namespace
