#include "client/penstock.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "client/receipts.h"
#include "tests/client/udp_appliance.h"

namespace {

constexpr int LONG_MS = 20000;

using Settings = std::map<std::string, std::string>;

struct Callbacks {
    penstock_on_report *on_report = nullptr;
    penstock_on_event *on_event = nullptr;
    void *context = nullptr;
};

struct penstock_producer *TryNew(const Settings &settings, const Callbacks &callbacks,
                                 std::string *error)
{
    char text[PENSTOCK_ERROR_BYTES] = "";
    struct penstock_config *const config = penstock_config_new();
    for (const auto &[key, value] : settings) {
        EXPECT_EQ(penstock_config_set(config, key.c_str(), value.c_str(), text, sizeof text),
                  PENSTOCK_OK)
            << text;
    }
    penstock_config_on_report(config, callbacks.on_report, callbacks.context);
    penstock_config_on_event(config, callbacks.on_event, callbacks.context);
    struct penstock_producer *const producer = penstock_producer_new(config, text, sizeof text);
    penstock_config_free(config);
    *error = text;
    return producer;
}

/* A producer, freed at the end of the scope. */
class Producer {
  public:
    explicit Producer(const Settings &settings, const Callbacks &callbacks = {})
    {
        std::string error;
        producer_ = TryNew(settings, callbacks, &error);
        EXPECT_NE(producer_, nullptr) << error;
    }
    ~Producer() { penstock_producer_free(producer_); }
    operator struct penstock_producer *() { return producer_; }

    enum penstock_result Send(const std::string &value, const std::string &key = "")
    {
        struct penstock_message message = {};
        message.value = value.data();
        message.value_bytes = value.size();
        if (!key.empty()) {
            message.key = key.data();
            message.key_bytes = key.size();
        }
        return penstock_send(producer_, &message);
    }

    enum penstock_result SendTo(uint32_t lane, const std::string &value)
    {
        struct penstock_message message = {};
        message.value = value.data();
        message.value_bytes = value.size();
        message.lane = lane;
        message.flags = PENSTOCK_LANE_NAMED;
        return penstock_send(producer_, &message);
    }

    std::vector<struct penstock_report> Poll(size_t count)
    {
        std::vector<struct penstock_report> reports(count);
        size_t got = 0;
        while (got < count) {
            const size_t more = penstock_poll(producer_, LONG_MS, &reports[got], count - got);
            if (more == 0) { break; }
            got += more;
        }
        reports.resize(got);
        return reports;
    }

    struct penstock_stats Stats()
    {
        struct penstock_stats stats;
        penstock_stats_of(producer_, &stats);
        return stats;
    }

  private:
    struct penstock_producer *producer_;
};

/* Events by kind, from the producer's thread. */
struct Events {
    std::mutex mutex;
    std::vector<struct penstock_event> seen;

