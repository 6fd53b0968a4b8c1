// Real DPDK, virtual devices, ordinary memory: what can be tested of a port without a NIC.
#include "nic/dpdk_port.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <rte_thash.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/logger.h"
#include "nic/neighbour.h"

// The leak sanitizer asks for this by name: net_af_xdp 22.11 never deletes the umem of a closed
// device.
extern "C" const char *__lsan_default_suppressions() { return "leak:xsk_umem__create\n"; }

namespace {

constexpr size_t BUFFERS = 4096;
constexpr size_t AF_XDP_BUFFERS = 8192;
constexpr size_t WORKERS = 2;

// EAL starts once a process.
class Eal : public testing::Environment {
  public:
    void SetUp() override
    {
        logger_init("test_nic_dpdk", LOG_LEVEL_ERROR);
        has_cable = MakeCable();
        cpu_set_t allowed;
        ASSERT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
        for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (CPU_ISSET(cpu, &allowed)) { last_cpu = cpu; }
        }
        const uint32_t cores[WORKERS] = {last_cpu, last_cpu};
        struct dpdk_eal_options options = {};
        struct dpdk_error error = {};
        options.program = "test_nic_dpdk";
        options.file_prefix = "penstock-test";
        options.worker_cores = cores;
        options.worker_count = WORKERS;
        options.memory_bytes = 256 << 20;
        const enum status status = dpdk_eal_start(&options, &memory, &error);
        ASSERT_EQ(status, STATUS_OK) << error.text;
    }

    void TearDown() override { dpdk_eal_stop(); }

    // A network namespace of this process's own, gone with it: nothing of the machine is touched.
    static bool MakeCable()
    {
        if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0) { return false; }
        return system("ip link set lo up && "
                      "ip link add node0 type veth peer name prod0 && "
                      "sysctl -qw net.ipv6.conf.node0.disable_ipv6=1 && "
                      "sysctl -qw net.ipv6.conf.prod0.disable_ipv6=1 && "
                      "ip addr add 192.0.2.1/24 dev prod0 && "
                      "ip link set node0 up && ip link set prod0 up && "
                      "ethtool -K prod0 tx off >/dev/null && ethtool -K node0 tx off >/dev/null") ==
               0;
    }

    struct dpdk_memory memory = {};
    uint32_t last_cpu = 0;
    bool has_cable = false;
};

Eal *const eal = static_cast<Eal *>(testing::AddGlobalTestEnvironment(new Eal));

// A port, and what became of making it.
class Port {
  public:
    explicit Port(std::vector<const char *> devices, size_t workers = 1, uint16_t mtu_bytes = 1500,
                  size_t buffers = BUFFERS, size_t frames_held_max = 0)
    {
        struct dpdk_port_options options = {};
        options.devices = devices.data();
        options.device_count = devices.size();
        options.worker_count = workers;
        options.interface.address = 0xc000020a;
        options.interface.netmask = 0xffffff00;
        options.interface.mtu_bytes = mtu_bytes;
        options.buffers_per_worker = buffers;
        options.frames_held_max = frames_held_max;
        status = dpdk_port_create(&options, &port, &error);
    }

    ~Port() { dpdk_port_destroy(port); }
    Port(const Port &) = delete;
    Port &operator=(const Port &) = delete;

    bool Says(const char *words) const { return std::strstr(error.text, words) != nullptr; }
    struct packets Packets(size_t worker = 0) { return dpdk_port_packets(port, worker); }

    struct dpdk_port_counts Counts() const
    {
        struct dpdk_port_counts out = {};
        dpdk_port_counts(port, &out);
        return out;
    }

    struct dpdk_port_facts Facts() const
    {
        struct dpdk_port_facts out = {};
        dpdk_port_facts(port, &out);
        return out;
    }

    enum status status = STATUS_OK;
    struct dpdk_error error = {};
    struct dpdk_port *port = nullptr;
};

bool Send(struct packets packets, const std::string &frame)
{
    struct packet_room room = {};
    const size_t len_bytes = frame.size();
    if (!packets_reserve(packets, &room) || room.capacity_bytes < len_bytes) { return false; }
    memcpy(room.at, frame.data(), len_bytes);
    packets_transmit(packets, &room.handle, &len_bytes, 1);
    return true;
}

