// node.h - a catalog over a fake reader, and requests run against it without a socket.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "serve/kafka_error.h"
#include "serve/kafka_request.h"
#include "tests/serve/fake_reader.h"

namespace serve_test {

using Bytes = std::vector<uint8_t>;

inline struct bytes View(const Bytes &bytes) { return bytes_of(bytes.data(), bytes.size()); }
inline Bytes Copy(struct bytes bytes) { return Bytes(bytes.at, bytes.at + bytes.len_bytes); }

inline Bytes Unhex(const std::string &hex)
{
    Bytes out;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
        out.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
    }
    return out;
}

inline struct log_id Id(uint8_t byte)
{
    struct log_id id = {};
    std::memset(id.bytes, byte, 4);
    return id;
}

// Everything a request needs, without thread and socket: cold reads run when asked to.
struct Node {
    struct reader *reader = nullptr;
    struct serve_stats stats = {};
    struct catalog catalog = {};
    struct kafka_service service = {};

    explicit Node(size_t cache_bytes = 1 << 20, size_t queue_max = 16)
    {
        const struct reader_options reader_options = {};
        EXPECT_EQ(reader_create(&reader_options, &reader), STATUS_OK);
        struct cold_reader_options cold = {};
        cold.reader = reader;
        cold.queue_max = queue_max;
        catalog.reader = reader;
        catalog.cache = block_cache_create(cache_bytes);
        EXPECT_EQ(cold_reader_create(&cold, &catalog.cold), STATUS_OK);
        catalog.stats = &stats;
        service.catalog = &catalog;
        service.stats = &stats;
    }
    Node(const Node &) = delete;
    Node &operator=(const Node &) = delete;
    ~Node()
    {
        cold_reader_destroy(catalog.cold);
        block_cache_destroy(catalog.cache);
        reader_destroy(reader);
    }

    uint64_t Count(enum serve_counter counter) const { return stats.counters[counter]; }
};

// One request; ends itself.
struct Request {
    Node &node;
    Bytes frame;
    struct kafka_request request = {};
    enum kafka_turn turn = KAFKA_TURN_CLOSE;

    Request(Node &on, Bytes bytes, uint64_t now_ns = 0) : node(on), frame(std::move(bytes))
    {
        const struct kafka_address address = {"edge-17", 9092};
        turn = kafka_request_begin(&request, &node.service, address, this, View(frame), now_ns);
    }
    Request(const Request &) = delete;
    Request &operator=(const Request &) = delete;
    ~Request() { kafka_request_end(&request); }

    void Resume(uint64_t now_ns, bool must_answer = false)
    {
        turn = kafka_request_resume(&request, now_ns, must_answer);
    }

    // Runs cold reads until the request is through.
    void Finish()
    {
        for (int i = 0; i < 10000 && turn == KAFKA_TURN_READING; i++) {
            void *owner = nullptr;
            ASSERT_TRUE(cold_reader_step(node.catalog.cold));
            ASSERT_TRUE(catalog_take_finished(&node.catalog, &owner));
            ASSERT_EQ(owner, this);
            Resume(0);
        }
    }

    Bytes Answer() const { return Copy(kafka_request_answer(&request)); }
};

// Writes requests in the old, not flexible form.
struct Frame {
    Bytes bytes;

    Frame(int16_t key, int16_t version) { I16(key).I16(version).I32(7).Text("t"); }
    Frame &Number(uint64_t value, int count)
    {
        for (int i = count - 1; i >= 0; i--) { bytes.push_back(uint8_t(value >> (8 * i))); }
        return *this;
    }
    Frame &I8(int8_t value) { return Number(uint64_t(value), 1); }
    Frame &I16(int16_t value) { return Number(uint64_t(value), 2); }
    Frame &I32(int32_t value) { return Number(uint64_t(value), 4); }
    Frame &I64(int64_t value) { return Number(uint64_t(value), 8); }
    Frame &Text(const std::string &text)
    {
        I16(int16_t(text.size()));
        bytes.insert(bytes.end(), text.begin(), text.end());
        return *this;
    }
};

struct Wanted {
    int32_t partition;
    int64_t offset;
    int32_t bytes_max = 1 << 20;
};

struct FetchOptions {
    int32_t wait_ms = 0;
    int32_t bytes_min = 1;
    int32_t bytes_max = 50 << 20;
    int16_t version = 6;
};

// Fetch version 4 to 11, of one topic.
inline Bytes Fetch(const std::string &topic, const std::vector<Wanted> &wanted,
                   const FetchOptions &options = {})
{
    Frame frame(KAFKA_FETCH, options.version);
    frame.I32(-1).I32(options.wait_ms).I32(options.bytes_min).I32(options.bytes_max).I8(0);
    if (options.version >= 7) { frame.I32(0).I32(-1); } // no session
    frame.I32(1).Text(topic).I32(int32_t(wanted.size()));
    for (const Wanted &each : wanted) {
        frame.I32(each.partition);
        if (options.version >= 9) { frame.I32(-1); } // any leader epoch
        frame.I64(each.offset);
        if (options.version >= 5) { frame.I64(-1); }
        frame.I32(each.bytes_max);
    }
    if (options.version >= 7) { frame.I32(0); } // none forgotten
    if (options.version >= 11) { frame.Text(""); }
    return frame.bytes;
}

struct Fetched {
    int32_t partition;
    int16_t error;
    int64_t high_watermark;
    Bytes records;
};

// Reads an answer to Fetch version 4 to 11 of one topic.
inline std::vector<Fetched> ReadFetched(const Bytes &answer, int16_t version = 6)
{
    std::vector<Fetched> out;
    struct cursor in = cursor_over(View(answer));
    EXPECT_EQ(cursor_be32(&in), answer.size() - 4);
    cursor_skip(&in, 4 + 4);                       // correlation id, throttle
    if (version >= 7) { cursor_skip(&in, 2 + 4); } // error, session
    EXPECT_EQ(cursor_be32(&in), 1U);
    cursor_skip(&in, cursor_be16(&in));
    const uint32_t count = cursor_be32(&in);
    for (uint32_t i = 0; i < count && !in.overran; i++) {
        Fetched each;
        each.partition = int32_t(cursor_be32(&in));
        each.error = int16_t(cursor_be16(&in));
        each.high_watermark = int64_t(cursor_be64(&in));
        cursor_skip(&in, version >= 5 ? 16 : 8);    // last stable offset, log start
        EXPECT_EQ(int32_t(cursor_be32(&in)), -1);   // aborted transactions, isolation 0
        if (version >= 11) { cursor_skip(&in, 4); } // preferred replica
        each.records = Copy(cursor_bytes(&in, cursor_be32(&in)));
        out.push_back(each);
    }
    EXPECT_FALSE(in.overran);
    EXPECT_EQ(cursor_left_bytes(&in), 0U);
    return out;
}

} // namespace serve_test