    static void On(const struct penstock_event *event, void *context)
    {
        auto *const self = static_cast<Events *>(context);
        std::lock_guard<std::mutex> lock(self->mutex);
        self->seen.push_back(*event);
        self->seen.back().text = nullptr;
    }
    size_t Count(enum penstock_event_kind kind)
    {
        std::lock_guard<std::mutex> lock(mutex);
        size_t count = 0;
        for (const auto &event : seen) { count += event.kind == kind; }
        return count;
    }
    struct penstock_event First(enum penstock_event_kind kind)
    {
        std::lock_guard<std::mutex> lock(mutex);
        for (const auto &event : seen) {
            if (event.kind == kind) { return event; }
        }
        return {};
    }
    Callbacks AsCallbacks() { return {nullptr, On, this}; }
};

class Folder {
  public:
    Folder()
    {
        char name[] = "/tmp/producer_test.XXXXXX";
        path_ = mkdtemp(name);
    }
    ~Folder()
    {
        const std::string command = "rm -rf " + path_;
        EXPECT_EQ(system(command.c_str()), 0);
    }
    std::string File(const std::string &name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

Settings For(const UdpAppliance &appliance, Settings more = {})
{
    more["servers"] = appliance.Address();
    return more;
}

size_t OpenDescriptors()
{
    size_t count = 0;
    DIR *const directory = opendir("/proc/self/fd");
    while (readdir(directory) != nullptr) { count++; }
    closedir(directory);
    return count;
}

void SleepMs(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

/* Waits, bounded, for what another thread brings about. */
template <typename Claim> bool Eventually(Claim claim)
{
    for (int i = 0; i < LONG_MS / 10; i++) {
        if (claim()) { return true; }
        SleepMs(10);
    }
    return claim();
}

uint8_t FateByValue(const struct native_record &record)
{
    const std::string value(reinterpret_cast<const char *>(record.value.at),
                            record.value.len_bytes);
    if (value.rfind("drop", 0) == 0) { return NATIVE_DROPPED; }
    if (value.rfind("topic", 0) == 0) { return NATIVE_NO_TOPIC; }
    return NATIVE_STORED;
}

// ------------------------------------------------------------------------------------- config

enum penstock_result Set(const char *key, const char *value, std::string *error)
{
    char text[PENSTOCK_ERROR_BYTES] = "";
    struct penstock_config *const config = penstock_config_new();
    const enum penstock_result result = penstock_config_set(config, key, value, text, sizeof text);
    penstock_config_free(config);
    *error = text;
    return result;
}

TEST(ProducerConfig, NamesTheNearestKey)
{
    std::string error;

    EXPECT_EQ(Set("queue.byte", "1MiB", &error), PENSTOCK_INVALID);

    EXPECT_EQ(error, "unknown key 'queue.byte'; did you mean 'queue.bytes'?");
}

TEST(ProducerConfig, SaysWhatAValueMustBe)
{
    std::string error;

    EXPECT_EQ(Set("linger", "5", &error), PENSTOCK_INVALID);
    EXPECT_EQ(error, "linger: '5' is not a duration from 0ns to 1m, such as 5ms");
    EXPECT_EQ(Set("lanes", "257", &error), PENSTOCK_INVALID);
    EXPECT_EQ(error, "lanes: '257' is not a number from 1 to 256");
    EXPECT_EQ(Set("lanes", "256", &error), PENSTOCK_OK);
    EXPECT_EQ(Set("datagram.bytes", "1199", &error), PENSTOCK_INVALID);
    EXPECT_EQ(Set("on.lane.unknown", "maybe", &error), PENSTOCK_INVALID);
    EXPECT_EQ(error, "on.lane.unknown: 'maybe' is not fail or begin");
}

TEST(ProducerConfig, NeedsOneServer)
{
    std::string error;

    EXPECT_EQ(TryNew({}, {}, &error), nullptr);
    EXPECT_EQ(error, "servers is required: HOST:PORT of an appliance");
    EXPECT_EQ(TryNew({{"servers", "127.0.0.1:0"}}, {}, &error), nullptr);
    EXPECT_EQ(TryNew({{"servers", "127.0.0.1:1,127.0.0.1:2"}}, {}, &error), nullptr);
    EXPECT_EQ(error, "servers: '127.0.0.1:1,127.0.0.1:2' is not one HOST:PORT");
}

TEST(ProducerConfig, RefusesAProducerIdThatIsNone)
{
    std::string error;

    EXPECT_EQ(TryNew({{"servers", "127.0.0.1:9"}, {"producer.id", "beef"}}, {}, &error), nullptr);
    EXPECT_EQ(error, "producer.id: 'beef': not 32 hexadecimal digits, not zero");
}

// ------------------------------------------------------------------------------------ sending

TEST(Producer, TellsTheFateOfEachRecord)
{
    UdpAppliance::Options options;
    options.fate = FateByValue;
    UdpAppliance appliance(options);
    Producer producer(For(appliance));
    int a = 0;
    int b = 0;
    int c = 0;
    struct penstock_message message = {};
    message.flags = PENSTOCK_LANE_NAMED;
    message.lane = 3;
    for (auto [value, opaque] :
         {std::pair<const char *, int *>{"keep", &a}, {"drop", &b}, {"topic", &c}}) {
        message.value = value;
        message.value_bytes = strlen(value);
        message.opaque = opaque;
        ASSERT_EQ(penstock_send(producer, &message), PENSTOCK_OK);
    }

    const auto reports = producer.Poll(3);

    ASSERT_EQ(reports.size(), 3u);
    EXPECT_EQ(reports[0].outcome, PENSTOCK_DURABLE);
    EXPECT_EQ(reports[0].opaque, &a);
    EXPECT_EQ(reports[0].lane, 3u);
    EXPECT_EQ(reports[0].sequence, 1u);
    EXPECT_EQ(reports[1].outcome, PENSTOCK_DROPPED);
    EXPECT_EQ(reports[1].opaque, &b);
    EXPECT_EQ(reports[2].outcome, PENSTOCK_REFUSED);
    EXPECT_EQ(reports[2].reason, PENSTOCK_REASON_NO_TOPIC);
    EXPECT_EQ(reports[2].sequence, 3u);
    EXPECT_EQ(penstock_close(producer, LONG_MS), 0u);
}

TEST(Producer, CarriesEveryPartOfARecord)
{
    UdpAppliance appliance;
    Producer producer(For(appliance, {{"topic", "events"}}));
    const struct penstock_header headers[] = {{"trace", "1234", 4}, {"empty", nullptr, 0}};
    struct penstock_message message = {};
    message.key = "k";
    message.key_bytes = 1;
    message.value = "v";
    message.value_bytes = 1;
    message.headers = headers;
    message.header_count = 2;
    message.lane = 0;
    message.flags = PENSTOCK_LANE_NAMED;

    ASSERT_EQ(penstock_send(producer, &message), PENSTOCK_OK);
    ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);

    const auto lane = appliance.LaneOf(0);
    ASSERT_EQ(lane.records.size(), 1u);
    EXPECT_EQ(lane.records[0].key, "k");
    EXPECT_EQ(lane.records[0].value, "v");
    EXPECT_EQ(lane.records[0].topic, native_topic_hash(bytes_of_text("events")));
    EXPECT_EQ(lane.records[0].header_count, 2u);
}

TEST(Producer, RefusesWhatNoApplianceWouldTake)
{
    UdpAppliance appliance;
    Producer producer(For(appliance, {{"lanes", "2"}, {"record.bytes", "1000"}}));
    const struct penstock_header not_text = {"\xff\xfe", "x", 1};
    struct penstock_message message = {};
    message.headers = &not_text;
    message.header_count = 1;

    EXPECT_EQ(penstock_send(producer, &message), PENSTOCK_INVALID);
    message.flags = PENSTOCK_NO_COPY;
    EXPECT_EQ(penstock_send(producer, &message), PENSTOCK_INVALID);
    EXPECT_EQ(producer.SendTo(2, "no such lane"), PENSTOCK_INVALID);
    EXPECT_EQ(producer.Send(std::string(1000, 'x')), PENSTOCK_TOO_LARGE);
    EXPECT_EQ(producer.Send(std::string(900, 'x')), PENSTOCK_OK);
    EXPECT_EQ(penstock_flush(producer, LONG_MS), 0u);
}

TEST(Producer, KeepsTheOrderOfAKeyAcrossManyThreads)
{
    constexpr int THREADS = 6;
    constexpr int EACH = 3000;
    UdpAppliance appliance;
    Producer producer(For(appliance, {{"reports", "none"}, {"queue.records", "2000"}}));

    std::vector<std::thread> threads;
    for (int t = 0; t < THREADS; t++) {
        threads.emplace_back([&producer, t] {
            for (int i = 0; i < EACH; i++) {
                const std::string key = "thread-" + std::to_string(t);
                while (producer.Send(std::to_string(i), key) == PENSTOCK_QUEUE_FULL) { SleepMs(1); }
            }
        });
    }
    for (auto &thread : threads) { thread.join(); }
    ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);

    std::map<std::string, std::vector<std::string>> by_key;
    for (uint32_t lane = 0; lane < 8; lane++) {
        for (const auto &record : appliance.LaneOf(lane).records) {
            by_key[record.key].push_back(record.value);
        }
    }
    std::vector<std::string> expected;
    for (int i = 0; i < EACH; i++) { expected.push_back(std::to_string(i)); }
    ASSERT_EQ(by_key.size(), static_cast<size_t>(THREADS));
    for (const auto &[key, values] : by_key) { EXPECT_EQ(values, expected) << key; }
    EXPECT_EQ(producer.Stats().records_durable, static_cast<uint64_t>(THREADS * EACH));
}

TEST(Producer, MovesKeylessRecordsOnLaneByLane)
{
    UdpAppliance appliance;
    Producer producer(For(appliance, {{"lanes", "4"}, {"sticky.bytes", "2KiB"}}));

    for (int i = 0; i < 400; i++) { ASSERT_EQ(producer.Send("0123456789"), PENSTOCK_OK); }
    ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);

