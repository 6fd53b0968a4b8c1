#include "storage/reader.h"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "base/mapped_file.h"
#include "storage/recovery.h"
#include "tests/storage/log_builder.h"
#include "tests/storage/temporary_directory.h"
#include "wire/commit_ring.h"
#include "wire/live_index.h"
#include "wire/root_page.h"
#include "wire/topic_starts.h"

namespace {

using namespace penstock_test;

constexpr uint64_t SECOND = 1000000000;

// The shared memory of an ingest, as far as a reader looks at it.
class Ingest {
  public:
    explicit Ingest(std::string runtime, uint64_t incarnation = 1)
        : runtime_(std::move(runtime)), incarnation_(incarnation)
    {
        EXPECT_EQ(mapped_file_create(Path("root").c_str(), sizeof(struct root_page), &root_),
                  STATUS_OK);
        root_page_init(Root());
        Root()->incarnation = incarnation;
        Root()->partition_count = 1;
        Root()->state = ROOT_STATE_RUNNING;
        Root()->cluster_id = IdOf(0xC1);
        Beat(1);
        MakeRing();
    }
    ~Ingest()
    {
        mapped_file_close(&root_);
        mapped_file_close(&ring_);
        mapped_file_close(&live_);
    }
    Ingest(const Ingest &) = delete;
    Ingest &operator=(const Ingest &) = delete;

    struct root_page *Root() { return reinterpret_cast<struct root_page *>(root_.at); }
    struct live_index_header *Live()
    {
        return reinterpret_cast<struct live_index_header *>(live_.at);
    }
    struct commit_ring_header *Ring()
    {
        return reinterpret_cast<struct commit_ring_header *>(ring_.at);
    }
    void Beat(uint64_t now_ns) { Root()->heartbeat_ns = now_ns; }

    void Restart(uint64_t incarnation)
    {
        incarnation_ = incarnation;
        mapped_file_close(&ring_);
        MakeRing();
        Root()->incarnation = incarnation;
        Root()->segments_generation = Root()->segments_generation + 1;
    }

    // The live index of the builder's newest segment, empty.
    void Open(const LogBuilder &log)
    {
        char name[LIVE_INDEX_NAME_BYTES];
        live_index_file_name(0, log.Segment(), name);
        mapped_file_close(&live_);
        ASSERT_EQ(mapped_file_create(Path(name).c_str(), live_index_file_bytes(4096), &live_),
                  STATUS_OK);
        live_index_init(Live(), 4096);
        live_index_writer_init(writer_.get(), Live());
        published_ = 0;
        Live()->nonce = LogBuilder::NonceOf(log.Segment());
        Live()->segment_number = log.Segment();
        Live()->incarnation = incarnation_;
        AddTopic(0, "events", log.NextOffset(0));
        AddTopic(1, "payments", log.NextOffset(1));
        Live()->state = LIVE_INDEX_OPEN;
        Root()->partitions[0].open_segment_number = log.Segment();
        Root()->segments_generation = Root()->segments_generation + 1;
    }

    // Counts in everything that the builder wrote to its segment and was not counted yet.
    void Publish(const LogBuilder &log)
    {
        for (; published_ < log.Index().size(); published_++) {
            const struct index_entry &entry = log.Index()[published_];
            live_index_group_begin(writer_.get());
            live_index_group_add(writer_.get(), &entry);
            live_index_group_end(writer_.get(), Ring()->reserved_end - entry.position);
            const std::string &bytes = BytesOf(log, entry);
            std::memcpy(commit_ring_data(Ring()) + Ring()->reserved_end % Ring()->capacity_bytes,
                        bytes.data(), bytes.size());
            Ring()->reserved_end = Ring()->reserved_end + LOG_BLOCK_BYTES;
            live_index_publish(writer_.get(), 42);
        }
    }
    void Sealed() { Live()->state = LIVE_INDEX_SEALED; }

  private:
    std::string Path(const std::string &name) const { return runtime_ + "/" + name; }

    void MakeRing()
    {
        EXPECT_EQ(mapped_file_create(Path("ring-0000").c_str(), 4096 + 65536, &ring_), STATUS_OK);
        commit_ring_init(Ring(), 0, IdOf(0x10), incarnation_, 65536);
    }

