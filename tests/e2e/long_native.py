"""Exactly once, under load, whatever is killed: two million records, ten deaths of the appliance, five of the sender."""
import json
import os
import random
import subprocess
import time

import consuming
import rack
from appliance import BUILD
from case import ApplianceTest

PORT = 4650
RECORDS = 2_000_000
LANES = 64
RUN_RECORDS = 32  # tools/sender.h: so many in a row go to a lane
RATE = 50_000
INGEST_DEATHS, SENDER_DEATHS = 10, 5
PAUSE_S = (1.0, 3.0)  # between two deaths
SEED = int(os.environ.get("PENSTOCK_SEED", "0")) or time.time_ns() % 1_000_000


def value_of(number):
    return b"%d %s" % (number, b"." * (20 + number % 100))


def lane_of(number):
    return number // RUN_RECORDS % LANES


class ExactlyOnce(ApplianceTest):
    def write_input(self, path):
        with open(path, "wb") as file:
            for begin in range(0, RECORDS, 10_000):
                file.write(b"".join(value_of(i) + b"\n" for i in range(begin, begin + 10_000)))

    def start_sender(self):
        self.sender = subprocess.Popen(rack.command(
            "producer", os.path.join(BUILD, "penstock"), "send", self.input, "--to", "%s:%d" % (rack.APPLIANCE, PORT),
            "--lanes", str(LANES), "--rate", str(RATE), "--resume", "--state", self.state, "--receipts", self.ledger,
            "--timeout", "120s", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end_sender(self):
        if self.sender.poll() is None:
            self.sender.kill()
        self.sender.communicate()

    def die(self, node, victim):
        self.assertIsNone(self.sender.poll(), "the sender ended before all deaths were died")
        if victim == "sender":
            self.end_sender()
            self.start_sender()
        else:
            node.kill("ingest")
            node.start_ingest(wait=False)

    def check_consumed(self, node):
        """Each record once; each lane in one partition, in order."""
        seen = bytearray(RECORDS)
        homes, last, counts = {}, {}, []
        for partition in range(2):
            path = os.path.join(node.work, "consumed-%d" % partition)
            with open(path, "wb") as out:
                subprocess.run([*consuming.KCAT, "-C", "-t", "events", "-p", str(partition), "-o", "beginning", "-e", "-q"],
                               stdout=out, check=True, timeout=600)
            counts.append(0)
            with open(path, "rb") as file:
                for line in file:
                    number = int(line.split(b" ", 1)[0])
                    lane = lane_of(number)
                    self.assertEqual(line[:-1], value_of(number))
                    self.assertEqual(seen[number], 0, "record %d is there twice" % number)
                    self.assertEqual(homes.setdefault(lane, partition), partition, "a lane has one home")
                    self.assertGreater(number, last.get(lane, -1), "lane %d is out of order" % lane)
                    seen[number], last[lane] = 1, number
                    counts[-1] += 1
        self.assertEqual(sum(seen), RECORDS, "records are missing")
        return counts

    def test_two_million_records_under_kill_9_of_both_sides(self):
        node = self.appliance(workers=2, listeners=[{"protocol": "native", "port": PORT, "topic": "events"}],
                              storage={"segment": "32MiB"}).start()
        self.input, self.state, self.ledger = (os.path.join(node.work, name) for name in ("input", "state", "receipts"))
        self.write_input(self.input)
        dice = random.Random(SEED)
        deaths = ["ingest"] * INGEST_DEATHS + ["sender"] * SENDER_DEATHS
        dice.shuffle(deaths)
        print("seed %d (PENSTOCK_SEED): %s" % (SEED, " ".join(deaths)), flush=True)

        began = time.monotonic()
        self.start_sender()
        self.addCleanup(self.end_sender)
        for victim in deaths:
            time.sleep(dice.uniform(*PAUSE_S))
            self.die(node, victim)
        out, errors = self.sender.communicate(timeout=600)
        seconds = time.monotonic() - began
        self.assertEqual(self.sender.returncode, 0, (out[-2000:], errors[-2000:]))
        report = json.loads(out)

        node.wait_ready()
        counts = self.check_consumed(node)
        ledger = node.settled_ledger()
        self.assert_balanced(ledger)
        began = time.monotonic()
        answer = node.tool("audit", self.ledger, "-c", node.config, "--json")
        audit_seconds = time.monotonic() - began
        self.assertEqual(answer.returncode, 0, (answer.stdout[-3000:], answer.stderr))
        audit = json.loads(answer.stdout)
        self.assertEqual(audit["present"] + audit["without_receipt"], RECORDS)
        self.assertEqual(audit["proven"], audit["acknowledged"])
        self.assertEqual(self.verify(node), 0)
        print("%d records in %.1f s with %d deaths of ingest and %d of the sender; %s by partition; the last sender found "
              "%d durable; audit: %d acknowledged, %d proven, %d without a receipt, %.2f s" % (
                  RECORDS, seconds, INGEST_DEATHS, SENDER_DEATHS, counts, report["durable_before"], audit["acknowledged"],
                  audit["proven"], audit["without_receipt"], audit_seconds), flush=True)

    def verify(self, node):
        return node.tool("log", "verify", node.storage).returncode
