#include "dataplane/worker.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "base/diagnostics.h"
#include "pipeline/rules_load.h"
#include "tests/dataplane/frames.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_packets.h"
#include "wire/record_batch.h"
#include "wire/record_codec.h"

namespace {

constexpr uint16_t kLinesPort = 5140;
constexpr uint16_t kSyslogPort = 514;
constexpr uint64_t kSegmentBytes = 1 << 20;
constexpr uint64_t kRingBytes = 1 << 20;
constexpr uint32_t kCommitBytes = 64 << 10;
constexpr size_t kFramesHeldMax = 4 * PACKETS_BURST_MAX;

struct SimFree {
    void operator()(struct sim_disk *disk) const { sim_disk_destroy(disk); }
    void operator()(struct sim_packets *packets) const { sim_packets_destroy(packets); }
    void operator()(struct rule_set *rules) const { rule_set_destroy(rules); }
    void operator()(struct segment_supply *supply) const { segment_supply_destroy(supply); }
    void operator()(struct core_log *log) const { core_log_destroy(log); }
    void operator()(struct worker *worker) const { worker_destroy(worker); }
};
template <typename T> using Owned = std::unique_ptr<T, SimFree>;

// One worker on simulated ports, with two topics and a few rules.
class WorkerTest : public testing::Test {
  protected:
    void SetUp() override
    {
        const struct sim_disk_options disk = {
            .seed = 1, .depth = 64, .delay_reaps_max = 3, .capacity_bytes = 0};
        disk_.reset(sim_disk_create(&disk));
        packets_.reset(sim_packets_create(/*buffers=*/2 * kFramesHeldMax));
        MakeRules();
        MakeLog();
        MakeWorker();
    }

    void TearDown() override
    {
        worker_.reset();
        if (log_) {
            // The log wants every write reaped before it goes.
            for (int i = 0; i < 1000 && core_log_in_flight(log_.get()) > 0; i++) {
                core_log_turn(log_.get(), now_);
            }
        }
    }

    void MakeRules()
    {
        static const char text[] =
            "rules:\n"
            "  - { name: noise, when: 'healthz', do: drop }\n"
            "  - { name: pay, when: 'svc=pay', do: { route: payments } }\n"
            "  - { name: both, when: 'audit', do: { route: [events, payments] } }\n"
            "default: { route: events }\n";
        static const char *const topics[] = {"events", "payments"};
        static const int32_t listener_topics[] = {-1, -1};
        const struct rules_world world = {topics, 2, listener_topics, 2, nullptr, nullptr};
        struct diagnostics *diagnostics = diagnostics_create();
        rules_.reset(rules_load_text(text, sizeof text - 1, "rules.yaml", &world, diagnostics));
        diagnostics_print(diagnostics, stderr);
        diagnostics_destroy(diagnostics);
        ASSERT_NE(rules_, nullptr);
    }

    void MakeLog()
    {
        runtime_ = testing::TempDir() + "penstock-worker-" + std::to_string(getpid());
        ASSERT_EQ(system(("rm -rf " + runtime_ + " && mkdir -p " + runtime_).c_str()), 0);

        const struct segment_supply_options supply = {.files = sim_disk_files(disk_.get()),
                                                      .runtime = runtime_.c_str(),
                                                      .segment_bytes = kSegmentBytes,
                                                      .index_bytes = 512 * 1024,
                                                      .log_count = 1,
                                                      .grace_ns = 0,
                                                      .reserve_bytes = 0};
        struct segment_supply *made_supply = nullptr;
        ASSERT_EQ(segment_supply_create(&supply, &made_supply), STATUS_OK);
        supply_.reset(made_supply);
        segment_supply_seed(supply_.get(), 7);
        segment_supply_add_log(supply_.get(), 0, /*partition=*/0, /*next_number=*/1);
        segment_supply_work(supply_.get(), 0);

        ring_memory_.reset(static_cast<uint8_t *>(
            aligned_alloc(4096, sizeof(struct commit_ring_header) + kRingBytes)));
        memset(ring_memory_.get(), 0, sizeof(struct commit_ring_header) + kRingBytes);
        auto *ring = reinterpret_cast<struct commit_ring_header *>(ring_memory_.get());
        commit_ring_init(ring, 0, LogId(1), 1, kRingBytes);

        resume_->cluster_id = LogId(9);
        resume_->log_id = LogId(1);
        resume_->next_segment_number = 1;
        resume_->next_commit_number = 1;
        const struct core_log_options log = {.disk = sim_disk_port(disk_.get()),
                                             .supply = supply_.get(),
                                             .supply_index = 0,
                                             .ring = ring,
                                             .root = root_.get(),
                                             .slot = &root_->partitions[0],
                                             .stats = stats_.get(),
                                             .notes = nullptr,
                                             .resume = resume_.get(),
                                             .incarnation = 1,
                                             .commits_in_flight_max = 4,
                                             .commits_at_disk_max = 4,
                                             .commit_bytes_max = kCommitBytes,
                                             .lanes_bytes_max = 0,
                                             .commit_records_max = 4096,
                                             .idle_watermark_ns = 0,
                                             .segment_age_ns = 0};
        struct core_log *made_log = nullptr;
        ASSERT_EQ(core_log_create(&log, &made_log), STATUS_OK);
        log_.reset(made_log);
        ASSERT_EQ(core_log_declare_topic(log_.get(), "events", &log_topics_[0]), STATUS_OK);
        ASSERT_EQ(core_log_declare_topic(log_.get(), "payments", &log_topics_[1]), STATUS_OK);
    }

