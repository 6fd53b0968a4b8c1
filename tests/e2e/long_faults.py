"""Faults below a real file system that take longer than the everyday tests may: a disk that hangs for more than 30 s,
twice; errors at every rate; a full disk that fills and empties again and again."""
import os
import time

import consuming
import sending
from appliance import LINES_PORT, wait_until
from fault_disk import FaultDisk, MIB
from test_faults import FaultTest


class LongStall(FaultTest):
    def test_another_path_takes_over_after_30_s_and_a_late_write_changes_nothing(self):
        node = self.faulty(healthy_path=True)
        sender = self.begin_sending(node, 60000, more=("--rate", "1500"))
        wait_until("some records", lambda: node.counters()["records_stored"] > 2000)
        self.disk.tell(stalled=True)
        hung = time.monotonic()
        stored = node.counters()["records_stored"]
        wait_until("the other path", lambda: node.counters()["records_stored"] > stored + 2000, seconds=60)
        self.assertGreater(time.monotonic() - hung, 25)
        self.assertEqual(node.counters()["log_writes_late"], 1)
        self.assertIn("has not come back for 30 s", node.log("ingest"))
        self.assertNotIn("log closed", node.log("ingest"))
        time.sleep(5)
        self.disk.heal()
        self.assert_all_stored(node, sender, 60000, seconds=120)

    def test_with_one_path_the_log_closes_and_opens_when_the_disk_answers(self):
        node = self.faulty()
        sender = self.begin_sending(node, 40000, more=("--timeout", "200s"))
        wait_until("some records", lambda: node.counters()["records_stored"] > 2000)
        self.disk.tell(stalled=True)
        wait_until("a closed log", lambda: self.closed(node), seconds=90)
        stored = node.counters()["records_stored"]
        time.sleep(10)
        self.assertEqual(node.counters()["records_stored"], stored)
        self.disk.heal()
        wait_until("an open log", lambda: not self.closed(node), seconds=10)
        self.assert_all_stored(node, sender, 40000, seconds=120)

    def test_the_other_partition_goes_on_while_a_disk_hangs(self):
        node = self.faulty(workers=2, healthy_path=True)
        with sending.Load(LINES_PORT, rate=4000, line_bytes=1300) as load:
            wait_until("records in one partition", lambda: node.counters()["records_stored"] > 2000)
            homes = [p["counters"]["records_stored"] for p in node.status()["partitions"]]
            busy = homes.index(max(homes))
            self.disk.tell(stalled=True)
            before = node.status()["partitions"][1]["counters"]["commits_durable"]
            time.sleep(20)  # several segments of the healthy one
            after = node.status()["partitions"][1]["counters"]["commits_durable"]
            if busy == 1:  # the kernel dealt the flow to it
                self.assertGreater(after, before + 20)
            self.disk.heal()
            load.stop()
        self.assert_balanced(node.settled_ledger(40))


class Errors(FaultTest):
    def test_refusals_that_come_and_go(self):
        node = self.faulty(healthy_path=True)
        sender = self.begin_sending(node, 60000, more=("--rate", "3000"))
        for i in range(8):
            time.sleep(1)
            self.disk.tell(write=FaultDisk.DATA)
            time.sleep(0.2 * i)
            self.disk.heal()
        self.assert_all_stored(node, sender, 60000, seconds=120)


class FullAgain(FaultTest):
    def test_a_disk_that_is_full_and_empty_twenty_times(self):
        node = self.faulty(retain={"bytes": "24MiB"})
        balloon = os.path.join(node.storage, "balloon")
        sender = self.begin_sending(node, 100000, more=("--rate", "2500", "--timeout", "200s"))
        for _ in range(20):
            with open(balloon, "wb") as file:
                space = os.statvfs(node.storage)
                os.posix_fallocate(file.fileno(), 0, max(MIB, space.f_bavail * space.f_frsize - 2 * MIB))
            time.sleep(1)
            os.unlink(balloon)
            time.sleep(0.5)
        wait_until("an open log", lambda: not self.closed(node), seconds=10)
        out, errors = sender.communicate(timeout=200)
        self.assertEqual(sender.returncode, 0, (out[-1000:], errors[-1000:]))
        self.assert_balanced(node.settled_ledger())
        start, end = consuming.watermarks("events")
        self.assertEqual(end, 100000)
        self.assertEqual([offset for offset, _ in consuming.entries("events", offset=start)], list(range(start, end)))
