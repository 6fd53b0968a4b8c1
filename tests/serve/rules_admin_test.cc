// What each rule did, as the admin port tells it: Prometheus text, JSON, examples.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <jansson.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "serve/rules_json.h"
#include "serve/rules_metrics.h"
#include "serve/server.h"
#include "serve/text.h"
#include "tests/wire/rules_page_image.h"

namespace {

using Json = std::unique_ptr<json_t, decltype(&json_decref)>;

std::string Taken(struct text *text)
{
    EXPECT_FALSE(text->failed);
    std::string out(text->at != nullptr ? text->at : "", text->len_bytes);
    text_deinit(text);
    return out;
}

std::string Metrics(const RulesPageImage &page)
{
    const struct rules_view view = page.View();
    struct text text;
    text_init(&text);
    rules_metrics_write(&view, &text);
    return Taken(&text);
}

Json Parsed(const std::string &text)
{
    json_error_t error;
    Json out(json_loads(text.c_str(), 0, &error), json_decref);
    EXPECT_NE(out, nullptr) << error.text << " in " << text;
    return out;
}

Json Rules(const RulesPageImage &page)
{
    const struct rules_view view = page.View();
    struct text text;
    text_init(&text);
    rules_json_write(&view, &text);
    return Parsed(Taken(&text));
}

Json Examples(const RulesPageImage &page, size_t rule)
{
    const struct rules_view view = page.View();
    struct text text;
    text_init(&text);
    rules_json_write_examples(&view, rule, &text);
    return Parsed(Taken(&text));
}

std::string StringOf(const json_t *object, const char *name)
{
    const json_t *const member = json_object_get(object, name);
    return json_is_string(member) ? json_string_value(member) : "(no string)";
}

json_int_t NumberOf(const json_t *object, const char *name)
{
    const json_t *const member = json_object_get(object, name);
    return json_is_integer(member) ? json_integer_value(member) : -1;
}

bool Contains(const std::string &text, const std::string &part)
{
    return text.find(part) != std::string::npos;
}

size_t Count(const std::string &text, const std::string &part)
{
    size_t count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        count++;
    }
    return count;
}

// A rule with a number of its own in each field.
void CountAll(struct rule_counts *counts)
{
    counts->matches = 11;
    counts->match_bytes = 12;
    counts->dropped = 13;
    counts->sampled_out = 14;
    counts->limited = 15;
    counts->redacted = 16;
    counts->headers_full = 17;
}

TEST(RulesMetrics, HaveASeriesForEachRuleAndCount)
{
    RulesPageImage page({{"payments"}, {"noisy", /*is_shadow=*/true}}, /*worker_count=*/2);
    CountAll(&page.Counts(0, 1));
    page.Counts(1, 1).matches = 100;

    const std::string text = Metrics(page);

    const std::string labels = "{rule=\"noisy\",mode=\"shadow\"} ";
    EXPECT_TRUE(Contains(text, "\npenstock_rule_matches_total" + labels + "111\n")) << text;
    EXPECT_TRUE(Contains(text, "\npenstock_rule_match_bytes_total" + labels + "12\n"));
    EXPECT_TRUE(Contains(text, "\npenstock_rule_dropped_total" + labels + "13\n"));
    EXPECT_TRUE(Contains(text, "\npenstock_rule_sampled_out_total" + labels + "14\n"));
    EXPECT_TRUE(Contains(text, "\npenstock_rule_limited_total" + labels + "15\n"));
    EXPECT_TRUE(Contains(text, "\npenstock_rule_redacted_total" + labels + "16\n"));
    EXPECT_TRUE(Contains(text, "\npenstock_rule_headers_full_total" + labels + "17\n"));
    EXPECT_TRUE(
        Contains(text, "\npenstock_rule_matches_total{rule=\"payments\",mode=\"enforce\"} 0\n"));
    EXPECT_TRUE(Contains(text, "\npenstock_rules_not_shown 0\n"));
}

