"""penstock send against a real node: every byte arrives, once, whatever is killed on the way."""
import json
import os
import random
import signal
import struct
import subprocess
import time

import consuming
import kafka

import rack
from appliance import BUILD, wait_until
from case import ApplianceTest

PORT = 4650
LISTENERS = [{"protocol": "native", "port": PORT, "topic": "events"}]
ADDRESS = "%s:%d" % (rack.APPLIANCE, PORT)
PENSTOCK = os.path.join(BUILD, "penstock")


class SendTest(ApplianceTest):
    def node(self, **settings):
        settings.setdefault("listeners", LISTENERS)
        return self.appliance(**settings).start()

    def file(self, node, data, name="input"):
        path = os.path.join(node.work, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def begin(self, *words, to=ADDRESS, **options):
        process = subprocess.Popen(rack.command("producer", PENSTOCK, "send", *words, "--to", to, "--json"),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def send(self, *words, code=0, data=None, seconds=90, **options):
        process = self.begin(*words, stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL, **options)
        out, errors = process.communicate(data, timeout=seconds)
        self.assertEqual(process.returncode, code, (out[-2000:], errors[-2000:]))
        self.errors = errors.decode(errors="replace")
        return json.loads(out) if out else None

    def audit(self, node, ledger, code=0):
        answer = node.tool("audit", ledger, "-c", node.config, "--json")
        self.assertEqual(answer.returncode, code, (answer.stdout[-3000:], answer.stderr))
        return json.loads(answer.stdout)

    def records(self, count, topic="events", partitions=1):
        """(key, value) of `count` records, in order in each partition; more are waited for, and would be found."""
        consumer = consuming.consumer()
        try:
            where = [kafka.TopicPartition(topic, i) for i in range(partitions)]
            consumer.assign(where)
            wait_until("%d records" % count, lambda: sum(consumer.end_offsets(where).values()) >= count)
            ends = consumer.end_offsets(where)
            consumer.seek_to_beginning(*where)
            out = []
            while any(consumer.position(one) < ends[one] for one in where):
                for batch in consumer.poll(timeout_ms=1000).values():
                    out += [(record.key, record.value) for record in batch]
            return out
        finally:
            consumer.close()


class Formats(SendTest):
    def test_lines_arrive_byte_for_byte_and_in_order(self):
        node = self.node()
        dice = random.Random(7)
        lines = [bytes(dice.choices([b for b in range(256) if b != 10], k=dice.randrange(0, 300))) for _ in range(3000)]
        report = self.send(self.file(node, b"\n".join(lines) + b"\r\nlast\r"))
        self.assertEqual(report["durable"], 3001)
        lines[-1] += b"\r"
        self.assertEqual([value for _, value in self.records(3001)], lines + [b"last\r"])
        self.assert_balanced(node.settled_ledger())

    def test_standard_input_and_several_files_with_a_topic(self):
        node = self.node()
        one, two = self.file(node, b"a\nb", "one"), self.file(node, b"c\n\nd\n", "two")
        self.send(one, "-", two, "--topic", "alerts", data=b"from stdin\n")
        self.assertEqual([value for _, value in self.records(6, "alerts")], [b"a", b"b", b"from stdin", b"c", b"", b"d"])

    def test_keys_of_lines_stay_in_order(self):
        node = self.node(workers=2)
        pairs = [(b"key%d" % (i % 50), b"value %d" % i) for i in range(5000)]
        self.send(self.file(node, b"".join(b"%s::%s\n" % pair for pair in pairs)), "--key-delimiter", "::", "--lanes", "16")
        found = self.records(5000, partitions=2)
        for key in {key for key, _ in pairs}:
            self.assertEqual([pair for pair in found if pair[0] == key], [pair for pair in pairs if pair[0] == key])

    def test_ndjson_with_a_key_field(self):
        node = self.node()
        lines = [b'{"id": "x%d", "n": %d}' % (i, i) for i in range(100)] + [b'{"id":7}', b'{"n":1}', b'[1]', b"  "]
        report = self.send(self.file(node, b"\n".join(lines)), "--format", "ndjson", "--key-field", "id")
        self.assertEqual(report["durable"], 103)
        self.assertEqual(self.records(103), [(b"x%d" % i, lines[i]) for i in range(100)] +
                         [(b"7", lines[100]), (None, lines[101]), (None, lines[102])])

    def test_a_bad_line_of_ndjson_is_named_and_can_be_skipped(self):
        node = self.node()
        path = self.file(node, b'{"a":1}\n{"a":\n{"a":3}\n')
        self.send(path, "--format", "ndjson", code=65)
        self.assertIn("input:2:", self.errors)
        self.assertEqual(self.send(path, "--format", "ndjson", "--skip-bad")["skipped"], 1)
        self.assertEqual([value for _, value in self.records(3)], [b'{"a":1}', b'{"a":1}', b'{"a":3}'])

    def test_length_prefixed_with_large_records(self):
        node = self.node(storage={"commit": {"bytes": "1MiB"}, "segment": "32MiB", "ring": "32MiB"})
        values = [b"", b"\n", os.urandom(300_000), os.urandom(1471), b"x" * 5000]
        data = b"".join(struct.pack(">I", len(value)) + value for value in values)
        self.send(self.file(node, data), "--format", "length-prefixed")
        self.assertEqual([value for _, value in self.records(5)], values)
        self.send(self.file(node, data[:-1], "cut"), "--format", "length-prefixed", code=65)
        self.send(self.file(node, b"\xff\xff\xff\xff", "hostile"), "--format", "length-prefixed", code=65)
        self.assertIn("hostile:1: a length of more than 4 MiB", self.errors)


class Endings(SendTest):
    def test_rules_and_refusals_decide_the_exit_code(self):
        node = self.node(rules={"rules": [{"name": "noise", "when": "^noise", "do": "drop"}]})
        report = self.send(self.file(node, b"noise\nsignal\n"))
        self.assertEqual((report["durable"], report["dropped"]), (1, 1))
        report = self.send(self.file(node, b"one\n"), "--topic", "nowhere", code=1)
        self.assertEqual(report["refused"], 1)
        self.assertIn("no such topic", self.errors)

    def test_nobody_answers(self):
        node = self.node()
        path = self.file(node, b"one\n")
        began = time.monotonic()
        report = self.send(path, "--timeout", "2s", to=rack.APPLIANCE + ":4651", code=69)
        self.assertEqual(report["undelivered"], 1)
        self.assertLess(time.monotonic() - began, 10)
        self.send(path + ".absent", code=66)
        self.send(path, "--lanes", "0", code=64)

    def test_an_interrupt_flushes_what_is_under_way(self):
        node = self.node()
        process = self.begin(self.file(node, b"".join(b"%d\n" % i for i in range(100000))), "--rate", "2000")
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        report = json.loads(out)
        self.assertEqual((process.returncode, report["exit_code"]), (130, 130))
        self.assertGreater(report["durable"], 500)
        self.assertEqual(report["durable"], report["records"])
        self.assertEqual([value for _, value in self.records(report["durable"])],
                         [b"%d" % i for i in range(report["durable"])])

    def test_the_rate_holds(self):
        node = self.node()
        report = self.send(self.file(node, b"x\n" * 3000), "--rate", "1500")
        self.assertGreater(report["seconds"], 1.8)
        self.assertLess(report["seconds"], 4)


class Receipts(SendTest):
    def sent(self, node, count=20000, lanes=16):
        """`count` numbered records sent with receipts; the ledger."""
        self.lines = [b"%d %s" % (i, b"." * 200) for i in range(count)]
        ledger = os.path.join(node.work, "receipts")
        self.send(self.file(node, b"\n".join(self.lines)), "--lanes", str(lanes), "--receipts", ledger)
        return ledger

    def test_all_is_there_while_the_node_runs_and_when_it_is_down(self):
        node = self.node(workers=2, storage={"segment": "8MiB"},
                         rules={"rules": [{"name": "sevens", "when": "^\\d*7 ", "do": "drop"}]})
        ledger = self.sent(node)
        running = self.audit(node, ledger)
        self.assertEqual((running["acknowledged"], running["present"], running["proven"]), (20000, 20000, 20000))
        self.assertEqual(node.stop("ingest"), 0)
        self.assertEqual(self.audit(node, ledger)["present"], 20000)

    def test_a_segment_that_is_gone_is_a_hole_and_named(self):
        node = self.node(storage={"segment": "8MiB"})
        ledger = self.sent(node, count=90000)
        self.assertEqual(node.stop("ingest"), 0)
        os.unlink(node.segments()[1])
        report = self.audit(node, ledger, code=1)
        missing = [one for one in report["findings"] if one["kind"] == "missing"]
        self.assertEqual(len({one["lane"] for one in missing}), 16)
        self.assertEqual(sum(one["last"] - one["first"] + 1 for one in missing),
                         report["acknowledged"] - report["present"])

    def test_a_flipped_byte_is_a_hole_and_a_broken_ledger_is_told(self):
        node = self.node(storage={"segment": "8MiB"})
        ledger = self.sent(node)
        self.assertEqual(node.stop("ingest"), 0)
        path = node.segments()[0]
        with open(path, "r+b") as file:
            at = file.read().index(self.lines[5000]) + 50
            file.seek(at)
            file.write(b"!")
        kinds = {one["kind"] for one in self.audit(node, ledger, code=1)["findings"]}
        self.assertLessEqual({"unreadable", "place"}, kinds)
        with open(ledger, "r+b") as file:
            file.seek(80)
            file.write(b"rot!")
        answer = node.tool("audit", ledger, "-c", node.config)
        self.assertEqual(answer.returncode, 65, answer.stderr)


class Resuming(SendTest):
    def resume(self, path, work, *words):
        return [path, "--lanes", "12", "--state", os.path.join(work, "state"), "--resume",
                "--receipts", os.path.join(work, "receipts"), *words]

    def test_kill_9_of_the_sender_neither_repeats_nor_loses(self):
        node = self.node(workers=2, storage={"segment": "8MiB"})
        lines = [b"line %d" % i for i in range(60000)]
        words = self.resume(self.file(node, b"\n".join(lines)), node.work, "--rate", "20000")
        dice = random.Random(11)
        for _ in range(5):
            process = self.begin(*words)
            time.sleep(0.2 + 0.5 * dice.random())
            process.kill()
            process.wait()
        report = self.send(*words)
        self.assertGreater(report["durable_before"], 1000)
        self.assertEqual(report["durable_before"] + report["durable"], 60000)
        self.assertEqual(sorted(value for _, value in self.records(60000, partitions=2)), sorted(lines))
        audited = self.audit(node, os.path.join(node.work, "receipts"))
        self.assertEqual(audited["present"] + audited["without_receipt"], 60000)
        again = self.send(*words)
        self.assertEqual((again["durable_before"], again["durable"]), (60000, 0))

    def test_kill_9_of_both_neither_repeats_nor_loses(self):
        node = self.node(workers=2, storage={"segment": "8MiB"})
        lines = [b"line %d" % i for i in range(60000)]
        words = self.resume(self.file(node, b"\n".join(lines)), node.work, "--rate", "20000")
        dice = random.Random(12)
        for _ in range(4):
            process = self.begin(*words)
            time.sleep(0.2 + 0.3 * dice.random())
            process.kill()
            node.kill("ingest")
            process.wait()
            node.start_ingest()
        self.send(*words)
        self.assertEqual(sorted(value for _, value in self.records(60000, partitions=2)), sorted(lines))
        self.audit(node, os.path.join(node.work, "receipts"))

    def test_another_input_is_refused_and_a_pipe_has_no_state(self):
        node = self.node()
        words = self.resume(self.file(node, b"one\n"), node.work)
        self.send(*words)
        self.send(*self.resume(self.file(node, b"one\n", "other"), node.work), code=64)
        self.assertIn("was begun with other inputs", self.errors)
        self.send(*words, "--key-delimiter", "x", code=64)
        self.assertIn("was begun with other key_delimiter", self.errors)
        self.send(*[word for word in words if word != "--resume"], code=64)
        self.assertIn("--resume goes on with it", self.errors)
        self.send("--state", os.path.join(node.work, "pipe"), data=b"x", code=64)
        self.assertIn("cannot be read again", self.errors)

    def test_a_log_that_is_gone_is_told(self):
        node = self.node()
        words = self.resume(self.file(node, b"one\ntwo\n"), node.work)
        self.send(*words)
        self.assertEqual(node.stop("ingest"), 0)
        for path in node.segments():
            os.unlink(path)
        for name in os.listdir(node.runtime):
            os.unlink(os.path.join(node.runtime, name))
        node.start_ingest()
        self.send(*words, code=1)
        self.assertIn("the appliance's memory of producer", self.errors)