    for (uint32_t lane = 0; lane < 4; lane++) {
        EXPECT_GE(appliance.LaneOf(lane).records.size(), 80u) << "lane " << lane;
    }
}

TEST(Producer, SendsLargeRecordsInFragments)
{
    UdpAppliance appliance;
    Producer producer(For(appliance));
    std::string large(300 * 1000, '\0');
    for (size_t i = 0; i < large.size(); i++) { large[i] = static_cast<char>(i * 7 >> 3); }

    ASSERT_EQ(producer.SendTo(1, "before"), PENSTOCK_OK);
    ASSERT_EQ(producer.SendTo(1, large), PENSTOCK_OK);
    ASSERT_EQ(producer.SendTo(1, "behind"), PENSTOCK_OK);
    ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);

    const auto lane = appliance.LaneOf(1);
    ASSERT_EQ(lane.records.size(), 3u);
    EXPECT_EQ(lane.records[1].value, large);
    EXPECT_EQ(lane.records[2].value, "behind");
}

// --------------------------------------------------------------------------------- the queue

TEST(ProducerQueue, IsFullUntilReportsAreTaken)
{
    UdpAppliance appliance;
    Producer producer(For(appliance, {{"queue.records", "10"}}));

    for (int i = 0; i < 10; i++) { ASSERT_EQ(producer.Send("x"), PENSTOCK_OK); }
    EXPECT_EQ(producer.Send("x"), PENSTOCK_QUEUE_FULL);
    ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);
    EXPECT_EQ(producer.Send("x"), PENSTOCK_QUEUE_FULL) << "the reports still hold it";

    EXPECT_EQ(producer.Poll(1).size(), 1u);
    EXPECT_EQ(producer.Send("x"), PENSTOCK_OK);
    EXPECT_EQ(producer.Stats().records_queue_full, 2u);
}

