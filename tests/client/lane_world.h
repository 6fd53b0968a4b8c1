// A lane, the model appliance and a faulty link between them, in virtual time. Whatever the lane
// sends is held against the protocol's rules for producers; whatever it says of records against
// what was given.
#pragma once

#include "client/lane.h"
#include "lane_appliance.h"

namespace lane_test {

struct Faults { // percent, each direction
    unsigned drop = 0;
    unsigned duplicate = 0;
    unsigned reorder = 0;
    unsigned corrupt = 0;
};

struct Blackout {
    uint64_t begin_ns;
    uint64_t end_ns;
};

struct Options {
    uint64_t seed = 1;
    uint64_t records = 500;
    uint32_t records_max = 256;
    uint64_t first = 1;
    uint32_t datagram_bytes_max = 1200;
    uint64_t delay_ns = MS / 2;
    uint64_t pace_ns = 0; // between two records; 0: as fast as the lane takes them
    uint64_t linger_ns = MS;
    bool close = true;
    bool begin = true;
    bool keep_open = false;
    bool learn = false;        // goes on at whatever ACCEPT says
    bool from_durable = false; // goes on behind what is durable
    Faults faults;
    uint64_t faults_end_ns = NEVER;
    std::set<uint64_t> drop_up;   // the n-th datagram of the producer's
    std::set<uint64_t> drop_down; // the n-th of the appliance's
    std::vector<Blackout> blackouts;
};

class World {
  public:
    explicit World(const Options &options, Content content = {})
        : options_(options), content_(std::move(content)), random_(random_seed(options.seed)),
          appliance(content_, [this](const Datagram &d, uint16_t port) { Down(d, port); })
    {
        struct lane_options lane = {};
        memset(lane.producer.bytes, 7, sizeof lane.producer.bytes);
        lane.number = 3;
        lane.epoch = 5;
        lane.durable = options.learn || options.from_durable ? NATIVE_UNKNOWN : options.first - 1;
        lane.oldest_held = options.learn ? NATIVE_UNKNOWN : options.first;
        lane.from_durable = options.from_durable;
        lane.begin = options.begin;
        lane.records_max = options.records_max;
        lane.datagram_bytes_max = options.datagram_bytes_max;
        lane.linger_ns = options.linger_ns;
        lane.keep_open = options.keep_open;
        lane.seed = options.seed;
        struct lane *created = nullptr;
        EXPECT_EQ(lane_create(&lane, &created), STATUS_OK);
        lane_.reset(created);
        next_fate_ = options.first;
    }

    // Runs until `done` or until virtual time is over; true if done.
    bool RunUntil(const std::function<bool()> &done, uint64_t limit_ns = 3600 * S)
    {
        const uint64_t end_ns = now_ns + limit_ns;
        uint64_t same_time_turns = 0;
        for (uint64_t turn = 0; turn < 20 * 1000 * 1000; turn++) {
            Turn();
            if (testing::Test::HasFatalFailure() || testing::Test::HasNonfatalFailure()) {
                return false;
            }
            if (done()) { return true; }
            const uint64_t next_ns = NextNs();
            if (next_ns == NEVER || next_ns > end_ns) { return false; }
            same_time_turns = next_ns <= now_ns ? same_time_turns + 1 : 0;
            EXPECT_LT(same_time_turns, 10000u) << "spins at " << now_ns;
            now_ns = std::max(now_ns, next_ns);
        }
        return false;
    }

    bool Finished() const { return options_.close ? closed : told == options_.records; }
    bool Run(uint64_t limit_ns = 3600 * S)
    {
        return RunUntil([this] { return Finished(); }, limit_ns);
    }

    // Let something happen at a time.
    void At(uint64_t at_ns, std::function<void()> what) { script_.emplace(at_ns, std::move(what)); }

    struct lane_stats Stats() const
    {
        struct lane_stats out;
        lane_stats_of(lane_.get(), &out);
        return out;
    }
    struct lane *Lane() { return lane_.get(); }

    uint64_t now_ns = S;
    uint64_t given = 0;
    uint64_t told = 0; // records whose fate was told
    bool closed = false;
    uint32_t failed_code = UINT32_MAX;
    uint64_t moves = 0;
    uint64_t retryings = 0;
    uint64_t opened = 0;
    std::vector<struct lane_event> lost;
    uint64_t lost_fates = 0;
    size_t mtu = 65535; // the path's, of UDP payload
    uint16_t port = 40000;
    uint64_t sent_up = 0;
    uint64_t sent_down = 0;
    std::function<void(const struct lane_event &)> on_event = [](const struct lane_event &) {};

