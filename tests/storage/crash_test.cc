// The whole round, by seed: core_log writes on a simulated disk that refuses some of the writes,
// the power goes, recovery (which the power may meet as well), a reader, and the next core_log goes
// on from there; three crashes deep. PENSTOCK_SIM_SEEDS=first..last takes other seeds: ./tools/sim.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <sstream>
#include <string>

#include "base/mapped_file.h"
#include "storage/core_log.h"
#include "storage/lane_journal.h"
#include "storage/lane_recovery.h"
#include "storage/reader.h"
#include "storage/recovery.h"
#include "storage/retention.h"
#include "tests/sim/sim_seeds.h"
#include "tests/storage/log_builder.h"
#include "tests/storage/log_rig.h"
#include "tests/storage/temporary_directory.h"

namespace {

using namespace penstock_test;

constexpr size_t TOPICS = 2;
constexpr uint64_t RING_BYTES = 256 * 1024;

struct Stored {
    int32_t topic;
    uint64_t base_offset;
    uint32_t record_count;
    uint32_t crc;
    uint64_t commit_number;
};

// ------------------------------------------------------------------------------------ lanes

constexpr uint8_t LANE_KEYS = 12;
constexpr uint32_t LANE_RUNS = 5;
constexpr size_t LANES_BYTES = 1400;
constexpr size_t LANES_SLICE_BYTES = 1; // one lane: a checkpoint takes many commits

// What was done to a lane. Fates are shared by all that is known of one life of it: only the first
// `state.last_sequence - begun_at` count.
struct ModelLane {
    struct lane_state state;
    uint64_t confirmed_in_log; // at least this: when it last had an item in a commit
    uint64_t begun_at;
    std::shared_ptr<std::vector<uint8_t>> fates;
};
using ModelLanes = std::map<uint8_t, ModelLane>; // by the first byte of the producer id

struct lane_key KeyOf(uint8_t producer)
{
    struct lane_key key = {};
    key.producer.bytes[0] = producer;
    key.number = 3;
    return key;
}

// Does random things to lanes before each commit, and keeps the books.
class LaneLife {
  public:
    LaneLife(struct core_log *log, const struct lane_resume_set *lanes, ModelLanes model,
             uint64_t seed)
        : random_(seed), model_(std::move(model))
    {
        const struct lane_table_options table = {LANE_KEYS - 2, LANE_RUNS, 200, seed};
        const struct lane_journal_options journal = {log, nullptr, LANES_BYTES, LANES_SLICE_BYTES};
        EXPECT_EQ(lane_table_create(&table, &table_), STATUS_OK);
        EXPECT_EQ(lane_table_restore(table_, lanes), STATUS_OK);
        struct lane_journal_options options = journal;
        options.table = table_;
        EXPECT_EQ(lane_journal_create(&options, &journal_), STATUS_OK);
    }
    ~LaneLife()
    {
        lane_journal_destroy(journal_);
        lane_table_destroy(table_);
    }
    LaneLife(const LaneLife &) = delete;
    LaneLife &operator=(const LaneLife &) = delete;

    void Work(int64_t wall_ms)
    {
        for (auto steps = random_() % 8; steps > 0 && lane_journal_has_room(journal_); steps--) {
            Step(static_cast<uint8_t>(random_() % LANE_KEYS), wall_ms);
        }
    }
    void Close(struct commit_draft *draft, struct commit_facts *facts)
    {
        lane_journal_close(journal_, draft, facts);
    }
    // The commit of this number leaves the lanes as they are now.
    void Submitted(uint64_t number)
    {
        lane_journal_submitted(journal_, number);
        history[number] = model_;
    }
    void Reap(uint64_t durable_number)
    {
        uint32_t lanes[5];
        while (lane_journal_reap(journal_, durable_number, lanes, 5) == 5) {}
    }

    std::map<uint64_t, ModelLanes> history; // by number of the commit

