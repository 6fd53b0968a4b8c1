"""What consumers may ask: metadata, offsets by time, the middle of a log, many at once."""
import json
import subprocess
import time

import consuming
import sending
from appliance import KAFKA, LINES_PORT
from case import SharedApplianceTest

COUNT = 3000


class Consumers(SharedApplianceTest):
    @classmethod
    def settings(cls):
        return {"workers": 2}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lines = [b"first half %d" % i for i in range(COUNT)] + [b"second half %d" % i for i in range(COUNT)]
        sending.send_lines(cls.lines[:COUNT], LINES_PORT, rate=20000, sockets=16, node=cls.node)
        cls.node.settled_ledger()
        time.sleep(0.05)
        cls.between_ms = int(time.time() * 1000)
        time.sleep(0.05)
        sending.send_lines(cls.lines[COUNT:], LINES_PORT, rate=20000, sockets=16, node=cls.node)
        cls.node.settled_ledger()

    def test_both_partitions_hold_records(self):
        self.assertEqual(sorted(consuming.values("events")), sorted(self.lines))
        for partition in range(2):
            self.assertGreater(len(consuming.entries("events", partition)), 0, "RSS gave one worker nothing")

    def test_metadata_names_topics_partitions_and_broker(self):
        told = json.loads(consuming.kcat("-L", "-J"))

        self.assertEqual([broker["name"] for broker in told["brokers"]], [KAFKA])
        topics = {topic["topic"]: topic for topic in told["topics"]}
        self.assertEqual(set(topics), {"events", "alerts", "syslog"})
        self.assertEqual(len(topics["events"]["partitions"]), 2)

    def test_offsets_by_time_agree_with_the_records(self):
        one = consuming.consumer()
        try:
            for number in range(2):
                partition = consuming.kafka.TopicPartition("events", number)
                one.assign([partition])
                found = one.offsets_for_times({partition: self.between_ms})[partition]
                one.seek_to_beginning(partition)
                records = self.read(one, one.end_offsets([partition])[partition])
                later = [record for record in records if record.timestamp >= self.between_ms]
                self.assertEqual((found.offset, found.timestamp), (later[0].offset, later[0].timestamp))
                self.assertTrue(all(record.value.startswith(b"second") for record in later))
                self.assertEqual(len(later), sum(record.value.startswith(b"second") for record in records))
        finally:
            one.close()

    def read(self, one, end):
        out = []
        while not out or out[-1].offset < end - 1:
            out.append(next(one))
        return out

    def test_kcat_starts_at_a_time(self):
        found = consuming.kcat("-C", "-t", "events", "-o", "s@%d" % self.between_ms, "-e", "-q").split(b"\n")[:-1]

        self.assertEqual(sorted(found), sorted(self.lines[COUNT:]))

    def test_kcat_asks_for_an_offset_by_time(self):
        text = consuming.kcat("-Q", "-t", "events:0:%d" % self.between_ms).decode()

        offset = int(text.strip().rsplit(" ", 1)[1])
        self.assertTrue(consuming.entries("events", 0, offset)[0][1].startswith(b"second"))
        self.assertTrue(consuming.entries("events", 0, offset - 1)[0][1].startswith(b"first"))

    def test_a_time_in_the_future_has_no_offset(self):
        partition = consuming.kafka.TopicPartition("events", 0)
        one = consuming.consumer()
        try:
            self.assertIsNone(one.offsets_for_times({partition: int(time.time() * 1000) + 10**9})[partition])
        finally:
            one.close()

    def test_reading_from_the_middle_gives_exactly_the_rest(self):
        whole = consuming.entries("events", 0)
        for middle in (1, len(whole) // 2, len(whole) - 1):
            self.assertEqual(consuming.entries("events", 0, middle), whole[middle:])

    def test_an_offset_beyond_the_end_is_reset(self):
        text = consuming.kcat("-C", "-t", "events", "-p", "0", "-o", "99999999", "-e", "-q",
                              "-X", "topic.auto.offset.reset=earliest", "-f", "%o\n")

        self.assertEqual(text.split(b"\n")[0], b"0")

    def test_one_consumer_reads_both_partitions(self):
        one = consuming.consumer()
        try:
            one.assign([consuming.kafka.TopicPartition("events", 0), consuming.kafka.TopicPartition("events", 1)])
            found = [next(one).value for _ in self.lines]
        finally:
            one.close()
        self.assertEqual(sorted(found), sorted(self.lines))

    def test_subscribe_without_a_group(self):
        one = consuming.consumer()
        try:
            one.subscribe(["events"])
            self.assertEqual(sorted(next(one).value for _ in self.lines), sorted(self.lines))
        finally:
            one.close()

    def test_small_fetches_get_through(self):
        """fetch.max.bytes below a batch: Kafka still sends the first batch whole."""
        text = consuming.kcat("-C", "-t", "events", "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%o\n",
                              "-X", "fetch.message.max.bytes=1000", "-X", "fetch.max.bytes=1000",
                              "-X", "message.max.bytes=1000")

        offsets = [int(line) for line in text.split()]
        self.assertEqual(offsets, list(range(len(consuming.entries("events", 0)))))

    def test_sixteen_consumers_at_once_all_get_everything(self):
        words = [*consuming.KCAT, "-C", "-t", "events", "-o", "beginning", "-e", "-q"]
        running = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(16)]
        wanted = sorted(self.lines)
        for process in running:
            out, _ = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0)
            self.assertEqual(sorted(out.split(b"\n")[:-1]), wanted)
