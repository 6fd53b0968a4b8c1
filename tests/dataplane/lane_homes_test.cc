#include "dataplane/lane_homes.h"

#include <gtest/gtest.h>

#include <memory>

#include "storage/lane_handover.h"

namespace {

constexpr uint32_t kWorkers = 4;
constexpr uint32_t kLanes = 5000;

struct lane_key Key(uint32_t number)
{
    struct lane_key key = {};
    key.producer.bytes[0] = static_cast<uint8_t>(number % 7 + 1);
    key.number = number;
    return key;
}

uint32_t ByHash(uint32_t number)
{
    const uint32_t workers[kWorkers] = {0, 1, 2, 3};
    const struct lane_key key = Key(number);
    return lane_home_of_new(&key, workers, kWorkers);
}

class LaneHomes : public testing::Test {
  protected:
    void SetUp() override
    {
        struct lane_homes *made = nullptr;
        ASSERT_EQ(lane_homes_create(kWorkers, &made), STATUS_OK);
        homes_.reset(made);
    }

    void Add(uint32_t number, uint32_t partition)
    {
        const struct lane_key key = Key(number);
        ASSERT_EQ(lane_homes_add(homes_.get(), &key, partition), STATUS_OK);
    }

    uint32_t Find(uint32_t number)
    {
        const struct lane_key key = Key(number);
        return lane_homes_find(homes_.get(), &key);
    }

    struct Destroy {
        void operator()(struct lane_homes *homes) const { lane_homes_destroy(homes); }
    };
    std::unique_ptr<struct lane_homes, Destroy> homes_;
};

TEST_F(LaneHomes, ALaneThatNobodyKnowsLivesWhereItsHashSays)
{
    lane_homes_seal(homes_.get());
    uint32_t counts[kWorkers] = {};
    for (uint32_t i = 0; i < kLanes; i++) {
        EXPECT_EQ(Find(i), ByHash(i));
        counts[Find(i)]++;
    }
    for (const uint32_t count : counts) { EXPECT_GT(count, kLanes / kWorkers / 2); }
}

TEST_F(LaneHomes, AKnownLaneLivesWhereItsLogIs)
{
    for (uint32_t i = 0; i < kLanes; i += 2) { Add(i, (ByHash(i) + i / 2) % kWorkers); }
    lane_homes_seal(homes_.get());

    for (uint32_t i = 0; i < kLanes; i++) {
        const uint32_t expected = i % 2 == 0 ? (ByHash(i) + i / 2) % kWorkers : ByHash(i);
        EXPECT_EQ(Find(i), expected) << i;
    }
}

} // namespace