TEST(ProducerQueue, IsBoundedInBytes)
{
    UdpAppliance appliance;
    Producer producer(For(appliance, {{"queue.bytes", "16KiB"}}));
    const std::string kib(1024, 'x');

    int taken = 0;
    while (taken < 100 && producer.Send(kib) == PENSTOCK_OK) { taken++; }

    EXPECT_GE(taken, 8);
    EXPECT_LT(taken, 16);
    EXPECT_LE(producer.Stats().queue_bytes, 16u * 1024);
    EXPECT_EQ(producer.Send(kib), PENSTOCK_QUEUE_FULL);
    EXPECT_EQ(producer.Poll(static_cast<size_t>(taken)).size(), static_cast<size_t>(taken));
    EXPECT_EQ(producer.Send(std::string(17 * 1024, 'x')), PENSTOCK_TOO_LARGE);
    EXPECT_EQ(producer.Stats().queue_bytes, 0u);
}

TEST(ProducerFlush, TimesOutAndCountsWhatIsLeft)
{
    UdpAppliance appliance;
    appliance.SetMute(true);
    Producer producer(For(appliance));
    for (int i = 0; i < 7; i++) { ASSERT_EQ(producer.Send("x"), PENSTOCK_OK); }

    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(penstock_flush(producer, 150), 7u);
    const auto took = std::chrono::steady_clock::now() - begin;

    EXPECT_GE(took, std::chrono::milliseconds(150));
    EXPECT_LT(took, std::chrono::milliseconds(5000));
    appliance.SetMute(false);
    EXPECT_EQ(penstock_flush(producer, LONG_MS), 0u);
}

TEST(ProducerFlush, SendsWhatLingersAtOnce)
{
    UdpAppliance appliance;
    Producer producer(For(appliance, {{"linger", "1m"}}));
    ASSERT_EQ(producer.Send("x"), PENSTOCK_OK);

    EXPECT_EQ(penstock_flush(producer, LONG_MS), 0u);

    EXPECT_EQ(appliance.Records(), 1u);
}

// -------------------------------------------------------------------------------- what happens

TEST(Producer, GoesOnWhenTheApplianceWasAwayAndNothingIsStoredTwice)
{
    UdpAppliance appliance;
    Events events;
    Producer producer(For(appliance, {{"lanes", "1"}}), events.AsCallbacks());
    for (int i = 0; i < 100; i++) { ASSERT_EQ(producer.Send(std::to_string(i)), PENSTOCK_OK); }
    ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);

    appliance.Stop();
    for (int i = 100; i < 300; i++) { ASSERT_EQ(producer.Send(std::to_string(i)), PENSTOCK_OK); }
    EXPECT_GT(penstock_flush(producer, 300), 0u);
    appliance.Start();
    ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);

    const auto lane = appliance.LaneOf(0);
    ASSERT_EQ(lane.records.size(), 300u);
    for (size_t i = 0; i < 300; i++) { EXPECT_EQ(lane.records[i].value, std::to_string(i)); }
    EXPECT_EQ(events.Count(PENSTOCK_EVENT_OPENED), 2u);
    EXPECT_GT(producer.Stats().unreachable, 0u);
}

TEST(Producer, WaitsForAnApplianceThatIsNotThereYet)
{
    UdpAppliance appliance;
    appliance.Stop();
    Events events;
    Producer producer(For(appliance), events.AsCallbacks());
    ASSERT_EQ(producer.Send("x"), PENSTOCK_OK);
    EXPECT_TRUE(Eventually([&] { return events.Count(PENSTOCK_EVENT_RETRYING) > 0; }));

    appliance.Start();

    EXPECT_EQ(penstock_flush(producer, LONG_MS), 0u);
}

TEST(ProducerRedirect, TriesPortsUntilOneLeadsHome)
{
    UdpAppliance::Options options;
    options.ports = 4;
    options.home = 3;
    UdpAppliance appliance(options);
    Events events;
    Producer producer(For(appliance, {{"lanes", "4"}}), events.AsCallbacks());

    for (uint32_t lane = 0; lane < 4; lane++) {
        ASSERT_EQ(producer.SendTo(lane, "x"), PENSTOCK_OK);
    }
    ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);

    EXPECT_EQ(appliance.Records(), 4u);
    EXPECT_EQ(producer.Stats().redirects, events.Count(PENSTOCK_EVENT_REDIRECTED));
}

