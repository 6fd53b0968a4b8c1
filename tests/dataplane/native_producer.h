/* native_producer.h - a producer that says exactly what a test tells it to, and a world to say it
 * in.
 *
 * It speaks the codec of wire/native.h and has no loss recovery, no pacing and no manners: tests
 * choose every packet number, sequence and byte. */
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/crc32c.h"
#include "base/endian.h"
#include "tests/dataplane/native_rig.h"
#include "wire/log_format.h"
#include "wire/native.h"
#include "wire/record_batch.h"

using Bytes = std::vector<uint8_t>;
using Values = std::vector<std::string>;
using Fates = std::vector<std::pair<uint8_t, uint64_t>>; // fate, how many in a row

constexpr uint64_t kMs = NS_PER_MS;
constexpr uint64_t kSecond = NS_PER_S;

inline struct bytes ViewOf(const Bytes &bytes) { return bytes_of(bytes.data(), bytes.size()); }
inline struct bytes ViewOf(const std::string &text)
{
    return bytes_of(reinterpret_cast<const uint8_t *>(text.data()), text.size());
}

// An answer, with what it borrows from.
struct Answer {
    std::shared_ptr<Bytes> bytes;
    size_t frame_bytes = 0;
    struct native_datagram datagram = {};
    uint8_t Type() const { return datagram.type; }
};

struct Ack {
    struct native_ack wire = {};
    Fates fates;
    std::vector<std::pair<uint64_t, uint64_t>> ranges; // first, last; newest first
};

inline Ack AckOf(const Answer &answer)
{
    Ack out;
    out.wire = answer.datagram.ack;
    struct bytes fates = out.wire.fates;
    uint8_t fate;
    uint64_t count;
    while (native_fate_next(&fates, &fate, &count)) { out.fates.emplace_back(fate, count); }
    for (uint32_t i = 0; i < out.wire.range_count; i++) {
        out.ranges.emplace_back(out.wire.ranges[i].first, out.wire.ranges[i].last);
    }
    return out;
}

// Workers on simulated ports, and what they sent, by whom it was sent to.
class World {
  public:
    explicit World(const struct native_rig_options &options) : rig_(native_rig_create(&options)) {}

    struct native_rig *Rig() { return rig_.get(); }

    void Turn(int turns = 1, uint64_t step_ns = 100 * NS_PER_US)
    {
        for (int i = 0; i < turns; i++) {
            native_rig_turn(rig_.get(), step_ns);
            Collect();
        }
    }

    void Run(uint64_t time_ns, uint64_t step_ns = kMs)
    {
        for (uint64_t passed = 0; passed < time_ns; passed += step_ns) { Turn(1, step_ns); }
    }

    std::deque<Answer> &Inbox(struct sim_address address)
    {
        return inboxes_[{address.host, address.port}];
    }

    // Sees all that is sent; what it answers true for comes to no inbox.
    std::function<bool(const struct sim_datagram &, size_t frame_bytes)> on_sent;

  private:
    void Collect()
    {
        struct sim_datagram datagram;
        size_t frame_bytes;
        while (native_rig_take(rig_.get(), &datagram, &frame_bytes)) {
            if (on_sent && on_sent(datagram, frame_bytes)) { continue; }
            Answer answer;
            answer.bytes = std::make_shared<Bytes>(
                datagram.payload.at, datagram.payload.at + datagram.payload.len_bytes);
            answer.frame_bytes = frame_bytes;
            const enum native_result result =
                native_decode(ViewOf(*answer.bytes), &answer.datagram);
            ASSERT_EQ(result, NATIVE_OK) << "the appliance sent what its own decoder refuses";
            ASSERT_LE(answer.bytes->size(), size_t{NATIVE_DATAGRAM_BYTES_BASE});
            inboxes_[{datagram.target.host, datagram.target.port}].push_back(answer);
        }
    }

    struct Destroy {
        void operator()(struct native_rig *rig) const { native_rig_destroy(rig); }
    };
    std::unique_ptr<struct native_rig, Destroy> rig_;
    std::map<std::pair<uint32_t, uint16_t>, std::deque<Answer>> inboxes_;
};

// What a record holds, for Data().
struct Record {
    std::string value;
    std::string topic = "";
    Bytes raw = {}; // if not empty, sent as it is
};

inline Record RawRecord(Bytes raw)
{
    Record record;
    record.raw = std::move(raw);
    return record;
}

