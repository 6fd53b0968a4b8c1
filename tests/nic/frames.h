// frames.h - builds the frames that the tests of nic/ receive: valid unless a field says otherwise.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "base/endian.h"
#include "nic/arp.h"
#include "nic/checksum.h"
#include "nic/ethernet.h"
#include "nic/frame.h"
#include "nic/ip.h"

namespace frames {

using Bytes = std::vector<uint8_t>;

inline constexpr struct mac OUR_MAC = {{0x02, 0, 0, 0, 0, 0x10}};
inline constexpr struct mac THEIR_MAC = {{0x02, 0, 0, 0, 0, 0x01}};
inline constexpr struct mac OTHER_MAC = {{0x02, 0, 0, 0, 0, 0x99}};
inline constexpr struct mac BROADCAST_MAC = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
inline constexpr struct mac LLDP_MAC = {{0x01, 0x80, 0xc2, 0, 0, 0x0e}};
inline constexpr uint32_t OUR_ADDRESS = 0xc000020a;   // 192.0.2.10
inline constexpr uint32_t THEIR_ADDRESS = 0xc0000201; // 192.0.2.1
inline constexpr uint32_t OTHER_ADDRESS = 0xc0000263; // 192.0.2.99
inline constexpr uint32_t SUBNET_BROADCAST = 0xc00002ff;

inline struct interface Interface()
{
    struct interface out = {};
    out.mac = OUR_MAC;
    out.address = OUR_ADDRESS;
    out.netmask = 0xffffff00;
    out.gateway = THEIR_ADDRESS;
    out.mtu_bytes = 1500;
    return out;
}

inline struct interface TaggedInterface(uint16_t vlan_id)
{
    struct interface out = Interface();
    out.vlan_tagged = true;
    out.vlan_id = vlan_id;
    return out;
}

inline void Append(Bytes &out, const Bytes &more)
{
    out.insert(out.end(), more.begin(), more.end());
}
inline void AppendBe16(Bytes &out, unsigned value)
{
    out.push_back(static_cast<uint8_t>(value >> 8));
    out.push_back(static_cast<uint8_t>(value));
}
inline void AppendBe32(Bytes &out, uint32_t value)
{
    AppendBe16(out, value >> 16);
    AppendBe16(out, value & 0xffff);
}

struct Ethernet {
    struct mac target = OUR_MAC;
    struct mac source = THEIR_MAC;
    std::vector<uint32_t> tags; // each 0x8100'0005: type and control field
    uint16_t ethertype = ETHERTYPE_IPV4;
};

inline Bytes InEthernet(const Bytes &payload, const Ethernet &ethernet = {})
{
    Bytes out(2 * MAC_BYTES);
    memcpy(out.data(), ethernet.target.bytes, MAC_BYTES);
    memcpy(out.data() + MAC_BYTES, ethernet.source.bytes, MAC_BYTES);
    for (const uint32_t tag : ethernet.tags) { AppendBe32(out, tag); }
    AppendBe16(out, ethernet.ethertype);
    Append(out, payload);
    return out;
}

struct Ip {
    uint32_t source = THEIR_ADDRESS;
    uint32_t target = OUR_ADDRESS;
    uint8_t protocol = IPV4_PROTOCOL_UDP;
    uint16_t fragment = 0x4000; // flags and offset
    Bytes options;              // whole words
    int version = 4;
    int header_words = -1;     // -1: right
    int total_bytes = -1;      // -1: right
    unsigned checksum_off = 0; // added to the right one
};

inline Bytes InIp(const Bytes &payload, const Ip &ip = {})
{
    const int words =
        ip.header_words >= 0 ? ip.header_words : 5 + static_cast<int>(ip.options.size() / 4);
    const int total = ip.total_bytes >= 0
                          ? ip.total_bytes
                          : static_cast<int>(20 + ip.options.size() + payload.size());
    Bytes out = {static_cast<uint8_t>(ip.version << 4 | words), 0};
    AppendBe16(out, static_cast<unsigned>(total));
    AppendBe32(out, 0x12340000U | ip.fragment);
    Append(out, {64, ip.protocol, 0, 0});
    AppendBe32(out, ip.source);
    AppendBe32(out, ip.target);
    Append(out, ip.options);
    const uint16_t sum = checksum_finish(checksum_add(0, bytes_of(out.data(), out.size())));
    store_le16(out.data() + 10, static_cast<uint16_t>(sum + ip.checksum_off));
    Append(out, payload);
    return out;
}

struct Udp {
    uint16_t source_port = 40000;
    uint16_t target_port = 5140;
    int len_bytes = -1; // -1: right
    bool has_checksum = true;
    unsigned checksum_off = 0; // added to the right one
    uint32_t source = THEIR_ADDRESS;
};

inline Bytes InUdp(const Bytes &payload, const Udp &udp = {})
{
    const auto len = static_cast<uint16_t>(
        udp.len_bytes >= 0 ? udp.len_bytes : static_cast<int>(8 + payload.size()));
    Bytes out;
    AppendBe16(out, udp.source_port);
    AppendBe16(out, udp.target_port);
    AppendBe16(out, len);
    AppendBe16(out, 0);
    Append(out, payload);
    if (!udp.has_checksum) { return out; }
    const uint64_t pseudo = checksum_pseudo_header(udp.source, OUR_ADDRESS, IPV4_PROTOCOL_UDP, len);
    uint16_t sum = checksum_finish(checksum_add(pseudo, bytes_of(out.data(), out.size())));
    if (sum == 0) { sum = 0xffff; } // 0 is "none"
    store_le16(out.data() + 6, static_cast<uint16_t>(sum + udp.checksum_off));
    return out;
}

inline Bytes UdpFrame(const Bytes &payload, const Udp &udp = {}, const Ip &ip = {},
                      const Ethernet &ethernet = {})
{
    return InEthernet(InIp(InUdp(payload, udp), ip), ethernet);
}

inline Bytes Icmp(uint8_t type, uint8_t code, const Bytes &rest, unsigned checksum_off = 0)
{
    Bytes out = {type, code, 0, 0};
    Append(out, rest);
    const uint16_t sum = checksum_finish(checksum_add(0, bytes_of(out.data(), out.size())));
    store_le16(out.data() + 2, static_cast<uint16_t>(sum + checksum_off));
    return out;
}

// An echo request: identifier 7, sequence 1, then data.
inline Bytes EchoRequest(size_t data_bytes, const Ip &ip = {}, const Ethernet &ethernet = {})
{
    Bytes rest = {0, 7, 0, 1};
    for (size_t i = 0; i < data_bytes; i++) { rest.push_back(static_cast<uint8_t>(i)); }
    Ip icmp = ip;
    icmp.protocol = IPV4_PROTOCOL_ICMP;
    return InEthernet(InIp(Icmp(8, 0, rest), icmp), ethernet);
}

struct Arp {
    unsigned operation = ARP_REQUEST;
    struct mac sender_mac = THEIR_MAC;
    uint32_t sender = THEIR_ADDRESS;
    struct mac target_mac = {};
    uint32_t target = OUR_ADDRESS;
    uint16_t hardware = 1;
    uint16_t protocol = ETHERTYPE_IPV4;
    uint8_t hardware_bytes = 6;
    uint8_t protocol_bytes = 4;
};

inline Bytes ArpPacket(const Arp &arp = {})
{
    Bytes out;
    AppendBe16(out, arp.hardware);
    AppendBe16(out, arp.protocol);
    Append(out, {arp.hardware_bytes, arp.protocol_bytes});
    AppendBe16(out, arp.operation);
    out.insert(out.end(), arp.sender_mac.bytes, arp.sender_mac.bytes + MAC_BYTES);
    AppendBe32(out, arp.sender);
    out.insert(out.end(), arp.target_mac.bytes, arp.target_mac.bytes + MAC_BYTES);
    AppendBe32(out, arp.target);
    return out;
}

inline Bytes ArpFrame(const Arp &arp = {}, const struct mac &target = BROADCAST_MAC)
{
    Ethernet ethernet;
    ethernet.target = target;
    ethernet.source = arp.sender_mac;
    ethernet.ethertype = ETHERTYPE_ARP;
    return InEthernet(ArpPacket(arp), ethernet);
}

inline struct packet Packet(const Bytes &frame)
{
    struct packet out = {};
    out.frame = bytes_of(frame.data(), frame.size());
    return out;
}

} // namespace frames
