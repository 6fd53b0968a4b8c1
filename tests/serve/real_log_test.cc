// From core_log's bytes on a real file system to a consumer's answer: the real reader, the real
// cold path, no fake in between.
#include <sys/stat.h>

#include "serve/kafka_error.h"
#include "serve/kafka_request.h"
#include "tests/storage/log_rig.h"
#include "wire/record_batch.h"

namespace {

using Bytes = std::vector<uint8_t>;

constexpr int kBatches = 40;
constexpr uint32_t kRecords = 3;

// A RecordBatch of kRecords records, a millisecond apart.
Bytes EncodeBatch(uint64_t base_offset, int64_t first_ms, size_t value_bytes)
{
    const std::string value(value_bytes, 'v');
    Bytes out(RECORD_BATCH_HEADER_BYTES + kRecords * (value_bytes + 64));
    uint8_t *at = out.data() + RECORD_BATCH_HEADER_BYTES;
    for (uint32_t i = 0; i < kRecords; i++) {
        struct record_batch_parts parts = {};
        parts.timestamp_delta_ms = i;
        parts.offset_delta = i;
        parts.key = bytes_null();
        parts.value = bytes_of(value.data(), value.size());
        const size_t payload_bytes = record_batch_payload_bytes(-1, value.size(), 0, 0);
        parts.body_bytes = record_batch_body_bytes(i, i, payload_bytes);
        at = record_batch_record_encode(&parts, at);
    }
    out.resize(size_t(at - out.data()));
    struct record_batch_header header = {};
    header.base_offset = int64_t(base_offset);
    header.length_bytes = int32_t(out.size());
    header.last_offset_delta = kRecords - 1;
    header.base_timestamp_ms = first_ms;
    header.max_timestamp_ms = first_ms + kRecords - 1;
    header.producer_id = -1;
    header.producer_epoch = -1;
    header.base_sequence = -1;
    header.record_count = kRecords;
    record_batch_header_encode(&header, out.data());
    record_batch_crc_patch(out.data(), crc32c(bytes_of(out.data() + RECORD_BATCH_CRC_BEGIN,
                                                       out.size() - RECORD_BATCH_CRC_BEGIN)));
    return out;
}

struct RealLog : testing::Test {
    TemporaryDirectory place;
    struct reader *reader = nullptr;
    struct serve_stats stats = {};
    struct catalog catalog = {};
    struct kafka_service service = {&catalog, &stats};
    Bytes stored;     // every batch of "events", in order
    int64_t first_ms; // of record 0; the next batch is a second later

    RealLog()
    {
        Write();
        const char *const paths[] = {place.path().c_str()};
        struct reader_options options = {};
        options.storage_paths = paths;
        options.storage_path_count = 1;
        options.runtime = place.path().c_str();
        options.index_cache_bytes = 1 << 20;
        EXPECT_EQ(reader_create(&options, &reader), STATUS_OK);
        (void)reader_refresh(reader, 1);

        struct cold_reader_options cold = {};
        cold.reader = reader;
        cold.queue_max = 4;
        EXPECT_EQ(cold_reader_create(&cold, &catalog.cold), STATUS_OK);
        catalog.reader = reader;
        catalog.cache = block_cache_create(16 << 10);
        catalog.stats = &stats;
    }
    ~RealLog() override
    {
        cold_reader_destroy(catalog.cold);
        block_cache_destroy(catalog.cache);
        reader_destroy(reader);
    }

    // Some segments, sealed, copied from the simulated disk to a real one.
    void Write()
    {
        LogRigOptions options;
        options.segment_bytes = 64 * 1024;
        LogRig rig(options);
        first_ms = rig.now.wall_ms;
        for (int i = 0; i < kBatches; i++) { WriteBatch(rig, first_ms + i * 1000); }
        rig.Settle();
        rig.Finish();
        ASSERT_EQ(mkdir((place / "part-0002").c_str(), 0755), 0);
        for (uint64_t number = 1; number < 32; number++) { CopySegment(rig, number); }
    }
    void WriteBatch(LogRig &rig, int64_t first_record_ms)
    {
        struct commit_draft draft;
        for (int i = 0; i < 2000 && rig.Begin(&draft) != STATUS_OK; i++) { rig.Turn(); }
        const Bytes batch = EncodeBatch(core_log_next_offset(rig.log, 0), first_record_ms, 1000);
        struct sink room = core_log_entry_room(&draft);
        sink_bytes(&room, bytes_of(batch.data(), batch.size()));
        core_log_entry_add(rig.log, &draft, 0, kRecords, uint32_t(batch.size()),
                           crc32c(bytes_of(batch.data(), batch.size())),
                           first_record_ms + kRecords - 1);
        ASSERT_NE(rig.Submit(&draft), 0U);
        rig.Turn();
        stored.insert(stored.end(), batch.begin(), batch.end());
    }
    void CopySegment(const LogRig &rig, uint64_t number)
    {
        char name[LOG_NAME_BYTES];
        uint64_t size = 0;
        log_segment_name(LogRig::kPartition, number, name);
        const uint8_t *const bytes = sim_disk_bytes(rig.disk, name, &size);
        if (bytes == nullptr) { return; }
        FILE *const file = std::fopen((place / name).c_str(), "wb");
        ASSERT_EQ(std::fwrite(bytes, 1, size, file), size);
        std::fclose(file);
    }

