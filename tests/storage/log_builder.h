// log_builder.h - writes well-formed logs with the wire encoders, so that tests can break them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/crc32c.h"
#include "base/endian.h"
#include "storage/files.h"
#include "storage/index_builder.h"
#include "storage/log_resume.h"
#include "tests/sim/sim_disk.h"
#include "wire/log_format.h"
#include "wire/record_batch.h"
#include "wire/record_codec.h"

namespace penstock_test {

inline struct log_id IdOf(uint8_t fill)
{
    struct log_id id;
    std::memset(id.bytes, fill, sizeof id.bytes);
    return id;
}

struct SimDiskDeleter {
    void operator()(struct sim_disk *disk) const { sim_disk_destroy(disk); }
};
using SimDisk = std::unique_ptr<struct sim_disk, SimDiskDeleter>;

inline SimDisk MakeDisk(uint64_t seed = 1)
{
    struct sim_disk_options options = {};
    options.seed = seed;
    return SimDisk(sim_disk_create(&options));
}

inline SimDisk AfterCrash(const SimDisk &disk, uint64_t seed = 1)
{
    return SimDisk(sim_disk_after_crash(disk.get(), seed));
}

inline std::string SegmentName(uint64_t number, uint32_t partition = 0)
{
    char name[LOG_NAME_BYTES];
    log_segment_name(partition, number, name);
    return name;
}

// The durable bytes of a segment; the test may spoil them.
inline uint8_t *SegmentBytes(const SimDisk &disk, uint64_t number, uint64_t *size = nullptr)
{
    uint64_t size_bytes = 0;
    uint8_t *const at = sim_disk_bytes(disk.get(), SegmentName(number).c_str(), &size_bytes);
    EXPECT_NE(at, nullptr) << "no segment " << number;
    if (size != nullptr) { *size = size_bytes; }
    return at;
}

struct BuiltCommit {
    uint64_t segment;
    uint64_t position;
    uint32_t length_bytes;
    uint64_t number;
};

struct BuiltBatch {
    int32_t topic;
    uint64_t base_offset;
    uint32_t record_count;
    uint64_t segment;
    uint64_t position;
    uint64_t commit_number;
    std::string bytes;
};

// One entry of records to append: how many records, and how many bytes stand for them.
struct Batch {
    int32_t topic;
    uint32_t record_count;
    size_t bytes = 100;
    int64_t max_timestamp_ms = 1000;
    std::vector<std::string> values = {}; // of real batches: what the records hold
};

class LogBuilder {
  public:
    explicit LogBuilder(SimDisk &disk, uint64_t capacity_bytes = 64 * 1024)
        : disk_(disk), capacity_(capacity_bytes)
    {
        AddTopic("events");
        AddTopic("payments");
    }

    void AddTopic(const std::string &name) { topics_.push_back({name, 0, 0}); }

    // Continues the last commit; the next commit declares all topics.
    LogBuilder &OpenSegment()
    {
        struct segment_header header = {};
        header.cluster_id = IdOf(0xC1);
        header.log_id = log_id_;
        header.nonce = NonceOf(number_ + 1);
        header.leader_epoch = leader_epoch_;
        header.number = number_ + 1;
        header.capacity_bytes = capacity_;
        header.incarnation = incarnation_;
        header.first_commit_number = next_commit_;
        header.predecessor_nonce = previous_nonce_;
        header.predecessor_commit_number = next_commit_ - 1;
        header.predecessor_commit_crc32c = previous_crc_;
        header.created_wall_ms = 500;
        header.tail_records_max = tail_records_max_;
        header_ = header;
        number_++;
        EXPECT_EQ(CreateFile(number_), STATUS_OK);
        segment_header_encode(&header, SegmentBytes(disk_, number_));
        position_ = LOG_BLOCK_BYTES;
        index_.clear();
        fresh_ = true;
        previous_nonce_ = header.nonce;
        for (Topic &topic : topics_) { topic.base = topic.next; }
        return *this;
    }

    // A file full of zeros, as the supply prepares it.
    LogBuilder &Spare()
    {
        EXPECT_EQ(CreateFile(++number_), STATUS_OK);
        return *this;
    }

