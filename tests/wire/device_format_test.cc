#include "wire/device_format.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "base/crc32c.h"
#include "base/endian.h"

namespace {

using Block = std::array<uint8_t, LOG_BLOCK_BYTES>;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kGiB = 1 << 30;

struct device_superblock Planned(uint64_t device_bytes, uint64_t segment_bytes)
{
    struct device_superblock superblock;
    EXPECT_TRUE(device_superblock_plan(device_bytes, segment_bytes, &superblock));
    for (size_t i = 0; i < LOG_ID_BYTES; i++) {
        superblock.device_id.bytes[i] = static_cast<uint8_t>(i + 1);
    }
    superblock.created_wall_ms = 1'700'000'000'123;
    return superblock;
}

Block Encoded(const struct device_superblock &superblock)
{
    Block block;
    device_superblock_encode(&superblock, block.data());
    return block;
}

enum status Decode(const Block &block)
{
    struct device_superblock superblock;
    return device_superblock_decode(bytes_of(block.data(), block.size()), &superblock);
}

// As somebody who knows the format and wants to mislead would.
Block WithGoodCrc(Block block)
{
    store_le32(&block[12], crc32c(bytes_of(&block[16], 256 - 16)));
    return block;
}

// ------------------------------------------------------------------------------------ superblock

TEST(DeviceSuperblock, ComesBackAsItWasWritten)
{
    const struct device_superblock in = Planned(4000 * kGiB, kGiB);
    const Block block = Encoded(in);

    struct device_superblock out;
    ASSERT_EQ(device_superblock_decode(bytes_of(block.data(), 256), &out), STATUS_OK);

    EXPECT_TRUE(log_id_equal(out.device_id, in.device_id));
    EXPECT_EQ(out.device_bytes, 4000 * kGiB);
    EXPECT_EQ(out.slot_bytes, kGiB);
    EXPECT_EQ(out.slot_count, 3999U) << "one slot's room goes to the tables";
    EXPECT_EQ(out.slots_position, in.slots_position);
    EXPECT_EQ(out.table_positions[0], kMiB);
    EXPECT_EQ(out.table_positions[1], kMiB + 32 * LOG_BLOCK_BYTES) << "126 slots a block";
    EXPECT_EQ(out.created_wall_ms, 1'700'000'000'123);
}

TEST(DeviceSuperblock, PlansSlotsOfWholeMebibytesWithinTheDevice)
{
    const struct device_superblock superblock = Planned(100 * kMiB + 4095, 8 * kMiB + 4096);

    EXPECT_EQ(superblock.slot_bytes, 9 * kMiB);
    EXPECT_EQ(superblock.slot_count, 10U);
    EXPECT_EQ(superblock.device_bytes, 100 * kMiB);
    EXPECT_EQ(superblock.slots_position, 2 * kMiB);
    EXPECT_EQ(device_slot_position(&superblock, 9), 2 * kMiB + 9 * 9 * kMiB);
}

TEST(DeviceSuperblock, PlansOneSlotAtTheSmallestAndNoneBelow)
{
    struct device_superblock superblock;

    EXPECT_TRUE(device_superblock_plan(10 * kMiB, 8 * kMiB, &superblock));
    EXPECT_EQ(superblock.slot_count, 1U);
    EXPECT_FALSE(device_superblock_plan(10 * kMiB - 4096, 8 * kMiB, &superblock));
    EXPECT_FALSE(device_superblock_plan(0, 4096, &superblock));
}

TEST(DeviceSuperblock, PlansNoMoreSlotsThanItsTableCanHave)
{
    struct device_superblock superblock;

    ASSERT_TRUE(device_superblock_plan(uint64_t{1} << 50, 8 * kMiB, &superblock));

    EXPECT_EQ(superblock.slot_count, static_cast<uint32_t>(DEVICE_SLOTS_MAX));
}

TEST(DeviceSuperblock, EveryFlippedBitOfItIsNoticed)
{
    const Block good = Encoded(Planned(kGiB, 8 * kMiB));
    ASSERT_EQ(Decode(good), STATUS_OK);

    for (size_t bit = 0; bit < 256 * 8; bit++) {
        Block bad = good;
        bad[bit / 8] = static_cast<uint8_t>(bad[bit / 8] ^ 1 << bit % 8);
        ASSERT_NE(Decode(bad), STATUS_OK) << "bit " << bit;
    }
}

TEST(DeviceSuperblock, SaysWhoseTheBlockIs)
{
    Block foreign = {};
    Block newer = Encoded(Planned(kGiB, 8 * kMiB));
    store_le32(&newer[8], DEVICE_FORMAT_VERSION + 1);

    EXPECT_EQ(Decode(foreign), STATUS_NOT_FOUND);
    EXPECT_EQ(Decode(newer), STATUS_UNSUPPORTED);
    struct device_superblock superblock;
    EXPECT_EQ(device_superblock_decode(bytes_of(newer.data(), 255), &superblock), STATUS_TRUNCATED);
}

TEST(DeviceSuperblock, RefusesALayoutThatOverlapsOrEndsBehindTheDevice)
{
    const struct device_superblock good = Planned(kGiB, 8 * kMiB);
    std::vector<struct device_superblock> bad(9, good);
    bad[0].slot_count = 0;
    bad[1].slot_count++;
    bad[2].slot_bytes = UINT64_MAX - 4095;
    bad[3].slot_bytes = 4097;
    bad[4].slots_position = bad[4].table_positions[1];
    bad[5].slots_position += 512;
    bad[6].table_positions[0] = DEVICE_SUPERBLOCK_COPY;
    bad[7].table_positions[1] = bad[7].table_positions[0];
    bad[8].slot_count = DEVICE_SLOTS_MAX + 1;

    ASSERT_EQ(Decode(WithGoodCrc(Encoded(good))), STATUS_OK);
    for (size_t i = 0; i < bad.size(); i++) {
        EXPECT_EQ(Decode(WithGoodCrc(Encoded(bad[i]))), STATUS_CORRUPT) << i;
    }
}

// ------------------------------------------------------------------------------------ slot table

struct device_table_block Slots(uint32_t index, uint32_t count)
{
    struct device_table_block block = {};
    block.sequence = 77;
    block.index = index;
    block.slot_count = count;
    for (uint32_t i = 0; i < count; i++) {
        block.slots[i].generation = 1000 + i;
        block.slots[i].number = i * 3;
        block.slots[i].size_bytes = i % 2 == 0 ? 8 * kMiB : 0;
        block.slots[i].partition = i % 7;
    }
    return block;
}

TEST(DeviceTableBlock, ComesBackAsItWasWritten)
{
    const struct device_superblock superblock = Planned(kGiB, 8 * kMiB); // 127 slots
    ASSERT_EQ(superblock.slot_count, 127U);
    const struct device_table_block in = Slots(0, DEVICE_SLOTS_PER_BLOCK);
    Block block;
    device_table_block_encode(&in, superblock.device_id, block.data());

    struct device_table_block out;
    ASSERT_EQ(device_table_block_decode(bytes_of(block.data(), block.size()), &superblock, 0, &out),
              STATUS_OK);

    EXPECT_EQ(out.sequence, 77U);
    EXPECT_EQ(out.slot_count, static_cast<uint32_t>(DEVICE_SLOTS_PER_BLOCK));
    EXPECT_EQ(memcmp(out.slots, in.slots, sizeof in.slots), 0);
}

TEST(DeviceTableBlock, TheLastOneHasTheSlotsThatAreLeft)
{
    const struct device_superblock superblock = Planned(kGiB, 8 * kMiB);
    const struct device_table_block in = Slots(1, 1);
    Block block;
    device_table_block_encode(&in, superblock.device_id, block.data());

    struct device_table_block out;
    ASSERT_EQ(device_table_block_decode(bytes_of(block.data(), block.size()), &superblock, 1, &out),
              STATUS_OK);

    EXPECT_EQ(out.slot_count, 1U);
}

TEST(DeviceTableBlock, EveryFlippedBitOfItIsNoticed)
{
    const struct device_superblock superblock = Planned(kGiB, 8 * kMiB);
    const struct device_table_block in = Slots(0, DEVICE_SLOTS_PER_BLOCK);
    Block block;
    device_table_block_encode(&in, superblock.device_id, block.data());

    struct device_table_block out;
    for (size_t bit = 0; bit < block.size() * 8; bit++) {
        block[bit / 8] = static_cast<uint8_t>(block[bit / 8] ^ 1 << bit % 8);
        ASSERT_NE(
            device_table_block_decode(bytes_of(block.data(), block.size()), &superblock, 0, &out),
            STATUS_OK)
            << "bit " << bit;
        block[bit / 8] = static_cast<uint8_t>(block[bit / 8] ^ 1 << bit % 8);
    }
}

TEST(DeviceTableBlock, RefusesOneOfAnotherPlaceOrAnotherInit)
{
    const struct device_superblock superblock = Planned(kGiB, 8 * kMiB);
    struct device_superblock anew = superblock;
    anew.device_id.bytes[0]++;
    const struct device_table_block in = Slots(0, DEVICE_SLOTS_PER_BLOCK);
    Block block;
    device_table_block_encode(&in, superblock.device_id, block.data());
    const struct bytes bytes = bytes_of(block.data(), block.size());

    struct device_table_block out;
    EXPECT_EQ(device_table_block_decode(bytes, &superblock, 1, &out), STATUS_CORRUPT);
    EXPECT_EQ(device_table_block_decode(bytes, &anew, 0, &out), STATUS_CORRUPT);
}

TEST(DeviceTableBlock, RefusesASegmentThatIsLargerThanItsSlot)
{
    const struct device_superblock superblock = Planned(kGiB, 8 * kMiB);
    struct device_table_block in = Slots(0, DEVICE_SLOTS_PER_BLOCK);
    in.slots[5].size_bytes = superblock.slot_bytes + 4096;
    Block block;
    device_table_block_encode(&in, superblock.device_id, block.data());

    struct device_table_block out;
    EXPECT_EQ(device_table_block_decode(bytes_of(block.data(), block.size()), &superblock, 0, &out),
              STATUS_CORRUPT);
}

} // namespace