  private:
    void Step(uint8_t key, int64_t wall_ms)
    {
        const struct lane_key wire_key = KeyOf(key);
        const uint32_t lane = lane_table_find(table_, &wire_key);
        ASSERT_EQ(lane != LANE_NONE, model_.count(key) == 1);
        if (lane == LANE_NONE) {
            Begin(key, wall_ms);
            return;
        }
        struct lane *const at = &lane_table_lanes(table_)[lane];
        ModelLane &model = model_[key];
        switch (random_() % 8) {
        case 0: Confirm(lane); break;
        case 1:
            at->state.epoch++;
            ASSERT_TRUE(lane_journal_touch(journal_, lane, 0));
            break;
        case 2: {
            const auto count = static_cast<uint32_t>(1 + random_() % 4);
            if (!lane_journal_skip(journal_, lane, count)) { break; }
            model.fates->insert(model.fates->end(), count, NATIVE_LOST);
            break;
        }
        case 3:
            if (at->open_item != LANE_NONE || at->in_flight > 0) { break; }
            lane_journal_forget(journal_, lane);
            model_.erase(key);
            return;
        default: Record(lane, &model, wall_ms);
        }
        model.state = at->state;
        if (at->open_item != LANE_NONE) { model.confirmed_in_log = at->state.confirmed; }
    }
    void Begin(uint8_t key, int64_t wall_ms)
    {
        struct lane_state state = {};
        state.key = KeyOf(key);
        state.epoch = 1 + random_() % 100;
        state.last_sequence = random_() % 3 * 50;
        state.confirmed = state.last_sequence;
        state.active_wall_ms = wall_ms;
        const uint32_t lane = lane_table_add(table_, &state);
        if (lane == LANE_NONE) { return; }
        ASSERT_TRUE(lane_journal_touch(journal_, lane, 0));
        model_[key] = {state, state.confirmed, state.last_sequence,
                       std::make_shared<std::vector<uint8_t>>()};
    }
    void Confirm(uint32_t lane)
    {
        const struct lane_state &state = lane_table_lanes(table_)[lane].state;
        lane_fates_confirm(table_, lane, state.confirmed + random_() % 12);
    }
    void Record(uint32_t lane, ModelLane *model, int64_t wall_ms)
    {
        const uint8_t fate = random_() % 4 == 0 ? NATIVE_DROPPED : NATIVE_STORED;
        struct lane_place place = {LOG_NO_TOPIC, 0};
        if (fate == NATIVE_STORED) { place = {0, static_cast<uint32_t>(random_() % 5)}; }
        const auto digest = static_cast<uint32_t>(random_());
        if (!lane_journal_record(journal_, lane, fate, place, digest, wall_ms)) {
            Confirm(lane); // or it would never take another
            return;
        }
        model->fates->push_back(fate);
    }