    void MakeWorker()
    {
        memset(listeners_->by_port, LISTENER_NONE, sizeof listeners_->by_port);
        listeners_->by_port[kLinesPort] = 0;
        listeners_->by_port[kSyslogPort] = 1;
        listeners_->items[0].protocol = CONFIG_PROTOCOL_LINES;
        listeners_->items[1] = {CONFIG_PROTOCOL_SYSLOG, CONFIG_SYSLOG_PARSED};

        interface_ = OurInterface();
        const struct worker_port port = {sim_packets_port(packets_.get()), &interface_, nullptr};
        const struct worker_options options = {
            .ports = &port,
            .port_count = 1,
            .frames_held_max = kFramesHeldMax,
            .listeners = listeners_.get(),
            .index = 0,
            .rules = rules_.get(),
            .rules_rcu = swapping_,
            .log = log_.get(),
            .log_topics = log_topics_,
            .topic_count = 2,
            .stats = stats_.get(),
            .notes = nullptr,
            .commit_bytes = core_log_commit_room(log_.get(), 2),
            .commit_records_max = 4096,
            .commit_linger_ns = 2 * NS_PER_MS,
            .commit_linger_unacked_ns = 2 * NS_PER_MS,
            .native = nullptr,
            .announces = false,
            .codecs = codecs_,
            .compression_percent = 100,
        };
        struct worker *made = nullptr;
        ASSERT_EQ(worker_create(&options, &made), STATUS_OK);
        worker_.reset(made);
    }

    static struct log_id LogId(uint8_t fill)
    {
        struct log_id id;
        memset(id.bytes, fill, sizeof id.bytes);
        return id;
    }

    void PutLines(const std::string &payload) { Put(UdpFrame(kLinesPort, payload)); }
    void Put(const std::vector<uint8_t> &frame)
    {
        sim_packets_put(packets_.get(), bytes_of(frame.data(), frame.size()));
    }

    // Turns until nothing is waiting, open or in flight.
    void Settle()
    {
        for (int turn = 0; turn < 10000; turn++) {
            now_.mono_ns += NS_PER_MS;
            now_.wall_ms += 1;
            segment_supply_work(supply_.get(), now_.mono_ns);
            worker_turn(worker_.get(), now_);
            if (sim_packets_waiting(packets_.get()) == 0 && stats_->records_in_flight == 0 &&
                sim_packets_out(packets_.get()) == 0) {
                return;
            }
        }
        FAIL() << "did not settle: " << stats_->records_in_flight << " records in flight";
    }

    uint64_t Counter(enum stats_counter counter) const { return stats_->counters[counter]; }

    void ExpectLedgerAddsUp() const
    {
        struct ledger ledger;
        ledger_of(stats_.get(), &ledger);
        EXPECT_EQ(ledger.frames_residue, 0);
        EXPECT_EQ(ledger.records_residue, 0);
        EXPECT_EQ(ledger.records_in_flight, 0U);
    }

