#include <gtest/gtest.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/receipts.h"
#include "tests/storage/log_builder.h"
#include "tests/storage/temporary_directory.h"
#include "tests/tools/command_run.h"
#include "wire/lane_format.h"

namespace {

using namespace penstock_test;

struct native_producer_id Producer()
{
    struct native_producer_id id = {};
    std::fill(std::begin(id.bytes), std::end(id.bytes), uint8_t{0xab});
    return id;
}

// A record of a lane; what the log holds may be another value than what was received.
struct Record {
    uint32_t lane;
    std::string value;
    uint8_t fate = NATIVE_STORED;
    std::string stored_as = "";
};

uint32_t DigestOf(const std::string &value)
{
    struct native_record record = {};
    record.value = bytes_of(value.data(), value.size());
    std::string body(value.size() + 32, '\0');
    struct sink sink = sink_into(body.data(), body.size());
    native_body_encode(&sink, &record);
    return native_digest(sink_written(&sink));
}

// A lane as the appliance knows it.
struct LaneBooks {
    uint64_t last = 0;
    uint64_t hash = 0;
};

// What a commit does to a lane.
struct Item {
    struct lane_item item = {};
    std::vector<struct lane_run> runs;

    std::string Encoded() const
    {
        struct lane_item out = item;
        out.run_count = static_cast<uint32_t>(runs.size());
        std::string bytes(lane_item_bytes(runs.size()), '\0');
        struct sink sink = sink_into(bytes.data(), bytes.size());
        lane_item_encode(&out, runs.data(), &sink);
        EXPECT_FALSE(sink.overflowed);
        return bytes;
    }
};

// Writes commits as the appliance would for these records, all into topic 0.
class LaneLog {
  public:
    LaneLog()
    {
        log_.RealBatches().OpenSegment();
        log_.Commit({});
    }

    // The items that a commit of these records has, before it is written.
    std::map<uint32_t, Item> ItemsOf(const std::vector<Record> &records)
    {
        std::map<uint32_t, Item> items;
        uint64_t offset = log_.NextOffset(0);
        for (const Record &record : records) {
            Item &item = items[record.lane];
            LaneBooks &books = lanes[record.lane];
            if (item.runs.empty()) { Begin(record.lane, &item); }
            const bool stored = record.fate == NATIVE_STORED;
            AddFate(&item, record.fate, stored ? offset : 0);
            books.last++;
            if (record.fate != NATIVE_LOST) {
                const uint32_t digest =
                    record.fate == NATIVE_TOO_LARGE ? 0 : DigestOf(record.value);
                books.hash = native_hash_extend(books.hash, digest);
                item.item.unstored *= NATIVE_HASH_FACTOR;
                if (!stored) { item.item.unstored += uint64_t{digest} + 1; }
            }
            offset += stored ? 1 : 0;
            item.item.state.last_sequence = books.last;
            item.item.state.hash = books.hash;
        }
        return items;
    }

    void Write(const std::vector<Record> &records, const std::map<uint32_t, Item> &items)
    {
        std::vector<std::string> encoded;
        for (const auto &[lane, item] : items) { encoded.push_back(item.Encoded()); }
        Batch batch = {0, 0};
        for (const Record &record : records) {
            if (record.fate != NATIVE_STORED) { continue; }
            batch.record_count++;
            batch.values.push_back(record.stored_as.empty() ? record.value : record.stored_as);
        }
        log_.Lanes(encoded);
        log_.Commit(batch.record_count > 0 ? std::vector<Batch>{batch} : std::vector<Batch>{});
    }

    void Commit(const std::vector<Record> &records) { Write(records, ItemsOf(records)); }

    // Where a lane stands, told by a checkpoint or when it came here.
    void State(uint32_t lane, uint32_t flags)
    {
        Item item;
        Begin(lane, &item);
        item.item.state.last_sequence = lanes[lane].last;
        item.item.state.confirmed = lanes[lane].last;
        item.item.state.hash = lanes[lane].hash;
        item.item.flags = flags;
        log_.Lanes({item.Encoded()});
        log_.Commit({});
    }

    void Roll()
    {
        log_.Seal();
        log_.OpenSegment();
        log_.Commit({});
    }

