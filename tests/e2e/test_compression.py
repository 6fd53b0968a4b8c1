"""Topics with a codec: what clients read is what was sent, and what is stored is smaller."""
import os
import socket
import struct

import consuming
import sending
from appliance import KAFKA, LINES_PORT, ROUTED_PORT
from case import ApplianceTest, SharedApplianceTest
from test_log_tools import contents
from test_send import LISTENERS, SendTest

COUNT = 20000
PLAIN_PORT = 5142
TOPICS = {"fast": LINES_PORT, "small": ROUTED_PORT, "plain": PLAIN_PORT}
READ_BY_KAFKA_PYTHON = ("fast", "plain")  # 2.0.2 asks with Fetch 4, whatever the broker offers
UNSUPPORTED_COMPRESSION_TYPE = 76
CODEC_LZ4, CODEC_ZSTD = 3, 4


def settings(fast="lz4", small="zstd"):
    return {
        "topics": [{"name": "fast", "compression": fast}, {"name": "small", "compression": small}, {"name": "plain"}],
        "listeners": [{"protocol": "lines", "port": port, "topic": topic} for topic, port in TOPICS.items()],
        "storage": {"commit": {"linger": "20ms"}},
    }


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def take(sock, count):
    out = b""
    while len(out) < count:
        got = sock.recv(count - len(out))
        if not got:
            raise AssertionError("closed after %d of %d bytes" % (len(out), count))
        out += got
    return out


def fetch(topic, version, offset=0):
    """(error, records) of partition 0, asked for as Fetch `version` (4 to 11) by hand."""
    request = struct.pack(">hhi", 1, version, 7) + text("by hand")
    request += struct.pack(">iiiib", -1, 500, 1, 8 << 20, 0)
    if version >= 7:
        request += struct.pack(">ii", 0, -1)
    request += struct.pack(">i", 1) + text(topic) + struct.pack(">ii", 1, 0)
    if version >= 9:
        request += struct.pack(">i", -1)
    request += struct.pack(">q", offset)
    if version >= 5:
        request += struct.pack(">q", -1)
    request += struct.pack(">i", 8 << 20)
    if version >= 7:
        request += struct.pack(">i", 0)
    if version >= 11:
        request += text("")
    host, port = KAFKA.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(struct.pack(">i", len(request)) + request)
        answer = take(sock, struct.unpack(">i", take(sock, 4))[0])
    at = 8 + (6 if version >= 7 else 0) + 4  # correlation id, throttle; error, session; topics
    at += 2 + struct.unpack_from(">h", answer, at)[0] + 4
    _, error = struct.unpack_from(">ih", answer, at)
    at += 6 + 16 + (8 if version >= 5 else 0)  # watermark, last stable offset, log start
    at += 4 + (4 if version >= 11 else 0)  # aborted transactions: none; replica
    length = struct.unpack_from(">i", answer, at)[0]
    return error, answer[at + 4:at + 4 + max(length, 0)]


def codecs(records):
    """Of the batches of a Fetch answer, as their attributes say."""
    out = []
    while len(records) >= 61:
        length = 12 + struct.unpack_from(">i", records, 8)[0]
        out.append(struct.unpack_from(">h", records, 21)[0] & 7)
        records = records[length:]
    return out


