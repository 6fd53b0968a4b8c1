// A whole server on a fake reader: admin port, metrics, health, doorbell.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <thread>

#include "base/clock.h"
#include "base/mapped_file.h"
#include "serve/doorbell.h"
#include "serve/health.h"
#include "serve/metrics.h"
#include "serve/server.h"
#include "serve/text.h"
#include "tests/serve/node.h"
#include "tests/wire/rules_page_image.h"
#include "wire/control.h"

namespace {

using namespace serve_test;

// A runtime directory with the pages of one worker, as ingest makes them.
struct Runtime {
    std::string path;
    struct mapped_file stats = {};
    struct mapped_file node = {};
    std::unique_ptr<struct root_page> root = std::make_unique<struct root_page>();

    Runtime()
    {
        char name[] = "/tmp/penstock-serve-test-XXXXXX";
        path = mkdtemp(name);
        EXPECT_EQ(
            mapped_file_create((path + "/stats-0000").c_str(), sizeof(struct stats_page), &stats),
            STATUS_OK);
        EXPECT_EQ(mapped_file_create((path + "/node").c_str(), sizeof(struct node_page), &node),
                  STATUS_OK);
        stats_page_init(Stats(), 0);
        node_page_init(NodePage());
        std::memset(static_cast<void *>(root.get()), 0, sizeof *root);
        root_page_init(root.get());
        root->state = ROOT_STATE_RUNNING;
        root->partition_count = 1;
        root->worker_count = 1;
        root->partitions[0].state = ROOT_LOG_OPEN;
        Stats()->heartbeat_ns = clock_mono_ns();
    }
    Runtime(const Runtime &) = delete;
    Runtime &operator=(const Runtime &) = delete;
    ~Runtime()
    {
        mapped_file_close(&stats);
        mapped_file_close(&node);
        for (const char *file : {"/stats-0000", "/node", "/rules", "/control.sock", ""}) {
            (void)remove((path + file).c_str());
        }
    }
    struct stats_page *Stats() { return reinterpret_cast<struct stats_page *>(stats.at); }
    struct node_page *NodePage() { return reinterpret_cast<struct node_page *>(node.at); }
};

struct AdminTest : testing::Test {
    Runtime runtime;
    Node node;
    struct runtime_pages *pages = runtime_pages_create(runtime.path.c_str());
    struct health_sources sources = {};

    AdminTest()
    {
        fake_reader_add_topic(node.reader, "even\"ts", Id(1));
        fake_reader_append(node.reader, 0, 0, 5, 1000, 1, 20, true);
        fake_reader_set_root(node.reader, runtime.root.get(), true);
        sources = {node.reader, pages, true, false, &node.stats};
    }
    ~AdminTest() override { runtime_pages_destroy(pages); }

