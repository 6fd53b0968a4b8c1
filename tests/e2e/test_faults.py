"""Disks that refuse, do not answer, are full or cannot be read, below a real file system: docs/failure-modes.md. Producers
are told, nothing acknowledged is lost or repeated, and the node goes on by itself."""
import json
import os
import subprocess
import time

import consuming
import rack
import sending
from appliance import BUILD, LINES_PORT, wait_until
from case import ApplianceTest
from fault_disk import EVERYWHERE, MIB, FaultDisk

NATIVE_PORT = 4650
LISTENERS = [{"protocol": "native", "port": NATIVE_PORT, "topic": "events"},
             {"protocol": "lines", "port": LINES_PORT, "topic": "lines"}]
TOPICS = [{"name": "events"}, {"name": "lines"}]


class FaultTest(ApplianceTest):
    def faulty(self, workers=1, healthy_path=False, **storage):
        """A node whose first storage path is on a FaultDisk; self.disk is that."""
        settings = {"segment": "8MiB", "commit": {"bytes": "256KiB"}, "ring": "4MiB"}
        node = self.appliance(workers=workers, listeners=LISTENERS, topics=TOPICS, storage={**settings, **storage})
        os.makedirs(node.storage)
        self.disk = FaultDisk(os.path.join(node.work, "fault-disk"), node.storage)
        self.addCleanup(self.take_down, node)
        if healthy_path:
            node.settings["storage"]["paths"].append(os.path.join(node.work, "healthy"))
            node.write_config()
        return node.start()

    def take_down(self, node):
        self.disk.heal()
        node.end()
        self.disk.destroy()

    def begin_sending(self, node, count, name="sent", length=400, more=()):
        """`penstock send` of `count` lines, with receipts; ends by itself when all have their fate."""
        path = os.path.join(node.work, name)
        with open(path, "wb") as file:
            for i in range(count):
                file.write((b"%s %d " % (name.encode(), i)).ljust(length, b".") + b"\n")
        self.receipts = os.path.join(node.work, name + ".receipts")
        process = subprocess.Popen(
            rack.command("producer", os.path.join(BUILD, "penstock"), "send", path, "--to",
                         "%s:%d" % (rack.APPLIANCE, NATIVE_PORT), "--receipts", self.receipts, "--json", *more),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.addCleanup(lambda: (process.kill(), process.communicate()) if process.poll() is None else None)
        return process

    def assert_all_stored(self, node, process, count, seconds=60):
        """Each record once, where its receipt says; and nobody's books lie."""
        out, errors = process.communicate(timeout=seconds)
        self.assertEqual(process.returncode, 0, (out[-1000:], errors[-1000:]))
        self.assertEqual(json.loads(out)["durable"], count)
        node.wait_ready()
        self.assert_balanced(node.settled_ledger())
        answer = node.tool("audit", self.receipts, "-c", node.config, "--json")
        self.assertEqual(answer.returncode, 0, (answer.stdout[-2000:], answer.stderr))
        offsets = [offset for offset, _ in consuming.entries("lines")]
        self.assertEqual(offsets, list(range(len(offsets))))

    def metric(self, node, name):
        """The sum of a metric's samples."""
        found = [line for line in node.http("/metrics")[1].splitlines()
                 if line.startswith(name) and line[len(name)] in " {"]
        self.assertTrue(found, name)
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def closed(self, node, partition=0):
        return node.status()["partitions"][partition]["log"] == "closed"


class RefusedWrites(FaultTest):
    def test_a_disk_that_refuses_for_a_while_closes_the_log_and_opens_it_again(self):
        node = self.faulty()
        with sending.Load(LINES_PORT, rate=1000, line_bytes=200) as load:
            sender = self.begin_sending(node, 120000)
            wait_until("some records", lambda: node.counters()["records_stored"] > 2000)
            self.disk.tell(write=FaultDisk.DATA)
            wait_until("a closed log", lambda: self.closed(node))
            self.assertIn("input/output error", node.http("/readyz")[1])
            self.assertEqual(self.metric(node, 'penstock_log_state{partition="0",state="closed",why="input/output error"}'), 1)
            stored = node.counters()["records_stored"]
            time.sleep(2.5)  # probes, all refused
            self.assertEqual(node.counters()["records_stored"], stored)
            self.assertEqual(self.metric(node, "penstock_lane_credit_bytes"), 0)

            self.disk.heal()
            healed = time.monotonic()
            wait_until("the log to open again", lambda: not self.closed(node), seconds=10)
            self.assertLess(time.monotonic() - healed, 5)
            load.stop()
            self.assert_all_stored(node, sender, 120000)
        for line in ("refused a write", "log closed", "log open again"):
            self.assertIn(line, node.log("ingest"))
        self.assertGreater(node.counters()["log_write_errors"], 0)

    def test_a_disk_that_is_dead_is_left_for_the_next_path(self):
        node = self.faulty(healthy_path=True)
        sender = self.begin_sending(node, 120000)
        wait_until("some records", lambda: node.counters()["records_stored"] > 2000)
        self.disk.tell(write=EVERYWHERE)  # ext4 gives up too, and is read-only from then on
        self.assert_all_stored(node, sender, 120000)
        self.assertIn("storage path number 2", node.log("ingest"))
        self.assertNotIn("log closed", node.log("ingest"))
        healthy = os.path.join(node.settings["storage"]["paths"][1], "part-0000")
        self.assertTrue(os.listdir(healthy))

        self.assertEqual(node.stop("ingest"), 0)
        node.start_ingest()  # from the segments of both
        node.wait_ready()
        self.assertEqual(len(consuming.values("events")), 120000)


class Stall(FaultTest):
    def test_a_disk_that_hangs_for_seconds_only_delays(self):
        node = self.faulty()
        sender = self.begin_sending(node, 120000)
        wait_until("some records", lambda: node.counters()["records_stored"] > 2000)
        self.disk.tell(stalled=True)
        time.sleep(1)
        stored = node.counters()["records_stored"]
        time.sleep(2)
        self.assertEqual(node.counters()["records_stored"], stored, "nothing is acknowledged meanwhile")
        self.assertEqual(node.counters()["segments_failed"], 0)
        self.disk.heal()
        self.assert_all_stored(node, sender, 120000)
        self.assertEqual(node.counters()["segments_failed"], 0)


class FullDisk(FaultTest):
    def test_a_full_disk_opens_again_when_retention_has_made_room(self):
        node = self.faulty(retain={"age": "3s"})
        with open(os.path.join(node.storage, "balloon"), "wb") as file:  # stays
            space = os.statvfs(node.storage)
            os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - 24 * MIB)
        with sending.Load(LINES_PORT, rate=8000, line_bytes=1300) as load:
            wait_until("a closed log", lambda: self.closed(node), seconds=30)
            self.assertIn("no space", node.http("/readyz")[1])
            stored = node.counters()["records_stored"]
            wait_until("the log to open again", lambda: node.counters()["records_stored"] > stored + 1000, seconds=40)
            load.stop()
        wait_until("an open log", lambda: not self.closed(node), seconds=30)
        self.assert_balanced(node.settled_ledger())
        start, end = consuming.watermarks("lines")
        self.assertGreater(start, 0)
        self.assertEqual([offset for offset, _ in consuming.entries("lines", offset=start)][-1], end - 1)


