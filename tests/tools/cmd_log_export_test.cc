#include "tools/log_command.h"

#include <gtest/gtest.h>

#include "tests/tools/log_fixture.h"
#include "tools/record_input.h"

namespace {

using namespace penstock_test;

// What the lines of an export say: "TOPIC/OFFSET=VALUE".
class Export : public CmdLogPlaces {
  protected:
    std::vector<std::string> Lines() const
    {
        std::vector<std::string> out;
        std::istringstream in(output_);
        for (std::string line; std::getline(in, line);) {
            json_t *const object = json_loads(line.c_str(), JSON_ALLOW_NUL, nullptr);
            EXPECT_NE(object, nullptr) << line;
            const char *const value = json_string_value(json_object_get(object, "value"));
            out.push_back(std::string(json_string_value(json_object_get(object, "topic"))) + "/" +
                          std::to_string(json_integer_value(json_object_get(object, "offset"))) +
                          "=" + (value != nullptr ? value : "?"));
            json_decref(object);
        }
        return out;
    }
    int Export_(std::vector<std::string> arguments)
    {
        arguments.insert(arguments.begin(), {"export", storage_.path()});
        return Run(arguments);
    }
    static std::vector<std::string> Events(int begin, int end)
    {
        std::vector<std::string> out;
        for (int i = begin; i < end; i++) {
            out.push_back("events/" + std::to_string(i) + "=a value");
        }
        return out;
    }
};

TEST_F(Export, WritesEveryRecordOfATopicInOrder)
{
    Save(4); // offsets 0..6 of events in the first, then 2, 2 and 1 more

    EXPECT_EQ(Export_({"--topic", "events"}), 0) << errors_;
    EXPECT_EQ(Lines(), Events(0, 12));
}

TEST_F(Export, TakesARangeOfOffsetsAcrossSegments)
{
    Save(4);

    EXPECT_EQ(Export_({"--topic", "events", "--from", "6", "--to", "9"}), 0) << errors_;
    EXPECT_EQ(Lines(), Events(6, 9));
    EXPECT_EQ(Export_({"--topic", "events", "--from", "2", "--max", "3"}), 0);
    EXPECT_EQ(Lines(), Events(2, 5));
    EXPECT_EQ(Export_({"--topic", "events", "--from", "12"}), 0);
    EXPECT_EQ(Lines(), Events(0, 0));
}

TEST_F(Export, TakesARangeOfTimes)
{
    log_.Commit({{0, 2, 100, 5000}});
    Save(4);

    EXPECT_EQ(Export_({"--topic", "events", "--from-time", "1001"}), 0) << errors_;
    EXPECT_EQ(Lines(), Events(12, 14));
    EXPECT_EQ(Export_({"--topic", "events", "--to-time", "1970-01-01T00:00:05Z"}), 0);
    EXPECT_EQ(Lines(), Events(0, 12));
    EXPECT_EQ(Export_({"--topic", "events", "--from-time", "-10m"}), 0);
    EXPECT_EQ(Lines(), Events(0, 0));
}

TEST_F(Export, WithoutATopicTakesAllOfThem)
{
    Save(1);

    EXPECT_EQ(Export_({"--partition", "0"}), 0);
    EXPECT_EQ(Lines().size(), 9U);
    EXPECT_EQ(Export_({"--partition", "1"}), 0);
    EXPECT_EQ(output_, "");
}

TEST_F(Export, RefusesATopicThatIsNotThere)
{
    Save(1);

    EXPECT_EQ(Export_({"--topic", "event"}), 66);
    EXPECT_NE(errors_.find("no topic 'event'"), std::string::npos) << errors_;
    EXPECT_EQ(Export_({"--from-time", "yesterday"}), 64);
    EXPECT_EQ(Export_({"--json-encoding", "hex"}), 64);
    EXPECT_EQ(Run({"export"}), 64);
}

TEST_F(Export, LeavesOutARottenBatchAndSaysWhich)
{
    Save(4);
    const struct BuiltBatch &rotten = log_.Batches()[2]; // events 3..6
    Flip(1, rotten.position + 70);

    EXPECT_EQ(Export_({"--topic", "events"}), 1);
    auto expected = Events(0, 3);
    for (const auto &line : Events(7, 12)) { expected.push_back(line); }
    EXPECT_EQ(Lines(), expected);
    EXPECT_NE(errors_.find("topic events, offsets 3..6"), std::string::npos) << errors_;
    EXPECT_EQ(Export_({"--topic", "payments"}), 0) << errors_;
}

TEST_F(Export, FindsByTheFooterWhatLiesInARottenCommit)
{
    Save(4);
    Flip(1, LOG_BLOCK_BYTES + 60); // the first commit's header

    EXPECT_EQ(Export_({"--topic", "events"}), 0) << errors_;
    EXPECT_EQ(Lines(), Events(0, 12));
}

TEST_F(Export, ReadsASegmentWithoutItsFooterFromFrontToBack)
{
    Save(4);
    Flip(3, footer_.position + 60);

    EXPECT_EQ(Export_({"--topic", "events"}), 0) << errors_;
    EXPECT_EQ(Lines(), Events(0, 12));
}

TEST_F(Export, SaysWhichOffsetsALostCommitHeld)
{
    const BuiltCommit lost = log_.Commit({{0, 3}});
    log_.Commit({{0, 2}});
    Save(4);
    Flip(4, lost.position + 60); // the open segment has no footer to name it

    EXPECT_EQ(Export_({"--topic", "events"}), 1);
    EXPECT_EQ(Lines().size(), 14U);
    EXPECT_NE(errors_.find("topic events has no offsets 12..14"), std::string::npos) << errors_;
}

TEST_F(Export, SaysThatASegmentIsMissing)
{
    Save(4);
    ASSERT_EQ(unlink(PathOf(2).c_str()), 0);

    EXPECT_EQ(Export_({"--topic", "events"}), 1);
    EXPECT_NE(errors_.find("the segment before it is missing"), std::string::npos) << errors_;
    EXPECT_NE(errors_.find("topic events has no offsets 7..8"), std::string::npos) << errors_;
}

TEST_F(Export, LeavesOutATornTailWithoutAWord)
{
    const BuiltCommit torn = log_.Commit({{0, 3}});
    Save(4);
    Flip(4, torn.position + 60);

    EXPECT_EQ(Export_({"--topic", "events"}), 0) << errors_;
    EXPECT_EQ(Lines(), Events(0, 12));
}

// A file of these lines, read as `penstock send --format records` reads it.
TEST_F(Export, WritesWhatSendReads)
{
    std::string all;
    for (int i = 0; i < 256; i++) { all += static_cast<char>(i); }
    log_.Commit({{0, 3, 0, 1234, {all, "text", ""}}});
    Save(4);
    ASSERT_EQ(Export_({"--topic", "events", "--from", "12"}), 0) << errors_;
    const std::string path = storage_ / "export.ndjson";
    WriteFile(path, output_);

    const char *const paths[] = {path.c_str()};
    struct record_input_options options = {};
    options.paths = paths;
    options.path_count = 1;
    options.format = RECORD_RECORDS;
    char error[256];
    struct record_input *const input = record_input_create(&options, error, sizeof error);
    ASSERT_NE(input, nullptr) << error;
    for (const std::string &value : {all, std::string("text"), std::string("")}) {
        struct input_record record;
        ASSERT_EQ(record_input_next(input, &record), INPUT_RECORD) << record_input_error(input);
        EXPECT_EQ(
            std::string(reinterpret_cast<const char *>(record.value.at), record.value.len_bytes),
            value);
        EXPECT_FALSE(record.has_key);
        EXPECT_STREQ(record.topic, "events");
        EXPECT_EQ(record.timestamp_ms, 1234);
    }
    struct input_record record;
    EXPECT_EQ(record_input_next(input, &record), INPUT_END);
    record_input_destroy(input);
}

} // namespace