class Compressed(SharedApplianceTest):
    @classmethod
    def settings(cls):
        return settings()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lines = sending.realistic_lines(COUNT)
        for port in TOPICS.values():
            sending.send_lines(cls.lines, port, rate=40000, node=cls.node)
            cls.node.settled_ledger()

    def test_kcat_reads_what_was_sent(self):
        for topic in TOPICS:
            self.assertEqual(consuming.values(topic), self.lines, topic)

    def test_kafka_python_reads_what_was_sent(self):
        for topic in READ_BY_KAFKA_PYTHON:
            one = consuming.consumer()
            try:
                one.assign([consuming.kafka.TopicPartition(topic, 0)])
                found = [next(one) for _ in self.lines]
            finally:
                one.close()
            self.assertEqual([record.value for record in found], self.lines, topic)
            self.assertEqual([record.offset for record in found], list(range(COUNT)), topic)

    def test_offsets_by_time_look_inside(self):
        for topic in READ_BY_KAFKA_PYTHON:
            partition = consuming.kafka.TopicPartition(topic, 0)
            one = consuming.consumer()
            try:
                one.assign([partition])
                one.seek(partition, COUNT // 2)
                middle = next(one)
                found = one.offsets_for_times({partition: middle.timestamp})[partition]
                self.assertEqual(found.timestamp, middle.timestamp)
                self.assertLessEqual(found.offset, middle.offset)
            finally:
                one.close()

    def test_kafka_python_asks_with_a_fetch_that_is_too_old_for_zstd(self):
        one = consuming.consumer()
        try:
            one.assign([consuming.kafka.TopicPartition("small", 0)])
            self.assertEqual(list(one), [])
        finally:
            one.close()

    def test_kcat_finds_offsets_by_time_inside_zstd(self):
        text = consuming.kcat("-C", "-t", "small", "-o", "%d" % (COUNT // 2), "-c", "1", "-q", "-f", "%T\n")
        middle = int(text)
        text = consuming.kcat("-C", "-t", "small", "-o", "s@%d" % middle, "-c", "1", "-q", "-f", "%o %T\n")
        offset, timestamp = map(int, text.split())
        self.assertEqual(timestamp, middle)
        self.assertLessEqual(offset, COUNT // 2)

    def test_batches_say_their_codec(self):
        for topic, codec in (("fast", CODEC_LZ4), ("small", CODEC_ZSTD)):
            error, records = fetch(topic, 10)
            self.assertEqual(error, 0)
            self.assertIn(codec, codecs(records), topic)
            self.assertLessEqual(set(codecs(records)), {0, codec}, topic)
        self.assertEqual(set(codecs(fetch("plain", 10)[1])), {0})

    def test_zstd_is_refused_to_a_fetch_that_is_too_old_for_it(self):
        newest = fetch("small", 10)
        first = next(i for i, codec in enumerate(codecs(newest[1])) if codec == CODEC_ZSTD)
        self.assertEqual(first, 0, "the first batch is compressed")
        for version in range(4, 10):
            self.assertEqual(fetch("small", version), (UNSUPPORTED_COMPRESSION_TYPE, b""), version)
            self.assertEqual(fetch("fast", version), fetch("fast", 10), version)
        self.assertEqual(fetch("small", 11)[0], 0)

    def test_it_is_counted_and_stored_in_less(self):
        counters = self.node.counters()
        self.assertGreater(counters["batches_compressed"], 0)
        self.assertLess(counters["compression_out_bytes"], counters["compression_in_bytes"] / 2)
        self.assertGreater(counters["compression_cycles"], 0)
        page = self.node.http("/metrics")[1]
        self.assertIn("penstock_batches_compressed_total", page)

    def test_verify_and_export_look_inside(self):
        verified = self.node.tool("log", "verify", "-c", self.node.config)
        self.assertEqual(verified.returncode, 0, verified.stdout)
        self.assertNotIn("padding", verified.stdout)
        for topic in TOPICS:
            out = self.node.tool("log", "export", "-c", self.node.config, "--topic", topic)
            self.assertEqual(out.returncode, 0, out.stderr)
            self.assertEqual([contents(line)[1] for line in out.stdout.splitlines()], self.lines, topic)


class Budget(ApplianceTest):
    def test_without_time_everything_is_stored_plain_and_counted(self):
        node = self.appliance(**settings())
        node.settings["workers"]["compression_share"] = 0
        node.write_config()
        node.start()
        lines = sending.realistic_lines(2000)
        sending.send_lines(lines, LINES_PORT, rate=20000, node=node)
        node.settled_ledger()
        self.assertEqual(consuming.values("fast"), lines)
        counters = node.counters()
        self.assertEqual(counters.get("batches_compressed", 0), 0)
        self.assertGreater(counters["batches_plain_no_time"], 0)
        self.assertEqual(set(codecs(fetch("fast", 10)[1])), {0})

    def test_another_codec_is_for_new_batches_only(self):
        node = self.appliance(**settings(fast="none")).start()
        lines = sending.realistic_lines(4000)
        for codec, part in ((None, lines[:2000]), ("zstd", lines[2000:3000]), ("lz4", lines[3000:])):
            if codec is not None:
                self.assertEqual(node.stop("ingest"), 0)
                self.assertEqual(node.stop("serve"), 0)
                node.settings["topics"][0]["compression"] = codec
                node.write_config()
                node.start()
            sending.send_lines(part, LINES_PORT, rate=20000, node=node)
            node.settled_ledger()
        self.assertEqual(consuming.values("fast"), lines)
        found = codecs(fetch("fast", 10)[1])
        self.assertEqual(found[0], 0)
        self.assertEqual(found, sorted(found, key=[0, CODEC_ZSTD, CODEC_LZ4].index))
        self.assertEqual(set(found), {0, CODEC_ZSTD, CODEC_LZ4})


class Receipts(SendTest):
    def test_the_audit_unpacks_what_receipts_prove(self):
        node = self.node(listeners=LISTENERS, topics=[{"name": "events", "compression": "zstd"}])
        lines = sending.realistic_lines(5000)
        receipts = os.path.join(node.work, "receipts")
        self.send(self.file(node, b"\n".join(lines) + b"\n"), "--topic", "events", "--receipts", receipts)
        node.settled_ledger()

        self.assertGreater(node.counters()["batches_compressed"], 0)
        self.assertEqual([value for _, value in consuming.entries("events")], lines)
        audited = self.audit(node, receipts)
        self.assertEqual(audited["findings"], [])
        verified = node.tool("log", "verify", "-c", node.config, "--lanes")
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