  private:
    const Options options_;
    const Content content_;
    struct random random_;

  public:
    Appliance appliance;

  private:
    struct Destroy {
        void operator()(struct lane *lane) const { lane_destroy(lane); }
    };
    struct Held {
        std::string key;
        std::string value;
    };
    struct Flight {
        bool up;
        Datagram datagram;
        uint16_t port;
    };

    bool Chance(unsigned percent) { return random_chance(&random_, percent, 100); }
    bool Faulty() const { return now_ns < options_.faults_end_ns; }

    bool Dark() const
    {
        for (const Blackout &dark : options_.blackouts) {
            if (now_ns >= dark.begin_ns && now_ns < dark.end_ns) { return true; }
        }
        return false;
    }

    void Travel(bool up, Datagram datagram, uint16_t from_port)
    {
        uint64_t travel_ns = options_.delay_ns;
        if (Faulty() && Chance(options_.faults.reorder)) {
            travel_ns += random_below(&random_, 4 * options_.delay_ns + 1);
        }
        if (Faulty() && Chance(options_.faults.corrupt)) {
            datagram[random_below(&random_, datagram.size())] ^=
                static_cast<uint8_t>(1 + random_below(&random_, 255));
        }
        link_.emplace(now_ns + travel_ns, Flight{up, std::move(datagram), from_port});
    }

    void Put(bool up, const Datagram &datagram, uint16_t from_port, bool dropped)
    {
        if (dropped || Dark() || datagram.size() > mtu) { return; }
        if (Faulty() && Chance(options_.faults.drop)) { return; }
        Travel(up, datagram, from_port);
        if (Faulty() && Chance(options_.faults.duplicate)) { Travel(up, datagram, from_port); }
    }

    void Up(const Datagram &datagram)
    {
        Put(true, datagram, port, options_.drop_up.count(sent_up++) != 0);
    }

    void Down(const Datagram &datagram, uint16_t to_port)
    {
        EXPECT_LE(datagram.size(), 1200u);
        Put(false, datagram, to_port, options_.drop_down.count(sent_down++) != 0);
    }

    // ---- the rules for a producer, held against every datagram that it sends

    void CheckSent(const Datagram &datagram)
    {
        struct native_datagram out;
        ASSERT_EQ(native_decode(bytes_of(datagram.data(), datagram.size()), &out), NATIVE_OK);
        switch (out.type) {
        case NATIVE_HELLO:
            session_ = 0;
            EXPECT_NE(out.token, 0u);
            nonces_.insert(out.token);
            nonce_ = out.token;
            break;
        case NATIVE_OPEN:
            EXPECT_EQ(out.token, nonce_);
            EXPECT_TRUE(out.open.durable == NATIVE_UNKNOWN ||
                        out.open.durable < out.open.oldest_held);
            break;
        case NATIVE_CLOSE:
            CheckNumber(out, out.close.number);
            closing_ = true;
            break;
        case NATIVE_DATA:
        case NATIVE_FRAGMENT:
        case NATIVE_PING: CheckPacket(out, datagram.size()); break;
        default: FAIL() << "a producer does not say " << int(out.type);
        }
    }

    void CheckNumber(const struct native_datagram &out, uint64_t number)
    {
        ASSERT_NE(session_, 0u) << "before ACCEPT";
        ASSERT_EQ(out.token, session_);
        ASSERT_EQ(number, next_number_) << "packet numbers grow by one";
        next_number_++;
    }

    void CheckPacket(const struct native_datagram &out, size_t size_bytes)
    {
        EXPECT_FALSE(closing_);
        CheckNumber(out, out.data.packet_number);
        EXPECT_LE(out.data.confirmed, durable_seen_);
        EXPECT_LE(size_bytes,
                  std::min<size_t>(options_.datagram_bytes_max, appliance.datagram_bytes));
        if (out.type == NATIVE_PING) {
            pings_[out.data.packet_number] = size_bytes;
            return;
        }
        EXPECT_LE(size_bytes, proven_bytes_) << "larger than what was proven";
        const uint64_t count = out.type == NATIVE_DATA ? out.data.record_count : 1;
        EXPECT_LE(out.data.first_sequence, new_next_) << "skips records";
        for (uint64_t i = 0; i < count; i++) { CheckCredit(out.data.first_sequence + i); }
    }

