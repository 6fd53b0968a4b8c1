#include <gtest/gtest.h>
#include <jansson.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "client/receipts.h"
#include "tests/client/udp_appliance.h"
#include "tests/storage/temporary_directory.h"
#include "tests/tools/command_run.h"

namespace {

using Texts = std::vector<std::string>;

std::string Numbered(int count, const std::string &before = "")
{
    std::string out;
    for (int i = 0; i < count; i++) { out += before + std::to_string(i) + "\n"; }
    return out;
}

std::string ReadFile(const std::string &path)
{
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
}

class CmdSend : public ::testing::Test {
  protected:
    CmdSend() : CmdSend(UdpAppliance::Options{}) {}
    explicit CmdSend(UdpAppliance::Options options) : appliance_(std::move(options)) {}

    std::string Input(const std::string &bytes, const std::string &name = "input")
    {
        WriteFile(directory_ / name, bytes);
        return directory_ / name;
    }
    CommandRun Send(Texts arguments)
    {
        arguments.insert(arguments.end(), {"--to", appliance_.Address(), "--timeout", "10s"});
        return RunCommand(command_send, arguments);
    }
    // With a state, to be resumed; the numbers of its account.
    std::map<std::string, long long> Resume(const std::string &input, const Texts &more = {},
                                            int code = 0)
    {
        Texts arguments = {input,      "--lanes", "3", "--state", directory_ / "state",
                           "--resume", "--json"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const CommandRun run = Send(arguments);
        errors_ = run.errors;
        EXPECT_EQ(run.code, code) << run.errors;
        std::map<std::string, long long> out;
        json_t *const report = json_loads(run.out.c_str(), 0, nullptr);
        const char *name;
        json_t *value;
        json_object_foreach(report, name, value) { out[name] = json_integer_value(value); }
        json_decref(report);
        return out;
    }
    Texts Stored(uint32_t lane)
    {
        Texts out;
        for (const UdpRecord &record : appliance_.LaneOf(lane).records) {
            out.push_back(record.value);
        }
        return out;
    }
    size_t StoredCount()
    {
        size_t count = 0;
        for (uint32_t lane = 0; lane < 3; lane++) { count += Stored(lane).size(); }
        return count;
    }

    TemporaryDirectory directory_;
    UdpAppliance appliance_;
    std::string errors_;
};

TEST_F(CmdSend, SendsEachLineInOrderAndAccountsForIt)
{
    const CommandRun run = Send({Input("one\n\n" + std::string("a\0b", 3))});

    EXPECT_EQ(run.code, 0) << run.errors;
    EXPECT_EQ(run.out.find("3 records: 3 durable, 0 dropped, 0 refused; "), 0U) << run.out;
    EXPECT_EQ(Stored(0), (Texts{"one", "", std::string("a\0b", 3)}));
}

TEST_F(CmdSend, KeepsTheRecordsOfAKeyInOneLane)
{
    EXPECT_EQ(
        Send({Input("a=1\nb=2\na=3\nc=4\nb=5\n"), "--lanes", "3", "--key-delimiter", "="}).code, 0);

    std::map<std::string, std::pair<uint32_t, Texts>> keys;
    for (uint32_t lane = 0; lane < 3; lane++) {
        for (const UdpRecord &record : appliance_.LaneOf(lane).records) {
            const auto found = keys.emplace(record.key, std::make_pair(lane, Texts{})).first;
            EXPECT_EQ(found->second.first, lane);
            found->second.second.push_back(record.value);
        }
    }
    EXPECT_EQ(keys["a"].second, (Texts{"1", "3"}));
    EXPECT_EQ(keys["b"].second, (Texts{"2", "5"}));
    EXPECT_EQ(keys["c"].second, (Texts{"4"}));
}

TEST_F(CmdSend, SpreadsKeylessRecordsOverLanesInRuns)
{
    EXPECT_EQ(Send({Input(Numbered(100)), "--lanes", "3"}).code, 0);

    EXPECT_EQ(Stored(0).size(), 32U + 4U);
    EXPECT_EQ(Stored(1).front(), "32");
    EXPECT_EQ(Stored(2).back(), "95");
}

TEST_F(CmdSend, NamesTheTopic)
{
    EXPECT_EQ(Send({Input("x\n"), "--topic", "alerts"}).code, 0);

    const struct bytes name = bytes_of_text("alerts");
    EXPECT_EQ(appliance_.LaneOf(0).records.at(0).topic, native_topic_hash(name));
}

TEST_F(CmdSend, SendsWhatStandsBeforeABadLineAndSaysWhichIsBad)
{
    const CommandRun run = Send({Input("{\"n\":1}\n{\n{\"n\":3}\n"), "--format", "ndjson"});

    EXPECT_EQ(run.code, 65);
    EXPECT_NE(run.errors.find("input:2: "), std::string::npos) << run.errors;
    EXPECT_EQ(Stored(0), Texts{"{\"n\":1}"});
}

TEST_F(CmdSend, RefusesRecordsAboveItsOwnLimitAndSendsTheOthers)
{
    const CommandRun run =
        Send({Input("small\n" + std::string(2000, 'x') + "\nlast\n"), "--max-record", "1KiB"});

    EXPECT_EQ(run.code, 1);
    EXPECT_NE(run.errors.find("input:2: larger than --max-record"), std::string::npos);
    EXPECT_NE(run.out.find("3 records: 2 durable, 0 dropped, 1 refused"), std::string::npos);
    EXPECT_EQ(Stored(0), (Texts{"small", "last"}));
}

TEST_F(CmdSend, GivesUpWhenNobodyAnswers)
{
    appliance_.SetMute(true);
    const CommandRun run = RunCommand(
        command_send, {Input("x\n"), "--to", appliance_.Address(), "--timeout", "500ms", "--json"});

    EXPECT_EQ(run.code, 69);
    EXPECT_NE(run.errors.find("does not answer"), std::string::npos) << run.errors;
    EXPECT_NE(run.out.find("\"undelivered\": 1"), std::string::npos) << run.out;
}

// Each session that comes to nothing is opened anew after ten seconds: no progress.
TEST_F(CmdSend, GivesUpWhenLanesOpenAndNoRecordGetsItsFate)
{
    appliance_.SetDeaf(true);
    const CommandRun run =
        RunCommand(command_send, {Input("x\n"), "--to", appliance_.Address(), "--timeout", "12s"});

    EXPECT_EQ(run.code, 69);
    const std::string words = "gave up after 12.0 s without progress: it ";
    EXPECT_NE(run.errors.find(words), std::string::npos) << run.errors;
    EXPECT_EQ(run.errors.find("does not answer"), std::string::npos) << run.errors;
}

TEST_F(CmdSend, SaysWhyLanesAreRefused)
{
    const std::map<uint32_t, std::string> refusals = {
        {NATIVE_REJECT_LANES_FULL,
         "it remembers lanes.max lanes and refuses new ones (lanes full)"},
        {NATIVE_REJECT_LANE_BUSY, "lane busy"},
        {NATIVE_REJECT_OVERLOADED, "overloaded"},
        {NATIVE_REJECT_DRAINING, "draining"},
        {NATIVE_REJECT_REDIRECT, "redirected"},
    };
    const std::string input = Input("x\n");
    for (const auto &[code, words] : refusals) {
        appliance_.SetRefusal(code);
        const CommandRun run =
            RunCommand(command_send, {input, "--to", appliance_.Address(), "--timeout", "500ms"});

        EXPECT_EQ(run.code, 69);
        const size_t end = run.errors.find("without progress: ");
        ASSERT_NE(end, std::string::npos) << run.errors;
        EXPECT_NE(run.errors.find(words, end), std::string::npos) << run.errors;
    }
}

TEST_F(CmdSend, SaysWhileItWaitsThatLanesAreFull)
{
    appliance_.SetRefusal(NATIVE_REJECT_LANES_FULL);
    const CommandRun run = RunCommand(
        command_send, {Input("x\n"), "--to", appliance_.Address(), "--timeout", "1600ms"});

    EXPECT_NE(run.errors.find("waiting for the appliance: it remembers lanes.max lanes"),
              std::string::npos)
        << run.errors;
    EXPECT_EQ(run.errors.find("does not answer"), std::string::npos) << run.errors;
}

TEST_F(CmdSend, SaysNothingWhenQuiet)
{
    const CommandRun run = Send({Input("x\n"), "--quiet"});

    EXPECT_EQ(run.out + run.errors, "");
    EXPECT_EQ(Stored(0), Texts{"x"});
}

TEST_F(CmdSend, RefusesOptionsThatMakeNoSense)
{
    const std::string input = Input("x\n");
    EXPECT_EQ(RunCommand(command_send, {input}).code, 64);
    EXPECT_EQ(Send({input, "--resume"}).code, 64);
    EXPECT_EQ(Send({input, "--lanes", "257"}).code, 64);
    EXPECT_EQ(Send({input, "--rate", "0"}).code, 64);
    EXPECT_EQ(Send({input, "--rate", "1x"}).code, 64);
    EXPECT_EQ(Send({input, "--format", "xml"}).code, 64);
    EXPECT_EQ(Send({input, "--key-field", "id"}).code, 64);
    EXPECT_EQ(Send({input, "--skip-bad"}).code, 64);
    EXPECT_EQ(Send({input, "--key-delimiter", ""}).code, 64);
    EXPECT_EQ(Send({input, "--producer-id", "abc"}).code, 64);
    EXPECT_EQ(Send({input, "--state", directory_ / "s", "--producer-id", "file:x"}).code, 64);
    const CommandRun zero = Send({input, "--producer-id", std::string(32, '0')});
    EXPECT_EQ(zero.code, 64);
    EXPECT_NE(zero.errors.find("zero is not allowed"), std::string::npos) << zero.errors;
    for (const char *const server :
         {"", ":4650", "host:", "host:0", "host:65536", "host:http", "a,b"}) {
        EXPECT_EQ(RunCommand(command_send, {input, "--to", server}).code, 64) << server;
    }
    EXPECT_EQ(RunCommand(command_send, {input, "--to", std::string(600, 'h')}).code, 64);
    EXPECT_EQ(Send({input, "--timeout", "soon"}).code, 64);
    EXPECT_EQ(Send({input, "--max-record", "5MiB"}).code, 64);
    EXPECT_EQ(Send({input, "--quiet", "--progress"}).code, 64);
    EXPECT_EQ(Send({directory_ / "absent"}).code, 66);
    EXPECT_EQ(Send({directory_.path()}).code, 66);
    EXPECT_EQ(appliance_.Records(), 0U);
}

TEST_F(CmdSend, NamesAHostThatIsNotThere)
{
    const CommandRun run = RunCommand(command_send, {Input("x\n"), "--to", "no host"});

    EXPECT_EQ(run.code, 69);
    EXPECT_NE(run.errors.find("no host:4650"), std::string::npos) << run.errors;
}

TEST_F(CmdSend, NamesFilesThatCannotBeOpenedOrAreInUse)
{
    const std::string input = Input("x\n");
    const std::string receipts = directory_ / "receipts";
    const struct native_producer_id other = {{1}};
    EXPECT_EQ(Send({input, "--receipts", directory_.path()}).code, 73);
    EXPECT_EQ(Send({input, "--receipts", directory_ / "none/receipts"}).code, 73);
    EXPECT_EQ(Send({input, "--producer-id", "file:" + (directory_ / "none/id")}).code, 73);
    EXPECT_EQ(Send({input, "--state", directory_.path()}).code, 73);
    EXPECT_EQ(Send({input, "--state", directory_ / "none/state"}).code, 73);

    struct receipts *ledger = nullptr;
    ASSERT_EQ(receipts_open(receipts.c_str(), &other, RECEIPTS_SYNC_NEVER, &ledger), STATUS_OK);
    EXPECT_EQ(Send({input, "--receipts", receipts}).code, 73);
    receipts_close(ledger);
    EXPECT_EQ(appliance_.Records(), 0U);
}

TEST_F(CmdSend, WritesAStateThatSaysAllIsDurable)
{
    const std::string id(32, 'b');
    const auto report = Resume(Input(Numbered(100)), {"--producer-id", id});

    EXPECT_EQ(report.at("durable"), 100);
    const std::string state = ReadFile(directory_ / "state");
    EXPECT_NE(state.find("\"complete\": true"), std::string::npos) << state;
    EXPECT_NE(state.find("\"producer_id\": \"" + id + "\""), std::string::npos) << state;
    struct stat found;
    ASSERT_EQ(stat((directory_ / "state").c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600U);
}

TEST_F(CmdSend, ResumesWithoutSendingAnythingTwice)
{
    const std::string input = Input(Numbered(1000));
    Resume(input);

    const auto report = Resume(input);

    EXPECT_EQ(report.at("durable_before"), 1000);
    EXPECT_EQ(report.at("durable"), 0);
    EXPECT_EQ(StoredCount(), 1000U);
}

TEST_F(CmdSend, GoesOnWithAFileThatGrew)
{
    const std::string input = Input(Numbered(100));
    Resume(input);
    std::ofstream(input, std::ios::app) << Numbered(50, "more ");

    EXPECT_EQ(Resume(input).at("durable"), 50);
    EXPECT_EQ(StoredCount(), 150U);
}

TEST_F(CmdSend, SendsAgainWhatTheApplianceHasLost)
{
    const std::string input = Input(Numbered(96));
    Resume(input);
    appliance_.Rewind(1, 11);

    const auto report = Resume(input);

    EXPECT_EQ(report.at("durable"), 22);
    EXPECT_NE(errors_.find("reading again from the start"), std::string::npos) << errors_;
    EXPECT_EQ(Stored(1).back(), "63");
}

TEST_F(CmdSend, GoesOnFromTheStartWhereNoCheckpointWasWritten)
{
    const std::string input = Input(Numbered(96));
    Resume(input);
    std::string state = ReadFile(directory_ / "state");
    const size_t at = state.find("\"lane_records\": [");
    const size_t end = state.find("]", at);
    state.replace(at, end - at, "\"lane_records\": [0, 0, 0");
    for (const std::string field : {"\"offset_bytes\": ", "\"line\": ", "\"records\": "}) {
        const size_t begin = state.find(field) + field.size();
        state.replace(begin, state.find_first_of(",\n", begin) - begin, "0");
    }
    WriteFile(directory_ / "state", state);

    EXPECT_EQ(Resume(input).at("durable_before"), 96);
    EXPECT_EQ(StoredCount(), 96U);
}

TEST_F(CmdSend, MeetsABadLineAgainWhenItIsResumed)
{
    const std::string input = Input("{}\n{}\n{bad\n{}\n");
    Resume(input, {"--format", "ndjson"}, 65);

    EXPECT_EQ(Resume(input, {"--format", "ndjson"}, 65).at("durable_before"), 2);

    EXPECT_NE(errors_.find("input:3: "), std::string::npos) << errors_;
    EXPECT_EQ(StoredCount(), 2U);
}

TEST_F(CmdSend, RefusesToResumeWithAnotherInputOrOtherOptions)
{
    const std::string input = Input("x\n");
    Resume(input);

    Resume(Input("x\n", "other"), {}, 64);
    EXPECT_NE(errors_.find("was begun with other inputs"), std::string::npos) << errors_;
    Resume(input, {"--lanes", "4"}, 64);
    EXPECT_NE(errors_.find("was begun with other lanes: 3 there, 4 now"), std::string::npos);
    Resume(input, {"--topic", "t"}, 64);
    Resume(input, {"--producer-id", std::string(32, 'a')}, 64);
    EXPECT_NE(errors_.find("is of producer"), std::string::npos) << errors_;
    EXPECT_EQ(Send({input, "--lanes", "3", "--state", directory_ / "state"}).code, 64);
    EXPECT_EQ(StoredCount(), 1U);
}

TEST_F(CmdSend, RefusesAStateThatIsDamaged)
{
    const std::string input = Input("x\n");
    WriteFile(directory_ / "state", "{");
    Resume(input, {}, 78);
    WriteFile(directory_ / "state", "{}");
    Resume(input, {}, 78);
    EXPECT_NE(errors_.find("not a state"), std::string::npos) << errors_;
    WriteFile(directory_ / "state", "{\"penstock_send_state\": 2}");
    Resume(input, {}, 78);
    EXPECT_NE(errors_.find("later"), std::string::npos) << errors_;
}

TEST_F(CmdSend, SaysThatTheApplianceForgot)
{
    const std::string input = Input("x\n");
    Resume(input);
    appliance_.Forget();

    Resume(input, {}, 1);

    EXPECT_NE(errors_.find("memory of producer"), std::string::npos) << errors_;
    EXPECT_EQ(StoredCount(), 0U);
}

TEST_F(CmdSend, NoticesAnInputWithFewerRecordsThanWereSent)
{
    const std::string input = Input(Numbered(96));
    Resume(input);
    WriteFile(input, Numbered(10)); // the same file, cut

    Resume(input, {}, 66);
    EXPECT_NE(errors_.find("shorter than it was"), std::string::npos) << errors_;
}

TEST_F(CmdSend, KeepsReceipts)
{
    EXPECT_EQ(Send({Input(Numbered(10)), "--receipts", directory_ / "receipts"}).code, 0);

    EXPECT_GT(ReadFile(directory_ / "receipts").size(), 64U + 56U);
}

UdpAppliance::Options Judging()
{
    UdpAppliance::Options options;
    options.fate = [](const struct native_record &record) -> uint8_t {
        switch (record.value.at[0]) {
        case 'd': return NATIVE_DROPPED;
        case 'r': return NATIVE_QUOTA;
        default: return NATIVE_STORED;
        }
    };
    return options;
}

class CmdSendJudged : public CmdSend {
  protected:
    CmdSendJudged() : CmdSend(Judging()) {}
};

TEST_F(CmdSendJudged, IsContentWithRecordsThatARuleDropped)
{
    const CommandRun run = Send({Input("stored\ndropped\n")});

    EXPECT_EQ(run.code, 0);
    EXPECT_NE(run.out.find("2 records: 1 durable, 1 dropped, 0 refused"), std::string::npos);
}

TEST_F(CmdSendJudged, FailsForRecordsThatWereRefusedAndSaysWhy)
{
    const CommandRun run = Send({Input("stored\nrefused\n")});

    EXPECT_EQ(run.code, 1);
    EXPECT_NE(run.errors.find("refused: over quota"), std::string::npos) << run.errors;
}

UdpAppliance::Options Small()
{
    UdpAppliance::Options options;
    options.max_record_bytes = 500;
    return options;
}

class CmdSendToASmallOne : public CmdSend {
  protected:
    CmdSendToASmallOne() : CmdSend(Small()) {}
};

TEST_F(CmdSendToASmallOne, NeverResumesWhereTheApplianceLeftOutARecord)
{
    const std::string input = Input(std::string(600, 'x') + "\nnext\n");

    Resume(input, {}, 1);
    EXPECT_NE(errors_.find("takes no record of this size"), std::string::npos) << errors_;
    Resume(input, {}, 64);
    EXPECT_NE(errors_.find("cannot be resumed"), std::string::npos) << errors_;
}

} // namespace