inline Bytes RecordBytes(const std::string &value, const std::string &topic = "")
{
    struct native_record record = {};
    record.value = ViewOf(value);
    if (!topic.empty()) {
        record.has_topic = true;
        record.topic = native_topic_hash(ViewOf(topic));
    }
    Bytes out(value.size() + 64);
    struct sink sink = sink_into(out.data(), out.size());
    native_record_encode_bare(&sink, &record);
    out.resize(sink_written(&sink).len_bytes);
    return out;
}

inline std::vector<Record> Records(const Values &values)
{
    std::vector<Record> out;
    for (const std::string &value : values) { out.push_back({value}); }
    return out;
}

// Gives a datagram that was changed a right trailer again.
inline void Seal(Bytes *datagram)
{
    const size_t body_bytes = datagram->size() - NATIVE_TRAILER_BYTES;
    store_le32(datagram->data() + body_bytes, crc32c(bytes_of(datagram->data(), body_bytes)));
}

class Producer {
  public:
    Producer(World *world, struct sim_address address, uint8_t id, uint32_t lane = 1)
        : address_(address), world_(world)
    {
        memset(open_.producer.bytes, id, sizeof open_.producer.bytes);
        open_.lane = lane;
        open_.begin = true;
        open_.epoch = 1;
        open_.durable = 0;
        open_.oldest_held = 1;
        open_.datagram_bytes = NATIVE_DATAGRAM_BYTES_BASE;
        nonce_ = (uint64_t{id} << 40) + (uint64_t{lane} << 20) + address.port;
    }

    // ------------------------------------------------------------------ handshake

    Bytes HelloBytes()
    {
        Bytes out(NATIVE_HELLO_BYTES);
        const struct native_hello hello = {0};
        EXPECT_EQ(native_encode_hello(out.data(), out.size(), nonce_, &hello), out.size());
        return out;
    }

    Bytes OpenBytes()
    {
        Bytes out(NATIVE_OPEN_BYTES);
        EXPECT_EQ(native_encode_open(out.data(), out.size(), nonce_, &open_), out.size());
        return out;
    }

    // A fresh nonce, and the cookie for it.
    void GetCookie()
    {
        nonce_++;
        Send(HelloBytes());
        for (int turn = 0; turn < 100; turn++) {
            world_->Turn();
            if (const auto answer = Take(NATIVE_CHALLENGE)) {
                EXPECT_EQ(answer->datagram.token, nonce_);
                open_.cookie = answer->datagram.challenge;
                return;
            }
        }
        ADD_FAILURE() << "no CHALLENGE";
    }

    void SendOpen() { Send(OpenBytes()); }

    // Fills accept or reject; which of them came, or 0.
    uint8_t Open(uint64_t wait_ns = 100 * kMs)
    {
        GetCookie();
        SendOpen();
        return WaitForOpen(wait_ns);
    }

    uint8_t WaitForOpen(uint64_t wait_ns = 100 * kMs)
    {
        for (uint64_t passed = 0; passed < wait_ns; passed += 100 * NS_PER_US) {
            world_->Turn();
            if (const auto answer = Take(NATIVE_ACCEPT)) {
                EXPECT_EQ(answer->datagram.token, nonce_);
                accept_ = answer->datagram.accept;
                session_ = accept_.session;
                packet_number_ = 0;
                return NATIVE_ACCEPT;
            }
            if (const auto answer = Take(NATIVE_REJECT)) {
                EXPECT_EQ(answer->datagram.token, nonce_);
                reject_ = answer->datagram.reject;
                return NATIVE_REJECT;
            }
        }
        return 0;
    }

    // ------------------------------------------------------------------ in the session

