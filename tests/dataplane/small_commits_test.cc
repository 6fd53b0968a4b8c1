// What a trickle, and a thousand of them, cost on disk, in the index and when they are read.
//
// The open commit, the log, and the reader are the real ones; disk and clock are simulated.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "dataplane/open_commit.h"
#include "dataplane/partitions.h"
#include "storage/index_builder.h"
#include "storage/log_segment.h"
#include "storage/reader.h"
#include "storage/segment_footer.h"
#include "storage/segment_scan.h"
#include "tests/sim/sim_disk.h"
#include "wire/record_batch.h"

namespace {

constexpr uint64_t kMiB = 1024 * 1024;
constexpr uint64_t kGiB = 1024 * kMiB;
constexpr size_t kLineBytes = 150;
constexpr uint64_t kLingerNs = 2 * NS_PER_MS;       // the configuration's defaults
constexpr uint64_t kLingerUnackedNs = 1 * NS_PER_S; // likewise
constexpr uint64_t kIdleNs = kLingerUnackedNs + 500 * NS_PER_MS;

// Reads of the wrapped files, counted.
struct CountingFiles {
    struct files inner;
    uint64_t bytes = 0;
    struct files_ops ops = {};

    struct files Port()
    {
        ops.list_partitions = [](void *self, files_on_partition *visit, void *context) {
            return files_list_partitions(Inner(self), visit, context);
        };
        ops.list_segments = [](void *self, uint32_t partition, files_on_segment *visit,
                               void *context) {
            return files_list_segments(Inner(self), partition, visit, context);
        };
        ops.open = [](void *self, const char *name, enum files_access access, int *file,
                      uint64_t *size) { return files_open(Inner(self), name, access, file, size); };
        ops.read = [](void *self, int file, uint64_t position, uint8_t *out, size_t len) {
            static_cast<CountingFiles *>(self)->bytes += len;
            return files_read(Inner(self), file, position, out, len);
        };
        ops.close = [](void *self, int file) { files_close(Inner(self), file); };
        return {&ops, this};
    }
    static struct files Inner(void *self) { return static_cast<CountingFiles *>(self)->inner; }
};

struct SealedSegment {
    uint64_t used_bytes = 0; // of commits, footer and trailer included
    uint64_t index_bytes = 0;
    uint64_t records = 0;
};

class SmallCommits : public testing::Test {
  protected:
    void Start(size_t topics, uint64_t segment_bytes)
    {
        segment_bytes_ = segment_bytes;
        const struct sim_disk_options disk = {1, 0, 0, 0};
        disk_.reset(sim_disk_create(&disk));
        runtime_ = testing::TempDir() + "penstock-small-" + std::to_string(getpid());
        ASSERT_EQ(system(("rm -rf " + runtime_ + " && mkdir -p " + runtime_).c_str()), 0);
        MakeSupply();
        MakeLog(topics);
        MakeCommit(topics);
    }
    void TearDown() override
    {
        open_commit_deinit(commit_.get());
        *commit_ = {};
        core_log_finish(log_.get());
        for (int i = 0; i < 1000 && !core_log_is_finished(log_.get()); i++) { Turn(NS_PER_MS); }
        log_.reset();
        supply_.reset();
        EXPECT_EQ(system(("rm -rf " + runtime_).c_str()), 0);
    }

    // The next line, to `topic`; nobody waits for its acknowledgement.
    void Line(uint16_t topic)
    {
        static const std::string line(kLineBytes, 'x');
        struct record record = {};
        record.key = bytes_null();
        record.value = bytes_of(line.data(), line.size());
        record.timestamp_ms = now_.wall_ms;
        record.topic = RECORD_NO_TOPIC;
        struct verdict verdict = {};
        verdict.topic_count = 1;
        verdict.topics[0] = topic;
        enum status status =
            open_commit_add(commit_.get(), &record, &verdict, now_.mono_ns, /*awaited=*/false);
        if (status == STATUS_FULL) {
            Close();
            status = open_commit_add(commit_.get(), &record, &verdict, now_.mono_ns, false);
        }
        ASSERT_EQ(status, STATUS_OK);
        stats_->records_in_flight++;
    }

