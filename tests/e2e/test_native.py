"""The native protocol between real namespaces: each record once, in order, whatever happens on the way."""
import json
import os
import random
import subprocess
import sys
import time

import consuming
import native_producer
import rack
from appliance import wait_until
from case import ApplianceTest
from hop import Hop

PORT = 4650
LISTENERS = [{"protocol": "native", "port": PORT, "topic": "events"}]
ID = "00112233445566778899aabbccddeeff"
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "native_producer.py")


class Sending:
    """native_producer.py in the producer's namespace."""

    def __init__(self, count, keys=16, length=100, **options):
        words = ["--keys", str(keys), "--bytes", str(length)]
        for name, value in options.items():
            words += ["--" + name, str(value)]
        self.count, self.keys, self.length = count, keys, length
        address = "%s:%d" % (rack.APPLIANCE, PORT)
        self.process = subprocess.Popen(
            rack.command("producer", sys.executable, SCRIPT, address, str(count), *words),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def runs(self):
        return self.process.poll() is None

    def result(self, seconds=120):
        out, errors = self.process.communicate(timeout=seconds)
        if self.process.returncode != 0:
            raise AssertionError("the producer ended with %d: %s %s" % (self.process.returncode, out[-2000:], errors[-2000:]))
        return json.loads(out.splitlines()[-1])

    def expected(self):
        return [native_producer.value_of(i, self.keys, self.length) for i in range(self.count)]

    def end(self):
        if self.runs():
            self.process.kill()
        self.process.communicate()


class NativeTest(ApplianceTest):
    def node(self, **settings):
        settings.setdefault("listeners", LISTENERS)
        return self.appliance(**settings)

    def sending(self, count, **options):
        out = Sending(count, **options)
        self.addCleanup(out.end)
        return out

    def assert_each_once_in_order(self, sending, partitions):
        """The set is what was sent, none twice, and each key's records lie in one partition in order. Answers them
        by partition."""
        found = [consuming.entries("events", partition) for partition in range(partitions)]
        values = [value for entries in found for _, value in entries]
        self.assertEqual(sorted(values), sorted(sending.expected()))
        homes = {}
        for partition, entries in enumerate(found):
            last = {}
            for _, value in entries:
                key, number = value.split(b" ")[:2]
                self.assertEqual(homes.setdefault(key, partition), partition, "a key's lane has one home")
                self.assertGreater(int(number), last.get(key, -1), "in the order sent")
                last[key] = int(number)
        return found


class Fates(NativeTest):
    def test_each_record_once_in_order_and_the_ledger_adds_up(self):
        node = self.node().start()
        sending = self.sending(20000)
        self.assertEqual(sending.result()["fates"], {"STORED": 20000})
        self.assert_each_once_in_order(sending, 1)
        ledger = node.settled_ledger()
        self.assert_balanced(ledger)
        self.assertEqual(ledger["records"]["stored"]["sum"], 20000)

    def test_rules_drop_and_route_and_producers_are_told(self):
        rules = {"rules": [{"name": "k3", "when": "^k3 ", "do": "drop"},
                           {"name": "k5", "when": "^k5 ", "do": {"route": "alerts"}}]}
        node = self.node(rules=rules).start()
        sending = self.sending(8000)
        self.assertEqual(sending.result()["fates"], {"STORED": 7500, "DROPPED": 500})
        self.assertEqual(len(consuming.values("alerts")), 500)
        self.assertEqual(len(consuming.values("events")), 7000)
        self.assert_balanced(node.settled_ledger())

    def test_a_topic_that_is_not_there_is_refused(self):
        node = self.node().start()
        sending = self.sending(100, topic="nowhere")
        sending.process.wait(timeout=60)
        self.assertEqual(json.loads(sending.process.stdout.read().splitlines()[-1])["failed"], 100)
        self.assert_balanced(node.settled_ledger())

    def test_a_named_topic_is_used(self):
        self.node().start()
        self.sending(100, topic="alerts").result()
        self.assertEqual(len(consuming.values("alerts")), 100)

    def test_large_records_travel_in_fragments(self):
        node = self.node(storage={"commit": {"bytes": "1MiB"}, "segment": "32MiB", "ring": "32MiB"}).start()
        sending = self.sending(40, keys=2, length=300_000)
        self.assertEqual(sending.result()["fates"], {"STORED": 40})
        self.assert_each_once_in_order(sending, 1)
        self.assert_balanced(node.settled_ledger())


class TwoWorkers(NativeTest):
    def test_lanes_find_their_homes(self):
        node = self.node(workers=2).start()
        sending = self.sending(20000, keys=64, lanes=32)
        sending.result()
        found = self.assert_each_once_in_order(sending, 2)
        self.assertTrue(all(found), "both partitions have some")
        self.assert_balanced(node.settled_ledger())

    def test_lanes_move_when_their_home_is_gone_and_stay_when_workers_come_back(self):
        node = self.node(workers=2).start()
        first = self.sending(4000, keys=64, lanes=32, id=ID)
        first.result()
        cores, devices = node.settings["workers"]["cores"], node.settings["ports"][0]["device"]
        for workers in (1, 2):
            node.settled_ledger()
            self.assertEqual(node.stop("ingest"), 0)
            node.settings["workers"]["cores"] = cores[:workers]
            node.settings["ports"][0]["device"] = devices[:workers] if workers > 1 else devices[0]
            node.write_config()
            rack.up(queues=workers)  # no flow may come to a queue that nobody polls
            node.start_ingest()
            node.wait_ready()
            self.sending(4000, keys=64, lanes=32, id=ID).result()
        expected = sorted(first.expected() * 3)
        # Both CPUs spin for a worker: what serves gets its share late.
        wait_until("everything to be served", lambda: len(consuming.values("events")) >= len(expected))
        self.assertEqual(sorted(consuming.values("events")), expected)
        self.assert_balanced(node.settled_ledger())


class Trouble(NativeTest):
    def test_kill_9_of_ingest_loses_and_repeats_nothing(self):
        node = self.node(workers=2, storage={"segment": "8MiB"}).start()
        sending = self.sending(40000, keys=32, lanes=16, rate=4000)
        dice = random.Random(3)
        for _ in range(4):
            time.sleep(0.7 + dice.random())
            node.kill("ingest")
            node.start_ingest()
        self.assertEqual(sending.result()["fates"], {"STORED": 40000})
        node.wait_ready()
        self.assert_each_once_in_order(sending, 2)
        self.assert_balanced(node.settled_ledger())

    def test_an_orderly_restart_tells_producers(self):
        node = self.node().start()
        sending = self.sending(12000, rate=4000)
        time.sleep(1)
        self.assertEqual(node.stop("ingest"), 0)
        node.start_ingest()
        self.assertEqual(sending.result()["fates"], {"STORED": 12000})
        node.wait_ready()
        self.assert_each_once_in_order(sending, 1)

    def test_a_bad_wire_changes_nothing_but_speed(self):
        node = self.node(workers=2, hop=Hop(drop=0.05, repeat=0.02, reorder=0.05)).start()
        sending = self.sending(20000, keys=32, lanes=16)
        self.assertEqual(sending.result()["fates"], {"STORED": 20000})
        self.assert_each_once_in_order(sending, 2)
        self.assert_balanced(node.settled_ledger())

    def test_a_wire_that_is_cut_for_a_while(self):
        node = self.node(hop=Hop()).start()
        sending = self.sending(12000, rate=4000)
        time.sleep(1)
        node.hop.change(drop=1.0)
        time.sleep(2)
        self.assertTrue(sending.runs())
        node.hop.change(drop=0)
        self.assertEqual(sending.result()["fates"], {"STORED": 12000})
        self.assert_each_once_in_order(sending, 1)
