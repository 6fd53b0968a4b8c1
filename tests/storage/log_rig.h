/* log_rig.h - a core_log on a simulated disk, and an independent look at what it left there.
 *
 * LogRig composes core_log, segment supply and sim_disk with its own time. LogWalk reads a disk's
 * segments with the decoders of wire/ alone, follows the chain back from the newest segment, and
 * says what it found: of storage/'s own code only a footer's decoder is asked. */
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/mapped_file.h"
#include "base/note.h"
#include "storage/core_log.h"
#include "storage/index_builder.h"
#include "storage/segment_footer.h"
#include "storage/uring_disk.h"
#include "tests/sim/sim_disk.h"
#include "tests/storage/temporary_directory.h"
#include "wire/lane_format.h"
#include "wire/log_format.h"
#include "wire/record_batch.h"

/* One RECORDS entry: as written by a test, or as found on a disk. */
struct FoundEntry {
    int32_t topic;
    uint64_t base_offset;
    uint32_t record_count;
    uint32_t crc32c;
    uint64_t commit_number;
    uint64_t position; /* in the segment's file */
    bool operator==(const FoundEntry &other) const
    {
        return topic == other.topic && base_offset == other.base_offset &&
               record_count == other.record_count && crc32c == other.crc32c &&
               commit_number == other.commit_number;
    }
};

struct FoundLane {
    struct lane_item item; /* its `runs` are not kept */
    std::vector<struct lane_run> runs;
};

struct FoundCommit {
    struct commit_header header;
    uint64_t segment_number;
    std::vector<FoundEntry> records;
    std::vector<struct topic_declaration> topics; /* names are not kept */
    std::vector<uint64_t> totals;
    std::vector<struct index_entry> index;
    std::vector<FoundLane> lanes;
    std::vector<uint16_t> types;
};

struct FoundSegment {
    struct segment_header header;
    std::vector<FoundCommit> commits; /* valid ones from the front, whether on the chain or not */
    enum status trailer_status;
    struct segment_trailer trailer;
};

class LogWalk {
  public:
    LogWalk(struct sim_disk *disk, uint32_t partition) { Read(disk, partition); }
    /* The same over any files: whole segments are read. */
    LogWalk(struct files files, uint32_t partition)
    {
        for (const uint64_t number : SegmentNumbers(files, partition)) {
            char name[LOG_NAME_BYTES];
            int file;
            uint64_t size_bytes;
            log_segment_name(partition, number, name);
            if (files_open(files, name, FILES_READ, &file, &size_bytes) != STATUS_OK) { continue; }
            auto *const bytes = static_cast<uint8_t *>(aligned_alloc(4096, size_bytes));
            EXPECT_EQ(files_read(files, file, 0, bytes, size_bytes), STATUS_OK);
            files_close(files, file);
            ReadSegment(number, bytes_of(bytes, size_bytes));
            free(bytes);
        }
        FollowChain();
    }

    std::map<uint64_t, FoundSegment> segments; /* by number */
    std::vector<FoundCommit> chain;            /* from the first commit to the newest */