    void Turn(uint64_t step_ns)
    {
        now_.mono_ns += step_ns;
        now_.wall_ms = static_cast<int64_t>(now_.mono_ns / NS_PER_MS);
        if (now_.mono_ns % (100 * NS_PER_MS) < step_ns) {
            segment_supply_work(supply_.get(), now_.mono_ns);
        }
        if (!core_log_is_finished(log_.get()) && commit_->batch != nullptr &&
            open_commit_is_due(commit_.get(), now_.mono_ns)) {
            Close();
        }
        const uint64_t durable = core_log_turn(log_.get(), now_);
        (void)open_commit_reap(commit_.get(), durable, now_.mono_ns, &stats_->receive_to_durable);
    }

    uint64_t Sealed() const { return stats_->counters[STATS_segments_sealed]; }

    SealedSegment Look(uint64_t number)
    {
        SealedSegment out;
        char name[LOG_NAME_BYTES];
        int file;
        uint64_t size;
        struct segment_scan *scan = nullptr;
        struct scanned_commit commit;
        struct segment_footer footer;
        log_segment_name(0, number, name);
        const struct files files = sim_disk_files(disk_.get());
        EXPECT_EQ(files_open(files, name, FILES_READ, &file, &size), STATUS_OK);
        EXPECT_EQ(segment_scan_create(files, file, size, &scan), STATUS_OK);
        EXPECT_EQ(segment_scan_footer(scan, &commit), STATUS_OK);
        EXPECT_EQ(segment_footer_open(commit.bytes, &commit.header, &footer), STATUS_OK);
        out.used_bytes = commit.position + commit.header.length_bytes + LOG_BLOCK_BYTES;
        out.index_bytes = footer.index.len_bytes + footer.anchors.len_bytes;
        for (size_t i = 0; i < segment_footer_anchor_count(&footer); i++) {
            struct index_anchor anchor;
            EXPECT_EQ(segment_footer_anchor(&footer, i, &anchor), STATUS_OK);
            out.records += anchor.record_count;
        }
        segment_scan_destroy(scan);
        files_close(files, file);
        return out;
    }

    struct Free {
        void operator()(void *memory) const { free(memory); }
    };
    template <auto Destroy> struct Deleter {
        template <class T> void operator()(T *object) const { Destroy(object); }
    };

    uint64_t segment_bytes_ = 0;
    std::string runtime_;
    struct instant now_ = {NS_PER_S, 1000};
    std::unique_ptr<struct sim_disk, Deleter<sim_disk_destroy>> disk_;
    std::unique_ptr<struct root_page> root_ = std::make_unique<struct root_page>();
    std::unique_ptr<struct stats_page> stats_ = std::make_unique<struct stats_page>();
    std::unique_ptr<struct log_resume> resume_ = std::make_unique<struct log_resume>();
    std::unique_ptr<uint8_t, Free> ring_;
    std::unique_ptr<struct segment_supply, Deleter<segment_supply_destroy>> supply_;
    std::unique_ptr<struct core_log, Deleter<core_log_destroy>> log_;
    std::unique_ptr<struct open_commit> commit_ = std::make_unique<struct open_commit>();
    std::vector<int32_t> log_topics_;

  private:
    void Close()
    {
        for (int i = 0; i < 1000; i++) {
            if (open_commit_close(commit_.get(), 0, now_)) { return; }
            segment_supply_work(supply_.get(), now_.mono_ns);
            (void)core_log_turn(log_.get(), now_);
        }
        FAIL() << "the log takes nothing";
    }

    void MakeSupply()
    {
        struct segment_supply_options options = {};
        options.files = sim_disk_files(disk_.get());
        options.segment_bytes = segment_bytes_;
        options.index_bytes = partitions_index_bytes(segment_bytes_);
        options.log_count = 1;
        struct segment_supply *supply = nullptr;
        ASSERT_EQ(segment_supply_create(&options, &supply), STATUS_OK);
        supply_.reset(supply);
        segment_supply_seed(supply, 7);
        segment_supply_add_log(supply, 0, 0, 1);
        segment_supply_work(supply, 0);
    }

