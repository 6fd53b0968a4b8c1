"""Retention: the log stays within its bytes while it is written and read."""
import os
import threading
import time

import consuming
import sending
from appliance import LINES_PORT, wait_until
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
        # A removed segment keeps its bytes for the grace time (5 s), so the peak holds what was written
        # in it; what rests is within the limit.
        self.assertLess(peak[0], RETAIN + 8 * 14 * MIB)

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
