"""The bad wire of the other tests: what it says that it did is what a node behind it sees, exactly."""
import collections
import math
import re
import struct
import subprocess

import consuming
import rack
import sending
from appliance import LINES_PORT
from case import SharedApplianceTest, missed_frames
from hop import BACK, FORTH, Hop
from test_frames import ipv4, udp

COUNT = 5000
RATE = 25000
OVERTAKERS_MAX = 16


class BadWire(SharedApplianceTest):
    @classmethod
    def settings(cls):
        return {"workers": 2, "hop": Hop()}

    def numbers_through(self, tag, **impairment):
        """Sends lines 0 to COUNT by one socket; (the numbers as they are stored, the hop's counters)."""
        hop = self.node.hop
        hop.change(**impairment)
        before = self.node.ledger()  # all is quiet

        sending.send_lines([b"%s %d" % (tag, i) for i in range(COUNT)], LINES_PORT, rate=RATE)

        ledger, counters = self.node.settled_ledger(), hop.counters()[FORTH]
        self.assert_explained(counters, before, ledger)
        self.assertEqual(counters["seen"] - counters["spared"], COUNT)
        found = [value.split(b" ") for value in consuming.values("events")]
        return [int(words[1]) for words in found if words[0] == tag], counters

    def assert_explained(self, counters, before, after):
        """Between what was sent and what the node has is exactly what the hop says."""
        self.assert_balanced(after)
        self.assertEqual(counters["waiting"], 0)
        self.assertEqual(counters["refused"], 0)
        self.assertEqual(counters["forwarded"], counters["seen"] - counters["dropped"] + counters["repeated"])
        received = after["frames"]["received"] - before["frames"]["received"]
        self.assertEqual(received, counters["forwarded"], "lost behind the hop")
        self.assertEqual(missed_frames(after), missed_frames(before))

    def assert_share(self, count, share, of=COUNT):
        """Within five standard deviations."""
        self.assertLess(abs(count - share * of), 5 * math.sqrt(of * share * (1 - share)), "%d of %d" % (count, of))

    def test_without_faults_everything_passes_in_order(self):
        found, counters = self.numbers_through(b"plain")

        self.assertEqual(found, list(range(COUNT)))
        self.assertEqual(counters["dropped"] + counters["repeated"] + counters["reordered"], 0)

    def test_the_seed_decides_what_is_dropped(self):
        one, counters = self.numbers_through(b"drop-a", drop=(0.05, 0), seed=7)
        same, _ = self.numbers_through(b"drop-b", drop=(0.05, 0), repeat=(0, 0.5), seed=7)
        other, _ = self.numbers_through(b"drop-c", drop=(0.05, 0), seed=8)

        self.assert_share(counters["dropped"], 0.05)
        self.assertEqual(len(one), COUNT - counters["dropped"])
        self.assert_in_order(one, range(COUNT), "dropped only")
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)

    def test_repeated_frames_come_twice_in_a_row(self):
        found, counters = self.numbers_through(b"repeat", repeat=0.1)

        self.assert_share(counters["repeated"], 0.1)
        self.assertEqual(found, sorted(found))
        times = collections.Counter(found)
        self.assertEqual(sorted(times), list(range(COUNT)))
        self.assertEqual(collections.Counter(times.values()),
                         {1: COUNT - counters["repeated"], 2: counters["repeated"]})

    def test_reordered_frames_are_overtaken_by_at_most_sixteen(self):
        found, counters = self.numbers_through(b"reorder", reorder=0.1)

        self.assert_share(counters["reordered"], 0.1)
        self.assertEqual(sorted(found), list(range(COUNT)))
        moved, highest, held_most = 0, -1, 0
        for at, number in enumerate(found):
            moved += number < highest
            highest = max(highest, number)
            held_most = max(held_most, at - number)
        self.assertEqual(moved, counters["reordered"])
        self.assertLessEqual(held_most, OVERTAKERS_MAX)
        self.assertGreater(held_most, OVERTAKERS_MAX // 2)

    def test_corrupted_frames_are_told_as_malformed_by_the_node(self):
        before = self.node.settled_ledger()["frames"]["malformed"]["sum"]
        found, counters = self.numbers_through(b"corrupt", corrupt=0.05)

        self.assert_share(counters["corrupted"], 0.05)
        self.assertEqual(self.node.ledger()["frames"]["malformed"]["sum"] - before, counters["corrupted"])
        self.assertEqual(len(found), COUNT - counters["corrupted"])
        self.assert_in_order(found, range(COUNT), "corrupted")

    def test_all_at_once_adds_up(self):
        found, counters = self.numbers_through(b"all", drop=0.1, repeat=0.1, reorder=0.1, delay_us=2000)

        self.assert_share(counters["dropped"], 0.1)
        self.assertEqual(len(found), COUNT - counters["dropped"] + counters["repeated"])
        self.assertEqual(len(set(found)), COUNT - counters["dropped"])

    def test_delay_is_added_in_each_direction(self):
        self.node.hop.change(delay_us=(4000, 6000))

        answer = subprocess.run(rack.command("producer", "ping", "-c", "10", "-i", "0.02", "-W", "2", rack.APPLIANCE),
                                capture_output=True, text=True)

        least, average = re.search(r"= ([0-9.]+)/([0-9.]+)/", answer.stdout).groups()
        self.assertGreaterEqual(float(least), 10)
        self.assertLess(float(average), 30)
        self.assertEqual(self.node.hop.counters()[BACK]["forwarded"], 10)

    def test_arp_passes_a_wire_that_drops_all_else(self):
        self.node.hop.change(drop=1)
        self.addCleanup(rack.resolve_appliance)
        rack.forget_appliance()

        answer = subprocess.run(rack.command("producer", "ping", "-c", "1", "-W", "0.5", rack.APPLIANCE),
                                capture_output=True, text=True)
        learnt = subprocess.run(rack.command("producer", "ip", "neigh", "show", rack.APPLIANCE),
                                capture_output=True, text=True).stdout

        self.assertIn("100% packet loss", answer.stdout)
        self.assertIn(":".join("%02x" % byte for byte in rack.mac_of("node", rack.NODE_LINK)), learnt)
        self.assertGreaterEqual(self.node.hop.counters()[BACK]["spared"], 1)

    def test_a_vlan_tag_passes(self):
        self.node.hop.change()
        before = self.node.counters()["frames_other_vlan"]
        header = rack.mac_of("node", rack.NODE_LINK) + rack.mac_of("producer", rack.PRODUCER_LINK)

        with rack.raw_socket() as wire:
            wire.send(header + struct.pack("!HHH", 0x8100, 99, 0x0800) + ipv4(udp()))

        self.assert_balanced(self.node.settled_ledger())
        self.assertEqual(self.node.counters()["frames_other_vlan"] - before, 1)

    def test_a_flow_stays_with_its_queue_for_ever(self):
        """Also when another socket has its addresses and ports later: the kernel hashes them anew for
        each frame that the hop sends."""
        self.node.hop.change()
        ports = range(42000, 42032)
        for opening in range(3):
            for port in ports:
                with rack.datagram_socket(LINES_PORT, source_port=port) as sender:
                    for i in range(4):
                        sender.send(b"flow %d %d.%d\n" % (port, opening, i))
        self.node.settled_ledger()

        homes = {port: collections.Counter() for port in ports}
        for partition in range(2):
            for value in consuming.values("events", partition):
                if value.startswith(b"flow "):
                    homes[int(value.split(b" ")[1])][partition] += 1
        self.assertEqual([list(home.values()) for home in homes.values()], [[3 * 4]] * len(ports))
        self.assertEqual(len({next(iter(home)) for home in homes.values()}), 2, "all flows have one queue")
