// How long a start takes on 100 GB: segments with real headers, footers and trailers, sparse
// between. Recovery is the one of penstock-ingest, from all partitions at once to its lanes; the
// catalog is that of penstock-serve. Both read with O_DIRECT: no page cache makes the second run
// faster.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/crc32c.h"
#include "dataplane/partitions.h"
#include "storage/reader.h"
#include "storage/segment_footer.h"
#include "storage/segment_scan.h"
#include "tests/storage/lane_builder.h"
#include "tests/storage/temporary_directory.h"

namespace {

constexpr uint64_t GIB = UINT64_C(1) << 30;
constexpr uint64_t MIB = UINT64_C(1) << 20;
constexpr uint64_t START_NS_MAX = 2 * NS_PER_S; // behind the scan of one segment
constexpr uint32_t TOPICS = 50;

struct Shape {
    const char *name;
    uint64_t segment_bytes;
    uint32_t segments;      // of a partition
    uint32_t index_entries; // of a segment
};

constexpr uint32_t PARTITIONS = 2;
constexpr Shape shapes[] = {
    {"SegmentsOf1GiB", GIB, 50, 20000},
    {"SegmentsOf64MiB", 64 * MIB, 800, 2500},
};

struct FreeDeleter {
    void operator()(void *at) const { std::free(at); }
};
using Blocks = std::unique_ptr<uint8_t, FreeDeleter>;

struct log_id IdOf(uint64_t low, uint64_t high = 1)
{
    struct log_id id;
    std::memcpy(id.bytes, &low, sizeof low);
    std::memcpy(id.bytes + 8, &high, sizeof high);
    return id;
}

// Writes one partition, segment after segment.
class SparseLog {
  public:
    SparseLog(const std::string &storage, uint32_t partition, const Shape &shape)
        : storage_(storage), partition_(partition), shape_(shape), log_id_(IdOf(100 + partition))
    {
        char directory[LOG_NAME_BYTES];
        log_directory_name(partition, directory);
        std::filesystem::create_directories(storage + "/" + directory);
        log_->topic_count = TOPICS;
        for (uint32_t i = 0; i < TOPICS; i++) {
            snprintf(log_->topics[i].name, sizeof log_->topics[i].name, "topic-%02" PRIu32, i);
            log_->topics[i].topic_id = topic_id_of(IdOf(7), bytes_of_text(log_->topics[i].name), 0);
        }
        log_->totals_count = STATS_COUNTER_COUNT;
    }

    // A sealed one: header, a commit with the lanes, a footer that lists the rest, a trailer.
    void Sealed()
    {
        Open();
        Commit();
        for (uint32_t i = 0; i < TOPICS; i++) { base_offsets_[i] = log_->topics[i].next_offset; }
        const std::vector<struct index_entry> index = Index();
        struct segment_footer_parts parts = {};
        parts.header = Header(COMMIT_FLAG_FOOTER);
        parts.log = log_.get();
        parts.base_offsets = base_offsets_.data();
        parts.index = index.data();
        parts.index_count = index.size();
        uint8_t *commit;
        ASSERT_EQ(segment_footer_encode(&parts, &commit, &previous_crc_), STATUS_OK);
        const Blocks owned(commit);
        struct segment_trailer trailer = {};
        trailer.nonce = nonce_;
        trailer.footer_position = position_;
        trailer.footer_number = number_;
        trailer.footer_length_bytes = parts.header.length_bytes;
        Write(commit, parts.header.length_bytes, position_);
        const Blocks block = Block();
        segment_trailer_encode(&trailer, block.get());
        Write(block.get(), LOG_BLOCK_BYTES, shape_.segment_bytes - LOG_BLOCK_BYTES);
        number_++;
        close(file_);
    }
    // What a kill leaves: commits, then zeros.
    void LeftOpen()
    {
        Open();
        Commit();
        Commit();
        close(file_);
    }