TEST(ProducerRedirect, ComesFromThePortThatIsNamed)
{
    UdpAppliance::Options options;
    options.ports = 997; // by chance once in 997 tries: more than the 64 in a row
    options.home = 5;
    options.name_source_port = true;
    UdpAppliance appliance(options);
    Events events;
    Producer producer(For(appliance, {{"lanes", "1"}}), events.AsCallbacks());

    ASSERT_EQ(producer.Send("x"), PENSTOCK_OK);
    ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);

    EXPECT_LE(producer.Stats().redirects, 1u);
    if (events.Count(PENSTOCK_EVENT_REDIRECTED) > 0) {
        EXPECT_EQ(events.First(PENSTOCK_EVENT_REDIRECTED).code % 997, 5u);
    }
}

TEST(ProducerLane, IsFencedByALaterProducer)
{
    UdpAppliance appliance;
    Events events;
    Producer producer(For(appliance, {{"lanes", "2"}}), events.AsCallbacks());
    ASSERT_EQ(producer.SendTo(0, "x"), PENSTOCK_OK);
    ASSERT_EQ(producer.Poll(1).size(), 1u);

    appliance.Fence(0);
    ASSERT_EQ(producer.SendTo(0, "y"), PENSTOCK_OK);
    const auto reports = producer.Poll(1);

    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].outcome, PENSTOCK_UNDELIVERED);
    EXPECT_EQ(reports[0].reason, PENSTOCK_REASON_FENCED);
    EXPECT_EQ(events.First(PENSTOCK_EVENT_FENCED).detail, UINT64_MAX);
    EXPECT_EQ(producer.SendTo(0, "z"), PENSTOCK_FAILED);
    EXPECT_EQ(producer.SendTo(1, "z"), PENSTOCK_OK) << "the other lane works";
    EXPECT_EQ(producer.Send("keyless"), PENSTOCK_OK) << "passes the failed lane over";
    EXPECT_EQ(penstock_flush(producer, LONG_MS), 0u);
    EXPECT_EQ(appliance.LaneOf(1).records.size(), 2u);
}

TEST(ProducerLane, ThatTheApplianceForgotFails)
{
    UdpAppliance appliance;
    Events events;
    Producer producer(For(appliance, {{"lanes", "1"}}), events.AsCallbacks());
    ASSERT_EQ(producer.Send("x"), PENSTOCK_OK);
    ASSERT_EQ(producer.Poll(1).size(), 1u);

    appliance.Forget();
    ASSERT_EQ(producer.Send("y"), PENSTOCK_OK);
    const auto reports = producer.Poll(1);

    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].outcome, PENSTOCK_UNDELIVERED);
    EXPECT_EQ(reports[0].reason, PENSTOCK_REASON_LANE_UNKNOWN);
    EXPECT_EQ(events.First(PENSTOCK_EVENT_LANE_UNKNOWN).code, 0u);
    EXPECT_EQ(appliance.LaneCount(), 0u);
}

TEST(ProducerLane, ThatTheApplianceForgotBeginsAgainIfToldSo)
{
    UdpAppliance appliance;
    Events events;
    Producer producer(For(appliance, {{"lanes", "1"}, {"on.lane.unknown", "begin"}}),
                      events.AsCallbacks());
    ASSERT_EQ(producer.Send("x"), PENSTOCK_OK);
    ASSERT_EQ(producer.Poll(1).size(), 1u);

    appliance.Forget();
    ASSERT_EQ(producer.Send("y"), PENSTOCK_OK);
    const auto reports = producer.Poll(1);

    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].outcome, PENSTOCK_DURABLE);
    EXPECT_EQ(events.First(PENSTOCK_EVENT_LANE_UNKNOWN).code, 1u);
    EXPECT_EQ(appliance.LaneOf(0).records.size(), 1u);
}

TEST(ProducerLane, TellsTheExactRangeThatTheApplianceLost)
{
    UdpAppliance appliance;
    Events events;
    Producer producer(For(appliance, {{"lanes", "1"}}), events.AsCallbacks());
    for (int i = 0; i < 10; i++) { ASSERT_EQ(producer.Send("x"), PENSTOCK_OK); }
    ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);

    appliance.Rewind(0, 7);
    ASSERT_EQ(producer.Send("y"), PENSTOCK_OK);
    ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);

    const auto loss = events.First(PENSTOCK_EVENT_ACKNOWLEDGED_LOSS);
    EXPECT_EQ(loss.first, 7u);
    EXPECT_EQ(loss.last, 10u);
    EXPECT_EQ(producer.Stats().acknowledged_loss, 4u);
    EXPECT_EQ(producer.Poll(11).back().sequence, 11u);
}

