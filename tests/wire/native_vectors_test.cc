// Every message against vectors made by an independent implementation
// (tests/vectors/native_vectors.py): hexadecimal to fields, and fields to hexadecimal.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "wire/native.h"

namespace {

using Bytes = std::vector<uint8_t>;
using Lines = std::vector<std::string>;

struct Vector {
    std::string name;
    Bytes datagram;
    std::string result; // "": encodes too; "+": decodes only; else what refuses it
    Lines fields;       // "name value", in the file's order
};

void PrintTo(const Vector &vector, std::ostream *out) { *out << vector.name; }

// '-' is null, '.' is empty; both are no bytes here.
Bytes Unhex(const std::string &hex)
{
    Bytes out;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
        out.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
    }
    return out;
}

std::string Hex(struct bytes bytes)
{
    if (bytes_are_null(bytes)) { return "-"; }
    if (bytes.len_bytes == 0) { return "."; }
    std::string out;
    char digits[3];
    for (size_t i = 0; i < bytes.len_bytes; i++) {
        std::snprintf(digits, sizeof digits, "%02x", bytes.at[i]);
        out += digits;
    }
    return out;
}

struct bytes View(const Bytes &bytes) { return bytes_of(bytes.data(), bytes.size()); }

std::vector<Vector> ReadVectors()
{
    std::vector<Vector> out;
    std::ifstream file(NATIVE_VECTORS);
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line[0] == '#') { continue; }
        if (line[0] == ' ') {
            out.back().fields.push_back(line.substr(line.find_first_not_of(' ')));
            continue;
        }
        std::istringstream words(line);
        std::string hex;
        Vector each;
        words >> each.name >> hex >> each.result;
        each.datagram = Unhex(hex);
        out.push_back(each);
    }
    return out;
}

// --------------------------------------------------------------------- decoded, as the file's text

class Text {
  public:
    template <typename Number> Text &Add(const char *name, Number number)
    {
        lines.push_back(name + (" " + std::to_string(number)));
        return *this;
    }
    Text &Add(const char *name, struct bytes bytes)
    {
        lines.push_back(name + (" " + Hex(bytes)));
        return *this;
    }
    Lines lines;
};

// False: not `count` records that fill the payload, or a malformed one.
bool AddRecords(Text &text, const struct native_data &data)
{
    struct bytes payload = data.payload;
    for (uint32_t i = 0; i < data.record_count; i++) {
        struct bytes bytes;
        struct native_header headers[NATIVE_HEADERS_MAX];
        struct native_record record;
        if (!native_record_take(&payload, &bytes)) { return false; }
        if (!native_record_decode(bytes, headers, &record)) { return false; }
        text.lines.push_back("record");
        if (record.has_topic) { text.Add("topic", record.topic); }
        if (record.has_timestamp) { text.Add("timestamp_ms", record.timestamp_ms); }
        text.Add("key", record.key);
        for (uint32_t j = 0; j < record.header_count; j++) {
            text.lines.push_back("header " + Hex(record.headers[j].name) + " " +
                                 Hex(record.headers[j].value));
        }
        text.Add("value", record.value);
    }
    return payload.len_bytes == 0;
}

void AddNumbers(Text &text, const struct native_data &data)
{
    text.Add("packet_number", data.packet_number)
        .Add("first_sequence", data.first_sequence)
        .Add("confirmed", data.confirmed);
}

void AddAck(Text &text, const struct native_ack &ack)
{
    text.Add("status", ack.status)
        .Add("ack_number", ack.ack_number)
        .Add("received", ack.received)
        .Add("durable", ack.durable)
        .Add("fates_first", ack.fates_first)
        .Add("credit_bytes", ack.credit_bytes)
        .Add("ack_delay_us", ack.ack_delay_us);
    for (uint32_t i = 0; i < ack.range_count; i++) {
        text.lines.push_back("range " + std::to_string(ack.ranges[i].first) + " " +
                             std::to_string(ack.ranges[i].last));
    }
    struct bytes fates = ack.fates;
    uint8_t fate;
    uint64_t count;
    while (native_fate_next(&fates, &fate, &count)) {
        text.lines.push_back("fate " + std::to_string(fate) + " " + std::to_string(count));
    }
}

