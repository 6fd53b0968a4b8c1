/* frames.h - well-formed Ethernet frames for tests, to be broken on purpose.
 *
 * From 192.0.2.1 (02:00:00:00:00:01) to us, 192.0.2.10 (02:00:00:00:00:0a). */
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nic/frame.h"

inline struct interface OurInterface()
{
    struct interface interface = {};
    interface.mac = {{2, 0, 0, 0, 0, 0x0a}};
    interface.address = 0xc000020a;
    interface.netmask = 0xffffff00;
    interface.mtu_bytes = 1500;
    return interface;
}

inline void PushBe16(std::vector<uint8_t> *out, unsigned value)
{
    out->push_back(static_cast<uint8_t>(value >> 8));
    out->push_back(static_cast<uint8_t>(value));
}

inline void PushBe32(std::vector<uint8_t> *out, uint32_t value)
{
    PushBe16(out, value >> 16);
    PushBe16(out, value & 0xffff);
}

/* RFC 1071, over whole or odd lengths. */
inline uint16_t InternetChecksum(const std::vector<uint8_t> &bytes)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < bytes.size(); i += 2) {
        sum += static_cast<uint32_t>(bytes[i] << 8);
        if (i + 1 < bytes.size()) { sum += bytes[i + 1]; }
    }
    while (sum >> 16) { sum = (sum & 0xffff) + (sum >> 16); }
    return static_cast<uint16_t>(~sum);
}

inline std::vector<uint8_t> EthernetHeader(uint16_t ethertype, bool broadcast = false)
{
    std::vector<uint8_t> frame = {2, 0, 0, 0, 0, 0x0a, 2, 0, 0, 0, 0, 1};
    if (broadcast) { std::fill(frame.begin(), frame.begin() + 6, 0xff); }
    PushBe16(&frame, ethertype);
    return frame;
}

inline std::vector<uint8_t> UdpDatagram(uint16_t target_port, const std::string &payload)
{
    const unsigned len = 8 + static_cast<unsigned>(payload.size());
    std::vector<uint8_t> udp;
    PushBe16(&udp, 40000);
    PushBe16(&udp, target_port);
    PushBe16(&udp, len);
    PushBe16(&udp, 0);
    udp.insert(udp.end(), payload.begin(), payload.end());

    std::vector<uint8_t> pseudo;
    PushBe32(&pseudo, 0xc0000201);
    PushBe32(&pseudo, 0xc000020a);
    PushBe16(&pseudo, 17);
    PushBe16(&pseudo, len);
    pseudo.insert(pseudo.end(), udp.begin(), udp.end());
    uint16_t checksum = InternetChecksum(pseudo);
    if (checksum == 0) { checksum = 0xffff; }
    udp[6] = static_cast<uint8_t>(checksum >> 8);
    udp[7] = static_cast<uint8_t>(checksum);
    return udp;
}

inline std::vector<uint8_t> UdpFrame(uint16_t target_port, const std::string &payload)
{
    const auto udp = UdpDatagram(target_port, payload);
    std::vector<uint8_t> ip = {0x45, 0};
    PushBe16(&ip, 20 + static_cast<unsigned>(udp.size()));
    PushBe32(&ip, 0x00010000); // identification 1, no fragment
    ip.push_back(64);
    ip.push_back(17);
    PushBe16(&ip, 0);
    PushBe32(&ip, 0xc0000201);
    PushBe32(&ip, 0xc000020a);
    const uint16_t checksum = InternetChecksum(ip);
    ip[10] = static_cast<uint8_t>(checksum >> 8);
    ip[11] = static_cast<uint8_t>(checksum);

    auto frame = EthernetHeader(0x0800);
    frame.insert(frame.end(), ip.begin(), ip.end());
    frame.insert(frame.end(), udp.begin(), udp.end());
    return frame;
}

inline std::vector<uint8_t> ArpRequestFrame()
{
    auto frame = EthernetHeader(0x0806, /*broadcast=*/true);
    PushBe16(&frame, 1);
    PushBe16(&frame, 0x0800);
    frame.push_back(6);
    frame.push_back(4);
    PushBe16(&frame, 1);
    frame.insert(frame.end(), {2, 0, 0, 0, 0, 1});
    PushBe32(&frame, 0xc0000201);
    frame.insert(frame.end(), 6, 0);
    PushBe32(&frame, 0xc000020a);
    return frame;
}