  private:
    static Blocks Block()
    {
        Blocks block(static_cast<uint8_t *>(std::aligned_alloc(LOG_BLOCK_BYTES, LOG_BLOCK_BYTES)));
        std::memset(block.get(), 0, LOG_BLOCK_BYTES);
        return block;
    }
    void Write(const uint8_t *bytes, size_t len_bytes, uint64_t position) const
    {
        ASSERT_EQ(pwrite(file_, bytes, len_bytes, static_cast<off_t>(position)),
                  static_cast<ssize_t>(len_bytes));
    }
    void Open()
    {
        char name[LOG_NAME_BYTES];
        log_segment_name(partition_, ++segment_, name);
        file_ =
            open((storage_ + "/" + name).c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644);
        ASSERT_GE(file_, 0);
        ASSERT_EQ(ftruncate(file_, static_cast<off_t>(shape_.segment_bytes)), 0);
        struct segment_header header = {};
        header.cluster_id = IdOf(7);
        header.log_id = log_id_;
        header.nonce = IdOf(segment_, 200 + partition_);
        header.partition = partition_;
        header.number = segment_;
        header.capacity_bytes = shape_.segment_bytes;
        header.incarnation = 1;
        header.first_commit_number = number_;
        header.predecessor_nonce = segment_ == 1 ? IdOf(0, 0) : nonce_;
        header.predecessor_commit_number = number_ - 1;
        header.predecessor_commit_crc32c = previous_crc_;
        header.tail_records_max = 1000;
        nonce_ = header.nonce;
        checkpoint_ = number_;
        position_ = LOG_BLOCK_BYTES;
        const Blocks block = Block();
        segment_header_encode(&header, block.get());
        Write(block.get(), LOG_BLOCK_BYTES, 0);
    }
    struct commit_header Header(uint32_t flags) const
    {
        struct commit_header header = {};
        header.log_id = log_id_;
        header.nonce = nonce_;
        header.incarnation = 1;
        header.number = number_;
        header.previous_crc32c = previous_crc_;
        header.flags = flags;
        header.durable_number = number_ - 1;
        header.position = position_;
        header.lane_checkpoint = checkpoint_;
        return header;
    }
    // With a lane and without records: a segment's first begins a checkpoint, and completes it.
    void Commit()
    {
        const Blocks block = Block();
        const std::string lane =
            penstock_test::LaneItem(partition_ + 1, 0, 1, {{NATIVE_DROPPED, 2}}, LANE_CHECKPOINT);
        struct entry entry = {};
        entry.type = ENTRY_LANES;
        entry.topic = LOG_NO_TOPIC;
        entry.position = static_cast<uint32_t>((commit_entries_position(1) + 7) / 8 * 8);
        entry.length_bytes = static_cast<uint32_t>(lane.size());
        entry.crc32c = crc32c(bytes_of(lane.data(), lane.size()));
        std::memcpy(block.get() + entry.position, lane.data(), lane.size());
        entry_encode(&entry, block.get(), 0);
        struct commit_header header = Header(0);
        header.entry_count = 1;
        header.length_bytes = LOG_BLOCK_BYTES;
        previous_crc_ = commit_header_encode(&header, block.get());
        Write(block.get(), LOG_BLOCK_BYTES, position_);
        position_ += LOG_BLOCK_BYTES;
        number_++;
    }
    // As if the segment were full: batches of its topics in turn, one behind the other.
    std::vector<struct index_entry> Index()
    {
        std::vector<struct index_entry> index(shape_.index_entries);
        const uint64_t room = shape_.segment_bytes - shape_.segment_bytes / 16;
        const auto length_bytes = static_cast<uint32_t>(room / shape_.index_entries / 8 * 8);
        for (uint32_t i = 0; i < shape_.index_entries; i++) {
            struct index_entry &entry = index[i];
            entry.topic = static_cast<int32_t>(i % TOPICS);
            entry.record_count = 100 + i % 7;
            entry.base_offset = log_->topics[entry.topic].next_offset;
            entry.max_timestamp_ms = 1'700'000'000'000 + i;
            entry.position = position_;
            entry.length_bytes = length_bytes;
            entry.check = index_check(i * 2654435761U);
            log_->topics[entry.topic].next_offset += entry.record_count;
            position_ += length_bytes;
        }
        position_ = (position_ + LOG_BLOCK_BYTES - 1) / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
        return index;
    }

    const std::string storage_;
    const uint32_t partition_;
    const Shape &shape_;
    const struct log_id log_id_;
    std::unique_ptr<struct log_resume> log_ = std::make_unique<struct log_resume>();
    std::vector<uint64_t> base_offsets_ = std::vector<uint64_t>(LOG_TOPICS_MAX);
    int file_ = -1;
    uint64_t segment_ = 0;
    uint64_t number_ = 1;
    uint32_t previous_crc_ = 0;
    uint64_t position_ = 0;
    uint64_t checkpoint_ = 0;
    struct log_id nonce_ = {};
};

class StartTime : public ::testing::TestWithParam<Shape> {
  protected:
    StartTime()
    {
        const char *const path = storage_.path().c_str();
        EXPECT_EQ(posix_files_create(&path, 1, false, &posix_), STATUS_OK);
    }
    ~StartTime() override { posix_files_destroy(posix_); }

    void Build()
    {
        for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
            SparseLog log(storage_.path(), partition, GetParam());
            for (uint32_t i = 1; i < GetParam().segments; i++) {
                ASSERT_NO_FATAL_FAILURE(log.Sealed());
            }
            ASSERT_NO_FATAL_FAILURE(log.LeftOpen());
        }
    }

    static uint64_t Since(uint64_t begin_ns) { return clock_now().mono_ns - begin_ns; }