    std::mt19937_64 random_;
    ModelLanes model_;
    struct lane_table *table_ = nullptr;
    struct lane_journal *journal_ = nullptr;
};

// The lane as the log has it is the one that the model has, and no fate is another.
void ExpectLane(const ModelLane &model, const struct lane_resume &found)
{
    EXPECT_EQ(found.state.home, model.state.home);
    EXPECT_EQ(found.state.epoch, model.state.epoch);
    ASSERT_EQ(found.state.last_sequence, model.state.last_sequence);
    EXPECT_EQ(found.state.hash, model.state.hash);
    EXPECT_EQ(found.state.active_wall_ms, model.state.active_wall_ms);
    EXPECT_FALSE(found.gap);
    // Confirming alone is no reason for an item; a checkpoint may have taken it along.
    ASSERT_GE(found.state.confirmed, model.confirmed_in_log);
    ASSERT_LE(found.state.confirmed, model.state.confirmed);

    uint64_t sequence = found.state.confirmed;
    for (size_t i = 0; i < found.run_count; i++) {
        for (uint32_t k = 0; k < found.runs[i].count; k++) {
            ASSERT_LT(sequence, model.state.last_sequence);
            ASSERT_EQ(found.runs[i].fate, (*model.fates)[sequence - model.begun_at]);
            sequence++;
        }
    }
    ASSERT_EQ(sequence, model.state.last_sequence);
}

void ExpectLanes(const ModelLanes &model, const struct lane_resume_set &found)
{
    ASSERT_EQ(found.count, model.size());
    for (const auto &[producer, lane] : model) {
        SCOPED_TRACE("lane " + std::to_string(producer));
        const struct lane_key key = KeyOf(producer);
        const struct lane_resume *const resume = lane_resume_set_find(&found, &key);
        ASSERT_NE(resume, nullptr);
        ASSERT_NO_FATAL_FAILURE(ExpectLane(lane, *resume));
    }
}

// Another life of each lane begins: what the crash took is gone from its fates.
ModelLanes CutAt(const ModelLanes &model, const struct lane_resume_set &found)
{
    ModelLanes out = model;
    for (auto &[producer, lane] : out) {
        const struct lane_key key = KeyOf(producer);
        lane.state = lane_resume_set_find(&found, &key)->state;
        lane.confirmed_in_log = lane.state.confirmed;
        const auto kept = static_cast<ptrdiff_t>(lane.state.last_sequence - lane.begun_at);
        lane.fates =
            std::make_shared<std::vector<uint8_t>>(lane.fates->begin(), lane.fates->begin() + kept);
    }
    return out;
}

// -------------------------------------------------------------------------------------- the log

struct FreeDeleter {
    void operator()(void *at) const { std::free(at); }
};

// One life of an ingest process on what the disk holds.
class Life {
  public:
    Life(SimDisk &disk, const struct log_resume &resume, const struct lane_resume_set &lanes,
         const ModelLanes &model, uint64_t incarnation, uint64_t seed)
        : disk_(disk), random_(seed), incarnation_(incarnation)
    {
        root_page_init(root_.get());
        stats_page_init(stats_.get(), 0);
        ring_.reset(static_cast<struct commit_ring_header *>(
            std::aligned_alloc(4096, sizeof(struct commit_ring_header) + RING_BYTES)));
        std::memset(static_cast<void *>(ring_.get()), 0,
                    sizeof(struct commit_ring_header) + RING_BYTES);
        commit_ring_init(ring_.get(), 0, resume.log_id, incarnation, RING_BYTES);
        MakeSupply(resume.next_segment_number, seed);
        MakeLog(resume);
        lanes_ = std::make_unique<LaneLife>(log_, &lanes, model, seed);
    }
    ~Life()
    {
        retention_destroy(retention_);
        lanes_.reset();
        core_log_destroy(log_);
        segment_supply_destroy(supply_);
    }
    Life(const Life &) = delete;
    Life &operator=(const Life &) = delete;

    void Run(int turns)
    {
        for (int i = 0; i < turns; i++) {
            if (random_() % 3 != 0) { Write(); }
            // A second now and then: a closed log probes.
            now_.mono_ns += random_() % 32 == 0 ? NS_PER_S : NS_PER_MS;
            now_.wall_ms += 1;
            segment_supply_work(supply_, now_.mono_ns);
            lanes_->Reap(core_log_turn(log_, now_));
            if (retention_ != nullptr && i % 8 == 0) { retention_run(retention_, now_); }
        }
    }
    // From now on only the newest segments stay, and those that lanes need.
    void Retain(uint64_t bytes)
    {
        struct retention_options options = {};
        options.files = sim_disk_files(disk_.get());
        options.root = root_.get();
        options.node = node_.get();
        options.retain_bytes = bytes;
        options.grace_ns = NS_PER_MS;
        ASSERT_EQ(retention_create(&options, &retention_), STATUS_OK);
    }
    uint64_t FirstSegment() const { return root_->partitions[0].first_segment_number; }
    // So that it can be destroyed: what it does from now on nobody will see.
    void Drain()
    {
        sim_disk_fail_writes(disk_.get(), 0, 0, STATUS_OK);
        for (int i = 0; i < 5000 && core_log_in_flight(log_) > 0; i++) {
            now_.mono_ns += NS_PER_MS;
            lanes_->Reap(core_log_turn(log_, now_));
        }
        core_log_finish(log_);
        for (int i = 0; i < 5000 && !core_log_is_finished(log_); i++) {
            now_.mono_ns += NS_PER_MS;
            segment_supply_work(supply_, now_.mono_ns);
            core_log_turn(log_, now_);
        }
    }
    uint64_t Durable() const { return core_log_durable_number(log_); }
    struct recovery_witness Witness() const
    {
        struct recovery_witness witness = {};
        witness.valid = true;
        witness.log_id = root_->partitions[0].log_id;
        witness.nonce = root_->partitions[0].nonce;
        witness.incarnation = incarnation_;
        witness.durable_number = root_->partitions[0].durable_number;
        return witness;
    }
    const std::vector<Stored> &Written() const { return written_; }
    const std::map<uint64_t, ModelLanes> &LaneHistory() const { return lanes_->history; }