    static Bytes DataBytes(uint64_t session, uint64_t packet_number, uint64_t first,
                           const std::vector<Record> &records, uint64_t confirmed = 0)
    {
        Bytes out(65000);
        struct sink sink = native_data_begin(out.data(), out.size());
        for (const Record &record : records) {
            const Bytes raw =
                record.raw.empty() ? RecordBytes(record.value, record.topic) : record.raw;
            uint8_t prefix[10];
            size_t prefix_bytes = 0;
            for (size_t left = raw.size();; left >>= 7) {
                prefix[prefix_bytes++] =
                    static_cast<uint8_t>((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
                if (left <= 0x7f) { break; }
            }
            sink_bytes(&sink, bytes_of(prefix, prefix_bytes));
            sink_bytes(&sink, ViewOf(raw));
        }
        struct native_data data = {};
        data.packet_number = packet_number;
        data.first_sequence = first;
        data.confirmed = confirmed;
        data.record_count = static_cast<uint32_t>(records.size());
        out.resize(native_data_end(out.data(), &sink, session, &data));
        EXPECT_GT(out.size(), 0U);
        return out;
    }

    Bytes Data(uint64_t first, const std::vector<Record> &records)
    {
        return DataBytes(session_, packet_number_++, first, records, confirmed_);
    }

    void SendData(uint64_t first, const std::vector<Record> &records)
    {
        Send(Data(first, records));
    }
    void SendData(uint64_t first, const Values &values) { SendData(first, Records(values)); }

    // Bytes [offset, offset + len_bytes) of the record.
    Bytes Fragment(uint64_t sequence, const Bytes &record, size_t offset, size_t len_bytes)
    {
        Bytes out(NATIVE_FRAGMENT_HEADER_BYTES + len_bytes + NATIVE_TRAILER_BYTES);
        struct native_data data = {};
        data.packet_number = packet_number_++;
        data.first_sequence = sequence;
        data.confirmed = confirmed_;
        data.record_bytes = static_cast<uint32_t>(record.size());
        data.fragment_offset = static_cast<uint32_t>(offset);
        data.payload = bytes_of(record.data() + offset, len_bytes);
        EXPECT_EQ(native_encode_fragment(out.data(), out.size(), session_, &data), out.size());
        return out;
    }

    void SendChunk(uint64_t sequence, const Bytes &record, size_t chunk, size_t chunks = 1)
    {
        const size_t offset = chunk * NATIVE_FRAGMENT_CHUNK_BYTES;
        const size_t most = chunks * NATIVE_FRAGMENT_CHUNK_BYTES;
        const size_t left = record.size() - offset;
        Send(Fragment(sequence, record, offset, left < most ? left : most));
    }

    void SendPing(size_t len_bytes = NATIVE_PING_BYTES)
    {
        Bytes out(len_bytes);
        struct native_data data = {};
        data.packet_number = packet_number_++;
        data.confirmed = confirmed_;
        EXPECT_EQ(native_encode_ping(out.data(), out.size(), session_, &data, len_bytes),
                  len_bytes);
        Send(out);
    }

    void SendClose(uint32_t reason = NATIVE_CLOSE_DONE)
    {
        Bytes out(NATIVE_CLOSE_BYTES);
        const struct native_close close = {reason, packet_number_++, 0, confirmed_};
        EXPECT_EQ(native_encode_close(out.data(), out.size(), session_, &close), out.size());
        Send(out);
    }

    void Send(const Bytes &payload)
    {
        if (on_send) { on_send(payload); }
        native_rig_put(world_->Rig(), address_, ViewOf(payload));
    }
    std::function<void(const Bytes &)> on_send;

    // The oldest answer of this type; what came before it is dropped.
    std::optional<Answer> Take(uint8_t type)
    {
        auto &inbox = world_->Inbox(address_);
        for (size_t i = 0; i < inbox.size(); i++) {
            if (inbox[i].Type() != type) { continue; }
            const Answer answer = inbox[i];
            inbox.erase(inbox.begin(), inbox.begin() + static_cast<ptrdiff_t>(i) + 1);
            return answer;
        }
        return std::nullopt;
    }

    // All ACKs that came; the newest last.
    std::vector<Ack> TakeAcks()
    {
        std::vector<Ack> out;
        while (const auto answer = Take(NATIVE_ACK)) {
            EXPECT_EQ(answer->datagram.token, session_);
            out.push_back(AckOf(*answer));
        }
        return out;
    }

    // Turns until an ACK names this sequence as durable; that ACK.
    Ack WaitForDurable(uint64_t sequence, uint64_t wait_ns = 500 * kMs)
    {
        for (uint64_t passed = 0; passed < wait_ns; passed += 100 * NS_PER_US) {
            world_->Turn();
            for (const Ack &ack : TakeAcks()) {
                newest_ = ack;
                if (ack.wire.durable >= sequence) { return ack; }
            }
        }
        ADD_FAILURE() << "sequence " << sequence << " does not become durable, only "
                      << newest_.wire.durable;
        return newest_;
    }

    // A PING's answer: what the appliance knows now.
    Ack Ask()
    {
        TakeAcks();
        SendPing();
        const uint64_t number = packet_number_ - 1;
        for (int turn = 0; turn < 100; turn++) {
            world_->Turn();
            for (const Ack &ack : TakeAcks()) {
                newest_ = ack;
                if (!ack.ranges.empty() && ack.ranges[0].second == number) { return ack; }
            }
        }
        ADD_FAILURE() << "no ACK for a PING";
        return newest_;
    }

    struct sim_address Address() const { return address_; }
    uint64_t Session() const { return session_; }
    uint64_t Nonce() const { return nonce_; }

    struct native_open open_ = {};
    struct native_accept accept_ = {};
    struct native_reject reject_ = {};
    uint64_t session_ = 0;
    uint64_t packet_number_ = 0;
    uint64_t confirmed_ = 0;
    uint64_t nonce_;
    struct sim_address address_;

  private:
    World *world_;
    Ack newest_;
};

// One world a test; afterwards every ledger adds up and every buffer is back.
class NativeTest : public testing::Test {
  protected:
    void Start(size_t workers = 1)
    {
        workers_ = workers;
        world_ = std::make_unique<World>(options_);
        native_rig_start(world_->Rig(), workers);
        world_->Turn(20);
    }

    void TearDown() override
    {
        if (!world_) { return; }
        ExpectLedgerAddsUp();
        world_.reset(); // aborts when a buffer is missing
    }

    // Until nothing is in flight or held.
    void Settle()
    {
        for (int turn = 0; turn < 5000; turn++) {
            world_->Turn(1, kMs);
            if (native_rig_is_idle(world_->Rig())) { return; }
        }
        ADD_FAILURE() << "does not settle";
    }

    uint64_t Counter(enum stats_counter counter, size_t worker = 0)
    {
        return native_rig_stats(world_->Rig(), worker)->counters[counter];
    }

    void ExpectLedgerAddsUp()
    {
        for (size_t i = 0; i < workers_; i++) {
            struct ledger ledger;
            ledger_of(native_rig_stats(world_->Rig(), i), &ledger);
            EXPECT_EQ(ledger.frames_residue, 0);
            EXPECT_EQ(ledger.records_residue, 0);
        }
    }

    // All values of a topic, in offset order, from the durable bytes.
    Values Stored(const char *topic = "events", uint32_t partition = 0)
    {
        std::map<int64_t, std::string> by_offset;
        std::map<int32_t, std::string> names;
        for (uint64_t number = 1; number < 1000; number++) {
            char name[LOG_NAME_BYTES];
            log_segment_name(partition, number, name);
            uint64_t size = 0;
            const uint8_t *at = sim_disk_bytes(native_rig_disk(world_->Rig()), name, &size);
            if (at == nullptr) { continue; }
            CollectSegment(bytes_of(at, size), topic[0] == 'e' ? 0 : 1, &by_offset);
        }
        Values values;
        for (const auto &[offset, value] : by_offset) {
            EXPECT_EQ(offset, static_cast<int64_t>(values.size()));
            values.push_back(value);
        }
        return values;
    }

    static void CollectSegment(struct bytes file, int32_t topic,
                               std::map<int64_t, std::string> *out)
    {
        size_t position = LOG_BLOCK_BYTES;
        struct commit_header header;
        while (position < file.len_bytes) {
            const struct bytes rest = bytes_slice(file, position, file.len_bytes);
            if (commit_header_decode(rest, &header) != STATUS_OK) { return; }
            for (uint32_t i = 0; i < header.entry_count; i++) {
                const struct entry entry = entry_decode(rest, i);
                struct bytes batch;
                if (entry_bytes(rest, &entry, &batch) != STATUS_OK) { return; } // a refused write's
                if (entry.type != ENTRY_RECORDS || entry.topic != topic) { continue; }
                CollectBatch(batch, out);
            }
            position += header.length_bytes;
        }
    }

    static void CollectBatch(struct bytes batch, std::map<int64_t, std::string> *out)
    {
        struct record_batch_header header;
        ASSERT_EQ(record_batch_header_decode(batch, &header), STATUS_OK);
        struct record_batch_walk walk;
        struct record_batch_record record;
        record_batch_walk_begin(&walk, batch, &header);
        while (record_batch_next(&walk, &record) == STATUS_OK) {
            (*out)[record.offset] = std::string(reinterpret_cast<const char *>(record.value.at),
                                                record.value.len_bytes);
        }
    }

    // A producer with its lane open.
    Producer Opened(uint8_t id, uint16_t port = 0)
    {
        Producer producer(world_.get(),
                          {0xc0000201, static_cast<uint16_t>(port != 0 ? port : 40000 + id)}, id);
        EXPECT_EQ(producer.Open(), NATIVE_ACCEPT);
        return producer;
    }

    struct native_rig_options options_ = native_rig_defaults();
    std::unique_ptr<World> world_;
    size_t workers_ = 0;
};