    // All values of a topic, in offset order, from the durable bytes of every segment.
    std::vector<std::string> Stored(int32_t log_topic)
    {
        std::map<int64_t, std::string> by_offset;
        for (uint64_t number = 1; number < 1000; number++) {
            char name[LOG_NAME_BYTES];
            log_segment_name(0, number, name);
            uint64_t size = 0;
            const uint8_t *at = sim_disk_bytes(disk_.get(), name, &size);
            if (at == nullptr) { break; }
            CollectSegment(bytes_of(at, size), log_topic, &by_offset);
        }
        std::vector<std::string> values;
        for (const auto &[offset, value] : by_offset) {
            EXPECT_EQ(offset, static_cast<int64_t>(values.size()));
            values.push_back(value);
        }
        return values;
    }

    static void CollectSegment(struct bytes file, int32_t log_topic,
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
                ASSERT_EQ(entry_bytes(rest, &entry, &batch), STATUS_OK);
                if (entry.type != ENTRY_RECORDS || entry.topic != log_topic) { continue; }
                CollectBatch(batch, out);
            }
            position += header.length_bytes;
        }
    }

    static void CollectBatch(struct bytes batch, std::map<int64_t, std::string> *out)
    {
        struct record_batch_header header;
        ASSERT_EQ(record_batch_header_decode(batch, &header), STATUS_OK);
        ASSERT_TRUE(record_batch_crc_holds(batch));
        struct record_batch_walk walk;
        struct record_batch_record record;
        uint8_t *unpacked;
        ASSERT_EQ(record_codec_walk_begin(&walk, batch, &header, &unpacked), STATUS_OK);
        while (record_batch_next(&walk, &record) == STATUS_OK) {
            (*out)[record.offset] = std::string(reinterpret_cast<const char *>(record.value.at),
                                                record.value.len_bytes);
        }
        free(unpacked);
    }

    struct Free {
        void operator()(void *memory) const { free(memory); }
    };

    struct instant now_ = {NS_PER_S, 1700000000000};
    std::string runtime_;
    std::unique_ptr<struct stats_page> stats_ = std::make_unique<struct stats_page>();
    std::unique_ptr<struct root_page> root_ = std::make_unique<struct root_page>();
    std::unique_ptr<struct log_resume> resume_ = std::make_unique<struct log_resume>();
    std::unique_ptr<struct listeners> listeners_ = std::make_unique<struct listeners>();
    std::unique_ptr<uint8_t, Free> ring_memory_;
    struct interface interface_ = {};
    int32_t log_topics_[2] = {};
    enum record_codec codecs_[2] = {RECORD_CODEC_NONE, RECORD_CODEC_NONE};
    Owned<struct rule_set> rules_;
    struct rules_rcu *swapping_ = nullptr; // NULL: rules_ for good
    Owned<struct sim_packets> packets_;
    Owned<struct sim_disk> disk_;
    Owned<struct segment_supply> supply_;
    Owned<struct core_log> log_;
    Owned<struct worker> worker_;
};

using Values = std::vector<std::string>;

TEST_F(WorkerTest, StoresEachLineInTheTopicThatTheRulesSay)
{
    PutLines("one\nsvc=pay two\nGET /healthz\nthree");

    Settle();

    EXPECT_EQ(Stored(log_topics_[0]), (Values{"one", "three"}));
    EXPECT_EQ(Stored(log_topics_[1]), (Values{"svc=pay two"}));
    EXPECT_EQ(Counter(STATS_records_in), 4U);
    EXPECT_EQ(Counter(STATS_records_dropped_by_rule), 1U);
    EXPECT_EQ(Counter(STATS_records_stored), 3U);
    ExpectLedgerAddsUp();
}

TEST_F(WorkerTest, CompressesTheTopicsThatHaveACodecAndNoOthers)
{
    codecs_[1] = RECORD_CODEC_LZ4;
    MakeWorker();
    Values plain;
    Values packed;
    for (int i = 0; i < 300; i++) {
        plain.push_back("plain " + std::to_string(i) + std::string(100, 'a'));
        packed.push_back("svc=pay " + std::to_string(i) + std::string(100, 'b'));
        PutLines(plain.back() + "\n" + packed.back());
    }

    Settle();

    EXPECT_EQ(Stored(log_topics_[0]), plain);
    EXPECT_EQ(Stored(log_topics_[1]), packed);
    EXPECT_GT(Counter(STATS_batches_compressed), 0U);
    EXPECT_LT(Counter(STATS_records_stored_bytes), 300U * 106 + 300U * 60);
    ExpectLedgerAddsUp();
}

