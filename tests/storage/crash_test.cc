// The whole round, by seed: core_log writes on a simulated disk that refuses some of the writes,
// the power goes, recovery (which the power may meet as well), a reader, and the next core_log goes
// on from there; three crashes deep. PENSTOCK_SIM_SEEDS=first..last takes other seeds: ./tools/sim.
#include <gtest/gtest.h>

#include <random>
#include <sstream>
#include <string>

#include "base/mapped_file.h"
#include "storage/core_log.h"
#include "storage/reader.h"
#include "storage/recovery.h"
#include "tests/sim/sim_seeds.h"
#include "tests/storage/log_builder.h"
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

struct FreeDeleter {
    void operator()(void *at) const { std::free(at); }
};

// One life of an ingest process on what the disk holds.
class Life {
  public:
    Life(SimDisk &disk, const struct log_resume &resume, uint64_t incarnation, uint64_t seed)
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
    }
    ~Life()
    {
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
            core_log_turn(log_, now_);
        }
    }
    // So that it can be destroyed: what it does from now on nobody will see.
    void Drain()
    {
        sim_disk_fail_writes(disk_.get(), 0, 0, STATUS_OK);
        for (int i = 0; i < 5000 && core_log_in_flight(log_) > 0; i++) {
            now_.mono_ns += NS_PER_MS;
            core_log_turn(log_, now_);
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

  private:
    void Write()
    {
        struct commit_draft draft;
        if (core_log_begin(log_, TOPICS, &draft) != STATUS_OK) { return; }
        std::vector<Stored> staged;
        for (int32_t topic = 0; topic < static_cast<int32_t>(TOPICS); topic++) {
            if (random_() % 4 == 0) { continue; }
            const size_t bytes = 1 + random_() % 6000;
            const auto records = static_cast<uint32_t>(1 + random_() % 9);
            struct sink room = core_log_entry_room(&draft);
            uint8_t *const at = sink_take(&room, bytes);
            ASSERT_NE(at, nullptr);
            for (size_t i = 0; i < bytes; i++) { at[i] = static_cast<uint8_t>(random_()); }
            const uint32_t crc = crc32c(bytes_of(at, bytes));
            staged.push_back({topic, core_log_next_offset(log_, topic), records, crc, 0});
            core_log_entry_add(log_, &draft, topic, records, static_cast<uint32_t>(bytes), crc,
                               now_.wall_ms);
        }
        const struct commit_facts facts = {1, draft.record_count, 0, 0, false};
        stats_->records_in_flight += draft.record_count;
        const uint64_t number = core_log_submit(log_, &draft, &facts, now_);
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
        options.index_entries = 64;
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
        options.commit_bytes_max = 16 * 1024;
        options.commit_records_max = 100;
        ASSERT_EQ(core_log_create(&options, &log_), STATUS_OK);
        for (const char *name : {"events", "payments"}) {
            int32_t topic;
            ASSERT_EQ(core_log_declare_topic(log_, name, &topic), STATUS_OK);
        }
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
        ASSERT_EQ(found.crc32c, each.crc);
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

    void LiveAndCrash()
    {
        Life life(disk_, *resume_, ++incarnation_, random_());
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
        ASSERT_NO_FATAL_FAILURE(ExpectServed(disk_, durable_));
    }

  private:
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
        const struct recovery_report report = {OnFinding, findings};
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