TEST(RulesMetrics, EscapeWhatALabelCannotHold)
{
    const RulesPageImage page({{"a\"b\\c\nd"},
                               {u8"gesch\u00e4ft"},
                               {"tab\there"},
                               {"bad\xff"
                                "byte"}});

    const std::string text = Metrics(page);

    EXPECT_TRUE(Contains(text, "{rule=\"a\\\"b\\\\c\\nd\",mode=")) << text;
    EXPECT_TRUE(Contains(text, u8"{rule=\"gesch\u00e4ft\",mode="));
    EXPECT_TRUE(Contains(text, "{rule=\"tab\\\\x09here\",mode="));
    EXPECT_TRUE(Contains(text, "{rule=\"bad\\\\xffbyte\",mode="));
}

TEST(RulesMetrics, OfTooManyRulesThoseWithTheMostMatchesAreShownInFileOrder)
{
    std::vector<RulesPageImage::Rule> rules;
    for (int i = 0; i < RULES_METRICS_SHOWN_MAX + 2; i++) {
        rules.push_back({"r" + std::to_string(i)});
    }
    RulesPageImage page(rules);
    for (size_t i = 0; i < rules.size(); i++) { page.Counts(0, i).matches = 10; }
    page.Counts(0, 3).matches = 9; // these two are the least
    page.Counts(0, 700).matches = 0;
    page.Counts(0, 1001).matches = 5000;

    const std::string text = Metrics(page);

    EXPECT_EQ(Count(text, "penstock_rule_matches_total{"), size_t{RULES_METRICS_SHOWN_MAX});
    EXPECT_TRUE(Contains(text, "\npenstock_rules_not_shown 2\n"));
    EXPECT_FALSE(Contains(text, "{rule=\"r3\","));
    EXPECT_FALSE(Contains(text, "{rule=\"r700\","));
    EXPECT_LT(text.find("matches_total{rule=\"r2\","), text.find("matches_total{rule=\"r4\","));
    EXPECT_LT(text.find("matches_total{rule=\"r1000\","),
              text.find("matches_total{rule=\"r1001\","));
}

TEST(RulesMetrics, WithoutAPageThereAreNone)
{
    struct text text;
    text_init(&text);
    rules_metrics_write(nullptr, &text);
    EXPECT_EQ(Taken(&text), "");
}

// ---------------------------------------------------------------------------------------- JSON

TEST(RulesJson, TellsAllRulesInFileOrder)
{
    RulesPageImage page({{"payments"}, {"no\"isy\n\xff", /*is_shadow=*/true}}, 1, 2, 64);
    CountAll(&page.Counts(0, 1));
    page.Worker(0).judged = 99;

    const Json report = Rules(page);
    const json_t *const rules = json_object_get(report.get(), "rules");
    const json_t *const noisy = json_array_get(rules, 1);

    EXPECT_EQ(StringOf(report.get(), "epoch"), "fedcba9876543210");
    EXPECT_EQ(StringOf(report.get(), "loaded"), "2026-01-01T00:00:00.123Z");
    EXPECT_EQ(NumberOf(report.get(), "generation"), 7);
    EXPECT_EQ(NumberOf(report.get(), "examples_kept"), 2);
    ASSERT_EQ(json_array_size(rules), 2U);
    EXPECT_EQ(StringOf(json_array_get(rules, 0), "name"), "payments");
    EXPECT_EQ(StringOf(json_array_get(rules, 0), "mode"), "enforce");
    EXPECT_EQ(StringOf(noisy, "name"), u8"no\"isy\n\ufffd");
    EXPECT_EQ(StringOf(noisy, "mode"), "shadow");
    EXPECT_EQ(NumberOf(noisy, "judged"), 99);
    EXPECT_EQ(NumberOf(noisy, "matches"), 11);
    EXPECT_EQ(NumberOf(noisy, "match_bytes"), 12);
    EXPECT_EQ(NumberOf(noisy, "dropped"), 13);
    EXPECT_EQ(NumberOf(noisy, "sampled_out"), 14);
    EXPECT_EQ(NumberOf(noisy, "limited"), 15);
    EXPECT_EQ(NumberOf(noisy, "redacted"), 16);
    EXPECT_EQ(NumberOf(noisy, "headers_full"), 17);
}

