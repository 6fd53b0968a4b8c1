"""Frames that are wrong or for somebody else: each counted under its one right name."""
import random
import socket
import struct
import subprocess

import rack
from appliance import LINES_PORT
from case import SharedApplianceTest
from rack import checksum

OUR_IP = socket.inet_aton(rack.APPLIANCE)
PEER_IP = socket.inet_aton(rack.PRODUCER)
BROADCAST = b"\xff" * 6
REPEAT = 3


def udp(payload=b"x\n", port=LINES_PORT, length=None, wrong_checksum=False, source=PEER_IP, target=OUR_IP):
    size = 8 + len(payload)
    header = struct.pack("!HHHH", 40000, port, size if length is None else length, 0)
    pseudo = source + target + struct.pack("!BBH", 0, 17, size)
    value = checksum(pseudo + header + payload) or 0xFFFF
    if wrong_checksum:
        value ^= 0x5555
    return header[:6] + struct.pack("!H", value) + payload


def ipv4(payload, protocol=17, version=4, words=5, total=None, fragment=0, source=PEER_IP, target=OUR_IP,
         wrong_checksum=False):
    header = struct.pack("!BBHHHBBH4s4s", version << 4 | words, 0, 20 + len(payload) if total is None else total,
                         7, fragment, 64, protocol, 0, source, target)
    value = checksum(header) ^ (0x5555 if wrong_checksum else 0)
    return header[:10] + struct.pack("!H", value) + header[12:] + payload


def icmp(kind=8, code=0, body=b"\0\1\0\1penstock", wrong_checksum=False):
    head = struct.pack("!BBH", kind, code, 0) + body
    value = checksum(head) ^ (0x5555 if wrong_checksum else 0)
    return head[:2] + struct.pack("!H", value) + head[4:]


def arp(operation=1, hardware=1, sender=PEER_IP, target=OUR_IP, sender_mac=b"\2\0\0\0\0\7"):
    return struct.pack("!HHBBH6s4s6s4s", hardware, 0x0800, 6, 4, operation, sender_mac, sender, bytes(6), target)