void AddOpen(Text &text, const struct native_open &open)
{
    text.Add("begin", open.begin)
        .Add("cookie", bytes_of(open.cookie.bytes, sizeof open.cookie.bytes))
        .Add("producer", bytes_of(open.producer.bytes, sizeof open.producer.bytes))
        .Add("lane", open.lane)
        .Add("key_id", open.key_id)
        .Add("epoch", open.epoch)
        .Add("durable", open.durable)
        .Add("oldest_held", open.oldest_held)
        .Add("previous_session", open.previous_session)
        .Add("datagram_bytes", open.datagram_bytes);
}

void AddAccept(Text &text, const struct native_accept &accept)
{
    text.Add("session", accept.session)
        .Add("next", accept.next)
        .Add("durable", accept.durable)
        .Add("lost_first", accept.lost_first)
        .Add("lost_last", accept.lost_last)
        .Add("credit_bytes", accept.credit_bytes)
        .Add("max_record_bytes", accept.max_record_bytes)
        .Add("datagram_bytes", accept.datagram_bytes)
        .Add("ack_delay_us", accept.ack_delay_us)
        .Add("session_timeout_ms", accept.session_timeout_ms)
        .Add("remember_s", accept.remember_s)
        .Add("partition", accept.partition)
        .Add("status", accept.status)
        .Add("incarnation", accept.incarnation);
}

void AddReject(Text &text, const struct native_reject &reject)
{
    text.Add("code", reject.code)
        .Add("detail", reject.detail)
        .Add("retry_after_ms", reject.retry_after_ms)
        .Add("source_port", reject.source_port)
        .Add("target_port", reject.target_port)
        .Add("partition", reject.partition);
}

const char *const type_names[] = {"VERSIONS", "HELLO", "CHALLENGE", "OPEN",  "ACCEPT", "DATA",
                                  "FRAGMENT", "PING",  "ACK",       "CLOSE", "REJECT"};

// False: the records do not hold.
bool AddBody(Text &text, const struct native_datagram &in)
{
    switch (in.type) {
    case NATIVE_VERSIONS:
        text.Add("count", in.versions.count);
        for (uint32_t i = 0; i < in.versions.count; i++) {
            text.Add("version", in.versions.versions[i]);
        }
        return true;
    case NATIVE_HELLO: text.Add("key_id", in.hello.key_id); return true;
    case NATIVE_CHALLENGE:
        text.Add("cookie", bytes_of(in.challenge.bytes, sizeof in.challenge.bytes));
        return true;
    case NATIVE_OPEN: AddOpen(text, in.open); return true;
    case NATIVE_ACCEPT: AddAccept(text, in.accept); return true;
    case NATIVE_DATA:
        AddNumbers(text, in.data);
        text.Add("count", in.data.record_count);
        return AddRecords(text, in.data);
    case NATIVE_FRAGMENT:
        AddNumbers(text, in.data);
        text.Add("record_bytes", in.data.record_bytes)
            .Add("fragment_offset", in.data.fragment_offset)
            .Add("payload", in.data.payload);
        return true;
    case NATIVE_PING:
        AddNumbers(text, in.data);
        text.Add("len_bytes", NATIVE_PING_BYTES + in.data.payload.len_bytes);
        return true;
    case NATIVE_ACK: AddAck(text, in.ack); return true;
    case NATIVE_CLOSE:
        text.Add("reason", in.close.reason)
            .Add("number", in.close.number)
            .Add("sequence", in.close.sequence)
            .Add("confirmed", in.close.confirmed);
        return true;
    default: AddReject(text, in.reject); return true;
    }
}

const char *const result_names[NATIVE_RESULT_COUNT] = {
    "OK", "TRUNCATED", "BAD_CHECKSUM", "OTHER_VERSION", "SEALED", "UNKNOWN_TYPE", "MALFORMED"};

// The datagram's fields as the file has them, and in `result` how decoding ended.
Lines Decode(const Bytes &datagram, std::string *result)
{
    struct native_datagram in;
    const enum native_result decoded = native_decode(View(datagram), &in);
    *result = result_names[decoded];
    if (decoded != NATIVE_OK) { return {}; }
    Text text;
    text.lines.push_back(std::string("type ") + type_names[in.type]);
    text.Add("token", in.token);
    if (!AddBody(text, in)) { *result = "RECORDS"; }
    return text.lines;
}

