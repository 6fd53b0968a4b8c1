#include "dataplane/control_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "wire/control.h"

namespace {

class ControlSocketTest : public testing::Test {
  protected:
    void SetUp() override
    {
        char path[] = "/tmp/penstock-control-XXXXXX";
        ASSERT_NE(mkdtemp(path), nullptr);
        runtime_ = path;
        const struct control_socket_options options = {path, OnReload, this};
        ASSERT_EQ(control_socket_create(&options, &control_), STATUS_OK);
        client_ = Connect();
        Serve();
    }

    void TearDown() override
    {
        close(client_);
        control_socket_destroy(control_);
        rmdir(runtime_.c_str());
    }

    int Connect() const
    {
        struct sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", runtime_.c_str(),
                 CONTROL_SOCKET_NAME);
        const int client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
        EXPECT_EQ(connect(client, reinterpret_cast<struct sockaddr *>(&address), sizeof address),
                  0);
        return client;
    }

    // What the main core does when poll comes back.
    void Serve()
    {
        struct pollfd polled[CONTROL_SOCKET_POLL_MAX];
        const size_t count = control_socket_poll_fill(control_, polled);
        ASSERT_GE(poll(polled, count, 0), 0);
        control_socket_poll_done(control_, polled, count);
    }

    void Send(const void *at, size_t len) { ASSERT_EQ(send(client_, at, len, 0), ssize_t(len)); }

    void Subscribe()
    {
        const struct control_request request = {CONTROL_SUBSCRIBE};
        uint8_t packet[CONTROL_MESSAGE_BYTES];
        control_request_encode(&request, packet);
        Send(packet, sizeof packet);
        Serve();
    }

    // The answer's status; the eventfd that came with it, or -1, in `doorbell`.
    enum status Receive(int *doorbell)
    {
        uint8_t packet[64];
        struct iovec bytes = {packet, sizeof packet};
        char room[CMSG_SPACE(sizeof(int))];
        struct msghdr message = {};
        message.msg_iov = &bytes;
        message.msg_iovlen = 1;
        message.msg_control = room;
        message.msg_controllen = sizeof room;
        const ssize_t len = recvmsg(client_, &message, 0);
        *doorbell = -1;
        if (len <= 0) { return STATUS_CLOSED; }
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        if (rights != nullptr) { memcpy(doorbell, CMSG_DATA(rights), sizeof *doorbell); }
        struct control_answer answer;
        EXPECT_EQ(control_answer_decode(bytes_of(packet, static_cast<size_t>(len)), &answer),
                  STATUS_OK);
        return answer.status;
    }

    static uint64_t Rings(int doorbell)
    {
        uint64_t rings = 0;
        return read(doorbell, &rings, sizeof rings) == sizeof rings ? rings : 0;
    }

    static uint64_t OnReload(void *context)
    {
        return ++static_cast<ControlSocketTest *>(context)->tickets_;
    }

    void AskForReload(int client)
    {
        const struct control_request request = {CONTROL_RULES_RELOAD};
        uint8_t packet[CONTROL_MESSAGE_BYTES];
        control_request_encode(&request, packet);
        ASSERT_EQ(send(client, packet, sizeof packet, 0), ssize_t(sizeof packet));
        Serve();
    }

    // False: no answer yet, or the connection ended.
    static bool TakeReport(int client, enum status *status, std::string *text)
    {
        static uint8_t packet[CONTROL_REPORT_BYTES_MAX];
        ssize_t len = recv(client, packet, sizeof packet, 0);
        if (len <= 0) { return false; }
        struct control_answer answer;
        EXPECT_EQ(control_answer_decode(bytes_of(packet, static_cast<size_t>(len)), &answer),
                  STATUS_OK);
        EXPECT_EQ(answer.type, CONTROL_RULES_RELOAD);
        *status = answer.status;
        len = recv(client, packet, sizeof packet, 0);
        struct control_report report;
        EXPECT_EQ(control_report_decode(bytes_of(packet, static_cast<size_t>(len)), &report),
                  STATUS_OK);
        *text = std::string(reinterpret_cast<const char *>(report.text.at), report.text.len_bytes);
        return true;
    }

