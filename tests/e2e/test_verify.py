"""penstock log verify, and what a flipped byte on the disk does: fenced, said, and nothing else."""
import os
import time

import consuming
import sending
from appliance import LINES_PORT
from case import ApplianceTest

BLOCK = 4096
LINE_BYTES = 1000


def flip_byte(path, position):
    """As rot would: on the disk, behind everybody's back."""
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0x20]))
        file.flush()
        os.fsync(file.fileno())


def position_of(path, needle):
    with open(path, "rb") as file:
        return file.read().index(needle)


class Verify(ApplianceTest):
    def filled(self, lines=16000):
        """A node with a few sealed segments."""
        node = self.appliance(storage={"segment": "8MiB"}).start()
        self.lines = [(b"line %d " % i).ljust(LINE_BYTES, b"=") for i in range(lines)]
        sending.send_lines(self.lines, LINES_PORT, rate=10000, node=node)
        node.settled_ledger()
        self.assertEqual(node.ledger()["records"]["in"], lines)
        return node

    def verify(self, node):
        return node.tool("log", "verify", node.storage)

    def test_a_running_node_verifies(self):
        node = self.filled(8000)

        answer = self.verify(node)

        self.assertEqual(answer.returncode, 0, answer.stdout + answer.stderr)

    def test_a_log_after_kill_9_verifies_before_and_after_recovery(self):
        node = self.appliance(storage={"segment": "8MiB"}).start()
        with sending.Load(LINES_PORT, rate=8000, line_bytes=LINE_BYTES):
            time.sleep(2)
            node.kill("ingest")

        killed = self.verify(node)
        node.start_ingest()
        self.assertEqual(node.stop("ingest"), 0)
        recovered = self.verify(node)

        self.assertEqual(killed.returncode, 0, killed.stdout + killed.stderr)
        self.assertEqual(recovered.returncode, 0, recovered.stdout + recovered.stderr)

    def test_a_flipped_byte_is_named_and_consumers_go_on_behind_its_batch(self):
        node = self.filled()
        self.assertEqual(node.stop("ingest"), 0)
        self.assertEqual(node.stop("serve"), 0)
        victim = 2000
        path = node.segments()[0]
        position = position_of(path, self.lines[victim])
        flip_byte(path, position + LINE_BYTES // 2)

        answer = self.verify(node)
        node.start()

        self.assertEqual(answer.returncode, 1, answer.stdout + answer.stderr)
        self.assertIn(os.path.basename(path), answer.stdout + answer.stderr)
        self.check_served(victim)
        sending.send_lines([b"after the rot"], LINES_PORT)
        ledger = node.settled_ledger()
        self.assert_balanced(ledger)
        self.assertEqual(consuming.entries("events", offset=len(self.lines)), [(len(self.lines), b"after the rot")])

    def check_served(self, victim):
        """Everything but the one batch around the victim, in one pass, and nothing wrong."""
        served = dict(consuming.entries("events"))
        missing = sorted(set(range(len(self.lines))) - set(served))
        self.assertIn(victim, missing)
        self.assertLess(len(missing), 1000)  # one batch
        self.assertEqual(missing, list(range(missing[0], missing[-1] + 1)))
        self.assertEqual(served, {i: self.lines[i] for i in served})