// -------------------------------------------------------------------- encoded, from the file's
// text

class Fields {
  public:
    explicit Fields(const Lines &lines) : lines(lines) {}

    std::string Word(const std::string &name) const
    {
        for (const std::string &line : lines) {
            if (line.compare(0, name.size() + 1, name + " ") == 0) {
                return line.substr(name.size() + 1);
            }
        }
        ADD_FAILURE() << "the file has no " << name;
        return "0";
    }
    template <typename Number> void Get(const char *name, Number *out) const
    {
        *out = static_cast<Number>(std::stoull(Word(name)));
    }
    template <size_t N> void Get(const char *name, uint8_t (*out)[N]) const
    {
        const Bytes bytes = Unhex(Word(name));
        ASSERT_EQ(bytes.size(), N);
        memcpy(*out, bytes.data(), N);
    }

    const Lines &lines;
};

enum { ROOM_BYTES = 65536 };

struct native_data Numbers(const Fields &fields)
{
    struct native_data out = {};
    fields.Get("packet_number", &out.packet_number);
    fields.Get("first_sequence", &out.first_sequence);
    fields.Get("confirmed", &out.confirmed);
    return out;
}

size_t EncodeOpen(const Fields &fields, uint64_t token, uint8_t *room)
{
    struct native_open open = {};
    fields.Get("begin", &open.begin);
    fields.Get("cookie", &open.cookie.bytes);
    fields.Get("producer", &open.producer.bytes);
    fields.Get("lane", &open.lane);
    fields.Get("key_id", &open.key_id);
    fields.Get("epoch", &open.epoch);
    fields.Get("durable", &open.durable);
    fields.Get("oldest_held", &open.oldest_held);
    fields.Get("previous_session", &open.previous_session);
    fields.Get("datagram_bytes", &open.datagram_bytes);
    return native_encode_open(room, ROOM_BYTES, token, &open);
}

size_t EncodeAccept(const Fields &fields, uint64_t token, uint8_t *room)
{
    struct native_accept accept = {};
    fields.Get("session", &accept.session);
    fields.Get("next", &accept.next);
    fields.Get("durable", &accept.durable);
    fields.Get("lost_first", &accept.lost_first);
    fields.Get("lost_last", &accept.lost_last);
    fields.Get("credit_bytes", &accept.credit_bytes);
    fields.Get("max_record_bytes", &accept.max_record_bytes);
    fields.Get("datagram_bytes", &accept.datagram_bytes);
    fields.Get("ack_delay_us", &accept.ack_delay_us);
    fields.Get("session_timeout_ms", &accept.session_timeout_ms);
    fields.Get("remember_s", &accept.remember_s);
    fields.Get("partition", &accept.partition);
    fields.Get("status", &accept.status);
    fields.Get("incarnation", &accept.incarnation);
    return native_encode_accept(room, ROOM_BYTES, token, &accept);
}

struct bytes Nullable(const std::string &word, const Bytes &bytes)
{
    static const uint8_t nothing[1] = {};
    if (word == "-") { return bytes_null(); }
    return bytes.empty() ? bytes_of(nothing, 0) : View(bytes);
}

void EncodeRecord(const Lines &lines, struct sink *out)
{
    std::vector<Bytes> memory;
    memory.reserve(2 * lines.size());
    std::vector<struct native_header> headers;
    struct native_record record = {};
    for (const std::string &line : lines) {
        std::istringstream words(line);
        std::string name, first, second;
        words >> name >> first >> second;
        const Bytes &bytes = memory.emplace_back(Unhex(first));
        if (name == "topic") {
            record.has_topic = true;
            record.topic = static_cast<uint32_t>(std::stoul(first));
        } else if (name == "timestamp_ms") {
            record.has_timestamp = true;
            record.timestamp_ms = std::stoll(first);
        } else if (name == "key") {
            record.key = Nullable(first, bytes);
        } else if (name == "value") {
            record.value = Nullable(first, bytes);
        } else {
            const Bytes &value = memory.emplace_back(Unhex(second));
            headers.push_back({Nullable(first, bytes), Nullable(second, value)});
        }
    }
    record.headers = headers.data();
    record.header_count = static_cast<uint32_t>(headers.size());
    native_record_encode(out, &record);
}

