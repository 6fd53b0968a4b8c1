#include "client/udp_driver.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace {

constexpr uint32_t DATAGRAM_BYTES = 1472;

/* A driver with one socket, and whoever it sends to. */
class UdpDriver : public testing::Test {
  protected:
    void SetUp() override
    {
        struct sockaddr_in local = {};
        local.sin_family = AF_INET;
        local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        peer_ = socket(AF_INET, SOCK_DGRAM, 0);
        const int buffer_bytes = 4 << 20;
        setsockopt(peer_, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
        ASSERT_EQ(bind(peer_, reinterpret_cast<struct sockaddr *>(&local), sizeof local), 0);
        socklen_t len = sizeof path_.remote;
        ASSERT_EQ(getsockname(peer_, reinterpret_cast<struct sockaddr *>(&path_.remote), &len), 0);
        ASSERT_EQ(udp_driver_create(DATAGRAM_BYTES, true, &driver_), STATUS_OK);
        ASSERT_EQ(udp_socket_open(driver_, &path_, &socket_), STATUS_OK);
    }
    void TearDown() override
    {
        udp_socket_close(&socket_);
        udp_driver_destroy(driver_);
        close(peer_);
    }

    void Fill(size_t len_bytes, char content)
    {
        uint8_t *const room = udp_driver_room(driver_);
        ASSERT_NE(room, nullptr);
        memset(room, content, len_bytes);
        udp_driver_filled(driver_, len_bytes);
    }

    std::vector<std::string> Arrived()
    {
        std::vector<std::string> out;
        char bytes[65536];
        ssize_t got;
        while ((got = recv(peer_, bytes, sizeof bytes, MSG_DONTWAIT)) >= 0) {
            out.emplace_back(bytes, static_cast<size_t>(got));
        }
        return out;
    }

    const struct udp_driver_stats &Stats() { return *udp_driver_stats_of(driver_); }

    struct udp_path path_ = {};
    int peer_ = -1;
    struct udp_driver *driver_ = nullptr;
    struct udp_socket socket_ = {};
};

TEST_F(UdpDriver, SendsEveryDatagramAsItWasInOrder)
{
    const size_t sizes[] = {1200, 1200, 1200, 700, 1472, 1, 1472, 1472, 64};
    std::vector<std::string> expected;
    char content = 'a';
    for (const size_t size : sizes) {
        expected.emplace_back(size, content);
        Fill(size, content++);
    }

    udp_driver_send(driver_, &socket_);

    EXPECT_EQ(Arrived(), expected);
    EXPECT_EQ(Stats().datagrams_sent, 9u);
    EXPECT_EQ(Stats().datagrams_sent_gso, 4u + 2u + 3u) << "three runs, each with its shorter end";
}

TEST_F(UdpDriver, SendsAFullBatchOfTheLargest)
{
    for (int i = 0; i < UDP_DRIVER_BATCH; i++) { Fill(DATAGRAM_BYTES, 'x'); }
    EXPECT_EQ(udp_driver_room(driver_), nullptr);

    udp_driver_send(driver_, &socket_);

    EXPECT_EQ(Arrived().size(), static_cast<size_t>(UDP_DRIVER_BATCH));
    EXPECT_NE(udp_driver_room(driver_), nullptr);
}

/* Without UDP checksums the kernel refuses to cut runs (EINVAL): as a device without GSO would. */
TEST_F(UdpDriver, FallsBackWhereTheKernelRefusesRuns)
{
    const int one = 1;
    ASSERT_EQ(setsockopt(socket_.fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof one), 0);
    ASSERT_TRUE(socket_.gso);
    for (int i = 0; i < 10; i++) { Fill(1200, static_cast<char>('a' + i)); }

    udp_driver_send(driver_, &socket_);

    const auto arrived = Arrived();
    ASSERT_EQ(arrived.size(), 10u);
    EXPECT_EQ(arrived[9], std::string(1200, 'j'));
    EXPECT_FALSE(socket_.gso);
    EXPECT_EQ(Stats().datagrams_sent_gso, 0u);
    EXPECT_EQ(Stats().datagrams_refused, 0u);
}

TEST_F(UdpDriver, ToleratesThatNobodyListens)
{
    close(peer_);
    Fill(100, 'x');
    udp_driver_send(driver_, &socket_);
    Fill(100, 'x');
    udp_driver_send(driver_, &socket_);

    EXPECT_EQ(Stats().datagrams_sent, 2u);
    EXPECT_GE(Stats().unreachable, 1u);
    peer_ = -1;
}

TEST_F(UdpDriver, ReceivesManyAtOnce)
{
    struct sockaddr_in target = {};
    target.sin_family = AF_INET;
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    target.sin_port = htons(socket_.local_port);
    for (int i = 0; i < 100; i++) {
        ASSERT_EQ(sendto(peer_, &i, sizeof i, 0, reinterpret_cast<struct sockaddr *>(&target),
                         sizeof target),
                  static_cast<ssize_t>(sizeof i));
    }
    struct bytes datagrams[UDP_DRIVER_BATCH];

    EXPECT_EQ(udp_driver_receive(driver_, &socket_, datagrams), 64u);
    EXPECT_EQ(udp_driver_receive(driver_, &socket_, datagrams), 36u);
    EXPECT_EQ(datagrams[35].len_bytes, 4u);
    EXPECT_EQ(datagrams[35].at[0], 99);
    EXPECT_EQ(udp_driver_receive(driver_, &socket_, datagrams), 0u);
}

TEST_F(UdpDriver, SaysWhenALocalPortIsTaken)
{
    struct udp_path taken = path_;
    taken.local_port = socket_.local_port;
    struct udp_socket second;

    EXPECT_EQ(udp_socket_open(driver_, &taken, &second), STATUS_BUSY);
    EXPECT_EQ(second.fd, -1);
}

} // namespace