    void AddTopic(int32_t number, const char *name, uint64_t base_offset)
    {
        struct live_index_topic *const topic = &live_index_topics(Live())[number];
        topic->topic = number;
        topic->name_bytes = static_cast<uint32_t>(std::strlen(name));
        topic->base_offset = base_offset;
        topic->topic_id = topic_id_of(IdOf(0xC1), bytes_of_text(name), 0);
        std::strcpy(topic->name, name);
        Live()->topic_count = static_cast<uint32_t>(number) + 1;
    }

    static const std::string &BytesOf(const LogBuilder &log, const struct index_entry &entry)
    {
        for (const BuiltBatch &batch : log.Batches()) {
            if (batch.base_offset == entry.base_offset && batch.topic == entry.topic) {
                return batch.bytes;
            }
        }
        std::abort();
    }

    std::string runtime_;
    uint64_t incarnation_;
    struct mapped_file root_ = {};
    struct mapped_file ring_ = {};
    struct mapped_file live_ = {};
    std::unique_ptr<struct live_index_writer> writer_ =
        std::make_unique<struct live_index_writer>();
    size_t published_ = 0; // lines of the builder's index
};

class Reader : public ::testing::Test {
  protected:
    ~Reader() override { reader_destroy(reader_); }

    void Start(size_t cache_bytes = 1 << 20)
    {
        reader_destroy(reader_);
        reader_ = nullptr;
        ASSERT_EQ(reader_create_over(sim_disk_files(disk_.get()), runtime_.path().c_str(),
                                     cache_bytes, &reader_),
                  STATUS_OK);
    }
    bool Refresh() { return reader_refresh(reader_, now_ += SECOND / 5); }

    struct reader_watermarks Marks(const char *topic)
    {
        struct reader_watermarks marks;
        reader_watermarks(reader_, Topic(topic), 0, &marks);
        return marks;
    }
    size_t Topic(const char *name)
    {
        const int32_t topic = reader_topic_find(reader_, name, std::strlen(name));
        EXPECT_GE(topic, 0) << name;
        return static_cast<size_t>(topic);
    }
    enum status Find(const char *topic, uint64_t offset)
    {
        return reader_find_offset(reader_, Topic(topic), 0, offset, &found_);
    }
    std::string Cold(enum status expected = STATUS_OK)
    {
        uint8_t *const scratch = static_cast<uint8_t *>(
            std::aligned_alloc(4096, (reader_cold_bytes(&found_) / 4096 + 1) * 4096));
        const uint8_t *bytes = nullptr;
        EXPECT_EQ(reader_read_cold(reader_, &found_, scratch, &bytes), expected);
        const std::string out =
            bytes == nullptr
                ? std::string()
                : std::string(reinterpret_cast<const char *>(bytes), found_.length_bytes);
        std::free(scratch);
        return out;
    }
    std::string Tail(enum status expected = STATUS_OK)
    {
        std::string out(found_.length_bytes, '\0');
        EXPECT_EQ(reader_read_tail(reader_, &found_, reinterpret_cast<uint8_t *>(out.data())),
                  expected);
        return out;
    }
    // Every batch that was built is found at each of its offsets, with its bytes.
    void ExpectAll(const LogBuilder &log)
    {
        for (const BuiltBatch &batch : log.Batches()) {
            const char *const topic = batch.topic == 0 ? "events" : "payments";
            const uint64_t last = batch.base_offset + batch.record_count - 1;
            ASSERT_EQ(Find(topic, last), STATUS_OK) << topic << " " << last;
            ASSERT_EQ(found_.base_offset, batch.base_offset);
            ASSERT_EQ(found_.next_offset, last + 1);
            ASSERT_EQ(Cold(), batch.bytes);
        }
    }