    // In the middle of a batch, as rot would.
    void FlipByte(const struct batch_location &location) const
    {
        char name[LOG_NAME_BYTES];
        log_segment_name(location.partition, location.segment_number, name);
        FILE *const file = std::fopen((place / name).c_str(), "r+b");
        ASSERT_NE(file, nullptr);
        const long position = long(location.position) + long(location.length_bytes) / 2;
        ASSERT_EQ(std::fseek(file, position, SEEK_SET), 0);
        const int byte = std::fgetc(file);
        ASSERT_EQ(std::fseek(file, position, SEEK_SET), 0);
        ASSERT_NE(std::fputc(byte ^ 0x20, file), EOF);
        std::fclose(file);
    }

    // Runs a request to its end, cold reads included.
    Bytes Ask(const Bytes &frame)
    {
        struct kafka_request request;
        const struct kafka_address address = {"edge-17", 9092};
        enum kafka_turn turn = kafka_request_begin(&request, &service, address, this,
                                                   bytes_of(frame.data(), frame.size()), 1);
        for (int i = 0; i < 1000 && turn == KAFKA_TURN_READING; i++) {
            void *owner = nullptr;
            EXPECT_TRUE(cold_reader_step(catalog.cold));
            EXPECT_TRUE(catalog_take_finished(&catalog, &owner));
            turn = kafka_request_resume(&request, 1, false);
        }
        EXPECT_EQ(turn, KAFKA_TURN_DONE);
        const struct bytes answer = kafka_request_answer(&request);
        const Bytes out(answer.at, answer.at + answer.len_bytes);
        kafka_request_end(&request);
        return out;
    }
};

void Put(Bytes &out, uint64_t value, int count)
{
    for (int i = count - 1; i >= 0; i--) { out.push_back(uint8_t(value >> (8 * i))); }
}

void PutTopic(Bytes &out)
{
    const std::string name = "events";
    Put(out, 1, 4);
    Put(out, name.size(), 2);
    out.insert(out.end(), name.begin(), name.end());
    Put(out, 1, 4);
    Put(out, LogRig::kPartition, 4);
}

// Everything from offset 0 on.
Bytes FetchAll()
{
    Bytes fetch;
    Put(fetch, uint64_t{KAFKA_FETCH} << 16 | 4, 4);
    Put(fetch, 7, 4);
    Put(fetch, 0, 2);
    for (const uint32_t word : {0xffffffffU, 0U, 1U, 50U << 20}) { Put(fetch, word, 4); }
    Put(fetch, 0, 1);
    PutTopic(fetch);
    Put(fetch, 0, 8);
    Put(fetch, 50 << 20, 4);
    return fetch;
}

// The records of an answer that has no error and the whole log's high watermark.
Bytes Records(const Bytes &answer)
{
    struct cursor in = cursor_over(bytes_of(answer.data(), answer.size()));
    cursor_skip(&in, 12 + 4 + 8 + 4 + 4);
    EXPECT_EQ(cursor_be16(&in), KAFKA_NONE);
    EXPECT_EQ(cursor_be64(&in), uint64_t{kBatches} * kRecords);
    cursor_skip(&in, 8 + 4);
    const struct bytes records = cursor_bytes(&in, cursor_be32(&in));
    return Bytes(records.at, records.at + records.len_bytes);
}

TEST_F(RealLog, IsFetchedWholeFromDisk)
{
    EXPECT_TRUE(Records(Ask(FetchAll())) == stored);
    EXPECT_EQ(stats.counters[SERVE_batches_from_disk], uint64_t{kBatches});
}

TEST_F(RealLog, IsFetchedButForTheOneBatchThatRotted)
{
    constexpr uint64_t victim = 17;
    struct batch_location location;
    ASSERT_EQ(reader_find_offset(reader, 0, LogRig::kPartition, victim * kRecords, &location),
              STATUS_OK);
    FlipByte(location);
    Bytes expected = stored;
    const auto begin = expected.begin() + ptrdiff_t(victim * stored.size() / kBatches);
    expected.erase(begin, begin + ptrdiff_t(location.length_bytes));
    testing::internal::CaptureStderr();

    const Bytes records = Records(Ask(FetchAll()));

    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(records == expected);
    EXPECT_NE(said.find("offsets 51 to 53 of topic events"), std::string::npos) << said;
    EXPECT_EQ(stats.counters[SERVE_fenced_batches], 1U);
}

TEST_F(RealLog, AnswersATimestampToTheRecord)
{
    Bytes list;
    Put(list, uint64_t{KAFKA_LIST_OFFSETS} << 16 | 1, 4);
    Put(list, 7, 4);
    Put(list, 0, 2);
    Put(list, 0xffffffff, 4);
    PutTopic(list);
    Put(list, uint64_t(first_ms + 17 * 1000 + 2), 8);

    const Bytes answer = Ask(list);

    struct cursor in = cursor_over(bytes_of(answer.data(), answer.size()));
    cursor_skip(&in, 8 + 4 + 8 + 4 + 4);
    EXPECT_EQ(cursor_be16(&in), KAFKA_NONE);
    EXPECT_EQ(cursor_be64(&in), uint64_t(first_ms + 17 * 1000 + 2));
    EXPECT_EQ(cursor_be64(&in), 17U * kRecords + 2);
}

} // namespace
