// loss, congestion and pacing together, against a model: a sender, a link that loses, doubles and
// reorders, and a receiver, in virtual time. The model knows the truth about every packet.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "client/congestion.h"
#include "client/loss.h"
#include "client/pacing.h"

namespace {

constexpr uint64_t MS = 1000 * 1000;
constexpr uint64_t ACK_DELAY_MAX = 5 * MS;
constexpr uint32_t SIZE_MAX_BYTES = 1200;
constexpr size_t ACK_RANGES_MAX = 32;
constexpr uint64_t NO_MESSAGE = UINT64_MAX;
constexpr uint64_t TURNS_MAX = 2000 * 1000;

struct Conditions {
    uint64_t seed;
    uint32_t capacity;
    unsigned loss_percent;
    unsigned reorder_percent;
    unsigned duplicate_percent;
    unsigned sleep_per_mille; /* turns at which the sender sleeps for seconds */
    uint64_t delay_ns;        /* one way */
    uint64_t messages;
};

enum class Fate { InFlight, Lost, Acked, AckedLate };

struct Packet {
    struct loss_packet sent;
    bool received = false;
    Fate fate = Fate::InFlight;
};

struct Arrival {
    bool at_receiver;
    uint64_t number;                       /* data */
    std::vector<struct loss_range> ranges; /* ack */
    uint64_t ack_delay_ns;
};

struct Destroy {
    void operator()(struct loss *loss) const { loss_destroy(loss); }
};

class Model {
  public:
    explicit Model(const Conditions &conditions) : conditions_(conditions), random_(conditions.seed)
    {
        const struct loss_options options = {conditions.capacity, 0, ACK_DELAY_MAX};
        struct loss *loss = nullptr;
        EXPECT_EQ(loss_create(&options, &loss), STATUS_OK);
        loss_.reset(loss);
        const struct congestion_options congestion = {SIZE_MAX_BYTES, 0};
        congestion_init(&congestion_, &congestion);
        pacing_init(&pacing_, SIZE_MAX_BYTES, now_ns_);
        for (uint64_t message = 0; message < conditions.messages; message++) {
            pending_.push_back(message);
        }
    }

    // Until the sender knows of every message that it arrived.
    void Run()
    {
        for (uint64_t turn = 0; done_.size() < conditions_.messages; turn++) {
            ASSERT_LT(turn, TURNS_MAX) << "no end in sight";
            SendWhatMayGo();
            CheckFlight();
            const uint64_t next_ns = NextNs();
            ASSERT_NE(next_ns, UINT64_MAX) << "everything waits for nothing";
            now_ns_ = std::max(now_ns_, next_ns);
            if (Chance(conditions_.sleep_per_mille, 1000)) { now_ns_ += 3000 * MS; }
            DeliverWhatIsDue();
            ServeTimer();
            CheckFlight();
            if (testing::Test::HasFailure()) { return; }
        }
        EXPECT_EQ(delivered_.size(), conditions_.messages);
    }

    uint64_t NowNs() const { return now_ns_; }
    uint64_t LateCount() const { return late_count_; }
    uint64_t LostCount() const { return lost_count_; }
    uint64_t GivenUpCount() const { return given_up_count_; }
    uint64_t PersistentCount() const { return persistent_count_; }
    const struct congestion &Congestion() const { return congestion_; }

  private:
    bool Chance(unsigned share, unsigned of) { return random_() % of < share; }

    uint64_t TravelNs()
    {
        const bool overtaken = Chance(conditions_.reorder_percent, 100);
        const uint64_t detour_ns = overtaken ? random_() % (conditions_.delay_ns / 2) : 0;
        return conditions_.delay_ns + detour_ns;
    }

    void Transmit(const Arrival &arrival, uint64_t leaves_ns)
    {
        if (Chance(conditions_.loss_percent, 100)) { return; }
        link_.emplace(leaves_ns + TravelNs(), arrival);
        if (Chance(conditions_.duplicate_percent, 100)) {
            link_.emplace(leaves_ns + TravelNs(), arrival);
        }
    }

    // ---- the sender

    struct pacing_rate Rate() const
    {
        return {congestion_.window_bytes, loss_rtt(loss_.get())->smoothed_ns};
    }

    void SendPacket(uint64_t message, uint64_t skipped)
    {
        const bool ack_eliciting = message != NO_MESSAGE;
        const uint32_t size_bytes = 100 + static_cast<uint32_t>(random_() % 1101);
        const uint64_t number = next_number_ + skipped;
        Packet packet;
        packet.sent = {number, message, now_ns_, size_bytes, ack_eliciting, false};
        if (loss_sent(loss_.get(), &packet.sent) != STATUS_OK) {
            EXPECT_NE(skipped, 0u) << "full behind loss_is_full or a probe timeout";
            if (ack_eliciting) { pending_.push_front(message); }
            return;
        }
        next_number_ = number + 1;
        packets_[number] = packet;
        if (ack_eliciting) { flight_bytes_ += size_bytes; }
        pacing_sent(&pacing_, Rate(), size_bytes, now_ns_);
        Transmit({true, number, {}, 0}, now_ns_);
    }