    void MakeLog(size_t topics)
    {
        constexpr uint64_t kRingBytes = 8 * kMiB;
        ring_.reset(static_cast<uint8_t *>(
            aligned_alloc(4096, sizeof(struct commit_ring_header) + kRingBytes)));
        memset(ring_.get(), 0, sizeof(struct commit_ring_header) + kRingBytes);
        auto *const ring = reinterpret_cast<struct commit_ring_header *>(ring_.get());
        memset(&resume_->log_id, 1, sizeof resume_->log_id);
        memset(&resume_->cluster_id, 9, sizeof resume_->cluster_id);
        resume_->next_segment_number = 1;
        resume_->next_commit_number = 1;
        commit_ring_init(ring, 0, resume_->log_id, 1, kRingBytes);
        struct core_log_options options = {};
        options.disk = sim_disk_port(disk_.get());
        options.supply = supply_.get();
        options.ring = ring;
        options.root = root_.get();
        options.slot = &root_->partitions[0];
        options.stats = stats_.get();
        options.resume = resume_.get();
        options.incarnation = 1;
        options.commits_in_flight_max = 4;
        options.commits_at_disk_max = 4;
        options.commit_bytes_max = kMiB;
        options.commit_records_max = 65536;
        options.idle_watermark_ns = kIdleNs;
        struct core_log *log = nullptr;
        ASSERT_EQ(core_log_create(&options, &log), STATUS_OK);
        log_.reset(log);
        log_topics_.resize(topics);
        for (size_t i = 0; i < topics; i++) {
            ASSERT_EQ(core_log_declare_topic(log, ("topic-" + std::to_string(i)).c_str(),
                                             &log_topics_[i]),
                      STATUS_OK);
        }
    }

