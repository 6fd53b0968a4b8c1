"""One bit flipped in a byte of a stored segment, a hundred times, and what a consumer gets through 9092."""
import re
import struct

import consuming
import sending
from appliance import LINES_PORT
from case import ApplianceTest
from test_verify import flip_byte

BLOCK = 4096
LINE_BYTES = 700
FLIPS_A_ROUND = 12
ROUNDS = 10
RECORDS, FOOTER = 1, 1  # an entry's type, a commit's flag


class Segment:
    """Where what stands in a segment's file, read as docs/log-format.md has it: `batches` are
    (begin, end, base offset, records)."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        self.end = len(data)
        self.batches = []
        self.footer = None
        at = BLOCK
        while data[at:at + 8] == b"PENSTCMT" and self.footer is None:
            lines, length, flags = struct.unpack_from("<III", data, at + 68)
            for line in range(at + 128, at + 128 + 48 * lines, 48):
                kind, = struct.unpack_from("<H", data, line)
                base, = struct.unpack_from("<Q", data, line + 8)
                records, begin, size = struct.unpack_from("<III", data, line + 24)
                if kind == RECORDS:
                    self.batches.append((at + begin, at + begin + size, base, records))
            if flags & FOOTER:
                self.footer = (at, at + 128 + 48 * lines)
            at += length

    def lost(self, flips):
        """The offsets of the batches that were hit: all others are to be served."""
        return {offset for begin, end, base, records in self.batches if any(begin <= flip < end for flip in flips)
                for offset in range(base, base + records)}

    def flips(self, number):
        """Bytes of round `number`, other ones in each: anywhere in front of the footer; or, so that each
        damage has its own effect to show, of batches and one of footer, header or trailer."""
        step = (self.footer[0] - BLOCK) // FLIPS_A_ROUND
        spread = [BLOCK + i * step + (number * 61 * 61 + i * 61) % step for i in range(FLIPS_A_ROUND)]
        if number % 2 == 0:
            return spread
        in_batches = [flip for flip in spread if self.lost([flip])]
        frame = [self.footer[0] + 61 + number, number * 11 + 16, self.end - BLOCK + 16 + number]
        return in_batches + [frame[number // 2 % 3]]


class Rot(ApplianceTest):
    def filled(self, lines):
        """A node that stopped in order, with a few sealed segments of one topic; serve alone runs later."""
        node = self.appliance(storage={"segment": "8MiB"}).start()
        self.lines = [(b"line %d " % i).ljust(LINE_BYTES, b"=") for i in range(lines)]
        sending.send_lines(self.lines, LINES_PORT, rate=10000, node=node)
        node.settled_ledger()
        self.assertEqual(node.stop("serve"), 0)
        self.assertEqual(node.stop("ingest"), 0)
        return node

    def check_served(self, lost, what):
        served = consuming.entries("events")
        self.assertEqual([(i, self.lines[i]) for i, _ in served], served, "%s: a wrong byte was served" % what)
        self.assertEqual(set(range(len(self.lines))) - {i for i, _ in served}, lost,
                         "%s: not exactly the damaged batches are missing" % what)

    def test_no_flipped_byte_is_served_and_all_the_rest_is(self):
        node = self.filled(26000)
        self.assertGreater(len(node.segments()), 2)
        path = node.segments()[1]  # in the midst of the log
        segment = Segment(path)

        count = 0
        for number in range(ROUNDS):
            flips = segment.flips(number)
            count += len(flips)
            for flip in flips:
                flip_byte(path, flip)
            node.start_serve()
            self.check_served(segment.lost(flips), "round %d, bytes %s" % (number, flips))
            self.assertEqual(node.stop("serve"), 0)
            for flip in flips:
                flip_byte(path, flip)
        self.assertGreaterEqual(count, 100)
        node.start_serve()
        self.check_served(set(), "put back")

    def test_a_byte_that_flips_behind_a_running_serve_is_an_error_on_its_range_alone(self):
        node = self.filled(26000)
        path = node.segments()[0]
        begin, end, base, records = Segment(path).batches[3]
        node.start_serve()
        consuming.entries("events", offset=20000)  # serve knows the segments, and holds none of this one's bytes

        flip_byte(path, (begin + end) // 2)

        self.check_served(set(range(base, base + records)), "after")
        self.check_served(set(range(base, base + records)), "and again")
        self.assertIn("is damaged: the %d bytes at %d do not match" % (end - begin, begin), node.log("serve"))
        self.assertEqual(self.fenced(node), 1)

    def fenced(self, node):
        found = re.search(r"^penstock_serve_fenced_batches_total (\d+)", node.http("/metrics")[1], re.MULTILINE)
        return int(found.group(1))


class RotAtStart(ApplianceTest):
    def test_what_recovery_fenced_is_said_with_offsets_and_counted(self):
        node = self.appliance(storage={"segment": "16MiB"}).start()
        lines = [(b"line %d " % i).ljust(LINE_BYTES, b"=") for i in range(4000)]
        sending.send_lines(lines, LINES_PORT, rate=10000, node=node)
        node.settled_ledger()
        node.kill("ingest")
        self.assertEqual(node.stop("serve"), 0)
        path = node.segments()[0]
        begin, end, base, records = Segment(path).batches[2]
        flip_byte(path, begin + 100)

        node.start()

        log = node.log("ingest")
        self.assertIn("is damaged: %d bytes from byte %d are fenced off" % (end - begin, begin), log)
        self.assertIn("topic events: offsets %d to %d are lost (%d records)" % (base, base + records - 1, records), log)
        counters = node.counters()
        self.assertEqual(counters["recovery_ranges_fenced"], 1)
        self.assertEqual(counters["recovery_bytes_fenced"], end - begin)
        self.assertEqual(counters["recovery_records_lost"], records)
        self.assertIn("its last start found 1 damaged ranges",
                      node.tool("status", "--runtime", node.runtime).stdout)
        missing = set(range(len(lines))) - dict(consuming.entries("events")).keys()
        self.assertEqual(missing, set(range(base, base + records)))
