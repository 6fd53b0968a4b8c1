"""served.py - a topic as one consumer sees it from the first record to the last, checked as it comes."""
import hashlib
import os
import subprocess

import consuming  # tests/e2e: whoever uses this has it on its path

FORMAT = "%p %o %s\n"
RUN_RECORDS = 32  # tools/sender.h: so many in a row go to a lane


class Topic:
    """A kcat follows it, through every death of the appliance. A subclass judges the values."""

    def __init__(self, folder, name):
        self.name, self.path = name, os.path.join(folder, "served-" + name)
        with open(self.path, "wb") as out, open(self.path + ".err", "wb") as errors:
            self.process = subprocess.Popen(
                [*consuming.KCAT, "-E", "-X", "reconnect.backoff.max.ms=500", "-X", "topic.metadata.refresh.interval.ms=1000",
                 "-C", "-u", "-t", name, "-o", "beginning", "-q", "-f", FORMAT],
                stdout=out, stderr=errors, stdin=subprocess.DEVNULL)
        self.file = open(self.path, "rb")
        self.rest = b""
        self.next_offset = {}  # by partition
        self.hashes = {}
        self.count = 0

    def advance(self):
        """Judges what was served since the last call."""
        if self.process.poll() is not None:
            raise AssertionError("the consumer of %s ended by itself" % self.name)
        while True:
            block = self.file.read(1 << 20)
            if not block:
                return
            lines = (self.rest + block).split(b"\n")
            self.rest = lines.pop()
            for line in lines:
                self._take(line)

    def _take(self, line):
        partition, offset, value = line.split(b" ", 2)
        wanted = self.next_offset.get(partition, 0)
        if int(offset) != wanted:
            raise AssertionError("%s, partition %s: offset %s was served behind %d" % (
                self.name, partition.decode(), offset.decode(), wanted - 1))
        self.next_offset[partition] = wanted + 1
        self.hashes.setdefault(partition, hashlib.blake2b()).update(b"%s %s\n" % (offset, value))
        self.count += 1
        self.judge(partition, value)

    def check_read_again(self):
        """Offset by offset, byte by byte, the log holds what was served, and no more."""
        for partition, digest in self.hashes.items():
            again = hashlib.blake2b()
            process = subprocess.Popen([*consuming.KCAT, "-C", "-t", self.name, "-p", partition.decode(), "-o", "beginning",
                                        "-e", "-q", "-f", "%o %s\n"], stdout=subprocess.PIPE)
            for block in iter(lambda: process.stdout.read(1 << 20), b""):
                again.update(block)
            if process.wait() != 0:
                raise AssertionError("kcat could not read %s again" % self.name)
            if again.digest() != digest.digest():
                raise AssertionError("%s, partition %s: what was served is not what the log holds" % (
                    self.name, partition.decode()))

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.file.close()


class NativeTopic(Topic):
    """Records of `penstock send`: each lane in one partition, every record once, in order, none left out."""

    def __init__(self, folder, name, lanes):
        super().__init__(folder, name)
        self.lanes = lanes
        self.homes, self.taken = {}, [0] * lanes

    @staticmethod
    def value_of(number):
        return b"%d %s" % (number, b"." * (20 + number % 100))

    def number_at(self, lane, place):
        """The record that lies `place` records into the lane."""
        return (place // RUN_RECORDS * self.lanes + lane) * RUN_RECORDS + place % RUN_RECORDS

    def judge(self, partition, value):
        number = int(value.split(b" ", 1)[0])
        lane = number // RUN_RECORDS % self.lanes
        if value != self.value_of(number):
            raise AssertionError("record %d was served as %r" % (number, value[:200]))
        if self.homes.setdefault(lane, partition) != partition:
            raise AssertionError("lane %d has two homes" % lane)
        wanted = self.number_at(lane, self.taken[lane])
        if number != wanted:
            raise AssertionError("lane %d: record %d was served where %d is due (%s)" % (
                lane, number, wanted, "again" if number < wanted else "one is missing"))
        self.taken[lane] += 1

    def behind(self, acknowledged):
        """Lanes of which less was served than was acknowledged: (lane, served, acknowledged)."""
        return [(lane, self.taken[lane], last) for lane, last in sorted(acknowledged.items()) if self.taken[lane] < last]


class NumberedTopic(Topic):
    """Lines of a sending.Load: each as it was sent, none twice, in order. Lost ones are the port's affair."""

    def __init__(self, folder, name, load):
        super().__init__(folder, name)
        self.load = load
        self.last = -1

    def judge(self, partition, value):
        number = int(value[value.index(b"n=") + 2:].split(b" ", 1)[0])
        if number <= self.last:
            raise AssertionError("%s: line %d was served behind line %d" % (self.name, number, self.last))
        # The sender's thread counts a line when it has sent it: one may be served before.
        if number > self.load.sent or value != self.load.line(number):
            raise AssertionError("%s: line %d was never sent so: %r" % (self.name, number, value[:200]))
        self.last = number