    // As penstock-ingest does at its start.
    uint64_t Recover()
    {
        auto root = std::make_unique<struct root_page>();
        root_page_init(root.get());
        auto partitions = std::make_unique<struct partitions>();
        std::vector<std::unique_ptr<struct stats_page>> pages;
        struct partitions_options options = {};
        options.files = posix_files_port(posix_);
        options.root = root.get();
        options.worker_count = PARTITIONS;
        options.wall_ms = 1'700'000'000'000;
        options.remember_ns = UINT64_C(3600) * NS_PER_S;
        options.context = &pages;
        options.stats_page = [](void *context, uint32_t partition, struct stats_page **out,
                                bool *survived) {
            auto *const all = static_cast<decltype(pages) *>(context);
            all->push_back(std::make_unique<struct stats_page>());
            stats_page_init(all->back().get(), partition);
            *out = all->back().get();
            *survived = false;
            return STATUS_OK;
        };
        options.fresh_id = [](void *) { return IdOf(1); };

        const uint64_t begin_ns = clock_now().mono_ns;
        EXPECT_EQ(partitions_open(partitions.get(), &options), STATUS_OK);
        const uint64_t spent_ns = Since(begin_ns);

        for (uint32_t i = 0; i < PARTITIONS; i++) {
            EXPECT_EQ(partitions->items[i].resume->topic_count, TOPICS);
            EXPECT_EQ(partitions->items[i].resume->next_segment_number, GetParam().segments + 1);
            EXPECT_EQ(partitions->items[i].lanes.count, 1U);
        }
        partitions_close(partitions.get());
        return spent_ns;
    }

    // The whole newest segment is read, as it is when nobody sealed it.
    uint64_t Scan(uint32_t partition)
    {
        char name[LOG_NAME_BYTES];
        int file;
        uint64_t size_bytes;
        struct segment_scan *scan = nullptr;
        struct scanned_commit commit;
        log_segment_name(partition, GetParam().segments, name);
        const struct files files = posix_files_port(posix_);
        const uint64_t begin_ns = clock_now().mono_ns;
        EXPECT_EQ(files_open(files, name, FILES_READ, &file, &size_bytes), STATUS_OK);
        EXPECT_EQ(segment_scan_create(files, file, size_bytes, &scan), STATUS_OK);
        while (segment_scan_next(scan, &commit) == SCAN_COMMIT) {}
        segment_scan_destroy(scan);
        files_close(files, file);
        return Since(begin_ns);
    }

    uint64_t OpenCatalog()
    {
        const char *const path = storage_.path().c_str();
        struct reader_options options = {};
        options.storage_paths = &path;
        options.storage_path_count = 1;
        options.runtime = runtime_.path().c_str();
        options.index_cache_bytes = 64 * MIB;
        struct reader *reader = nullptr;

        const uint64_t begin_ns = clock_now().mono_ns;
        EXPECT_EQ(reader_create(&options, &reader), STATUS_OK);
        reader_refresh(reader, clock_now().mono_ns);
        const uint64_t spent_ns = Since(begin_ns);

        EXPECT_EQ(reader_topic_count(reader), TOPICS);
        EXPECT_EQ(reader_partition_count(reader), PARTITIONS);
        reader_destroy(reader);
        return spent_ns;
    }

    static void Say(const char *what, uint64_t spent_ns)
    {
        printf("%s: %s %.3f s\n", GetParam().name, what,
               static_cast<double>(spent_ns) / static_cast<double>(NS_PER_S));
    }

    const TemporaryDirectory storage_;
    const RuntimeDirectory runtime_;
    struct posix_files *posix_ = nullptr;
};

// At full optimisation: sanitizers are several times slower.
#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
constexpr uint64_t SLOWER = 10;
#else
constexpr uint64_t SLOWER = 1;
#endif

// First what a kill left, then what that recovery sealed.
TEST_P(StartTime, IsUnderTwoSecondsAndTheScanOfOneSegmentFor100GB)
{
    ASSERT_NO_FATAL_FAILURE(Build());
    const uint64_t scan_ns = std::max(Scan(0), Scan(1));

    const uint64_t killed_ns = Recover();
    const uint64_t stopped_ns = Recover();
    const uint64_t catalog_ns = OpenCatalog();

    Say("the scan of one segment", scan_ns);
    Say("recovery after a kill", killed_ns);
    Say("recovery after a stop", stopped_ns);
    Say("the catalog", catalog_ns);
    EXPECT_LE(killed_ns, START_NS_MAX * SLOWER + scan_ns);
    EXPECT_LE(stopped_ns, START_NS_MAX * SLOWER);
    EXPECT_LE(catalog_ns, START_NS_MAX * SLOWER);
}

INSTANTIATE_TEST_SUITE_P(Recovery, StartTime, ::testing::ValuesIn(shapes),
                         [](const auto &info) { return std::string(info.param.name); });

} // namespace
