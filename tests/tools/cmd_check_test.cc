#include <gtest/gtest.h>
#include <jansson.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "tests/tools/penstock_run.h"

namespace {

const char *const kGood = "node: edge-17\n"
                          "workers: { cores: [0] }\n"
                          "ports: [{ device: net_null0, address: 192.0.2.10/24 }]\n"
                          "topics: [{ name: events }]\n"
                          "listeners: [{ protocol: lines, port: 5140, topic: events }]\n"
                          "storage: { paths: [/data] }\n";

class Check : public testing::Test {
  protected:
    Check()
    {
        char path[] = "/tmp/penstock-check-test-XXXXXX";
        folder_ = mkdtemp(path);
    }
    ~Check() override { std::filesystem::remove_all(folder_); }

    std::string File(const char *name, const std::string &text)
    {
        std::ofstream(folder_ + "/" + name) << text;
        return folder_ + "/" + name;
    }

    std::string folder_;
};

TEST_F(Check, AGoodFileIsOk)
{
    const std::string path = File("good.yaml", kGood);

    const PenstockRun run = Penstock("check " + path);

    EXPECT_EQ(run.code, 0);
    EXPECT_EQ(run.out, path + ": ok\n");
}

TEST_F(Check, EveryErrorOfABadFileGoesToStderrWithItsPlace)
{
    const std::string path = File("bad.yaml", std::string(kGood) + "colour: blue\nruntime: run\n");

    const PenstockRun run = Penstock("check " + path);
    const PenstockRun stdout_alone = Penstock("check " + path + " 2>/dev/null");

    EXPECT_EQ(run.code, 78);
    EXPECT_NE(run.out.find(path + ":7:1: error: unknown key 'colour'"), std::string::npos);
    EXPECT_NE(run.out.find(path + ":8:10: error: 'run' does not begin with '/'"),
              std::string::npos);
    EXPECT_EQ(run.out.find("ok"), std::string::npos);
    EXPECT_NE(stdout_alone.out, "");
}

TEST_F(Check, AFileThatCannotBeReadHasItsOwnCode)
{
    const PenstockRun run = Penstock("check " + folder_ + "/none.yaml");

    EXPECT_EQ(run.code, 66);
    EXPECT_EQ(run.out,
              folder_ + "/none.yaml: error: cannot be opened: No such file or directory\n");
}

TEST_F(Check, TheWorstOfSeveralFilesDecides)
{
    const std::string good = File("good.yaml", kGood);
    const std::string bad = File("bad.yaml", "x: 1\n");

    EXPECT_EQ(Penstock("check " + bad + " " + good).code, 78);
    EXPECT_EQ(Penstock("check " + folder_ + "/none.yaml " + bad + " " + good).code, 78);
    EXPECT_NE(Penstock("check " + bad + " " + good).out.find(good + ": ok"), std::string::npos);
}

TEST_F(Check, TheRulesAreCheckedWithTheFileThatNamesThem)
{
    const std::string rules =
        File("rules.yaml", "rules:\n"
                           "  - { name: a, when: 'x', do: { route: nowhere } }\n"
                           "default: drop\n");
    const std::string path = File("p.yaml", std::string(kGood) + "rules: rules.yaml\n");

    const PenstockRun wrong = Penstock("check " + path);
    File("rules.yaml", "rules:\n"
                       "  - { name: a, when: 'x', do: { route: events } }\n"
                       "default: drop\n");
    const PenstockRun right = Penstock("check " + path);

    EXPECT_EQ(wrong.code, 78);
    EXPECT_EQ(wrong.out.rfind(rules + ":2:", 0), 0U) << wrong.out;
    EXPECT_EQ(right.code, 0) << right.out;
}

TEST_F(Check, AMissingRulesFileIsToldWhereItIsNamed)
{
    const std::string path = File("p.yaml", std::string(kGood) + "rules: r.yaml\n");

    const PenstockRun run = Penstock("check " + path);

    EXPECT_EQ(run.code, 78);
    EXPECT_EQ(run.out, path + ":7:8: error: rules: " + folder_ +
                           "/r.yaml cannot be opened: No such file or directory\n");
}

TEST_F(Check, AFolderOrAFifoCannotBeRead)
{
    const std::string fifo = folder_ + "/fifo";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);

    const PenstockRun of_folder = Penstock("check " + folder_);
    const PenstockRun of_fifo = Penstock("check " + fifo);

    EXPECT_EQ(of_folder.code, 66);
    EXPECT_EQ(of_fifo.code, 66);
    EXPECT_EQ(of_fifo.out, fifo + ": error: cannot be read: it is no regular file\n");
}

TEST_F(Check, WithoutAFileIsAMisuse) { EXPECT_EQ(Penstock("check").code, 64); }

TEST_F(Check, JsonNamesFilesPlacesAndTexts)
{
    const std::string good = File("good.yaml", kGood);
    const std::string bad = File("bad.yaml", std::string(kGood) + "runtime: run\n");

    const PenstockRun run = Penstock("check --json " + good + " " + bad);
    const std::unique_ptr<json_t, decltype(&json_decref)> report(
        json_loads(run.out.c_str(), 0, nullptr), json_decref);
    ASSERT_NE(report, nullptr) << run.out;

    json_t *const second = json_array_get(report.get(), 1);
    json_t *const item = json_array_get(json_object_get(second, "diagnostics"), 0);
    EXPECT_EQ(run.code, 78);
    EXPECT_TRUE(json_is_true(json_object_get(json_array_get(report.get(), 0), "ok")));
    EXPECT_TRUE(json_is_false(json_object_get(second, "ok")));
    EXPECT_STREQ(json_string_value(json_object_get(item, "file")), bad.c_str());
    EXPECT_EQ(json_integer_value(json_object_get(item, "line")), 7);
    EXPECT_EQ(json_integer_value(json_object_get(item, "column")), 10);
    EXPECT_STREQ(json_string_value(json_object_get(item, "severity")), "error");
}

TEST_F(Check, JsonNamesAFileWhoseNameIsNoUtf8)
{
    const std::string path = File("b\xff.yaml", kGood);

    const PenstockRun run = Penstock("check --json " + path);
    const std::unique_ptr<json_t, decltype(&json_decref)> report(
        json_loads(run.out.c_str(), 0, nullptr), json_decref);
    ASSERT_NE(report, nullptr) << run.out;

    json_t *const file = json_object_get(json_array_get(report.get(), 0), "file");
    EXPECT_EQ(json_string_value(file), folder_ + "/b?.yaml");
}

} // namespace