    BuiltCommit Commit(const std::vector<Batch> &batches, int64_t wall_ms = 1000)
    {
        std::vector<Entry> entries;
        if (!lanes_.empty()) { entries.push_back({ENTRY_LANES, LOG_NO_TOPIC, 0, 0, 0, lanes_}); }
        lanes_.clear();
        if (fresh_) { entries.push_back({ENTRY_TOPICS, LOG_NO_TOPIC, 0, 0, 0, Declarations()}); }
        for (const Batch &batch : batches) {
            Topic &topic = topics_[static_cast<size_t>(batch.topic)];
            entries.push_back({ENTRY_RECORDS, batch.topic, topic.next, batch.record_count,
                               batch.max_timestamp_ms, Payload(batch)});
            topic.next += batch.record_count;
        }
        entries.push_back({ENTRY_TOTALS, LOG_NO_TOPIC, 0, 0, 0, Totals()});
        return Write(entries, batches.empty() ? COMMIT_FLAG_WATERMARK : 0, wall_ms);
    }

    // The next commit holds these items of lanes; with the first, lanes count from there on.
    LogBuilder &Lanes(const std::vector<std::string> &items)
    {
        for (const std::string &item : items) { lanes_ += item; }
        if (lane_checkpoint_ == 0) { lane_checkpoint_ = next_commit_; }
        return *this;
    }
    // From the next commit on, lanes count from that one.
    LogBuilder &LaneCheckpoint(uint64_t number)
    {
        lane_checkpoint_ = number;
        return *this;
    }

    BuiltCommit Footer()
    {
        std::string index((index_.size() + 1) * INDEX_BUILDER_LINE_BYTES, '\0');
        struct index_builder builder;
        EXPECT_EQ(
            index_builder_init(&builder, reinterpret_cast<uint8_t *>(index.data()), index.size()),
            STATUS_OK);
        for (const struct index_entry &entry : index_) { index_builder_add(&builder, &entry); }
        index_builder_close(&builder);
        index.resize(builder.index_bytes);
        const struct bytes anchors = index_builder_anchors(&builder);
        const std::string anchor_bytes(reinterpret_cast<const char *>(anchors.at),
                                       anchors.len_bytes);
        index_builder_deinit(&builder);
        return Write({{ENTRY_INDEX, LOG_NO_TOPIC, 0, 0, 0, index},
                      {ENTRY_ANCHORS, LOG_NO_TOPIC, 0, 0, 0, anchor_bytes},
                      {ENTRY_TOPICS, LOG_NO_TOPIC, 0, 0, 0, Declarations()},
                      {ENTRY_TOTALS, LOG_NO_TOPIC, 0, 0, 0, Totals()}},
                     COMMIT_FLAG_FOOTER, 1000);
    }

    void Trailer(const BuiltCommit &footer)
    {
        struct segment_trailer trailer = {};
        trailer.nonce = header_.nonce;
        trailer.footer_position = footer.position;
        trailer.footer_number = footer.number;
        trailer.footer_length_bytes = footer.length_bytes;
        segment_trailer_encode(&trailer,
                               SegmentBytes(disk_, number_) + capacity_ - LOG_BLOCK_BYTES);
    }

    BuiltCommit Seal()
    {
        const BuiltCommit footer = Footer();
        Trailer(footer);
        return footer;
    }