    void Save(const std::string &storage, uint32_t partition = 0)
    {
        mkdir(storage.c_str(), 0755);
        char directory[16];
        std::snprintf(directory, sizeof directory, "/part-%04u", partition);
        mkdir((storage + directory).c_str(), 0755);
        for (uint64_t number = 1; number <= log_.Segment(); number++) {
            uint64_t size = 0;
            uint8_t *const bytes = SegmentBytes(disk_, number, &size);
            struct segment_header header;
            ASSERT_EQ(segment_header_decode(bytes_of(bytes, LOG_BLOCK_BYTES), &header), STATUS_OK);
            header.partition = partition;
            segment_header_encode(&header, bytes);
            WriteFile(storage + "/" + SegmentName(number, partition),
                      std::string(reinterpret_cast<const char *>(bytes), size));
        }
    }

    uint8_t *Bytes(uint64_t segment) { return SegmentBytes(disk_, segment); }
    LogBuilder &Log() { return log_; }

    std::map<uint32_t, LaneBooks> lanes;

  private:
    void Begin(uint32_t lane, Item *out)
    {
        out->item.state.key.producer = Producer();
        out->item.state.key.number = lane;
        out->item.state.epoch = 1;
        out->item.first_sequence = lanes[lane].last + 1;
    }

    static void AddFate(Item *item, uint8_t fate, uint64_t offset)
    {
        const bool stored = fate == NATIVE_STORED;
        if (!item->runs.empty()) {
            struct lane_run &run = item->runs.back();
            if (run.fate == fate && (!stored || run.base_offset + run.count == offset)) {
                run.count++;
                return;
            }
        }
        item->runs.push_back({1, fate, stored ? 0 : LOG_NO_TOPIC, offset});
    }

    SimDisk disk_ = MakeDisk();
    LogBuilder log_{disk_, 256 * 1024};
};

// What the producer was told, as it sent these records.
class Ledger {
  public:
    explicit Ledger(const std::string &path)
    {
        const struct native_producer_id producer = Producer();
        EXPECT_EQ(receipts_open(path.c_str(), &producer, RECEIPTS_SYNC_NEVER, &receipts_),
                  STATUS_OK);
    }
    ~Ledger() { receipts_close(receipts_); }
    Ledger(const Ledger &) = delete;
    Ledger &operator=(const Ledger &) = delete;

    // A receipt for each lane of these, as they follow the ones before.
    void Acknowledge(const std::vector<Record> &records)
    {
        std::map<uint32_t, struct receipt> receipts;
        for (const Record &record : records) { Add(&receipts[record.lane], record); }
        for (auto &[lane, receipt] : receipts) { Append(&receipt); }
    }

    // The sender died, and the next one was told by ACCEPT that these are durable.
    void Miss(const std::vector<Record> &records)
    {
        for (const Record &record : records) { lanes_[record.lane].last++; }
        for (const Record &record : records) { lanes_[record.lane].chained = false; }
    }

    void Append(struct receipt *receipt)
    {
        ASSERT_EQ(receipts_append(receipts_, receipt), STATUS_OK);
        ASSERT_EQ(receipts_commit(receipts_), STATUS_OK);
        newest = *receipt;
    }

    struct receipt newest = {};
    bool lies = false; // the records that were sent were others

  private:
    struct Chain {
        uint64_t last = 0;
        uint64_t hash = 0;
        bool chained = false;
    };

    void Add(struct receipt *receipt, const Record &record)
    {
        Chain &chain = lanes_[record.lane];
        if (receipt->first == 0) {
            receipt->lane = record.lane;
            receipt->epoch = 1;
            receipt->first = chain.last + 1;
            receipt->chained = chain.chained;
            if (!chain.chained) { chain.hash = 0; }
        }
        chain.chained = true;
        receipt->last = ++chain.last;
        if (receipt->run_count == 0 || receipt->runs[receipt->run_count - 1].fate != record.fate) {
            receipt->runs[receipt->run_count++] = {record.fate, 0};
        }
        receipt->runs[receipt->run_count - 1].count++;
        if (record.fate != NATIVE_LOST) {
            const uint32_t digest = record.fate == NATIVE_TOO_LARGE
                                        ? 0
                                        : DigestOf(lies ? record.value + "!" : record.value);
            chain.hash = native_hash_extend(chain.hash, digest);
        }
        receipt->hash = chain.hash;
    }

