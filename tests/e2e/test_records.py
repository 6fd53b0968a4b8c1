"""Records in over UDP, out of a Kafka consumer: the bytes, the order, the topics, the books."""
import os
import subprocess
import tempfile

import consuming
import rack
import sending
from appliance import ROUTED_PORT
from case import ApplianceTest, missed_frames

DROPPED = "GET /healthz|kube-probe"
ALERTS = "level=(warn|error)|Failed password|link down"
RULES = {
    "rules": [
        {"name": "noise", "when": DROPPED, "do": "drop"},
        {"name": "alerts", "when": ALERTS, "do": {"route": "alerts"}},
    ],
    "default": {"route": "events"},
}


def grep(pattern, lines, *options):
    """What grep -E finds in the lines: the second opinion on every rule."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(line + b"\n" for line in lines))
        file.flush()
        answer = subprocess.run(["grep", "-a", "-E", *options, pattern, file.name], capture_output=True,
                                env=dict(os.environ, LC_ALL="C"))
    return answer.stdout.split(b"\n")[:-1]


class Records(ApplianceTest):
    def check(self, workers, lines, rate, sockets, per_datagram, lossless=True):
        node = self.appliance(workers=workers, rules=RULES, listeners=[{"protocol": "lines", "port": ROUTED_PORT}])
        node.start()
        before, sent_before = node.settled_ledger(), rack.sent_frames()

        runs, datagram_count = sending.send_lines(lines, ROUTED_PORT, rate, sockets, per_datagram,
                                                  node=node if lossless else None)
        ledger = node.settled_ledger()
        sent_frames = rack.sent_frames() - sent_before
        missed = missed_frames(ledger)

        self.assert_balanced(ledger)
        self.assertGreaterEqual(sent_frames, datagram_count)
        self.assertEqual(ledger["frames"]["received"] - before["frames"]["received"] + missed, sent_frames,
                         "every frame on the cable was received or is told as missed")
        if lossless:
            self.assertEqual(missed, 0, "the port lost frames although the sender waited for it")
        if missed == 0:
            self.assertEqual(ledger["records"]["in"], len(lines))
        self.check_topics(node, lines, runs, ledger, complete=missed == 0)

    def check_topics(self, node, lines, runs, ledger, complete):
        kept = grep(DROPPED, lines, "-v")
        expected = {"alerts": grep(ALERTS, kept), "events": grep(ALERTS, kept, "-v")}
        self.assertTrue(expected["alerts"] and expected["events"] and len(kept) < len(lines))
        sender_of = {line: port for port, run in runs.items() for line in run}
        stored = 0
        for topic, wanted in expected.items():
            found = [consuming.values(topic, partition) for partition in range(node.workers)]
            stored += sum(map(len, found))
            everything = [value for part in found for value in part]
            if complete:
                self.assertEqual(sorted(everything), sorted(wanted), topic)
            else:
                self.assert_within(everything, wanted, topic)
                self.assertEqual(len(set(everything)), len(everything), topic + ": a record twice")
            self.check_order(topic, found, wanted, sender_of)
        self.assertEqual(ledger["records"]["stored"]["sum"], stored)
        if complete:
            self.assertEqual(ledger["records"]["dropped"]["sum"], len(lines) - len(kept))

    def check_order(self, topic, found, wanted, sender_of):
        """The records of one sender port lie in one partition, in the order sent."""
        home = {}
        for partition, part in enumerate(found):
            for value in part:
                self.assertEqual(home.setdefault(sender_of[value], partition), partition,
                                 "%s: port %d is in two partitions" % (topic, sender_of[value]))
        for port, partition in home.items():
            self.assert_in_order([value for value in found[partition] if sender_of[value] == port],
                                 [value for value in wanted if sender_of[value] == port],
                                 "%s, from port %d" % (topic, port))

    def test_200000_lines_several_in_a_datagram_arrive_as_grep_splits_them(self):
        self.check(workers=1, lines=sending.realistic_lines(200000), rate=50000, sockets=8, per_datagram=8)

    def test_one_line_in_a_datagram(self):
        self.check(workers=1, lines=sending.realistic_lines(100000, seed=2), rate=25000, sockets=4, per_datagram=1)

    def test_what_a_flood_loses_is_counted_and_the_rest_arrives_in_order(self):
        """As fast as the cable goes; whether anything is lost is the machine's business."""
        self.check(workers=1, lines=sending.realistic_lines(150000, seed=4), rate=10**9, sockets=4, per_datagram=1,
                   lossless=False)

    def test_two_workers_keep_each_sender_in_order(self):
        self.check(workers=2, lines=sending.realistic_lines(200000, seed=3), rate=40000, sockets=16, per_datagram=4)

    def test_a_record_routed_to_two_topics_is_in_both_and_counted_as_a_copy(self):
        both = {"rules": [{"name": "both", "when": "both", "do": {"route": ["alerts", "events"]}}],
                "default": "drop"}
        node = self.appliance(rules=both, listeners=[{"protocol": "lines", "port": ROUTED_PORT}]).start()

        sending.send_lines([b"both %d" % i for i in range(100)] + [b"neither"] * 7, ROUTED_PORT, rate=5000)

        ledger = node.settled_ledger()
        self.assert_balanced(ledger)
        self.assertEqual(consuming.values("alerts"), [b"both %d" % i for i in range(100)])
        self.assertEqual(consuming.values("events"), [b"both %d" % i for i in range(100)])
        self.assertEqual(ledger["records"]["dropped"]["sum"], 7)
        self.assertEqual(ledger["entries"]["copies"], 100)

    def test_bytes_that_are_no_text_and_the_longest_line_pass_unchanged(self):
        node = self.appliance().start()
        lines = [bytes(byte for byte in range(256) if byte != 10), b"", b"x" * 1471, b"\r", b"\0"]

        sending.send_lines(lines, 5140, rate=100)

        self.assert_balanced(node.settled_ledger())
        self.assertEqual(consuming.values("events"), lines)
