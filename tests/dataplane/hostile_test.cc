// A hostile network around honest lanes. PENSTOCK_HOSTILE_DATAGRAMS says how many datagrams each
// test throws (30,000 unless set; the full run is 1000000), PENSTOCK_HOSTILE_SEED which.
#include <cstdlib>

#include "tests/dataplane/native_producer.h"
#include "tests/sim/sim_random.h"

namespace {

uint64_t FromEnvironment(const char *name, uint64_t otherwise)
{
    const char *const text = getenv(name);
    return text != nullptr ? strtoull(text, nullptr, 10) : otherwise;
}

uint64_t DatagramCount() { return FromEnvironment("PENSTOCK_HOSTILE_DATAGRAMS", 30000); }

constexpr uint32_t kHonestHost = 0xc0000201;
constexpr uint32_t kHostileNet = 0x0a000000;
constexpr size_t kRecordedMax = 4096;

// A lane that keeps the protocol: sends, sends again, and expects its promises kept.
class Honest {
  public:
    Honest(World *world, uint8_t id)
        : world_(world), producer_(world, {kHonestHost, static_cast<uint16_t>(40000 + id)}, id),
          id_(id)
    {
        producer_.open_.begin = true;
    }

    Producer &Wire() { return producer_; }

    void Open()
    {
        producer_.open_.durable = durable_;
        producer_.open_.oldest_held = durable_ + 1;
        producer_.open_.previous_session = producer_.session_;
        world_->Turn(10);
        for (int tries = 0; tries < 20; tries++) {
            world_->Inbox(producer_.Address()).clear(); // what replays brought about
            const uint8_t answer = producer_.Open(/*wait_ns=*/300 * kMs);
            if (answer == NATIVE_ACCEPT) {
                received_ = producer_.accept_.next - 1;
                ASSERT_EQ(producer_.accept_.lost_first, 0U);
                ASSERT_GE(received_, durable_);
                return;
            }
        }
        FAIL() << "honest lane " << int{id_} << " is not let in";
    }

    void Reopen()
    {
        producer_.SendClose();
        Open();
    }

    // A few records from where the appliance stands, in pieces, now and then out of order.
    void Speak(struct random *random)
    {
        const uint64_t first = received_ + 1;
        const uint64_t count = sim_random_between(random, 1, 6);
        if (first + count - 1 > durable_ + 200) { // it has not told yet what became of the others
            producer_.SendPing();
            return;
        }
        std::vector<Bytes> pieces;
        for (uint64_t i = 0; i < count; i += 2) {
            Values values;
            for (uint64_t k = i; k < i + 2 && k < count; k++) {
                values.push_back(Value(first + k));
            }
            pieces.push_back(producer_.Data(first + i, Records(values)));
        }
        if (sim_random_below(random, 4) == 0) { std::reverse(pieces.begin(), pieces.end()); }
        for (const Bytes &piece : pieces) { producer_.Send(piece); }
        if (first + count - 1 > sent_) { sent_ = first + count - 1; }
    }

    void Listen()
    {
        auto &inbox = world_->Inbox(producer_.Address());
        for (; !inbox.empty(); inbox.pop_front()) {
            const Answer &answer = inbox.front();
            if (answer.datagram.token != producer_.Session()) { continue; } // to a replay
            ASSERT_NE(answer.Type(), NATIVE_REJECT) << "a session of an honest lane was rejected";
            ASSERT_NE(answer.Type(), NATIVE_CLOSE);
            if (answer.Type() != NATIVE_ACK) { continue; }
            const Ack ack = AckOf(answer);
            ASSERT_LE(ack.wire.received, sent_);
            ASSERT_LE(ack.wire.durable, ack.wire.received);
            for (const auto &[fate, count] : ack.fates) {
                ASSERT_EQ(fate, NATIVE_STORED) << count << " records";
            }
            received_ = std::max(received_, ack.wire.received);
            durable_ = std::max(durable_, ack.wire.durable);
            producer_.confirmed_ = durable_;
        }
    }