    uint64_t CostOf(uint64_t sequence) const
    {
        const Held &held = held_.at(sequence);
        struct native_record record = RecordOf(held);
        const size_t bytes = native_record_bytes(&record);
        return bytes + uvarint64_bytes(bytes);
    }

    // Only what is new is held against credit.
    void CheckCredit(uint64_t sequence)
    {
        if (sequence < new_next_) { return; }
        new_next_ = sequence + 1;
        under_way_bytes_ += CostOf(sequence);
        under_way_[sequence] = CostOf(sequence);
        const bool alone = under_way_.size() == 1 && credit_ > 0;
        EXPECT_TRUE(alone || under_way_bytes_ <= credit_)
            << sequence << " beyond credit " << credit_;
    }

    // ---- what the producer can know, from what reached it

    void NoteDelivered(const Datagram &datagram)
    {
        struct native_datagram in;
        if (native_decode(bytes_of(datagram.data(), datagram.size()), &in) != NATIVE_OK) { return; }
        if (in.type == NATIVE_ACCEPT && in.token == nonce_ && session_ == 0) { NoteAccept(in); }
        if (in.type == NATIVE_ACK && in.token == session_) { NoteAck(in.ack); }
    }

    void NoteAccept(const struct native_datagram &in)
    {
        session_ = in.accept.session;
        nonce_ = 0;
        next_number_ = 0;
        new_next_ = in.accept.next;
        credit_ = in.accept.credit_bytes;
        ack_next_ = 0;
        proven_bytes_ = 1200;
        pings_.clear();
        under_way_.clear();
        under_way_bytes_ = 0;
        durable_seen_ = std::max(durable_seen_, in.accept.durable);
        for (const auto &held : held_) {
            if (held.first >= in.accept.next || held.first < next_fate_) { continue; }
            under_way_[held.first] = CostOf(held.first);
            under_way_bytes_ += CostOf(held.first);
        }
    }

    void NoteAck(const struct native_ack &ack)
    {
        durable_seen_ = std::max(durable_seen_, ack.durable);
        while (!under_way_.empty() && under_way_.begin()->first <= ack.durable) {
            under_way_bytes_ -= under_way_.begin()->second;
            under_way_.erase(under_way_.begin());
        }
        for (uint32_t i = 0; i < ack.range_count; i++) {
            for (const auto &ping : pings_) {
                const bool named =
                    ping.first >= ack.ranges[i].first && ping.first <= ack.ranges[i].last;
                if (named) { proven_bytes_ = std::max(proven_bytes_, ping.second); }
            }
        }
        if (ack.ack_number < ack_next_) { return; }
        ack_next_ = ack.ack_number + 1;
        credit_ = ack.credit_bytes;
    }

    // ---- the application

    static struct native_record RecordOf(const Held &held)
    {
        struct native_record record = {};
        record.key = bytes_of(held.key.data(), held.key.size());
        record.value = bytes_of(held.value.data(), held.value.size());
        record.has_timestamp = true;
        record.timestamp_ms = 1234567890123;
        return record;
    }

    void Give()
    {
        while (given < options_.records && now_ns >= next_give_ns_) {
            if (lane_next_sequence(lane_.get()) == 0) {
                lane_open(lane_.get(), now_ns);
                return;
            }
            const uint64_t expected = lane_next_sequence(lane_.get());
            Held &held = held_[expected];
            held = {Content::Key(expected), content_.Value(expected)};
            const struct native_record record = RecordOf(held);
            uint64_t sequence = 0;
            const enum status status = lane_send(lane_.get(), &record, now_ns, &sequence);
            if (status != STATUS_OK) {
                EXPECT_TRUE(status == STATUS_FULL || failed_code != UINT32_MAX) << status;
                held_.erase(expected);
                return;
            }
            EXPECT_EQ(sequence, expected);
            if (given == 0 && (options_.learn || options_.from_durable)) { next_fate_ = sequence; }
            given++;
            next_give_ns_ = now_ns + options_.pace_ns;
        }
        if (given == options_.records && options_.close && !close_said_) {
            close_said_ = true;
            lane_close(lane_.get(), now_ns);
        }
    }

