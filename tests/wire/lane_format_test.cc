#include "wire/lane_format.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

struct bytes View(const Bytes &bytes) { return bytes_of(bytes.data(), bytes.size()); }

struct Item {
    struct lane_item item = {};
    std::vector<struct lane_run> runs;
};

// Every field another value; three runs for the sequences 0x1000..0x1000+5.
Item Distinct()
{
    Item out;
    for (uint8_t i = 0; i < NATIVE_PRODUCER_ID_BYTES; i++) {
        out.item.state.key.producer.bytes[i] = static_cast<uint8_t>(0xa0 + i);
    }
    out.item.state.key.number = 0x01020304;
    out.item.state.home = 0x05060708;
    out.item.state.epoch = 0x1112131415161718;
    out.item.state.last_sequence = 0x1005;
    out.item.state.confirmed = 0x0fff;
    out.item.state.hash = 0x2122232425262728;
    out.item.state.active_wall_ms = -0x31323334353637;
    out.item.first_sequence = 0x1000;
    out.item.unstored = 0x4142434445464748;
    out.item.flags = LANE_CHECKPOINT | LANE_IMPORTED;
    out.item.run_count = 3;
    out.runs = {{1, NATIVE_STORED, 0x51525354, 0x6162636465666768},
                {2, NATIVE_DROPPED, -1, 0},
                {3, NATIVE_QUOTA, -1, 0}};
    return out;
}

Bytes Encode(const Item &item)
{
    Bytes out(lane_item_bytes(item.runs.size()), 0xee);
    struct sink sink = sink_into(out.data(), out.size());
    lane_item_encode(&item.item, item.runs.data(), &sink);
    EXPECT_FALSE(sink.overflowed);
    EXPECT_EQ(sink_room_bytes(&sink), 0U);
    return out;
}

enum status Decode(const Bytes &entry)
{
    struct bytes rest = View(entry);
    struct lane_item out;
    return lane_item_decode(&rest, &out);
}

enum status DecodeOf(const Item &item) { return Decode(Encode(item)); }

void ExpectSame(const Item &expected, const struct lane_item &actual)
{
    EXPECT_TRUE(lane_key_equal(&actual.state.key, &expected.item.state.key));
    EXPECT_EQ(actual.state.home, expected.item.state.home);
    EXPECT_EQ(actual.state.epoch, expected.item.state.epoch);
    EXPECT_EQ(actual.state.last_sequence, expected.item.state.last_sequence);
    EXPECT_EQ(actual.state.confirmed, expected.item.state.confirmed);
    EXPECT_EQ(actual.state.hash, expected.item.state.hash);
    EXPECT_EQ(actual.state.active_wall_ms, expected.item.state.active_wall_ms);
    EXPECT_EQ(actual.first_sequence, expected.item.first_sequence);
    EXPECT_EQ(actual.unstored, expected.item.unstored);
    EXPECT_EQ(actual.flags, expected.item.flags);
    ASSERT_EQ(actual.run_count, expected.runs.size());
    for (uint32_t i = 0; i < actual.run_count; i++) {
        const struct lane_run run = lane_item_run(&actual, i);
        EXPECT_EQ(run.count, expected.runs[i].count);
        EXPECT_EQ(run.fate, expected.runs[i].fate);
        EXPECT_EQ(run.topic, expected.runs[i].topic);
        EXPECT_EQ(run.base_offset, expected.runs[i].base_offset);
    }
}

// By hand from docs/log-format.md's table, reserved bytes zero.
const uint8_t distinct_front[] = {
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab,
    0xac, 0xad, 0xae, 0xaf, 0x04, 0x03, 0x02, 0x01, 0x08, 0x07, 0x06, 0x05, // lane, home
    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,                         // epoch
    0x05, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,                         // last sequence
    0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,                         // first sequence
    0xff, 0x0f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,                         // confirmed
    0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,                         // hash
    0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41,                         // unstored
    0xc9, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xff,                         // active
    0x03, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00,                         // flags, runs
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,                         // reserved
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // first run: count, fate
    0x54, 0x53, 0x52, 0x51, 0x00, 0x00, 0x00, 0x00, // topic
    0x68, 0x67, 0x66, 0x65, 0x64, 0x63, 0x62, 0x61, // offset
    0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, // second run
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
};

