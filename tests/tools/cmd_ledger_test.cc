#include <gtest/gtest.h>
#include <jansson.h>

#include <fstream>
#include <memory>
#include <string>

#include "tests/tools/penstock_run.h"
#include "tests/tools/runtime_pages.h"

namespace {

using Json = std::unique_ptr<json_t, decltype(&json_decref)>;

/* 10 frames and 100 records on partition 0, all accounted for; nothing on partition 1. */
void Balance(RuntimePages &pages)
{
    struct stats_page &stats = pages.Stats(0);
    stats.counters[STATS_frames_received] = 10;
    stats.counters[STATS_frames_lines] = 7;
    stats.counters[STATS_frames_udp_bad_checksum] = 2;
    stats.counters[STATS_frames_no_listener] = 1;
    stats.counters[STATS_records_in] = 100;
    stats.counters[STATS_records_stored] = 80;
    stats.counters[STATS_records_dropped_by_rule] = 10;
    stats.counters[STATS_records_refused_too_large] = 4;
    stats.counters[STATS_records_lost_at_crash] = 1;
    stats.counters[STATS_records_stored_copies] = 30;
    stats.records_in_flight = 5;
}

std::string Ledger(const RuntimePages &pages, const std::string &options, int *code)
{
    const PenstockRun run = Penstock("ledger --runtime " + pages.Folder() + " " + options);
    *code = run.code;
    return run.out;
}

bool HasLine(const std::string &text, const std::string &name, const std::string &value)
{
    for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
        const size_t begin = text.find_first_not_of(' ', at + name.size());
        const size_t end = text.find_first_of(" \n", begin);
        if (begin != std::string::npos && text.substr(begin, end - begin) == value) { return true; }
    }
    return false;
}

TEST(Ledger, OfABalancedNodeHasNoResidueAndExitsZero)
{
    RuntimePages pages(2);
    Balance(pages);
    int code;

    const std::string out = Ledger(pages, "", &code);

    EXPECT_EQ(code, 0) << out;
    EXPECT_TRUE(HasLine(out, "frames received", "10")) << out;
    EXPECT_TRUE(HasLine(out, "- passed on", "7")) << out;
    EXPECT_TRUE(HasLine(out, "- malformed", "2")) << out;
    EXPECT_TRUE(HasLine(out, "frames_udp_bad_checksum", "2")) << out;
    EXPECT_TRUE(HasLine(out, "- not ours", "1")) << out;
    EXPECT_TRUE(HasLine(out, "records in", "100")) << out;
    EXPECT_TRUE(HasLine(out, "- stored", "80")) << out;
    EXPECT_TRUE(HasLine(out, "- in flight", "5")) << out;
    EXPECT_TRUE(HasLine(out, "entries stored", "110")) << out;
    EXPECT_TRUE(HasLine(out, "= residue", "0")) << out;
}

TEST(Ledger, OfAMissingFrameExitsOneAndShowsTheResidue)
{
    RuntimePages pages(2);
    Balance(pages);
    pages.Stats(0).counters[STATS_frames_received] += 3;
    int code;

    const std::string out = Ledger(pages, "", &code);

    EXPECT_EQ(code, 1);
    EXPECT_TRUE(HasLine(out, "= residue", "3")) << out;
}

TEST(Ledger, ResiduesOfTwoPartitionsDoNotHideEachOther)
{
    RuntimePages pages(2);
    Balance(pages);
    pages.Stats(0).counters[STATS_records_in] += 3;
    pages.Stats(1).counters[STATS_records_stored] += 3;
    int code;

    const std::string out = Ledger(pages, "", &code);

    EXPECT_EQ(code, 1);
    EXPECT_TRUE(HasLine(out, "= residue", "0")) << out; // the node's sum
}

TEST(Ledger, HidesZerosUnlessAskedForAll)
{
    RuntimePages pages(1);
    Balance(pages);
    int code;

    const std::string brief = Ledger(pages, "", &code);
    const std::string all = Ledger(pages, "--all", &code);

    EXPECT_EQ(brief.find("frames_ipv6"), std::string::npos);
    EXPECT_TRUE(HasLine(all, "frames_ipv6", "0")) << all;
}