    // What later commits say is durable: their own number less this. 1: nothing in flight.
    LogBuilder &InFlight(uint64_t depth)
    {
        in_flight_ = depth;
        return *this;
    }
    LogBuilder &TailRecordsMax(uint64_t records)
    {
        tail_records_max_ = records;
        return *this;
    }
    // Payloads are whole RecordBatches, not just bytes (whose length is then not `Batch::bytes`).
    LogBuilder &RealBatches()
    {
        real_batches_ = true;
        return *this;
    }
    LogBuilder &LeaderEpoch(uint32_t epoch)
    {
        leader_epoch_ = epoch;
        return *this;
    }
    // Of the rules that judged the commits to come.
    LogBuilder &RulesEpoch(uint64_t epoch)
    {
        rules_epoch_ = epoch;
        return *this;
    }
    LogBuilder &Incarnation(uint64_t incarnation)
    {
        incarnation_ = incarnation;
        return *this;
    }
    // The next segment goes on behind an earlier commit: those after it are abandoned.
    LogBuilder &ContinueBehind(const BuiltCommit &commit, const std::vector<uint64_t> &offsets)
    {
        const uint8_t *const at = SegmentBytes(disk_, commit.segment) + commit.position;
        previous_crc_ = load_le32(at + 12);
        previous_nonce_ = NonceOf(commit.segment);
        next_commit_ = commit.number + 1;
        for (size_t i = 0; i < offsets.size(); i++) { topics_[i].next = offsets[i]; }
        for (size_t i = batches_.size(); i-- > 0;) {
            if (batches_[i].commit_number > commit.number) {
                batches_.erase(batches_.begin() + static_cast<ptrdiff_t>(i));
            }
        }
        return *this;
    }

    // The next segment goes on where recovery says.
    LogBuilder &GoOn(const struct log_resume &resume)
    {
        previous_crc_ = resume.predecessor_commit_crc32c;
        previous_nonce_ = resume.predecessor_nonce;
        next_commit_ = resume.next_commit_number;
        for (size_t i = 0; i < topics_.size(); i++) {
            topics_[i].next = resume.topics[i].next_offset;
        }
        return *this;
    }

    static struct log_id NonceOf(uint64_t number)
    {
        return IdOf(static_cast<uint8_t>(0x40 + number));
    }
    uint64_t NextOffset(int32_t topic) const { return topics_[static_cast<size_t>(topic)].next; }
    uint64_t NextCommit() const { return next_commit_; }
    uint32_t PreviousCrc() const { return previous_crc_; }
    uint64_t Segment() const { return number_; }
    uint64_t Position() const { return position_; }
    uint64_t Capacity() const { return capacity_; }
    const std::vector<BuiltBatch> &Batches() const { return batches_; }
    const std::vector<struct index_entry> &Index() const { return index_; }

  private:
    struct Topic {
        std::string name;
        uint64_t base;
        uint64_t next;
    };
    struct Entry {
        uint16_t type;
        int32_t topic;
        uint64_t base_offset;
        uint32_t record_count;
        int64_t max_timestamp_ms;
        std::string bytes;
    };

    enum status CreateFile(uint64_t number)
    {
        int file;
        const struct files files = sim_disk_files(disk_.get());
        const enum status status =
            files_create(files, SegmentName(number).c_str(), capacity_, &file);
        if (status == STATUS_OK) { files_close(files, file); }
        return status;
    }

    std::string Declarations() const
    {
        std::string out(topics_.size() * 320, '\0');
        struct sink sink = sink_into(out.data(), out.size());
        for (size_t i = 0; i < topics_.size(); i++) {
            struct topic_declaration declaration = {};
            declaration.topic = static_cast<int32_t>(i);
            declaration.topic_id =
                topic_id_of(IdOf(0xC1), bytes_of_text(topics_[i].name.c_str()), 0);
            declaration.base_offset = topics_[i].base;
            declaration.next_offset = topics_[i].next;
            declaration.name = bytes_of_text(topics_[i].name.c_str());
            topic_declaration_encode(&declaration, &sink);
        }
        out.resize(sink_used_bytes(&sink));
        return out;
    }

    std::string Totals() const
    {
        std::string out(16, '\0');
        store_le64(out.data(), next_commit_);
        store_le64(out.data() + 8, 77);
        return out;
    }

    // Real batches are compressed from now on.
  public:
    LogBuilder &Compress(enum record_codec codec)
    {
        codec_ = codec;
        return *this;
    }

    // Packed records are no frame any more; the batch's checksum holds all the same.
    LogBuilder &Spoil(bool spoil)
    {
        spoil_ = spoil;
        return *this;
    }

