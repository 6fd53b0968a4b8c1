#include "wire/native.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "base/endian.h"

namespace {

using Bytes = std::vector<uint8_t>;
using Text = std::optional<std::string>; // nullopt: null

const uint64_t kSession = 0x2122232425262728;

struct bytes View(const Bytes &bytes) { return bytes_of(bytes.data(), bytes.size()); }

struct bytes ViewOf(const Text &text)
{
    return text ? bytes_of(text->data(), text->size()) : bytes_null();
}

Text TextOf(struct bytes bytes)
{
    if (bytes_are_null(bytes)) { return std::nullopt; }
    return std::string(reinterpret_cast<const char *>(bytes.at), bytes.len_bytes);
}

struct Record {
    std::optional<uint32_t> topic;
    std::optional<int64_t> timestamp_ms;
    Text key;
    std::vector<std::pair<std::string, Text>> headers;
    Text value;

    bool operator==(const Record &other) const
    {
        return topic == other.topic && timestamp_ms == other.timestamp_ms && key == other.key &&
               headers == other.headers && value == other.value;
    }
};

// Calls `use` with the record as the codec wants it.
template <typename Use> auto With(const Record &record, Use use)
{
    std::vector<struct native_header> headers;
    for (const auto &[name, value] : record.headers) {
        headers.push_back({bytes_of(name.data(), name.size()), ViewOf(value)});
    }
    struct native_record in = {};
    in.has_topic = record.topic.has_value();
    in.topic = record.topic.value_or(0);
    in.has_timestamp = record.timestamp_ms.has_value();
    in.timestamp_ms = record.timestamp_ms.value_or(0);
    in.key = ViewOf(record.key);
    in.value = ViewOf(record.value);
    in.headers = headers.data();
    in.header_count = static_cast<uint32_t>(headers.size());
    return use(&in);
}

size_t BytesOf(const Record &record)
{
    return With(record, [](const struct native_record *in) { return native_record_bytes(in); });
}

void Put(const Record &record, struct sink *out)
{
    With(record, [&](const struct native_record *in) { native_record_encode(out, in); });
}

template <typename Write> Bytes Written(const Record &record, Write write)
{
    Bytes out(BytesOf(record) + 10);
    struct sink sink = sink_into(out.data(), out.size());
    With(record, [&](const struct native_record *in) { write(&sink, in); });
    out.resize(sink_used_bytes(&sink));
    return out;
}

Bytes Bare(const Record &record) { return Written(record, native_record_encode_bare); }
Bytes Body(const Record &record) { return Written(record, native_body_encode); }

Record RecordOf(const struct native_record &in)
{
    Record out;
    if (in.has_topic) { out.topic = in.topic; }
    if (in.has_timestamp) { out.timestamp_ms = in.timestamp_ms; }
    out.key = TextOf(in.key);
    for (uint32_t i = 0; i < in.header_count; i++) {
        out.headers.emplace_back(*TextOf(in.headers[i].name), TextOf(in.headers[i].value));
    }
    out.value = TextOf(in.value);
    return out;
}

using Random = std::mt19937_64;

// Lengths on both sides of the varint edges come often.
std::string RandomText(Random &random)
{
    const size_t edges[] = {0, 1, 126, 127, 128, 300};
    const size_t len_bytes = random() % 2 ? edges[random() % 6] : random() % 40;
    std::string out;
    for (size_t i = 0; i < len_bytes; i++) { out += static_cast<char>(random() % 128); }
    return out;
}

Text RandomNullable(Random &random)
{
    return random() % 4 == 0 ? Text() : Text(RandomText(random));
}

Record RandomRecord(Random &random)
{
    Record out;
    if (random() % 2) { out.topic = static_cast<uint32_t>(random()); }
    if (random() % 2) { out.timestamp_ms = static_cast<int64_t>(random()); }
    out.key = RandomNullable(random);
    for (uint64_t count = random() % 3 ? 0 : random() % 25; count > 0; count--) {
        out.headers.emplace_back(RandomText(random), RandomNullable(random));
    }
    out.value = RandomNullable(random);
    return out;
}

Bytes Sealed(Bytes datagram)
{
    const size_t body_bytes = datagram.size() - NATIVE_TRAILER_BYTES;
    store_le32(datagram.data() + body_bytes, crc32c(bytes_of(datagram.data(), body_bytes)));
    return datagram;
}

Bytes DataOf(const std::vector<Record> &records, const struct native_data &numbers)
{
    Bytes room(1 << 20);
    struct sink sink = native_data_begin(room.data(), room.size());
    for (const Record &record : records) { Put(record, &sink); }
    struct native_data data = numbers;
    data.record_count = static_cast<uint32_t>(records.size());
    room.resize(native_data_end(room.data(), &sink, kSession, &data));
    return room;
}

std::vector<Record> RecordsOf(const struct native_data &data)
{
    std::vector<Record> out;
    struct bytes payload = data.payload;
    struct bytes bytes;
    while (payload.len_bytes > 0 && native_record_take(&payload, &bytes)) {
        struct native_header headers[NATIVE_HEADERS_MAX];
        struct native_record record;
        EXPECT_TRUE(native_record_decode(bytes, headers, &record));
        out.push_back(RecordOf(record));
    }
    EXPECT_EQ(payload.len_bytes, 0U);
    return out;
}

TEST(NativeToken, IsReadFromAWholeHeaderAndFromNothingShorter)
{
    uint8_t hello[NATIVE_HELLO_BYTES];
    const native_hello nothing = {};
    ASSERT_EQ(native_encode_hello(hello, sizeof hello, 77, &nothing), sizeof hello);

    EXPECT_EQ(native_token_of(bytes_of(hello, NATIVE_HEADER_BYTES)), 77U);
    EXPECT_EQ(native_token_of(bytes_of(hello, NATIVE_HEADER_BYTES - 1)), 0U);
}

TEST(NativeRecord, ComesBackWhateverIsInIt)
{
    Random random(1);
    for (int i = 0; i < 3000; i++) {
        const Record record = RandomRecord(random);
        const Bytes bare = Bare(record);
        struct native_header headers[NATIVE_HEADERS_MAX];
        struct native_record out;

        ASSERT_TRUE(native_record_decode(View(bare), headers, &out)) << i;

        EXPECT_EQ(RecordOf(out), record) << i;
        EXPECT_EQ(BytesOf(record), bare.size()) << i;
    }
}

TEST(NativeRecord, ItsBodyIsWhatAnAuditorBuildsFromIt)
{
    Random random(2);
    for (int i = 0; i < 300; i++) {
        const Record record = RandomRecord(random);
        const Bytes bare = Bare(record);
        const Bytes body = Body(record);
        struct native_header headers[NATIVE_HEADERS_MAX];
        struct native_record out;

        ASSERT_TRUE(native_record_decode(View(bare), headers, &out)) << i;

        EXPECT_TRUE(bytes_equal(out.body, View(body))) << i;
        EXPECT_EQ(native_digest(out.body), crc32c(View(body))) << i;
    }
}

TEST(NativeRecord, CutAnywhereIsMalformedAndItsBodyIsWhatIsLeft)
{
    const Record record = {7, 8, "key", {{"name", "value"}, {"null", std::nullopt}}, "value"};
    const Bytes bare = Bare(record);
    const size_t fixed_bytes = 1 + 4 + 8;

    for (size_t len_bytes = 0; len_bytes < bare.size(); len_bytes++) {
        const Bytes cut(bare.begin(), bare.begin() + static_cast<ptrdiff_t>(len_bytes));
        struct native_header headers[NATIVE_HEADERS_MAX];
        struct native_record out;

        EXPECT_FALSE(native_record_decode(View(cut), headers, &out)) << len_bytes;

        const size_t left_bytes = len_bytes < fixed_bytes ? 0 : len_bytes - fixed_bytes;
        EXPECT_EQ(out.body.len_bytes, left_bytes);
    }
}

TEST(NativeRecord, WithUnknownAttributesStillHasItsBodyBehindTheKnownFields)
{
    Bytes bare = Bare({7, std::nullopt, "key", {}, "value"});
    bare[0] |= 0x40;
    struct native_header headers[NATIVE_HEADERS_MAX];
    struct native_record out;

    EXPECT_FALSE(native_record_decode(View(bare), headers, &out));

    EXPECT_EQ(out.body.len_bytes, bare.size() - 5);
}

TEST(NativeRecord, ATopicsHashIsItsCrcButNeverZero)
{
    EXPECT_EQ(native_topic_hash(bytes_of_text("123456789")), 0xe3069283U);
    EXPECT_EQ(native_topic_hash(bytes_null()), 1U); // the CRC of nothing is 0
}

TEST(NativeHash, ExtendsAsTheDocumentSays)
{
    // H(n) = H(n-1) * factor + d(n) + 1: a body whose digest is 0 moves it too.
    EXPECT_EQ(native_hash_extend(0, 0), 1U);
    EXPECT_EQ(native_hash_extend(1, 0xe3069283), NATIVE_HASH_FACTOR + 0xe3069284);
    EXPECT_NE(native_hash_extend(native_hash_extend(0, 1), 2),
              native_hash_extend(native_hash_extend(0, 2), 1));
}

TEST(NativeData, ComesBackWithItsRecordsInOrder)
{
    Random random(3);
    for (int i = 0; i < 200; i++) {
        std::vector<Record> records(1 + random() % 20);
        for (Record &each : records) { each = RandomRecord(random); }
        struct native_data numbers = {};
        numbers.packet_number = random();
        numbers.first_sequence = 1 + random() % (NATIVE_SEQUENCE_MAX - 20);
        numbers.confirmed = random();
        const Bytes datagram = DataOf(records, numbers);
        struct native_datagram out;

        ASSERT_EQ(native_decode(View(datagram), &out), NATIVE_OK);

        EXPECT_EQ(out.type, NATIVE_DATA);
        EXPECT_EQ(out.token, kSession);
        EXPECT_EQ(out.data.packet_number, numbers.packet_number);
        EXPECT_EQ(out.data.first_sequence, numbers.first_sequence);
        EXPECT_EQ(out.data.confirmed, numbers.confirmed);
        EXPECT_EQ(out.data.record_count, records.size());
        EXPECT_EQ(RecordsOf(out.data), records);
    }
}

TEST(NativeData, HoldsAsManyRecordsAsTheLimitAndNoMore)
{
    struct native_data numbers = {};
    numbers.first_sequence = NATIVE_SEQUENCE_MAX - NATIVE_RECORDS_MAX + 1;
    Bytes datagram = DataOf(std::vector<Record>(NATIVE_RECORDS_MAX), numbers);
    struct native_datagram out;
    EXPECT_EQ(native_decode(View(datagram), &out), NATIVE_OK);
    EXPECT_EQ(RecordsOf(out.data).size(), size_t{NATIVE_RECORDS_MAX});

    store_le64(datagram.data() + 24, numbers.first_sequence + 1);
    EXPECT_EQ(native_decode(View(Sealed(datagram)), &out), NATIVE_MALFORMED);

    store_le64(datagram.data() + 24, 1);
    store_le32(datagram.data() + 4, NATIVE_RECORDS_MAX + 1);
    EXPECT_EQ(native_decode(View(Sealed(datagram)), &out), NATIVE_MALFORMED);
}

TEST(NativeData, ThatDoesNotFitHasNoLength)
{
    const Record record = {std::nullopt, std::nullopt, std::nullopt, {}, "value"};
    const size_t len_bytes = NATIVE_DATA_HEADER_BYTES + 1 + BytesOf(record) + NATIVE_TRAILER_BYTES;
    struct native_data data = {};
    data.record_count = 1;
    data.first_sequence = 1;
    size_t answered[2];

    for (size_t missing = 0; missing < 2; missing++) {
        Bytes room(len_bytes - missing);
        struct sink sink = native_data_begin(room.data(), room.size());
        Put(record, &sink);
        answered[missing] = native_data_end(room.data(), &sink, kSession, &data);
    }

    EXPECT_EQ(answered[0], len_bytes);
    EXPECT_EQ(answered[1], 0U);
}

TEST(NativeData, BeginSaysWhenThereIsNoRoomForTheHeader)
{
    Bytes room(NATIVE_DATA_HEADER_BYTES + NATIVE_TRAILER_BYTES);

    EXPECT_FALSE(native_data_begin(room.data(), room.size()).overflowed);
    EXPECT_TRUE(native_data_begin(room.data(), room.size() - 1).overflowed);
}

TEST(NativeRecordTake, LeavesThePayloadWhereItWasWhenThereIsNoRecord)
{
    const Bytes payload = {0x05, 1, 2, 3, 4};
    struct bytes rest = View(payload);
    struct bytes out;

    EXPECT_FALSE(native_record_take(&rest, &out));

    EXPECT_EQ(rest.len_bytes, payload.size());
}

// ---------------------------------------------------------------------------------------- ACK

struct Fate {
    uint8_t fate;
    uint64_t count;