TEST(RulesJson, OfTenThousandRulesTellsEveryOne)
{
    std::vector<RulesPageImage::Rule> rules;
    for (int i = 0; i < 10000; i++) { rules.push_back({"rule-" + std::to_string(i)}); }

    const Json report = Rules(RulesPageImage(rules));

    EXPECT_EQ(json_array_size(json_object_get(report.get(), "rules")), 10000U);
}

TEST(RulesJson, ExamplesAreTextWhereTheyAreText)
{
    RulesPageImage page({{"a"}}, 1, /*example_count=*/4, /*example_bytes=*/32);
    page.Store(0, 0, 1000, "key", u8"gr\u00fcn \"x\"\n");
    page.Store(0, 0, 2000, std::nullopt, std::string("\xff\0\x01", 3));
    page.Store(0, 0, 3000, "\xfe", std::nullopt);
    page.Store(0, 0, 4000, std::nullopt, std::string(40, 'v'));

    const Json report = Examples(page, 0);
    const json_t *const list = json_object_get(report.get(), "examples");
    const json_t *const cut = json_array_get(list, 0);
    const json_t *const tombstone = json_array_get(list, 1);
    const json_t *const binary = json_array_get(list, 2);
    const json_t *const text = json_array_get(list, 3);

    EXPECT_EQ(StringOf(report.get(), "rule"), "a");
    ASSERT_EQ(json_array_size(list), 4U);
    EXPECT_EQ(StringOf(text, "key"), "key");
    EXPECT_EQ(StringOf(text, "value"), u8"gr\u00fcn \"x\"\n");
    EXPECT_EQ(StringOf(text, "time"), "1970-01-01T00:00:01.000Z");
    EXPECT_TRUE(json_is_false(json_object_get(text, "cut")));
    EXPECT_EQ(StringOf(binary, "value_base64"), "/wAB");
    EXPECT_EQ(json_object_get(binary, "value"), nullptr);
    EXPECT_EQ(json_object_get(binary, "key"), nullptr);
    EXPECT_EQ(StringOf(tombstone, "key_base64"), "/g==");
    EXPECT_TRUE(json_is_null(json_object_get(tombstone, "value")));
    EXPECT_EQ(StringOf(cut, "value"), std::string(32, 'v'));
    EXPECT_TRUE(json_is_true(json_object_get(cut, "cut")));
    EXPECT_EQ(NumberOf(cut, "record_bytes"), 40);
}

// -------------------------------------------------------------------------------- whole server

// The address of this machine that is not loopback, 0: there is none.
in_addr_t OtherAddress()
{
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {};
    socklen_t len_bytes = sizeof address;
    address.sin_family = AF_INET;
    address.sin_port = htons(9);
    address.sin_addr.s_addr = inet_addr("192.0.2.1"); // nothing is sent: the kernel picks a source
    const bool routed =
        connect(fd, reinterpret_cast<struct sockaddr *>(&address), sizeof address) == 0 &&
        getsockname(fd, reinterpret_cast<struct sockaddr *>(&address), &len_bytes) == 0;
    close(fd);
    const in_addr_t found = routed ? address.sin_addr.s_addr : 0;
    return ntohl(found) >> 24 == IN_LOOPBACKNET ? 0 : found;
}