// One burst, given back at once.
std::vector<std::string> Receive(struct packets packets)
{
    struct packet burst[PACKETS_BURST_MAX];
    std::vector<std::string> out;
    const size_t count = packets_receive(packets, burst, PACKETS_BURST_MAX);
    for (size_t i = 0; i < count; i++) {
        out.emplace_back(reinterpret_cast<const char *>(burst[i].frame.at),
                         burst[i].frame.len_bytes);
        packets_release(packets, &burst[i].handle, 1);
    }
    return out;
}

size_t Drain(struct packets packets)
{
    size_t frames = 0;
    for (size_t got = 1; got > 0 && frames < 100000; frames += got) {
        got = Receive(packets).size();
    }
    return frames;
}

// ---- frames through an in-process ring: what is sent comes back

TEST(DpdkPort, CarriesAFrameByteByByte)
{
    Port port({"net_ring0"});
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;
    const std::string frame(100, 'x');

    ASSERT_TRUE(Send(port.Packets(), frame));

    EXPECT_EQ(Receive(port.Packets()), std::vector<std::string>{frame});
    EXPECT_EQ(port.Counts().sent_frames, 1U);
    EXPECT_EQ(port.Counts().received_frames, 1U);
}

TEST(DpdkPort, SaysNothingOfChecksumsThatNobodyLookedAt)
{
    Port port({"net_ring0"});
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;
    ASSERT_TRUE(Send(port.Packets(), "frame"));
    struct packet packet = {};

    ASSERT_EQ(packets_receive(port.Packets(), &packet, 1), 1U);

    EXPECT_EQ(packet.ip_checksum, PACKET_CHECKSUM_UNKNOWN);
    EXPECT_EQ(packet.l4_checksum, PACKET_CHECKSUM_UNKNOWN);
    EXPECT_FALSE(packet.chained);
    EXPECT_FALSE(packet.vlan_stripped);
    packets_release(port.Packets(), &packet.handle, 1);
}

TEST(DpdkPort, KnowsHowManyBuffersAreFree)
{
    Port port({"net_ring0"});
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;
    ASSERT_EQ(packets_buffers_free(port.Packets()), BUFFERS);
    struct packet_room room = {};

    ASSERT_TRUE(packets_reserve(port.Packets(), &room));
    EXPECT_EQ(packets_buffers_free(port.Packets()), BUFFERS - 1);
    packets_release(port.Packets(), &room.handle, 1);
    EXPECT_EQ(packets_buffers_free(port.Packets()), BUFFERS);
}

TEST(DpdkPort, HasNoRoomWhenThePoolIsEmptyAndAgainAfterwards)
{
    Port port({"net_ring0"});
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;
    std::vector<void *> handles;
    struct packet_room room = {};

    while (handles.size() <= BUFFERS && packets_reserve(port.Packets(), &room)) {
        handles.push_back(room.handle);
    }

    EXPECT_EQ(handles.size(), BUFFERS);
    EXPECT_EQ(packets_buffers_free(port.Packets()), 0U);
    packets_release(port.Packets(), handles.data(), handles.size());
    EXPECT_EQ(packets_buffers_free(port.Packets()), BUFFERS);
}

TEST(DpdkPort, DropsAndCountsWhatTheQueueDoesNotTake)
{
    Port port({"net_ring0"});
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;
    const size_t sends = 3000; // the ring holds 1,023

    for (size_t i = 0; i < sends; i++) { ASSERT_TRUE(Send(port.Packets(), "frame")); }

    const struct dpdk_port_counts counts = port.Counts();
    EXPECT_GT(counts.send_dropped_frames, 0U);
    EXPECT_EQ(counts.sent_frames + counts.send_dropped_frames, sends);
    EXPECT_EQ(Drain(port.Packets()), counts.sent_frames);
    EXPECT_EQ(packets_buffers_free(port.Packets()), BUFFERS);
}

TEST(DpdkPort, SendsManyFramesInOneCallAndSaysHowManyWereTaken)
{
    Port port({"net_ring0"});
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;
    const size_t sends = 1500; // the ring holds 1,023
    std::vector<void *> handles;
    const std::vector<size_t> lens_bytes(sends, 60);
    for (size_t i = 0; i < sends; i++) {
        struct packet_room room = {};
        ASSERT_TRUE(packets_reserve(port.Packets(), &room));
        handles.push_back(room.handle);
    }

    const size_t taken =
        packets_transmit(port.Packets(), handles.data(), lens_bytes.data(), handles.size());

    EXPECT_EQ(taken, 1023U);
    EXPECT_EQ(port.Counts().sent_frames, taken);
    EXPECT_EQ(port.Counts().send_dropped_frames, sends - taken);
    EXPECT_EQ(Drain(port.Packets()), taken);
    EXPECT_EQ(packets_buffers_free(port.Packets()), BUFFERS);
}