    std::string Metrics()
    {
        runtime_pages_refresh(pages, 1);
        struct metrics_sources from = {};
        from.reader = node.reader;
        from.pages = pages;
        from.stats = &node.stats;
        from.ready = true;
        from.now_ns = clock_mono_ns();
        struct text text;
        text_init(&text);
        metrics_write(&from, &text);
        const std::string out(text.at, text.len_bytes);
        text_deinit(&text);
        return out;
    }
    // The reasons against being ready, one a line.
    std::string Reasons()
    {
        auto health = std::make_unique<struct health>();
        runtime_pages_refresh(pages, 1);
        health_judge(&sources, clock_mono_ns(), health.get());
        std::string out;
        for (size_t i = 0; i < health->reason_count; i++) {
            out += health->reasons[i] + std::string("\n");
        }
        return out;
    }
};

// The name of a sample line, "" when the line is none: name, {label="value",...}, number.
std::string SampleName(const std::string &line)
{
    static const char name_characters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    size_t at = line.find_first_not_of(name_characters);
    if (at == 0 || at == std::string::npos) { return ""; }
    const std::string name = line.substr(0, at);
    for (char before = '{'; line[at] == before; before = ',') {
        const size_t value = line.find_first_not_of(name_characters, at + 1);
        if (value == at + 1 || value == std::string::npos) { return ""; }
        if (line.compare(value, 2, "=\"") != 0) { return ""; }
        for (at = value + 2; at < line.size() && line[at] != '"'; at++) {
            if (line[at] == '\\') { at++; }
        }
        at++; // behind the quote
        if (at >= line.size()) { return ""; }
    }
    if (line[at] == '}') { at++; }
    if (line[at] != ' ' || line.find_first_of("{}\"", at) != std::string::npos) { return ""; }
    char *end = nullptr;
    (void)std::strtod(&line[at + 1], &end);
    return *end == '\0' && end != &line[at + 1] ? name : "";
}

// What `promtool check metrics` looks at.
std::vector<std::string> Lint(const std::string &text)
{
    std::vector<std::string> out;
    std::map<std::string, std::string> type_of;
    std::set<std::string> seen, helped;
    std::string family;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string hash, kind, name, type;
        if (line.rfind("# ", 0) == 0) {
            words >> hash >> kind >> name >> type;
            if (kind == "HELP" && !helped.insert(name).second) { out.push_back("twice: " + line); }
            if (kind == "HELP" && type.empty()) { out.push_back("no help: " + line); }
            if (kind == "TYPE" && !type_of.emplace(name, type).second) {
                out.push_back("twice: " + line);
            }
            if (kind == "TYPE" && helped.count(name) == 0) { out.push_back("no HELP: " + line); }
            const bool total = name.size() > 6 && name.substr(name.size() - 6) == "_total";
            if (kind == "TYPE" && total != (type == "counter")) { out.push_back("name: " + line); }
            family = name;
            continue;
        }
        name = SampleName(line);
        if (name.empty()) {
            out.push_back("form: " + line);
            continue;
        }
        const bool histogram = type_of[family] == "histogram";
        const bool known =
            name == family || (histogram && (name == family + "_bucket" ||
                                             name == family + "_sum" || name == family + "_count"));
        if (!known || type_of.count(family) == 0) { out.push_back("family: " + line); }
        if (name.rfind("penstock_", 0) != 0) { out.push_back("prefix: " + line); }
        if (!seen.insert(line.substr(0, line.rfind(' '))).second) {
            out.push_back("twice: " + line);
        }
    }
    return out;
}

TEST_F(AdminTest, MetricsAreWellFormed)
{
    RulesPageImage({{"quo\"ted\\"}, {"two\nlines\t", true}, {"quo\"ted\\", true}, {"\xff"}})
        .Write(runtime.path);

    const std::string text = Metrics();

    EXPECT_EQ(Lint(text), std::vector<std::string>{});
    EXPECT_GT(std::count(text.begin(), text.end(), '\n'), 200);
    EXPECT_NE(text.find("penstock_rule_matches_total{"), std::string::npos);
}

TEST(MetricsLint, FindsWhatItLooksFor)
{
    EXPECT_EQ(Lint("# HELP penstock_a x\n# TYPE penstock_a counter\npenstock_a 1\n").size(), 1U);
    EXPECT_EQ(Lint("# HELP penstock_a x\n# TYPE penstock_a gauge\npenstock_b 1\n").size(), 1U);
    EXPECT_EQ(Lint("# HELP penstock_a x\n# TYPE penstock_a gauge\npenstock_a{l=\"\"\"} 1\n").size(),
              1U);
    EXPECT_EQ(
        Lint("# HELP penstock_a x\n# TYPE penstock_a gauge\npenstock_a 1\npenstock_a 1\n").size(),
        1U);
}

TEST_F(AdminTest, EveryCounterOfTheTableIsServedWithItsValue)
{
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) { runtime.Stats()->counters[i] = 1000 + i; }

    const std::string text = Metrics();

    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) {
        const std::string value = "} " + std::to_string(1000 + i) + "\n";
        EXPECT_NE(text.find(value), std::string::npos) << stats_counter_facts[i].name;
    }
    EXPECT_NE(
        text.find("penstock_frames_total{worker=\"0\",outcome=\"passed\",kind=\"lines\"} 1001"),
        std::string::npos);
}

