// Every API and version against answers made by an independent implementation
// (tests/vectors/kafka_vectors.py): byte by byte.
#include <fstream>
#include <set>
#include <sstream>

#include "tests/serve/node.h"

namespace {

using namespace serve_test;

struct Vector {
    std::string name;
    std::string request;
    std::string answer;
};

std::vector<Vector> ReadVectors()
{
    std::vector<Vector> out;
    std::ifstream file(KAFKA_VECTORS);
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        Vector each;
        if (line[0] != '#' && words >> each.name >> each.request >> each.answer) {
            out.push_back(each);
        }
    }
    return out;
}

std::string Hex(const Bytes &bytes)
{
    std::string out;
    char digits[3];
    for (const uint8_t byte : bytes) {
        std::snprintf(digits, sizeof digits, "%02x", byte);
        out += digits;
    }
    return out;
}

// The node that kafka_vectors.py describes.
void Furnish(Node &node, bool in_ring)
{
    const Bytes batch = Unhex("00000000000000070000004e0000000002a7246e450000000000010000018bcfe568"
                              "000000018bcfe56805ffffffffffffffffffffffffffff00000002160000000"
                              "10a68656c6c6f0020000a02026b0a776f726c640202680231");
    const struct log_id cluster = {
        {0x10, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16}};
    fake_reader_set_cluster_id(node.reader, cluster);
    fake_reader_set_partitions(node.reader, 2);
    fake_reader_set_leader_epoch(node.reader, 3);
    fake_reader_add_topic(node.reader, "events", Id(1));
    fake_reader_append_batch(node.reader, 0, 0, View(batch), in_ring);
    fake_reader_set_log_start(node.reader, 0, 0, 7);
}

class KafkaVector : public testing::TestWithParam<Vector> {};

TEST_P(KafkaVector, IsAnsweredByteByByteFromTheRing)
{
    Node node;
    Furnish(node, /*in_ring=*/true);
    Request request(node, Unhex(GetParam().request));

    ASSERT_EQ(request.turn, KAFKA_TURN_DONE);

    EXPECT_EQ(Hex(request.Answer()), GetParam().answer);
}

TEST_P(KafkaVector, IsAnsweredByteByByteFromDiskWithoutACache)
{
    Node node(/*cache_bytes=*/0);
    Furnish(node, /*in_ring=*/false);
    Request request(node, Unhex(GetParam().request));

    request.Finish();

    ASSERT_EQ(request.turn, KAFKA_TURN_DONE);
    EXPECT_EQ(Hex(request.Answer()), GetParam().answer);
}

TEST_P(KafkaVector, IsRefusedOrAnsweredAtEveryLengthItCanBeCutTo)
{
    Node node;
    Furnish(node, true);
    const Bytes whole = Unhex(GetParam().request);

    for (size_t len_bytes = 0; len_bytes < whole.size(); len_bytes++) {
        Request request(node, Bytes(whole.begin(), whole.begin() + long(len_bytes)));
        const bool fallback = GetParam().name == "ApiVersions-99-fallback" && len_bytes >= 8;
        EXPECT_EQ(request.turn, fallback ? KAFKA_TURN_DONE : KAFKA_TURN_CLOSE) << len_bytes;
    }
}

TEST_P(KafkaVector, SurvivesHostileLengthsAtEveryPlace)
{
    Node node;
    Furnish(node, true);
    const Bytes whole = Unhex(GetParam().request);
    const std::vector<uint32_t> values = {0xffffffff, 0xfffffffe, 0x80000000, 0x7fffffff,
                                          0x7fff7fff, 0x00ffffff, 0,          1};

    for (size_t at = 8; at + 4 <= whole.size(); at++) {
        for (const uint32_t value : values) {
            Bytes bent = whole;
            store_be32(&bent[at], value);
            Request request(node, bent);
            request.Finish();
            EXPECT_LE(request.request.out.capacity_bytes, size_t{64} << 10);
        }
    }
}

TEST_P(KafkaVector, SurvivesEveryByteAtEveryPlace)
{
    Node node;
    Furnish(node, true);
    const Bytes whole = Unhex(GetParam().request);

    for (size_t at = 0; at < whole.size(); at++) {
        for (const uint8_t value : {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff}) {
            Bytes bent = whole;
            bent[at] = value;
            Request request(node, bent);
            request.Finish();
            EXPECT_NE(request.turn, KAFKA_TURN_READING);
        }
    }
}

std::string NameOf(const testing::TestParamInfo<Vector> &info)
{
    std::string name = info.param.name;
    for (char &c : name) { c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_'; }
    return name;
}

INSTANTIATE_TEST_SUITE_P(All, KafkaVector, testing::ValuesIn(ReadVectors()), NameOf);

TEST(KafkaVectors, CoverEveryVersionThatIsAdvertised)
{
    std::set<std::string> covered;
    for (const Vector &each : ReadVectors()) {
        covered.insert(each.name.substr(0, each.name.find('-', each.name.find('-') + 1)));
    }

    for (size_t i = 0; i < kafka_api_count(); i++) {
        const struct kafka_api *api = kafka_api_at(i);
        for (int version = api->version_min; version <= api->version_max; version++) {
            const std::string name = std::string(api->name) + "-" + std::to_string(version);
            EXPECT_EQ(covered.count(name), 1U) << name;
        }
    }
}

} // namespace
