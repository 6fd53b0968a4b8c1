#include "tools/record_input.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/storage/temporary_directory.h"
#include "tests/tools/command_run.h"

namespace {

std::string TextOf(struct bytes bytes)
{
    return std::string(reinterpret_cast<const char *>(bytes.at), bytes.len_bytes);
}

class RecordInput : public ::testing::Test {
  protected:
    ~RecordInput() override { record_input_destroy(input_); }

    void Open(const std::string &bytes)
    {
        WriteFile(directory_ / "input", bytes);
        paths_ = {directory_ / "input"};
        OpenPaths();
    }
    void OpenPaths()
    {
        names_.clear();
        for (const std::string &path : paths_) { names_.push_back(path.c_str()); }
        options_.paths = names_.data();
        options_.path_count = names_.size();
        char error[512] = "";
        record_input_destroy(input_);
        input_ = record_input_create(&options_, error, sizeof error);
        EXPECT_NE(input_, nullptr) << error;
    }
    // All that follows; last_ says how it ended.
    std::vector<std::string> Values()
    {
        std::vector<std::string> values;
        struct input_record record;
        keys_.clear();
        while ((last_ = record_input_next(input_, &record)) == INPUT_RECORD) {
            EXPECT_FALSE(bytes_are_null(record.value));
            values.push_back(TextOf(record.value));
            keys_.push_back(record.has_key ? TextOf(record.key) : "(none)");
        }
        return values;
    }
    std::string Error() const { return record_input_error(input_); }