  private:
    void Write()
    {
        struct commit_draft draft;
        if (core_log_begin(log_, TOPICS, &draft) != STATUS_OK) { return; }
        struct commit_facts facts = {};
        lanes_->Work(now_.wall_ms);
        lanes_->Close(&draft, &facts);
        std::vector<Stored> staged;
        for (int32_t topic = 0; topic < static_cast<int32_t>(TOPICS); topic++) {
            if (random_() % 4 == 0) { continue; }
            const size_t bytes = RECORD_BATCH_HEADER_BYTES + random_() % 6000;
            const auto records = static_cast<uint32_t>(1 + random_() % 9);
            struct sink room = core_log_entry_room(&draft);
            uint8_t *const at = sink_take(&room, bytes);
            ASSERT_NE(at, nullptr);
            for (size_t i = 0; i < bytes; i++) { at[i] = static_cast<uint8_t>(random_()); }
            HeaderInFront(at, bytes, core_log_next_offset(log_, topic));
            const uint32_t crc = crc32c(bytes_of(at, bytes));
            staged.push_back({topic, core_log_next_offset(log_, topic), records, crc, 0});
            core_log_entry_add(log_, &draft, topic, records, static_cast<uint32_t>(bytes), crc,
                               now_.wall_ms);
        }
        facts.rules_epoch = 1;
        facts.records = draft.record_count;
        stats_->records_in_flight += draft.record_count;
        const uint64_t number = core_log_submit(log_, &draft, &facts, now_);
        lanes_->Submitted(number);
        for (Stored &stored : staged) {
            stored.commit_number = number;
            written_.push_back(stored);
        }
    }

    void MakeSupply(uint64_t next_number, uint64_t seed)
    {
        struct segment_supply_options options = {};
        options.files = sim_disk_files(disk_.get());
        options.runtime = runtime_.path().c_str();
        options.segment_bytes = 256 * 1024;
        options.index_bytes = 64 * INDEX_BUILDER_LINE_BYTES;
        options.log_count = 1;
        options.grace_ns = NS_PER_S;
        ASSERT_EQ(segment_supply_create(&options, &supply_), STATUS_OK);
        segment_supply_seed(supply_, seed);
        segment_supply_add_log(supply_, 0, 0, next_number);
        segment_supply_work(supply_, now_.mono_ns);
    }

    void MakeLog(const struct log_resume &resume)
    {
        struct core_log_options options = {};
        options.disk = sim_disk_port(disk_.get());
        options.supply = supply_;
        options.ring = ring_.get();
        options.root = root_.get();
        options.slot = &root_->partitions[0];
        options.stats = stats_.get();
        options.resume = &resume;
        options.incarnation = incarnation_;
        options.commits_in_flight_max = 8;
        options.commits_at_disk_max = 8;
        options.commit_bytes_max = 16 * 1024;
        options.commit_records_max = 100;
        options.lanes_bytes_max = LANES_BYTES;
        ASSERT_EQ(core_log_create(&options, &log_), STATUS_OK);
        for (const char *name : {"events", "payments"}) {
            int32_t topic;
            ASSERT_EQ(core_log_declare_topic(log_, name, &topic), STATUS_OK);
        }
    }