TEST_F(AdminTest, AHistogramsBucketsRiseToItsCount)
{
    histogram_add(&runtime.Stats()->receive_to_durable, 1000 * 1000, 3); // 1 ms
    histogram_add(&runtime.Stats()->receive_to_durable, uint64_t{20} * NS_PER_S, 2);

    const std::string text = Metrics();

    const std::string name = "penstock_receive_to_durable_seconds";
    EXPECT_NE(text.find(name + "_bucket{worker=\"0\",le=\"0.000524288\"} 0\n"), std::string::npos);
    EXPECT_NE(text.find(name + "_bucket{worker=\"0\",le=\"0.001048576\"} 3\n"), std::string::npos);
    EXPECT_NE(text.find(name + "_bucket{worker=\"0\",le=\"4.294967296\"} 3\n"), std::string::npos);
    EXPECT_NE(text.find(name + "_bucket{worker=\"0\",le=\"+Inf\"} 5\n"), std::string::npos);
    EXPECT_NE(text.find(name + "_count{worker=\"0\"} 5\n"), std::string::npos);
}

TEST_F(AdminTest, TopicNamesAreEscaped)
{
    EXPECT_NE(
        Metrics().find("penstock_topic_high_watermark{topic=\"even\\\"ts\",partition=\"0\"} 5\n"),
        std::string::npos);
}

TEST_F(AdminTest, PortsTellWhetherTheyKnowTheirLosses)
{
    runtime.NodePage()->port_count = 1;
    std::snprintf(runtime.NodePage()->ports[0].name, 128, "%s", "net_af_packet0");
    std::snprintf(runtime.NodePage()->ports[0].driver, 32, "%s", "net_af_packet");
    runtime.NodePage()->ports[0].missed_frames = 17;

    const std::string text = Metrics();

    const std::string labels = "{port=\"net_af_packet0\",driver=\"net_af_packet\"} ";
    EXPECT_NE(text.find("penstock_port_missed_frames_total" + labels + "17\n"), std::string::npos);
    EXPECT_NE(text.find("penstock_port_loss_known" + labels + "0\n"), std::string::npos);
    EXPECT_EQ(Lint(text), std::vector<std::string>{});
}

TEST_F(AdminTest, ARunningNodeIsReady) { EXPECT_EQ(Reasons(), ""); }

TEST_F(AdminTest, EachThingThatIsWrongIsAReason)
{
    sources.kafka_listening = false;
    EXPECT_EQ(Reasons(), "the Kafka port is not open\n");
    sources.kafka_listening = true;

    runtime.NodePage()->port_count = 1;
    std::snprintf(runtime.NodePage()->ports[0].name, 128, "%s", "0000:3b:00.0");
    runtime.NodePage()->ports[0].link_up = 0;
    EXPECT_EQ(Reasons(), "port 0000:3b:00.0: link down\n");
    runtime.NodePage()->ports[0].link_up = 1;

    runtime.root->partitions[0].state = ROOT_LOG_CLOSED;
    runtime.root->partitions[0].why = STATUS_NO_SPACE;
    EXPECT_NE(Reasons().find("log 0 is closed: "), std::string::npos);
    runtime.root->partitions[0].state = ROOT_LOG_OPEN;

    runtime.Stats()->heartbeat_ns -= uint64_t{5} * NS_PER_S;
    EXPECT_NE(Reasons().find("worker 0 has not turned for 5"), std::string::npos);
    runtime.Stats()->heartbeat_ns = clock_mono_ns();

    runtime.root->state = ROOT_STATE_RECOVERING;
    EXPECT_EQ(Reasons(), "penstock-ingest is recovering\n");
    runtime.root->state = ROOT_STATE_RUNNING;

    fake_reader_set_root(node.reader, runtime.root.get(), /*alive=*/false);
    EXPECT_EQ(Reasons(), "penstock-ingest gives no sign of life (last state: running)\n");
    fake_reader_set_root(node.reader, nullptr, false);
    EXPECT_NE(Reasons().find("has not started yet"), std::string::npos);
}