    RuntimeDirectory runtime_;
    SimDisk disk_ = MakeDisk();
    struct reader *reader_ = nullptr;
    struct batch_location found_ = {};
    uint64_t now_ = 10 * SECOND;
};

TEST_F(Reader, IsEmptyWhereNothingIs)
{
    Start();
    Refresh();

    EXPECT_EQ(reader_partition_count(reader_), 0U);
    EXPECT_EQ(reader_topic_count(reader_), 0U);
    EXPECT_EQ(reader_root(reader_), nullptr);
    EXPECT_EQ(reader_topic_find(reader_, "events", 6), -1);
}

TEST_F(Reader, ServesSealedSegmentsWithoutIngest)
{
    LogBuilder log(disk_);
    for (int i = 0; i < 3; i++) {
        log.OpenSegment();
        log.Commit({{0, 3}, {1, 1}});
        log.Commit({{0, 2, 9000}});
        log.Seal();
    }
    Start();

    EXPECT_TRUE(Refresh());

    ExpectAll(log);
    EXPECT_EQ(Marks("events").high_watermark, 15U);
    EXPECT_EQ(Marks("events").log_start, 0U);
    EXPECT_EQ(Find("events", 15), STATUS_NOT_FOUND);
    EXPECT_TRUE(reader_partition_complete(reader_, 0));
    EXPECT_TRUE(log_id_equal(reader_cluster_id(reader_), IdOf(0xC1)));
    EXPECT_FALSE(Refresh()) << "nothing changed";
}

// A disk that puts a block where another belongs: whole, and not what was asked for.
TEST_F(Reader, DoesNotServeAWholeBatchThatIsNotTheOneAskedFor)
{
    LogBuilder log(disk_);
    log.OpenSegment();
    log.Commit({{0, 3}, {1, 3}});
    log.Seal();
    const BuiltBatch &asked = log.Batches()[0];
    const BuiltBatch &other = log.Batches()[1];
    ASSERT_EQ(asked.bytes.size(), other.bytes.size());
    ASSERT_EQ(asked.base_offset, other.base_offset);
    Start();
    Refresh();
    ASSERT_EQ(Find("events", 0), STATUS_OK);

    std::memcpy(SegmentBytes(disk_, 1) + asked.position, other.bytes.data(), other.bytes.size());

    EXPECT_EQ(Cold(STATUS_CORRUPT), "");
}

// Every byte of an index is one that a reader can do without: the segment has it all.
TEST_F(Reader, ServesEveryBatchOfASegmentWhoseIndexIsDamagedAnywhere)
{
    LogBuilder log(disk_);
    log.OpenSegment();
    for (int i = 0; i < 3; i++) { log.Commit({{0, 3}, {1, 1}}); }
    const BuiltCommit footer = log.Seal();
    uint8_t *const commit = SegmentBytes(disk_, 1) + footer.position;
    for (uint32_t line = 0; line < 2; line++) {
        const struct entry entry = entry_decode(bytes_of(commit, footer.length_bytes), line);
        ASSERT_TRUE(entry.type == ENTRY_INDEX || entry.type == ENTRY_ANCHORS);
        for (uint32_t at = 0; at < entry.length_bytes; at++) {
            SCOPED_TRACE(at);
            commit[entry.position + at] ^= 0x10;
            Start();
            Refresh();
            ASSERT_NO_FATAL_FAILURE(ExpectAll(log));
            commit[entry.position + at] ^= 0x10;
        }
    }
}

// A copy of an old segment under a high number hid all that lies between.
TEST_F(Reader, DoesNotServeACopyOfASegmentUnderAnotherNumber)
{
    LogBuilder log(disk_);
    for (int i = 0; i < 5; i++) {
        log.OpenSegment();
        log.Commit({{0, 3}});
        log.Seal();
    }
    uint64_t size = 0;
    SegmentBytes(disk_, 3, &size);
    int file;
    const struct files files = sim_disk_files(disk_.get());
    ASSERT_EQ(files_create(files, SegmentName(0x100).c_str(), size, &file), STATUS_OK);
    files_close(files, file);
    std::memcpy(SegmentBytes(disk_, 0x100), SegmentBytes(disk_, 3), size);
    Start();
    Refresh();

    ExpectAll(log);
    EXPECT_EQ(Marks("events").high_watermark, 15U);
}

TEST_F(Reader, DoesNotServeWhatIsOfAnotherPartitionOrLog)
{
    LogBuilder log(disk_);
    for (int i = 0; i < 3; i++) {
        log.OpenSegment();
        log.Commit({{0, 3}});
        log.Seal();
    }
    struct segment_header header;
    uint8_t *const at = SegmentBytes(disk_, 1);
    ASSERT_EQ(segment_header_decode(bytes_of(at, LOG_BLOCK_BYTES), &header), STATUS_OK);
    header.partition = 5;
    segment_header_encode(&header, at);
    uint8_t *const second = SegmentBytes(disk_, 2);
    ASSERT_EQ(segment_header_decode(bytes_of(second, LOG_BLOCK_BYTES), &header), STATUS_OK);
    header.log_id = IdOf(0x99);
    segment_header_encode(&header, second);
    Start();
    Refresh();

    EXPECT_EQ(Marks("events").log_start, 6U);
    ASSERT_EQ(Find("events", 0), STATUS_OK);
    EXPECT_EQ(found_.base_offset, 6U);
}

TEST_F(Reader, FindsTheFirstBatchByTimeThoughTimesGoBack)
{
    LogBuilder log(disk_);
    log.OpenSegment();
    log.Commit({{0, 1, 100, 1000}});
    log.Commit({{0, 1, 100, 5000}});
    log.Commit({{0, 1, 100, 2000}});
    log.Seal();
    log.OpenSegment();
    log.Commit({{0, 1, 100, 9000}});
    log.Seal();
    Start();
    Refresh();

    ASSERT_EQ(reader_find_timestamp(reader_, Topic("events"), 0, 1500, &found_), STATUS_OK);
    EXPECT_EQ(found_.base_offset, 1U);
    ASSERT_EQ(reader_find_timestamp(reader_, Topic("events"), 0, 5001, &found_), STATUS_OK);
    EXPECT_EQ(found_.base_offset, 3U);
    EXPECT_EQ(reader_find_timestamp(reader_, Topic("events"), 0, 9001, &found_), STATUS_NOT_FOUND);
}

TEST_F(Reader, SaysThatAnOpenSegmentWithoutItsMemoryIsUnknown)
{
    LogBuilder log(disk_);
    log.OpenSegment();
    log.Commit({{0, 3}});
    log.Seal();
    log.OpenSegment();
    log.Commit({{0, 4}});
    Start();
    Refresh();

    EXPECT_FALSE(reader_partition_complete(reader_, 0));
    EXPECT_EQ(Marks("events").high_watermark, 3U);
}

TEST_F(Reader, ShowsARecordOnlyOnceItIsCounted)
{
    Ingest ingest(runtime_.path());
    LogBuilder log(disk_);
    log.OpenSegment();
    ingest.Open(log);
    log.Commit({{0, 3}});
    Start();
    Refresh();
    EXPECT_EQ(Marks("events").high_watermark, 0U);
    EXPECT_EQ(Find("events", 0), STATUS_NOT_FOUND);

    ingest.Publish(log);

    EXPECT_TRUE(Refresh());
    EXPECT_EQ(Marks("events").high_watermark, 3U);
    ASSERT_EQ(Find("events", 1), STATUS_OK);
    EXPECT_TRUE(found_.in_ring);
    EXPECT_EQ(found_.durable_ns, 42U);
    EXPECT_EQ(Tail(), log.Batches()[0].bytes);
    EXPECT_EQ(Cold(), log.Batches()[0].bytes);
    EXPECT_TRUE(reader_partition_complete(reader_, 0));
}

TEST_F(Reader, RefusesRingBytesThatAreNotWhatWasWritten)
{
    Ingest ingest(runtime_.path());
    LogBuilder log(disk_);
    log.OpenSegment();
    ingest.Open(log);
    log.Commit({{0, 3}});
    ingest.Publish(log);
    Start();
    Refresh();
    ASSERT_EQ(Find("events", 0), STATUS_OK);

    commit_ring_data(ingest.Ring())[5] ^= 1;
    Tail(STATUS_CORRUPT);
    ingest.Ring()->reserved_end = 10 * 65536;
    Tail(STATUS_STALE);
}

TEST_F(Reader, RefusesDiskBytesThatAreNotWhatWasWritten)
{
    LogBuilder log(disk_);
    log.OpenSegment();
    log.Commit({{0, 3}});
    log.Commit({{0, 3}});
    log.Seal();
    Start();
    Refresh();
    ASSERT_EQ(Find("events", 0), STATUS_OK);
    SegmentBytes(disk_, 1)[found_.position] ^= 0x80;

    Cold(STATUS_CORRUPT);
    ASSERT_EQ(Find("events", 3), STATUS_OK);
    EXPECT_EQ(Cold(), log.Batches()[1].bytes) << "of that range only";
}

TEST_F(Reader, RollsOverWithoutADipOrAGap)
{
    Ingest ingest(runtime_.path());
    LogBuilder log(disk_);
    Start();
    uint64_t seen = 0;
    for (int segment = 0; segment < 4; segment++) {
        log.OpenSegment();
        ingest.Open(log);
        for (int i = 0; i < 3; i++) {
            log.Commit({{0, 2}});
            ingest.Publish(log);
            Refresh();
            ASSERT_EQ(Marks("events").high_watermark, seen += 2);
            ASSERT_EQ(Find("events", seen - 1), STATUS_OK);
        }
        log.Seal();
        ingest.Sealed();
        Refresh();
        ASSERT_EQ(Marks("events").high_watermark, seen);
        ASSERT_EQ(Find("events", seen - 1), STATUS_OK);
        EXPECT_EQ(Tail(), log.Batches().back().bytes) << "still in the ring";
    }

    ExpectAll(log);
}

TEST_F(Reader, KeepsServingWhatADeadIngestLeftInMemory)
{
    Ingest ingest(runtime_.path());
    LogBuilder log(disk_);
    log.OpenSegment();
    ingest.Open(log);
    log.Commit({{0, 3}});
    ingest.Publish(log);
    Start();

    now_ += 100 * SECOND;
    Refresh();

    EXPECT_FALSE(reader_ingest_alive(reader_, now_));
    ExpectAll(log);
}

TEST_F(Reader, FollowsARestartToTheRecoveredLog)
{
    Ingest ingest(runtime_.path());
    LogBuilder log(disk_);
    log.OpenSegment();
    ingest.Open(log);
    log.Commit({{0, 3}});
    ingest.Publish(log);
    log.Commit({{0, 4}}); // whole on disk, not counted when the process was killed
    Start();
    Refresh();
    ASSERT_EQ(Marks("events").high_watermark, 3U);
    ASSERT_EQ(Find("events", 0), STATUS_OK);
    const struct batch_location before = found_;

    auto resume = std::make_unique<struct log_resume>();
    ingest.Root()->state = ROOT_STATE_RECOVERING;
    ASSERT_EQ(recovery_run(sim_disk_files(disk_.get()), 0, nullptr, nullptr, resume.get()),
              STATUS_OK);
    Refresh();
    EXPECT_EQ(Marks("events").high_watermark, 3U) << "nothing is taken on before recovery is done";
    ingest.Root()->state = ROOT_STATE_RUNNING;
    ingest.Restart(/*incarnation=*/2);
    EXPECT_TRUE(Refresh());

    EXPECT_EQ(Marks("events").high_watermark, 7U);
    ExpectAll(log);
    EXPECT_FALSE(found_.in_ring);
    found_ = before;
    Tail(STATUS_STALE);
}

// Workers open their segments a moment before the root page says that ingest is running.
TEST_F(Reader, SkipsNothingThatRecoveryKeptWhenTheNextSegmentIsSeenFirst)
{
    Ingest ingest(runtime_.path());
    LogBuilder log(disk_);
    log.OpenSegment();
    ingest.Open(log);
    log.Commit({{0, 3}});
    ingest.Publish(log);
    log.Commit({{0, 4}}); // whole on disk, not counted when the process was killed
    Start();
    Refresh();
    ASSERT_EQ(Marks("events").high_watermark, 3U);

    auto resume = std::make_unique<struct log_resume>();
    ingest.Root()->state = ROOT_STATE_RECOVERING;
    ASSERT_EQ(recovery_run(sim_disk_files(disk_.get()), 0, nullptr, nullptr, resume.get()),
              STATUS_OK);
    ingest.Root()->state = ROOT_STATE_STARTING;
    ingest.Restart(/*incarnation=*/2);
    log.OpenSegment();
    ingest.Open(log);
    log.Commit({{0, 2}});
    ingest.Publish(log);
    Refresh();

    EXPECT_EQ(Marks("events").high_watermark, 9U);
    ASSERT_EQ(Find("events", 3), STATUS_OK);
    EXPECT_EQ(found_.base_offset, 3U) << "four records were passed over";
}

TEST_F(Reader, LosesRetiredSegmentsAtOnce)
{
    Ingest ingest(runtime_.path());
    LogBuilder log(disk_);
    for (int i = 0; i < 3; i++) {
        log.OpenSegment();
        log.Commit({{0, 5}});
        log.Seal();
    }
    Start();
    Refresh();
    ASSERT_EQ(Find("events", 0), STATUS_OK);
    const struct batch_location retired = found_;

    ingest.Root()->partitions[0].first_segment_number = 3;

    ASSERT_EQ(Find("events", 0), STATUS_OK) << "without a refresh";
    EXPECT_EQ(found_.base_offset, 10U);
    EXPECT_EQ(Marks("events").log_start, 10U);
    EXPECT_EQ(Marks("events").high_watermark, 15U);
    ASSERT_EQ(files_remove(sim_disk_files(disk_.get()), SegmentName(1).c_str()), STATUS_OK);
    found_ = retired;
    Cold(STATUS_NOT_FOUND);
}

// Topics' own starts, as retention publishes them.
class Starts {
  public:
    explicit Starts(const std::string &runtime)
    {
        EXPECT_EQ(mapped_file_create((runtime + "/starts-0000").c_str(),
                                     sizeof(struct topic_starts), &file_),
                  STATUS_OK);
        topic_starts_init(Page(), 0, IdOf(0x10));
    }
    ~Starts() { mapped_file_close(&file_); }
    Starts(const Starts &) = delete;
    Starts &operator=(const Starts &) = delete;
    struct topic_starts *Page() { return reinterpret_cast<struct topic_starts *>(file_.at); }
    void Set(int32_t topic, uint64_t start)
    {
        Page()->starts[topic] = start;
        Page()->generation = Page()->generation + 1;
    }

