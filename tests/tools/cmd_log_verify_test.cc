#include "tools/log_command.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/mapped_file.h"
#include "tests/storage/lane_builder.h"
#include "tests/tools/log_fixture.h"
#include "tools/record_digest.h"
#include "wire/index_chunk.h"
#include "wire/root_page.h"

namespace {

using namespace penstock_test;

class Verify : public CmdLogPlaces {
  protected:
    int Verify_(std::vector<std::string> arguments = {})
    {
        arguments.insert(arguments.begin(), {"verify", storage_.path()});
        return Run(arguments);
    }
    void ExpectTold(const std::string &text) const
    {
        EXPECT_NE(output_.find(text), std::string::npos) << text << " is not in\n" << output_;
    }
    void ExpectNotTold(const std::string &text) const
    {
        EXPECT_EQ(output_.find(text), std::string::npos) << text << " is in\n" << output_;
    }
    static std::string Range(uint64_t begin, uint64_t length)
    {
        return "DAMAGE at bytes " + std::to_string(begin) + ".." + std::to_string(begin + length);
    }
};

TEST_F(Verify, NamesTopicAndOffsetsThatConsumersDoNotGet)
{
    Save(4);
    const struct BuiltBatch &rotten = log_.Batches()[1]; // payments 0..1
    Flip(1, rotten.position + 70);

    EXPECT_EQ(Verify_(), 1);
    ExpectTold(Range(rotten.position, rotten.bytes.size()) +
               ": batch does not match its checksum; topic payments, offsets 0..1; consumers do "
               "not get these");
}

TEST_F(Verify, TellsTwoDamagesApart)
{
    Save(4);
    Flip(1, log_.Batches()[0].position + 70);
    Flip(1, log_.Batches()[2].position + 70);

    EXPECT_EQ(Verify_(), 1);
    ExpectTold(Range(log_.Batches()[0].position, log_.Batches()[0].bytes.size()));
    ExpectTold(Range(log_.Batches()[2].position, log_.Batches()[2].bytes.size()));
    ExpectTold("topic events, offsets 0..2; consumers do not get these");
    ExpectTold("topic events, offsets 3..6; consumers do not get these");
    ExpectNotTold("has no offsets");
}

TEST_F(Verify, KnowsThatTheFooterFindsWhatARottenCommitHolds)
{
    Save(4);
    Flip(1, LOG_BLOCK_BYTES + 60);

    EXPECT_EQ(Verify_(), 1);
    ExpectTold(Range(LOG_BLOCK_BYTES, LOG_BLOCK_BYTES) +
               ": no commit where one has to be; consumers miss nothing");
    ExpectNotTold("do not get");
}

TEST_F(Verify, NamesTheBatchThatALostBlockTook)
{
    Save(4);
    const struct BuiltBatch &first = log_.Batches()[0];
    Zero(1, LOG_BLOCK_BYTES, 2 * LOG_BLOCK_BYTES); // the whole first commit

    EXPECT_EQ(Verify_(), 1);
    ExpectTold(Range(first.position, first.bytes.size()) +
               ": batch does not match its checksum; topic events, offsets 0..2; consumers do not "
               "get these");
    ExpectTold("topic payments, offsets 0..1; consumers do not get these");
}

TEST_F(Verify, NamesOffsetsOfACommitThatNothingElseNames)
{
    const BuiltCommit lost = log_.Commit({{0, 3}});
    log_.Commit({{0, 2}});
    Save(4);
    Flip(4, lost.position + 60);

    EXPECT_EQ(Verify_(), 1);
    ExpectTold("topic events has no offsets 12..14");
    ExpectTold("topic events, offsets 12..14; consumers do not get these");
}

TEST_F(Verify, ComparesEveryLineOfTheIndex)
{
    log_.Seal();
    Save(4);
    const BuiltCommit footer = {4, 2 * LOG_BLOCK_BYTES, LOG_BLOCK_BYTES, log_.NextCommit() - 1};
    uint8_t *const commit = SegmentBytes(disk_, 4) + footer.position;
    const struct bytes bytes = bytes_of(commit, footer.length_bytes);
    struct entry index = entry_decode(bytes, 0);
    struct entry anchors = entry_decode(bytes, 1);
    ASSERT_EQ(index.type, ENTRY_INDEX);
    ASSERT_EQ(anchors.type, ENTRY_ANCHORS);
    auto *const wire = reinterpret_cast<struct index_anchor_wire *>(commit + anchors.position);
    struct index_anchor chunk;
    ASSERT_EQ(index_anchor_decode(wire, index.length_bytes, &chunk), STATUS_OK);
    uint8_t *const lines = commit + index.position + chunk.position;
    lines[chunk.length_bytes - 3] ^= 1; // the last line's timestamp, under good checksums
    chunk.crc32c = crc32c(bytes_of(lines, chunk.length_bytes));
    index_anchor_encode(&chunk, wire);
    index.crc32c = crc32c(bytes_of(commit + index.position, index.length_bytes));
    anchors.crc32c = crc32c(bytes_of(commit + anchors.position, anchors.length_bytes));
    entry_encode(&index, commit, 0);
    entry_encode(&anchors, commit, 1);
    struct commit_header header;
    store_le32(commit + 12, crc32c(bytes_of(commit + 16, commit_entries_position(4) - 16)));
    ASSERT_EQ(commit_header_decode(bytes, &header), STATUS_OK);
    Save(4);

    EXPECT_EQ(Verify_(), 1);
    ExpectTold("index does not list what is there");
}

TEST_F(Verify, FindsAnotherCommitThanTheOneThatIsContinued)
{
    uint8_t *const block = SegmentBytes(disk_, 4);
    block[128] ^= 1; // predecessor commit crc32c
    store_le32(block + 12, crc32c(bytes_of(block + 16, 240)));
    Save(4);

    EXPECT_EQ(Verify_(), 1);
    ExpectTold("it continues another commit than the one that stands before it");
}

TEST_F(Verify, TellsPaddingThatIsNotZeroAsANote)
{
    Save(4);
    Flip(1, 1000);                                  // behind the header
    Flip(1, LOG_BLOCK_BYTES + LOG_BLOCK_BYTES - 5); // behind the first commit's entries
    Flip(1, log_.Capacity() - 3 * LOG_BLOCK_BYTES); // behind the footer
    Flip(1, log_.Capacity() - 10);                  // behind the trailer

    EXPECT_EQ(Verify_(), 0) << output_;
    ExpectTold("note, bytes 256..4096: padding");
    ExpectTold("note, bytes 4096..8192: padding");
    ExpectTold("bytes behind the end of the segment's log");
    ExpectTold("note, bytes 61504..65536: padding");
    EXPECT_EQ(Verify_({"--quiet"}), 0);
    EXPECT_EQ(output_, "");
}

TEST_F(Verify, SaysInJsonWhatIsDamagedAndForWhom)
{
    Save(4);
    Flip(1, log_.Batches()[1].position + 70);

    EXPECT_EQ(Verify_({"--json"}), 1);
    json_t *const segments = json_loads(output_.c_str(), 0, nullptr);
    ASSERT_EQ(json_array_size(segments), 4U) << output_;
    json_t *const segment = json_array_get(segments, 0);
    EXPECT_TRUE(json_is_false(json_object_get(segment, "ok")));
    EXPECT_STREQ(json_string_value(json_object_get(segment, "state")), "sealed");
    json_t *const damage = json_array_get(json_object_get(segment, "damages"), 0);
    EXPECT_STREQ(json_string_value(json_object_get(damage, "kind")), "records");
    EXPECT_STREQ(json_string_value(json_object_get(damage, "consumers")), "lost");
    EXPECT_STREQ(json_string_value(json_object_get(damage, "topic")), "payments");
    EXPECT_EQ(json_integer_value(json_object_get(damage, "first_offset")), 0);
    EXPECT_EQ(json_integer_value(json_object_get(damage, "last_offset")), 1);
    EXPECT_STREQ(json_string_value(json_object_get(json_array_get(segments, 3), "state")), "open");
    json_decref(segments);
}

TEST_F(Verify, FindsTheSameInSeveralLogsAtATime)
{
    Save(4);
    Flip(1, log_.Batches()[1].position + 70);
    for (const char *copy : {"part-0001", "part-0002", "part-0003"}) {
        std::filesystem::copy(storage_ / "part-0000", storage_ / copy);
    }

    EXPECT_EQ(Verify_({"-j", "3"}), 1);
    for (const char *copy : {"part-0000", "part-0001", "part-0002", "part-0003"}) {
        ExpectTold(std::string(copy) + "/0000000000000001.segment: DAMAGE");
    }
    ExpectTold("16 segments");
    EXPECT_EQ(Verify_({"-j", "0"}), 64);
}

TEST_F(Verify, NeedsNeitherNamesNorPlaces)
{
    Save(4);
    std::filesystem::rename(storage_ / "part-0000", storage_ / "copy");
    std::filesystem::copy_file(storage_ / "copy/0000000000000002.segment", storage_ / "two");

    EXPECT_EQ(Run({"verify", storage_ / "copy"}), 0) << output_;
    EXPECT_EQ(Run({"verify", storage_ / "two"}), 0) << output_;
    EXPECT_EQ(Run({"verify", storage_ / "copy/0000000000000003.segment"}), 0) << output_;
    ExpectTold("ok: 2 commits, 2 records, sealed");
}

// ---- below a running node

class VerifyRunning : public Verify {
  protected:
    ~VerifyRunning() override { mapped_file_close(&root_); }
    // A configuration whose runtime directory says so much of this log.
    std::vector<std::string> Configured(uint64_t durable_number)
    {
        const std::string path = runtime_ / "root";
        EXPECT_EQ(mapped_file_create(path.c_str(), sizeof(struct root_page), &root_), STATUS_OK);
        auto *const root = reinterpret_cast<struct root_page *>(root_.at);
        root_page_init(root);
        root->partitions[0].log_id = IdOf(0x10);
        root->partitions[0].nonce = LogBuilder::NonceOf(4);
        root->partitions[0].durable_number = durable_number;
        const std::string config = runtime_ / "penstock.yaml";
        WriteFile(config, "node: test\nruntime: " + runtime_.path() +
                              "\nworkers: { cores: [0] }\n"
                              "ports:\n  - { device: net_null0, address: 192.0.2.1/24 }\n"
                              "listeners:\n  - { protocol: lines, port: 5140, topic: events }\n"
                              "topics:\n  - { name: events }\n"
                              "storage: { paths: [" +
                              storage_.path() + "] }\n");
        return {"verify", "-c", config};
    }
    const RuntimeDirectory runtime_;
    struct mapped_file root_ = {};
};

TEST_F(VerifyRunning, DoesNotLookAtCommitsInFlight)
{
    const BuiltCommit flying = log_.Commit({{0, 3}});
    log_.InFlight(3).Commit({{0, 2}});
    Save(4);
    Flip(4, flying.position + 60);

    EXPECT_EQ(Run(Configured(flying.number - 1)), 0) << output_ << errors_;
    ExpectTold("ok: 1 commits, 1 records, not sealed");
}

TEST_F(VerifyRunning, MissesWhatTheRootPageCallsDurable)
{
    const BuiltCommit last = log_.Commit({{0, 3}});
    Save(4);
    Flip(4, last.position + 60);

    EXPECT_EQ(Run(Configured(last.number)), 1) << errors_;
    ExpectTold(Range(last.position, 0).substr(0, 20));
}

// ---- compressed batches

class VerifyCompressed : public CmdLog, public ::testing::WithParamInterface<enum record_codec> {
  protected:
    VerifyCompressed() { log_.Compress(GetParam()); }