    // What readers want to see of a batch, over the first of its bytes.
    void HeaderInFront(uint8_t *at, size_t bytes, uint64_t base_offset) const
    {
        struct record_batch_header header = {};
        header.base_offset = static_cast<int64_t>(base_offset);
        header.length_bytes = static_cast<int32_t>(bytes);
        header.leader_epoch = static_cast<int32_t>(core_log_leader_epoch(log_));
        record_batch_header_encode(&header, at);
        record_batch_crc_patch(
            at, crc32c(bytes_of(at + RECORD_BATCH_CRC_BEGIN, bytes - RECORD_BATCH_CRC_BEGIN)));
    }

    SimDisk &disk_;
    std::mt19937_64 random_;
    uint64_t incarnation_;
    RuntimeDirectory runtime_;
    std::unique_ptr<struct root_page> root_ = std::make_unique<struct root_page>();
    std::unique_ptr<struct stats_page> stats_ = std::make_unique<struct stats_page>();
    std::unique_ptr<struct commit_ring_header, FreeDeleter> ring_;
    struct segment_supply *supply_ = nullptr;
    struct core_log *log_ = nullptr;
    struct instant now_ = {uint64_t{1000} * NS_PER_S, 1'700'000'000'000};
    std::vector<Stored> written_;
    std::unique_ptr<LaneLife> lanes_;
    std::unique_ptr<struct node_page> node_ = std::make_unique<struct node_page>();
    struct retention *retention_ = nullptr;
};

// Every batch is served, where it was, and as it was written.
void ExpectServed(const SimDisk &disk, const std::vector<Stored> &stored)
{
    struct reader *reader = nullptr;
    ASSERT_EQ(reader_create_over(sim_disk_files(disk.get()), "/nonexistent", 1 << 16, &reader),
              STATUS_OK);
    reader_refresh(reader, NS_PER_S);
    std::unique_ptr<uint8_t, FreeDeleter> scratch(
        static_cast<uint8_t *>(std::aligned_alloc(4096, 64 * 1024)));
    for (const Stored &each : stored) {
        const char *const name = each.topic == 0 ? "events" : "payments";
        const int32_t topic = reader_topic_find(reader, name, std::strlen(name));
        struct batch_location found;
        const uint8_t *bytes;
        ASSERT_GE(topic, 0);
        ASSERT_EQ(
            reader_find_offset(reader, static_cast<size_t>(topic), 0, each.base_offset, &found),
            STATUS_OK)
            << name << " " << each.base_offset << " of commit " << each.commit_number;
        ASSERT_EQ(found.base_offset, each.base_offset);
        ASSERT_EQ(found.next_offset, each.base_offset + each.record_count);
        ASSERT_EQ(found.check, index_check(each.crc));
        ASSERT_EQ(reader_read_cold(reader, &found, scratch.get(), &bytes), STATUS_OK);
    }
    ASSERT_EQ(reader_partition_complete(reader, 0), true);
    reader_destroy(reader);
}

struct Findings {
    uint64_t skipped = 0;
    uint64_t fenced = 0;
    std::ostringstream text;
};

void OnLaneFinding(void *, uint32_t, enum lane_finding finding, uint64_t number, uint64_t value,
                   uint64_t other)
{
    ADD_FAILURE() << "lanes: finding " << finding << ": " << number << " " << value << " " << other;
}

void OnFinding(void *context, uint32_t, enum recovery_finding finding, uint64_t number,
               uint64_t value, uint64_t other)
{
    Findings *const findings = static_cast<Findings *>(context);
    findings->skipped += finding == RECOVERY_SKIPPED_OFFSETS ? 1 : 0;
    findings->fenced += finding == RECOVERY_FENCED ? 1 : 0;
    findings->text << "finding " << finding << ": " << number << " " << value << " " << other
                   << "\n";
}

// Several lives of one log, and what was promised in them.
class Lives {
  public:
    explicit Lives(uint64_t seed) : seed_(seed), random_(seed)
    {
        struct sim_disk_options options = {};
        options.seed = seed;
        options.delay_reaps_max = static_cast<uint32_t>(random_() % 12);
        disk_.reset(sim_disk_create(&options));
        resume_->cluster_id = IdOf(0xC1);
        resume_->log_id = IdOf(0x10);
        resume_->next_segment_number = 1;
        resume_->next_commit_number = 1;
    }
    ~Lives() { lane_resume_set_deinit(&lanes_); }
    Lives(const Lives &) = delete;
    Lives &operator=(const Lives &) = delete;