// Of a storage path that appears late serve sees nothing yet, while ingest runs.
TEST_F(AdminTest, IsNotReadyBeforeTopicsAreKnown)
{
    Node nothing_yet;
    fake_reader_set_root(nothing_yet.reader, runtime.root.get(), true);
    sources.reader = nothing_yet.reader;
    EXPECT_EQ(Reasons(), "no topics are known yet\n");

    fake_reader_set_partitions(nothing_yet.reader, 0);
    EXPECT_EQ(Reasons(), "log 0 cannot be seen yet\nno topics are known yet\n");
}

TEST_F(AdminTest, AKilledIngestIsNotCalledRunning)
{
    const uint64_t now_ns = uint64_t{100} * NS_PER_S;
    auto health = std::make_unique<struct health>();
    runtime.root->heartbeat_ns = now_ns - uint64_t{17} * NS_PER_S;
    fake_reader_set_root(node.reader, runtime.root.get(), /*alive=*/false);

    health_judge(&sources, now_ns, health.get());
    const std::string killed = health->state;
    runtime.root->state = ROOT_STATE_STOPPED;
    health_judge(&sources, now_ns, health.get());

    EXPECT_EQ(killed, "not running (last sign 17 s ago)");
    EXPECT_STREQ(health->state, "stopped");
}

TEST_F(AdminTest, RotIsToldAndNoReasonAgainstBeingReady)
{
    auto health = std::make_unique<struct health>();
    node.stats.counters[SERVE_fenced_batches] = 3;

    health_judge(&sources, clock_mono_ns(), health.get());

    EXPECT_EQ(health->fenced_batches, 3U);
    EXPECT_EQ(Reasons(), "");
    EXPECT_NE(Metrics().find("penstock_serve_fenced_batches_total 3\n"), std::string::npos);
}

TEST_F(AdminTest, AStatsPageOfAnotherVersionIsNotRead)
{
    runtime.Stats()->version = 99;

    EXPECT_EQ(Reasons(), "worker 0 has no stats page\n");
}

// ------------------------------------------------------------------------------ whole server