    std::vector<FoundEntry> Records(uint64_t up_to_number = UINT64_MAX) const
    {
        std::vector<FoundEntry> out;
        for (const auto &commit : chain) {
            if (commit.header.number > up_to_number) { continue; }
            out.insert(out.end(), commit.records.begin(), commit.records.end());
        }
        return out;
    }
    /* Topics stand in a segment's first commit, at the offsets that the chain has reached there,
     * and in its footer; records go on where the topic ended; numbers are dense. */
    void ExpectChainHolds() const
    {
        std::map<int32_t, uint64_t> next;
        for (size_t i = 0; i < chain.size(); i++) {
            const FoundCommit &commit = chain[i];
            EXPECT_EQ(commit.header.number, i + 1);
            if (i > 0) { EXPECT_EQ(commit.header.previous_crc32c, chain[i - 1].header.crc32c); }
            if (i > 0) { EXPECT_GE(commit.header.wall_ms, chain[i - 1].header.wall_ms); }
            EXPECT_LT(commit.header.durable_number, commit.header.number);
            const bool first = i == 0 || chain[i - 1].segment_number != commit.segment_number;
            const bool footer = commit.header.flags == COMMIT_FLAG_FOOTER;
            EXPECT_EQ(!commit.topics.empty(), first || footer) << "commit " << i + 1;
            EXPECT_EQ(commit.totals.size(), size_t{STATS_COUNTER_COUNT});
            for (const auto &topic : commit.topics) {
                EXPECT_EQ(topic.next_offset, next[topic.topic]) << "commit " << i + 1;
                if (!footer) { EXPECT_EQ(topic.base_offset, topic.next_offset); }
            }
            for (const auto &entry : commit.records) {
                EXPECT_EQ(entry.base_offset, next[entry.topic]);
                next[entry.topic] = entry.base_offset + entry.record_count;
            }
        }
    }

    uint64_t LastNumber() const { return chain.empty() ? 0 : chain.back().header.number; }

  private:
    static std::vector<uint64_t> SegmentNumbers(struct files files, uint32_t partition)
    {
        std::vector<uint64_t> numbers;
        const auto visit = [](void *context, uint64_t number, uint64_t) {
            static_cast<std::vector<uint64_t> *>(context)->push_back(number);
        };
        if (files_list_segments(files, partition, visit, &numbers) != STATUS_OK) { return {}; }
        return numbers;
    }

    void Read(struct sim_disk *disk, uint32_t partition)
    {
        for (const uint64_t number : SegmentNumbers(sim_disk_files(disk), partition)) {
            char name[LOG_NAME_BYTES];
            uint64_t size_bytes;
            log_segment_name(partition, number, name);
            const uint8_t *const at = sim_disk_bytes(disk, name, &size_bytes);
            ReadSegment(number, bytes_of(at, size_bytes));
        }
        FollowChain();
    }

    void ReadSegment(uint64_t number, struct bytes file)
    {
        FoundSegment segment = {};
        if (segment_header_decode(file, &segment.header) != STATUS_OK) { return; }
        EXPECT_EQ(segment.header.number, number);
        EXPECT_EQ(segment.header.capacity_bytes, file.len_bytes);
        segment.trailer_status = segment_trailer_decode(
            bytes_slice(file, file.len_bytes - LOG_BLOCK_BYTES, file.len_bytes), &segment.trailer);

        uint64_t position = LOG_BLOCK_BYTES;
        while (position < file.len_bytes) {
            FoundCommit commit = {};
            commit.segment_number = number;
            const struct bytes rest = bytes_slice(file, position, file.len_bytes);
            if (!ReadCommit(rest, segment.header, position, &commit)) { break; }
            if (!segment.commits.empty()) {
                const auto &previous = segment.commits.back().header;
                if (commit.header.number != previous.number + 1) { break; }
                if (commit.header.previous_crc32c != previous.crc32c) { break; }
            }
            position += commit.header.length_bytes;
            segment.commits.push_back(commit);
        }
        segments[number] = segment;
    }

    static bool ReadCommit(struct bytes rest, const struct segment_header &segment,
                           uint64_t position, FoundCommit *out)
    {
        if (commit_header_decode(rest, &out->header) != STATUS_OK) { return false; }
        if (out->header.length_bytes > rest.len_bytes) { return false; }
        if (!log_id_equal(out->header.nonce, segment.nonce)) { return false; }
        if (out->header.position != position) { return false; }
        const struct bytes commit = bytes_slice(rest, 0, out->header.length_bytes);
        for (uint32_t i = 0; i < out->header.entry_count; i++) {
            const struct entry entry = entry_decode(commit, i);
            struct bytes bytes;
            if (entry_bytes(commit, &entry, &bytes) != STATUS_OK) { return false; }
            out->types.push_back(entry.type);
            TakeEntry(entry, bytes, position, out);
        }
        if (out->header.flags & COMMIT_FLAG_FOOTER) { out->index = IndexOf(commit, out->header); }
        return true;
    }