TEST(Ledger, APortThatCannotCountItsLossSaysUnknown)
{
    RuntimePages pages(1);
    pages.AddPort("net_af_packet0", /*loss_known=*/false);
    pages.AddPort("0000:3b:00.0", /*loss_known=*/true).missed_frames = 99;
    int code;

    const std::string out = Ledger(pages, "", &code);

    EXPECT_NE(out.find("net_af_packet0 (net_test): loss unknown"), std::string::npos) << out;
    EXPECT_NE(out.find("0000:3b:00.0 (net_test): 99 missed"), std::string::npos) << out;
}

TEST(Ledger, JsonHasEveryCounterZerosIncluded)
{
    RuntimePages pages(2);
    Balance(pages);
    pages.AddPort("net_af_packet0", /*loss_known=*/false);
    int code;

    const std::string out = Ledger(pages, "--json", &code);
    const Json report(json_loads(out.c_str(), 0, nullptr), json_decref);
    ASSERT_NE(report, nullptr) << out;

    json_t *const frames = json_object_get(report.get(), "frames");
    json_t *const foreign = json_object_get(frames, "foreign");
    json_t *const port = json_array_get(json_object_get(report.get(), "ports"), 0);
    EXPECT_EQ(code, 0);
    EXPECT_TRUE(json_is_true(json_object_get(report.get(), "balanced")));
    EXPECT_EQ(json_integer_value(json_object_get(frames, "received")), 10);
    EXPECT_EQ(json_integer_value(json_object_get(foreign, "sum")), 1);
    EXPECT_TRUE(json_is_integer(json_object_get(json_object_get(foreign, "by"), "frames_ipv6")));
    EXPECT_STREQ(json_string_value(json_object_get(port, "lost")), "unknown");
    EXPECT_EQ(json_array_size(json_object_get(report.get(), "partitions")), 2U);
}

TEST(Ledger, WithoutANodeExitsSixtyNine)
{
    const PenstockRun run = Penstock("ledger --runtime /tmp/penstock-tools-test-none");

    EXPECT_EQ(run.code, 69);
    EXPECT_EQ(run.out, "penstock: /tmp/penstock-tools-test-none/root: not found\n");
}

TEST(Ledger, RefusesPagesOfAnotherVersion)
{
    RuntimePages pages(1);
    pages.Stats(0).version = SHARED_VERSION + 1;
    int code;

    const std::string out = Ledger(pages, "", &code);

    EXPECT_EQ(code, 69);
    EXPECT_EQ(out, "penstock: " + pages.Folder() + "/stats-0000: not supported\n");
}

TEST(Ledger, RefusesMorePartitionsThanTheRootPageHolds)
{
    RuntimePages pages(1);
    pages.Root().partition_count = ROOT_PARTITIONS_MAX + 1;
    int code;

    (void)Ledger(pages, "", &code);

    EXPECT_EQ(code, 69);
}

TEST(Ledger, FindsTheRuntimeDirectoryInTheConfiguration)
{
    RuntimePages pages(1);
    const std::string config = pages.Folder() + "/penstock.yaml";
    std::ofstream(config) << "node: edge-17\n"
                             "workers: { cores: [0] }\n"
                             "ports: [{ device: net_null0, address: 192.0.2.10/24 }]\n"
                             "topics: [{ name: events }]\n"
                             "listeners: [{ protocol: lines, port: 5140, topic: events }]\n"
                             "storage: { paths: [/data] }\n"
                             "runtime: "
                          << pages.Folder() << "\n";

    EXPECT_EQ(Penstock("ledger -c " + config).code, 0);
    EXPECT_EQ(Penstock("ledger -c " + pages.Folder() + "/none.yaml").code, 66);
    EXPECT_EQ(Penstock("ledger -c " + pages.Folder()).code, 66);
}

} // namespace
