// The Kafka port over real sockets of the loopback, its event loop turned by the test.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "serve/listener.h"
#include "tests/serve/node.h"

namespace {

using namespace serve_test;

struct Client {
    int fd;

    explicit Client(uint16_t port, int receive_bytes = 0)
    {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        if (receive_bytes > 0) {
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
        }
        struct sockaddr_in address = {};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(connect(fd, reinterpret_cast<struct sockaddr *>(&address), sizeof address), 0);
        fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    Client(const Client &) = delete;
    Client &operator=(const Client &) = delete;
    ~Client() { Close(); }
    void Close()
    {
        if (fd >= 0) { close(fd); }
        fd = -1;
    }
    void Send(const Bytes &bytes) const
    {
        EXPECT_EQ(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), ssize_t(bytes.size()));
    }
};

Bytes Framed(const Bytes &request)
{
    Bytes out(4);
    store_be32(out.data(), uint32_t(request.size()));
    out.insert(out.end(), request.begin(), request.end());
    return out;
}

// ApiVersions 0 with a correlation id of the caller's.
Bytes Ask(int32_t correlation_id)
{
    Bytes request = Framed(Frame(KAFKA_API_VERSIONS, 0).bytes);
    store_be32(&request[8], uint32_t(correlation_id));
    return request;
}

struct ConnectionTest : testing::Test {
    Node node;
    struct event_base *base = event_base_new();
    struct listener *listener = nullptr;

    ConnectionTest()
    {
        fake_reader_add_topic(node.reader, "events", Id(1));
        Listen(/*connections_max=*/8);
    }
    ~ConnectionTest() override
    {
        listener_destroy(listener);
        event_base_free(base);
    }
    void Listen(uint32_t connections_max)
    {
        listener_destroy(listener);
        struct listener_options options = {};
        options.base = base;
        options.service = &node.service;
        options.host = "127.0.0.1";
        options.connections_max = connections_max;
        ASSERT_EQ(listener_create(&options, &listener), STATUS_OK);
    }
    uint16_t Port() { return listener_port(listener); }