    using Texts = std::vector<std::string>;
    TemporaryDirectory directory_;
    Texts paths_;
    std::vector<const char *> names_;
    struct record_input_options options_ = {};
    struct record_input *input_ = nullptr;
    enum input_result last_ = INPUT_WAITING;
    Texts keys_;
};

TEST_F(RecordInput, TakesALineARecordWithAnyBytesInIt)
{
    Open(std::string("a\0b\r\n\n\xff\xfe\nlast", 13));

    EXPECT_EQ(Values(), (Texts{std::string("a\0b\r", 4), "", "\xff\xfe", "last"}));
    EXPECT_EQ(last_, INPUT_END);
}

TEST_F(RecordInput, FindsNoRecordBehindTheLastNewline)
{
    Open("one\n");

    EXPECT_EQ(Values(), Texts{"one"});
}

TEST_F(RecordInput, ReadsLinesThatAreLongerThanItsBuffer)
{
    const std::string at_most(RECORD_INPUT_BYTES_MAX, 'x');
    Open(at_most + "\n" + at_most);

    EXPECT_EQ(Values(), (Texts{at_most, at_most}));
}

TEST_F(RecordInput, RefusesALineOfMoreThanARecordCanHold)
{
    Open("fine\n" + std::string(RECORD_INPUT_BYTES_MAX + 1, 'x') + "\n");

    EXPECT_EQ(Values(), Texts{"fine"});
    EXPECT_EQ(last_, INPUT_BAD);
    EXPECT_NE(Error().find("input:2: a line of more than 4 MiB"), std::string::npos) << Error();
}

TEST_F(RecordInput, CutsKeysAtTheFirstDelimiter)
{
    options_.key_delimiter = "::";
    Open("k::v::w\nnone\n::empty\nk2::\n");

    EXPECT_EQ(Values(), (Texts{"v::w", "none", "empty", ""}));
    EXPECT_EQ(keys_, (Texts{"k", "(none)", "", "k2"}));
}

TEST_F(RecordInput, TakesKeysOutOfJsonAndLeavesTheLineAsItIs)
{
    options_.format = RECORD_NDJSON;
    options_.key_field = "id";
    Open("{ \"id\": \"\\u00fc\" }\r\n{\"id\":12}\n{\"id\":true}\n{\"id\":null}\n "
         "\n[3]\n{\"id\":{}}");

    EXPECT_EQ(Values(), (Texts{"{ \"id\": \"\\u00fc\" }\r", "{\"id\":12}", "{\"id\":true}",
                               "{\"id\":null}", "[3]", "{\"id\":{}}"}));
    EXPECT_EQ(keys_, (Texts{"\xc3\xbc", "12", "true", "(none)", "(none)", "(none)"}));
}

TEST_F(RecordInput, NamesTheLineThatIsNoJson)
{
    options_.format = RECORD_NDJSON;
    Open("{}\n\n{\"a\":1} x\n{}\n");

    EXPECT_EQ(Values(), Texts{"{}"});
    EXPECT_EQ(last_, INPUT_BAD);
    EXPECT_NE(Error().find("input:3: "), std::string::npos) << Error();
}

TEST_F(RecordInput, PassesOverBadJsonWhenToldSo)
{
    options_.format = RECORD_NDJSON;
    options_.skip_bad = true;
    Open("{}\nnonsense\n\"\xff\"\n7\n");

    EXPECT_EQ(Values(), (Texts{"{}", "7"}));
    EXPECT_EQ(record_input_position(input_).skipped, 2U);
}

TEST_F(RecordInput, ReadsLengthPrefixedRecords)
{
    options_.format = RECORD_LENGTH_PREFIXED;
    Open(std::string("\0\0\0\3a\nb\0\0\0\0\0\0\0\1c", 16));

    EXPECT_EQ(Values(), (Texts{"a\nb", "", "c"}));
    EXPECT_EQ(last_, INPUT_END);
}

TEST_F(RecordInput, RefusesLengthsThatNoRecordCanHave)
{
    options_.format = RECORD_LENGTH_PREFIXED;
    Open(std::string("\0\0\0\1a\0\x40\0\1bbb", 12));

    EXPECT_EQ(Values(), Texts{"a"});
    EXPECT_EQ(last_, INPUT_BAD);
    EXPECT_NE(Error().find("input:2: a length of more than 4 MiB"), std::string::npos) << Error();
}

TEST_F(RecordInput, RefusesAFileThatEndsInsideARecordOrItsLength)
{
    options_.format = RECORD_LENGTH_PREFIXED;
    for (const std::string &cut : {std::string("\0\0\0\2a", 5), std::string("\0\0\0", 3)}) {
        Open(cut);

        EXPECT_EQ(Values(), Texts{});
        EXPECT_EQ(last_, INPUT_BAD);
        EXPECT_NE(Error().find("ends inside"), std::string::npos) << Error();
    }
}

TEST_F(RecordInput, ReadsFilesOneAfterTheOtherAndJoinsNoLines)
{
    WriteFile(directory_ / "a", "1\n2");
    WriteFile(directory_ / "b", "");
    WriteFile(directory_ / "c", "3\n");
    paths_ = {directory_ / "a", directory_ / "b", directory_ / "c"};
    OpenPaths();

    EXPECT_EQ(Values(), (Texts{"1", "2", "3"}));
    uint64_t total = 0;
    EXPECT_EQ(record_input_done_bytes(input_, &total), 5U);
    EXPECT_EQ(total, 5U);
}

TEST_F(RecordInput, GoesOnAtAPosition)
{
    WriteFile(directory_ / "a", "1\n2\n");
    WriteFile(directory_ / "b", "3\n4\n");
    paths_ = {directory_ / "a", directory_ / "b"};
    OpenPaths();
    struct input_record record;
    for (int i = 0; i < 3; i++) { ASSERT_EQ(record_input_next(input_, &record), INPUT_RECORD); }
    const struct input_position behind_three = record_input_position(input_);
    Values();

    ASSERT_TRUE(record_input_seek(input_, &behind_three));
    EXPECT_EQ(Values(), Texts{"4"});

    WriteFile(directory_ / "b", "");
    OpenPaths();
    EXPECT_FALSE(record_input_seek(input_, &behind_three));
    EXPECT_NE(Error().find("shorter than it was"), std::string::npos) << Error();
}

TEST_F(RecordInput, SaysWhenAPipeHasNothing)
{
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const int saved = dup(STDIN_FILENO);
    ASSERT_EQ(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    paths_ = {"-"};
    OpenPaths();
    struct input_record record;
    ASSERT_EQ(write(ends[1], "whole\npart", 10), 10);

    EXPECT_EQ(record_input_next(input_, &record), INPUT_RECORD);
    EXPECT_EQ(record_input_next(input_, &record), INPUT_WAITING);
    ASSERT_EQ(write(ends[1], "ial", 3), 3);
    close(ends[1]);
    EXPECT_EQ(Values(), Texts{"partial"});
    EXPECT_FALSE(record_input_identity(input_, 0).is_regular);

    dup2(saved, STDIN_FILENO);
    close(saved);
    close(ends[0]);
}

TEST_F(RecordInput, SaysWhichFileIsNotThere)
{
    const std::string absent = directory_ / "absent";
    const char *const path = absent.c_str();
    options_.paths = &path;
    options_.path_count = 1;
    char error[512] = "";

    EXPECT_EQ(record_input_create(&options_, error, sizeof error), nullptr);
    EXPECT_NE(std::string(error).find("absent: No such file"), std::string::npos) << error;
}

} // namespace
