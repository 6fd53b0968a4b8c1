// The whole round, by seed: core_log writes on a simulated disk, the power goes, recovery, a
// reader, and the next core_log goes on from there; three crashes deep.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "base/mapped_file.h"
#include "storage/core_log.h"
#include "storage/reader.h"
#include "storage/recovery.h"
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
            now_.mono_ns += NS_PER_MS;
            now_.wall_ms += 1;
            segment_supply_work(supply_, now_.mono_ns);
            core_log_turn(log_, now_);
        }
    }
    // So that it can be destroyed: what it does from now on nobody will see.
    void Drain()
    {
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
        const struct commit_facts facts = {1, draft.record_count, 0};
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
    TemporaryDirectory runtime_;
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
    uint64_t unreadable = 0;
};

void OnFinding(void *context, uint32_t, enum recovery_finding finding, uint64_t, uint64_t, uint64_t)
{
    Findings *const findings = static_cast<Findings *>(context);
    findings->skipped += finding == RECOVERY_SKIPPED_OFFSETS ? 1 : 0;
    findings->fenced += finding == RECOVERY_FENCED ? 1 : 0;
    findings->unreadable += finding == RECOVERY_UNREADABLE ? 1 : 0;
}

class Crash : public ::testing::TestWithParam<uint64_t> {};

TEST_P(Crash, LosesNothingThatWasReportedDurable)
{
    const uint64_t seed = GetParam();
    const bool killed_only = seed % 2 == 0; // the root page survives
    std::mt19937_64 random(seed);
    struct sim_disk_options options = {};
    options.seed = seed;
    options.delay_reaps_max = static_cast<uint32_t>(random() % 12);
    SimDisk disk(sim_disk_create(&options));
    auto resume = std::make_unique<struct log_resume>();
    resume->cluster_id = IdOf(0xC1);
    resume->log_id = IdOf(0x10);
    resume->next_segment_number = 1;
    resume->next_commit_number = 1;
    std::vector<Stored> durable;

    for (uint64_t depth = 0; depth < 3; depth++) {
        auto life = std::make_unique<Life>(disk, *resume, depth + 1, seed * 7 + depth);
        life->Run(static_cast<int>(random() % 150));
        const uint64_t durable_number = life->Durable();
        const struct recovery_witness witness = life->Witness();
        SimDisk crashed = AfterCrash(disk, seed * 5 + depth);
        life->Drain();
        for (const Stored &each : life->Written()) {
            if (each.commit_number <= durable_number) { durable.push_back(each); }
        }
        life.reset();
        disk = std::move(crashed);

        Findings findings;
        const struct recovery_report report = {OnFinding, &findings};
        const enum status status = recovery_run(
            sim_disk_files(disk.get()), 0, killed_only ? &witness : nullptr, &report, resume.get());

        if (status == STATUS_NOT_FOUND) {
            ASSERT_TRUE(durable.empty()) << "seed " << seed;
            continue;
        }
        ASSERT_EQ(status, STATUS_OK) << "seed " << seed;
        ASSERT_EQ(findings.fenced, 0U) << "nothing rots here; seed " << seed;
        ASSERT_GT(resume->next_commit_number, durable_number) << "seed " << seed;
        if (killed_only && durable_number > 0) { ASSERT_EQ(findings.skipped, 0U); }
        for (const Stored &each : durable) {
            ASSERT_GE(resume->topics[each.topic].next_offset, each.base_offset + each.record_count)
                << "an offset would be given twice; seed " << seed;
        }
        ASSERT_NO_FATAL_FAILURE(ExpectServed(disk, durable)) << "seed " << seed << " " << depth;
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Crash, ::testing::Range(uint64_t{0}, uint64_t{300}));

} // namespace