TEST_F(WorkerTest, ARecordRoutedToTwoTopicsIsOneRecordAndOneCopy)
{
    PutLines("audit");

    Settle();

    EXPECT_EQ(Stored(log_topics_[0]), (Values{"audit"}));
    EXPECT_EQ(Stored(log_topics_[1]), (Values{"audit"}));
    EXPECT_EQ(Counter(STATS_records_stored), 1U);
    EXPECT_EQ(Counter(STATS_records_stored_copies), 1U);
    ExpectLedgerAddsUp();
}

TEST_F(WorkerTest, KeepsTheOrderOfADatagramWithMoreLinesThanOneTurnTakes)
{
    std::string payload;
    Values expected;
    for (int i = 0; i < 700; i++) { // more than a turn's 512 records
        payload += std::string(1, static_cast<char>('a' + i % 26)) + "\n";
        expected.emplace_back(1, static_cast<char>('a' + i % 26));
    }
    PutLines(payload);

    Settle();

    EXPECT_EQ(Stored(log_topics_[0]), expected);
    ExpectLedgerAddsUp();
}

TEST_F(WorkerTest, GivesFramesBackWhenAllTheirRecordsAreDropped)
{
    for (int i = 0; i < 200; i++) { PutLines("GET /healthz"); }

    Settle(); // asserts that no buffer is out

    EXPECT_EQ(Counter(STATS_records_dropped_by_rule), 200U);
    EXPECT_EQ(Counter(STATS_commits_durable), 0U);
}

TEST_F(WorkerTest, WaitsForTheLingerBeforeItClosesACommit)
{
    worker_turn(worker_.get(), now_); // opens the log: its header and topics are written
    const uint64_t opened = sim_disk_write_count(disk_.get());

    PutLines("one");
    worker_turn(worker_.get(), now_);
    now_.mono_ns += 2 * NS_PER_MS - 1;
    worker_turn(worker_.get(), now_);
    EXPECT_EQ(sim_disk_write_count(disk_.get()), opened);

    now_.mono_ns += 1;
    worker_turn(worker_.get(), now_);
    worker_turn(worker_.get(), now_);
    EXPECT_EQ(sim_disk_write_count(disk_.get()), opened + 1);
    Settle();
}

TEST_F(WorkerTest, HoldsBackInsteadOfLosingWhenTheDiskStops)
{
    sim_disk_hold(disk_.get(), true);
    Values expected;
    for (int i = 0; i < 2000; i++) {
        const std::string line = std::to_string(i) + std::string(600, 'x');
        expected.push_back(line);
        PutLines(line);
    }
    for (int turn = 0; turn < 3000; turn++) {
        now_.mono_ns += NS_PER_MS;
        worker_turn(worker_.get(), now_);
    }
    EXPECT_GT(sim_packets_waiting(packets_.get()), 0U); // it stopped receiving
    EXPECT_EQ(Counter(STATS_records_stored), 0U);
    EXPECT_GT(Counter(STATS_worker_turns_held), 0U);

    sim_disk_hold(disk_.get(), false);
    Settle();

    EXPECT_EQ(Stored(log_topics_[0]), expected);
    ExpectLedgerAddsUp();
}

// So many small frames that their number, not their bytes, is what a commit runs out of.
TEST_F(WorkerTest, HoldsBackWhenFramesAreShortAndTheDiskStops)
{
    sim_disk_hold(disk_.get(), true);
    Values expected;
    for (int i = 0; i < 4000; i++) { // in as many frames
        expected.push_back(std::to_string(i));
        PutLines(expected.back());
    }
    for (int turn = 0; turn < 1000; turn++) {
        now_.mono_ns += NS_PER_MS;
        worker_turn(worker_.get(), now_);
        ASSERT_LE(sim_packets_out(packets_.get()), kFramesHeldMax + PACKETS_BURST_MAX);
    }
    EXPECT_GT(sim_packets_waiting(packets_.get()), 0U);
    EXPECT_GT(Counter(STATS_worker_turns_held), 0U);

    sim_disk_hold(disk_.get(), false);
    Settle();

    EXPECT_EQ(Stored(log_topics_[0]), expected);
    ExpectLedgerAddsUp();
}