TEST(DpdkPort, SendsAReceivedBufferAgain)
{
    Port port({"net_ring0"});
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;
    ASSERT_TRUE(Send(port.Packets(), "frame"));
    struct packet packet = {};
    const size_t shorter = 3;

    ASSERT_EQ(packets_receive(port.Packets(), &packet, 1), 1U);
    packets_transmit(port.Packets(), &packet.handle, &shorter, 1);

    EXPECT_EQ(Receive(port.Packets()), std::vector<std::string>{"fra"});
}

TEST(DpdkPort, GivesAWorkerOneQueueOfAManyQueueDevice)
{
    Port port({"net_ring0"}, WORKERS);
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;

    ASSERT_TRUE(Send(port.Packets(1), "for one"));

    EXPECT_TRUE(Receive(port.Packets(0)).empty());
    EXPECT_EQ(Receive(port.Packets(1)), std::vector<std::string>{"for one"});
}

TEST(DpdkPort, GivesEachWorkerADeviceAndAllDevicesOneMac)
{
    Port port({"net_null0", "net_null1"}, WORKERS);
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;

    EXPECT_EQ(Receive(port.Packets(0)).size(), static_cast<size_t>(PACKETS_BURST_MAX));
    EXPECT_EQ(Receive(port.Packets(1)).size(), static_cast<size_t>(PACKETS_BURST_MAX));
    EXPECT_EQ(port.Counts().received_frames, 2U * PACKETS_BURST_MAX);
}

TEST(DpdkPortRefuses, DevicesThatCannotHaveOneMac)
{
    Port port({"net_ring0", "net_ring1"}, WORKERS);

    EXPECT_EQ(port.status, STATUS_UNSUPPORTED);
    EXPECT_TRUE(port.Says("net_ring1")) << port.error.text;
    EXPECT_TRUE(port.Says("one MAC")) << port.error.text;
}

class DpdkPortMtu : public testing::TestWithParam<uint16_t> {};

TEST_P(DpdkPortMtu, FitsOneBuffer)
{
    Port port({"net_ring0"}, 1, GetParam());
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;
    const std::string frame(GetParam() + 18U, 'x'); // with a tag
    struct packet packet = {};

    ASSERT_TRUE(Send(port.Packets(), frame));
    ASSERT_EQ(packets_receive(port.Packets(), &packet, 1), 1U);

    EXPECT_FALSE(packet.chained);
    EXPECT_EQ(packet.frame.len_bytes, frame.size());
    packets_release(port.Packets(), &packet.handle, 1);
}

INSTANTIATE_TEST_SUITE_P(Sizes, DpdkPortMtu, testing::Values(1500, 2034, 3498, 9000));

TEST(DpdkPort, CanBeMadeAgainAfterItWasDestroyed)
{
    {
        Port first({"net_ring0"});
    }

    Port second({"net_ring0"});

    EXPECT_EQ(second.status, STATUS_OK) << second.error.text;
    EXPECT_EQ(packets_buffers_free(second.Packets()), BUFFERS);
}

TEST(DpdkPort, DescribesItself)
{
    Port port({"net_null0"});
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;

    const struct dpdk_port_facts facts = port.Facts();

    EXPECT_STREQ(facts.driver, "net_null");
    EXPECT_TRUE(facts.loss_known);
    EXPECT_FALSE(facts.checksum_offload);
    EXPECT_FALSE(facts.rss); // one queue has nothing to spread
    EXPECT_EQ(dpdk_port_interface(port.port)->address, 0xc000020aU);
    EXPECT_FALSE(mac_is_zero(&dpdk_port_interface(port.port)->mac));
    EXPECT_FALSE(mac_is_group(&dpdk_port_interface(port.port)->mac));
}

TEST(DpdkPort, SaysThatAfPacketCannotTellWhatItMissed)
{
    Port port({"net_af_packet0,iface=lo"});
    if (geteuid() != 0) { GTEST_SKIP() << "packet sockets need root"; }
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;

    EXPECT_FALSE(port.Facts().loss_known);
}