    void Turn() { event_base_loop(base, EVLOOP_NONBLOCK); }
    void Turn(int times)
    {
        for (int i = 0; i < times; i++) { Turn(); }
    }
    // Turns the loop until `count` bytes came, the server closed, or 2 s are over.
    Bytes Receive(const Client &client, size_t count)
    {
        Bytes out;
        for (int i = 0; i < 2000 && out.size() < count; i++) {
            Turn();
            uint8_t bytes[65536];
            const size_t wanted = std::min(sizeof bytes, count - out.size());
            const ssize_t came = recv(client.fd, bytes, wanted, 0);
            if (came == 0 || (came < 0 && errno == ECONNRESET)) { break; }
            if (came > 0) { out.insert(out.end(), bytes, bytes + came); }
            if (came < 0) { usleep(1000); }
        }
        return out;
    }
    Bytes ReceiveFrame(const Client &client)
    {
        Bytes out = Receive(client, 4);
        if (out.size() < 4) { return out; }
        const Bytes rest = Receive(client, load_be32(out.data()));
        out.insert(out.end(), rest.begin(), rest.end());
        return out;
    }
    int32_t CorrelationId(const Client &client)
    {
        const Bytes frame = ReceiveFrame(client);
        return frame.size() >= 8 ? int32_t(load_be32(&frame[4])) : INT32_MIN;
    }
    bool IsClosed(const Client &client)
    {
        for (int i = 0; i < 200; i++) {
            Turn();
            uint8_t byte;
            const ssize_t came = recv(client.fd, &byte, 1, 0);
            if (came == 0 || (came < 0 && errno == ECONNRESET)) { return true; }
            EXPECT_LE(came, 0) << "an answer where none is due";
            usleep(1000);
        }
        return false;
    }
    void ExpectClosedBy(const Bytes &bytes)
    {
        Client client(Port());
        Turn(3);
        client.Send(bytes);
        EXPECT_TRUE(IsClosed(client));
        EXPECT_EQ(node.stats.connections_open, 0U);
    }
};

TEST_F(ConnectionTest, AnswersARequestThatComesByteByByte)
{
    Client client(Port());

    for (const uint8_t byte : Ask(42)) {
        client.Send({byte});
        Turn(2);
    }

    EXPECT_EQ(CorrelationId(client), 42);
}

TEST_F(ConnectionTest, AnswersPipelinedRequestsInTheirOrder)
{
    Client client(Port());
    Bytes all;
    for (int32_t i = 0; i < 50; i++) {
        const Bytes one = Ask(i - 25);
        all.insert(all.end(), one.begin(), one.end());
    }

    client.Send(all);

    for (int32_t i = 0; i < 50; i++) { ASSERT_EQ(CorrelationId(client), i - 25); }
}

TEST_F(ConnectionTest, ARequestBehindAParkedFetchWaitsForIt)
{
    Client client(Port());
    FetchOptions options;
    options.wait_ms = 60000;
    client.Send(Framed(Fetch("events", {{0, 0}}, options)));
    client.Send(Ask(8));
    Turn(10);
    uint8_t byte;
    ASSERT_EQ(recv(client.fd, &byte, 1, 0), -1);
    ASSERT_EQ(node.stats.fetches_waiting, 1U);

    fake_reader_append(node.reader, 0, 0, 1, 0, 0, 10, true);
    connection_set_wake(listener_connections(listener));

    EXPECT_EQ(CorrelationId(client), 7);
    EXPECT_EQ(CorrelationId(client), 8);
    EXPECT_EQ(node.stats.fetches_waiting, 0U);
}

TEST_F(ConnectionTest, AParkedFetchIsAnsweredWhenItsTimeIsOver)
{
    Client client(Port());
    FetchOptions options;
    options.wait_ms = 20;

    client.Send(Framed(Fetch("events", {{0, 0}}, options)));

    EXPECT_EQ(ReadFetched(ReceiveFrame(client))[0].high_watermark, 0);
}

TEST_F(ConnectionTest, AParkedFetchGoesWithItsClient)
{
    Client client(Port());
    FetchOptions options;
    options.wait_ms = 60000;
    client.Send(Framed(Fetch("events", {{0, 0}}, options)));
    Turn(10);
    ASSERT_EQ(node.stats.fetches_waiting, 1U);

    client.Close();
    Turn(10);

    EXPECT_EQ(node.stats.fetches_waiting, 0U);
    EXPECT_EQ(node.stats.connections_open, 0U);
}

TEST_F(ConnectionTest, AParkedFetchWithTooMuchBehindItIsAnsweredAtOnce)
{
    Client client(Port());
    FetchOptions options;
    options.wait_ms = 60000;
    client.Send(Framed(Fetch("events", {{0, 0}}, options)));
    Turn(10);

    client.Send(Bytes(32 << 10, 0));

    EXPECT_EQ(ReadFetched(ReceiveFrame(client))[0].high_watermark, 0);
    EXPECT_TRUE(IsClosed(client)); // zeros are no request
}

TEST_F(ConnectionTest, AFetchThatReadsFromDiskGoesWithItsClient)
{
    fake_reader_append(node.reader, 0, 0, 1, 0, 0, 10, false);
    Client client(Port());
    client.Send(Framed(Fetch("events", {{0, 0}})));
    Turn(10);
    client.Close();
    Turn(10);
    ASSERT_EQ(node.stats.connections_open, 0U);

    void *owner = this;
    ASSERT_TRUE(cold_reader_step(node.catalog.cold));
    ASSERT_TRUE(catalog_take_finished(&node.catalog, &owner));

    EXPECT_EQ(owner, nullptr);
}

TEST_F(ConnectionTest, OthersAreServedWhileOneWaitsForTheDisk)
{
    fake_reader_append(node.reader, 0, 0, 1, 0, 0, 10, false);
    Client slow(Port());
    slow.Send(Framed(Fetch("events", {{0, 0}})));
    Turn(10);
    Client fast(Port());
    fast.Send(Ask(5));
    ASSERT_EQ(CorrelationId(fast), 5);

    void *owner = nullptr;
    ASSERT_TRUE(cold_reader_step(node.catalog.cold));
    ASSERT_TRUE(catalog_take_finished(&node.catalog, &owner));
    connection_on_read_finished(static_cast<struct connection *>(owner));

    EXPECT_EQ(ReadFetched(ReceiveFrame(slow))[0].records,
              Copy(fake_reader_batch(node.reader, 0, 0, 0)));
}

TEST_F(ConnectionTest, ASlowReaderGetsEveryByteInTheEnd)
{
    Bytes expected;
    for (int i = 0; i < 8; i++) {
        fake_reader_append(node.reader, 0, 0, 1, 0, 0, 1 << 19, true);
        const Bytes batch = Copy(fake_reader_batch(node.reader, 0, 0, uint64_t(i)));
        expected.insert(expected.end(), batch.begin(), batch.end());
    }
    Client client(Port(), /*receive_bytes=*/4096);
    client.Send(Framed(Fetch("events", {{0, 0, 8 << 20}})));
    Turn(10);
    EXPECT_GE(node.stats.answer_bytes_held, expected.size());

    EXPECT_TRUE(ReadFetched(ReceiveFrame(client))[0].records == expected);
    Turn(3);
    EXPECT_EQ(node.stats.answer_bytes_held, 0U);
}

TEST_F(ConnectionTest, ClosesAtOnceOnALengthThatIsNone)
{
    ExpectClosedBy({0, 0, 0, 0});
    ExpectClosedBy({0xff, 0xff, 0xff, 0xff});
    ExpectClosedBy({0x7f, 0xff, 0xff, 0xff});
    ExpectClosedBy({0x80, 0, 0, 0});
    EXPECT_EQ(node.Count(SERVE_frames_oversized), 4U);
}

TEST_F(ConnectionTest, ClosesOnATlsHelloAndOnHttp)
{
    ExpectClosedBy({0x16, 0x03, 0x01, 0x02, 0x00});
    ExpectClosedBy({'G', 'E', 'T', ' ', '/'});
    EXPECT_EQ(node.Count(SERVE_connections_closed_protocol), 2U);
}

TEST_F(ConnectionTest, ABigFrameIsTakenOnlyBehindAValidRequest)
{
    Bytes length(4);
    store_be32(length.data(), CONNECTION_FRAME_BYTES_FIRST + 1);
    ExpectClosedBy(length);

    Client client(Port());
    client.Send(Ask(1));
    ASSERT_EQ(CorrelationId(client), 1);
    client.Send(length);
    Turn(10);
    EXPECT_EQ(node.stats.connections_open, 1U);
    store_be32(length.data(), CONNECTION_FRAME_BYTES_MAX + 1);
    Client other(Port());
    other.Send(Ask(2));
    ASSERT_EQ(CorrelationId(other), 2);
    other.Send(length);
    EXPECT_TRUE(IsClosed(other));
}

TEST_F(ConnectionTest, TheLargestFrameIsReadWhole)
{
    Client client(Port());
    client.Send(Ask(1));
    ASSERT_EQ(CorrelationId(client), 1);
    Bytes request = Frame(KAFKA_API_VERSIONS, 0).bytes;
    request.resize(CONNECTION_FRAME_BYTES_MAX); // bytes behind the body are tolerated
    const Bytes frame = Framed(request);

    size_t sent = 0;
    for (int i = 0; i < 5000 && sent < frame.size(); i++) {
        const ssize_t took = send(client.fd, &frame[sent], frame.size() - sent, MSG_NOSIGNAL);
        sent += took > 0 ? size_t(took) : 0;
        Turn();
    }

    EXPECT_EQ(sent, frame.size());
    EXPECT_EQ(CorrelationId(client), 7);
}

TEST_F(ConnectionTest, ClosesOnAnUnknownApiAndVersionWithoutAnAnswer)
{
    ExpectClosedBy(Framed(Frame(999, 0).bytes));
    ExpectClosedBy(Framed(Frame(KAFKA_FETCH, 18).bytes));
    ExpectClosedBy(Framed(Frame(KAFKA_FETCH, 3).bytes));
}

TEST_F(ConnectionTest, NamesTheApiThatItDoesNotSpeakAndWhatToDo)
{
    testing::internal::CaptureStderr();

    ExpectClosedBy(Framed(Frame(10, 0).bytes));
    ExpectClosedBy(Framed(Frame(10, 0).bytes)); // within ten seconds: no line of its own

    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("API key 10 (FindCoordinator): consumer groups are not in this version; "
                        "consume without a group (kcat -C, group_id=None)\n"),
              std::string::npos)
        << said;
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1);
}

