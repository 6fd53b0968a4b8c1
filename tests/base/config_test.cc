#include "base/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

const std::filesystem::path kFolder = CONFIG_TEST_FOLDER; // tests/base/config

std::string FileText(const std::filesystem::path &path)
{
    std::ifstream in(path, std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

std::vector<std::string> YamlNames(const char *folder)
{
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(kFolder / folder)) {
        if (entry.path().extension() == ".yaml") { names.push_back(entry.path().stem()); }
    }
    std::sort(names.begin(), names.end());
    return names;
}

/* One configuration (or none) and what was said about it. */
class Loaded {
  public:
    explicit Loaded(const std::string &text, const char *name = "/etc/penstock/t.yaml")
        : diagnostics_(diagnostics_create(), diagnostics_destroy),
          config_(config_load_text(text.data(), text.size(), name, diagnostics_.get()),
                  config_destroy)
    {}

    const struct config *operator->() const { return config_.get(); }
    bool Refused() const { return config_ == nullptr; }
    size_t ErrorCount() const { return diagnostics_error_count(diagnostics_.get()); }

    std::string Printed() const
    {
        char *text = nullptr;
        size_t len_bytes = 0;
        FILE *const out = open_memstream(&text, &len_bytes);
        diagnostics_print(diagnostics_.get(), out);
        fclose(out);
        const std::string printed(text, len_bytes);
        free(text);
        return printed;
    }

  private:
    std::unique_ptr<struct diagnostics, decltype(&diagnostics_destroy)> diagnostics_;
    std::unique_ptr<struct config, decltype(&config_destroy)> config_;
};

/* The least that is accepted, and `more` behind it. */
std::string Smallest(const std::string &more = "")
{
    return "node: edge-17\n"
           "workers: { cores: [0] }\n"
           "ports: [{ device: net_null0, address: 192.0.2.10/24 }]\n"
           "topics: [{ name: events }]\n"
           "listeners: [{ protocol: lines, port: 5140, topic: events }]\n"
           "storage: { paths: [/data] }\n" +
           more;
}

// ---- files that are right, and files that are wrong ------------------------------------------

class GoodConfig : public testing::TestWithParam<std::string> {};

TEST_P(GoodConfig, IsAccepted)
{
    const Loaded loaded(FileText(kFolder / "good" / (GetParam() + ".yaml")));

    EXPECT_EQ(loaded.ErrorCount(), 0U) << loaded.Printed();
    EXPECT_FALSE(loaded.Refused());
}

INSTANTIATE_TEST_SUITE_P(Files, GoodConfig, testing::ValuesIn(YamlNames("good")),
                         [](const auto &info) { return info.param; });

class BadConfig : public testing::TestWithParam<std::string> {};

TEST_P(BadConfig, IsRefusedInTheWordsOfItsExpectedFile)
{
    const std::string name = GetParam() + ".yaml";
    const Loaded loaded(FileText(kFolder / "bad" / name), name.c_str());

    EXPECT_TRUE(loaded.Refused());
    EXPECT_EQ(loaded.Printed(), FileText(kFolder / "bad" / (GetParam() + ".expected")));
}

INSTANTIATE_TEST_SUITE_P(Files, BadConfig, testing::ValuesIn(YamlNames("bad")),
                         [](const auto &info) { return info.param; });

TEST(BadConfigs, AreManyEnough)
{
    EXPECT_GE(YamlNames("bad").size(), 100U); // so that a lost folder is noticed
}

// ---- what is read ------------------------------------------------------------------------------

TEST(Config, TopicsHaveTheirOwnCodecsAndNoneByDefault)
{
    const std::string text =
        "node: edge-17\n"
        "workers: { cores: [0], compression_share: 40 }\n"
        "ports: [ { device: net_null0, address: 192.0.2.10/24 } ]\n"
        "topics: [ { name: a }, { name: b, compression: lz4 }, { name: c, compression: zstd },\n"
        "          { name: d, compression: none } ]\n"
        "listeners: [ { protocol: lines, port: 5140, topic: a } ]\n"
        "storage: { paths: [/var/lib/penstock] }\n";
    const Loaded config(text);
    ASSERT_FALSE(config.Refused()) << config.Printed();

    EXPECT_EQ(config->workers.compression_percent, 40U);
    EXPECT_EQ(config->topics[0].compression, CONFIG_COMPRESSION_NONE);
    EXPECT_EQ(config->topics[1].compression, CONFIG_COMPRESSION_LZ4);
    EXPECT_EQ(config->topics[2].compression, CONFIG_COMPRESSION_ZSTD);
    EXPECT_EQ(config->topics[3].compression, CONFIG_COMPRESSION_NONE);
    const Loaded usual(FileText(kFolder / "good" / "design.yaml"));
    EXPECT_EQ(usual->workers.compression_percent, 25U);
}

TEST(Config, FillsEveryFieldOfTheDesignsExample)
{
    const Loaded config(FileText(kFolder / "good" / "design.yaml"));
    ASSERT_FALSE(config.Refused()) << config.Printed();

    EXPECT_STREQ(config->node, "edge-17");
    EXPECT_EQ(config->workers.count, 2U);
    EXPECT_EQ(config->workers.cores[1], 1U);
    EXPECT_EQ(config->workers.polling, CONFIG_POLLING_BUSY);

    ASSERT_EQ(config->port_count, 1U);
    EXPECT_EQ(config->ports[0].devices.count, 1U);
    EXPECT_STREQ(config->ports[0].devices.items[0], "0000:3b:00.0");
    EXPECT_EQ(config->ports[0].address, 0xc000020aU);
    EXPECT_EQ(config->ports[0].prefix_bits, 24U);
    EXPECT_EQ(config->ports[0].gateway, 0xc0000201U);
    EXPECT_EQ(config->ports[0].vlan, 100);
    EXPECT_EQ(config->ports[0].mtu_bytes, 1500);

    ASSERT_EQ(config->listener_count, 2U);
    EXPECT_EQ(config->listeners[0].protocol, CONFIG_PROTOCOL_SYSLOG);
    EXPECT_EQ(config->listeners[0].port, 514);
    EXPECT_EQ(config->listeners[0].topic, CONFIG_NO_TOPIC);
    EXPECT_EQ(config->listeners[0].syslog_value, CONFIG_SYSLOG_PARSED);
    EXPECT_EQ(config->listeners[1].protocol, CONFIG_PROTOCOL_LINES);
    EXPECT_EQ(config->listeners[1].topic, 0);
    EXPECT_EQ(config->listeners[1].place.line, 11U);
    EXPECT_EQ(config_topic_find(config.operator->(), "payments"), 1);
    EXPECT_EQ(config_topic_find(config.operator->(), "audit"), CONFIG_NO_TOPIC);

    EXPECT_STREQ(config->storage.paths.items[0], "/var/lib/penstock");
    EXPECT_EQ(config->storage.segment_bytes, UINT64_C(1) << 30);
    EXPECT_EQ(config->storage.commit_bytes, UINT64_C(1) << 20);
    EXPECT_EQ(config->storage.commit_linger_ns, 2000000U);
    EXPECT_EQ(config->storage.retain_bytes, UINT64_C(800) << 30);
    EXPECT_EQ(config->storage.retain_age_ns, UINT64_C(72) * 3600 * 1000000000);

    EXPECT_STREQ(config->serve.kafka.host, "0.0.0.0");
    EXPECT_EQ(config->serve.kafka.port, 9092);
    EXPECT_STREQ(config->serve.advertise.host, "edge-17");
    EXPECT_STREQ(config->serve.admin.host, "127.0.0.1");
    EXPECT_EQ(config->serve.admin.port, 9640);
    EXPECT_STREQ(config->runtime, "/dev/shm/penstock");
    EXPECT_EQ(config->dpdk.extra_arguments.count, 2U);
    EXPECT_STREQ(config->dpdk.extra_arguments.items[1], "--iova-mode=va");
    EXPECT_EQ(config->dpdk.memory_bytes, UINT64_C(1) << 30);
}

TEST(Config, TakesTheTablesDefaultsForWhatIsLeftOut)
{
    const Loaded config(Smallest());
    ASSERT_FALSE(config.Refused()) << config.Printed();

    EXPECT_EQ(config->ports[0].mtu_bytes, 1500);
    EXPECT_EQ(config->ports[0].gateway, 0U);
    EXPECT_EQ(config->ports[0].vlan, 0);
    EXPECT_EQ(config->rules_path, nullptr);
    EXPECT_EQ(config->storage.segment_bytes, UINT64_C(1) << 30);
    EXPECT_EQ(config->storage.commit_bytes, UINT64_C(1) << 20);
    EXPECT_EQ(config->storage.commit_linger_ns, 2000000U);
    EXPECT_EQ(config->storage.commits_in_flight, 4U);
    EXPECT_EQ(config->storage.ring_bytes, UINT64_C(64) << 20);
    EXPECT_EQ(config->storage.retain_bytes, 0U);
    EXPECT_EQ(config->storage.retain_age_ns, 0U);
    EXPECT_STREQ(config->serve.kafka.host, "0.0.0.0");
    EXPECT_EQ(config->serve.kafka.port, 9092);
    EXPECT_EQ(config->serve.advertise.host, nullptr);
    EXPECT_STREQ(config->serve.admin.host, "127.0.0.1");
    EXPECT_EQ(config->serve.cache_bytes, UINT64_C(64) << 20);
    EXPECT_EQ(config->serve.cold_read_bytes_per_s, 0U);
    EXPECT_EQ(config->serve.connections_max, 1000U);
    EXPECT_STREQ(config->runtime, "/dev/shm/penstock");
    EXPECT_EQ(config->dpdk.memory_bytes, UINT64_C(256) << 20);
}

TEST(Config, ReadsTheKeysThatTheExampleLeavesOut)
{
    const Loaded config(Smallest("serve: { cold_read: 200MiB, cache: 1GiB, connections: 7 }\n"
                                 "dpdk: { arguments: [] }\n"));
    ASSERT_FALSE(config.Refused()) << config.Printed();

    EXPECT_EQ(config->serve.cold_read_bytes_per_s, UINT64_C(200) << 20);
    EXPECT_EQ(config->serve.cache_bytes, UINT64_C(1) << 30);
    EXPECT_EQ(config->serve.connections_max, 7U);
    EXPECT_EQ(config->dpdk.extra_arguments.count, 0U);
}

TEST(Config, TheRulesPathStartsAtTheFilesFolder)
{
    const Loaded beside(Smallest("rules: r.yaml"), "/etc/penstock/p.yaml");
    const Loaded absolute(Smallest("rules: /r.yaml"), "/etc/penstock/p.yaml");
    const Loaded here(Smallest("rules: r.yaml"), "p.yaml");

    EXPECT_STREQ(beside->rules_path, "/etc/penstock/r.yaml");
    EXPECT_STREQ(absolute->rules_path, "/r.yaml");
    EXPECT_STREQ(here->rules_path, "r.yaml");
}

TEST(Config, AnIpv6EndpointLosesItsBrackets)
{
    const Loaded config(Smallest("serve: { kafka: '[::1]:9092' }"));

    ASSERT_FALSE(config.Refused()) << config.Printed();
    EXPECT_STREQ(config->serve.kafka.host, "::1");
}

TEST(Config, AListOfDevicesIsOnePort)
{
    const Loaded config(FileText(kFolder / "good" / "one_queue_devices.yaml"));

    ASSERT_FALSE(config.Refused()) << config.Printed();
    ASSERT_EQ(config->port_count, 1U);
    ASSERT_EQ(config->ports[0].devices.count, 2U);
    EXPECT_STREQ(config->ports[0].devices.items[1], "net_af_packet1,iface=b");
}

TEST(Config, ACoreThatThisMachineLacksIsAWarningOnly)
{
    std::string text = Smallest();
    text.replace(text.find("[0]"), 3, "[1023]");
    const Loaded config(text);

    EXPECT_FALSE(config.Refused());
    EXPECT_EQ(config.Printed(), "/etc/penstock/t.yaml:2:20: warning: core 1023 is not on this "
                                "machine; fine if the file is for another one\n");
}

// Without the native protocol nobody asks for such a record, and one that was asked for is refused
// (bad/lanes.yaml).
TEST(Config, CommitsTooSmallForTheDefaultRecordAreAWarningWithNativeListenersOnly)
{
    std::string text = Smallest();
    text.replace(text.find("[/data]"), 7, "[/data], commit: { bytes: 256KiB }");
    const Loaded lines(text);
    text.replace(text.find("lines"), 5, "native");
    const Loaded native(text);

    EXPECT_EQ(lines.Printed(), "");
    EXPECT_FALSE(native.Refused());
    EXPECT_NE(native.Printed().find(
                  "warning: native records are at most 192KiB in such commits, not the 900KiB that "
                  "'lanes.max_record' is by default"),
              std::string::npos)
        << native.Printed();
}

TEST(Config, RetentionLeavesRoomForTheSegmentsOfEveryWorker)
{
    std::string text = Smallest();
    text.replace(text.find("[0]"), 3, "[0, 1]");
    text.replace(text.find("[/data]"), 7, "[/data], retain: { bytes: 3GiB }");
    const Loaded config(text);

    EXPECT_EQ(config.ErrorCount(), 1U);
    EXPECT_NE(config.Printed().find("2 segments for each of 2 workers need 4GiB or more"),
              std::string::npos)
        << config.Printed();
}

TEST(Config, PlacesPointIntoTheConfigurationNotIntoTheTree)
{
    const Loaded config(Smallest());

    ASSERT_FALSE(config.Refused());
    EXPECT_EQ(config->topics[0].place.file, config->path);
    EXPECT_EQ(config->listeners[0].place.file, config->path);
}

TEST(Config, AFileThatIsNotThereIsRefusedByName)
{
    const std::unique_ptr<struct diagnostics, decltype(&diagnostics_destroy)> diagnostics(
        diagnostics_create(), diagnostics_destroy);

    EXPECT_EQ(config_load("/nowhere/p.yaml", diagnostics.get()), nullptr);

    EXPECT_EQ(diagnostics_error_count(diagnostics.get()), 1U);
    EXPECT_STREQ(diagnostics_at(diagnostics.get(), 0)->place.file, "/nowhere/p.yaml");
}

} // namespace