// ---- steering: net_null keeps a key and a table as a NIC does, and hashes nothing

TEST(DpdkSteering, ReadsBackTheKeyAndTheTableThatItDealtOut)
{
    Port port({"net_null0"}, WORKERS);
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;

    const struct steering *const steering = dpdk_port_steering(port.port);

    ASSERT_NE(steering, nullptr);
    EXPECT_EQ(steering->entry_count, 128U);
    EXPECT_EQ(steering->queues[0], 0);
    EXPECT_EQ(steering->queues[127], 1);
    EXPECT_EQ(steering->key[0], 0x6d);
    EXPECT_EQ(steering->key[39], 0xfa);
}

TEST(DpdkSteering, HashesAsDpdkDoes)
{
    Port port({"net_null0"}, WORKERS);
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;
    const struct steering *const steering = dpdk_port_steering(port.port);
    ASSERT_NE(steering, nullptr);
    alignas(4) uint8_t key[STEERING_KEY_BYTES];
    memcpy(key, steering->key, sizeof key);

    for (uint32_t i = 0; i < 1000; i++) {
        const struct udp_flow flow = {i * 2654435761U, ~i * 40503U, uint16_t(i * 31),
                                      uint16_t(4650 + i)};
        uint32_t tuple[] = {flow.source_address, flow.target_address,
                            uint32_t{flow.source_port} << 16 | flow.target_port};
        ASSERT_EQ(steering_hash(steering, &flow), rte_softrss(tuple, 3, key)) << "flow " << i;
    }
}

TEST(DpdkSteering, IsNotThereWhereOneQueueNeedsNone)
{
    Port port({"net_null0"});
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;

    EXPECT_EQ(dpdk_port_steering(port.port), nullptr);
}

TEST(DpdkSteering, IsNotThereWhereEachWorkerHasADevice)
{
    Port port({"net_null0", "net_null1"}, WORKERS);
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;

    EXPECT_EQ(dpdk_port_steering(port.port), nullptr);
}

TEST(DpdkSteering, IsNotThereWithoutRss)
{
    Port port({"net_ring0"}, WORKERS);
    ASSERT_EQ(port.status, STATUS_OK) << port.error.text;

    EXPECT_FALSE(port.Facts().rss);
    EXPECT_EQ(dpdk_port_steering(port.port), nullptr);
}

// ---- AF_XDP on a cable: the kernel at the other end

// What a worker would do with a frame that is not a datagram.
void Answer(struct packets packets, struct neighbour *neighbour, const struct packet &packet,
            enum frame_result kind)
{
    struct packet_room room = {};
    if (!packets_reserve(packets, &room)) { return; }
    const size_t len_bytes =
        neighbour_receive(neighbour, &packet, kind, 0, room.at, room.capacity_bytes);
    if (len_bytes > 0) { packets_transmit(packets, &room.handle, &len_bytes, 1); }
    if (len_bytes == 0) { packets_release(packets, &room.handle, 1); }
}

// One port for all: net_af_xdp 22.11 keeps the socket open, so a process can bind a queue once
// only.
class DpdkAfXdp : public testing::Test {
  protected:
    static void SetUpTestSuite()
    {
        if (eal->has_cable) {
            port = new Port({"net_af_xdp0,iface=node0"}, 1, 1500, AF_XDP_BUFFERS);
        }
    }

    static void TearDownTestSuite() { delete port; }

    void SetUp() override
    {
        if (!eal->has_cable) { GTEST_SKIP() << "needs root, ip and ethtool"; }
        ASSERT_EQ(port->status, STATUS_OK) << port->error.text;
        sender = socket(AF_INET, SOCK_DGRAM, 0);
        target.sin_family = AF_INET;
        target.sin_port = htons(5140);
        target.sin_addr.s_addr = htonl(0xc000020a);
    }

    void TearDown() override { close(sender); }

    // What the kernel would ask by ARP.
    static bool IntroducePort()
    {
        const struct mac mac = dpdk_port_interface(port->port)->mac;
        char command[128];
        snprintf(command, sizeof command,
                 "ip neigh replace 192.0.2.10 nud permanent dev prod0 "
                 "lladdr %02x:%02x:%02x:%02x:%02x:%02x",
                 mac.bytes[0], mac.bytes[1], mac.bytes[2], mac.bytes[3], mac.bytes[4],
                 mac.bytes[5]);
        return system(command) == 0;
    }

