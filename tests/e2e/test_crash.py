"""kill -9, SIGSTOP, SIGTERM and restarts, under load: what was durable stays, and both sides go on."""
import os
import random
import signal
import time

import consuming
import rack
import sending
from appliance import LINES_PORT, wait_until
from case import ApplianceTest, missed_frames

SMALL = {"storage": {"segment": "8MiB"}}


class KillOfIngest(ApplianceTest):
    def test_no_record_below_the_high_watermark_is_lost_and_offsets_go_on(self):
        node = self.appliance(**SMALL).start()
        follower = consuming.Follower(os.path.join(node.work, "follower"), "events")
        self.addCleanup(follower.close)
        dice = random.Random(7)
        rounds, seen = 6, []

        with sending.Load(LINES_PORT, rate=6000, line_bytes=600) as load:
            for _ in range(rounds):
                time.sleep(0.6 + dice.random() * 0.6)
                high = consuming.watermarks("events")[1]
                seen.append((high, follower.entries()))
                node.kill("ingest")
                node.start_ingest()
            time.sleep(0.5)
            load.stop()

            ledger = node.settled_ledger()
            self.assert_balanced(ledger)
            end = consuming.watermarks("events")[1]
            final = consuming.entries("events")
            self.check_entries(final, load)

        self.assertEqual([offset for offset, _ in final], list(range(end)), "offsets without gap or repeat")
        for high, printed in seen:
            self.assertGreater(high, 0)
            self.assertLessEqual(high, end)
            self.assertEqual(final[:len(printed)], printed, "what a consumer saw before the kill is still so")
        self.assertEqual(ledger["records"]["stored"]["sum"], end)
        wait_until("the waiting kcat to go on by itself", lambda: len(follower.entries()) >= end)
        self.assertEqual(follower.entries(), final)
        self.assertTrue(follower.is_waiting())
        self.assertEqual(node.status()["restarts_after_crash"], rounds)

    def check_entries(self, final, load):
        """Each a line that was sent, none twice, in the order sent."""
        numbers = [int(value.split(b" ", 1)[0][2:]) for _, value in final]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertTrue(all(value == load.line(number) for (_, value), number in zip(final, numbers)))

    def test_a_kill_during_recovery_is_recovered_from(self):
        node = self.appliance(**SMALL).start()
        dice = random.Random(11)
        with sending.Load(LINES_PORT, rate=5000, line_bytes=400):
            time.sleep(1)
            high = consuming.watermarks("events")[1]
            node.kill("ingest")
            for _ in range(6):
                node.start_ingest(wait=False)
                time.sleep(0.05 + dice.random() * 0.5)
                node.must_run("ingest")
                node.kill("ingest")
            node.start_ingest()
            time.sleep(0.5)

        ledger = node.settled_ledger()
        self.assert_balanced(ledger)
        offsets = [offset for offset, _ in consuming.entries("events")]
        self.assertGreater(len(offsets), high)
        self.assertEqual(offsets, list(range(len(offsets))))
        self.assertEqual(ledger["records"]["stored"]["sum"], len(offsets))

    def test_two_workers_recover_both_logs(self):
        node = self.appliance(workers=2, **SMALL).start()
        with sending.Load(LINES_PORT, rate=2000) as one, sending.Load(LINES_PORT, rate=2000) as two:
            for _ in range(3):
                time.sleep(0.8)
                node.kill("ingest")
                node.start_ingest()
            time.sleep(0.5)
            one.stop(), two.stop()
            ledger = node.settled_ledger()

        self.assert_balanced(ledger)
        stored = 0
        for partition in range(2):
            offsets = [offset for offset, _ in consuming.entries("events", partition)]
            self.assertEqual(offsets, list(range(len(offsets))))
            stored += len(offsets)
        self.assertEqual(ledger["records"]["stored"]["sum"], stored)