TEST_F(ConnectionTest, SaysHowManyWereLikeItOnceThereWereAny)
{
    ExpectClosedBy(Framed(Frame(999, 0).bytes));
    ExpectClosedBy(Framed(Frame(999, 0).bytes));
    listener_connections(listener)->complaint_next_ns = 0; // ten seconds later
    testing::internal::CaptureStderr();

    ExpectClosedBy(Framed(Frame(999, 0).bytes));

    EXPECT_NE(testing::internal::GetCapturedStderr().find(
                  "unknown API key 999 (1 like it since the last line)\n"),
              std::string::npos);
}

TEST_F(ConnectionTest, ProduceWithoutAcknowledgementIsClosed)
{
    ExpectClosedBy(Framed(Frame(KAFKA_PRODUCE, 3).I16(-1).I16(0).I32(100).I32(0).bytes));
    EXPECT_EQ(node.Count(SERVE_produce_refused), 1U);
}

TEST_F(ConnectionTest, TellsTheAddressThatTheClientCameTo)
{
    Client client(Port());

    client.Send(Framed(Frame(KAFKA_METADATA, 0).I32(0).bytes));

    const Bytes answer = ReceiveFrame(client);
    struct cursor in = cursor_over(View(answer));
    cursor_skip(&in, 8 + 4 + 4);
    EXPECT_TRUE(bytes_equal_text(cursor_bytes(&in, cursor_be16(&in)), "127.0.0.1"));
    EXPECT_EQ(cursor_be32(&in), Port());
}