    bool TakePending(uint64_t *message)
    {
        while (!pending_.empty()) {
            *message = pending_.front();
            pending_.pop_front();
            if (done_.count(*message) == 0) { return true; }
        }
        return false;
    }

    bool MaySend() const
    {
        return !pending_.empty() && !loss_is_full(loss_.get()) &&
               congestion_room_bytes(&congestion_, flight_bytes_) >= SIZE_MAX_BYTES;
    }

    uint64_t PacedNs() const
    {
        return MaySend() ? pacing_next_ns(&pacing_, Rate(), SIZE_MAX_BYTES, now_ns_) : UINT64_MAX;
    }

    void SendWhatMayGo()
    {
        uint64_t message = 0;
        while (PacedNs() <= now_ns_ && TakePending(&message)) {
            SendPacket(message, /*skipped=*/Chance(1, 100) ? 1 : 0);
            if (Chance(5, 100) && !loss_is_full(loss_.get())) { SendPacket(NO_MESSAGE, 0); }
        }
    }

    uint64_t OldestUnfinished() const
    {
        uint64_t message = 0;
        while (done_.count(message) != 0) { message++; }
        return message;
    }

    void SendProbes()
    {
        for (int i = 0; i < LOSS_PROBES_MAX; i++) {
            uint64_t message = 0;
            SendPacket(TakePending(&message) ? message : OldestUnfinished(), 0);
        }
    }

    void TakeLost(const struct loss_packet &lost)
    {
        Packet &packet = packets_.at(lost.number);
        EXPECT_EQ(packet.fate, Fate::InFlight) << lost.number;
        packet.fate = Fate::Lost;
        lost_count_++;
        if (!lost.ack_eliciting) { return; }
        flight_bytes_ -= lost.size_bytes;
        if (done_.count(lost.cookie) == 0) { pending_.push_front(lost.cookie); }
    }

    void TakeAcked(const struct loss_packet &acked, uint64_t flight_before_bytes)
    {
        Packet &packet = packets_.at(acked.number);
        EXPECT_TRUE(packet.received) << acked.number;
        EXPECT_EQ(packet.fate, acked.was_lost ? Fate::Lost : Fate::InFlight) << acked.number;
        EXPECT_EQ(packet.sent.cookie, acked.cookie);
        packet.fate = acked.was_lost ? Fate::AckedLate : Fate::Acked;
        late_count_ += acked.was_lost ? 1 : 0;
        if (!acked.ack_eliciting) { return; }
        done_.insert(acked.cookie);
        if (acked.was_lost) { return; }
        flight_bytes_ -= acked.size_bytes;
        congestion_acked(&congestion_, acked.size_bytes, acked.sent_ns, flight_before_bytes);
    }

    void TakeReport(const struct loss_report &report)
    {
        EXPECT_EQ(report.in_flight_before_bytes, flight_bytes_);
        for (size_t i = 0; i < report.lost_count; i++) { TakeLost(report.lost[i]); }
        if (report.lost_bytes > 0) {
            congestion_lost(&congestion_, report.newest_lost_sent_ns, now_ns_);
        }
        if (report.persistent_congestion) {
            congestion_collapse(&congestion_);
            persistent_count_++;
        }
        for (size_t i = 0; i < report.acked_count; i++) {
            TakeAcked(report.acked[i], report.in_flight_before_bytes);
        }
    }

    void TakeAck(const Arrival &arrival)
    {
        const struct loss_ack ack = {arrival.ranges.data(), arrival.ranges.size(),
                                     arrival.ack_delay_ns};
        struct loss_report report;
        LieAboutAnAck();
        ASSERT_EQ(loss_acked(loss_.get(), &ack, now_ns_, &report), STATUS_OK);
        TakeReport(report);
    }

    void LieAboutAnAck()
    {
        const struct loss_range lie = {0, next_number_ + random_() % 3};
        const struct loss_ack ack = {&lie, 1, random_()};
        struct loss_report report;
        const uint64_t timer_ns = loss_timer_ns(loss_.get());
        ASSERT_EQ(loss_acked(loss_.get(), &ack, now_ns_, &report), STATUS_INVALID);
        ASSERT_EQ(loss_timer_ns(loss_.get()), timer_ns);
    }

    void ServeTimer()
    {
        if (loss_timer_ns(loss_.get()) > now_ns_) { return; }
        struct loss_report report;
        const enum loss_timer what = loss_on_timer(loss_.get(), now_ns_, &report);
        if (what == LOSS_TIMER_PROBE) { given_up_count_ += report.lost_count; }
        TakeReport(report);
        if (what == LOSS_TIMER_PROBE) { SendProbes(); }
    }

    void CheckFlight() { ASSERT_EQ(loss_in_flight_bytes(loss_.get()), flight_bytes_); }

    // ---- the receiver: an ack for every second packet, or after half the promised delay

    void Receive(uint64_t number)
    {
        Packet &packet = packets_.at(number);
        packet.received = true;
        received_.insert(number);
        if (!packet.sent.ack_eliciting) { return; }
        delivered_.insert(packet.sent.cookie);
        if (unacked_count_++ == 0) { ack_due_ns_ = now_ns_ + ACK_DELAY_MAX / 2; }
        if (unacked_count_ >= 2) { ack_due_ns_ = now_ns_; }
    }