    void Finish()
    {
        Ack ack = producer_.Ask();
        for (int tries = 0; tries < 2000 && ack.wire.durable < ack.wire.received; tries++) {
            world_->Run(5 * kMs);
            ack = producer_.Ask();
        }
        EXPECT_EQ(ack.wire.durable, ack.wire.received);
        stored_ = ack.wire.received;
    }

    std::string Value(uint64_t sequence) const
    {
        return "honest " + std::to_string(id_) + " " + std::to_string(sequence);
    }

    void ExpectStored(const Values &all) const
    {
        const std::string mine = "honest " + std::to_string(id_) + " ";
        uint64_t sequence = 0;
        for (const std::string &value : all) {
            if (value.compare(0, mine.size(), mine) != 0) { continue; }
            ASSERT_EQ(value, Value(++sequence));
        }
        EXPECT_EQ(sequence, stored_);
        EXPECT_GT(sequence, 20U);
    }

  private:
    World *world_;
    Producer producer_;
    uint8_t id_;
    uint64_t sent_ = 0;
    uint64_t received_ = 0;
    uint64_t durable_ = 0;
    uint64_t stored_ = 0;
};

class Hostile : public NativeTest {
  protected:
    void SetUp() override
    {
        random_.state = FromEnvironment("PENSTOCK_HOSTILE_SEED", 1);
        options_.lanes_max = 64;
        options_.segment_bytes = 16 << 20;
        options_.session_timeout_ns = UINT64_C(3600) * kSecond;
        Start();
        for (uint8_t id = 1; id <= kHonest; id++) {
            honest_.push_back(std::make_unique<Honest>(world_.get(), id));
            const struct sim_address source = honest_.back()->Wire().Address();
            honest_.back()->Wire().on_send = [this, source](const Bytes &payload) {
                Remember(source, payload);
            };
            honest_.back()->Open();
        }
        world_->on_sent = [this](const struct sim_datagram &datagram, size_t frame_bytes) {
            return Count(datagram, frame_bytes);
        };
    }

    // Honest lanes speak a little; one of them begins a new session now and then.
    void HonestRound(uint64_t round)
    {
        if (round % 200 == 199) { honest_[round / 200 % kHonest]->Reopen(); }
        honest_[round % kHonest]->Speak(&random_);
        world_->Turn(3);
        for (auto &honest : honest_) { honest->Listen(); }
    }

    void Finish()
    {
        for (auto &honest : honest_) { honest->Finish(); }
        world_->Run(100 * kMs);
        Settle(); // no buffer is out, no record in flight
        const Values stored = Stored();
        for (auto &honest : honest_) { honest->ExpectStored(stored); }
    }

    uint64_t Below(uint64_t count) { return sim_random_below(&random_, count); }

    void Remember(struct sim_address source, const Bytes &payload)
    {
        if (recorded_.size() < kRecordedMax) {
            recorded_.emplace_back(source, payload);
        } else {
            recorded_[Below(kRecordedMax)] = {source, payload};
        }
    }

    // True: it went to somebody who never proved its address.
    bool Count(const struct sim_datagram &datagram, size_t frame_bytes)
    {
        if ((datagram.target.host & 0xff000000) != kHostileNet) { return false; }
        Traffic &traffic = traffic_[datagram.target.host];
        traffic.out_bytes += datagram.payload.len_bytes;
        traffic.out_frame_bytes += frame_bytes;
        EXPECT_LE(traffic.out_bytes, traffic.in_bytes);
        EXPECT_LE(traffic.out_frame_bytes, traffic.in_frame_bytes);
        answers_++;
        return true;
    }

    void Throw(struct sim_address source, const Bytes &payload)
    {
        Traffic &traffic = traffic_[source.host];
        traffic.in_bytes += payload.size();
        traffic.in_frame_bytes += std::max<size_t>(60, 14 + 28 + payload.size());
        native_rig_put(world_->Rig(), source, ViewOf(payload));
    }

    struct Traffic {
        uint64_t in_bytes = 0;
        uint64_t in_frame_bytes = 0;
        uint64_t out_bytes = 0;
        uint64_t out_frame_bytes = 0;
    };