std::string Http(uint16_t port, const std::string &request)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const struct timeval patience = {5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(connect(fd, reinterpret_cast<struct sockaddr *>(&address), sizeof address), 0);
    const std::string whole = request + " HTTP/1.0\r\n\r\n";
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

struct ServerTest : testing::Test {
    Runtime runtime;
    struct server *server = nullptr;
    std::thread loop;

    ServerTest()
    {
        struct server_options options = {};
        options.node = "edge<17>";
        options.runtime = runtime.path.c_str();
        options.kafka_host = "127.0.0.1";
        options.admin_host = "127.0.0.1";
        options.connections_max = 4;
        EXPECT_EQ(server_create(&options, &server), STATUS_OK);
        fake_reader_add_topic(fake_reader_latest(), "events", Id(1));
        fake_reader_set_root(fake_reader_latest(), runtime.root.get(), true);
        runtime.Stats()->heartbeat_ns = clock_mono_ns() + uint64_t{60} * NS_PER_S;
        loop = std::thread([this] { server_run(server); });
    }
    ~ServerTest() override
    {
        if (loop.joinable()) { Stop(); }
        server_destroy(server);
    }
    // By the signal that an operator would send.
    void Stop()
    {
        kill(getpid(), SIGTERM);
        loop.join();
    }
    std::string Get(const std::string &path)
    {
        return Http(server_admin_port(server), "GET " + path);
    }
};

TEST_F(ServerTest, AnswersTheFourPathsAndThePage)
{
    EXPECT_NE(Get("/livez").find("200 OK"), std::string::npos);
    EXPECT_NE(Get("/readyz").find("\r\n\r\nready\n"), std::string::npos);
    EXPECT_NE(Get("/healthz").find("\"ready\":true"), std::string::npos);
    EXPECT_NE(Get("/healthz").find("\"fenced_batches\":0"), std::string::npos);
    EXPECT_NE(Get("/metrics").find("text/plain; version=0.0.4"), std::string::npos);
    EXPECT_NE(Get("/").find("<h1>edge&lt;17&gt;</h1>"), std::string::npos);
    EXPECT_NE(Get("/nothing").find(" 404 "), std::string::npos);
}

TEST_F(ServerTest, IsNotReadyWithoutIngestAndSaysWhy)
{
    fake_reader_set_root(fake_reader_latest(), nullptr, false);

    EXPECT_NE(Get("/readyz").find(" 503 "), std::string::npos);
    EXPECT_NE(Get("/healthz").find("has not started yet"), std::string::npos);
    EXPECT_NE(Get("/livez").find("200 OK"), std::string::npos);
}

TEST_F(ServerTest, TakesNoOtherMethods)
{
    for (const char *method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"}) {
        EXPECT_NE(Http(server_admin_port(server), std::string(method) + " /").find(" 405 "),
                  std::string::npos)
            << method;
    }
    const std::string head = Http(server_admin_port(server), "HEAD /livez");
    EXPECT_EQ(head.substr(head.size() - 4), "\r\n\r\n");
}

TEST_F(ServerTest, StopsOnSigterm)
{
    const uint64_t begin_ns = clock_mono_ns();

    Stop();

    EXPECT_LT(clock_mono_ns() - begin_ns, uint64_t{4} * NS_PER_S);
}

// ---------------------------------------------------------------------------------- doorbell

// Ingest's side of the control socket.
struct Ingest {
    int listening = -1;
    int connection = -1;
    int bell = eventfd(0, EFD_CLOEXEC);

    explicit Ingest(const std::string &runtime, int type = SOCK_SEQPACKET)
    {
        struct sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        std::snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", runtime.c_str(),
                      CONTROL_SOCKET_NAME);
        unlink(address.sun_path);
        listening = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
        EXPECT_EQ(bind(listening, reinterpret_cast<struct sockaddr *>(&address), sizeof address),
                  0);
        EXPECT_EQ(listen(listening, 4), 0);
    }
    Ingest(const Ingest &) = delete;
    Ingest &operator=(const Ingest &) = delete;
    ~Ingest()
    {
        close(connection);
        close(listening);
        close(bell);
    }
    bool Accept()
    {
        connection = accept(listening, nullptr, nullptr);
        return connection >= 0;
    }
    enum status ReadRequest(struct control_request *out) const
    {
        uint8_t bytes[64];
        const ssize_t came = recv(connection, bytes, sizeof bytes, 0);
        return control_request_decode(bytes_of(bytes, size_t(came > 0 ? came : 0)), out);
    }
    void Answer(enum status status, bool with_bell) const
    {
        uint8_t bytes[CONTROL_MESSAGE_BYTES];
        const struct control_answer answer = {CONTROL_SUBSCRIBE, status};
        control_answer_encode(&answer, bytes);
        struct iovec data = {bytes, sizeof bytes};
        alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        struct msghdr message = {};
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        if (with_bell) {
            message.msg_control = control;
            message.msg_controllen = sizeof control;
            struct cmsghdr *const part = CMSG_FIRSTHDR(&message);
            part->cmsg_level = SOL_SOCKET;
            part->cmsg_type = SCM_RIGHTS;
            part->cmsg_len = CMSG_LEN(sizeof(int));
            std::memcpy(CMSG_DATA(part), &bell, sizeof bell);
        }
        EXPECT_EQ(sendmsg(connection, &message, 0), ssize_t(sizeof bytes));
    }
    void Ring() const { EXPECT_EQ(eventfd_write(bell, 1), 0); }
};

constexpr struct timeval three_retries = {0, 700 * 1000};

