// A node in a box and senders of lines on a bad network, with a bad disk, crashes and clocks that
// step: by seed, 300 of them in every build, each run twice. PENSTOCK_SIM_SEEDS=first..last takes
// others.
#include "tests/sim/sim_node.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/crc32c.h"
#include "base/logger.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_log.h"
#include "tests/sim/sim_random.h"
#include "tests/sim/sim_seeds.h"

namespace {

constexpr uint16_t kLinesPort = 5140;
constexpr size_t kSenders = 4;
constexpr uint64_t kTroubleNs = uint64_t{400} * NS_PER_MS;
constexpr uint64_t kPatienceNs = uint64_t{60} * NS_PER_S;

struct Place {
    uint32_t partition;
    int64_t offset;
    bool operator==(const Place &other) const
    {
        return partition == other.partition && offset == other.offset;
    }
    bool operator<(const Place &other) const
    {
        return std::tie(partition, offset) < std::tie(other.partition, other.offset);
    }
};
using Stored = std::map<Place, std::string>;

// What is on the disk, as a consumer would see it.
Stored ReadLog(struct sim_node *node)
{
    Stored out;
    const auto visit = [](void *context, const struct sim_log_place *place,
                          const struct record_batch_record *record) {
        EXPECT_STREQ(place->topic, "events");
        const auto inserted = static_cast<Stored *>(context)->insert(
            {{place->partition, record->offset},
             std::string(reinterpret_cast<const char *>(record->value.at),
                         record->value.len_bytes)});
        EXPECT_TRUE(inserted.second) << "offset " << record->offset << " is there twice";
    };
    EXPECT_EQ(sim_log_read(sim_disk_files(sim_node_disk(node)), visit, &out), STATUS_OK);
    return out;
}

struct NodeFree {
    void operator()(struct sim_node *node) const { sim_node_destroy(node); }
    void operator()(struct sim_network *network) const { sim_network_destroy(network); }
};

struct Met;

class Box {
  public:
    explicit Box(uint64_t seed) : random_{seed}
    {
        sim_clock_init(&clock_, uint64_t{1000} * NS_PER_S, 1'700'000'000'000);
        struct sim_node_settings settings = sim_node_defaults(random_u64(&random_));
        settings.commit_linger_ns = Between(1, 4) * NS_PER_MS;
        settings.commits_in_flight = static_cast<uint32_t>(Between(1, 8));
        settings.segment_bytes = uint64_t{64 * 1024} << Between(0, 2);
        node_.reset(sim_node_create(&settings));

        network_.reset(sim_network_create(random_u64(&random_)));
        for (size_t i = 0; i < kSenders; i++) {
            senders_.push_back({{static_cast<uint32_t>(0xc0000214 + i), 30000}, 0, 0});
            sim_network_add(network_.get(), senders_[i].address);
        }
        node_endpoint_ = sim_network_add(network_.get(), {settings.interface.address, 0});
        target_ = {settings.interface.address, kLinesPort};
    }

    uint64_t Digest() const { return digest_ ^ sim_node_digest(node_.get()); }

    void AddTo(Met *met) const;

    // Trouble, twice or so a crash, then peace until all is settled.
    void Live()
    {
        Restart();
        const uint64_t lives = Between(1, 4);
        for (uint64_t life = 0; life < lives && !::testing::Test::HasFatalFailure(); life++) {
            MakeNetworkBad();
            MakeDiskBad();
            pause_ns_max_ = OneIn(5) ? 100 * NS_PER_US : 2 * NS_PER_MS;
            RunUntil(clock_.mono_ns + Between(1, kTroubleNs / lives), /*sending=*/true);
            if (life + 1 < lives) {
                Crash();
                Restart();
            }
        }
        Settle();
    }

  private:
    struct Sender {
        struct sim_address address;
        uint64_t next_ns;
        uint64_t lines;
    };

    uint64_t Between(uint64_t min, uint64_t max) { return sim_random_between(&random_, min, max); }
    bool OneIn(uint64_t count) { return sim_random_below(&random_, count) == 0; }
    uint32_t ChanceUpTo(uint32_t ppm)
    {
        return OneIn(3) ? 0 : static_cast<uint32_t>(Between(0, ppm));
    }

