// What the log says of lanes, read from the durable bytes alone: as an auditor does, and recovery.
#include "tests/dataplane/native_producer.h"
#include "wire/lane_format.h"

namespace {

struct FoundItem {
    struct lane_item item;
    std::vector<struct lane_run> runs;
};

class LanesInLog : public NativeTest {
  protected:
    // In the order in which they were written.
    std::vector<FoundItem> Items(uint8_t producer, uint32_t partition = 0)
    {
        std::vector<FoundItem> found;
        for (uint64_t number = 1; number < 1000; number++) {
            char name[LOG_NAME_BYTES];
            log_segment_name(partition, number, name);
            uint64_t size = 0;
            const uint8_t *at = sim_disk_bytes(native_rig_disk(world_->Rig()), name, &size);
            if (at != nullptr) { CollectItems(bytes_of(at, size), producer, &found); }
        }
        return found;
    }

    static void CollectItems(struct bytes file, uint8_t producer, std::vector<FoundItem> *out)
    {
        size_t position = LOG_BLOCK_BYTES;
        struct commit_header header;
        while (position < file.len_bytes) {
            const struct bytes rest = bytes_slice(file, position, file.len_bytes);
            if (commit_header_decode(rest, &header) != STATUS_OK) { return; }
            for (uint32_t i = 0; i < header.entry_count; i++) {
                const struct entry entry = entry_decode(rest, i);
                struct bytes lanes;
                if (entry.type != ENTRY_LANES) { continue; }
                ASSERT_EQ(entry_bytes(rest, &entry, &lanes), STATUS_OK);
                CollectOf(lanes, producer, out);
            }
            position += header.length_bytes;
        }
    }

    static void CollectOf(struct bytes lanes, uint8_t producer, std::vector<FoundItem> *out)
    {
        FoundItem found;
        while (lane_item_decode(&lanes, &found.item) == STATUS_OK) {
            if (found.item.state.key.producer.bytes[0] != producer) { continue; }
            found.runs.clear();
            for (uint32_t i = 0; i < found.item.run_count; i++) {
                found.runs.push_back(lane_item_run(&found.item, i));
            }
            out->push_back(found);
        }
    }

    // A lane from its first record on.
    struct Walked {
        uint64_t sequence = 0;
        uint64_t hash = 0;
        uint64_t unstored = 0; // of the item in work
    };

    static uint32_t DigestOf(const Record &record)
    {
        const Bytes raw = RecordBytes(record.value, record.topic);
        const size_t head_bytes = record.topic.empty() ? 1 : 5;
        return crc32c(bytes_of(raw.data() + head_bytes, raw.size() - head_bytes));
    }

    // What is stored is where the run says (`stored` by topic), and goes into the hash like the
    // rest.
    static void WalkRun(const struct lane_run &run, const std::vector<Record> &records,
                        const Values *stored, Walked *walked)
    {
        for (uint32_t i = 0; i < run.count; i++) {
            const Record &record = records.at(walked->sequence++);
            const uint64_t digest = run.fate == NATIVE_TOO_LARGE ? 0 : DigestOf(record);
            walked->hash = walked->hash * NATIVE_HASH_FACTOR + digest + 1;
            walked->unstored *= NATIVE_HASH_FACTOR;
            if (run.fate != NATIVE_STORED) {
                walked->unstored += digest + 1;
                continue;
            }
            ASSERT_LT(run.base_offset + i, stored[run.topic].size());
            EXPECT_EQ(stored[run.topic][run.base_offset + i], record.value);
        }
    }

    static Fates FatesOf(const FoundItem &found)
    {
        Fates out;
        for (const struct lane_run &run : found.runs) { out.emplace_back(run.fate, run.count); }
        return out;
    }
};

TEST_F(LanesInLog, SayWhereEachRecordIsAndHashAllOfThem)
{
    options_.max_record_bytes = 1024;
    Start();
    Producer producer = Opened(1);
    Producer other = Opened(2);
    const std::string too_large(1100, 'L');
    const std::vector<Record> records = {
        {"one"}, {"healthz 2"}, {"svc=pay 3"}, {too_large}, {"five", "nobody-has-it"},
        {"six"}, {"healthz 7"}, {"eight"},
    };
    for (size_t i = 0; i < records.size(); i++) {
        other.SendData(2 * i + 1, Values{"another's", "svc=pay, another's"});
        producer.SendData(i + 1, {records[i]});
        if (i % 3 == 2) { producer.WaitForDurable(i + 1); }
    }
    producer.WaitForDurable(records.size());
    Settle();

    const Values stored[] = {Stored("events"), Stored("payments")};
    Walked walked;
    for (const FoundItem &found : Items(1)) {
        if (found.item.flags != 0) { continue; } // a checkpoint has no places
        ASSERT_EQ(found.item.first_sequence, walked.sequence + 1);
        walked.unstored = 0;
        for (const struct lane_run &run : found.runs) { WalkRun(run, records, stored, &walked); }
        EXPECT_EQ(found.item.state.hash, walked.hash) << "up to " << walked.sequence;
        EXPECT_EQ(found.item.unstored, walked.unstored) << "up to " << walked.sequence;
    }
    EXPECT_EQ(walked.sequence, records.size());
}

TEST_F(LanesInLog, AMoveIsThereWithAllItsFatesBeforeTheOldSegmentsMayGo)
{
    Start(2);
    std::vector<uint8_t> moved;
    for (uint8_t id = 1; id <= 6; id++) {
        Producer producer(world_.get(), {0xc0000201, static_cast<uint16_t>(40000 + id * 100)}, id);
        while (producer.Open() == NATIVE_REJECT) { producer.address_.port++; }
        producer.SendData(1, Values{"one", "healthz", "three"});
        producer.WaitForDurable(3);
        if (producer.accept_.partition == 1) { moved.push_back(id); }
    }
    ASSERT_GT(moved.size(), 0U);

    native_rig_crash(world_->Rig());
    native_rig_start(world_->Rig(), 1);
    workers_ = 1;
    EXPECT_GT(native_rig_lane_floor(world_->Rig(), 1), 0U) << "nothing is written down yet";
    Settle();
    world_->Run(50 * kMs);
    Settle();
    for (const uint8_t id : moved) {
        const std::vector<FoundItem> items = Items(id, 0);
        ASSERT_FALSE(items.empty());
        EXPECT_EQ(items[0].item.flags, uint32_t{LANE_IMPORTED}) << int(id);
        EXPECT_EQ(FatesOf(items[0]),
                  (Fates{{NATIVE_STORED, 1}, {NATIVE_DROPPED, 1}, {NATIVE_STORED, 1}}));
    }

    native_rig_crash(world_->Rig());
    native_rig_start(world_->Rig(), 1);
    EXPECT_EQ(native_rig_lane_floor(world_->Rig(), 1), 0U) << "all of it is written down";
}

} // namespace