    // Through the kernel, as any program would.
    bool SendDatagram(const std::string &payload)
    {
        return sendto(sender, payload.data(), payload.size(), 0,
                      reinterpret_cast<const struct sockaddr *>(&target),
                      sizeof target) == static_cast<ssize_t>(payload.size());
    }

    // Receives and keeps: `count` frames, or fewer when nothing comes for a while.
    std::vector<struct packet> Hold(size_t count)
    {
        const struct packets packets = port->Packets();
        std::vector<struct packet> out;
        for (size_t idle = 0; out.size() < count && idle < 10;) {
            struct packet burst[PACKETS_BURST_MAX];
            const size_t wanted = std::min<size_t>(count - out.size(), PACKETS_BURST_MAX);
            for (size_t i = 0; i < wanted; i++) { EXPECT_TRUE(SendDatagram("x")); }
            const size_t got = packets_receive(packets, burst, wanted);
            out.insert(out.end(), burst, burst + got);
            idle = got > 0 ? 0 : idle + 1;
            if (got == 0) { usleep(1000); }
        }
        return out;
    }

    static void Release(const std::vector<struct packet> &held)
    {
        for (const struct packet &packet : held) {
            packets_release(port->Packets(), &packet.handle, 1);
        }
    }

    static Port *port;
    int sender = -1;
    struct sockaddr_in target = {};
};

Port *DpdkAfXdp::port = nullptr;

TEST_F(DpdkAfXdp, TellsWhatItMisses) { EXPECT_TRUE(port->Facts().loss_known); }

TEST_F(DpdkAfXdp, IsFoundByArpAndTakesWhatAnOrdinarySocketSends)
{
    const struct packets packets = port->Packets();
    const struct interface *const interface = dpdk_port_interface(port->port);
    struct neighbour neighbour;
    neighbour_init(&neighbour, interface);
    const std::string sent(1472, 'x'); // the whole mtu

    // Without an answer to its ARP question the kernel would send no datagram.
    ASSERT_TRUE(SendDatagram(sent));
    std::string received;
    size_t others = 0;
    for (int turn = 0; turn < 3000 && received.empty(); turn++) {
        struct packet packet = {};
        struct datagram datagram = {};
        usleep(1000);
        if (packets_receive(packets, &packet, 1) == 0) { continue; }
        const enum frame_result result = frame_parse(interface, &packet, &datagram);
        if (result == FRAME_ARP) { Answer(packets, &neighbour, packet, result); }
        if (result == FRAME_UDP) {
            received.assign(reinterpret_cast<const char *>(datagram.payload.at),
                            datagram.payload.len_bytes);
        }
        if (result != FRAME_ARP && result != FRAME_UDP) { others++; }
        packets_release(packets, &packet.handle, 1);
    }

    EXPECT_EQ(received, sent);
    EXPECT_EQ(others, 0U);
    struct mac found = {};
    EXPECT_TRUE(neighbour_find(&neighbour, 0xc0000201, 0, &found)); // who asked is known
}

TEST_F(DpdkAfXdp, CountsEachFrameThatAStoppedWorkerMisses)
{
    ASSERT_TRUE(IntroducePort());
    const size_t sends = 10000;
    const struct dpdk_port_counts before = port->Counts();

    size_t sent = 0;
    for (size_t i = 0; i < sends; i++) { sent += SendDatagram("x") ? 1 : 0; }
    const size_t received = Drain(port->Packets());

    const struct dpdk_port_counts counts = port->Counts();
    EXPECT_EQ(sent, sends);
    EXPECT_GT(counts.missed_frames, before.missed_frames);
    EXPECT_EQ(counts.received_frames - before.received_frames, received);
    EXPECT_EQ(received + counts.missed_frames - before.missed_frames, sends);
    EXPECT_EQ(system("ip neigh del 192.0.2.10 dev prod0"), 0);
}

TEST_F(DpdkAfXdp, HasOneBufferLessForEachFrameThatIsHeldAndStillReceives)
{
    ASSERT_TRUE(IntroducePort());
    Drain(port->Packets());
    const size_t holdable = dpdk_port_frames_held_max(port->port);
    const size_t free_before = packets_buffers_free(port->Packets());

    const std::vector<struct packet> held = Hold(holdable);

    EXPECT_GT(holdable, 2000U);
    EXPECT_EQ(held.size(), holdable);
    EXPECT_EQ(packets_buffers_free(port->Packets()), free_before - holdable);
    EXPECT_GT(Drain(port->Packets()) + Hold(1).size(), 0U);
    Release(held);
}

