"""A raw block device as storage path: a loop device, so that any machine with root has one."""
import json
import os
import subprocess
import time
import unittest

import consuming
import sending
from appliance import LINES_PORT, wait_until
from case import ApplianceTest

MIB = 1 << 20
SLOTS = 18
RETAIN_SLOTS = 5  # 40 MiB
REST_SECONDS = 5


class RawDevice(ApplianceTest):
    def setUp(self):
        self.node = self.appliance(storage={"segment": "8MiB", "retain": {"bytes": "40MiB"}})
        image = os.path.join(self.node.work, "disk")
        with open(image, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, (2 + SLOTS * 8) * MIB)
        made = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
        if made.returncode != 0:
            raise unittest.SkipTest("no loop device to be had: " + made.stderr)
        self.device = made.stdout.strip()
        self.addCleanup(self.detach)
        self.node.settings["storage"]["paths"] = [self.device]
        self.node.write_config()

    def detach(self):
        self.node.end()
        subprocess.run(["losetup", "-d", self.device], check=True)

    def init(self, *words):
        return self.node.tool("storage", "init", self.device, "--segment", "8MiB", *words)

    def show(self):
        return json.loads(self.node.tool("storage", "show", self.device, "--json", check=True).stdout)

    def verify(self):
        answer = self.node.tool("log", "verify", self.device)
        self.assertEqual(answer.returncode, 0, answer.stdout[-2000:] + answer.stderr)
        return answer.stdout

    def rest(self):
        """Retention keeps room for a load for some seconds after its end, and trims for it."""
        seen, since = None, time.monotonic()
        while time.monotonic() - since < REST_SECONDS:
            now = consuming.watermarks("events")
            if now != seen:
                seen, since = now, time.monotonic()
            time.sleep(0.2)

    def assert_is_sent(self, found, load):
        """Every offset once, each with a line that was sent, in the order sent."""
        offsets = [offset for offset, _ in found]
        self.assertEqual(offsets, list(range(offsets[0], offsets[0] + len(offsets))))
        numbers = [int(value.split(b" ", 1)[0][2:]) for _, value in found]
        self.assertEqual(numbers, sorted(set(numbers)), "none twice, none moved")
        self.assertEqual([value for _, value in found[-50:]], [load.line(number) for number in numbers[-50:]])

    def test_slots_are_filled_served_recovered_and_used_again(self):
        self.assertEqual(self.init().returncode, 0)
        self.assertEqual(self.show()["slots"], SLOTS)
        node = self.node.start()
        with sending.Load(LINES_PORT, rate=8000, line_bytes=1300) as load:
            wait_until("a few segments", lambda: node.counters()["records_stored_bytes"] > 20 * MIB, seconds=60)
            node.kill("ingest")
            node.start_ingest()
            wait_until("more than the device holds",
                       lambda: node.counters()["records_stored_bytes"] > 170 * MIB, seconds=90)
            load.stop()
        ledger = node.settled_ledger()

        self.assert_balanced(ledger)
        self.assertEqual(node.counters()["segments_failed"], 0)
        self.assertGreater(node.counters()["segments_sealed"], SLOTS, "slots were used again")
        self.assertNotIn("log closed", node.log("ingest"))
        self.rest()
        self.assertLessEqual(SLOTS - self.show()["free"], RETAIN_SLOTS + 1)  # one is prepared
        start, end = consuming.watermarks("events")
        self.assertGreater(start, 0)
        found = consuming.entries("events")
        self.assertEqual((found[0][0], found[-1][0]), (start, end - 1))
        self.assert_is_sent(found, load)
        self.verify()

        self.assertEqual(node.stop("ingest"), 0)
        wait_until("cold reads without ingest", lambda: consuming.entries("events") == found)
        self.verify()
        node.start_ingest()
        node.wait_ready()
        self.assertEqual(consuming.entries("events"), found)
        shown = self.show()
        self.assertEqual(shown["lost"], 0)
        self.assertEqual([row["partition"] for row in shown["partitions"]], [0])

    def test_a_device_that_nobody_initialised_is_refused_with_advice_and_left_alone(self):
        subprocess.run(["mkfs.ext4", "-q", "-L", "precious", self.device], check=True)

        self.node.start_ingest(wait=False)
        self.assertNotEqual(self.node.processes["ingest"].wait(30), 0)

        self.assertIn("penstock storage init " + self.device, self.node.log("ingest"))
        refused = self.init()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("ext4, label precious", refused.stderr)
        subprocess.run(["e2fsck", "-fn", self.device], check=True, capture_output=True)

    @staticmethod
    def has_topic():
        return b'topic "events"' in consuming.kcat("-L")

    def test_serve_finds_a_device_that_is_initialised_after_it_started(self):
        self.node.start_serve()
        self.assertEqual(self.init().returncode, 0)
        self.node.start_ingest()
        self.node.wait_ready()

        sending.send_lines([b"first"], LINES_PORT)

        wait_until("the record", lambda: self.has_topic() and consuming.values("events") == [b"first"])

    def test_a_second_writer_and_smaller_slots_are_refused(self):
        self.assertEqual(self.init().returncode, 0)
        node = self.node.start()
        taken = self.init("--force")
        self.assertEqual(taken.returncode, 66)
        self.assertIn("in use", taken.stderr)

        self.assertEqual(node.stop("ingest"), 0)
        node.settings["storage"]["segment"] = "16MiB"
        node.write_config()
        node.start_ingest(wait=False)
        self.assertNotEqual(node.processes["ingest"].wait(30), 0)

        self.assertIn("has slots of 8MiB and storage.segment is 16MiB", node.log("ingest"))

    def test_a_directory_beside_a_device(self):
        node = self.appliance(workers=2, storage={"segment": "8MiB"})
        node.settings["storage"]["paths"] = [node.storage, self.device]
        node.write_config()
        self.assertEqual(self.init().returncode, 0)
        self.addCleanup(node.end)
        node.start()
        lines = [b"line %d" % i for i in range(2000)]
        sending.send_lines(lines, LINES_PORT, rate=10000, sockets=16, node=node)
        node.settled_ledger()

        self.assertEqual(sorted(consuming.values("events")), sorted(lines))
        self.assertEqual(os.listdir(node.storage), ["part-0000"])
        self.assertEqual([row["partition"] for row in self.show()["partitions"]], [1])

        self.assertEqual(node.stop("ingest"), 0)
        node.settings["storage"]["paths"] = [self.device, node.storage]  # the order says nothing
        node.write_config()
        node.start_ingest()
        node.wait_ready()
        self.assertEqual(sorted(consuming.values("events")), sorted(lines))

    def test_a_full_device_closes_the_log_until_retention_frees_slots(self):
        node = self.node
        retain = node.settings["storage"].pop("retain")
        node.write_config()
        self.assertEqual(self.init().returncode, 0)
        node.start()
        with sending.Load(LINES_PORT, rate=12000, line_bytes=1300) as load:
            wait_until("/readyz to say that the log is closed",
                       lambda: node.http("/readyz")[0] == 503 and "no space" in node.http("/readyz")[1], seconds=60)
            load.stop()
        node.must_run("ingest")
        stored = node.counters()["records_stored"]
        self.assertEqual(len(consuming.entries("events")), stored, "what is durable is served")
        self.assertEqual(self.show()["free"], 2, "storage.reserve: 16 MiB")

        node.kill("ingest")
        node.settings["storage"]["retain"] = retain
        node.write_config()
        node.start_ingest()
        node.wait_ready()
        sending.send_lines([b"there is room"], LINES_PORT)

        wait_until("the record", lambda: consuming.values("events", 0, "-1") == [b"there is room"])
        self.verify()
