"""Disks that are full, several, or lost their memory: a planned state each."""
import contextlib
import os
import subprocess
import time

import consuming
import sending
from appliance import LINES_PORT, wait_until
from case import ApplianceTest

MIB = 1 << 20


class SmallDisk(ApplianceTest):
    """A file system of 96 MiB in a file, mounted for the test."""

    def setUp(self):
        self.node = self.appliance(storage={"segment": "8MiB"})
        image = os.path.join(self.node.work, "disk")
        with open(image, "wb") as file:
            file.truncate(96 * MIB)
        os.makedirs(self.node.storage)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, self.node.storage], check=True)
        self.addCleanup(self.unmount)

    def unmount(self):
        self.node.end()
        subprocess.run(["umount", self.node.storage], check=True)

    def test_a_full_disk_closes_the_log_and_room_opens_it_again(self):
        node = self.node.start()
        balloon = os.path.join(node.storage, "balloon")
        with open(balloon, "wb") as file:
            space = os.statvfs(node.storage)
            os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - 20 * MIB)

        with sending.Load(LINES_PORT, rate=6000, line_bytes=1300) as load:
            wait_until("/readyz to say that the log is closed",
                       lambda: node.http("/readyz")[0] == 503 and "closed" in node.http("/readyz")[1], seconds=30)
            self.assertIn("no space", node.http("/readyz")[1])
            self.assertEqual(node.status()["partitions"][0]["log"], "closed")
            node.must_run("ingest")
            stored = node.counters()["records_stored"]
            self.assertEqual(len(consuming.entries("events")), stored, "what is durable is served")

            os.unlink(balloon)
            wait_until("the log to open again", lambda: node.counters()["records_stored"] > stored + 1000, seconds=20)
            node.wait_ready()
            load.stop()

        self.assertIn("log closed", node.log("ingest"))
        self.assertIn("log open again", node.log("ingest"))
        ledger = node.settled_ledger()
        self.assert_balanced(ledger)
        offsets = [offset for offset, _ in consuming.entries("events")]
        self.assertEqual(offsets, list(range(ledger["records"]["stored"]["sum"])))

    def test_a_start_on_a_full_disk_waits_for_room(self):
        balloon = os.path.join(self.node.storage, "balloon")
        with open(balloon, "wb") as file:
            space = os.statvfs(self.node.storage)
            os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - MIB)
        node = self.node
        node.start_ingest()
        self.assertIn("no space", node.log("ingest"))

        os.unlink(balloon)
        node.start_serve()
        node.wait_ready()
        sending.send_lines([b"there is room"], LINES_PORT)

        wait_until("the record", lambda: consuming.values("events") == [b"there is room"])
        self.assert_balanced(node.settled_ledger())


class SeveralDisks(ApplianceTest):
    def test_partitions_are_spread_and_found_again(self):
        node = self.appliance(workers=2)
        paths = [os.path.join(node.work, name) for name in ("disk-a", "disk-b")]
        node.settings["storage"]["paths"] = paths
        node.write_config()
        node.start()
        lines = [b"line %d" % i for i in range(2000)]
        sending.send_lines(lines, LINES_PORT, rate=10000, sockets=16, node=node)
        node.settled_ledger()
        self.assertEqual(sorted(len(os.listdir(path)) for path in paths), [1, 1])

        self.assertEqual(node.stop("ingest"), 0)
        node.settings["storage"]["paths"] = paths[::-1]  # the order says nothing: identity is in the log
        node.write_config()
        node.start_ingest()

        node.wait_ready()
        self.assertEqual(sorted(consuming.values("events")), sorted(lines))
        self.assertEqual(sorted(len(os.listdir(path)) for path in paths), [1, 1])


class FewerWorkers(ApplianceTest):
    def test_the_log_of_a_worker_that_is_gone_is_still_served(self):
        node = self.appliance(workers=2).start()
        lines = [b"line %d" % i for i in range(2000)]
        sending.send_lines(lines, LINES_PORT, rate=10000, sockets=16, node=node)
        node.settled_ledger()
        self.assertEqual(node.stop("ingest"), 0)

        node.settings["workers"]["cores"] = node.settings["workers"]["cores"][:1]
        node.settings["ports"][0]["device"] = node.settings["ports"][0]["device"][0]
        node.write_config()
        node.start_ingest()
        node.wait_ready()

        self.assertEqual(sorted(consuming.values("events")), sorted(lines))
        self.assertEqual(node.status()["partitions"][1]["log"], "orphan")
        self.assert_balanced(node.settled_ledger())