TEST_F(WorkerTest, StoresNothingTwiceAndNothingLessAfterARefusedWrite)
{
    sim_disk_fail_writes(disk_.get(), /*first=*/3, /*count=*/1, STATUS_IO);
    Values expected;
    for (int i = 0; i < 500; i++) {
        expected.push_back(std::to_string(i) + std::string(500, 'x'));
        PutLines(expected.back());
    }

    Settle();

    EXPECT_EQ(Counter(STATS_segments_failed), 1U);
    EXPECT_EQ(Counter(STATS_records_stored), 500U);
    ExpectLedgerAddsUp();
}

TEST_F(WorkerTest, SyslogFieldsBecomeHeadersAndTheMessageTheValue)
{
    Put(UdpFrame(kSyslogPort, "<34>1 2026-10-11T22:14:15.003Z host su - ID47 - failed for root"));
    Put(UdpFrame(kSyslogPort, "")); // an empty datagram is no record

    Settle();

    EXPECT_EQ(Stored(log_topics_[0]), (Values{"failed for root"}));
    EXPECT_EQ(Counter(STATS_syslog_rfc5424), 1U);
    EXPECT_EQ(Counter(STATS_frames_syslog), 2U);
    EXPECT_EQ(Counter(STATS_frames_empty_datagrams), 1U);
    ExpectLedgerAddsUp();
}

TEST_F(WorkerTest, EveryForeignOrBrokenFrameIsCountedUnderItsName)
{
    Put(UdpFrame(/*target_port=*/4000, "nobody listens"));
    auto bad_checksum = UdpFrame(kLinesPort, "x");
    bad_checksum.back() ^= 1;
    Put(bad_checksum);
    Put({1, 2, 3});

    Settle();

    EXPECT_EQ(Counter(STATS_frames_no_listener), 1U);
    EXPECT_EQ(Counter(STATS_frames_udp_bad_checksum), 1U);
    EXPECT_EQ(Counter(STATS_frames_ethernet_truncated), 1U);
    ExpectLedgerAddsUp();
}

TEST_F(WorkerTest, AnswersAnArpRequest)
{
    Put(ArpRequestFrame());

    Settle();

    ASSERT_EQ(sim_packets_sent_count(packets_.get()), 1U);
    EXPECT_EQ(Counter(STATS_frames_arp), 1U);
    EXPECT_EQ(Counter(STATS_frames_sent), 1U);
}

TEST_F(WorkerTest, AfterAStopWhatWasReceivedIsDurableAndTheSegmentSealed)
{
    for (int i = 0; i < 1000; i++) { PutLines(std::to_string(i)); }
    worker_turn(worker_.get(), now_);
    worker_request_stop(worker_.get());

    for (int turn = 0; turn < 1000 && !worker_is_done(worker_.get()); turn++) {
        now_.mono_ns += NS_PER_MS;
        worker_turn(worker_.get(), now_);
    }

    EXPECT_TRUE(worker_is_done(worker_.get()));
    EXPECT_EQ(Stored(log_topics_[0]).size(), Counter(STATS_records_in));
    EXPECT_GE(Counter(STATS_records_in), 64U);
    EXPECT_LE(Counter(STATS_records_in), 128U); // the burst in hand, not the queue behind it
    EXPECT_EQ(Counter(STATS_segments_sealed), 1U);
    ExpectLedgerAddsUp();
    for (; sim_packets_waiting(packets_.get()) > 0;) { // the simulated NIC's queue
        struct packet packet;
        const struct packets port = sim_packets_port(packets_.get());
        ASSERT_EQ(packets_receive(port, &packet, 1), 1U);
        packets_release(port, &packet.handle, 1);
    }
}

// The same worker under rules that change while it works. Each generation sends everything to one
// topic, and its epoch says which: so a commit that was judged by two of them, or names the wrong
// one, gives itself away.
class WorkerSwapTest : public WorkerTest {
  protected:
    static constexpr const char *kToEvents = "default: { route: events }\n";
    static constexpr const char *kToPayments = "default: { route: payments }\n";

    void SetUp() override
    {
        WorkerTest::SetUp();
        worker_.reset();
        ASSERT_EQ(rules_rcu_create(Generation(1, kToEvents), &rcu_), STATUS_OK);
        swapping_ = rcu_;
        MakeWorker();
    }