TEST(LaneItem, IsEncodedAsTheTableSays)
{
    const Bytes entry = Encode(Distinct());

    ASSERT_GE(entry.size(), sizeof distinct_front);
    EXPECT_EQ(Bytes(entry.begin(), entry.begin() + sizeof distinct_front),
              Bytes(distinct_front, distinct_front + sizeof distinct_front));
}

TEST(LaneItem, ComesBackWithEveryField)
{
    const Bytes entry = Encode(Distinct());
    struct bytes rest = View(entry);
    struct lane_item out;

    ASSERT_EQ(lane_item_decode(&rest, &out), STATUS_OK);

    ExpectSame(Distinct(), out);
    EXPECT_EQ(lane_item_decode(&rest, &out), STATUS_NOT_FOUND);
}

TEST(LaneItem, ManyComeBackInOrderWhateverTheySay)
{
    std::mt19937_64 random(20);
    std::vector<Item> items;
    Bytes entry;
    for (int i = 0; i < 300; i++) {
        Item each;
        for (uint8_t &byte : each.item.state.key.producer.bytes) { byte = uint8_t(random()); }
        each.item.state.key.number = uint32_t(random());
        each.item.state.home = uint32_t(random());
        each.item.state.epoch = random();
        each.item.state.confirmed = random();
        each.item.state.hash = random();
        each.item.state.active_wall_ms = int64_t(random());
        each.item.unstored = random();
        each.item.flags = uint32_t(random());
        each.item.run_count = uint32_t(random() % 5);
        each.item.first_sequence = 1 + random() % (NATIVE_SEQUENCE_MAX - (UINT64_C(5) << 32));
        uint64_t total = 0;
        for (uint32_t j = 0; j < each.item.run_count; j++) {
            each.runs.push_back(
                {1 + uint32_t(random() >> 33), uint8_t(random()), int32_t(random()), random()});
            total += each.runs.back().count;
        }
        each.item.state.last_sequence = each.item.first_sequence + total - 1;
        const Bytes bytes = Encode(each);
        entry.insert(entry.end(), bytes.begin(), bytes.end());
        items.push_back(each);
    }

    struct bytes rest = View(entry);
    for (const Item &each : items) {
        struct lane_item out;
        ASSERT_EQ(lane_item_decode(&rest, &out), STATUS_OK);
        ExpectSame(each, out);
    }
    EXPECT_EQ(rest.len_bytes, 0U);
}

TEST(LaneItem, WithoutRunsStartsBehindItsLastSequence)
{
    Item item = Distinct();
    item.item.run_count = 0;
    item.runs.clear();

    item.item.first_sequence = item.item.state.last_sequence + 1;
    EXPECT_EQ(DecodeOf(item), STATUS_OK);
    item.item.first_sequence = item.item.state.last_sequence;
    EXPECT_EQ(DecodeOf(item), STATUS_CORRUPT);
    item.item.first_sequence = item.item.state.last_sequence + 2;
    EXPECT_EQ(DecodeOf(item), STATUS_CORRUPT);
}

TEST(LaneItem, OfALaneThatHadNoRecordIsTaken)
{
    Item item = Distinct();
    item.item.run_count = 0;
    item.runs.clear();
    item.item.state.last_sequence = 0;

    item.item.first_sequence = 1;
    EXPECT_EQ(DecodeOf(item), STATUS_OK);
    item.item.first_sequence = 0;
    EXPECT_EQ(DecodeOf(item), STATUS_CORRUPT);
}