TEST(ProducerLane, ResumesWhereAnEarlierProcessEnded)
{
    UdpAppliance appliance;
    const Folder folder;
    const Settings settings =
        For(appliance, {{"producer.id", "file:" + folder.File("id")}, {"lanes", "2"}});
    {
        Producer first(settings);
        for (int i = 0; i < 5; i++) { ASSERT_EQ(first.SendTo(1, "first"), PENSTOCK_OK); }
        ASSERT_EQ(penstock_close(first, LONG_MS), 0u);
    }
    Producer second(settings);
    uint64_t next = 0;
    uint64_t fresh = 0;

    ASSERT_EQ(penstock_lane_resume(second, 1, LONG_MS, &next), PENSTOCK_OK);
    ASSERT_EQ(penstock_lane_resume(second, 0, LONG_MS, &fresh), PENSTOCK_OK);
    ASSERT_EQ(second.SendTo(1, "second"), PENSTOCK_OK);
    const auto reports = second.Poll(1);

    EXPECT_EQ(next, 6u);
    EXPECT_EQ(fresh, 1u) << "a lane never begun may begin";
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].sequence, 6u);
    EXPECT_EQ(appliance.LaneOf(1).records.size(), 6u);
}

TEST(ProducerLane, OfAnIdInHexadecimalBeginsOnlyWhenToldSo)
{
    const std::string id = "00112233445566778899aabbccddeeff";
    UdpAppliance appliance;
    Producer careful(For(appliance, {{"producer.id", id}, {"lanes", "1"}}));
    ASSERT_EQ(careful.Send("x"), PENSTOCK_OK);
    const auto refused = careful.Poll(1);
    Producer bold(
        For(appliance, {{"producer.id", id}, {"lanes", "1"}, {"on.lane.unknown", "begin"}}));
    ASSERT_EQ(bold.Send("y"), PENSTOCK_OK);
    const auto stored = bold.Poll(1);

    ASSERT_EQ(refused.size(), 1u);
    EXPECT_EQ(refused[0].outcome, PENSTOCK_UNDELIVERED);
    EXPECT_EQ(refused[0].reason, PENSTOCK_REASON_LANE_UNKNOWN);
    ASSERT_EQ(stored.size(), 1u);
    EXPECT_EQ(stored[0].outcome, PENSTOCK_DURABLE);
}

TEST(ProducerLane, ThatAnEarlierProcessBeganDoesNotSilentlyStartAnew)
{
    UdpAppliance appliance;
    const Folder folder;
    Settings settings =
        For(appliance, {{"producer.id", "file:" + folder.File("id")}, {"lanes", "1"}});
    {
        Producer first(settings);
        ASSERT_EQ(first.Send("x"), PENSTOCK_OK);
        ASSERT_EQ(penstock_close(first, LONG_MS), 0u);
    }
    appliance.Forget();
    {
        Producer second(settings);
        ASSERT_EQ(second.Send("y"), PENSTOCK_OK);
        EXPECT_EQ(second.Poll(1)[0].reason, PENSTOCK_REASON_LANE_UNKNOWN);
    }
    settings["on.lane.unknown"] = "begin";
    Producer third(settings);
    ASSERT_EQ(third.Send("z"), PENSTOCK_OK);
    EXPECT_EQ(third.Poll(1)[0].outcome, PENSTOCK_DURABLE);
}

TEST(ProducerLane, StartsWhereItIsTold)
{
    UdpAppliance appliance;
    struct penstock_config *const config = penstock_config_new();
    ASSERT_EQ(penstock_config_set(config, "servers", appliance.Address().c_str(), nullptr, 0),
              PENSTOCK_OK);
    const struct penstock_lane_start start = {2, PENSTOCK_UNKNOWN, 1000, true};
    const struct penstock_lane_start backwards = {2, 10, 10, true};
    EXPECT_EQ(penstock_config_set_lane(config, &backwards), PENSTOCK_INVALID);
    ASSERT_EQ(penstock_config_set_lane(config, &start), PENSTOCK_OK);
    struct penstock_producer *const producer = penstock_producer_new(config, nullptr, 0);
    penstock_config_free(config);

    uint64_t next = 0;
    EXPECT_EQ(penstock_lane_resume(producer, 2, LONG_MS, &next), PENSTOCK_OK);

    EXPECT_EQ(next, 1000u);
    penstock_producer_free(producer);
}

TEST(ProducerLane, ResumeTimesOut)
{
    UdpAppliance appliance;
    appliance.SetMute(true);
    Producer producer(For(appliance));
    uint64_t next = 0;

    EXPECT_EQ(penstock_lane_resume(producer, 0, 50, &next), PENSTOCK_TIMED_OUT);
    EXPECT_EQ(penstock_lane_resume(producer, 8, 50, &next), PENSTOCK_INVALID);
}

// ------------------------------------------------------------------------------------ reports

struct Told {
    std::atomic<uint64_t> durable{0};
    std::vector<std::pair<uint32_t, uint64_t>> order; // lane, sequence
};

void CountReports(const struct penstock_report *reports, size_t count, void *context)
{
    auto *const told = static_cast<Told *>(context);
    for (size_t i = 0; i < count; i++) {
        told->order.push_back({reports[i].lane, reports[i].sequence});
        told->durable += reports[i].outcome == PENSTOCK_DURABLE;
    }
}