    static void TakeEntry(const struct entry &entry, struct bytes bytes, uint64_t position,
                          FoundCommit *out)
    {
        if (entry.type == ENTRY_RECORDS) {
            out->records.push_back({entry.topic, entry.base_offset, entry.record_count,
                                    entry.crc32c, out->header.number, position + entry.position});
        } else if (entry.type == ENTRY_TOTALS) {
            for (size_t at = 0; at + 8 <= bytes.len_bytes; at += 8) {
                out->totals.push_back(load_le64(bytes.at + at));
            }
        } else if (entry.type == ENTRY_TOPICS) {
            struct topic_declaration topic;
            while (topic_declaration_decode(&bytes, &topic) == STATUS_OK) {
                topic.name = bytes_null();
                out->topics.push_back(topic);
            }
        } else if (entry.type == ENTRY_LANES) {
            struct lane_item item;
            enum status status;
            while ((status = lane_item_decode(&bytes, &item)) == STATUS_OK) {
                FoundLane lane = {item, {}};
                for (uint32_t i = 0; i < item.run_count; i++) {
                    lane.runs.push_back(lane_item_run(&item, i));
                }
                lane.item.runs = bytes_null();
                out->lanes.push_back(lane);
            }
            EXPECT_EQ(status, STATUS_NOT_FOUND);
        }
    }

    /* In the order of positions. */
    static std::vector<struct index_entry> IndexOf(const struct bytes &commit,
                                                   const struct commit_header &header)
    {
        std::vector<struct index_entry> index;
        struct segment_footer footer;
        EXPECT_EQ(segment_footer_open(commit, &header, &footer), STATUS_OK);
        struct segment_footer_walk walk = segment_footer_walk_begin(&footer);
        struct index_entry line;
        enum status status;
        while ((status = segment_footer_walk_next(&walk, &line)) == STATUS_OK) {
            index.push_back(line);
        }
        EXPECT_EQ(status, STATUS_NOT_FOUND);
        std::sort(index.begin(), index.end(),
                  [](const struct index_entry &left, const struct index_entry &right) {
                      return left.position < right.position;
                  });
        return index;
    }

    const FoundSegment *ByNonce(const struct log_id &nonce) const
    {
        for (const auto &[number, segment] : segments) {
            if (log_id_equal(segment.header.nonce, nonce)) { return &segment; }
        }
        return nullptr;
    }

    /* Back from the newest segment that holds a commit. */
    void FollowChain()
    {
        const FoundSegment *segment = nullptr;
        for (const auto &[number, candidate] : segments) {
            if (!candidate.commits.empty() &&
                candidate.commits[0].header.number == candidate.header.first_commit_number) {
                segment = &candidate;
            }
        }
        uint64_t last = UINT64_MAX;
        std::vector<FoundCommit> backwards;
        while (segment != nullptr) {
            for (size_t i = segment->commits.size(); i-- > 0;) {
                if (segment->commits[i].header.number <= last) {
                    backwards.push_back(segment->commits[i]);
                }
            }
            last = segment->header.predecessor_commit_number;
            segment = ByNonce(segment->header.predecessor_nonce);
        }
        chain.assign(backwards.rbegin(), backwards.rend());
    }
};

struct LogRigOptions {
    uint64_t seed = 1;
    uint32_t delay_reaps_max = 0;
    size_t disk_depth = 0;
    uint64_t segment_bytes = 256 * 1024;
    uint32_t index_bytes = 64 * INDEX_BUILDER_LINE_BYTES;
    uint32_t commit_bytes_max = 16 * 1024;
    uint32_t lanes_bytes_max = 0;
    uint32_t in_flight_max = 4;
    uint32_t at_disk_max = 0; /* 0: all in flight */
    uint64_t ring_bytes = 128 * 1024;
    uint64_t idle_watermark_ns = 0;
    uint64_t segment_age_ns = 0;
    size_t paths = 1;
    std::vector<std::string> topics = {"events", "payments"};
    bool on_real_disk = false; /* io_uring and O_DIRECT instead of sim_disk */
};

