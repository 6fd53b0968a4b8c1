#include <gtest/gtest.h>
#include <jansson.h>

#include <memory>
#include <sstream>
#include <string>

#include "base/histogram.h"
#include "tests/tools/penstock_run.h"
#include "tests/tools/runtime_pages.h"

namespace {

using Json = std::unique_ptr<json_t, decltype(&json_decref)>;

PenstockRun Status(const RuntimePages &pages, const std::string &options)
{
    return Penstock("status --runtime " + pages.Folder() + " " + options);
}

bool Contains(const std::string &text, const std::string &part)
{
    return text.find(part) != std::string::npos;
}

TEST(Status, OfARunningNodeShowsItsStateAndItsWorkers)
{
    RuntimePages pages(1);
    struct stats_page &stats = pages.Stats(0);
    stats.core = 3;
    stats.counters[STATS_records_in] = 1500;
    stats.counters[STATS_worker_cycles_busy] = 25;
    stats.counters[STATS_worker_cycles_empty] = 75;
    histogram_add(&stats.receive_to_durable, 3 * NS_PER_MS, 10);

    const PenstockRun run = Status(pages, "");

    EXPECT_EQ(run.code, 0);
    EXPECT_TRUE(Contains(run.out, "edge-17: running, incarnation 7, pid " +
                                      std::to_string(pages.Root().pid)))
        << run.out;
    EXPECT_TRUE(Contains(run.out, "25.0%")) << run.out;
    EXPECT_TRUE(Contains(run.out, "1.50 k")) << run.out;
    EXPECT_TRUE(Contains(run.out, "3.00 ms")) << run.out;
    EXPECT_TRUE(Contains(run.out, "open")) << run.out;
}

TEST(Status, OfADeadNodeSaysSoAndShowsTheLastValues)
{
    RuntimePages pages(1);
    pages.Root().heartbeat_ns = clock_mono_ns() - UINT64_C(2) * ROOT_HEARTBEAT_STALE_NS;
    pages.Stats(0).counters[STATS_records_in] = 1500;

    const PenstockRun run = Status(pages, "");

    EXPECT_EQ(run.code, 1);
    EXPECT_TRUE(Contains(run.out, "edge-17: not running")) << run.out;
    EXPECT_TRUE(Contains(run.out, "1.50 k")) << run.out;
}

TEST(Status, OfAKilledNodeSaysSoWhileItsHeartbeatIsFresh)
{
    RuntimePages pages(1);
    const pid_t killed = fork();
    if (killed == 0) { _exit(0); }
    ASSERT_EQ(waitpid(killed, nullptr, 0), killed); // from here on there is none of that pid
    pages.Root().pid = static_cast<uint32_t>(killed);

    const PenstockRun run = Status(pages, "");

    EXPECT_EQ(run.code, 1);
    EXPECT_TRUE(Contains(run.out, "edge-17: not running")) << run.out;
}

TEST(Status, NamesTheOptionThatItDoesNotKnow)
{
    RuntimePages pages(1);

    const PenstockRun run = Status(pages, "--bogus");

    EXPECT_EQ(run.code, 64);
    EXPECT_TRUE(Contains(run.out, "'--bogus'")) << run.out;
}

TEST(Status, OfANodeThatLeftInOrderIsStopped)
{
    RuntimePages pages(1);
    pages.Root().state = ROOT_STATE_STOPPED;

    const PenstockRun run = Status(pages, "");

    EXPECT_EQ(run.code, 1);
    EXPECT_TRUE(Contains(run.out, "edge-17: stopped")) << run.out;
}

TEST(Status, SaysWhichRulesAreInForceAndWhetherTheyDecide)
{
    RuntimePages pages(2);
    pages.Node().rule_count = 2;
    pages.Node().rules_epoch = 0xfedcba9876543210;
    pages.Node().rules_loaded_wall_ms = clock_now().wall_ms - int64_t{3} * 3600 * MS_PER_S;
    const std::string before = Status(pages, "").out;
    pages.Stats(0).counters[STATS_rules_storms] = 3;
    pages.Stats(1).counters[STATS_rules_storms] = 4;

    const std::string out = Status(pages, "").out;
    const Json report(json_loads(Status(pages, "--json").out.c_str(), 0, nullptr), json_decref);

    const std::string rules = "  2 rules, epoch fedcba9876543210, loaded 3h 00m ago; ";
    EXPECT_TRUE(Contains(before, rules + "0 match storms\n")) << before;
    EXPECT_TRUE(Contains(out, rules + "7 match storms: no rule decided on those records\n")) << out;
    ASSERT_NE(report, nullptr);
    EXPECT_EQ(json_integer_value(json_object_get(report.get(), "rules_storms")), 7);
}

TEST(Status, ShowsLanesOfARunningNodeOnly)
{
    RuntimePages pages(1);
    pages.Stats(0).lanes_known = 3;

    EXPECT_TRUE(Contains(Status(pages, "").out, "3 lanes known, 0 sessions"));
    pages.Root().state = ROOT_STATE_STOPPED;
    EXPECT_FALSE(Contains(Status(pages, "").out, "lanes known"));
}

TEST(Status, SaysWhatTheLastStartFoundLost)
{
    RuntimePages pages(1);
    EXPECT_FALSE(Contains(Status(pages, "").out, "last start"));
    struct stats_page &stats = pages.Stats(0);
    stats.counters[STATS_recovery_ranges_fenced] = 2;
    stats.counters[STATS_recovery_records_lost] = 14;
    stats.counters[STATS_recovery_offsets_skipped] = 64000;

    const std::string out = Status(pages, "").out;

    EXPECT_TRUE(Contains(out, "part 0: its last start found 2 damaged ranges")) << out;
    EXPECT_TRUE(Contains(out, "14 records lost")) << out;
    EXPECT_TRUE(Contains(out, "skipped 64000 offsets")) << out;
}

TEST(Status, SaysWhatCompressionDid)
{
    RuntimePages pages(1);
    EXPECT_FALSE(Contains(Status(pages, "").out, "compressed"));
    struct stats_page &stats = pages.Stats(0);
    stats.counters[STATS_batches_compressed] = 12;
    stats.counters[STATS_batches_plain_no_time] = 3;
    stats.counters[STATS_batches_plain_no_gain] = 4;
    stats.counters[STATS_compression_in_bytes] = 4096;
    stats.counters[STATS_compression_out_bytes] = 1024;

    const std::string out = Status(pages, "").out;

    EXPECT_TRUE(Contains(out,
                         "part 0: 12 batches compressed (4.00 KiB to 1.00 KiB); stored plain: 3 "
                         "for want of time, 4 that would not shrink"))
        << out;
}

TEST(Status, AClosedLogSaysWhy)
{
    RuntimePages pages(1);
    pages.Root().partitions[0].state = ROOT_LOG_CLOSED;
    pages.Root().partitions[0].why = STATUS_NO_SPACE;

    EXPECT_TRUE(Contains(Status(pages, "").out, "closed (no space left)"));
}

TEST(Status, APortTellsItsLossOrThatItCannot)
{
    RuntimePages pages(1);
    pages.AddPort("net_af_packet0", /*loss_known=*/false);
    pages.AddPort("0000:3b:00.0", /*loss_known=*/true).missed_frames = 12;

    const PenstockRun run = Status(pages, "");

    EXPECT_TRUE(Contains(run.out, "net_af_packet0: driver net_test, link down")) << run.out;
    EXPECT_TRUE(Contains(run.out, "loss: unknown")) << run.out;
    EXPECT_TRUE(Contains(run.out, "loss: 12 missed, 0 no buffer")) << run.out;
}

TEST(Status, JsonHasTheExactNumbers)
{
    RuntimePages pages(2);
    pages.Stats(1).counters[STATS_records_in] = UINT64_C(1234567890123);
    pages.Node().rules_epoch = UINT64_C(0xfedcba9876543210);

    const PenstockRun run = Status(pages, "--json");
    const Json report(json_loads(run.out.c_str(), 0, nullptr), json_decref);
    ASSERT_NE(report, nullptr) << run.out;

    json_t *const second = json_array_get(json_object_get(report.get(), "partitions"), 1);
    json_t *const counters = json_object_get(second, "counters");
    EXPECT_TRUE(json_is_true(json_object_get(report.get(), "running")));
    EXPECT_EQ(json_integer_value(json_object_get(report.get(), "incarnation")), 7);
    EXPECT_STREQ(json_string_value(json_object_get(report.get(), "rules_epoch")),
                 "fedcba9876543210");
    EXPECT_EQ(json_integer_value(json_object_get(counters, "records_in")), INT64_C(1234567890123));
    EXPECT_TRUE(json_is_null(json_object_get(second, "busy_share")));
}

TEST(Status, WatchingGivesASampleASecondAndRatesFromTheSecondOn)
{
    RuntimePages pages(1);
    pages.Stats(0).counters[STATS_records_in] = 1000000; // and none while it is watched

    const PenstockRun run = Status(pages, "--watch --count 2");

    const size_t second = run.out.find(" in/s ");
    ASSERT_NE(second, std::string::npos) << run.out;
    EXPECT_EQ(run.code, 0);
    EXPECT_LT(run.out.find("1.00 M"), second) << run.out;
    EXPECT_EQ(run.out.find("1.00 M", second), std::string::npos) << run.out;
}

TEST(Status, ANameWithoutAnEndMarkIsReadNoFurtherThanItsField)
{
    RuntimePages pages(1);
    struct node_port &port = pages.AddPort("x", /*loss_known=*/true);
    memset(pages.Root().node, 'n', sizeof pages.Root().node);
    memset(port.name, 'p', sizeof port.name);
    memset(port.driver, 'd', sizeof port.driver);

    const PenstockRun run = Status(pages, "");

    EXPECT_TRUE(Contains(run.out, std::string(ROOT_NODE_NAME_BYTES, 'n') + ": running"));
    EXPECT_TRUE(Contains(run.out, std::string(sizeof port.name, 'p') + ": driver " +
                                      std::string(sizeof port.driver, 'd') + ", link"));
}

TEST(Status, WithoutANodeExitsSixtyNine)
{
    EXPECT_EQ(Penstock("status --runtime /tmp/penstock-tools-test-none").code, 69);
}

TEST(Status, ACountNeedsWatchAndANumber)
{
    RuntimePages pages(1);

    EXPECT_EQ(Status(pages, "--count 2").code, 64);
    EXPECT_EQ(Status(pages, "--watch --count 0").code, 64);
    EXPECT_EQ(Status(pages, "--watch --count two").code, 64);
}

} // namespace