    static constexpr uint8_t kHonest = 4;
    struct random random_ = {};
    std::vector<std::unique_ptr<Honest>> honest_;
    std::vector<std::pair<struct sim_address, Bytes>> recorded_;
    std::map<uint32_t, Traffic> traffic_;
    uint64_t answers_ = 0;
};

// ------------------------------------------------------------------------------- strangers

class Strangers : public Hostile {
  protected:
    struct sim_address Anybody()
    {
        return {kHostileNet + 1 + static_cast<uint32_t>(Below(2000)),
                static_cast<uint16_t>(1 + Below(65535))};
    }

    Bytes Noise(size_t len_bytes)
    {
        Bytes out(len_bytes);
        for (uint8_t &byte : out) { byte = static_cast<uint8_t>(random_u64(&random_)); }
        return out;
    }

    // A number that a careless sum or comparison trips over.
    uint64_t Absurd()
    {
        static const uint64_t edges[] = {0,
                                         1,
                                         2,
                                         UINT32_MAX,
                                         UINT64_MAX,
                                         UINT64_C(1) << 63,
                                         (UINT64_C(1) << 63) - 1,
                                         UINT64_C(1) << 32,
                                         65536,
                                         256};
        return edges[Below(sizeof edges / sizeof edges[0])] + Below(3) - 1;
    }

    Bytes Recorded() { return recorded_[Below(recorded_.size())].second; }

    void Spoil(Bytes *datagram)
    {
        const uint64_t changes = 1 + Below(8);
        for (uint64_t i = 0; i < changes; i++) {
            (*datagram)[Below(datagram->size())] = static_cast<uint8_t>(random_u64(&random_));
        }
        if (Below(4) == 0) {
            const size_t at = Below(datagram->size() / 8) * 8;
            if (at + 8 <= datagram->size()) { store_le64(datagram->data() + at, Absurd()); }
        }
        if (Below(4) == 0) { datagram->resize(20 + Below(datagram->size())); }
    }

    Bytes Header(uint8_t type, size_t len_bytes)
    {
        Bytes out = Noise(std::max<size_t>(len_bytes, 20));
        out[0] = 1;
        out[1] = type;
        store_le16(out.data() + 2, static_cast<uint16_t>(Below(2)));
        return out;
    }

    // Of a session that somebody has.
    uint64_t SomeSession()
    {
        Honest &victim = *honest_[Below(kHonest)];
        return victim.Wire().Session() ^ (Below(3) == 0 ? UINT64_C(1) << Below(64) : 0);
    }

    void ThrowOne()
    {
        switch (Below(10)) {
        case 0: Throw(Anybody(), Noise(Below(1473))); return;
        case 1: {
            Bytes datagram = Header(static_cast<uint8_t>(Below(13)), Below(1473));
            Seal(&datagram);
            Throw(Anybody(), datagram);
            return;
        }
        case 2:
        case 3: {
            Bytes datagram = Recorded();
            Spoil(&datagram);
            Seal(&datagram);
            Throw(Anybody(), datagram);
            return;
        }
        case 4: { // damaged on its way, or forged without care: with the address of an honest one
            const auto &[source, payload] = recorded_[Below(recorded_.size())];
            Bytes datagram = payload;
            datagram[Below(datagram.size())] ^= static_cast<uint8_t>(1 + Below(255));
            native_rig_put(world_->Rig(), Below(2) == 0 ? source : Victim(), ViewOf(datagram));
            return;
        }
        case 5: { // a replay, from where it came
            const auto &[source, payload] = recorded_[Below(recorded_.size())];
            if (payload[1] == NATIVE_CLOSE) { return; } // of a live session it would end it
            native_rig_put(world_->Rig(), source, ViewOf(payload));
            return;
        }
        case 6: Throw(Anybody(), Recorded()); return; // a replay from elsewhere: OPENs with cookies
        case 7: {
            Producer stranger(world_.get(), Anybody(), static_cast<uint8_t>(1 + Below(6)));
            stranger.nonce_ = random_u64(&random_) | 1;
            stranger.open_.epoch = Absurd();
            stranger.open_.oldest_held = Absurd();
            stranger.open_.durable = Absurd();
            store_le32(stranger.open_.cookie.bytes, static_cast<uint32_t>(Below(4)));
            store_le64(stranger.open_.cookie.bytes + 8, random_u64(&random_));
            Throw(stranger.Address(), Below(2) == 0 ? stranger.HelloBytes() : stranger.OpenBytes());
            return;
        }
        case 8: {
            Bytes datagram = Header(static_cast<uint8_t>(NATIVE_DATA + Below(6)), 44 + Below(400));
            store_le64(datagram.data() + 8, SomeSession());
            store_le64(datagram.data() + 16, Absurd());
            store_le64(datagram.data() + 24, Absurd());
            store_le64(datagram.data() + 32, Absurd());
            Seal(&datagram);
            Throw(Anybody(), datagram);
            return;
        }
        default: { // not even a datagram
            const Bytes frame = Noise(1 + Below(1600));
            native_rig_put_frame(world_->Rig(), 0, ViewOf(frame));
            return;
        }
        }
    }