  private:
    std::string Packed(const std::string &plain) const
    {
        struct record_packer *packer = nullptr;
        const struct bytes records = bytes_slice(bytes_of(plain.data(), plain.size()),
                                                 RECORD_BATCH_HEADER_BYTES, plain.size());
        std::string out(plain.size() * 2 + 1024, '\0');
        out.replace(0, RECORD_BATCH_HEADER_BYTES, plain, 0, RECORD_BATCH_HEADER_BYTES);
        auto *const begin = reinterpret_cast<uint8_t *>(out.data());
        EXPECT_EQ(record_packer_create(codec_, plain.size(), &packer), STATUS_OK);
        const size_t packed_bytes =
            record_packer_pack(packer, records, begin + RECORD_BATCH_HEADER_BYTES,
                               out.size() - RECORD_BATCH_HEADER_BYTES);
        EXPECT_GT(packed_bytes, 0U);
        record_packer_destroy(packer);
        out.resize(RECORD_BATCH_HEADER_BYTES + packed_bytes);
        if (spoil_) { out[RECORD_BATCH_HEADER_BYTES] ^= 0x20; }
        record_batch_pack_patch(begin, codec_, packed_bytes);
        record_batch_crc_patch(begin, crc32c(bytes_of(begin + RECORD_BATCH_CRC_BEGIN,
                                                      out.size() - RECORD_BATCH_CRC_BEGIN)));
        return out;
    }

    std::string RealBatch(const Batch &batch, uint64_t base_offset) const
    {
        size_t values_bytes = 0;
        for (const std::string &value : batch.values) { values_bytes += value.size(); }
        std::string out(RECORD_BATCH_HEADER_BYTES + batch.record_count * 64 + values_bytes, '\0');
        auto *const begin = reinterpret_cast<uint8_t *>(out.data());
        uint8_t *at = begin + RECORD_BATCH_HEADER_BYTES;
        for (uint32_t i = 0; i < batch.record_count; i++) {
            struct record_batch_parts parts = {};
            parts.offset_delta = i;
            parts.key = bytes_null();
            parts.value = batch.values.empty()
                              ? bytes_of_text("a value")
                              : bytes_of(batch.values[i].data(), batch.values[i].size());
            parts.body_bytes = record_batch_body_bytes(
                0, i, record_batch_payload_bytes(-1, parts.value.len_bytes, 0, 0));
            at = record_batch_record_encode(&parts, at);
        }
        out.resize(static_cast<size_t>(at - begin));
        HeaderInFront(batch, base_offset, &out);
        return out;
    }

    // Over the first bytes of what is to be one batch.
    void HeaderInFront(const Batch &batch, uint64_t base_offset, std::string *out) const
    {
        auto *const begin = reinterpret_cast<uint8_t *>(out->data());
        struct record_batch_header header = {};
        header.base_offset = static_cast<int64_t>(base_offset);
        header.length_bytes = static_cast<int32_t>(out->size());
        header.leader_epoch = static_cast<int32_t>(leader_epoch_);
        header.last_offset_delta = static_cast<int32_t>(batch.record_count) - 1;
        header.base_timestamp_ms = batch.max_timestamp_ms;
        header.max_timestamp_ms = batch.max_timestamp_ms;
        header.producer_id = -1;
        header.producer_epoch = -1;
        header.base_sequence = -1;
        header.record_count = static_cast<int32_t>(batch.record_count);
        record_batch_header_encode(&header, begin);
        record_batch_crc_patch(begin, crc32c(bytes_of(begin + RECORD_BATCH_CRC_BEGIN,
                                                      out->size() - RECORD_BATCH_CRC_BEGIN)));
    }

    std::string Payload(const Batch &batch)
    {
        if (real_batches_) {
            const std::string plain =
                RealBatch(batch, topics_[static_cast<size_t>(batch.topic)].next);
            return codec_ == RECORD_CODEC_NONE ? plain : Packed(plain);
        }
        std::string out;
        while (out.size() < batch.bytes) {
            out += "batch " + std::to_string(batches_.size()) + " of " +
                   topics_[static_cast<size_t>(batch.topic)].name + ";";
        }
        out.resize(std::max<size_t>(batch.bytes, RECORD_BATCH_HEADER_BYTES));
        HeaderInFront(batch, topics_[static_cast<size_t>(batch.topic)].next, &out);
        return out;
    }