TEST(LaneItem, RefusesRunsThatDoNotFillItsSequences)
{
    Item one_more = Distinct(), one_less = Distinct(), nothing = Distinct(), huge = Distinct();
    one_more.runs[2].count++;
    one_less.runs[2].count--;
    nothing.runs[0].count = 0;
    huge.runs[1].count = UINT32_MAX;

    EXPECT_EQ(DecodeOf(one_more), STATUS_CORRUPT);
    EXPECT_EQ(DecodeOf(one_less), STATUS_CORRUPT);
    EXPECT_EQ(DecodeOf(nothing), STATUS_CORRUPT);
    EXPECT_EQ(DecodeOf(huge), STATUS_CORRUPT);
}

TEST(LaneItem, RefusesARunOfNothingThoughTheRestFills)
{
    Item item = Distinct();
    item.runs[0].count = 0;
    item.runs[2].count = 4;

    EXPECT_EQ(DecodeOf(item), STATUS_CORRUPT);
}

TEST(LaneItem, RefusesSequencesThatThereAreNot)
{
    Item item = Distinct();
    item.item.state.last_sequence = NATIVE_SEQUENCE_MAX;
    item.item.first_sequence = NATIVE_SEQUENCE_MAX - 5;
    EXPECT_EQ(DecodeOf(item), STATUS_OK);

    item.item.state.last_sequence++;
    item.item.first_sequence++;
    EXPECT_EQ(DecodeOf(item), STATUS_CORRUPT);

    item.item.state.last_sequence = UINT64_MAX;
    item.item.first_sequence = UINT64_MAX - 5;
    EXPECT_EQ(DecodeOf(item), STATUS_CORRUPT);
}

TEST(LaneItem, CutAnywhereIsCorrupt)
{
    const Bytes entry = Encode(Distinct());

    for (size_t len_bytes = 1; len_bytes < entry.size(); len_bytes++) {
        EXPECT_EQ(Decode(Bytes(entry.begin(), entry.begin() + ptrdiff_t(len_bytes))),
                  STATUS_CORRUPT)
            << len_bytes;
    }
}

TEST(LaneItem, RefusesMoreRunsThanThereAreBytes)
{
    Bytes entry = Encode(Distinct());
    const uint32_t counts[] = {4, UINT32_MAX};

    for (const uint32_t count : counts) {
        store_le32(entry.data() + offsetof(struct lane_wire, run_count_le32), count);
        EXPECT_EQ(Decode(entry), STATUS_CORRUPT);
    }
}

TEST(LaneItem, AfterARefusalTheEntryStandsWhereItWas)
{
    Item item = Distinct();
    item.runs[0].count++;
    const Bytes entry = Encode(item);
    struct bytes rest = View(entry);
    struct lane_item out;

    ASSERT_EQ(lane_item_decode(&rest, &out), STATUS_CORRUPT);

    EXPECT_EQ(rest.len_bytes, entry.size());
}

TEST(LaneItem, IgnoresReservedBytes)
{
    Bytes entry = Encode(Distinct());
    const size_t first_run = sizeof(struct lane_wire);
    memset(entry.data() + offsetof(struct lane_wire, reserved), 0xff, 8);
    memset(entry.data() + first_run + offsetof(struct lane_run_wire, reserved), 0xff, 3);
    memset(entry.data() + first_run + offsetof(struct lane_run_wire, reserved2), 0xff, 4);
    struct bytes rest = View(entry);
    struct lane_item out;

    ASSERT_EQ(lane_item_decode(&rest, &out), STATUS_OK);

    ExpectSame(Distinct(), out);
}

TEST(LaneItem, ThatDoesNotFitIsNotWritten)
{
    const Item item = Distinct();
    Bytes room(lane_item_bytes(3) - 1, 0xee);
    struct sink sink = sink_into(room.data(), room.size());

    lane_item_encode(&item.item, item.runs.data(), &sink);

    EXPECT_TRUE(sink.overflowed);
    EXPECT_EQ(room, Bytes(room.size(), 0xee));
}

} // namespace