    void TearDown() override
    {
        WorkerTest::TearDown();
        rules_rcu_destroy(rcu_);
    }

    struct rules_generation *Generation(uint64_t number, const std::string &text)
    {
        static const char *const topics[] = {"events", "payments"};
        static const int32_t listener_topics[] = {-1, -1};
        const struct rules_world world = {topics, 2, listener_topics, 2, nullptr, nullptr};
        struct diagnostics *diagnostics = diagnostics_create();
        struct rule_set *rules =
            rules_load_text(text.data(), text.size(), "rules.yaml", &world, diagnostics);
        diagnostics_print(diagnostics, stderr);
        diagnostics_destroy(diagnostics);
        const struct rules_generation_options options = {rules,   number, 0, 1, WORKER_RECORDS_MAX,
                                                         nullptr, nullptr};
        struct rules_generation *made = nullptr;
        EXPECT_EQ(rules_generation_create(&options, &made), STATUS_OK);
        topic_of_[made->epoch] = text == kToEvents ? 0 : 1;
        return made;
    }

    void Publish(const char *text)
    {
        rules_rcu_publish(rcu_, Generation(rules_rcu_newest(rcu_)->number + 1, text));
    }

    void Turn()
    {
        now_.mono_ns += 10 * NS_PER_US;
        segment_supply_work(supply_.get(), now_.mono_ns);
        worker_turn(worker_.get(), now_);
    }

    // Of each durable commit with records: that its topics are those of the rules that it names.
    // Answers those rules' topics, commit by commit.
    std::vector<int> CommitsByRules()
    {
        std::vector<int> out;
        for (uint64_t number = 1; number < 1000; number++) {
            char name[LOG_NAME_BYTES];
            log_segment_name(0, number, name);
            uint64_t size = 0;
            const uint8_t *at = sim_disk_bytes(disk_.get(), name, &size);
            if (at == nullptr) { break; }
            size_t position = LOG_BLOCK_BYTES;
            struct commit_header header;
            while (position < size && commit_header_decode(bytes_of(at + position, size - position),
                                                           &header) == STATUS_OK) {
                for (uint32_t i = 0; i < header.entry_count; i++) {
                    const struct entry entry =
                        entry_decode(bytes_of(at + position, size - position), i);
                    if (entry.type != ENTRY_RECORDS) { continue; }
                    EXPECT_EQ(entry.topic, log_topics_[topic_of_.at(header.rules_epoch)]);
                    out.push_back(topic_of_.at(header.rules_epoch));
                }
                position += header.length_bytes;
            }
        }
        return out;
    }

    struct rules_rcu *rcu_ = nullptr;
    std::map<uint64_t, int> topic_of_;
};

TEST_F(WorkerSwapTest, JudgesByTheNewRulesFromTheNextBurstOnAndClosesTheCommit)
{
    PutLines("old");
    Turn();
    Publish(kToPayments);
    PutLines("new");
    Turn();
    EXPECT_TRUE(rules_rcu_settle(rcu_)) << "the old rules are not held a turn longer";
    Settle();

    EXPECT_EQ(Stored(log_topics_[0]), (Values{"old"}));
    EXPECT_EQ(Stored(log_topics_[1]), (Values{"new"}));
    EXPECT_EQ(CommitsByRules(), (std::vector<int>{0, 1}));
    EXPECT_EQ(Counter(STATS_rules_swaps), 1U);
    ExpectLedgerAddsUp();
}

TEST_F(WorkerSwapTest, AnIdleWorkerWritesNothingForASwap)
{
    Turn();
    const uint64_t opened = sim_disk_write_count(disk_.get());
    Publish(kToPayments);

    Turn();
    Turn();

    EXPECT_TRUE(rules_rcu_settle(rcu_));
    EXPECT_EQ(sim_disk_write_count(disk_.get()), opened);
    EXPECT_EQ(Counter(STATS_rules_swaps), 1U);
}