    struct sim_address Victim() { return honest_[Below(kHonest)]->Wire().Address(); }
};

TEST_F(Strangers, GetNoStateNoMoreBytesThanTheySentAndNobodysLane)
{
    const uint64_t datagrams = DatagramCount();
    for (uint64_t thrown = 0, round = 0; thrown < datagrams; round++) {
        for (int i = 0; i < 40; i++, thrown++) { ThrowOne(); }
        HonestRound(round);
        ASSERT_EQ(native_rig_stats(world_->Rig(), 0)->lanes_known, uint64_t{kHonest});
        ASSERT_LE(native_rig_stats(world_->Rig(), 0)->sessions_live, uint64_t{kHonest});
        ASSERT_FALSE(HasFailure()) << "after " << thrown << " datagrams";
    }

    Finish();
    EXPECT_EQ(Counter(STATS_lanes_begun), uint64_t{kHonest});
    EXPECT_GT(answers_, datagrams / 20) << "too few got as far as an answer";
    EXPECT_GT(Counter(STATS_frames_native_malformed), datagrams / 200);
    EXPECT_GT(Counter(STATS_frames_native_bad_checksum), datagrams / 20);
    EXPECT_GT(Counter(STATS_native_unknown_session), datagrams / 20);
}

// ------------------------------------------------------------------------------- insiders

// They have real addresses and sessions, and say what no producer should.
class Insiders : public Strangers {
  protected:
    static constexpr uint8_t kInsiders = 12;

    void MakeInsiders()
    {
        for (uint8_t id = 0; id < kInsiders; id++) {
            insiders_.emplace_back(world_.get(),
                                   sim_address{0xc0000300U + id, static_cast<uint16_t>(5000 + id)},
                                   static_cast<uint8_t>(100 + id));
        }
    }

    void Enter(Producer *insider)
    {
        insider->open_.begin = Below(4) != 0;
        insider->open_.epoch = 1 + Below(3);
        insider->open_.oldest_held = Below(3) == 0 ? Absurd() : 1 + Below(1000);
        insider->open_.durable = Below(3) == 0 ? Absurd() : Below(1000);
        insider->open_.previous_session = insider->session_;
        insider->nonce_++;
        insider->Send(insider->HelloBytes());
    }

    void Hear(Producer *insider)
    {
        for (auto &inbox = world_->Inbox(insider->Address()); !inbox.empty(); inbox.pop_front()) {
            const struct native_datagram &answer = inbox.front().datagram;
            if (answer.type == NATIVE_CHALLENGE) {
                insider->open_.cookie = answer.challenge;
                insider->SendOpen();
            } else if (answer.type == NATIVE_ACCEPT) {
                insider->session_ = answer.accept.session;
                next_[insider] = answer.accept.next;
            } else if (answer.type == NATIVE_ACK) {
                next_[insider] = answer.ack.received + 1;
                if (Below(8) == 0) { insider->confirmed_ = answer.ack.durable; }
            }
        }
    }