TEST(ProducerReports, ComeToTheCallbackAsTheyWouldToPoll)
{
    UdpAppliance appliance;
    Told told;
    Producer with_callback(For(appliance, {{"lanes", "3"}}), {CountReports, nullptr, &told});
    Producer with_poll(For(appliance, {{"lanes", "3"}}));
    for (uint32_t i = 0; i < 600; i++) {
        ASSERT_EQ(with_callback.SendTo(i % 3, "x"), PENSTOCK_OK);
        ASSERT_EQ(with_poll.SendTo(i % 3, "x"), PENSTOCK_OK);
    }

    ASSERT_EQ(penstock_flush(with_callback, LONG_MS), 0u);
    const auto polled = with_poll.Poll(600);

    EXPECT_EQ(told.durable, 600u) << "all were told before flush said so";
    std::map<uint32_t, std::vector<uint64_t>> by_callback;
    std::map<uint32_t, std::vector<uint64_t>> by_poll;
    for (const auto &[lane, sequence] : told.order) { by_callback[lane].push_back(sequence); }
    for (const auto &report : polled) { by_poll[report.lane].push_back(report.sequence); }
    EXPECT_EQ(by_callback, by_poll);
    EXPECT_EQ(by_poll[2].size(), 200u);
    EXPECT_TRUE(std::is_sorted(by_poll[2].begin(), by_poll[2].end()));
    struct penstock_report none;
    EXPECT_EQ(penstock_poll(with_callback, 0, &none, 1), 0u);
}

TEST(ProducerReports, TellOfWhatTheCloseLeftBehind)
{
    UdpAppliance appliance;
    appliance.SetMute(true);
    Producer producer(For(appliance));
    for (int i = 0; i < 5; i++) { ASSERT_EQ(producer.Send("x"), PENSTOCK_OK); }

    EXPECT_EQ(penstock_close(producer, 30), 5u);

    EXPECT_EQ(producer.Send("late"), PENSTOCK_FAILED);
    const auto reports = producer.Poll(5);
    ASSERT_EQ(reports.size(), 5u);
    EXPECT_EQ(reports[0].outcome, PENSTOCK_UNDELIVERED);
    EXPECT_EQ(reports[0].reason, PENSTOCK_REASON_CLOSED);
    EXPECT_EQ(penstock_close(producer, 30), 5u) << "closing twice says the same";
    const auto stats = producer.Stats();
    EXPECT_EQ(stats.records_accepted, 5u);
    EXPECT_EQ(stats.records_undelivered, 5u);
    EXPECT_EQ(stats.records_without_fate, 0u);
    EXPECT_EQ(stats.queue_bytes, 0u);
}

// ----------------------------------------------------------------------------------- receipts

struct receipt LastReceipt(const std::string &path)
{
    struct receipts_reader *reader;
    struct native_producer_id owner;
    struct receipt receipt = {};
    EXPECT_EQ(receipts_reader_open(path.c_str(), &reader, &owner), STATUS_OK);
    while (receipts_next(reader, &receipt) == STATUS_OK) {}
    receipts_reader_close(reader);
    return receipt;
}

TEST(ProducerReceipts, HaveEveryFateAndTheAppliancesHash)
{
    const Folder folder;
    UdpAppliance::Options options;
    options.fate = FateByValue;
    UdpAppliance appliance(options);
    const Settings settings = For(appliance, {{"producer.id", "file:" + folder.File("id")},
                                              {"receipts", folder.File("receipts")},
                                              {"lanes", "1"}});
    for (int life = 0; life < 2; life++) {
        Producer producer(settings);
        for (int i = 0; i < 300; i++) {
            ASSERT_EQ(producer.Send(i % 3 == 0 ? "drop it" : "value " + std::to_string(i), "key"),
                      PENSTOCK_OK);
        }
        ASSERT_EQ(penstock_close(producer, LONG_MS), 0u);
    }

    struct receipts_reader *reader;
    struct native_producer_id owner;
    ASSERT_EQ(receipts_reader_open(folder.File("receipts").c_str(), &reader, &owner), STATUS_OK);
    struct receipt receipt;
    enum status status;
    uint64_t last = 0;
    uint64_t dropped = 0;
    std::set<uint64_t> epochs;
    while ((status = receipts_next(reader, &receipt)) == STATUS_OK) {
        EXPECT_EQ(receipt.first, last + 1);
        EXPECT_EQ(receipt.chained, last != 0);
        last = receipt.last;
        epochs.insert(receipt.epoch);
        for (uint32_t i = 0; i < receipt.run_count; i++) {
            dropped += receipt.runs[i].fate == NATIVE_DROPPED ? receipt.runs[i].count : 0;
        }
    }
    EXPECT_EQ(status, STATUS_NOT_FOUND);
    EXPECT_EQ(last, 600u);
    EXPECT_EQ(dropped, 200u);
    EXPECT_EQ(epochs.size(), 2u);
    EXPECT_EQ(receipt.hash, appliance.LaneOf(0).hash);
    receipts_reader_close(reader);
}