    // ------------------------------------------------------------------------------- trouble

    void MakeNetworkBad()
    {
        struct sim_network_settings bad = {};
        bad.delay_ns_min = Between(10, 100) * NS_PER_US;
        bad.delay_ns_max = bad.delay_ns_min + Between(0, 20) * NS_PER_MS;
        bad.loss = ChanceUpTo(300'000);
        bad.duplication = ChanceUpTo(500'000);
        bad.reordering = ChanceUpTo(500'000);
        bad.reorder_ns_max = Between(1, 50) * NS_PER_MS;
        bad.corruption = ChanceUpTo(50'000); // `lines` has UDP's checksum and no other
        bad.mtu_bytes = OneIn(4) ? 300 : 1500;
        bad.queue_max = OneIn(4) ? 20 : 0;
        sim_network_set(network_.get(), &bad);
    }

    void MakeDiskBad()
    {
        struct sim_disk *const disk = sim_node_disk(node_.get());
        const uint64_t fastest_ns = Between(10, 500) * NS_PER_US;
        sim_disk_set_latency(disk, fastest_ns, fastest_ns + Between(0, 20) * NS_PER_MS);
        struct sim_disk_chances chances = {};
        chances.io_error = ChanceUpTo(20'000);
        chances.no_space = ChanceUpTo(10'000);
        chances.swallowed = OneIn(4) ? ChanceUpTo(5'000) : 0;
        chances.slow = ChanceUpTo(20'000);
        chances.slow_ns = Between(1, 1000) * NS_PER_MS;
        sim_disk_set_chances(disk, &chances);
    }

    // Something happens once in some milliseconds.
    void Meddle()
    {
        struct sim_disk *const disk = sim_node_disk(node_.get());
        const size_t sender = Between(0, kSenders - 1);
        switch (Between(0, 9)) {
        case 0: sim_network_cut(network_.get(), sender, node_endpoint_, OneIn(2)); break;
        case 1: sim_network_isolate(network_.get(), sender, OneIn(2)); break;
        case 2: sim_network_clog(network_.get(), sender, node_endpoint_, OneIn(2)); break;
        case 3: sim_disk_set_capacity(disk, OneIn(2) ? 0 : Between(1, 12) * 256 * 1024); break;
        case 4: sim_disk_release(disk, OneIn(2) ? STATUS_OK : STATUS_IO); break;
        case 5: sim_disk_hold(disk, OneIn(2)); break;
        case 6: sim_clock_advance(&clock_, clock_.mono_ns + Between(0, 2) * NS_PER_S); break;
        case 7: StepWallClock(); break;
        default: MakeNetworkBad();
        }
    }

    void StepWallClock()
    {
        constexpr int64_t kTenYearsMs = int64_t{3652} * 86400 * MS_PER_S;
        switch (Between(0, 3)) {
        case 0: sim_clock_set_wall(&clock_, 0); break;
        case 1: sim_clock_step_wall(&clock_, kTenYearsMs); break;
        case 2: sim_clock_step_wall(&clock_, -int64_t{3600} * MS_PER_S); break;
        default: sim_clock_stop_wall(&clock_, OneIn(2));
        }
    }

    // -------------------------------------------------------------------------------- events

    void SendLines(Sender *sender, size_t index)
    {
        std::string payload;
        const uint64_t lines = Between(1, 6);
        for (uint64_t i = 0; i < lines; i++) {
            const std::string line = "sender " + std::to_string(index) + " line " +
                                     std::to_string(sender->lines++) +
                                     std::string(Between(0, 150), '.');
            payload += line + "\n";
            sent_.insert(line);
        }
        sim_network_send(network_.get(), sender->address, target_,
                         bytes_of(payload.data(), payload.size()), clock_.mono_ns);
        sender->next_ns = clock_.mono_ns + Between(10 * NS_PER_US, pause_ns_max_);
    }

    void Deliver()
    {
        size_t endpoint;
        struct sim_datagram datagram;
        while (sim_network_pop(network_.get(), clock_.mono_ns, &endpoint, &datagram)) {
            ASSERT_EQ(endpoint, node_endpoint_);
            Mix(datagram.payload.len_bytes);
            Mix(clock_.mono_ns);
            if (!datagram.checksum_is_bad) { Allow(datagram.payload); }
            sim_node_receive(node_.get(), &datagram);
        }
    }

    // Its lines may be stored once more than before.
    void Allow(struct bytes payload)
    {
        const std::string text(reinterpret_cast<const char *>(payload.at), payload.len_bytes);
        for (size_t at = 0; at < text.size();) {
            const size_t end = text.find('\n', at);
            allowed_[text.substr(at, end - at)]++;
            at = end + 1;
        }
    }

    uint64_t NextNs(bool sending) const
    {
        uint64_t next_ns =
            std::min(sim_node_next_ns(node_.get()), sim_network_next_ns(network_.get()));
        for (const Sender &sender : senders_) {
            if (sending) { next_ns = std::min(next_ns, sender.next_ns); }
        }
        return next_ns;
    }

    void RunUntil(uint64_t end_ns, bool sending)
    {
        uint64_t meddle_ns = clock_.mono_ns + Between(1, 20) * NS_PER_MS;
        while (clock_.mono_ns < end_ns) {
            sim_clock_advance(&clock_, std::min(end_ns, NextNs(sending)));
            for (size_t i = 0; sending && i < kSenders; i++) {
                if (senders_[i].next_ns <= clock_.mono_ns) { SendLines(&senders_[i], i); }
            }
            if (sending && clock_.mono_ns >= meddle_ns) {
                Meddle();
                meddle_ns = clock_.mono_ns + Between(1, 20) * NS_PER_MS;
            }
            ASSERT_NO_FATAL_FAILURE(Deliver());
            sim_node_turn(node_.get(), sim_clock_now(&clock_));
        }
    }

    // ----------------------------------------------------------------------- crash and start

    void Crash()
    {
        known_durable_ = 0;
        for (size_t i = 0; i < sim_node_partition_count(node_.get()); i++) {
            known_durable_ += sim_node_stats(node_.get(), i)->counters[STATS_records_stored];
        }
        const bool keeps_pages = OneIn(2);
        durable_end_known_ = keeps_pages && EveryLogHasDurableCommits();
        sim_node_crash(node_.get(), keeps_pages ? SIM_NODE_KEEPS_PAGES : SIM_NODE_LOSES_PAGES);
        sim_disk_set_capacity(sim_node_disk(node_.get()), 0);
    }

    // Without one the root page names no segment, and recovery takes the careful way.
    bool EveryLogHasDurableCommits() const
    {
        for (size_t i = 0; i < sim_node_partition_count(node_.get()); i++) {
            if (sim_node_root(node_.get())->partitions[i].durable_number == 0) { return false; }
        }
        return true;
    }

    void Restart()
    {
        const uint64_t skipped = sim_node_found(node_.get(), RECOVERY_SKIPPED_OFFSETS);
        ASSERT_EQ(sim_node_restart(node_.get(), Between(1, 3), sim_clock_now(&clock_)), STATUS_OK);
        if (durable_end_known_) {
            ASSERT_EQ(sim_node_found(node_.get(), RECOVERY_SKIPPED_OFFSETS), skipped)
                << "the root page says how far it was durable";
        }
        ASSERT_NO_FATAL_FAILURE(CheckLog());
    }

    void CheckLog()
    {
        const Stored stored = ReadLog(node_.get());
        EXPECT_GE(stored.size(), known_durable_) << "durable records are gone";
        for (const auto &[place, line] : stored_) {
            const auto found = stored.find(place);
            ASSERT_NE(found, stored.end()) << "offset " << place.offset << " of partition "
                                           << place.partition << " was served, and is gone";
            ASSERT_EQ(found->second, line);
        }
        std::map<std::string, uint64_t> times;
        uint64_t gaps = 0;
        Place expected = {UINT32_MAX, 0};
        for (const auto &[place, line] : stored) {
            ASSERT_EQ(sent_.count(line), 1U) << "never sent: " << line;
            Mix(static_cast<uint64_t>(place.offset));
            Mix(crc32c(bytes_of(line.data(), line.size())));
            ASSERT_LE(++times[line], allowed_[line]) << "stored too often: " << line;
            if (place.partition != expected.partition) { expected = {place.partition, 0}; }
            gaps += place.offset != expected.offset;
            expected.offset = place.offset + 1;
        }
        EXPECT_LE(gaps, sim_node_found(node_.get(), RECOVERY_SKIPPED_OFFSETS));
        EXPECT_EQ(sim_node_found(node_.get(), RECOVERY_FENCED), 0U) << "nothing rots here";
        EXPECT_EQ(sim_node_found(node_.get(), RECOVERY_MISSING_SEGMENT), 0U);
        EXPECT_EQ(sim_node_found(node_.get(), RECOVERY_LOST_LOG), 0U);
        stored_ = stored;
    }

    // Faults off: everything under way arrives, becomes durable, and the books are closed.
    void Settle()
    {
        const struct sim_network_settings calm = {};
        sim_network_set(network_.get(), &calm);
        sim_network_heal(network_.get());
        sim_clock_stop_wall(&clock_, false);
        struct sim_disk *const disk = sim_node_disk(node_.get());
        sim_disk_calm(disk);
        sim_disk_set_capacity(disk, 0);
        sim_disk_set_latency(disk, 100 * NS_PER_US, 200 * NS_PER_US);

        const uint64_t limit_ns = clock_.mono_ns + kPatienceNs;
        while (sim_network_counts(network_.get()).in_flight > 0 || Open() > 0) {
            ASSERT_LT(clock_.mono_ns, limit_ns) << Open() << " records are not durable";
            RunUntil(clock_.mono_ns + 10 * NS_PER_MS, /*sending=*/false);
        }
        sim_node_stop(node_.get());
        while (!sim_node_is_done(node_.get())) {
            ASSERT_LT(clock_.mono_ns, limit_ns) << "does not stop";
            RunUntil(clock_.mono_ns + NS_PER_MS, /*sending=*/false);
        }
        CheckBooks();
        sim_node_close(node_.get());
        ASSERT_NO_FATAL_FAILURE(CheckLog());
    }

    uint64_t Open() const
    {
        uint64_t open = 0;
        for (size_t i = 0; i < sim_node_partition_count(node_.get()); i++) {
            open += sim_node_stats(node_.get(), i)->records_in_flight;
        }
        return open;
    }

    void CheckBooks()
    {
        known_durable_ = 0;
        for (size_t i = 0; i < sim_node_partition_count(node_.get()); i++) {
            const struct stats_page *const stats = sim_node_stats(node_.get(), i);
            struct ledger ledger;
            ledger_of(stats, &ledger);
            EXPECT_EQ(ledger.frames_residue, 0) << "partition " << i;
            EXPECT_EQ(ledger.records_residue, 0) << "partition " << i;
            EXPECT_EQ(ledger.records_in_flight, 0U) << "partition " << i;
            known_durable_ += stats->counters[STATS_records_stored];
        }
        const struct sim_network_counts counts = sim_network_counts(network_.get());
        Mix(counts.delivered);
        Mix(counts.corrupted);
    }

    void Mix(uint64_t value)
    {
        struct random mix = {digest_ ^ value};
        digest_ = random_u64(&mix);
    }

    struct random random_;
    struct sim_clock clock_ = {};
    std::unique_ptr<struct sim_node, NodeFree> node_;
    std::unique_ptr<struct sim_network, NodeFree> network_;
    std::vector<Sender> senders_;
    uint64_t pause_ns_max_ = 0; // between two datagrams of one of them
    size_t node_endpoint_ = 0;
    struct sim_address target_ = {};
    std::set<std::string> sent_;
    std::map<std::string, uint64_t> allowed_; // copies that reached the node whole
    Stored stored_;                           // what was served once
    uint64_t known_durable_ = 0;
    bool durable_end_known_ = false; // by the root page, to recovery
    uint64_t digest_ = 0;
};

// How often each kind of trouble was met over all seeds: one that never comes is not tested.
struct Met {
    uint64_t runs;
    uint64_t records_stored;
    uint64_t bad_checksums;
    uint64_t missed;
    uint64_t lost_at_crash;
    uint64_t segments_sealed;
    uint64_t segments_failed;
    uint64_t segments_starved;
    uint64_t commits_rewritten;
    uint64_t offsets_skipped;
    uint64_t tails_cut;
};

class SimNodeSeeds : public ::testing::TestWithParam<uint64_t> {
  protected:
    static void SetUpTestSuite()
    {
        logger_init("sim", LOG_LEVEL_ERROR);
        met_ = {};
    }
    static void TearDownTestSuite()
    {
        if (met_.runs < kEnoughRuns) { return; }
        EXPECT_GT(met_.records_stored, 100 * met_.runs);
        EXPECT_GT(met_.bad_checksums, 0U);
        EXPECT_GT(met_.missed, 0U);
        EXPECT_GT(met_.lost_at_crash, 0U);
        EXPECT_GT(met_.segments_sealed, met_.runs);
        EXPECT_GT(met_.segments_failed, 0U);
        EXPECT_GT(met_.segments_starved, 0U);
        EXPECT_GT(met_.commits_rewritten, 0U);
        EXPECT_GT(met_.offsets_skipped, 0U);
        EXPECT_GT(met_.tails_cut, 0U);
    }

    static constexpr uint64_t kEnoughRuns = 100;
    static Met met_;
};
Met SimNodeSeeds::met_;

void Box::AddTo(Met *met) const
{
    met->runs++;
    for (size_t i = 0; i < sim_node_partition_count(node_.get()); i++) {
        const uint64_t *const counters = sim_node_stats(node_.get(), i)->counters;
        met->records_stored += counters[STATS_records_stored];
        met->bad_checksums += counters[STATS_frames_udp_bad_checksum];
        met->lost_at_crash += counters[STATS_records_lost_at_crash];
        met->segments_sealed += counters[STATS_segments_sealed];
        met->segments_failed += counters[STATS_segments_failed];
        met->segments_starved += counters[STATS_segments_starved];
        met->commits_rewritten += counters[STATS_commits_rewritten];
    }
    met->missed += sim_node_missed(node_.get());
    met->offsets_skipped += sim_node_found(node_.get(), RECOVERY_SKIPPED_OFFSETS);
    met->tails_cut += sim_node_found(node_.get(), RECOVERY_CUT);
}

TEST_P(SimNodeSeeds, StoresWhatReachedItOnceAndCountsTheRest)
{
    SCOPED_TRACE("seed " + std::to_string(GetParam()));
    Box box(GetParam());
    ASSERT_NO_FATAL_FAILURE(box.Live());

    Box again(GetParam());
    ASSERT_NO_FATAL_FAILURE(again.Live());

    EXPECT_EQ(box.Digest(), again.Digest()) << "the same seed went another way";
    RecordProperty("digest", std::to_string(box.Digest())); // to be compared between builds
    box.AddTo(&met_);
}

// ------------------------------------------------------------------------ one thing at a time

class SimNode : public testing::Test {
  protected:
    static void SetUpTestSuite() { logger_init("sim", LOG_LEVEL_ERROR); }

    void Begin(const struct sim_node_settings &settings, size_t workers)
    {
        settings_ = settings;
        node_.reset(sim_node_create(&settings_));
        ASSERT_EQ(sim_node_restart(node_.get(), workers, now_), STATUS_OK);
    }
    void Send(uint16_t source_port, const std::string &payload)
    {
        struct sim_datagram datagram = {};
        datagram.source = {0xc0000201, source_port};
        datagram.target = {settings_.interface.address, kLinesPort};
        datagram.payload = bytes_of(payload.data(), payload.size());
        sim_node_receive(node_.get(), &datagram);
    }
    void Turn(uint64_t ms)
    {
        const uint64_t end_ns = now_.mono_ns + ms * NS_PER_MS;
        while (now_.mono_ns < end_ns) {
            now_.mono_ns = sim_node_next_ns(node_.get());
            sim_node_turn(node_.get(), now_);
        }
    }
    void StopAndClose()
    {
        sim_node_stop(node_.get());
        Turn(1000);
        ASSERT_TRUE(sim_node_is_done(node_.get()));
        sim_node_close(node_.get());
    }

    struct instant now_ = {uint64_t{1000} * NS_PER_S, 1'700'000'000'000};
    struct sim_node_settings settings_ = {};
    std::unique_ptr<struct sim_node, NodeFree> node_;
};

TEST_F(SimNode, StopsInOrderAndGoesOnWithoutAGap)
{
    Begin(sim_node_defaults(1), 1);
    Send(1, "one\ntwo");
    Turn(50);
    StopAndClose();
    EXPECT_EQ(sim_node_root(node_.get())->state, uint32_t{ROOT_STATE_STOPPED});

    ASSERT_EQ(sim_node_restart(node_.get(), 1, now_), STATUS_OK);
    Send(1, "three");
    Turn(50);
    StopAndClose();

    EXPECT_EQ(ReadLog(node_.get()), (Stored{{{0, 0}, "one"}, {{0, 1}, "two"}, {{0, 2}, "three"}}));
}

TEST_F(SimNode, KeepsOrphansOfAStartWithFewerWorkers)
{
    Begin(sim_node_defaults(1), 3);
    for (uint16_t port = 1; port <= 30; port++) { Send(port, std::to_string(port)); }
    Turn(50);
    sim_node_crash(node_.get(), SIM_NODE_LOSES_PAGES);

    ASSERT_EQ(sim_node_restart(node_.get(), 1, now_), STATUS_OK);

    EXPECT_EQ(sim_node_partition_count(node_.get()), 3U);
    EXPECT_EQ(ReadLog(node_.get()).size(), 30U);
    EXPECT_EQ(sim_node_root(node_.get())->partitions[2].state, uint32_t{ROOT_LOG_ORPHAN});
}

TEST_F(SimNode, LosesWhatTheDiskDidNotHaveAndBooksIt)
{
    Begin(sim_node_defaults(1), 1);
    sim_disk_hold(sim_node_disk(node_.get()), true);
    Send(1, "never durable");
    Turn(50);
    EXPECT_EQ(sim_node_stats(node_.get(), 0)->records_in_flight, 1U);

    sim_node_crash(node_.get(), SIM_NODE_KEEPS_PAGES);
    ASSERT_EQ(sim_node_restart(node_.get(), 1, now_), STATUS_OK);

    const uint64_t stored = ReadLog(node_.get()).size();
    const uint64_t *const counters = sim_node_stats(node_.get(), 0)->counters;
    EXPECT_EQ(counters[STATS_records_stored], stored);
    EXPECT_EQ(counters[STATS_records_lost_at_crash], 1 - stored);
}

TEST_F(SimNode, MissesWhatComesWhileItIsDownOrItsQueueIsFull)
{
    struct sim_node_settings settings = sim_node_defaults(1);
    settings.receive_max = 3;
    Begin(settings, 1);
    for (int i = 0; i < 5; i++) { Send(1, "line"); }
    EXPECT_EQ(sim_node_missed(node_.get()), 2U);

    sim_node_crash(node_.get(), SIM_NODE_KEEPS_PAGES);
    Send(1, "line");

    EXPECT_EQ(sim_node_missed(node_.get()), 3U);
    EXPECT_EQ(sim_node_next_ns(node_.get()), UINT64_MAX);
}

TEST_F(SimNode, RoutesByRulesThatManyNodesShare)
{
    struct sim_node_settings settings = sim_node_defaults(1);
    settings.topics[1] = "payments";
    settings.topic_count = 2;
    settings.listeners[0].topic = CONFIG_NO_TOPIC;
    struct rule_set *const rules = sim_node_rules(
        &settings, "rules:\n  - { name: pay, when: 'pay', do: { route: payments } }\n"
                   "default: drop\n");
    ASSERT_NE(rules, nullptr);
    settings.rules = rules;
    Begin(settings, 1);

    Send(1, "pay me\nother");
    Turn(50);
    StopAndClose();

    std::vector<std::string> topics;
    const auto visit = [](void *context, const struct sim_log_place *place,
                          const struct record_batch_record *) {
        static_cast<std::vector<std::string> *>(context)->push_back(place->topic);
    };
    EXPECT_EQ(sim_log_read(sim_disk_files(sim_node_disk(node_.get())), visit, &topics), STATUS_OK);
    EXPECT_EQ(topics, std::vector<std::string>{"payments"});
    EXPECT_EQ(sim_node_stats(node_.get(), 0)->counters[STATS_records_dropped_by_rule], 1U);
    node_.reset();
    rule_set_destroy(rules);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SimNodeSeeds, ::testing::ValuesIn(SimSeeds(300)),
                         [](const auto &info) { return std::to_string(info.param); });

} // namespace