struct DoorbellTest : testing::Test {
    Runtime runtime;
    struct event_base *base = event_base_new();
    struct doorbell *doorbell = nullptr;
    int rings = 0;

    ~DoorbellTest() override
    {
        doorbell_destroy(doorbell);
        event_base_free(base);
    }
    void Start()
    {
        const struct doorbell_options options = {
            base, runtime.path.c_str(),
            [](void *test) { static_cast<DoorbellTest *>(test)->rings++; }, this};
        ASSERT_EQ(doorbell_create(&options, &doorbell), STATUS_OK);
    }
    template <typename Claim> bool Eventually(Claim claim)
    {
        for (int i = 0; i < 500; i++) {
            if (claim()) { return true; }
            event_base_loop(base, EVLOOP_NONBLOCK);
            usleep(2000);
        }
        return false;
    }
};

TEST_F(DoorbellTest, SubscribesAndHearsTheBell)
{
    Ingest ingest(runtime.path);
    Start();
    ASSERT_TRUE(ingest.Accept());
    struct control_request request = {};
    ASSERT_EQ(ingest.ReadRequest(&request), STATUS_OK);
    EXPECT_EQ(request.type, CONTROL_SUBSCRIBE);

    ingest.Answer(STATUS_OK, /*with_bell=*/true);
    ASSERT_TRUE(Eventually([this] { return doorbell_is_connected(doorbell); }));
    ingest.Ring();

    EXPECT_TRUE(Eventually([this] { return rings == 1; }));
}

TEST_F(DoorbellTest, ASocketThatRefusesItIsToldOnce)
{
    Ingest refusing(runtime.path, SOCK_STREAM); // EPROTOTYPE: works as root too, unlike EACCES
    testing::internal::CaptureStderr();
    Start();

    (void)event_base_loopexit(base, &three_retries);
    event_base_dispatch(base);

    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("cannot connect to penstock-ingest's " + runtime.path + "/control.sock: "),
              std::string::npos)
        << said;
    EXPECT_NE(said.find("up to 100 ms later"), std::string::npos);
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1);
}

TEST_F(DoorbellTest, AnAbsentIngestIsNoComplaint)
{
    testing::internal::CaptureStderr();

    Start();

    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(DoorbellTest, FindsAnIngestThatComesLater)
{
    Start();
    ASSERT_FALSE(doorbell_is_connected(doorbell));

    Ingest ingest(runtime.path);

    EXPECT_TRUE(Eventually([&] { return ingest.Accept(); }));
}

TEST_F(DoorbellTest, SubscribesAgainAfterIngestWentAway)
{
    auto first = std::make_unique<Ingest>(runtime.path);
    Start();
    ASSERT_TRUE(first->Accept());
    first->Answer(STATUS_OK, true);
    ASSERT_TRUE(Eventually([this] { return doorbell_is_connected(doorbell); }));

    first.reset();
    ASSERT_TRUE(Eventually([this] { return !doorbell_is_connected(doorbell); }));
    Ingest second(runtime.path);
    ASSERT_TRUE(Eventually([&] { return second.Accept(); }));
    second.Answer(STATUS_OK, true);
    ASSERT_TRUE(Eventually([this] { return doorbell_is_connected(doorbell); }));
    second.Ring();

    EXPECT_TRUE(Eventually([this] { return rings == 1; }));
}

TEST_F(DoorbellTest, ARefusalOrAnAnswerWithoutABellIsTriedAgain)
{
    Ingest ingest(runtime.path);
    Start();
    ASSERT_TRUE(ingest.Accept());
    ingest.Answer(STATUS_OK, /*with_bell=*/false);
    close(ingest.connection);
    ASSERT_TRUE(Eventually([&] { return ingest.Accept(); }));
    ingest.Answer(STATUS_FULL, true);
    close(ingest.connection);

    EXPECT_TRUE(Eventually([&] { return ingest.Accept(); }));
    EXPECT_FALSE(doorbell_is_connected(doorbell));
}

} // namespace