TEST_F(ConnectionTest, OneMoreThanTheLimitIsClosedAndTheOthersStay)
{
    Listen(/*connections_max=*/2);
    Client first(Port());
    Client second(Port());
    Turn(5);

    Client third(Port());

    EXPECT_TRUE(IsClosed(third));
    EXPECT_EQ(node.Count(SERVE_connections_refused), 1U);
    second.Send(Ask(3));
    EXPECT_EQ(CorrelationId(second), 3);
}

TEST_F(ConnectionTest, AnIdleConnectionHoldsNoAnswerMemory)
{
    Client client(Port());
    client.Send(Ask(1));
    ASSERT_EQ(CorrelationId(client), 1);

    EXPECT_EQ(node.stats.connections_open, 1U);
    EXPECT_EQ(node.stats.answer_bytes_held, 0U);
}

TEST_F(ConnectionTest, DrainingAnswersAParkedFetchAndClosesEveryConnection)
{
    Client idle(Port());
    Client parked(Port());
    FetchOptions options;
    options.wait_ms = 60000;
    parked.Send(Framed(Fetch("events", {{0, 0}}, options)));
    Turn(10);

    listener_drain(listener);

    EXPECT_EQ(ReadFetched(ReceiveFrame(parked))[0].error, KAFKA_NONE);
    EXPECT_TRUE(IsClosed(idle));
    EXPECT_TRUE(IsClosed(parked));
    EXPECT_TRUE(listener_is_drained(listener));
}