    uint64_t tickets_ = 0;
    std::string runtime_;
    struct control_socket *control_ = nullptr;
    int client_ = -1;
};

TEST_F(ControlSocketTest, ASubscriberHearsTheDoorbell)
{
    int doorbell;
    Subscribe();
    ASSERT_EQ(Receive(&doorbell), STATUS_OK);
    ASSERT_GE(doorbell, 0);
    EXPECT_EQ(Rings(doorbell), 0U);

    control_socket_ring(control_);
    control_socket_ring(control_);

    EXPECT_EQ(Rings(doorbell), 2U);
    close(doorbell);
}

TEST_F(ControlSocketTest, GarbageEndsTheConnectionAndOnlyThat)
{
    int doorbell;
    Send("sixteen bytes!!", 16);
    Serve();
    EXPECT_EQ(Receive(&doorbell), STATUS_CLOSED);

    close(client_);
    client_ = Connect();
    Serve();
    Subscribe();
    EXPECT_EQ(Receive(&doorbell), STATUS_OK);
    close(doorbell);
}

TEST_F(ControlSocketTest, AnUnknownRequestIsAnsweredSo)
{
    const struct control_request request = {77};
    uint8_t packet[CONTROL_MESSAGE_BYTES];
    control_request_encode(&request, packet);
    Send(packet, sizeof packet);
    Serve();

    int doorbell;
    EXPECT_EQ(Receive(&doorbell), STATUS_UNSUPPORTED);
    EXPECT_EQ(doorbell, -1);
}

TEST_F(ControlSocketTest, MoreClientsThanRoomAreTurnedAway)
{
    std::vector<int> clients;
    for (int i = 0; i < CONTROL_SOCKET_CLIENTS_MAX; i++) { // one more than is free
        clients.push_back(Connect());
        Serve();
    }

    char byte;
    EXPECT_EQ(recv(clients.back(), &byte, 1, 0), 0); // closed
    EXPECT_EQ(recv(clients.front(), &byte, 1, 0), -1);
    EXPECT_EQ(errno, EAGAIN); // still there
    for (const int client : clients) { close(client); }
}

TEST_F(ControlSocketTest, AReloadIsAnsweredWhenItsTicketIs)
{
    const int second = Connect();
    Serve();
    AskForReload(client_);
    AskForReload(second);
    enum status status;
    std::string text;
    EXPECT_FALSE(TakeReport(client_, &status, &text));

    const std::string first_text = "rules.yaml:1:1: error: no\n";
    const struct control_report report = {1, 2, 3, 4,
                                          bytes_of(first_text.data(), first_text.size())};
    control_socket_reloaded(control_, 1, STATUS_INVALID, &report);

    ASSERT_TRUE(TakeReport(client_, &status, &text));
    EXPECT_EQ(status, STATUS_INVALID);
    EXPECT_EQ(text, first_text);
    EXPECT_FALSE(TakeReport(second, &status, &text)) << "its file was not read yet";

    control_socket_reloaded(control_, 2, STATUS_OK, &report);
    EXPECT_TRUE(TakeReport(second, &status, &text));
    EXPECT_FALSE(TakeReport(client_, &status, &text)) << "one answer to one request";
    close(second);
}

TEST_F(ControlSocketTest, AnAnswerForOneWhoLeftIsDropped)
{
    AskForReload(client_);
    close(client_);
    client_ = Connect();
    Serve();

    const struct control_report report = {};
    control_socket_reloaded(control_, 1, STATUS_OK, &report);

    enum status status;
    std::string text;
    EXPECT_FALSE(TakeReport(client_, &status, &text));
    EXPECT_EQ(errno, EAGAIN) << "connected still";
}

} // namespace