    BuiltCommit Write(const std::vector<Entry> &entries, uint32_t flags, int64_t wall_ms)
    {
        size_t end = commit_entries_position(static_cast<uint32_t>(entries.size()));
        for (const Entry &entry : entries) { end = (end + 7) / 8 * 8 + entry.bytes.size(); }
        const size_t length = (end + LOG_BLOCK_BYTES - 1) / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
        EXPECT_LE(position_ + length, capacity_ - LOG_BLOCK_BYTES)
            << "the builder's segment is full";
        uint8_t *const commit = SegmentBytes(disk_, number_) + position_;
        std::memset(commit, 0, length);

        size_t at = commit_entries_position(static_cast<uint32_t>(entries.size()));
        for (uint32_t i = 0; i < entries.size(); i++) {
            const Entry &from = entries[i];
            at = (at + 7) / 8 * 8;
            struct entry entry = {};
            entry.type = from.type;
            entry.topic = from.topic;
            entry.base_offset = from.base_offset;
            entry.record_count = from.record_count;
            entry.max_timestamp_ms = from.max_timestamp_ms;
            entry.position = static_cast<uint32_t>(at);
            entry.length_bytes = static_cast<uint32_t>(from.bytes.size());
            entry.crc32c = crc32c(bytes_of(from.bytes.data(), from.bytes.size()));
            entry_encode(&entry, commit, i);
            std::memcpy(commit + at, from.bytes.data(), from.bytes.size());
            if (from.type == ENTRY_RECORDS) { Remember(from, entry); }
            at += from.bytes.size();
        }

        struct commit_header header = {};
        header.log_id = log_id_;
        header.nonce = header_.nonce;
        header.incarnation = incarnation_;
        header.number = next_commit_;
        header.previous_crc32c = previous_crc_;
        header.entry_count = static_cast<uint32_t>(entries.size());
        header.length_bytes = static_cast<uint32_t>(length);
        header.flags = flags;
        header.durable_number = next_commit_ > in_flight_ ? next_commit_ - in_flight_ : 0;
        header.wall_ms = wall_ms;
        header.rules_epoch = rules_epoch_;
        header.position = position_;
        header.lane_checkpoint = lane_checkpoint_;
        previous_crc_ = commit_header_encode(&header, commit);

        const BuiltCommit built = {number_, position_, header.length_bytes, next_commit_};
        position_ += length;
        next_commit_++;
        fresh_ = false;
        return built;
    }

    void Remember(const Entry &from, const struct entry &entry)
    {
        struct index_entry line = {};
        line.topic = entry.topic;
        line.record_count = entry.record_count;
        line.base_offset = entry.base_offset;
        line.max_timestamp_ms = entry.max_timestamp_ms;
        line.position = position_ + entry.position;
        line.length_bytes = entry.length_bytes;
        line.check = index_check(entry.crc32c);
        index_.push_back(line);
        batches_.push_back({entry.topic, entry.base_offset, entry.record_count, number_,
                            line.position, next_commit_, from.bytes});
    }

    SimDisk &disk_;
    uint64_t capacity_;
    struct log_id log_id_ = IdOf(0x10);
    struct segment_header header_ = {};
    std::vector<Topic> topics_;
    std::vector<struct index_entry> index_;
    std::vector<BuiltBatch> batches_;
    struct log_id previous_nonce_ = {};
    uint32_t previous_crc_ = 0;
    uint64_t next_commit_ = 1;
    std::string lanes_;
    uint64_t lane_checkpoint_ = 0;
    uint64_t number_ = 0;
    uint64_t position_ = 0;
    uint64_t in_flight_ = 1;
    uint64_t incarnation_ = 1;
    uint64_t rules_epoch_ = 0;
    uint64_t tail_records_max_ = 1000;
    uint32_t leader_epoch_ = 0;
    bool fresh_ = false;
    bool real_batches_ = false;
    enum record_codec codec_ = RECORD_CODEC_NONE;
    bool spoil_ = false;
};

} // namespace penstock_test