    void LiveAndCrash()
    {
        Life life(disk_, *resume_, lanes_, model_, ++incarnation_, random_());
        if (retains_) { ASSERT_NO_FATAL_FAILURE(life.Retain(RETAINED_BYTES)); }
        for (int i = 0; i < 3; i++) {
            if (disk_refuses_) { RefuseWrites(); }
            life.Run(static_cast<int>(random_() % 60));
        }
        durable_number_ = life.Durable();
        witness_ = life.Witness();
        SimDisk crashed = AfterCrash(disk_, random_());
        life.Drain();
        for (const Stored &each : life.Written()) {
            if (each.commit_number <= durable_number_) { durable_.push_back(each); }
        }
        for (const auto &[number, lanes] : life.LaneHistory()) { history_[number] = lanes; }
        first_segment_ = std::max(first_segment_, life.FirstSegment());
        next_disk_ = std::move(crashed);
    }

    // Every second seed the root page survives; every fourth the power goes in the midst of it.
    void Recover()
    {
        disk_ = std::move(next_disk_);
        if (seed_ % 4 >= 2) {
            sim_disk_cut_power_after(disk_.get(), random_() % 4);
            auto unseen = std::make_unique<struct log_resume>();
            Findings interrupted;
            (void)RunRecovery(&interrupted, unseen.get());
            disk_ = AfterCrash(disk_, random_());
        }
        auto found = std::make_unique<struct log_resume>();
        Findings findings;
        const enum status status = RunRecovery(&findings, found.get());
        SCOPED_TRACE(findings.text.str());

        if (status == STATUS_NOT_FOUND) {
            ASSERT_TRUE(durable_.empty());
            ASSERT_NO_FATAL_FAILURE(RecoverLanes());
            return;
        }
        ASSERT_EQ(status, STATUS_OK);
        ASSERT_EQ(findings.fenced, 0U) << "nothing rots here";
        ASSERT_GT(found->next_commit_number, durable_number_);
        ASSERT_GE(found->leader_epoch, resume_->leader_epoch);
        resume_ = std::move(found);
        ASSERT_NO_FATAL_FAILURE(ExpectSettled());
        if (RootPageSurvives()) { ASSERT_EQ(findings.skipped, 0U); }
        for (const Stored &each : durable_) {
            ASSERT_GE(resume_->topics[each.topic].next_offset, each.base_offset + each.record_count)
                << "an offset would be given twice";
        }
        ForgetRetired();
        ASSERT_NO_FATAL_FAILURE(ExpectServed(disk_, durable_));
        ASSERT_NO_FATAL_FAILURE(RecoverLanes());
    }

  private:
    // Every lane is where the last commit that is kept left it.
    void RecoverLanes()
    {
        const struct lane_recovery_report report = {OnLaneFinding, nullptr};
        lane_resume_set_deinit(&lanes_);
        ASSERT_EQ(
            lane_recovery_run(sim_disk_files(disk_.get()), 0, &report, resume_.get(), &lanes_),
            STATUS_OK);
        const ModelLanes expected = std::prev(history_.upper_bound(NewestKept()))->second;
        ASSERT_NO_FATAL_FAILURE(ExpectLanes(expected, lanes_));
        model_ = CutAt(expected, lanes_);
        history_.clear();
        history_[0] = model_;
    }