TEST_F(ConnectionTest, AByteNowAndThenBuysNoTime)
{
    listener_connections(listener)->patience.header_ms = 100;
    Client client(Port());
    Turn(3);

    const uint64_t begin_ns = clock_mono_ns();
    const Bytes request = Ask(1);
    for (size_t i = 0; i < 8 && node.stats.connections_open > 0; i++) {
        client.Send({request[i]});
        for (int k = 0; k < 20; k++) {
            Turn();
            usleep(1000);
        }
    }

    EXPECT_TRUE(IsClosed(client));
    EXPECT_LT(clock_mono_ns() - begin_ns, uint64_t{400} * NS_PER_MS);
    EXPECT_EQ(node.Count(SERVE_connections_closed_slow), 1U);
}

TEST_F(ConnectionTest, AFrameThatNeverEndsIsCut)
{
    listener_connections(listener)->patience.frame_ms = 50;
    Client client(Port());
    Bytes request = Ask(1);
    request.pop_back();
    client.Send(request);

    EXPECT_TRUE(IsClosed(client));
    EXPECT_EQ(node.Count(SERVE_connections_closed_slow), 1U);
}

TEST_F(ConnectionTest, AClientThatNeverSpeaksIsCutAndOneBetweenRequestsIsNot)
{
    listener_connections(listener)->patience.first_request_ms = 50;
    Client proven(Port());
    proven.Send(Ask(1));
    ASSERT_EQ(CorrelationId(proven), 1);
    Client silent(Port());

    EXPECT_TRUE(IsClosed(silent));
    EXPECT_EQ(node.stats.connections_open, 1U);
    EXPECT_EQ(node.Count(SERVE_connections_closed_idle), 1U);
}

TEST_F(ConnectionTest, AClientThatReadsNothingIsCut)
{
    for (int i = 0; i < 16; i++) { fake_reader_append(node.reader, 0, 0, 1, 0, 0, 1 << 19, true); }
    listener_connections(listener)->patience.sending_ms = 50;
    Client client(Port(), /*receive_bytes=*/4096);
    client.Send(Framed(Fetch("events", {{0, 0, 16 << 20}})));

    for (int i = 0; i < 400 && node.Count(SERVE_connections_closed_slow) == 0; i++) {
        Turn();
        usleep(1000);
    }

    EXPECT_EQ(node.Count(SERVE_connections_closed_slow), 1U);
    EXPECT_EQ(node.stats.answer_bytes_held, 0U);
}

TEST_F(ConnectionTest, ResetsInTheMiddleOfAnswersLeaveNothingBehind)
{
    for (int i = 0; i < 4; i++) { fake_reader_append(node.reader, 0, 0, 1, 0, 0, 1 << 19, true); }

    for (size_t read_bytes = 0; read_bytes < 200; read_bytes++) {
        Client client(Port(), 4096);
        client.Send(Framed(Fetch("events", {{0, 0, 8 << 20}})));
        (void)Receive(client, read_bytes * 1024);
        const struct linger reset = {1, 0};
        setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        client.Close();
        Turn(3);
    }

    Turn(10);
    EXPECT_EQ(node.stats.connections_open, 0U);
    EXPECT_EQ(node.stats.answer_bytes_held, 0U);
}

TEST(ListenerTest, AnAddressInUseIsSaid)
{
    Node node;
    struct event_base *const base = event_base_new();
    struct listener_options options = {};
    options.base = base;
    options.service = &node.service;
    options.host = "127.0.0.1";
    options.connections_max = 1;
    struct listener *first = nullptr;
    struct listener *second = nullptr;
    ASSERT_EQ(listener_create(&options, &first), STATUS_OK);
    options.port = listener_port(first);

    EXPECT_EQ(listener_create(&options, &second), STATUS_EXISTS);
    options.host = "no.such.host.invalid";
    EXPECT_EQ(listener_create(&options, &second), STATUS_INVALID);

    listener_destroy(first);
    event_base_free(base);
}

} // namespace