    std::vector<struct loss_range> NewestRanges() const
    {
        std::vector<struct loss_range> ranges;
        for (auto at = received_.rbegin(); at != received_.rend(); ++at) {
            if (!ranges.empty() && *at + 1 == ranges.back().first) {
                ranges.back().first = *at;
            } else if (ranges.size() < ACK_RANGES_MAX) {
                ranges.push_back({*at, *at});
            } else {
                break;
            }
        }
        return ranges;
    }

    void SendAckWhenDue()
    {
        if (ack_due_ns_ > now_ns_) { return; }
        const uint64_t held_ns = unacked_count_ >= 2 ? 0 : ACK_DELAY_MAX / 2;
        ack_due_ns_ = UINT64_MAX;
        unacked_count_ = 0;
        Transmit({false, 0, NewestRanges(), held_ns}, now_ns_);
    }

    // ---- virtual time

    uint64_t NextNs() const
    {
        const uint64_t arrival_ns = link_.empty() ? UINT64_MAX : link_.begin()->first;
        return std::min({arrival_ns, ack_due_ns_, loss_timer_ns(loss_.get()), PacedNs()});
    }

    void DeliverWhatIsDue()
    {
        while (!link_.empty() && link_.begin()->first <= now_ns_) {
            const Arrival arrival = link_.begin()->second;
            link_.erase(link_.begin());
            if (arrival.at_receiver) {
                Receive(arrival.number);
            } else {
                TakeAck(arrival);
            }
        }
        SendAckWhenDue();
    }

    const Conditions conditions_;
    std::mt19937_64 random_;
    std::unique_ptr<struct loss, Destroy> loss_;
    struct congestion congestion_;
    struct pacing pacing_;
    uint64_t now_ns_ = 1000 * MS;

    std::deque<uint64_t> pending_; /* messages to send, again or for the first time */
    std::set<uint64_t> done_;      /* messages acked */
    std::map<uint64_t, Packet> packets_;
    uint64_t next_number_ = 0;
    uint64_t flight_bytes_ = 0;
    uint64_t lost_count_ = 0;
    uint64_t late_count_ = 0;
    uint64_t given_up_count_ = 0;
    uint64_t persistent_count_ = 0;

    std::multimap<uint64_t, Arrival> link_;
    std::set<uint64_t> received_;
    std::set<uint64_t> delivered_;
    unsigned unacked_count_ = 0;
    uint64_t ack_due_ns_ = UINT64_MAX;
};

Conditions AnyConditions(uint64_t seed)
{
    std::mt19937_64 random(seed);
    Conditions out = {};
    out.seed = seed;
    out.capacity = 4u << (random() % 8); // 4 to 512
    out.loss_percent = static_cast<unsigned>(random() % 31);
    out.reorder_percent = static_cast<unsigned>(random() % 31);
    out.duplicate_percent = static_cast<unsigned>(random() % 11);
    out.sleep_per_mille = random() % 4 == 0 ? 2 : 0;
    out.delay_ns = MS / 20 << (random() % 11); // 50 us to 51 ms
    out.messages = 300;
    return out;
}

TEST(RecoveryModel, DeliversEverythingWhateverTheLinkDoes)
{
    uint64_t late_count = 0;
    uint64_t given_up_count = 0;
    uint64_t persistent_count = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        Model model(AnyConditions(seed));
        model.Run();
        ASSERT_FALSE(HasFailure());
        late_count += model.LateCount();
        given_up_count += model.GivenUpCount();
        persistent_count += model.PersistentCount();
    }

    // The runs reached the rare branches.
    EXPECT_GT(late_count, 0u);
    EXPECT_GT(given_up_count, 0u);
    EXPECT_GT(persistent_count, 0u);
}

TEST(RecoveryModel, LosesNothingOnACleanLink)
{
    Model model({/*seed=*/1, /*capacity=*/4096, 0, 0, 0, 0, /*delay_ns=*/MS, /*messages=*/5000});

    model.Run();

    EXPECT_EQ(model.LostCount(), 0u);
    EXPECT_GT(model.Congestion().window_bytes, 10u * SIZE_MAX_BYTES);
}

TEST(RecoveryModel, LearnsToTolerateALinkThatReordersOnly)
{
    Model model({/*seed=*/1, /*capacity=*/4096, 0, /*reorder_percent=*/5, 0, 0, /*delay_ns=*/MS / 2,
                 /*messages=*/20000});

    model.Run();

    EXPECT_EQ(model.LateCount(), model.LostCount()); // nothing was lost in truth
    EXPECT_LT(model.LostCount(), 20000u / 100);
}

TEST(RecoveryModel, DeliversThroughABlackoutOfNearlyEverything)
{
    Model model({/*seed=*/1, /*capacity=*/16, /*loss_percent=*/80, 0, 0, 0, /*delay_ns=*/MS / 2,
                 /*messages=*/100});

    model.Run();

    EXPECT_GT(model.LostCount(), 100u);
}

} // namespace