class RefusedReads(FaultTest):
    def test_only_the_range_that_cannot_be_read_is_an_error_and_only_until_it_can(self):
        node = self.faulty()
        sender = self.begin_sending(node, 60000)
        self.assert_all_stored(node, sender, 60000)
        sending.send_lines([b"beside %d" % i for i in range(500)], LINES_PORT, node=node)
        node.settled_ledger()
        node.stop("serve")
        first = node.segments()[0]
        bad = self.disk.range_of(first, 3 * MIB, MIB)
        self.disk.tell(read=bad)
        node.start_serve()
        node.wait_ready()

        count = len(consuming.values("lines"))
        self.assertEqual(count, 500, "another topic does not notice")
        self.assertEqual(len(consuming.kcat("-C", "-t", "events", "-o", "beginning", "-c", "1000", "-q").splitlines()), 1000)
        self.assertEqual(consuming.values("events", 0, offset=40000)[-1][:11], b"sent 59999 ")
        reader = consuming.Follower(os.path.join(node.work, "reader"), "events")
        self.addCleanup(reader.close)
        wait_until("a refused read", lambda: self.metric(node, "penstock_serve_reads_failed_total") > 0)
        time.sleep(1)
        self.assertLess(len(reader.entries()), 20000)
        self.assertIn("cannot be read: the disk refuses", node.log("serve"))
        self.assertTrue(reader.is_waiting(), "KAFKA_STORAGE_ERROR is retriable")
        sent = self.begin_sending(node, 2000, "meanwhile")
        self.assertEqual(sent.wait(30), 0, "ingest does not notice")

        self.disk.heal()
        wait_until("the rest", lambda: len(reader.entries()) == 62000, seconds=30)
        self.assertEqual([offset for offset, _ in reader.entries()], list(range(62000)))
        self.assertEqual(self.metric(node, "penstock_serve_fenced_batches_total"), 0)