    bool operator==(const Fate &other) const { return fate == other.fate && count == other.count; }
};

Bytes AckOf(const struct native_ack &ack, const std::vector<Fate> &fates, size_t capacity = 4096)
{
    Bytes room(capacity);
    struct sink sink = native_ack_begin(room.data(), room.size(), kSession, &ack);
    uint64_t durable = ack.fates_first - 1;
    for (const Fate &each : fates) {
        EXPECT_TRUE(native_fate_put(&sink, each.fate, each.count));
        durable += each.count;
    }
    room.resize(native_ack_end(room.data(), &sink, durable));
    return room;
}

struct native_ack RandomAck(Random &random)
{
    struct native_ack out = {};
    out.status = static_cast<uint8_t>(random());
    out.ack_number = random();
    out.received = random();
    out.fates_first = 1 + random() % (UINT64_C(1) << 62);
    out.credit_bytes = static_cast<uint32_t>(random());
    out.ack_delay_us = static_cast<uint32_t>(random());
    uint64_t below = random() % 3 ? random() : 70;
    for (out.range_count = 0; out.range_count < random() % 33; out.range_count++) {
        const uint64_t last = below - (below > 200 ? random() % 200 : 0);
        const uint64_t first = last - (last > 200 ? random() % 200 : random() % (last + 1));
        out.ranges[out.range_count] = {first, last};
        if (first < 2) {
            out.range_count++;
            break;
        }
        below = first - 2;
    }
    return out;
}

TEST(NativeAck, ComesBackWithRangesAndFates)
{
    Random random(4);
    for (int i = 0; i < 2000; i++) {
        const struct native_ack ack = RandomAck(random);
        std::vector<Fate> fates(random() % 10);
        for (Fate &each : fates) {
            each = {static_cast<uint8_t>(random()), 1 + (random() >> (8 + random() % 56))};
        }
        const Bytes datagram = AckOf(ack, fates);
        struct native_datagram out;

        ASSERT_EQ(native_decode(View(datagram), &out), NATIVE_OK) << i;

        ASSERT_EQ(out.ack.range_count, ack.range_count) << i;
        for (uint32_t j = 0; j < ack.range_count; j++) {
            EXPECT_EQ(out.ack.ranges[j].first, ack.ranges[j].first) << i;
            EXPECT_EQ(out.ack.ranges[j].last, ack.ranges[j].last) << i;
        }
        std::vector<Fate> walked;
        struct bytes rest = out.ack.fates;
        Fate each;
        while (native_fate_next(&rest, &each.fate, &each.count)) { walked.push_back(each); }
        EXPECT_EQ(walked, fates) << i;
        EXPECT_EQ(out.ack.status, ack.status);
        EXPECT_EQ(out.ack.ack_number, ack.ack_number);
        EXPECT_EQ(out.ack.received, ack.received);
        EXPECT_EQ(out.ack.fates_first, ack.fates_first);
        EXPECT_EQ(out.ack.credit_bytes, ack.credit_bytes);
        EXPECT_EQ(out.ack.ack_delay_us, ack.ack_delay_us);
    }
}

TEST(NativeAck, AFateThatDoesNotFitIsNotWrittenAndTheAckIsStillWhole)
{
    struct native_ack ack = {};
    ack.fates_first = 1;
    Bytes room(NATIVE_ACK_HEADER_BYTES + 2 + NATIVE_TRAILER_BYTES + 1);
    struct sink sink = native_ack_begin(room.data(), room.size(), kSession, &ack);

    EXPECT_TRUE(native_fate_put(&sink, NATIVE_STORED, 127));
    EXPECT_FALSE(native_fate_put(&sink, NATIVE_DROPPED, 1));

    room.resize(native_ack_end(room.data(), &sink, 127));
    struct native_datagram out;
    EXPECT_EQ(room.size(), size_t{NATIVE_ACK_HEADER_BYTES + 2 + NATIVE_TRAILER_BYTES});
    EXPECT_EQ(native_decode(View(room), &out), NATIVE_OK);
}

TEST(NativeAck, BeginSaysWhenHeaderOrRangesDoNotFit)
{
    struct native_ack ack = {};
    ack.fates_first = 1;
    ack.range_count = 1;
    ack.ranges[0] = {0, 200}; /* two bytes */
    const size_t enough_bytes = NATIVE_ACK_HEADER_BYTES + 2 + NATIVE_TRAILER_BYTES;
    Bytes room(enough_bytes);

    EXPECT_FALSE(native_ack_begin(room.data(), enough_bytes, kSession, &ack).overflowed);
    EXPECT_TRUE(native_ack_begin(room.data(), enough_bytes - 1, kSession, &ack).overflowed);
    EXPECT_TRUE(native_ack_begin(room.data(), 10, kSession, &ack).overflowed);
    EXPECT_TRUE(native_ack_begin(room.data(), 0, kSession, &ack).overflowed);
    const struct sink none = native_ack_begin(room.data(), 10, kSession, &ack);
    EXPECT_EQ(native_ack_end(room.data(), &none, 0), 0U);
}

// ------------------------------------------------------------------------------- fixed lengths

TEST(NativeEncode, AnswersNothingWhenOneByteIsMissing)
{
    uint8_t room[2048];
    const struct native_hello hello = {};
    const struct native_cookie cookie = {};
    const struct native_open open = {};
    struct native_accept accept = {};
    accept.session = kSession;
    const struct native_data ping = {};
    const struct native_close close = {};
    const struct native_reject reject = {};
    struct native_data fragment = {};
    fragment.record_bytes = 1;
    fragment.payload = bytes_of_text("f");

    EXPECT_EQ(native_encode_versions(room, 24, 1), 24U);
    EXPECT_EQ(native_encode_versions(room, 23, 1), 0U);
    EXPECT_EQ(native_encode_hello(room, 64, 1, &hello), 64U);
    EXPECT_EQ(native_encode_hello(room, 63, 1, &hello), 0U);
    EXPECT_EQ(native_encode_challenge(room, 44, 1, &cookie), 44U);
    EXPECT_EQ(native_encode_challenge(room, 43, 1, &cookie), 0U);
    EXPECT_EQ(native_encode_open(room, 128, 1, &open), 128U);
    EXPECT_EQ(native_encode_open(room, 127, 1, &open), 0U);
    EXPECT_EQ(native_encode_accept(room, 100, 1, &accept), 100U);
    EXPECT_EQ(native_encode_accept(room, 99, 1, &accept), 0U);
    EXPECT_EQ(native_encode_fragment(room, 53, 1, &fragment), 53U);
    EXPECT_EQ(native_encode_fragment(room, 52, 1, &fragment), 0U);
    EXPECT_EQ(native_encode_fragment(room, 51, 1, &fragment), 0U);
    EXPECT_EQ(native_encode_ping(room, 1472, 1, &ping, 1472), 1472U);
    EXPECT_EQ(native_encode_ping(room, 1471, 1, &ping, 1472), 0U);
    EXPECT_EQ(native_encode_close(room, 44, 1, &close), 44U);
    EXPECT_EQ(native_encode_close(room, 43, 1, &close), 0U);
    EXPECT_EQ(native_encode_reject(room, 40, 1, &reject), 40U);
    EXPECT_EQ(native_encode_reject(room, 39, 1, &reject), 0U);
}

} // namespace