class Frames(SharedApplianceTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.our_mac = rack.mac_of("node", rack.NODE_LINK)
        cls.peer_mac = rack.mac_of("producer", rack.PRODUCER_LINK)
        cls.wire = rack.raw_socket()
        cls.addClassCleanup(cls.wire.close)

    def ethernet(self, payload, ethertype=0x0800, target=None):
        return (target or self.our_mac) + self.peer_mac + struct.pack("!H", ethertype) + payload

    def tagged(self, payload, vlan, ethertype=0x0800):
        return self.ethernet(struct.pack("!HH", vlan, ethertype) + payload, ethertype=0x8100)

    def assert_counted(self, frame, counter):
        """`frame`, sent REPEAT times, moves this counter by as much and no other of the frames'. The
        kernel at the other end may say an ARP of its own: that one counter is told apart."""
        before, books = self.node.counters(), self.node.settled_ledger()

        for _ in range(REPEAT):
            self.wire.send(frame)

        ledger, after = self.node.settled_ledger(), self.node.counters()
        self.assert_balanced(ledger)
        outcomes = {name for group in ("passed", "malformed", "foreign") for name in ledger["frames"][group]["by"]}
        moved = {name: after[name] - before[name] for name in outcomes if after[name] != before[name]}
        if counter != "frames_arp":
            moved.pop("frames_arp", None)
        self.assertEqual(moved, {counter: REPEAT})
        self.assertGreaterEqual(ledger["frames"]["received"] - books["frames"]["received"], REPEAT)
        return {name: after[name] - before[name] for name in after}

    def test_a_good_datagram(self):
        moved = self.assert_counted(self.ethernet(ipv4(udp(b"one\ntwo\n"))), "frames_lines")
        self.assertEqual(moved["records_stored"], 2 * REPEAT)

    def test_an_empty_datagram_holds_no_record(self):
        moved = self.assert_counted(self.ethernet(ipv4(udp(b""))), "frames_lines")
        self.assertEqual(moved["frames_empty_datagrams"], REPEAT)
        self.assertEqual(moved["records_in"], 0)

    def test_a_datagram_without_a_checksum_is_taken(self):
        datagram = udp()[:6] + b"\0\0" + b"x\n"
        self.assert_counted(self.ethernet(ipv4(datagram)), "frames_lines")

    def test_padding_behind_the_packet_is_no_error(self):
        moved = self.assert_counted(self.ethernet(ipv4(udp(b"ab\n"))) + bytes(18), "frames_lines")
        self.assertEqual(moved["records_in_bytes"], 2 * REPEAT)

    def test_a_cut_vlan_tag(self):
        self.assert_counted(self.ethernet(b"\0\1", ethertype=0x8100), "frames_ethernet_truncated")

    def test_arp_of_another_hardware(self):
        self.assert_counted(self.ethernet(arp(hardware=6), 0x0806, BROADCAST), "frames_arp_malformed")

    def test_cut_arp(self):
        self.assert_counted(self.ethernet(arp()[:20], 0x0806, BROADCAST), "frames_arp_malformed")

    def test_a_cut_ipv4_packet(self):
        self.assert_counted(self.ethernet(ipv4(udp(b"x" * 100))[:60]), "frames_ipv4_truncated")

    def test_another_version_inside_ipv4(self):
        self.assert_counted(self.ethernet(ipv4(udp(), version=5)), "frames_ipv4_bad_version")

    def test_an_ipv4_header_that_is_too_short(self):
        self.assert_counted(self.ethernet(ipv4(udp(), words=4)), "frames_ipv4_bad_header_length")

    def test_an_ipv4_length_below_its_header(self):
        self.assert_counted(self.ethernet(ipv4(udp(), total=19)), "frames_ipv4_bad_total_length")

    def test_a_wrong_ipv4_checksum(self):
        self.assert_counted(self.ethernet(ipv4(udp(), wrong_checksum=True)), "frames_ipv4_bad_checksum")

    def test_a_source_that_no_host_has(self):
        source = socket.inet_aton("127.0.0.1")
        self.assert_counted(self.ethernet(ipv4(udp(source=source), source=source)), "frames_ipv4_bad_source")

    def test_a_wrong_icmp_checksum(self):
        self.assert_counted(self.ethernet(ipv4(icmp(wrong_checksum=True), protocol=1)), "frames_icmp_malformed")

    def test_a_udp_length_beyond_the_packet(self):
        self.assert_counted(self.ethernet(ipv4(udp(length=500))), "frames_udp_truncated")

    def test_a_udp_length_below_its_header(self):
        self.assert_counted(self.ethernet(ipv4(udp(length=7))), "frames_udp_bad_length")

    def test_a_wrong_udp_checksum(self):
        self.assert_counted(self.ethernet(ipv4(udp(wrong_checksum=True))), "frames_udp_bad_checksum")

    def test_another_mac(self):
        self.assert_counted(self.ethernet(ipv4(udp()), target=b"\2\0\0\0\0\x63"), "frames_other_mac")

    def test_another_vlan(self):
        self.assert_counted(self.tagged(ipv4(udp()), vlan=99), "frames_other_vlan")

    def test_a_priority_tag_counts_as_untagged(self):
        self.assert_counted(self.tagged(ipv4(udp()), vlan=0), "frames_lines")

    def test_another_ethertype(self):
        self.assert_counted(self.ethernet(bytes(46), ethertype=0x88CC), "frames_other_ethertype")

    def test_ipv6(self):
        self.assert_counted(self.ethernet(b"\x60" + bytes(60), ethertype=0x86DD), "frames_ipv6")

    def test_another_ipv4_address(self):
        target = socket.inet_aton("192.0.2.11")
        self.assert_counted(self.ethernet(ipv4(udp(target=target), target=target)), "frames_other_ipv4")

    def test_the_first_fragment(self):
        self.assert_counted(self.ethernet(ipv4(udp(b"y" * 64), fragment=0x2000)), "frames_ipv4_fragment")

    def test_a_later_fragment(self):
        self.assert_counted(self.ethernet(ipv4(b"y" * 64, fragment=8)), "frames_ipv4_fragment")

    def test_another_protocol(self):
        self.assert_counted(self.ethernet(ipv4(bytes(20), protocol=6)), "frames_other_protocol")

    def test_icmp_that_is_no_echo_request(self):
        self.assert_counted(self.ethernet(ipv4(icmp(kind=3), protocol=1)), "frames_icmp_other")

    def test_a_port_that_no_listener_has(self):
        self.assert_counted(self.ethernet(ipv4(udp(port=4242))), "frames_no_listener")

    def test_an_echo_request_is_answered(self):
        moved = self.assert_counted(self.ethernet(ipv4(icmp(), protocol=1)), "frames_icmp_echo")
        self.assertGreaterEqual(moved["frames_sent"], REPEAT)

    def test_arp(self):
        moved = self.assert_counted(self.ethernet(arp(), 0x0806, BROADCAST), "frames_arp")
        self.assertGreaterEqual(moved["frames_sent"], REPEAT)

    def test_random_bytes_are_all_accounted_for(self):
        before, sent_before = self.node.settled_ledger(), rack.sent_frames()
        dice = random.Random(5)
        for i in range(3000):
            frame = bytearray(self.ethernet(ipv4(udp(dice.randbytes(dice.randrange(200))))))
            for _ in range(dice.randrange(1, 6)):
                frame[dice.randrange(len(frame))] = dice.randrange(256)
            self.wire.send(bytes(frame[:dice.randrange(14, len(frame) + 1)]) if i % 3 == 0 else bytes(frame))
        for _ in range(500):
            self.wire.send(self.our_mac + dice.randbytes(dice.randrange(8, 1400)))

        ledger = self.node.settled_ledger()
        self.assert_balanced(ledger)
        lost = sum(port["missed"] + port["no_buffer"] + port["errors"] for port in ledger["ports"]) - \
            sum(port["missed"] + port["no_buffer"] + port["errors"] for port in before["ports"])
        self.assertEqual(ledger["frames"]["received"] - before["frames"]["received"] + lost,
                         rack.sent_frames() - sent_before)
        self.assertGreater(ledger["frames"]["malformed"]["sum"] - before["frames"]["malformed"]["sum"], 500)


class Neighbour(SharedApplianceTest):
    def test_ping_is_answered(self):
        answer = subprocess.run(rack.command("producer", "ping", "-c", "5", "-i", "0.2", "-W", "2", rack.APPLIANCE),
                                capture_output=True, text=True)
        self.assertEqual(answer.returncode, 0, answer.stdout)
        self.assertIn(" 0% packet loss", answer.stdout)

    def test_large_ping_is_answered_unchanged(self):
        answer = subprocess.run(rack.command("producer", "ping", "-c", "2", "-i", "0.2", "-W", "2", "-s", "1472",
                                             "-M", "do", rack.APPLIANCE), capture_output=True, text=True)
        self.assertEqual(answer.returncode, 0, answer.stdout)
        self.assertNotIn("wrong data", answer.stdout)

    def test_arp_names_our_mac(self):
        self.addCleanup(rack.resolve_appliance)
        rack.forget_appliance()
        subprocess.run(rack.command("producer", "ping", "-c", "1", "-W", "2", rack.APPLIANCE), check=True,
                       capture_output=True)
        learnt = subprocess.run(rack.command("producer", "ip", "neigh", "show", rack.APPLIANCE), check=True,
                                capture_output=True, text=True).stdout
        self.assertIn(":".join("%02x" % byte for byte in rack.mac_of("node", rack.NODE_LINK)), learnt)