TEST_F(DpdkAfXdp, ReceivesNothingWhenAllBuffersAreHeldAndAgainOnceTheyAreNot)
{
    ASSERT_TRUE(IntroducePort());
    Drain(port->Packets());

    const std::vector<struct packet> held = Hold(2 * AF_XDP_BUFFERS);

    EXPECT_LT(held.size(), AF_XDP_BUFFERS);
    EXPECT_LT(packets_buffers_free(port->Packets()), static_cast<size_t>(PACKETS_BURST_MAX));
    Release(held);
    EXPECT_GT(Drain(port->Packets()), 0U);
}

TEST_F(DpdkAfXdp, KeepsNoMoreSentFramesFromThePoolThanItsRingsAreSaidTo)
{
    const struct packets packets = port->Packets();
    Drain(packets);
    const size_t needed = AF_XDP_BUFFERS - dpdk_port_frames_held_max(port->port);
    size_t least_free = AF_XDP_BUFFERS;

    for (size_t i = 0; i < 10000; i++) {
        ASSERT_TRUE(Send(packets, std::string(60, 'x')));
        least_free = std::min(least_free, packets_buffers_free(packets));
    }

    EXPECT_LT(least_free, AF_XDP_BUFFERS - 2048U); // some are out, or this shows nothing
    EXPECT_GE(least_free, AF_XDP_BUFFERS - needed);
}

TEST(DpdkPortRefuses, AnMtuThatTheDeviceCannotCarry)
{
    if (!eal->has_cable) { GTEST_SKIP() << "needs root, ip and ethtool"; }
    Port port({"net_af_xdp1,iface=node0"}, 1, 9000);

    EXPECT_EQ(port.status, STATUS_UNSUPPORTED);
    EXPECT_TRUE(port.Says("lower the port's mtu")) << port.error.text;
}

// ---- refusals

TEST(DpdkPortRefuses, ADriverThatDoesNotExist)
{
    Port port({"net_bogus0"});

    EXPECT_EQ(port.status, STATUS_NOT_FOUND);
    EXPECT_TRUE(port.Says("net_bogus0")) << port.error.text;
    EXPECT_TRUE(port.Says("PCI address")) << port.error.text;
}

TEST(DpdkPortRefuses, AnInterfaceThatDoesNotExistAndListsThoseThatDo)
{
    Port port({"net_af_packet0,iface=absent9"});

    EXPECT_EQ(port.status, STATUS_NOT_FOUND);
    EXPECT_TRUE(port.Says("no network interface absent9")) << port.error.text;
    EXPECT_TRUE(port.Says("lo")) << port.error.text;
}

TEST(DpdkPortRefuses, APciAddressThatIsEmpty)
{
    Port port({"0000:fe:1f.7"});

    EXPECT_EQ(port.status, STATUS_NOT_FOUND);
    EXPECT_TRUE(port.Says("no such PCI device")) << port.error.text;
}

TEST(DpdkPortRefuses, FewerQueuesThanWorkers)
{
    Port port({"net_af_packet0,iface=lo,qpairs=1"}, WORKERS);
    if (geteuid() != 0) { GTEST_SKIP() << "packet sockets need root"; }

    EXPECT_EQ(port.status, STATUS_UNSUPPORTED);
    EXPECT_TRUE(port.Says("1 queue pairs and 2 workers")) << port.error.text;
}

TEST(DpdkPortRefuses, ADeviceListThatFitsNoWorkerCount)
{
    Port port({"net_null0", "net_null1"}, 3);

    EXPECT_EQ(port.status, STATUS_UNSUPPORTED);
    EXPECT_TRUE(port.Says("2 devices for 3 workers")) << port.error.text;
}

TEST(DpdkPortRefuses, ADeviceThatAnotherPortHasAndLeavesItAlone)
{
    Port first({"net_ring0"});
    ASSERT_EQ(first.status, STATUS_OK) << first.error.text;

    Port second({"net_ring0"});

    EXPECT_EQ(second.status, STATUS_BUSY);
    EXPECT_TRUE(second.Says("another port has it")) << second.error.text;
    ASSERT_TRUE(Send(first.Packets(), "still there"));
    EXPECT_EQ(Receive(first.Packets()).size(), 1U);
}