    // A byte of the packed records becomes another one, under checksums that all hold.
    void PackSomethingElse()
    {
        log_.Spoil(true).Commit({{0, 2, 0, 1, {"first value", "second value"}}});
    }
};

INSTANTIATE_TEST_SUITE_P(Codecs, VerifyCompressed,
                         ::testing::Values(RECORD_CODEC_LZ4, RECORD_CODEC_ZSTD),
                         [](const auto &info) {
                             return std::string(record_codec_text(info.param));
                         });

TEST_P(VerifyCompressed, LooksAtEveryRecordInside)
{
    log_.Commit({{0, 2, 0, 1, {"first value", "second value"}}});
    Save(1);

    EXPECT_EQ(Run({"verify", storage_.path()}), 0) << output_;
    EXPECT_NE(output_.find("11 records"), std::string::npos) << output_;
}

TEST_P(VerifyCompressed, TellsRecordsThatDoNotUnpack)
{
    PackSomethingElse();
    Save(1);

    EXPECT_EQ(Run({"verify", storage_.path()}), 1) << output_;
    EXPECT_NE(output_.find("compressed records; topic events, offsets 7..8"), std::string::npos)
        << output_;
}

TEST_P(VerifyCompressed, ExportGivesThePlainValues)
{
    log_.Commit({{0, 2, 0, 1, {"first value", "second value"}}});
    Save(1);

    EXPECT_EQ(Run({"export", "--topic", "events", storage_.path()}), 0) << errors_;
    EXPECT_NE(output_.find("first value"), std::string::npos) << output_;
    EXPECT_NE(output_.find("second value"), std::string::npos) << output_;
}

TEST_P(VerifyCompressed, InspectShowsThePlainValues)
{
    log_.Commit({{0, 2, 0, 1, {"first value", "second value"}}});
    Save(1);

    EXPECT_EQ(Run({"inspect", "--records", storage_ / SegmentName(1)}), 0) << errors_;
    EXPECT_NE(output_.find("\"second value\""), std::string::npos) << output_;
}

// ---- lanes

class VerifyLanes : public CmdLog {
  protected:
    // Sequences first..first+1: the one stored at this offset, the other dropped.
    std::string Item(uint64_t first, uint64_t base_offset, uint64_t hash, uint64_t unstored)
    {
        const struct lane_run runs[] = {{1, NATIVE_STORED, 0, base_offset},
                                        {1, NATIVE_DROPPED, LOG_NO_TOPIC, 0}};
        struct lane_item item = {};
        item.state.key = LaneKey(0x1f);
        item.state.epoch = 4;
        item.state.last_sequence = first + 1;
        item.state.hash = hash;
        item.first_sequence = first;
        item.unstored = unstored;
        item.run_count = 2;
        std::string out(lane_item_bytes(2), '\0');
        struct sink sink = sink_into(out.data(), out.size());
        lane_item_encode(&item, runs, &sink);
        return out;
    }
    static uint32_t DigestOf(const std::string &value)
    {
        struct record_digest digest = {};
        struct record_batch_record record = {};
        record.value = bytes_of(value.data(), value.size());
        uint32_t out = 0;
        EXPECT_TRUE(record_digest_of(&digest, &record, &out));
        record_digest_deinit(&digest);
        return out;
    }
    // Two commits of a lane; the second one's record is `stored` where the hash is of "second".
    void Commits(const std::string &stored)
    {
        const uint64_t first = UINT64_C(77); // the hash behind what is not in this log any more
        const uint64_t dropped = UINT64_C(1234) + 1; // of a record that is nowhere
        uint64_t hash = native_hash_extend(first, DigestOf("first"));
        hash = native_hash_extend(hash, 1234);
        log_.Lanes({Item(8, log_.NextOffset(0), hash, dropped)}).Commit({{0, 1, 0, 1, {"first"}}});
        hash = native_hash_extend(hash, DigestOf("second"));
        hash = native_hash_extend(hash, 1234);
        log_.Lanes({Item(10, log_.NextOffset(0), hash, dropped)}).Commit({{0, 1, 0, 1, {stored}}});
        Save(1);
    }
};

TEST_F(VerifyLanes, HoldsTheRecordsAgainstTheRunningHash)
{
    Commits("second");

    EXPECT_EQ(Run({"verify", "--lanes", storage_.path()}), 0) << output_;
}

TEST_F(VerifyLanes, HoldsCompressedRecordsAgainstTheRunningHash)
{
    log_.Compress(RECORD_CODEC_ZSTD);
    Commits("second");

    EXPECT_EQ(Run({"verify", "--lanes", storage_.path()}), 0) << output_;
}

TEST_F(VerifyLanes, FindsACompressedRecordThatIsNotTheOneSent)
{
    log_.Compress(RECORD_CODEC_LZ4);
    Commits("sec0nd");

    EXPECT_EQ(Run({"verify", "--lanes", storage_.path()}), 1);
    EXPECT_NE(output_.find("lane's records do not give its hash"), std::string::npos) << output_;
}

TEST_F(VerifyLanes, FindsARecordThatIsNotTheOneSent)
{
    Commits("sec0nd"); // under checksums that all hold

    EXPECT_EQ(Run({"verify", storage_.path()}), 0) << output_;
    EXPECT_EQ(Run({"verify", "--lanes", storage_.path()}), 1);
    EXPECT_NE(output_.find("lane's records do not give its hash"), std::string::npos) << output_;
}

} // namespace
