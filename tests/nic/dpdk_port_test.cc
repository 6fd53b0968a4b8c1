// Real DPDK, virtual devices, ordinary memory: what can be tested of a port without a NIC.
#include "nic/dpdk_port.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/logger.h"

namespace {

constexpr size_t BUFFERS = 4096;
constexpr size_t WORKERS = 2;

// EAL starts once a process.
class Eal : public testing::Environment {
  public:
    void SetUp() override
    {
        logger_init("test_nic_dpdk", LOG_LEVEL_ERROR);
        cpu_set_t allowed;
        ASSERT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
        for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (CPU_ISSET(cpu, &allowed)) { last_cpu = cpu; }
        }
        const uint32_t cores[WORKERS] = {last_cpu, last_cpu};
        const std::string prefix = "penstock-test-" + std::to_string(getpid());
        struct dpdk_eal_options options = {};
        struct dpdk_error error = {};
        options.program = "test_nic_dpdk";
        options.file_prefix = prefix.c_str();
        options.worker_cores = cores;
        options.worker_count = WORKERS;
        options.memory_bytes = 256 << 20;
        const enum status status = dpdk_eal_start(&options, &memory, &error);
        ASSERT_EQ(status, STATUS_OK) << error.text;
    }

    void TearDown() override { dpdk_eal_stop(); }

    struct dpdk_memory memory = {};
    uint32_t last_cpu = 0;
};

Eal *const eal = static_cast<Eal *>(testing::AddGlobalTestEnvironment(new Eal));

// A port, and what became of making it.
class Port {
  public:
    explicit Port(std::vector<const char *> devices, size_t workers = 1, uint16_t mtu_bytes = 1500,
                  size_t buffers = BUFFERS)
    {
        struct dpdk_port_options options = {};
        options.devices = devices.data();
        options.device_count = devices.size();
        options.worker_count = workers;
        options.interface.address = 0xc000020a;
        options.interface.netmask = 0xffffff00;
        options.interface.mtu_bytes = mtu_bytes;
        options.buffers_per_worker = buffers;
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
