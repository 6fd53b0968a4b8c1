"""Other ways to set a port up: a VLAN, AF_PACKET, many listeners."""
import struct

import consuming
import rack
import sending
from appliance import LINES_PORT
from case import ApplianceTest
from test_frames import arp, ipv4, udp

VLAN = 7
SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 263, 8, 1 << 4


class Vlan(ApplianceTest):
    def setUp(self):
        self.node = self.appliance(ports=[{"device": "net_af_xdp0,iface=node0,start_queue=0,queue_count=1",
                                           "address": "192.0.2.10/24", "vlan": VLAN}]).start()
        self.wire = rack.raw_socket()
        self.addCleanup(self.wire.close)
        self.header = rack.mac_of("node", rack.NODE_LINK) + rack.mac_of("producer", rack.PRODUCER_LINK)

    def tagged(self, payload, vlan, ethertype=0x0800):
        return self.header + struct.pack("!HHH", 0x8100, vlan, ethertype) + payload

    def test_only_its_own_tag_is_taken(self):
        before = self.node.counters()

        self.wire.send(self.tagged(ipv4(udp(b"mine\n")), VLAN))
        self.wire.send(self.tagged(ipv4(udp(b"other\n")), VLAN + 1))
        self.wire.send(self.header + struct.pack("!H", 0x0800) + ipv4(udp(b"untagged\n")))

        self.assert_balanced(self.node.settled_ledger())
        after = self.node.counters()
        self.assertEqual(after["frames_lines"] - before["frames_lines"], 1)
        self.assertEqual(after["frames_other_vlan"] - before["frames_other_vlan"], 2)
        self.assertEqual(consuming.values("events"), [b"mine"])

    def test_answers_carry_the_tag(self):
        """Linux takes tags out of frames that it receives, and tells them beside (packet(7))."""
        self.wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.wire.settimeout(5)
        self.wire.send(self.tagged(arp(sender_mac=self.header[6:12]), VLAN, 0x0806))

        frame, auxiliary = b"", b""
        while not (frame[:6] == self.header[6:12] and frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2"):
            frame, control, _, _ = self.wire.recvmsg(2048, 128)
            auxiliary = b"".join(data for level, kind, data in control if (level, kind) == (SOL_PACKET, PACKET_AUXDATA))
        status, _, _, _, _, tag, _ = struct.unpack("=IIIHHHH", auxiliary)
        self.assertTrue(status & TP_STATUS_VLAN_VALID)
        self.assertEqual(tag & 0xFFF, VLAN)
        self.assertEqual(frame[22:28], self.header[:6])


class AfPacket(ApplianceTest):
    def test_records_arrive_and_losses_are_called_unknown(self):
        node = self.appliance(ports=[{"device": "net_af_packet0,iface=node0", "address": "192.0.2.10/24"}]).start()
        lines = [b"line %d" % i for i in range(2000)]

        sending.send_lines(lines, LINES_PORT, rate=5000, node=node)

        ledger = node.settled_ledger()
        self.assert_balanced(ledger)
        self.assertEqual(ledger["ports"][0]["lost"], "unknown")
        self.assertIn("losses unknown", node.log("ingest"))
        self.assertEqual(consuming.values("events"), lines)
