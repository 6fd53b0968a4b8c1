"""consuming.py - kcat (librdkafka) and kafka-python, told what to read."""
import subprocess

import kafka

from appliance import KAFKA

KCAT = ["kcat", "-b", KAFKA, "-X", "check.crcs=true", "-X", "broker.address.family=v4"]


def kcat(*words, seconds=60):
    answer = subprocess.run([*KCAT, *words], capture_output=True, timeout=seconds)
    if answer.returncode != 0:
        raise AssertionError("kcat %s: exit %d: %s" % (" ".join(words), answer.returncode,
                                                      answer.stderr.decode(errors="replace")[-500:]))
    return answer.stdout


def values(topic, partition=None, offset="beginning"):
    """All values of a topic (or one partition) from `offset` to its end; they hold no newline."""
    which = [] if partition is None else ["-p", str(partition)]
    return kcat("-C", "-t", topic, *which, "-o", str(offset), "-e", "-q").split(b"\n")[:-1]


def entries(topic, partition=0, offset="beginning"):
    """[(offset, value)] of one partition to its end."""
    text = kcat("-C", "-t", topic, "-p", str(partition), "-o", str(offset), "-e", "-q", "-f", "%o %s\n")
    out = []
    for line in text.split(b"\n")[:-1]:
        number, _, value = line.partition(b" ")
        out.append((int(number), value))
    return out


class Follower:
    """A kcat that waits at the end of a partition, printing to a file, until closed. `patient`: it
    stays when all brokers are away, as any library does; kcat alone would end."""

    def __init__(self, path, topic, partition=0, offset="beginning", patient=False):
        self.path = path
        patience = ["-E", "-X", "reconnect.backoff.max.ms=500"] if patient else []
        with open(path, "wb") as out, open(path + ".err", "wb") as errors:
            self.process = subprocess.Popen(
                [*KCAT, *patience, "-C", "-u", "-t", topic, "-p", str(partition), "-o", str(offset), "-q", "-f", "%o %s\n"],
                stdout=out, stderr=errors, stdin=subprocess.DEVNULL)

    def entries(self):
        with open(self.path, "rb") as file:
            lines = file.read().split(b"\n")[:-1]
        return [(int(number), value) for number, _, value in (line.partition(b" ") for line in lines)]

    def is_waiting(self):
        return self.process.poll() is None

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


def consumer(**options):
    """A kafka-python consumer without a group."""
    return kafka.KafkaConsumer(bootstrap_servers=KAFKA, group_id=None, enable_auto_commit=False,
                               auto_offset_reset="earliest", consumer_timeout_ms=5000, **options)


def watermarks(topic, partition=0):
    """(log start, high watermark)"""
    with_partition = kafka.TopicPartition(topic, partition)
    one = consumer()
    try:
        return one.beginning_offsets([with_partition])[with_partition], one.end_offsets([with_partition])[with_partition]
    finally:
        one.close()


def wait_for_end(topic, count, partition=0, seconds=20):
    from appliance import wait_until
    wait_until("offset %d of %s/%d" % (count, topic, partition),
               lambda: watermarks(topic, partition)[1] >= count, seconds=seconds, pause=0.2)
