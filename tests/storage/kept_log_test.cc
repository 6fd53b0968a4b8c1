// Logs of every released version of the format are read to the last record, whatever wrote them.
#include "tests/storage/kept_log.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>

#include "base/clock.h"
#include "base/endian.h"
#include "storage/lane_recovery.h"
#include "storage/reader.h"
#include "storage/recovery.h"
#include "tests/storage/log_builder.h"
#include "wire/record_batch.h"

namespace penstock_test {
namespace {

struct ReaderDeleter {
    void operator()(struct reader *reader) const { reader_destroy(reader); }
};
struct MallocDeleter {
    void operator()(void *memory) const { std::free(memory); }
};

// Everything that a reader serves of the disk, batch by batch, each decoded.
std::vector<KeptRecord> Served(const SimDisk &disk)
{
    struct reader *made = nullptr;
    EXPECT_EQ(reader_create_over(sim_disk_files(disk.get()), "/nonexistent", 1 << 20, &made),
              STATUS_OK);
    const std::unique_ptr<struct reader, ReaderDeleter> reader(made);
    const std::unique_ptr<uint8_t, MallocDeleter> scratch(
        static_cast<uint8_t *>(std::aligned_alloc(4096, 1 << 20)));
    std::vector<KeptRecord> records;
    reader_refresh(reader.get(), NS_PER_S);
    for (size_t topic = 0; topic < reader_topic_count(reader.get()); topic++) {
        struct batch_location found;
        const uint8_t *bytes;
        for (uint64_t offset = 0;
             reader_find_offset(reader.get(), topic, 0, offset, &found) == STATUS_OK;
             offset = found.next_offset) {
            EXPECT_EQ(reader_read_cold(reader.get(), &found, scratch.get(), &bytes), STATUS_OK);
            const struct bytes batch = bytes_of(bytes, found.length_bytes);
            struct record_batch_header header;
            struct record_batch_walk walk;
            struct record_batch_record record;
            EXPECT_EQ(record_batch_header_decode(batch, &header), STATUS_OK);
            record_batch_walk_begin(&walk, batch, &header);
            while (record_batch_next(&walk, &record) == STATUS_OK) {
                records.push_back({reader_topic_name(reader.get(), topic),
                                   static_cast<uint64_t>(record.offset), record.timestamp_ms,
                                   std::string(reinterpret_cast<const char *>(record.value.at),
                                               record.value.len_bytes)});
            }
        }
    }
    return records;
}

class KeptLogs : public testing::TestWithParam<const char *> {
  protected:
    void SetUp() override
    {
        ASSERT_GT(kept_.segments.size(), 0U) << "nothing is kept under that name";
        ASSERT_GT(kept_.records.size(), 0U);
        for (size_t i = 0; i < kept_.segments.size(); i++) {
            int file;
            const std::string name = SegmentName(i + 1);
            const struct files files = sim_disk_files(disk_.get());
            ASSERT_EQ(files_create(files, name.c_str(), kept_.segments[i].size(), &file),
                      STATUS_OK);
            files_close(files, file);
            std::memcpy(SegmentBytes(disk_, i + 1), kept_.segments[i].data(),
                        kept_.segments[i].size());
        }
    }
    enum status Recover()
    {
        struct recovery_report report = {};
        report.found = [](void *, uint32_t, enum recovery_finding finding, uint64_t number,
                          uint64_t, uint64_t) {
            EXPECT_TRUE(finding == RECOVERY_CLEAN_TAIL || finding == RECOVERY_SEALED)
                << finding << " in segment " << number;
        };
        return recovery_run(sim_disk_files(disk_.get()), 0, nullptr, &report, resume_.get());
    }

    const KeptLog kept_{GetParam()};
    SimDisk disk_ = MakeDisk();
    std::unique_ptr<struct log_resume> resume_ = std::make_unique<struct log_resume>();
};

TEST_P(KeptLogs, AreServedToTheLastRecordOnceRecovered)
{
    ASSERT_EQ(Recover(), STATUS_OK);

    EXPECT_EQ(Served(disk_), kept_.records);
}

TEST_P(KeptLogs, AreServedAsFarAsTheyAreSealedWithoutRecovery)
{
    const std::vector<KeptRecord> served = Served(disk_);

    size_t at = 0;
    for (const KeptRecord &record : kept_.records) {
        if (at < served.size() && served[at] == record) { at++; }
    }
    EXPECT_EQ(at, served.size());
    EXPECT_GT(served.size(), kept_.records.size() / 2);
}

TEST_P(KeptLogs, GoOnWhereTheyEnded)
{
    ASSERT_EQ(Recover(), STATUS_OK);

    std::map<std::string, uint64_t> ends;
    for (const KeptRecord &record : kept_.records) { ends[record.topic] = record.offset + 1; }
    ASSERT_EQ(resume_->topic_count, ends.size());
    for (uint32_t i = 0; i < resume_->topic_count; i++) {
        EXPECT_EQ(resume_->topics[i].next_offset, ends[resume_->topics[i].name]);
    }
}

TEST_P(KeptLogs, KeepTheirLanes)
{
    ASSERT_EQ(Recover(), STATUS_OK);

    struct lane_resume_set set = {};
    const struct lane_recovery_report report = {
        [](void *, uint32_t, enum lane_finding finding, uint64_t, uint64_t, uint64_t) {
            ADD_FAILURE() << "finding " << finding;
        },
        nullptr};
    ASSERT_EQ(lane_recovery_run(sim_disk_files(disk_.get()), 0, &report, resume_.get(), &set),
              STATUS_OK);
    std::map<std::string, const struct lane_state *> found;
    for (size_t i = 0; i < set.count; i++) {
        std::string producer;
        for (const uint8_t byte : set.lanes[i].state.key.producer.bytes) {
            char hex[3];
            std::snprintf(hex, sizeof hex, "%02x", byte);
            producer += hex;
        }
        found[producer] = &set.lanes[i].state;
    }
    EXPECT_EQ(found.size(), kept_.lanes.size());
    for (const KeptLane &lane : kept_.lanes) {
        ASSERT_EQ(found.count(lane.producer), 1U) << lane.producer;
        EXPECT_EQ(found[lane.producer]->last_sequence, lane.last_sequence);
        EXPECT_EQ(found[lane.producer]->confirmed, lane.confirmed);
        EXPECT_EQ(found[lane.producer]->hash, lane.hash);
    }
    lane_resume_set_deinit(&set);
}

INSTANTIATE_TEST_SUITE_P(Version1, KeptLogs, testing::Values("log-v1/worker", "log-v1/chunks"));

} // namespace
} // namespace penstock_test