size_t EncodeData(const Fields &fields, uint64_t token, uint8_t *room)
{
    struct native_data data = Numbers(fields);
    struct sink sink = native_data_begin(room, ROOM_BYTES);
    std::vector<Lines> records;
    for (const std::string &line : fields.lines) {
        if (line == "record") {
            records.emplace_back();
        } else if (!records.empty()) {
            records.back().push_back(line);
        }
    }
    for (const Lines &record : records) { EncodeRecord(record, &sink); }
    data.record_count = static_cast<uint32_t>(records.size());
    return native_data_end(room, &sink, token, &data);
}

size_t EncodeFragment(const Fields &fields, uint64_t token, uint8_t *room)
{
    struct native_data fragment = Numbers(fields);
    fields.Get("record_bytes", &fragment.record_bytes);
    fields.Get("fragment_offset", &fragment.fragment_offset);
    const Bytes payload = Unhex(fields.Word("payload"));
    fragment.payload = View(payload);
    return native_encode_fragment(room, ROOM_BYTES, token, &fragment);
}

size_t EncodePing(const Fields &fields, uint64_t token, uint8_t *room)
{
    const struct native_data ping = Numbers(fields);
    size_t len_bytes = 0;
    fields.Get("len_bytes", &len_bytes);
    return native_encode_ping(room, ROOM_BYTES, token, &ping, len_bytes);
}

size_t EncodeAck(const Fields &fields, uint64_t token, uint8_t *room)
{
    struct native_ack ack = {};
    fields.Get("status", &ack.status);
    fields.Get("ack_number", &ack.ack_number);
    fields.Get("received", &ack.received);
    fields.Get("durable", &ack.durable);
    fields.Get("fates_first", &ack.fates_first);
    fields.Get("credit_bytes", &ack.credit_bytes);
    fields.Get("ack_delay_us", &ack.ack_delay_us);
    std::vector<std::pair<uint8_t, uint64_t>> fates;
    for (const std::string &line : fields.lines) {
        std::istringstream words(line);
        std::string name;
        uint64_t first = 0, second = 0;
        words >> name >> first >> second;
        if (name == "range") { ack.ranges[ack.range_count++] = {first, second}; }
        if (name == "fate") { fates.emplace_back(first, second); }
    }
    struct sink sink = native_ack_begin(room, ROOM_BYTES, token, &ack);
    for (const auto &[fate, count] : fates) { EXPECT_TRUE(native_fate_put(&sink, fate, count)); }
    return native_ack_end(room, &sink, ack.durable);
}

size_t EncodeClose(const Fields &fields, uint64_t token, uint8_t *room)
{
    struct native_close close = {};
    fields.Get("reason", &close.reason);
    fields.Get("number", &close.number);
    fields.Get("sequence", &close.sequence);
    fields.Get("confirmed", &close.confirmed);
    return native_encode_close(room, ROOM_BYTES, token, &close);
}

size_t EncodeReject(const Fields &fields, uint64_t token, uint8_t *room)
{
    struct native_reject reject = {};
    fields.Get("code", &reject.code);
    fields.Get("detail", &reject.detail);
    fields.Get("retry_after_ms", &reject.retry_after_ms);
    fields.Get("source_port", &reject.source_port);
    fields.Get("target_port", &reject.target_port);
    fields.Get("partition", &reject.partition);
    return native_encode_reject(room, ROOM_BYTES, token, &reject);
}

Bytes Encode(const Fields &fields)
{
    Bytes room(ROOM_BYTES, 0xee);
    uint64_t token = 0;
    fields.Get("token", &token);
    const std::string type = fields.Word("type");
    size_t len_bytes = 0;
    if (type == "VERSIONS") {
        len_bytes = native_encode_versions(room.data(), room.size(), token);
    } else if (type == "HELLO") {
        struct native_hello hello = {};
        fields.Get("key_id", &hello.key_id);
        len_bytes = native_encode_hello(room.data(), room.size(), token, &hello);
    } else if (type == "CHALLENGE") {
        struct native_cookie cookie = {};
        fields.Get("cookie", &cookie.bytes);
        len_bytes = native_encode_challenge(room.data(), room.size(), token, &cookie);
    } else if (type == "OPEN") {
        len_bytes = EncodeOpen(fields, token, room.data());
    } else if (type == "ACCEPT") {
        len_bytes = EncodeAccept(fields, token, room.data());
    } else if (type == "DATA") {
        len_bytes = EncodeData(fields, token, room.data());
    } else if (type == "FRAGMENT") {
        len_bytes = EncodeFragment(fields, token, room.data());
    } else if (type == "PING") {
        len_bytes = EncodePing(fields, token, room.data());
    } else if (type == "ACK") {
        len_bytes = EncodeAck(fields, token, room.data());
    } else if (type == "CLOSE") {
        len_bytes = EncodeClose(fields, token, room.data());
    } else if (type == "REJECT") {
        len_bytes = EncodeReject(fields, token, room.data());
    }
    room.resize(len_bytes);
    return room;
}