class LogRig {
  public:
    static constexpr uint32_t kPartition = 2;
    using Options = LogRigOptions;

    explicit LogRig(const Options &options = Options()) : options_(options)
    {
        const struct sim_disk_options disk_options = {options.seed, options.disk_depth,
                                                      options.delay_reaps_max, 0};
        disk = sim_disk_create(&disk_options);
        sim_disk_set_paths(disk, options.paths);
        MakeMemory();
        if (options.on_real_disk) { MakeRealDisk(); }
        MakeSupply();
        MakeLog();
    }
    ~LogRig()
    {
        for (auto &index : indexes_) { mapped_file_close(&index); }
        core_log_destroy(log);
        segment_supply_destroy(supply);
        uring_disk_destroy(uring_);
        posix_files_destroy(posix_);
        sim_disk_destroy(disk);
        free(ring);
    }
    LogRig(const LogRig &) = delete;

    /* One turn of the worker and one of the helper; time moves on a millisecond. */
    uint64_t Turn()
    {
        /* A real disk takes real time: the clock goes about as fast, and slower than a busy
         * machine. */
        now.mono_ns += options_.on_real_disk ? NS_PER_MS / 5 : NS_PER_MS;
        now.wall_ms += 1;
        if (options_.on_real_disk) { usleep(200); }
        segment_supply_work(supply, now.mono_ns);
        return core_log_turn(log, now);
    }
    void Turns(int count)
    {
        for (int i = 0; i < count; i++) { Turn(); }
    }
    /* A simulated disk is through in far less; a real one on a busy machine may take seconds. */
    int TurnsMax() const { return options_.on_real_disk ? 50000 : 2000; }
    /* Until everything is durable. */
    void Settle()
    {
        for (int i = 0; i < TurnsMax() && core_log_in_flight(log) > 0; i++) { Turn(); }
        EXPECT_EQ(core_log_in_flight(log), 0U);
    }

    enum status Begin(struct commit_draft *draft)
    {
        return core_log_begin(log, options_.topics.size(), draft);
    }
    void AddBatch(struct commit_draft *draft, int32_t topic, uint32_t records, size_t bytes)
    {
        struct sink room = core_log_entry_room(draft);
        ASSERT_GE(sink_room_bytes(&room), bytes);
        uint8_t *const at = sink_take(&room, bytes);
        for (size_t i = 0; i < bytes; i++) { at[i] = static_cast<uint8_t>(fill_++ * 7 + i); }
        if (bytes >= RECORD_BATCH_HEADER_BYTES) { PutHeader(at, bytes, topic); }
        const uint32_t crc = crc32c(bytes_of(at, bytes));
        staged_.push_back({topic, core_log_next_offset(log, topic), records, crc, 0, 0});
        core_log_entry_add(log, draft, topic, records, static_cast<uint32_t>(bytes), crc,
                           now.wall_ms);
    }
    /* What a reader wants to see of a batch, over the first of its bytes. */
    void PutHeader(uint8_t *at, size_t bytes, int32_t topic) const
    {
        struct record_batch_header header = {};
        header.base_offset = static_cast<int64_t>(core_log_next_offset(log, topic));
        header.length_bytes = static_cast<int32_t>(bytes);
        header.leader_epoch = static_cast<int32_t>(core_log_leader_epoch(log));
        record_batch_header_encode(&header, at);
        record_batch_crc_patch(
            at, crc32c(bytes_of(at + RECORD_BATCH_CRC_BEGIN, bytes - RECORD_BATCH_CRC_BEGIN)));
    }
    uint64_t Submit(struct commit_draft *draft, struct commit_facts facts = {})
    {
        facts.rules_epoch = 3;
        facts.records = draft->record_count;
        stats->records_in_flight += draft->record_count;
        stats->counters[STATS_records_in] += draft->record_count;
        const uint64_t number = core_log_submit(log, draft, &facts, now);
        for (auto &entry : staged_) {
            entry.commit_number = number;
            written.push_back(entry);
        }
        staged_.clear();
        return number;
    }
    /* A commit of one batch of topic 0 and one of topic 1; 0 when the log takes none now. */
    uint64_t Write(uint32_t records = 3, size_t bytes = 1000)
    {
        struct commit_draft draft;
        if (Begin(&draft) != STATUS_OK) { return 0; }
        AddBatch(&draft, 0, records, bytes);
        AddBatch(&draft, 1, 1, bytes / 2);
        return Submit(&draft);
    }
    /* Turns until it is taken; at most 2,000. */
    uint64_t MustWrite(uint32_t records = 3, size_t bytes = 1000)
    {
        for (int i = 0; i < TurnsMax(); i++) {
            const uint64_t number = Write(records, bytes);
            if (number != 0) { return number; }
            Turn();
        }
        ADD_FAILURE() << "the log takes nothing";
        return 0;
    }
    void Finish()
    {
        core_log_finish(log);
        for (int i = 0; i < TurnsMax() && !core_log_is_finished(log); i++) { Turn(); }
        EXPECT_TRUE(core_log_is_finished(log));
    }