std::string Get(in_addr_t to, uint16_t port, const std::string &path)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = to;
    const struct timeval patience = {5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(connect(fd, reinterpret_cast<struct sockaddr *>(&address), sizeof address), 0);
    const std::string whole = "GET " + path + " HTTP/1.0\r\n\r\n";
    EXPECT_EQ(send(fd, whole.data(), whole.size(), MSG_NOSIGNAL), ssize_t(whole.size()));
    std::string out;
    char bytes[4096];
    for (ssize_t came = 1; came > 0;) {
        came = recv(fd, bytes, sizeof bytes, 0);
        if (came > 0) { out.append(bytes, size_t(came)); }
    }
    close(fd);
    return out;
}

struct RulesServer : testing::Test {
    std::string runtime;
    struct server *server = nullptr;
    std::thread loop;

    RulesServer()
    {
        char name[] = "/tmp/penstock-serve-rules-XXXXXX";
        runtime = mkdtemp(name);
        struct server_options options = {};
        options.node = "edge-17";
        options.runtime = runtime.c_str();
        options.kafka_host = "127.0.0.1";
        options.admin_host = "0.0.0.0";
        options.connections_max = 4;
        EXPECT_EQ(server_create(&options, &server), STATUS_OK);
        loop = std::thread([this] { server_run(server); });
    }
    ~RulesServer() override
    {
        kill(getpid(), SIGTERM);
        loop.join();
        server_destroy(server);
        std::filesystem::remove_all(runtime);
    }
    std::string Ask(const std::string &path, in_addr_t to = htonl(INADDR_LOOPBACK))
    {
        return Get(to, server_admin_port(server), path);
    }
};

TEST_F(RulesServer, FollowsThePageThatHasTheName)
{
    EXPECT_TRUE(Contains(Ask("/rules"), " 503 "));
    EXPECT_FALSE(Contains(Ask("/metrics"), "penstock_rule_matches_total"));
    RulesPageImage page({{"first"}});
    page.Counts(0, 0).matches = 5;
    page.Write(runtime);
    EXPECT_TRUE(Contains(Ask("/rules"), "\"name\":\"first\""));
    EXPECT_TRUE(Contains(Ask("/metrics"),
                         "penstock_rule_matches_total{rule=\"first\",mode=\"enforce\"} 5\n"));

    RulesPageImage({{"second"}}).Write(runtime);

    EXPECT_TRUE(Contains(Ask("/rules"), "\"name\":\"second\""));
    EXPECT_FALSE(Contains(Ask("/rules"), "first"));
}

TEST_F(RulesServer, GivesExamplesOfARuleByItsName)
{
    RulesPageImage page({{"a"}, {"b c&d"}}, 1, 1, 64);
    page.Store(0, 1, 1, std::nullopt, "seen");
    page.Write(runtime);

    const std::string seen = Ask("/rules/examples?rule=b%20c%26d");

    EXPECT_TRUE(Contains(seen, "200 OK"));
    EXPECT_TRUE(Contains(seen, "\"value\":\"seen\"")) << seen;
    EXPECT_TRUE(Contains(Ask("/rules/examples?rule=a"), "\"examples\":[]"));
    EXPECT_TRUE(Contains(Ask("/rules/examples?rule=nobody"), " 404 "));
    EXPECT_TRUE(Contains(Ask("/rules/examples"), " 400 "));
    EXPECT_TRUE(Contains(Ask("/rules/examples?rule"), " 400 "));
}

TEST_F(RulesServer, GivesExamplesToThisMachineAlone)
{
    const in_addr_t other = OtherAddress();
    if (other == 0) { GTEST_SKIP() << "this machine has no address but loopback"; }
    RulesPageImage page({{"a"}}, 1, 1, 64);
    page.Store(0, 0, 1, std::nullopt, "secret");
    page.Write(runtime);

    const std::string refusal = Ask("/rules/examples?rule=a", other);

    EXPECT_TRUE(Contains(refusal, " 403 ")) << refusal;
    EXPECT_FALSE(Contains(refusal, "secret"));
    EXPECT_TRUE(Contains(Ask("/rules", other), "200 OK"));
    EXPECT_FALSE(Contains(Ask("/rules", other), "secret"));
}

} // namespace