TEST(ProducerReceipts, BeginAChainWhereTheApplianceBegan)
{
    const Folder folder;
    UdpAppliance appliance;
    Producer producer(
        For(appliance,
            {{"receipts", folder.File("receipts")}, {"on.lane.unknown", "begin"}, {"lanes", "1"}}));
    for (const bool forget : {false, true}) {
        if (forget) { appliance.Forget(); }
        ASSERT_EQ(producer.Send("x"), PENSTOCK_OK);
        ASSERT_EQ(producer.Send("y"), PENSTOCK_OK);
        ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);
    }

    const struct receipt last = LastReceipt(folder.File("receipts"));

    EXPECT_EQ(last.last, 4u);
    EXPECT_EQ(last.hash, appliance.LaneOf(0).hash);
}

TEST(ProducerReceipts, AreWrittenBeforeTheReport)
{
    const Folder folder;
    UdpAppliance appliance;
    Producer producer(
        For(appliance,
            {{"receipts", folder.File("receipts")}, {"receipts.sync", "always"}, {"lanes", "1"}}));
    ASSERT_EQ(producer.Send("x"), PENSTOCK_OK);
    ASSERT_EQ(producer.Poll(1).size(), 1u);

    EXPECT_EQ(LastReceipt(folder.File("receipts")).last, 1u);
}

// ------------------------------------------------------------------------------------ the rest

uint64_t HashSentWith(const char *gso, uint64_t *datagrams_gso)
{
    UdpAppliance appliance;
    Producer producer(For(
        appliance, {{"gso", gso}, {"lanes", "1"}, {"linger", "20ms"}, {"datagram.bytes", "1200"}}));
    for (int i = 0; i < 4000; i++) {
        EXPECT_EQ(producer.Send("a record of about the same size each time " + std::to_string(i)),
                  PENSTOCK_OK);
    }
    EXPECT_EQ(penstock_flush(producer, LONG_MS), 0u);
    const auto stats = producer.Stats();
    *datagrams_gso = stats.datagrams_sent_gso;
    EXPECT_EQ(stats.send_refused, 0u);
    EXPECT_EQ(appliance.LargestDatagram() <= 1200, true) << "the kernel has cut the runs";
    EXPECT_EQ(appliance.LaneOf(0).records.size(), 4000u);
    return appliance.LaneOf(0).hash;
}

TEST(ProducerGso, ChangesNothingThatArrives)
{
    uint64_t with = 0;
    uint64_t without = 0;

    EXPECT_EQ(HashSentWith("auto", &with), HashSentWith("off", &without));

    EXPECT_EQ(without, 0u);
    EXPECT_GT(with, 0u) << "this kernel has no UDP_SEGMENT, or runs never came about";
}

TEST(ProducerIdle, UsesNoCpu)
{
    UdpAppliance appliance;
    Producer producer(For(appliance));
    ASSERT_EQ(producer.Send("x"), PENSTOCK_OK);
    ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);
    SleepMs(200); // the last ACK and its timers

    const uint64_t before = producer.Stats().turns;
    SleepMs(500);
    const uint64_t turns = producer.Stats().turns - before;

    EXPECT_LE(turns, 12u);
}

TEST(ProducerFree, LetsGoOfRecordsAndDescriptors)
{
    UdpAppliance appliance;
    appliance.SetMute(true);
    const size_t before = OpenDescriptors();

    for (int i = 0; i < 5; i++) {
        Producer producer(For(appliance));
        for (int j = 0; j < 1000; j++) { ASSERT_EQ(producer.Send("never sent"), PENSTOCK_OK); }
    }

    EXPECT_EQ(OpenDescriptors(), before);
}

TEST(ProducerStats, AreOneJsonObjectThatIsCutCleanly)
{
    UdpAppliance appliance;
    Producer producer(For(appliance, {{"lanes", "2"}}));
    ASSERT_EQ(producer.Send("x"), PENSTOCK_OK);
    ASSERT_EQ(penstock_flush(producer, LONG_MS), 0u);
    char small[16];
    std::vector<char> large(8192);

    const size_t len = penstock_stats_json(producer, large.data(), large.size());
    EXPECT_GE(penstock_stats_json(producer, small, sizeof small), sizeof small);

    const std::string text(large.data());
    EXPECT_EQ(text.size(), len);
    EXPECT_NE(text.find("\"records_durable\":1,"), std::string::npos) << text;
    EXPECT_NE(text.find("\"lanes\":[{\"lane\":0,"), std::string::npos);
    EXPECT_EQ(text.substr(text.size() - 2), "]}");
    EXPECT_EQ(strlen(small), sizeof small - 1);
}

} // namespace