  private:
    struct mapped_file file_ = {};
};

TEST_F(Reader, BeginsWhereTheTopicsOwnLimitsSayThoughTheSegmentStays)
{
    Ingest ingest(runtime_.path());
    LogBuilder log(disk_);
    log.OpenSegment();
    for (int i = 0; i < 4; i++) { log.Commit({{0, 5}, {1, 1}}); }
    log.Seal();
    Starts starts(runtime_.path());
    starts.Set(0, 10);
    Start();

    Refresh();
    EXPECT_EQ(Marks("events").log_start, 10U);
    EXPECT_EQ(Marks("payments").log_start, 0U);
    starts.Set(0, 15);
    Refresh();
    EXPECT_EQ(Marks("events").log_start, 15U);
    starts.Set(0, 12);
    Refresh();
    EXPECT_EQ(Marks("events").log_start, 15U) << "it never goes back";
    starts.Set(0, UINT64_MAX);
    Refresh();

    EXPECT_EQ(Marks("events").log_start, 20U) << "never beyond what is durable";
}

TEST_F(Reader, ATimestampIsNotFoundInFrontOfTheLogStart)
{
    Ingest ingest(runtime_.path());
    LogBuilder log(disk_);
    log.OpenSegment();
    log.Commit({{0, 5, 100, 9000}});
    log.Commit({{0, 5, 100, 2000}});
    log.Commit({{0, 5, 100, 3000}});
    log.Seal();
    Starts starts(runtime_.path());
    starts.Set(0, 5);
    Start();
    Refresh();

    ASSERT_EQ(reader_find_timestamp(reader_, Topic("events"), 0, 2500, &found_), STATUS_OK);
    EXPECT_EQ(found_.base_offset, 10U);
    EXPECT_EQ(reader_find_timestamp(reader_, Topic("events"), 0, 3001, &found_), STATUS_NOT_FOUND);
}

TEST_F(Reader, StartsOfAnotherLogAreNotBelieved)
{
    Ingest ingest(runtime_.path());
    LogBuilder log(disk_);
    log.OpenSegment();
    log.Commit({{0, 5}});
    log.Seal();
    Starts starts(runtime_.path());
    starts.Page()->log_id = IdOf(0x77);
    starts.Set(0, 5);
    Start();
    Refresh();

    EXPECT_EQ(Marks("events").log_start, 0U);
}

TEST_F(Reader, ForgetsALogWhenAnotherTookItsPlace)
{
    Ingest ingest(runtime_.path());
    ingest.Root()->partitions[0].log_id = IdOf(0x10);
    LogBuilder log(disk_);
    log.OpenSegment();
    log.Commit({{0, 5}});
    log.Seal();
    Start();
    Refresh();
    ASSERT_EQ(Marks("events").high_watermark, 5U);

    ASSERT_EQ(files_remove(sim_disk_files(disk_.get()), SegmentName(1).c_str()), STATUS_OK);
    ingest.Root()->partitions[0].log_id = IdOf(0x11);
    ingest.Restart(/*incarnation=*/2);
    Refresh();

    EXPECT_EQ(Marks("events").high_watermark, 0U);
    EXPECT_EQ(Find("events", 0), STATUS_NOT_FOUND);
}

TEST_F(Reader, RebuildsASegmentWhoseFooterIsRotten)
{
    LogBuilder log(disk_);
    log.OpenSegment();
    log.Commit({{0, 5}});
    const BuiltCommit footer = log.Seal();
    log.OpenSegment();
    log.Commit({{0, 5}});
    log.Seal();
    SegmentBytes(disk_, 1)[footer.position + 100] ^= 1;
    Start();
    Refresh();

    ExpectAll(log);
}

TEST_F(Reader, ServesAFailedSegmentUpToTheCommitThatWasContinued)
{
    LogBuilder log(disk_);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit last_good = log.Commit({{0, 4}});
    log.Commit({{0, 50}});
    log.ContinueBehind(last_good, {7, 0}).OpenSegment();
    log.Commit({{0, 1}});
    log.Seal();
    Start();
    Refresh();

    ExpectAll(log);
    EXPECT_EQ(Marks("events").high_watermark, 8U);
}

// Where recovery could not write it again, the header that was torn still is the nearest.
TEST_F(Reader, ServesASegmentWhoseSealAndSuccessorsHeaderWereTorn)
{
    LogBuilder log(disk_);
    log.OpenSegment();
    log.Commit({{0, 3}});
    log.Seal();
    log.OpenSegment();
    log.Commit({{0, 4}});
    log.Seal();
    SegmentBytes(disk_, 1)[log.Capacity() - LOG_BLOCK_BYTES + 20] ^= 1;
    SegmentBytes(disk_, 2)[50] ^= 1;
    Start();
    Refresh();

    ExpectAll(log);
    EXPECT_TRUE(reader_partition_complete(reader_, 0));
}

TEST_F(Reader, PassesOverASegmentThatWasGivenUp)
{
    LogBuilder log(disk_);
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit footer = log.Seal();
    log.OpenSegment();
    log.Commit({{0, 50}});
    log.ContinueBehind(footer, {3, 0}).OpenSegment();
    log.Commit({{0, 4}});
    log.Seal();
    Start();
    Refresh();

    ExpectAll(log);
    EXPECT_EQ(Marks("events").high_watermark, 7U);
    EXPECT_TRUE(reader_partition_complete(reader_, 0));
}

TEST_F(Reader, AnswersTheSameWithNoRoomToCacheIndexes)
{
    LogBuilder log(disk_);
    for (int i = 0; i < 5; i++) {
        log.OpenSegment();
        log.Commit({{0, 5}, {1, 2}});
        log.Commit({{1, 2}});
        log.Seal();
    }
    Start(/*cache_bytes=*/1);
    Refresh();

    ExpectAll(log);
    ExpectAll(log);
}

TEST_F(Reader, CountsAvailableBytesUpToTheLimit)
{
    LogBuilder log(disk_);
    for (int i = 0; i < 2; i++) {
        log.OpenSegment();
        log.Commit({{0, 10, 1000}});
        log.Commit({{0, 10, 1000}});
        log.Seal();
    }
    Start();
    Refresh();
    const size_t topic = Topic("events");

    EXPECT_EQ(reader_available_bytes(reader_, topic, 0, 0, 1 << 20), 4000U);
    EXPECT_EQ(reader_available_bytes(reader_, topic, 0, 0, 1500), 1500U);
    EXPECT_EQ(reader_available_bytes(reader_, topic, 0, 40, 1 << 20), 0U);
    ASSERT_EQ(Find("events", 30), STATUS_OK); // its index is in memory now: exact
    EXPECT_EQ(reader_available_bytes(reader_, topic, 0, 30, 1 << 20), 1000U);
}

TEST_F(Reader, BelievesNothingThatDoesNotFitItsMapping)
{
    Ingest ingest(runtime_.path());
    LogBuilder log(disk_);
    log.OpenSegment();
    ingest.Open(log);
    log.Commit({{0, 3}});
    ingest.Publish(log);
    ingest.Live()->published_bytes = UINT64_MAX;
    ingest.Live()->topic_count = UINT32_MAX;
    Start();
    Refresh();
    EXPECT_EQ(Marks("events").high_watermark, 3U);

    std::memset(live_index_groups(ingest.Live()), 0xFF, 4096);
    Start();
    Refresh();
    EXPECT_EQ(Marks("events").high_watermark, 0U);
}

// Segment 1.. of the simulated disk as real files below `root`.
void CopyToRealFiles(const SimDisk &disk, uint64_t segments, const std::string &root)
{
    ASSERT_EQ(mkdir(root.c_str(), 0755), 0);
    ASSERT_EQ(mkdir((root + "/part-0000").c_str(), 0755), 0);
    for (uint64_t number = 1; number <= segments; number++) {
        uint64_t size = 0;
        const uint8_t *const bytes = SegmentBytes(disk, number, &size);
        FILE *const file = std::fopen((root + "/" + SegmentName(number)).c_str(), "wb");
        ASSERT_EQ(std::fwrite(bytes, 1, size, file), size);
        std::fclose(file);
    }
}

TEST_F(Reader, ReadsColdOnManyThreadsWhileSegmentsAreRetired)
{
    LogBuilder log(disk_);
    for (int i = 0; i < 8; i++) {
        log.OpenSegment();
        log.Commit({{0, 4}});
        log.Seal();
    }
    const std::string root = runtime_.path() + "/disk";
    CopyToRealFiles(disk_, 8, root);
    Ingest ingest(runtime_.path());
    const char *const paths[] = {root.c_str()};
    const struct reader_options options = {paths, 1, runtime_.path().c_str(), 1 << 20};
    ASSERT_EQ(reader_create(&options, &reader_), STATUS_OK);
    Refresh();
    std::vector<struct batch_location> batches;
    for (const BuiltBatch &batch : log.Batches()) {
        ASSERT_EQ(Find("events", batch.base_offset), STATUS_OK);
        batches.push_back(found_);
    }

    std::atomic<uint64_t> served{0};
    std::atomic<uint64_t> refused{0};
    const auto work = [&] {
        auto *const scratch = static_cast<uint8_t *>(std::aligned_alloc(4096, 64 * 1024));
        for (int round = 0; round < 200; round++) {
            for (const struct batch_location &batch : batches) {
                const uint8_t *bytes;
                const enum status status = reader_read_cold(reader_, &batch, scratch, &bytes);
                (status == STATUS_OK ? served : refused)++;
            }
        }
        std::free(scratch);
    };
    std::thread first(work);
    std::thread second(work);
    for (uint64_t number = 1; number <= 4; number++) {
        ingest.Root()->partitions[0].first_segment_number = number;
        Refresh();
    }
    first.join();
    second.join();

    EXPECT_EQ(served + refused, 2U * 200U * 8U);
    EXPECT_EQ(refused, 0U) << "the files are still there: a batch that was found can be read";
}

TEST_F(Reader, ReadsTheSameThroughTheRealFileSystem)
{
    LogBuilder log(disk_);
    log.OpenSegment();
    log.Commit({{0, 3}, {1, 2}});
    log.Seal();
    const std::string root = runtime_.path() + "/disk";
    CopyToRealFiles(disk_, 1, root);
    const char *const paths[] = {root.c_str()};
    struct reader_options options = {};
    options.storage_paths = paths;
    options.storage_path_count = 1;
    options.runtime = runtime_.path().c_str();
    options.index_cache_bytes = 1 << 20;

    ASSERT_EQ(reader_create(&options, &reader_), STATUS_OK);
    Refresh();

    ExpectAll(log);
}

} // namespace
