"""Producers that keep to the protocol and mean harm: the honest one beside them gets its records in."""
import json
import os
import subprocess
import sys
import time

import native_producer
import rack
from test_native import PORT, NativeTest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile_lanes.py")
RECORDS = 4000


class Hostile:
    """hostile_lanes.py in the producer's namespace."""

    def __init__(self, kind, lanes, seconds):
        self.process = subprocess.Popen(
            rack.command("producer", sys.executable, SCRIPT, "%s:%d" % (rack.APPLIANCE, PORT), kind, str(lanes),
                         str(seconds)), stdout=subprocess.PIPE)

    def result(self):
        out, _ = self.process.communicate(timeout=180)
        return json.loads(out.splitlines()[-1])

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class HostileLanes(NativeTest):
    def hostile(self, kind, lanes, seconds):
        out = Hostile(kind, lanes, seconds)
        self.addCleanup(out.end)
        return out

    def test_fates_that_nobody_confirms_do_not_stop_a_worker(self):
        self.node().start()
        hostile = self.hostile("fates", 64, 45)
        time.sleep(8)  # long enough to fill what there is
        sending = self.sending(RECORDS, timeout=60)
        result = sending.result()
        self.assertEqual(result["fates"], {"STORED": RECORDS})
        self.assert_each_once_in_order(sending, 1)
        told = hostile.result()
        self.assertEqual(told["opened"], 64)
        self.assertGreater(told["records"], 64 * 500)

    def test_after_such_lanes_fewer_workers_start(self):
        node = self.node(workers=2).start()
        told = self.hostile("fates", 74, 30).result()
        self.assertGreater(told["opened"], 50)
        self.assertEqual(node.stop("ingest"), 0)
        node.settings["workers"]["cores"] = [0]
        node.settings["ports"][0]["device"] = node.settings["ports"][0]["device"][0]
        node.write_config()
        node.start_ingest()
        self.assertEqual(node.status()["state"], "running")

    def test_records_that_are_never_whole_do_not_keep_large_ones_out(self):
        self.node().start()
        hostile = self.hostile("fragments", 8, 60)
        time.sleep(6)
        sending = self.sending(20, length=100000, timeout=90, lanes=1, keys=1)
        self.assertEqual(sending.result()["fates"], {"STORED": 20})
        self.assertEqual(hostile.result()["opened"], 8)

    def test_many_nearly_idle_lanes_leave_the_busy_one_its_credit(self):
        self.node().start()
        alone = self.sending(RECORDS, lanes=1, keys=1, timeout=60).result()["seconds"]
        hostile = self.hostile("trickle", 450, 40)
        time.sleep(10)
        sending = self.sending(RECORDS, lanes=1, keys=1, timeout=60, id=native_producer.os.urandom(16).hex())
        beside = sending.result()["seconds"]
        self.assertEqual(hostile.result()["opened"], 450)
        self.assertLess(beside, 10 * alone + 5, "the producers share two cores, so no closer bound")
