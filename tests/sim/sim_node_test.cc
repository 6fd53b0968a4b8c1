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
    const auto visit = [](void *context, uint32_t partition, const char *topic,
                          const struct record_batch_record *record) {
        EXPECT_STREQ(topic, "events");
        const auto inserted = static_cast<Stored *>(context)->insert(
            {{partition, record->offset},
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

class Box {
  public:
    explicit Box(uint64_t seed) : random_{seed}
    {
        sim_clock_init(&clock_, uint64_t{1000} * NS_PER_S, 1'700'000'000'000);
        struct sim_node_settings settings = sim_node_defaults(sim_random_next(&random_));
        settings.commit_linger_ns = Between(1, 4) * NS_PER_MS;
        settings.commits_in_flight = static_cast<uint32_t>(Between(1, 8));
        node_.reset(sim_node_create(&settings));

        network_.reset(sim_network_create(sim_random_next(&random_)));
        for (size_t i = 0; i < kSenders; i++) {
            senders_.push_back({{static_cast<uint32_t>(0xc0000214 + i), 30000}, 0, 0});
            sim_network_add(network_.get(), senders_[i].address);
        }
        node_endpoint_ = sim_network_add(network_.get(), {settings.interface.address, 0});
        target_ = {settings.interface.address, kLinesPort};
    }

    uint64_t Digest() const { return digest_ ^ sim_node_digest(node_.get()); }

    // Trouble, twice or so a crash, then peace until all is settled.
    void Live()
    {
        Restart();
        const uint64_t lives = Between(1, 4);
        for (uint64_t life = 0; life < lives && !::testing::Test::HasFatalFailure(); life++) {
            MakeNetworkBad();
            MakeDiskBad();
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
        sender->next_ns = clock_.mono_ns + Between(10 * NS_PER_US, 2 * NS_PER_MS);
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
        struct sim_random mix = {digest_ ^ value};
        digest_ = sim_random_next(&mix);
    }

    struct sim_random random_;
    struct sim_clock clock_ = {};
    std::unique_ptr<struct sim_node, NodeFree> node_;
    std::unique_ptr<struct sim_network, NodeFree> network_;
    std::vector<Sender> senders_;
    size_t node_endpoint_ = 0;
    struct sim_address target_ = {};
    std::set<std::string> sent_;
    std::map<std::string, uint64_t> allowed_; // copies that reached the node whole
    Stored stored_;                           // what was served once
    uint64_t known_durable_ = 0;
    bool durable_end_known_ = false; // by the root page, to recovery
    uint64_t digest_ = 0;
};

class SimNode : public ::testing::TestWithParam<uint64_t> {
  protected:
    static void SetUpTestSuite() { logger_init("sim", LOG_LEVEL_ERROR); }
};

TEST_P(SimNode, StoresWhatReachedItOnceAndCountsTheRest)
{
    SCOPED_TRACE("seed " + std::to_string(GetParam()));
    Box box(GetParam());
    ASSERT_NO_FATAL_FAILURE(box.Live());

    Box again(GetParam());
    ASSERT_NO_FATAL_FAILURE(again.Live());

    EXPECT_EQ(box.Digest(), again.Digest()) << "the same seed went another way";
}

INSTANTIATE_TEST_SUITE_P(Seeds, SimNode, ::testing::ValuesIn(SimSeeds(300)),
                         [](const auto &info) { return std::to_string(info.param); });

} // namespace