// ------------------------------------------------------------------------------------------ tests

std::vector<Vector> VectorsWhere(bool (*holds)(const Vector &))
{
    std::vector<Vector> out;
    for (const Vector &each : ReadVectors()) {
        if (holds(each)) { out.push_back(each); }
    }
    return out;
}

bool Encodes(const Vector &each) { return each.result.empty(); }
bool IsTaken(const Vector &each) { return each.result.empty() || each.result == "+"; }
bool IsRefused(const Vector &each) { return !IsTaken(each); }

std::string NameOf(const testing::TestParamInfo<Vector> &info)
{
    std::string out = info.param.name;
    for (char &each : out) {
        if (each == '-') { each = '_'; }
    }
    return out;
}

class NativeMessage : public testing::TestWithParam<Vector> {};

TEST_P(NativeMessage, IsDecodedIntoItsFields)
{
    std::string result;

    EXPECT_EQ(Decode(GetParam().datagram, &result), GetParam().fields);
    EXPECT_EQ(result, "OK");
}

class NativeOwnMessage : public testing::TestWithParam<Vector> {};

TEST_P(NativeOwnMessage, IsEncodedFromItsFieldsByteByByte)
{
    EXPECT_EQ(Hex(View(Encode(Fields(GetParam().fields)))), Hex(View(GetParam().datagram)));
}

TEST_P(NativeOwnMessage, WithOneBitFlippedIsNeverTaken)
{
    Bytes datagram = GetParam().datagram;
    struct native_datagram in;
    size_t taken = 0;

    for (size_t bit = 0; bit < datagram.size() * 8; bit++) {
        datagram[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        taken += native_decode(View(datagram), &in) == NATIVE_OK;
        datagram[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    }

    EXPECT_EQ(taken, 0U);
}

class NativeRefusal : public testing::TestWithParam<Vector> {};

TEST_P(NativeRefusal, SaysWhy)
{
    // An exact-size copy: the address sanitizer sees a read one byte too far.
    std::string result;
    (void)Decode(GetParam().datagram, &result);

    EXPECT_EQ(result, GetParam().result);
}

INSTANTIATE_TEST_SUITE_P(Vectors, NativeMessage, testing::ValuesIn(VectorsWhere(IsTaken)), NameOf);
INSTANTIATE_TEST_SUITE_P(Vectors, NativeOwnMessage, testing::ValuesIn(VectorsWhere(Encodes)),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Vectors, NativeRefusal, testing::ValuesIn(VectorsWhere(IsRefused)),
                         NameOf);

TEST(NativeVectors, HoldEveryMessageAndEveryRefusal)
{
    size_t types[ARRAY_COUNT(type_names)] = {};
    for (const Vector &each : VectorsWhere(Encodes)) {
        for (size_t i = 0; i < ARRAY_COUNT(type_names); i++) {
            types[i] += each.fields.at(0) == std::string("type ") + type_names[i];
        }
    }
    size_t results[NATIVE_RESULT_COUNT] = {};
    for (const Vector &each : VectorsWhere(IsRefused)) {
        for (size_t i = 0; i < NATIVE_RESULT_COUNT; i++) {
            results[i] += each.result == result_names[i];
        }
    }

    for (const size_t count : types) { EXPECT_GE(count, 1U); }
    EXPECT_EQ(results[NATIVE_OK], 0U);
    for (size_t i = 1; i < NATIVE_RESULT_COUNT; i++) { EXPECT_GE(results[i], 1U); }
}

} // namespace