    struct receipts *receipts_ = nullptr;
    std::map<uint32_t, Chain> lanes_;
};

class CmdAudit : public ::testing::Test {
  protected:
    static std::vector<Record> Records(int begin, int end, uint32_t lanes = 2)
    {
        std::vector<Record> out;
        for (int i = begin; i < end; i++) {
            out.push_back({static_cast<uint32_t>(i) % lanes, "value " + std::to_string(i)});
        }
        return out;
    }

    // Three commits of ten records of each of two lanes; the middle one as the test wants it.
    void
    BuildThree(const std::function<void(std::vector<Record>, std::map<uint32_t, Item>)> &middle)
    {
        Both(Records(0, 20));
        const std::vector<Record> records = Records(20, 40);
        ledger_.Acknowledge(records);
        middle(records, log_.ItemsOf(records));
        Both(Records(40, 60));
    }
    void Both(const std::vector<Record> &records)
    {
        log_.Commit(records);
        ledger_.Acknowledge(records);
    }

    CommandRun Audit(const std::vector<std::string> &more = {})
    {
        log_.Save(storage_);
        std::vector<std::string> arguments = {ledger_path_, "--storage", storage_};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return RunCommand(command_audit, arguments);
    }
    // The findings as "kind lane first..last", each line; "" when all is there.
    std::string Findings(long long proven = -1)
    {
        const CommandRun run = Audit({"--json"});
        json_t *const report = json_loads(run.out.c_str(), 0, nullptr);
        EXPECT_NE(report, nullptr) << run.out << run.errors;
        std::string out;
        size_t i;
        const json_t *one;
        json_array_foreach(json_object_get(report, "findings"), i, one)
        {
            out += std::string(json_string_value(json_object_get(one, "kind"))) + " " +
                   std::to_string(json_integer_value(json_object_get(one, "lane"))) + " " +
                   std::to_string(json_integer_value(json_object_get(one, "first"))) + ".." +
                   std::to_string(json_integer_value(json_object_get(one, "last"))) + "\n";
        }
        EXPECT_EQ(run.code, out.empty() ? 0 : 1) << run.out << run.errors;
        EXPECT_EQ(json_is_true(json_object_get(report, "good")), out.empty());
        if (proven >= 0) {
            EXPECT_EQ(json_integer_value(json_object_get(report, "proven")), proven) << run.out;
        }
        expired_ = json_integer_value(json_object_get(report, "expired"));
        json_decref(report);
        return out;
    }

