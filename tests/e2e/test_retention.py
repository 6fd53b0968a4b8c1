"""Retention: the log stays within its bytes while it is written and read."""
import os
import threading
import time

import consuming
import sending
from appliance import LINES_PORT, SYSLOG_PORT, wait_until
from case import ApplianceTest

MIB = 1 << 20
RETAIN = 40 * MIB


def used_bytes(folder):
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
            except FileNotFoundError:  # removed meanwhile
                pass
    return total


class Retention(ApplianceTest):
    def test_old_segments_go_and_consumers_start_at_what_is_left(self):
        node = self.appliance(storage={"segment": "8MiB", "retain": {"bytes": "40MiB"}}).start()
        peak, done = [0], threading.Event()

        def watch():
            while not done.wait(0.1):
                peak[0] = max(peak[0], used_bytes(node.storage))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        with sending.Load(LINES_PORT, rate=12000, line_bytes=1300) as load:
            wait_until("enough to expire something", lambda: node.counters()["records_stored_bytes"] > 80 * MIB,
                       seconds=60)
            load.stop()
        ledger = node.settled_ledger()
        wait_until("retention to come to rest", lambda: used_bytes(node.storage) <= RETAIN, seconds=20)
        done.set()
        watcher.join()

        self.assert_balanced(ledger)
        counters = node.counters()
        self.assertGreaterEqual(counters["segments_sealed"], 9)
        self.assertEqual(counters["segments_failed"], 0)
        # Spares and what waits for its removal are within the limit, but for what a load that begins
        # all of a sudden writes before the rate is known.
        self.assertLess(peak[0], RETAIN + 3 * 8 * MIB)

        start, end = consuming.watermarks("events")
        self.assertGreater(start, 0)
        self.assertEqual(node.ledger()["entries"]["expired"], start)
        found = consuming.entries("events")
        self.assertEqual([offset for offset, _ in found], list(range(start, end)))
        self.assertEqual(found[-1][1], load.line(load.sent - 1))

        reset = consuming.kcat("-C", "-t", "events", "-p", "0", "-o", "0", "-c", "1", "-q", "-f", "%o",
                               "-X", "topic.auto.offset.reset=earliest")
        self.assertEqual(int(reset), start)

        self.assertEqual(node.stop("ingest"), 0)
        node.start_ingest()
        self.assertGreaterEqual(consuming.watermarks("events")[0], start, "log start survives a restart")
        self.assertEqual(consuming.watermarks("events")[1], end)

    def test_age(self):
        node = self.appliance(storage={"segment": "8MiB", "retain": {"age": "4s"}}).start()
        sending.send_lines([b"old %d" % i for i in range(100)], LINES_PORT, rate=5000)
        node.settled_ledger()

        def log_start():
            sending.send_lines([b"new"], LINES_PORT)
            return consuming.watermarks("events")[0]

        wait_until("the old records to expire", lambda: log_start() >= 100, seconds=40, pause=0.5)
        self.assertNotIn(b"old 99", consuming.values("events"))
        self.assert_balanced(node.settled_ledger())

    def test_a_topic_with_a_shorter_age_begins_later_and_its_segments_stay(self):
        topics = [{"name": "events", "retain": {"age": "3s"}}, {"name": "alerts"}, {"name": "syslog"}]
        node = self.appliance(topics=topics, storage={"retain": {"age": "1h"}}).start()
        sending.send_lines([b"old %d" % i for i in range(100)], LINES_PORT, rate=5000)
        sending.send_lines([b"<13>kept"], SYSLOG_PORT)
        node.settled_ledger()
        segments = node.counters()["segments_opened"]

        wait_until("the old records to expire", lambda: consuming.watermarks("events") == (100, 100), seconds=20)
        sending.send_lines([b"new"], LINES_PORT)
        wait_until("the new one", lambda: consuming.watermarks("events")[1] == 101)
        self.assertEqual(consuming.values("events"), [b"new"])
        self.assertIn(b"<13>kept", consuming.values("syslog"))
        self.assertEqual(node.counters()["segments_opened"], segments)
        self.assertEqual(node.ledger()["entries"]["expired"], 100)
        reset = consuming.kcat("-C", "-t", "events", "-p", "0", "-o", "0", "-c", "1", "-q", "-f", "%o",
                               "-X", "topic.auto.offset.reset=earliest")
        self.assertEqual(int(reset), 100, "the offset was out of range")

        node.kill("ingest")
        node.start_ingest()
        node.wait_ready()
        self.assertGreaterEqual(consuming.watermarks("events")[0], 100, "it never goes back")
        for page in ("starts-0000", "root", "node", "stats-0000"):  # as a reboot does
            node.stop("ingest") if node.runs("ingest") else None
            os.unlink(os.path.join(node.runtime, page))
        node.stop("serve")
        node.start()
        wait_until("the same start, from the log", lambda: consuming.watermarks("events")[0] >= 100, seconds=10)

    def test_a_reader_that_was_paused_gets_the_right_bytes_or_a_reset(self):
        node = self.appliance(storage={"segment": "8MiB", "retain": {"bytes": "40MiB"}}, serve={"cache": "4MiB"}).start()
        with sending.Load(LINES_PORT, rate=9000, line_bytes=1300) as load:
            wait_until("some records", lambda: node.counters()["records_stored"] > 2000)
            slow = consuming.consumer()
            self.addCleanup(slow.close)
            slow.assign([consuming.kafka.TopicPartition("events", 0)])
            slow.seek_to_beginning()
            found = [(record.offset, record.value) for record, _ in zip(slow, range(500))]
            wait_until("retention to pass it", lambda: consuming.watermarks("events")[0] > 20000, seconds=60)
            load.stop()
        found += [(record.offset, record.value) for record in slow]  # until nothing came for 5 s

        start, end = consuming.watermarks("events")
        offsets = [offset for offset, _ in found]
        self.assertEqual(offsets, sorted(set(offsets)))
        self.assertEqual(offsets[-1], end - 1)
        self.assert_within([offset for offset in offsets if offset >= start], range(start, end), "offsets")
        self.assertLess(len(found), end, "there was a reset")
        numbers = [int(value[2:value.index(b" ")]) for _, value in found]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual([load.line(number) for number in numbers], [value for _, value in found])

    def test_segments_end_by_age(self):
        node = self.appliance(storage={"segment": "8MiB", "segment_age": "1s"}).start()
        sending.send_lines([b"one"], LINES_PORT)
        wait_until("its segment to be sealed", lambda: node.counters()["segments_sealed"] >= 1, seconds=10)

    def test_status_and_metrics_say_how_long_until_the_disk_is_full(self):
        node = self.appliance(storage={"segment": "8MiB"}).start()
        with sending.Load(LINES_PORT, rate=3000, line_bytes=1000) as load:
            wait_until("a rate", lambda: node.status()["paths"][0]["write_bytes_per_s"] > 100000, seconds=20)
            path = node.status()["paths"][0]
            load.stop()
        self.assertEqual(path["path"], node.storage)
        self.assertIsNone(path["trim_seconds"])
        self.assertAlmostEqual(path["full_seconds"], path["free_bytes"] / path["write_bytes_per_s"],
                               delta=path["full_seconds"] * 0.05)
        self.assertIn("full in", node.tool("status", "--runtime", node.runtime).stdout)
        self.assertIn('penstock_storage_full_seconds{path="%s"}' % node.storage, node.http("/metrics")[1])


