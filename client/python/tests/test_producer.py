"""Producer and its command on real sockets of the loopback, against the mini appliance in another process."""

import context  # noqa: F401

import json
import pathlib
import subprocess
import sys
import threading
import unittest

from penstock_producer import Fate, LaneFailed, Producer, ProducerError, QueueFull, RecordRefused
from penstock_producer.producer import split_address

HERE = pathlib.Path(__file__).resolve().parent
WAIT = 15.0


class Appliance:
    """The mini appliance in a process of its own; `report` is what it saw, after the with block."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.report: dict = {}

    def __enter__(self) -> "Appliance":
        command = [sys.executable, str(HERE / "udp_appliance.py"), *self._arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = ("127.0.0.1", int(self._process.stdout.readline()))
        return self

    def __exit__(self, *_: object) -> None:
        out, _ = self._process.communicate(timeout=WAIT)
        self.report = json.loads(out)

    def values(self) -> list[list[bytes]]:
        return [[bytes.fromhex(value) for value in lane] for lane in self.report["values"]]


class Sending(unittest.TestCase):
    def test_every_record_is_stored_once_and_keys_keep_their_order(self):
        with Appliance("--workers") as appliance:
            with Producer(appliance.address, lanes=4) as producer:
                deliveries = [producer.send(b"%d %d" % (i % 7, i), key=b"%d" % (i % 7)) for i in range(3000)]
                self.assertTrue(producer.flush(WAIT))
                fates = {delivery.result(0) for delivery in deliveries}

        stored = [value for lane in appliance.values() for value in lane]
        self.assertEqual(appliance.report["violations"], [])
        self.assertEqual(fates, {Fate.STORED})
        self.assertEqual(len(stored), 3000)
        for key in range(7):
            numbers = [int(value.split()[1]) for value in stored if value.split()[0] == b"%d" % key]
            self.assertEqual(numbers, list(range(key, 3000, 7)))

    def test_a_delivery_tells_the_fate_and_calls_back_once(self):
        called = []
        with Appliance() as appliance:
            with Producer(appliance.address, lanes=1) as producer:
                stored = producer.send(b"x" * 5000, on_delivery=called.append)
                dropped = producer.send(b"drop this", headers=[("name", b"value")], timestamp_ms=1, topic="t")
                refused = producer.send(b"refuse this", on_delivery=called.append)

                self.assertEqual(stored.result(WAIT), Fate.STORED)
                self.assertEqual(dropped.result(WAIT), Fate.DROPPED)
                with self.assertRaises(RecordRefused):
                    refused.result(WAIT)
            statistics = producer.statistics()

        self.assertEqual(called, [stored, refused])
        self.assertEqual([stored.sequence, dropped.sequence, refused.sequence], [1, 2, 3])
        self.assertEqual((statistics.stored, statistics.dropped, statistics.refused), (1, 1, 1))
        self.assertEqual((statistics.pending_records, statistics.pending_bytes), (0, 0))

    def test_many_threads_may_send(self):
        with Appliance() as appliance:
            with Producer(appliance.address) as producer:
                threads = [
                    threading.Thread(target=lambda: [producer.send(b"v") for _ in range(500)]) for _ in range(4)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                self.assertTrue(producer.flush(WAIT))
                self.assertEqual(producer.statistics().stored, 2000)

    def test_a_second_process_with_the_same_id_goes_on(self):
        with Appliance() as appliance:
            for part in (b"first", b"second"):
                with Producer(appliance.address, producer_id=b"p" * 16, lanes=1) as producer:
                    producer.send(part)

        self.assertEqual(appliance.values(), [[b"first", b"second"]])


class Defects(unittest.TestCase):
    def test_a_callback_that_raises_ends_the_producer_and_leaves_nobody_waiting(self):
        def defect(_delivery):
            raise RuntimeError("of the application")

        quiet, threading.excepthook = threading.excepthook, lambda _: None
        self.addCleanup(setattr, threading, "excepthook", quiet)
        with Appliance() as appliance:
            producer = Producer(appliance.address, lanes=1)
            deliveries = [producer.send(b"v", on_delivery=defect) for _ in range(50)]
            self.assertTrue(producer.close(WAIT))
            self.assertTrue(all(delivery.done() for delivery in deliveries))


class NobodyAnswers(unittest.TestCase):
    def test_the_queue_is_bounded_and_close_fails_what_is_pending(self):
        producer = Producer(("127.0.0.1", 9), queue_bytes=5000)
        deliveries = []
        with self.assertRaises(QueueFull):
            for _ in range(100):
                deliveries.append(producer.send(bytes(1000)))

        self.assertEqual(len(deliveries), 4)
        self.assertFalse(producer.flush(0.05))
        with self.assertRaises(TimeoutError):
            deliveries[0].result(0.01)
        self.assertFalse(producer.close(0.05))
        for delivery in deliveries:
            with self.assertRaises(LaneFailed):
                delivery.result(WAIT)
        with self.assertRaises(ProducerError):
            producer.send(b"late")


class Arguments(unittest.TestCase):
    def test_addresses(self):
        self.assertEqual(split_address("host:1"), ("host", 1))
        self.assertEqual(split_address("host"), ("host", 4650))
        self.assertEqual(split_address("[::1]:2"), ("::1", 2))
        self.assertEqual(split_address("[::1]"), ("::1", 4650))

    def test_wrong_ones_are_refused(self):
        for wrong in ({"producer_id": bytes(16)}, {"producer_id": b"short"}, {"lanes": 0}, {"datagram_bytes": 1199}):
            with self.subTest(wrong=wrong), self.assertRaises(ValueError):
                Producer(("127.0.0.1", 9), **wrong)


class Command(unittest.TestCase):
    def run_command(self, lines: bytes, *arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "penstock_producer", *arguments]
        return subprocess.run(command, input=lines, capture_output=True, timeout=WAIT, cwd=HERE.parent, check=False)

    def test_lines_are_stored_in_order_and_the_exit_is_0(self):
        with Appliance() as appliance:
            run = self.run_command(b"one\ntwo\n\nthree", "127.0.0.1:%d" % appliance.address[1], "--statistics")

        self.assertEqual((run.returncode, run.stderr), (0, b""))
        self.assertEqual(json.loads(run.stdout)["stored"], 4)
        self.assertEqual(appliance.values(), [[b"one", b"two", b"", b"three"]])

    def test_a_refused_line_makes_the_exit_1(self):
        with Appliance() as appliance:
            run = self.run_command(b"one\nrefuse\n", "127.0.0.1:%d" % appliance.address[1])

        self.assertEqual(run.returncode, 1)
        self.assertIn(b"NOT_ALLOWED", run.stderr)

    def test_an_appliance_that_is_not_there_makes_the_exit_1(self):
        run = self.run_command(b"one\n", "127.0.0.1:9", "--timeout", "0.2")

        self.assertEqual(run.returncode, 1)
        self.assertIn(b"not all is durable in time", run.stderr)

    def test_a_wrong_command_line_makes_the_exit_64(self):
        self.assertEqual(self.run_command(b"").returncode, 64)
        self.assertEqual(self.run_command(b"", "h:1", "--producer-id", "00").returncode, 64)


if __name__ == "__main__":
    unittest.main()