TEST(DpdkPortRefuses, TooFewBuffers)
{
    Port port({"net_ring0"}, 1, 1500, 1023);

    EXPECT_EQ(port.status, STATUS_NO_MEMORY);
    EXPECT_TRUE(port.Says("1023 packet buffers")) << port.error.text;
}

// What is left to hold of a pool of BUFFERS.
size_t Holdable()
{
    Port port({"net_ring0"});
    return port.status == STATUS_OK ? dpdk_port_frames_held_max(port.port) : 0;
}

TEST(DpdkPort, TakesAPoolThatJustHoldsWhatIsToBeHeld)
{
    const size_t holdable = Holdable();

    Port port({"net_ring0"}, 1, 1500, BUFFERS, holdable);

    EXPECT_EQ(port.status, STATUS_OK) << port.error.text;
    EXPECT_GE(holdable, BUFFERS / 4);
    EXPECT_LT(holdable, BUFFERS / 2); // rings and caches have theirs
}

TEST(DpdkPortRefuses, APoolThatHoldsOneFrameTooFew)
{
    Port port({"net_ring0"}, 1, 1500, BUFFERS, Holdable() + 1);

    EXPECT_EQ(port.status, STATUS_NO_MEMORY);
    EXPECT_TRUE(port.Says("4096 packet buffers")) << port.error.text;
}

TEST(DpdkPortRefuses, MoreBuffersThanThereIsMemory)
{
    Port port({"net_ring0"}, 1, 9000, 1000000);

    EXPECT_EQ(port.status, STATUS_NO_MEMORY);
    EXPECT_TRUE(port.Says("no memory for 1000000 buffers")) << port.error.text;
}

// ---- memory and workers

TEST(DpdkBuffers, TheDefaultFitsTheMemory)
{
    const size_t buffers = dpdk_port_buffers_default(&eal->memory, WORKERS, 1, 1500);

    Port port({"net_ring0"}, WORKERS, 1500, buffers);

    EXPECT_GT(buffers, 10000U);
    EXPECT_EQ(port.status, STATUS_OK) << port.error.text;
}

TEST(DpdkBuffers, AreFewerWhereFramesAreLargerOrWorkersMore)
{
    const size_t plain = dpdk_port_buffers_default(&eal->memory, 1, 1, 1500);

    EXPECT_LT(dpdk_port_buffers_default(&eal->memory, 1, 1, 9000), plain / 2);
    EXPECT_EQ(dpdk_port_buffers_default(&eal->memory, 2, 1, 1500), plain / 2);
    EXPECT_EQ(dpdk_port_buffers_default(&eal->memory, 1, 2, 1500), plain / 2);
}

TEST(DpdkWorkers, RunOnTheirCpu)
{
    int cpus[WORKERS] = {-1, -1};
    const auto body = [](void *argument) {
        *static_cast<int *>(argument) = sched_getcpu();
        return 0;
    };

    ASSERT_EQ(dpdk_worker_launch(0, body, &cpus[0]), STATUS_OK);
    ASSERT_EQ(dpdk_worker_launch(1, body, &cpus[1]), STATUS_OK);
    dpdk_workers_wait();

    EXPECT_EQ(cpus[0], static_cast<int>(eal->last_cpu));
    EXPECT_EQ(cpus[1], static_cast<int>(eal->last_cpu));
}

TEST(DpdkWorkers, AreAsManyAsWereConfigured)
{
    const auto body = [](void *) { return 0; };

    EXPECT_EQ(dpdk_worker_launch(WORKERS, body, nullptr), STATUS_NOT_FOUND);
}

TEST(DpdkDevice, TellsPciAddressesFromVirtualDevices)
{
    EXPECT_TRUE(dpdk_device_is_pci("0000:01:00.0"));
    EXPECT_TRUE(dpdk_device_is_pci("01:00.0"));
    EXPECT_TRUE(dpdk_device_is_pci("0000:01:00.0,mprq_en=1"));
    EXPECT_FALSE(dpdk_device_is_pci("net_ring0"));
    EXPECT_FALSE(dpdk_device_is_pci("net_af_xdp0,iface=eth1"));
    EXPECT_FALSE(dpdk_device_is_pci("eth1"));
    EXPECT_FALSE(dpdk_device_is_pci(""));
}

} // namespace