TEST_F(WorkerSwapTest, WhileTheLogTakesNothingTheOldRulesGoOn)
{
    sim_disk_hold(disk_.get(), true);
    Values lines;
    const auto put = [&](int count) {
        for (int i = 0; i < count; i++) {
            lines.push_back(std::to_string(lines.size()) + std::string(600, 'x'));
            PutLines(lines.back());
        }
    };
    put(2000); // more than all commits in flight hold: some are judged, and wait
    for (int turn = 0; turn < 3000; turn++) { Turn(); }
    ASSERT_GT(Counter(STATS_worker_turns_held), 0U);

    Publish(kToPayments);
    for (int turn = 0; turn < 1000; turn++) { Turn(); }
    EXPECT_FALSE(rules_rcu_settle(rcu_));
    EXPECT_TRUE(rules_rcu_worker_is_behind(rcu_, 0));
    EXPECT_EQ(Counter(STATS_rules_swaps), 0U);

    sim_disk_hold(disk_.get(), false);
    Settle();
    EXPECT_TRUE(rules_rcu_settle(rcu_));
    Values stored = Stored(log_topics_[0]);
    const Values later = Stored(log_topics_[1]);
    EXPECT_FALSE(later.empty()) << "what was judged behind the swap";
    stored.insert(stored.end(), later.begin(), later.end());
    EXPECT_EQ(stored, lines) << "each by one set, in order, none lost";
    CommitsByRules();
    ExpectLedgerAddsUp();
}

// One datagram of more lines than one turn takes: its records are judged by two sets, none by both.
TEST_F(WorkerSwapTest, ASwapInTheMiddleOfADatagram)
{
    Turn();
    std::string payload;
    Values lines;
    for (int i = 0; i < 700; i++) {
        lines.push_back(std::string(1, static_cast<char>('a' + i % 26)));
        payload += lines.back() + "\n";
    }
    PutLines(payload);
    Turn(); // 512 of them
    Publish(kToPayments);
    Settle();

    Values stored = Stored(log_topics_[0]);
    EXPECT_EQ(stored.size(), size_t{WORKER_RECORDS_MAX});
    const Values later = Stored(log_topics_[1]);
    stored.insert(stored.end(), later.begin(), later.end());
    EXPECT_EQ(stored, lines);
    CommitsByRules();
    ExpectLedgerAddsUp();
}

TEST_F(WorkerSwapTest, HoldsNothingUpWhileItSleepsAndWakesToTheNewest)
{
    Turn();
    worker_sleeps(worker_.get());
    Publish(kToPayments);
    EXPECT_TRUE(rules_rcu_settle(rcu_));
    Publish(kToEvents);
    EXPECT_TRUE(rules_rcu_settle(rcu_));
    Publish(kToPayments);
    EXPECT_TRUE(rules_rcu_settle(rcu_));

    worker_wakes(worker_.get());
    PutLines("late");
    Settle();

    EXPECT_EQ(Stored(log_topics_[1]), (Values{"late"}));
    EXPECT_EQ(CommitsByRules(), (std::vector<int>{1}));
}

TEST_F(WorkerSwapTest, ASleeperWithAnOpenCommitKeepsItsRules)
{
    PutLines("old");
    Turn();
    worker_sleeps(worker_.get());
    Publish(kToPayments);
    EXPECT_FALSE(rules_rcu_settle(rcu_)) << "its commit is open: it has not let go";
    worker_wakes(worker_.get());
    Settle();

    EXPECT_TRUE(rules_rcu_settle(rcu_));
    EXPECT_EQ(Stored(log_topics_[0]), (Values{"old"}));
    CommitsByRules();
}

TEST_F(WorkerSwapTest, ManySwapsUnderLoadKeepEveryRecord)
{
    Values lines;
    for (int i = 0; i < 3000; i++) {
        lines.push_back(std::to_string(i) + std::string(static_cast<size_t>(i % 300), 'x'));
        PutLines(lines.back());
        if (i % 7 == 0) { Turn(); }
        if (i % 13 == 0 && rules_rcu_settle(rcu_)) {
            Publish(i % 2 == 0 ? kToPayments : kToEvents);
        }
    }
    Settle();

    EXPECT_EQ(Counter(STATS_records_stored), lines.size());
    EXPECT_GT(Counter(STATS_rules_swaps), 20U);
    std::multiset<std::string> stored;
    for (const int32_t topic : log_topics_) {
        for (const std::string &value : Stored(topic)) { stored.insert(value); }
    }
    EXPECT_EQ(stored, std::multiset<std::string>(lines.begin(), lines.end()));
    CommitsByRules();
    ExpectLedgerAddsUp();
}

} // namespace