    void MakeCommit(size_t topics)
    {
        struct open_commit_options options = {};
        options.log = log_.get();
        options.log_topics = log_topics_.data();
        options.topic_count = topics;
        options.frames_held_max = 65536;
        options.bytes_max = core_log_commit_room(log_.get(), topics);
        options.records_max = 65536;
        options.linger_ns = kLingerNs;
        options.linger_unacked_ns = kLingerUnackedNs;
        *commit_ = {};
        ASSERT_EQ(open_commit_init(commit_.get(), &options), STATUS_OK);
    }
};

TEST_F(SmallCommits, TenLinesASecondCostAtMostSixTimesTheirPayloadOnDisk)
{
    constexpr uint64_t kStepNs = 20 * NS_PER_MS;
    Start(/*topics=*/1, 16 * kMiB);

    for (uint64_t step = 0; Sealed() == 0 && step < 1'000'000; step++) {
        if (step % 5 == 0) { Line(0); } // every 100 ms
        Turn(kStepNs);
    }

    // The whole file is what it costs, what is left of it included.
    const double cost =
        static_cast<double>(segment_bytes_) / static_cast<double>(Look(1).records * kLineBytes);
    RecordProperty("disk_bytes_per_payload_byte", std::to_string(cost));
    printf("          %.2f bytes on disk for each of payload\n", cost);
    EXPECT_GT(Look(1).records, 1000U);
    EXPECT_LE(cost, 6.0);
}

TEST_F(SmallCommits, ALineIsDurableWithinItsLingerAtEveryRate)
{
    Start(/*topics=*/1, 16 * kMiB);

    for (const uint64_t lines_per_s : {1, 3, 10, 40, 100, 1000}) {
        const uint64_t began = stats_->counters[STATS_records_stored];
        for (uint64_t ms = 0; ms < 5000; ms++) {
            if (ms % (1000 / lines_per_s) == 0) { Line(0); }
            Turn(NS_PER_MS);
            const uint64_t waiting = commit_->began_ns == 0 ? 0 : now_.mono_ns - commit_->began_ns;
            ASSERT_LE(waiting, kLingerUnackedNs) << lines_per_s << " lines a second";
        }
        for (int i = 0; i < 1100; i++) { Turn(NS_PER_MS); }
        EXPECT_GE(stats_->counters[STATS_records_stored] - began, lines_per_s * 5);
        EXPECT_EQ(stats_->records_in_flight, 0U);
    }
}

TEST_F(SmallCommits, WhereAWriteIsWorthItALineWaitsNoLongerThanOthers)
{
    Start(/*topics=*/1, 16 * kMiB);

    // They make a commit of two blocks that is mostly records.
    for (int line = 0; line < 40; line++) { Line(0); }
    for (int ms = 0; ms < 3; ms++) { Turn(NS_PER_MS); }

    EXPECT_EQ(commit_->began_ns, 0U) << "written";
}

TEST_F(SmallCommits, AThousandTrickles)
{
    constexpr size_t kTopics = 1000;
    constexpr size_t kLinesPerMs = 10; // 10 a second and topic
    Start(kTopics, 48 * kMiB);

    uint64_t line = 0;
    for (int ms = 0; Sealed() < 2 && ms < 200'000; ms++) {
        for (size_t i = 0; i < kLinesPerMs; i++) { Line(static_cast<uint16_t>(line++ % kTopics)); }
        Turn(NS_PER_MS);
    }
    ASSERT_EQ(Sealed(), 2U);

    const SealedSegment second = Look(2);
    const double index_share =
        static_cast<double>(second.index_bytes) / static_cast<double>(second.used_bytes);
    const double filled =
        static_cast<double>(second.used_bytes) / static_cast<double>(segment_bytes_);
    printf("          index %.2f %% of stored bytes, segment %.1f %% full\n", 100 * index_share,
           100 * filled);
    EXPECT_LE(index_share, 0.01);
    EXPECT_GE(filled, 0.95) << "a segment ends because its index is full";

    // One topic, read from its beginning by a reader that knows nothing yet.
    CountingFiles counting;
    counting.inner = sim_disk_files(disk_.get());
    struct reader *reader = nullptr;
    ASSERT_EQ(reader_create_over(counting.Port(), "/nonexistent", /*index_cache_bytes=*/64 * kMiB,
                                 &reader),
              STATUS_OK);
    reader_refresh(reader, now_.mono_ns);
    const uint64_t start_bytes = counting.bytes;
    counting.bytes = 0;
    const int32_t topic = reader_topic_find(reader, "topic-517", strlen("topic-517"));
    ASSERT_GE(topic, 0);
    const std::unique_ptr<uint8_t, Free> scratch(
        static_cast<uint8_t *>(aligned_alloc(4096, 64 * 1024)));
    uint64_t served = 0;
    struct batch_location found;
    uint64_t offset = 0;
    while (reader_find_offset(reader, static_cast<size_t>(topic), 0, offset, &found) == STATUS_OK) {
        const uint8_t *bytes;
        ASSERT_LE(reader_cold_bytes(&found), 64U * 1024);
        ASSERT_EQ(reader_read_cold(reader, &found, scratch.get(), &bytes), STATUS_OK);
        served += found.length_bytes;
        offset = found.next_offset;
    }
    reader_destroy(reader);
    const double read_per_served =
        static_cast<double>(counting.bytes) / static_cast<double>(served);
    printf("          %.2f bytes read for each served; the start read %.2f %% of what is stored\n",
           read_per_served,
           100.0 * static_cast<double>(start_bytes) / static_cast<double>(2 * segment_bytes_));
    EXPECT_GT(served, 50'000U);
    EXPECT_LE(read_per_served, 4.0);
    EXPECT_LE(start_bytes, 2 * segment_bytes_ / 100);
}

// What an index takes of a core's memory, whatever is written: of a worker's segments (the open one
// and those that it may have to write again), and of live indexes (prepared, open, in their grace).
TEST(SmallCommitsMemory, AnIndexIsAtMost256MiBOfACore)
{
    constexpr uint64_t kSegments = 6; // LOG_SEGMENTS_MAX of core_log_state.h
    constexpr uint64_t kLiveIndexes = 4;
    constexpr uint64_t kServeCacheBytes = 64 * kMiB;
    const uint64_t index_bytes = partitions_index_bytes(64 * kGiB); // the largest segment
    struct log_segment segment;
    ASSERT_EQ(log_segment_init(&segment, static_cast<uint32_t>(index_bytes)), STATUS_OK);
    const uint64_t anchors_bytes =
        (index_bytes / (INDEX_CHUNK_LINES_MAX * INDEX_LINE_BYTES_MIN) + LOG_TOPICS_MAX) *
        sizeof(struct index_anchor_wire);
    const uint64_t builder_bytes = anchors_bytes + LOG_TOPICS_MAX * sizeof(struct index_open_chunk);
    const uint64_t segment_bytes = segment.image_bytes;
    log_segment_deinit(&segment);

    const uint64_t worker_bytes = kSegments * segment_bytes + builder_bytes;
    const uint64_t live_bytes =
        kLiveIndexes * live_index_file_bytes(static_cast<uint32_t>(index_bytes));
    printf("          %.0f MiB of a worker, %.0f MiB shared\n",
           static_cast<double>(worker_bytes) / static_cast<double>(kMiB),
           static_cast<double>(live_bytes) / static_cast<double>(kMiB));
    EXPECT_LE(worker_bytes + live_bytes + kServeCacheBytes, 256 * kMiB);
}

} // namespace