class TroubleOfServe(ApplianceTest):
    """Contract C7: ingest does not notice. The rate leaves the receive ring (2,048 frames) room for what
    else a small machine does."""

    RATE = 3000

    def check(self, trouble):
        node = self.appliance().start()
        follower = consuming.Follower(os.path.join(node.work, "follower"), "events", patient=True)
        self.addCleanup(follower.close)
        before, sent_before = node.settled_ledger(), rack.sent_frames()
        with sending.Load(LINES_PORT, rate=self.RATE) as load:
            time.sleep(0.5)
            for _ in range(3):
                trouble(node, load)
                self.assertLess(node.status()["heartbeat_age_ns"], 1_000_000_000)
            load.stop()

        ledger = node.settled_ledger()
        self.assert_balanced(ledger)
        self.assertEqual(missed_frames(ledger), 0, "ingest stalled: the port lost frames")
        self.assertEqual(ledger["frames"]["received"] - before["frames"]["received"],
                         rack.sent_frames() - sent_before)
        self.assertEqual(ledger["records"]["stored"]["sum"], load.sent)
        node.wait_ready()
        self.assertEqual(len(consuming.values("events")), load.sent)
        wait_until("the follower to catch up", lambda: len(follower.entries()) == load.sent)
        self.assertEqual([offset for offset, _ in follower.entries()], list(range(load.sent)))

    def stored_grows(self, node, load, seconds):
        """Durable records grow by what is sent, serve or not."""
        before, sent_before = node.counters()["records_stored"], load.sent
        time.sleep(seconds)
        sent = load.sent - sent_before
        wait_until("what was sent to be durable", lambda: node.counters()["records_stored"] - before >= sent / 2,
                   seconds=5)

    def test_kill_9_of_serve(self):
        def trouble(node, load):
            node.kill("serve")
            self.stored_grows(node, load, 0.5)
            node.start_serve()

        self.check(trouble)

    def test_a_stopped_serve(self):
        def trouble(node, load):
            node.signal("serve", signal.SIGSTOP)
            self.stored_grows(node, load, 1.5)
            node.signal("serve", signal.SIGCONT)

        self.check(trouble)

    def test_serve_stops_in_order_while_ingest_runs(self):
        def trouble(node, load):
            self.assertEqual(node.stop("serve"), 0)
            node.start_serve()

        self.check(trouble)


class Restarts(ApplianceTest):
    def test_serve_may_start_first(self):
        node = self.appliance()
        node.start_serve()
        status, reason = node.http("/readyz")
        self.assertEqual(status, 503)
        self.assertIn("ingest", reason)

        node.start_ingest()
        node.wait_ready()
        sending.send_lines([b"one", b"two"], LINES_PORT)
        node.settled_ledger()

        self.assertEqual(consuming.values("events"), [b"one", b"two"])

    def test_offsets_go_on_after_an_orderly_restart_and_sealed_logs_are_served_in_between(self):
        node = self.appliance().start()
        wanted = []
        for run in range(3):
            lines = [b"run %d line %d" % (run, i) for i in range(500)]
            sending.send_lines(lines, LINES_PORT, rate=5000)
            wanted += lines
            node.settled_ledger()

            self.assertEqual(node.stop("ingest"), 0)
            self.assertEqual(node.status()["state"], "stopped")
            consuming.wait_for_end("events", len(wanted))
            self.assertEqual([value for _, value in consuming.entries("events")], wanted, "while ingest is down")
            node.start_ingest()

        node.wait_ready()
        found = consuming.entries("events")
        self.assertEqual(found, list(enumerate(wanted)))
        ledger = node.ledger()
        self.assert_balanced(ledger)
        self.assertEqual(ledger["records"]["stored"]["sum"], len(wanted), "totals are those of the log's life")
        self.assertEqual(node.status()["restarts_after_crash"], 0)

    def test_sigterm_under_load_makes_everything_that_was_received_durable(self):
        node = self.appliance().start()
        with sending.Load(LINES_PORT, rate=15000):
            wait_until("some load", lambda: node.frames_received() > 5000, seconds=30)
            code = node.stop("ingest")

        self.assertEqual(code, 0)
        ledger = node.ledger()
        self.assert_balanced(ledger)
        self.assertEqual(ledger["records"]["in_flight"], 0)
        self.assertEqual(ledger["records"]["stored"]["sum"], ledger["records"]["in"])
        self.assertGreater(ledger["records"]["in"], 5000)
        self.assertEqual(len(consuming.entries("events")), ledger["records"]["in"])

    def test_the_log_is_all_that_a_restart_needs(self):
        """The runtime directory dies with the machine: offsets and totals come from the disk."""
        node = self.appliance().start()
        sending.send_lines([b"before %d" % i for i in range(300)], LINES_PORT, rate=5000)
        node.settled_ledger()
        self.assertEqual(node.stop("ingest"), 0)
        self.assertEqual(node.stop("serve"), 0)
        for name in os.listdir(node.runtime):
            os.unlink(os.path.join(node.runtime, name))

        node.start()
        sending.send_lines([b"after"], LINES_PORT)
        ledger = node.settled_ledger()

        self.assert_balanced(ledger)
        self.assertEqual(ledger["records"]["stored"]["sum"], 301)
        self.assertEqual(consuming.entries("events")[-1], (300, b"after"))