    /* What is on the real disk is first copied to the simulated one, which holds nothing then. */
    LogWalk Walk()
    {
        if (options_.on_real_disk) { CopyRealDisk(); }
        return LogWalk(disk, kPartition);
    }
    std::vector<FoundEntry> WrittenUpTo(uint64_t number) const
    {
        std::vector<FoundEntry> out;
        for (const auto &entry : written) {
            if (entry.commit_number <= number) { out.push_back(entry); }
        }
        return out;
    }
    uint64_t Counter(enum stats_counter counter) const { return stats->counters[counter]; }
    std::map<enum note_code, int> Notes()
    {
        std::map<enum note_code, int> out;
        struct note note;
        while (note_take(notes.get(), &note)) { out[note.code]++; }
        return out;
    }
    /* The live index of an open or lately sealed segment, by its file. */
    struct live_index_header *Index(uint64_t number)
    {
        char name[LIVE_INDEX_NAME_BYTES];
        live_index_file_name(kPartition, number, name);
        indexes_.emplace_back();
        EXPECT_EQ(mapped_file_open((runtime_ / name).c_str(), false, 4096, &indexes_.back()),
                  STATUS_OK);
        return reinterpret_cast<struct live_index_header *>(indexes_.back().at);
    }

    const char *Runtime() const { return runtime_.path().c_str(); }

    struct sim_disk *disk = nullptr;
    struct segment_supply *supply = nullptr;
    struct core_log *log = nullptr;
    struct commit_ring_header *ring = nullptr;
    std::unique_ptr<struct root_page> root;
    std::unique_ptr<struct stats_page> stats;
    std::unique_ptr<struct note_ring> notes;
    std::unique_ptr<struct log_resume> resume;
    std::vector<FoundEntry> written;
    struct instant now = {uint64_t{1000} * NS_PER_S, 1'700'000'000'000};