    std::vector<Record> SomeRecords()
    {
        std::vector<Record> records;
        const uint64_t count = Below(3) == 0 ? 256 : 1 + Below(8);
        const uint64_t kind = Below(4);
        for (uint64_t i = 0; i < count; i++) {
            switch (kind == 3 ? Below(3) : kind) {
            case 0: records.push_back(RawRecord({0, 0, 0, 1})); break;
            case 1: records.push_back(RawRecord(Noise(1 + Below(4)))); break;
            default: records.push_back({i % 2 == 0 ? "healthz" : "x", ""}); break;
            }
        }
        return records;
    }

    void Misbehave(Producer *insider)
    {
        if (insider->session_ == 0 || Below(64) == 0) {
            Enter(insider);
            return;
        }
        if (Below(16) == 0) { insider->packet_number_ = Below(4) == 0 ? Absurd() : Below(400); }
        if (Below(16) == 0) { insider->confirmed_ = Absurd(); }
        const uint64_t next = next_[insider];
        const uint64_t around =
            std::max<uint64_t>(1, next + Below(600) - std::min<uint64_t>(next, Below(300)));
        switch (Below(10)) {
        case 0:
        case 1: insider->SendData(around, SomeRecords()); return;
        case 2:
        case 3: insider->SendData(next, SomeRecords()); return;
        case 4: insider->SendData(next + 1 + Below(4) * 256, SomeRecords()); return;
        case 5:
        case 6: {
            const Bytes record(1 + Below(options_.max_record_bytes + 2000), 'f');
            const size_t chunks = (record.size() + 1023) / 1024;
            insider->SendChunk(Below(8) == 0 ? around : next, record, Below(chunks), 1);
            return;
        }
        case 7: { // all of a record, or all but one piece
            const Bytes record = RecordBytes(std::string(1 + Below(6000), 'r'));
            const size_t chunks = (record.size() + 1023) / 1024;
            for (size_t chunk = Below(4) == 0 ? 1 : 0; chunk < chunks; chunk++) {
                insider->SendChunk(next, record, chunk);
            }
            return;
        }
        case 8: {
            Bytes datagram = insider->Data(next, SomeRecords());
            Spoil(&datagram);
            store_le64(datagram.data() + 8, insider->session_);
            Seal(&datagram);
            insider->Send(datagram);
            return;
        }
        default:
            if (Below(20) == 0) {
                insider->SendClose(static_cast<uint32_t>(Absurd()));
            } else {
                insider->SendPing(NATIVE_PING_BYTES + Below(1000));
            }
        }
    }

    std::vector<Producer> insiders_;
    std::map<Producer *, uint64_t> next_;
};

TEST_F(Insiders, HarmNobodyButThemselves)
{
    MakeInsiders();
    const uint64_t datagrams = DatagramCount();
    for (uint64_t thrown = 0, round = 0; thrown < datagrams; round++) {
        for (int i = 0; i < 24; i++, thrown++) { Misbehave(&insiders_[Below(kInsiders)]); }
        HonestRound(round);
        for (Producer &insider : insiders_) { Hear(&insider); }
        if (round % 500 == 250) { // disks fail too
            const uint64_t next_write = sim_disk_write_count(native_rig_disk(world_->Rig())) + 1;
            sim_disk_fail_writes(native_rig_disk(world_->Rig()), next_write, 1, STATUS_IO);
        }
        ASSERT_FALSE(HasFailure()) << "after " << thrown << " datagrams";
    }

    for (Producer &insider : insiders_) {
        insider.SendClose();
        world_->Turn(4);
    }
    Finish();
    EXPECT_GT(Counter(STATS_native_ahead_kept), 0U);
    EXPECT_GT(Counter(STATS_native_fragments), 0U);
    EXPECT_GT(Counter(STATS_records_refused_malformed), 0U);
    EXPECT_GT(Counter(STATS_records_refused_too_large), 0U);
    EXPECT_GT(Counter(STATS_records_dropped_by_rule), 0U);
    EXPECT_LE(native_rig_stats(world_->Rig(), 0)->lanes_known, uint64_t{kHonest} + kInsiders);
}

} // namespace