    TemporaryDirectory directory_;
    std::string ledger_path_ = directory_ / "ledger";
    std::string storage_ = directory_ / "storage";
    LaneLog log_;
    Ledger ledger_{ledger_path_};
    long long expired_ = 0;
};

TEST_F(CmdAudit, FindsEveryAcknowledgedRecord)
{
    BuildThree([&](auto records, auto items) { log_.Write(records, items); });

    EXPECT_EQ(Findings(60), "");
    const CommandRun run = Audit();
    EXPECT_EQ(run.code, 0);
    EXPECT_NE(run.out.find("every acknowledged record is here exactly once, in order\n"),
              std::string::npos)
        << run.out;
}

TEST_F(CmdAudit, ProvesReceiptsThatEndInTheMiddleOfCommits)
{
    const std::vector<Record> all = Records(0, 60);
    for (int i = 0; i < 60; i += 20) { log_.Commit(Records(i, i + 20)); }
    for (int i = 0; i < 60; i += 12) { ledger_.Acknowledge(Records(i, i + 12)); }

    EXPECT_EQ(Findings(60), "");
}

TEST_F(CmdAudit, CountsDroppedAndLostRecordsAndTheHashOverThem)
{
    std::vector<Record> records = Records(0, 40);
    for (size_t i : {3, 4, 10, 25}) { records[i].fate = NATIVE_DROPPED; }
    records[12].fate = NATIVE_LOST;
    records[14].fate = NATIVE_TOO_LARGE;
    Both(records);
    Both(Records(40, 60));

    EXPECT_EQ(Findings(60), "");
}

TEST_F(CmdAudit, WaitsForACommitsEndWhereTheHashInsideItIsNotKnown)
{
    std::vector<Record> records = Records(0, 40);
    for (size_t i : {3, 4, 10, 25}) { records[i].fate = NATIVE_DROPPED; }
    log_.Commit(records);
    ledger_.Acknowledge({records.begin(), records.begin() + 20});
    ledger_.Acknowledge({records.begin() + 20, records.end()});

    EXPECT_EQ(Findings(40), "");
}

TEST_F(CmdAudit, GoesOnBehindRecordsWithoutAReceipt)
{
    const std::vector<Record> missed = Records(20, 33);
    Both(Records(0, 20));
    log_.Commit(Records(20, 40));
    ledger_.Miss(missed);
    ledger_.Acknowledge(Records(33, 40));
    Both(Records(40, 60));

    EXPECT_EQ(Findings(47), "");
    EXPECT_NE(Audit().out.find("13 more in the log without a receipt"), std::string::npos);
}

TEST_F(CmdAudit, FindsADroppedCommit)
{
    BuildThree([](auto, auto) {});

    EXPECT_EQ(Findings(), "missing 0 11..20\nmissing 1 11..20\n");
}

TEST_F(CmdAudit, FindsTheEndOfALogThatIsGone)
{
    Both(Records(0, 20));
    ledger_.Acknowledge(Records(20, 40));

    EXPECT_EQ(Findings(), "missing 0 11..20\nmissing 1 11..20\n");
}

TEST_F(CmdAudit, FindsAChangedRecordUnderGoodChecksums)
{
    BuildThree([&](auto records, auto items) {
        records[7].stored_as = "another"; // of lane 1
        log_.Write(records, items);
    });

    EXPECT_EQ(Findings(), "records 1 11..20\n");
}

TEST_F(CmdAudit, FindsTwoRecordsThatChangedPlaces)
{
    BuildThree([&](auto records, auto items) {
        records[4].stored_as = records[6].value;
        records[6].stored_as = records[4].value;
        log_.Write(records, items);
    });

    EXPECT_EQ(Findings(), "records 0 11..20\n");
}

TEST_F(CmdAudit, FindsALanesRangeThatWasRemoved)
{
    BuildThree([&](auto records, auto items) {
        items.erase(1);
        log_.Write(records, items);
    });

    EXPECT_EQ(Findings(), "missing 1 11..20\n");
}

TEST_F(CmdAudit, FindsPartOfACommitThatWasRemoved)
{
    BuildThree([&](auto records, auto items) {
        items[0].item.first_sequence = 14; // offsets lie two apart: a run for each record
        items[0].runs.erase(items[0].runs.begin(), items[0].runs.begin() + 3);
        log_.Write(records, items);
    });

    EXPECT_EQ(Findings(), "missing 0 11..13\n");
}

TEST_F(CmdAudit, FindsARangeThatIsThereTwice)
{
    BuildThree([&](auto records, auto items) {
        log_.Write(records, items);
        for (auto &[lane, item] : items) {
            for (struct lane_run &run : item.runs) { run.base_offset += records.size(); }
        }
        log_.Write(records, items);
    });

    EXPECT_EQ(Findings(), "twice 0 11..20\ntwice 1 11..20\n");
    EXPECT_NE(Audit().out.find("in the log twice (partition 0, segment 0000000000000001, commit 3; "
                               "partition 0, segment 0000000000000001, commit 4)"),
              std::string::npos)
        << Audit().out;
}

TEST_F(CmdAudit, FindsCommitsInTheWrongOrder)
{
    const std::vector<Record> first = Records(0, 20);
    const std::vector<Record> second = Records(20, 40);
    auto early = log_.ItemsOf(first);
    auto late = log_.ItemsOf(second);
    for (auto &[lane, item] : early) {
        for (struct lane_run &run : item.runs) { run.base_offset += 20; }
    }
    log_.Write(second, late);
    log_.Write(first, early);
    ledger_.Acknowledge(first);
    ledger_.Acknowledge(second);

    EXPECT_EQ(Findings(), "order 0 11..20\norder 1 11..20\n");
}

TEST_F(CmdAudit, FindsOffsetsThatGoBackInsideACommit)
{
    BuildThree([&](auto records, auto items) {
        std::swap(items[1].runs[2].base_offset, items[1].runs[3].base_offset);
        records[5].stored_as = records[7].value;
        records[7].stored_as = records[5].value;
        log_.Write(records, items);
    });

    EXPECT_EQ(Findings(), "order 1 11..20\n");
}

TEST_F(CmdAudit, FindsAFateThatIsNotWhatWasAcknowledged)
{
    BuildThree([&](auto records, auto) {
        log_.lanes[0] = {10, 0};
        log_.lanes[1] = {10, 0};
        LaneLog again; // the hash before, once more
        again.Commit(Records(0, 20));
        log_.lanes = again.lanes;
        records[2].fate = NATIVE_DROPPED;
        log_.Commit(records);
    });

    EXPECT_EQ(Findings(), "fate 0 12..12\n");
    EXPECT_NE(
        Audit().out.find("lane 0, sequence 12: acknowledged as stored, and dropped in the log"),
        std::string::npos);
}

TEST_F(CmdAudit, FindsRecordsThatAreNotInTheirCommit)
{
    BuildThree([&](auto records, auto items) {
        items[1].runs.back().base_offset += 100;
        log_.Write(records, items);
    });

    EXPECT_EQ(Findings(), "place 1 11..20\n");
}

TEST_F(CmdAudit, FindsThatSomethingElseWasReceivedThanSent)
{
    Both(Records(0, 20));
    ledger_.lies = true;
    Both(Records(20, 40));
    ledger_.lies = false;
    Both(Records(40, 60));

    EXPECT_EQ(Findings(40), "receipt 0 11..20\nreceipt 1 11..20\n");
}

TEST_F(CmdAudit, FindsAHashThatTheRecordsDoNotGive)
{
    BuildThree([&](auto records, auto items) {
        items[0].item.state.hash ^= 4;
        log_.Write(records, items);
    });

    EXPECT_EQ(Findings(),
              "records 0 11..20\nrecords 0 21..30\nreceipt 0 11..20\nreceipt 0 21..30\n");
}

TEST_F(CmdAudit, FindsSequencesThatWereAcknowledgedTwice)
{
    Both(Records(0, 20));
    ledger_.Append(&ledger_.newest);

    EXPECT_NE(Findings().find("receipts 1 1..10\n"), std::string::npos);
}

TEST_F(CmdAudit, TakesWhatRetentionRemovedForExpired)
{
    Both(Records(0, 20));
    log_.Roll();
    Both(Records(20, 40));
    log_.Roll();
    Both(Records(40, 60));
    log_.Save(storage_);
    ASSERT_EQ(Findings(), "");

    // audited in place: saving again would bring it back
    ASSERT_EQ(unlink((storage_ + "/" + SegmentName(1)).c_str()), 0);
    CommandRun run = RunCommand(command_audit, {ledger_path_, "--storage", storage_});
    EXPECT_EQ(run.code, 0) << run.out;
    EXPECT_NE(run.out.find("40 in the log, 20 expired"), std::string::npos) << run.out;
    EXPECT_NE(run.out.find("in order, or has expired"), std::string::npos) << run.out;
}

// A path that died keeps the segment that was prepared on it: its number goes on elsewhere.
TEST_F(CmdAudit, FollowsALogToAnotherPathWhoseNameComesFirst)
{
    Both(Records(0, 20));
    log_.Roll();
    Both(Records(20, 40));
    log_.Roll();
    Both(Records(40, 60));
    log_.Save(storage_);
    const std::filesystem::path first = directory_ / "z";
    const std::filesystem::path next = directory_ / "a";
    std::filesystem::rename(storage_, first);
    std::filesystem::create_directories(next / "part-0000");
    std::filesystem::rename(first / SegmentName(3), next / SegmentName(3));
    std::ofstream(first / SegmentName(3)) << std::string(64 * 1024, '\0');

    const CommandRun run =
        RunCommand(command_audit, {ledger_path_, "--storage", first, "--storage", next});

    EXPECT_EQ(run.code, 0) << run.out;
    EXPECT_NE(run.out.find("60 in the log"), std::string::npos) << run.out;
}

TEST_F(CmdAudit, TakesASegmentInTheMiddleForAHole)
{
    Both(Records(0, 20));
    log_.Roll();
    Both(Records(20, 40));
    log_.Roll();
    Both(Records(40, 60));
    log_.Save(storage_);
    ASSERT_EQ(unlink((storage_ + "/" + SegmentName(2)).c_str()), 0);

    CommandRun run = RunCommand(command_audit, {ledger_path_, "--storage", storage_});

    EXPECT_EQ(run.code, 1) << run.out;
    EXPECT_NE(run.out.find("lane 0, sequences 11..20: acknowledged, and not in the log\n"),
              std::string::npos)
        << run.out;
}

TEST_F(CmdAudit, TakesALaneOfWhichOnlyTheCheckpointIsLeftForExpired)
{
    Both(Records(0, 20));
    log_.Roll();
    log_.State(0, LANE_CHECKPOINT);
    log_.State(1, LANE_CHECKPOINT);
    log_.Save(storage_);
    ASSERT_EQ(unlink((storage_ + "/" + SegmentName(1)).c_str()), 0);

    CommandRun run = RunCommand(command_audit, {ledger_path_, "--storage", storage_});

    EXPECT_EQ(run.code, 0) << run.out;
    EXPECT_NE(run.out.find("0 in the log, 20 expired"), std::string::npos) << run.out;
}

TEST_F(CmdAudit, FollowsALaneToAnotherPartition)
{
    Both(Records(0, 20));
    LaneLog second;
    second.lanes = log_.lanes;
    second.State(0, LANE_IMPORTED);
    second.State(1, LANE_IMPORTED);
    second.Commit(Records(20, 40));
    ledger_.Acknowledge(Records(20, 40));
    second.Save(storage_, 1);

    EXPECT_EQ(Findings(40), "");

    // without the first one's log
    CommandRun run =
        RunCommand(command_audit, {ledger_path_, "--storage", storage_ + "/part-0001"});
    EXPECT_EQ(run.code, 1);
    EXPECT_NE(run.out.find("lane 0, sequences 1..10: acknowledged, and not in the log"),
              std::string::npos)
        << run.out;
}

TEST_F(CmdAudit, TakesNoHoleForExpiredBecauseTheLaneMovedToALogWhoseBeginningIs)
{
    BuildThree([](auto, auto) {});
    LaneLog second;
    second.lanes = log_.lanes;
    second.State(0, LANE_IMPORTED);
    second.State(1, LANE_IMPORTED);
    second.Roll();
    second.Commit(Records(60, 80));
    ledger_.Acknowledge(Records(60, 80));
    second.Save(storage_, 1);
    ASSERT_EQ(unlink((storage_ + "/" + SegmentName(1, 1)).c_str()), 0);

    EXPECT_EQ(Findings(), "missing 0 11..20\nmissing 1 11..20\n");
}

TEST_F(CmdAudit, StartsAnewBehindALaneThatWasForgotten)
{
    log_.Commit(Records(100, 130)); // told to an earlier ledger
    for (uint32_t lane : {0, 1}) {
        log_.State(lane, LANE_FORGOTTEN);
        log_.lanes[lane] = {};
    }
    Both(Records(0, 20));
    Both(Records(20, 40));

    EXPECT_EQ(Findings(40), "");
}

TEST_F(CmdAudit, ReadsAroundWhatCannotBeReadAndTellsIt)
{
    BuildThree([&](auto records, auto items) { log_.Write(records, items); });
    log_.Bytes(1)[log_.Log().Batches()[1].position + 80] ^= 1;

    const std::string found = Findings();
    EXPECT_NE(found.find("unreadable"), std::string::npos) << found;
    EXPECT_NE(found.find("place 0 11..20"), std::string::npos) << found;
}

TEST_F(CmdAudit, TakesATornTailForTheEnd)
{
    Both(Records(0, 20));
    const uint64_t torn = log_.Log().Position();
    log_.Commit(Records(20, 40)); // under way: nobody was told
    log_.Bytes(1)[torn + 20] ^= 1;

    EXPECT_EQ(Findings(20), "");
}

// Writes finish in any order, so a running appliance's open segment has good commits behind others
// that are not there yet.
TEST_F(CmdAudit, TakesACommitThatIsUnderWayForNoDamageWhereAGoodOneStandsBehindIt)
{
    Both(Records(0, 20));
    log_.Log().InFlight(4);
    const uint64_t torn = log_.Log().Position();
    log_.Commit(Records(20, 40));
    log_.Commit(Records(40, 60));
    log_.Bytes(1)[torn + 20] ^= 1;

    EXPECT_EQ(Findings(20), "");
}

TEST_F(CmdAudit, TellsOfACommitThatALaterOneCallsDurable)
{
    Both(Records(0, 20));
    log_.Log().InFlight(2);
    const uint64_t rotten = log_.Log().Position();
    log_.Commit(Records(20, 40));
    log_.Commit(Records(40, 60));
    log_.Commit(Records(60, 80));
    log_.Bytes(1)[rotten + 20] ^= 1;

    const std::string found = Findings(20);
    EXPECT_NE(found.find("unreadable"), std::string::npos) << found;
}

TEST_F(CmdAudit, ReadsALedgerUpToItsTornEntry)
{
    Both(Records(0, 20));
    FILE *const file = std::fopen(ledger_path_.c_str(), "ab");
    std::fwrite("\x40", 1, 1, file);
    std::fclose(file);

    EXPECT_EQ(Findings(20), "");
    EXPECT_NE(Audit().out.find("torn"), std::string::npos);
}

TEST_F(CmdAudit, SaysThatALedgerHasNoReceipts)
{
    log_.Commit(Records(0, 20));

    const CommandRun run = Audit();
    EXPECT_EQ(run.code, 0) << run.errors;
    EXPECT_NE(run.out.find("no receipts in it"), std::string::npos) << run.out;
    EXPECT_EQ(run.out.find("every acknowledged"), std::string::npos) << run.out;
}

TEST_F(CmdAudit, NamesTheByteWhereALedgerStopsHolding)
{
    Both(Records(0, 20, 1));
    Both(Records(20, 40, 1));
    Both(Records(40, 60, 1));
    // A receipt of one run takes 64 bytes, as the header does: the second begins at 128.
    FILE *const file = std::fopen(ledger_path_.c_str(), "r+b");
    std::fseek(file, 128 + 60, SEEK_SET);
    std::fputc(0xff, file);
    std::fclose(file);

    const CommandRun run = Audit();
    EXPECT_EQ(run.code, 65);
    EXPECT_NE(run.errors.find("damaged at byte 128; good receipts before it: 1"), std::string::npos)
        << run.errors;
}

TEST_F(CmdAudit, RefusesAStorageWithoutASegment)
{
    Both(Records(0, 20));
    const CommandRun run =
        RunCommand(command_audit, {ledger_path_, "--storage", directory_.path()});

    EXPECT_EQ(run.code, 66);
    EXPECT_EQ(run.out, "");
    EXPECT_NE(run.errors.find("no segment of a log in " + directory_.path()), std::string::npos)
        << run.errors;
}

TEST_F(CmdAudit, SaysWhatItCannotUse)
{
    Both(Records(0, 20));
    log_.Save(storage_);
    EXPECT_EQ(RunCommand(command_audit, {}).code, 64);
    EXPECT_EQ(RunCommand(command_audit, {ledger_path_}).code, 64);
    EXPECT_EQ(RunCommand(command_audit, {ledger_path_, "--storage", storage_, "-c", "x"}).code, 64);
    EXPECT_EQ(RunCommand(command_audit, {ledger_path_, "-c", "/nowhere.yaml"}).code, 66);
    EXPECT_EQ(RunCommand(command_audit, {ledger_path_, "--storage", directory_ / "none"}).code, 66);
    EXPECT_EQ(RunCommand(command_audit, {directory_ / "none", "--storage", storage_}).code, 66);
    WriteFile(directory_ / "noise", std::string(500, 'n'));
    EXPECT_EQ(RunCommand(command_audit, {directory_ / "noise", "--storage", storage_}).code, 65);
}

} // namespace