  private:
    void MakeMemory()
    {
        root = std::make_unique<struct root_page>();
        stats = std::make_unique<struct stats_page>();
        notes = std::make_unique<struct note_ring>();
        resume = std::make_unique<struct log_resume>();
        root_page_init(root.get());
        stats_page_init(stats.get(), kPartition);
        note_ring_init(notes.get(), 0);
        ring = static_cast<struct commit_ring_header *>(
            aligned_alloc(4096, sizeof *ring + options_.ring_bytes));
        memset(static_cast<void *>(ring), 0, sizeof *ring + options_.ring_bytes);
        resume->cluster_id.bytes[0] = 0xc1;
        resume->log_id.bytes[0] = 0x10;
        resume->partition = kPartition;
        resume->next_segment_number = 1;
        resume->next_commit_number = 1;
        commit_ring_init(ring, kPartition, resume->log_id, 1, options_.ring_bytes);
    }
    struct files Files()
    {
        return options_.on_real_disk ? posix_files_port(posix_) : sim_disk_files(disk);
    }
    void MakeRealDisk()
    {
        const char *const path = storage_.path().c_str();
        ASSERT_EQ(posix_files_create(&path, 1, false, &posix_), STATUS_OK);
        const struct uring_disk_options uring_options = {
            64, bytes_of(commit_ring_data(ring), options_.ring_bytes), -1, URING_DISK_FDATASYNC};
        ASSERT_EQ(uring_disk_create(&uring_options, &uring_), STATUS_OK);
        ASSERT_EQ(uring_disk_adopt(uring_), STATUS_OK);
    }
    void CopyRealDisk()
    {
        for (uint64_t number = 1; number < 100; number++) {
            char name[LOG_NAME_BYTES];
            int file;
            uint64_t size_bytes;
            log_segment_name(kPartition, number, name);
            if (files_open(Files(), name, FILES_READ, &file, &size_bytes) != STATUS_OK) {
                continue;
            }
            auto *const bytes = static_cast<uint8_t *>(aligned_alloc(4096, size_bytes));
            EXPECT_EQ(files_read(Files(), file, 0, bytes, size_bytes), STATUS_OK);
            files_close(Files(), file);
            ASSERT_EQ(files_create(sim_disk_files(disk), name, size_bytes, &file), STATUS_OK);
            memcpy(sim_disk_bytes(disk, name, &size_bytes), bytes, size_bytes);
            free(bytes);
        }
    }
    void MakeSupply()
    {
        struct segment_supply_options supply_options = {};
        supply_options.files = Files();
        supply_options.runtime = runtime_.path().c_str();
        supply_options.segment_bytes = options_.segment_bytes;
        supply_options.index_bytes = options_.index_bytes;
        supply_options.log_count = 1;
        supply_options.grace_ns = uint64_t{3600} * NS_PER_S;
        ASSERT_EQ(segment_supply_create(&supply_options, &supply), STATUS_OK);
        segment_supply_seed(supply, options_.seed);
        segment_supply_add_log(supply, 0, kPartition, 1);
    }
    void MakeLog()
    {
        struct core_log_options log_options = {};
        log_options.disk = options_.on_real_disk ? uring_disk_port(uring_) : sim_disk_port(disk);
        log_options.supply = supply;
        log_options.ring = ring;
        log_options.root = root.get();
        log_options.slot = &root->partitions[kPartition];
        log_options.stats = stats.get();
        log_options.notes = notes.get();
        log_options.resume = resume.get();
        log_options.incarnation = 1;
        log_options.commits_in_flight_max = options_.in_flight_max;
        log_options.commits_at_disk_max =
            options_.at_disk_max != 0 ? options_.at_disk_max : options_.in_flight_max;
        log_options.commit_bytes_max = options_.commit_bytes_max;
        log_options.lanes_bytes_max = options_.lanes_bytes_max;
        log_options.commit_records_max = 1000;
        log_options.idle_watermark_ns = options_.idle_watermark_ns;
        log_options.segment_age_ns = options_.segment_age_ns;
        ASSERT_EQ(core_log_create(&log_options, &log), STATUS_OK);
        for (const auto &name : options_.topics) {
            int32_t topic;
            ASSERT_EQ(core_log_declare_topic(log, name.c_str(), &topic), STATUS_OK);
        }
        segment_supply_work(supply, now.mono_ns);
    }

    const Options options_;
    const RuntimeDirectory runtime_;
    const TemporaryDirectory storage_;
    struct posix_files *posix_ = nullptr;
    struct uring_disk *uring_ = nullptr;
    std::vector<FoundEntry> staged_;
    std::vector<struct mapped_file> indexes_;
    uint8_t fill_ = 0;
};