class Scrub(ApplianceTest):
    def test_rot_is_named_once_and_everything_else_served(self):
        node = self.appliance(storage={"segment": "8MiB", "segment_age": "1s"}, serve={"scrub": "1GiB"}).start()
        lines = [b"line %d" % i for i in range(50)]
        sending.send_lines(lines, LINES_PORT)
        wait_until("its segment to be sealed", lambda: node.counters()["segments_sealed"] >= 1, seconds=10)
        wait_until("a first pass", lambda: "penstock_scrub_passes_total 0" not in node.http("/metrics")[1])
        self.assertIn("penstock_scrub_damaged_ranges_total 0", node.http("/metrics")[1])
        node.stop("serve")

        path = os.path.join(node.storage, "part-0000", "%016x.segment" % 1)
        with open(path, "r+b") as file:
            at = file.read().index(b"line 7")
            file.seek(at)
            file.write(b"LINE")
        node.start_serve()
        wait_until("the scrub to meet it",
                   lambda: "penstock_scrub_damaged_ranges_total 1" in node.http("/metrics")[1], seconds=20)
        node.wait_ready()
        sending.send_lines([b"later"], LINES_PORT)  # what is behind the rot is served: kcat finds an end
        wait_until("the later one", lambda: consuming.watermarks("events")[1] == 51)
        values = consuming.values("events")
        self.assertIn(b"later", values)
        self.assertNotIn(b"LINE 7", values)
        told = [line for line in node.log("serve").splitlines() if "is damaged" in line and "read twice; everything" in line]
        self.assertEqual(len(told), 1)
        node.must_run("serve")