    // A footer that recovery wrote may have the number of a commit that it cut.
    uint64_t NewestKept() const
    {
        uint64_t newest = 0;
        for (const FoundCommit &commit : LogWalk(disk_.get(), 0).chain) {
            if ((commit.header.flags & COMMIT_FLAG_FOOTER) == 0) { newest = commit.header.number; }
        }
        return newest;
    }

    // What retention took away is not served any more.
    void ForgetRetired()
    {
        if (first_segment_ == 0) { return; }
        uint64_t size_bytes;
        struct segment_header header;
        uint64_t number = first_segment_;
        const uint8_t *at = nullptr;
        while ((at = sim_disk_bytes(disk_.get(), SegmentName(number).c_str(), &size_bytes)) ==
               nullptr) {
            ASSERT_LT(number++, first_segment_ + 100);
        }
        ASSERT_EQ(segment_header_decode(bytes_of(at, size_bytes), &header), STATUS_OK);
        std::vector<Stored> kept;
        for (const Stored &each : durable_) {
            if (each.commit_number >= header.first_commit_number) { kept.push_back(each); }
        }
        durable_ = kept;
    }

    // Another start finds what this one left, and has nothing to say.
    void ExpectSettled()
    {
        auto again = std::make_unique<struct log_resume>();
        Findings findings;
        ASSERT_EQ(RunRecovery(&findings, again.get()), STATUS_OK);
        SCOPED_TRACE("again:\n" + findings.text.str());
        ASSERT_EQ(findings.fenced + findings.skipped, 0U);
        ASSERT_EQ(again->next_commit_number, resume_->next_commit_number);
        ASSERT_EQ(again->leader_epoch, resume_->leader_epoch);
        ASSERT_EQ(again->topic_count, resume_->topic_count);
        for (uint32_t i = 0; i < again->topic_count; i++) {
            ASSERT_EQ(again->topics[i].next_offset, resume_->topics[i].next_offset);
        }
    }

    bool RootPageSurvives() const { return seed_ % 2 == 0 && durable_number_ > 0; }

    void RefuseWrites()
    {
        sim_disk_fail_writes(disk_.get(), sim_disk_write_count(disk_.get()) + random_() % 80,
                             1 + random_() % 4, STATUS_IO);
    }

    enum status RunRecovery(Findings *findings, struct log_resume *out)
    {
        struct recovery_report report = {};
        report.found = OnFinding;
        report.context = findings;
        *out = (struct log_resume){};
        out->cluster_id = IdOf(0xC1);
        out->log_id = IdOf(0x10);
        return recovery_run(sim_disk_files(disk_.get()), 0, seed_ % 2 == 0 ? &witness_ : nullptr,
                            &report, out);
    }

    const uint64_t seed_;
    const bool disk_refuses_ = seed_ % 3 != 0;
    std::mt19937_64 random_;
    SimDisk disk_;
    SimDisk next_disk_;
    uint64_t incarnation_ = 0;
    std::unique_ptr<struct log_resume> resume_ = std::make_unique<struct log_resume>();
    uint64_t durable_number_ = 0;
    struct recovery_witness witness_ = {};
    std::vector<Stored> durable_;

    static constexpr uint64_t RETAINED_BYTES = 256 * 1024;
    const bool retains_ = seed_ % 5 < 2;
    uint64_t first_segment_ = 0;
    struct lane_resume_set lanes_ = {};
    ModelLanes model_;
    std::map<uint64_t, ModelLanes> history_ = {{0, {}}}; // of the newest life; 0: at its start
};

class Crash : public ::testing::TestWithParam<uint64_t> {};

TEST_P(Crash, LosesNothingThatWasReportedDurable)
{
    Lives lives(GetParam());

    for (int depth = 0; depth < 3; depth++) {
        SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", crash " + std::to_string(depth));
        ASSERT_NO_FATAL_FAILURE(lives.LiveAndCrash());
        ASSERT_NO_FATAL_FAILURE(lives.Recover());
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Crash, ::testing::ValuesIn(SimSeeds(300)),
                         [](const auto &info) { return std::to_string(info.param); });

} // namespace