class LostMemory(ApplianceTest):
    """As after a power cut with an honest disk: the shared memory is gone, the log is not."""

    def test_no_offset_is_ever_used_for_another_record(self):
        node = self.appliance(storage={"segment": "8MiB"}).start()
        seen = {}
        with sending.Load(LINES_PORT, rate=5000, line_bytes=500):
            for _ in range(4):
                follower = consuming.Follower(os.path.join(node.work, "follower"), "events")
                time.sleep(1.2)
                node.kill("ingest")
                node.kill("serve")
                follower.close()
                self.add(seen, follower.entries())
                for name in os.listdir(node.runtime):
                    os.unlink(os.path.join(node.runtime, name))
                node.start()
            time.sleep(0.5)
        ledger = node.settled_ledger()
        self.assert_balanced(ledger)

        final = dict(consuming.entries("events"))
        self.assert_within(seen.items(), final.items(), "what was served is still there, where it was")
        numbers = [int(value.split(b" ", 1)[0][2:]) for _, value in sorted(final.items())]
        self.assertEqual(numbers, sorted(set(numbers)), "none twice, none moved")
        self.assertEqual(ledger["records"]["stored"]["sum"], len(final))

    def add(self, seen, entries):
        for offset, value in entries:
            self.assertEqual(seen.setdefault(offset, value), value)


class Durability(ApplianceTest):
    """How writes become durable, and where the kernel's threads that help with it run."""

    def store_some(self, method):
        node = self.appliance(storage={"durability": method}).start()
        lines = [b"line %d" % i for i in range(2000)]
        sending.send_lines(lines, LINES_PORT, rate=10000)
        wait_until("all records", lambda: node.counters()["records_stored"] == len(lines))
        self.assertEqual(consuming.values("events"), lines)
        return node

    def kernel_threads(self, node):
        """The tasks named iou-wrk-*: there for some seconds after each flush."""
        tasks = "/proc/%d/task" % node.pid("ingest")
        found = []
        for task in os.listdir(tasks):
            with contextlib.suppress(OSError), open(os.path.join(tasks, task, "comm"), encoding="ascii") as file:
                if file.read().startswith("iou-wrk-"):
                    found.append(int(task))
        return found

    def test_dsync_is_used_where_it_is_asked_for(self):
        node = self.store_some("dsync")

        self.assertEqual(node.status()["durability"], "dsync")
        self.assertIn('penstock_durability{method="dsync"} 1', node.http("/metrics")[1])
        self.assertIn("writes become durable by dsync", node.log("ingest"))
        self.assertEqual(self.kernel_threads(node), [], "no flush, no thread")

    def test_fdatasync_flushes_off_the_workers_core(self):
        node = self.store_some("fdatasync")

        self.assertEqual(node.status()["durability"], "fdatasync")
        threads = self.kernel_threads(node)
        self.assertNotEqual(threads, [], "flushes need one")
        core = node.settings["workers"]["cores"][0]
        for thread in threads:
            self.assertNotIn(core, os.sched_getaffinity(thread))
        wait_until("a look at them", lambda: node.status()["iowq_threads"] > 0 or not self.kernel_threads(node))
        self.assertEqual(node.status()["iowq_sightings"], 0)

    def test_a_kernel_thread_on_the_workers_core_is_a_fault_that_is_told(self):
        node = self.store_some("fdatasync")
        core = node.settings["workers"]["cores"][0]

        with sending.Load(LINES_PORT, rate=500):  # so that the threads stay
            wait_until("a thread", lambda: self.kernel_threads(node))
            for thread in self.kernel_threads(node):
                os.sched_setaffinity(thread, {core})
            wait_until("a sighting", lambda: node.status()["iowq_sightings"] > 0)

        self.assertIn("may run, or ran, on a worker's core", node.log("ingest"))
        self.assertRegex(node.http("/metrics")[1], r"penstock_iowq_sightings_total [1-9]")
        wait_until("the threads to go", lambda: node.status()["iowq_threads_astray"] == 0, seconds=40)
        self.assertIn("are off the workers' cores again", node.log("ingest"))