    void TakeFates(const struct lane_event &event)
    {
        EXPECT_EQ(event.sequence, next_fate_) << "each once, in order";
        EXPECT_GT(event.count, 0u);
        for (uint64_t i = 0; i < event.count; i++) {
            const uint64_t sequence = event.sequence + i;
            ASSERT_EQ(held_.erase(sequence), 1u) << sequence;
            if (event.fate == NATIVE_LOST) {
                lost_fates++;
            } else {
                ASSERT_EQ(event.fate, FateOf(sequence)) << sequence;
            }
            next_fate_++;
            told++;
        }
    }

    void TakeEvent(const struct lane_event &event)
    {
        EXPECT_FALSE(closed) << "nothing comes behind CLOSED";
        switch (event.kind) {
        case LANE_EVENT_OPENED: opened++; break;
        case LANE_EVENT_FATES: TakeFates(event); break;
        case LANE_EVENT_LOST: lost.push_back(event); break;
        case LANE_EVENT_MOVE:
            moves++;
            port = event.source_port != 0 ? event.source_port : static_cast<uint16_t>(port + 1);
            lane_moved(lane_.get(), now_ns);
            break;
        case LANE_EVENT_RETRYING: retryings++; break;
        case LANE_EVENT_FAILED: failed_code = event.code; break;
        case LANE_EVENT_CLOSED: closed = true; break;
        default: FAIL() << event.kind;
        }
        on_event(event);
    }

    void PollEvents()
    {
        struct lane_event event;
        while (lane_next_event(lane_.get(), &event)) { TakeEvent(event); }
    }

    // ---- time

    void TransmitAll()
    {
        Datagram room(65536);
        for (int i = 0; i < 100000; i++) {
            const size_t size = lane_transmit(lane_.get(), room.data(), room.size(), now_ns);
            if (size == 0) { return; }
            const Datagram datagram(room.begin(), room.begin() + static_cast<long>(size));
            CheckSent(datagram);
            Up(datagram);
        }
        ADD_FAILURE() << "no end of datagrams";
    }

    void Turn()
    {
        while (!script_.empty() && script_.begin()->first <= now_ns) {
            const auto what = script_.begin()->second;
            script_.erase(script_.begin());
            what();
        }
        while (!link_.empty() && link_.begin()->first <= now_ns) {
            const Flight flight = link_.begin()->second;
            link_.erase(link_.begin());
            if (flight.up) {
                appliance.Receive(flight.datagram, flight.port, now_ns);
            } else if (flight.port == port) {
                NoteDelivered(flight.datagram);
                lane_receive(lane_.get(), bytes_of(flight.datagram.data(), flight.datagram.size()),
                             now_ns);
                PollEvents();
            }
        }
        if (appliance.TimerNs() <= now_ns) { appliance.OnTimer(now_ns); }
        Give();
        if (lane_timer_ns(lane_.get()) <= now_ns) { lane_on_timer(lane_.get(), now_ns); }
        TransmitAll();
        PollEvents();
        TransmitAll();
    }

    uint64_t NextNs() const
    {
        uint64_t next_ns = std::min(lane_timer_ns(lane_.get()), appliance.TimerNs());
        if (!link_.empty()) { next_ns = std::min(next_ns, link_.begin()->first); }
        if (!script_.empty()) { next_ns = std::min(next_ns, script_.begin()->first); }
        if (given < options_.records && next_give_ns_ > now_ns) {
            next_ns = std::min(next_ns, next_give_ns_);
        }
        return next_ns;
    }

    std::unique_ptr<struct lane, Destroy> lane_;
    std::multimap<uint64_t, Flight> link_;
    std::multimap<uint64_t, std::function<void()>> script_;
    std::map<uint64_t, Held> held_; // std::map: a slice stays where it is
    uint64_t next_fate_ = 1;
    uint64_t next_give_ns_ = 0;
    bool close_said_ = false;

    std::set<uint64_t> nonces_;
    uint64_t nonce_ = 0;
    uint64_t session_ = 0;
    uint64_t next_number_ = 0;
    uint64_t new_next_ = 0;
    uint64_t durable_seen_ = 0;
    uint64_t credit_ = 0;
    uint64_t ack_next_ = 0;
    size_t proven_bytes_ = 1200;
    bool closing_ = false;
    std::map<uint64_t, size_t> pings_;
    std::map<uint64_t, uint64_t> under_way_;
    uint64_t under_way_bytes_ = 0;
};

} // namespace lane_test
