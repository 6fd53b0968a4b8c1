#!/usr/bin/python3
"""kills.py - kill -9 of penstock-ingest at random moments, under load of all three protocols; ./tools/crash runs it.

  kills.py --kills N --seed S

A sender in a process of its own keeps receipts (its word for what was acknowledged) and is killed too, now and then.
Lines and syslog run beside it. A consumer follows every topic from the first record to the last, and each record that
it sees is checked as it comes. Now and then, and at the end, receipts are held against what was served; at the end
against the log too (penstock audit), and all is read again. Last line: "N kills, N violations".
"""
import argparse
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import namespaces  # noqa: E402

namespaces.enter(__file__)
import appliance  # noqa: E402
import consuming  # noqa: E402
import rack  # noqa: E402
import receipts  # noqa: E402
import sending  # noqa: E402
from appliance import LINES_PORT, SYSLOG_PORT, wait_until  # noqa: E402
from served import NativeTopic, NumberedTopic  # noqa: E402

NATIVE_PORT = 4650
WORKERS = 2
LANES = 32
RATE = 3000  # native records a second; the others bring RATE_BESIDE each
RATE_BESIDE = 200
SECONDS_A_KILL, SECONDS_MIN = 4, 120  # how long the input lasts, at least
KILLS_A_CHECK = 50
KILLS_A_SENDER = 25  # the sender dies once in so many


class RootPage:
    """What a killed ingest leaves in shared memory, read as wire/root_page.h lays it out."""

    STATE_RUNNING = 2
    PARTITIONS_AT, PARTITION_BYTES = 4096, 128

    def __init__(self, runtime):
        self.path = os.path.join(runtime, "root")

    def _read(self, at, format_):
        try:
            with open(self.path, "rb") as file:
                assert file.read(8) == b"PENSTRUT", self.path
                file.seek(at)
                return struct.unpack(format_, file.read(struct.calcsize(format_)))
        except FileNotFoundError:
            return (0,) * len(format_[1:])

    def runs(self, pid):
        return self._read(120, "=II") == (pid, self.STATE_RUNNING)

    def open_segments(self):
        """The number of each partition's open segment."""
        return [self._read(self.PARTITIONS_AT + i * self.PARTITION_BYTES + 40, "=Q")[0] for i in range(WORKERS)]


class SyslogLoad(sending.Load):
    ENDING = b""  # a syslog datagram is the record, whatever it ends in

    def line(self, number):
        return b"<13>Nov 22 10:00:00 edge app: " + super().line(number)


class Sender:
    """`penstock send` with receipts, alive for as long as it takes."""

    def __init__(self, node, records):
        self.input, self.state, self.receipts = (os.path.join(node.work, name) for name in ("input", "state", "receipts"))
        with open(self.input, "wb") as file:
            for begin in range(0, records, 10_000):
                file.write(b"".join(NativeTopic.value_of(i) + b"\n" for i in range(begin, min(records, begin + 10_000))))
        self.start()

    def start(self):
        self.process = subprocess.Popen(rack.command(
            "producer", os.path.join(rack.BUILD, "penstock"), "send", self.input, "--to",
            "%s:%d" % (rack.APPLIANCE, NATIVE_PORT), "--lanes", str(LANES), "--rate", str(RATE), "--resume",
            "--state", self.state, "--receipts", self.receipts, "--timeout", "60s", "--json", "--quiet"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def must_run(self):
        if self.process.poll() is not None:
            out, errors = self.process.communicate()
            raise AssertionError("the sender ended by itself with %d: %r %r" % (
                self.process.returncode, out[-1000:], errors[-1000:]))

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def stop(self):
        """What is under way gets its fate first."""
        appliance.interrupt(self.process, "penstock")
        out, errors = self.process.communicate(timeout=90)
        if self.process.returncode not in (0, 130):
            raise AssertionError("the sender: exit %d: %r %r" % (self.process.returncode, out[-1000:], errors[-1000:]))

    def acknowledged(self):
        """{lane: the highest sequence that was reported durable}; every fate is to be 'stored'."""
        return receipts.stored_up_to(self.receipts)


class Matrix:
    def __init__(self, kills, seed):
        self.kills, self.seed = kills, seed
        self.dice = random.Random(seed)
        self.done = 0
        self.counts = {}
        self.start_seconds = 0.5
        self.node = appliance.Appliance(
            workers=WORKERS,
            listeners=[{"protocol": "native", "port": NATIVE_PORT, "topic": "native"},
                       {"protocol": "lines", "port": LINES_PORT, "topic": "lines"},
                       {"protocol": "syslog", "port": SYSLOG_PORT, "topic": "syslog"}],
            topics=[{"name": "native"}, {"name": "lines"}, {"name": "syslog"}],
            storage={"segment": "8MiB"})
        self.root = RootPage(self.node.runtime)
        self.sender, self.loads, self.topics = None, [], []

    # ---- the appliance

    def start_ingest(self):
        began = time.monotonic()
        self.node.start_ingest(wait=False)
        self.wait_running()
        self.start_seconds = 0.8 * self.start_seconds + 0.2 * (time.monotonic() - began)

    def wait_running(self):
        wait_until("a running ingest", lambda: self.root.runs(self.node.pid("ingest")), seconds=60, pause=0.005,
                   alive=lambda: self.node.must_run("ingest"))

    def kill_ingest(self, how):
        self.node.must_run("ingest")
        self.node.kill("ingest")
        self.done += 1
        self.counts[how] = self.counts.get(how, 0) + 1

    # ---- moments

    def while_running(self):
        self.start_ingest()
        time.sleep(self.dice.uniform(0.0, 0.8))
        self.kill_ingest("running")

    def while_starting(self):
        """From the first instruction to a little behind recovery."""
        self.node.start_ingest(wait=False)
        time.sleep(self.dice.uniform(0.0, 1.2 * self.start_seconds))
        self.kill_ingest("starting")

    def at_a_roll(self):
        """Within a few milliseconds of another segment's opening: its first is one, should no other come."""
        pause = self.dice.uniform(0.0, 0.01)
        self.start_ingest()
        before, deadline = self.root.open_segments(), time.monotonic() + 3
        while self.root.open_segments() == before and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(pause)
        self.kill_ingest("at a roll")

    def kill_one(self):
        moment = self.dice.choices([self.while_running, self.while_starting, self.at_a_roll], [65, 25, 10])[0]
        moment()
        self.sender.must_run()
        if self.dice.randrange(KILLS_A_SENDER) == 0:
            self.sender.kill()
            self.sender.start()
            self.counts["of the sender"] = self.counts.get("of the sender", 0) + 1

    # ---- claims

    def follow(self):
        for topic in self.topics:
            topic.advance()

    def check_acknowledged(self):
        """What the sender was told is durable has been served."""
        acknowledged = self.sender.acknowledged()
        self.wait_served(lambda: not self.native.behind(acknowledged), lambda: self.native.behind(acknowledged))

    def audit(self):
        answer = self.node.tool("audit", self.sender.receipts, "-c", self.node.config, "--json")
        if answer.returncode != 0:
            raise AssertionError("penstock audit: exit %d: %s %s" % (
                answer.returncode, answer.stdout[-3000:], answer.stderr[-1000:]))
        audit = json.loads(answer.stdout)
        if audit["proven"] != audit["acknowledged"]:
            raise AssertionError("not all that was acknowledged is proven: " + json.dumps(audit))
        return audit

    def wait_served(self, claim, why):
        deadline = time.monotonic() + 60
        while not claim():
            if time.monotonic() > deadline:
                raise AssertionError("not served: %s" % (why(),))
            time.sleep(0.1)
            self.follow()

    def check_all(self):
        """Nothing runs against the log any more: books, log and Kafka port are held against each other."""
        self.start_ingest()
        self.node.wait_ready()
        self.sender.stop()
        for load in self.loads:
            load.stop()
        ledger = self.node.settled_ledger(60)
        if not ledger["balanced"] or ledger["records"]["residue"] != 0:
            raise AssertionError("the ledger does not add up: " + json.dumps(ledger))
        self.check_acknowledged()
        audit = self.audit()
        stored = ledger["records"]["stored"]["sum"]
        self.wait_served(lambda: self.served() >= stored, lambda: "%d of %d records" % (self.served(), stored))
        if self.served() != stored:
            raise AssertionError("%d records were served, and %d are stored" % (self.served(), stored))
        for topic in self.topics:
            topic.check_read_again()
        if self.node.tool("log", "verify", self.node.storage).returncode != 0:
            raise AssertionError("penstock log verify finds fault")
        print("kills: %s; %d records served, %d of them acknowledged to the sender and proven" % (
            ", ".join("%d %s" % (count, how) for how, count in sorted(self.counts.items())), self.served(),
            audit["proven"]), flush=True)

    def served(self):
        return sum(topic.count for topic in self.topics)

    # ---- the whole

    def start(self):
        self.node.start_serve()
        self.start_ingest()
        self.node.wait_ready()
        self.sender = Sender(self.node, max(SECONDS_MIN, self.kills * SECONDS_A_KILL) * RATE)
        self.loads = [sending.Load(LINES_PORT, rate=RATE_BESIDE, line_bytes=300),
                      SyslogLoad(SYSLOG_PORT, rate=RATE_BESIDE, line_bytes=100)]
        for load in self.loads:
            load.__enter__()
        wait_until("all topics", lambda: all(name in consuming.kcat("-L") for name in (b"native", b"lines", b"syslog")))
        self.native = NativeTopic(self.node.work, "native", LANES)
        self.topics = [self.native, *(NumberedTopic(self.node.work, name, load)
                                      for name, load in zip(("lines", "syslog"), self.loads))]
        time.sleep(self.dice.uniform(0.0, 1.0))

    def run(self):
        self.start()
        self.kill_ingest("running")
        while self.done < self.kills:
            if self.done % KILLS_A_CHECK == 0:
                self.check_on_the_way()
            else:
                self.kill_one()
            self.follow()
        self.check_all()

    def check_on_the_way(self):
        self.start_ingest()
        self.check_acknowledged()
        self.kill_ingest("running")

    def end(self):
        for load in self.loads:
            load.stop()
        if self.sender is not None and self.sender.process.poll() is None:
            self.sender.kill()
        for topic in self.topics:
            topic.close()
        self.node.destroy()

    def keep(self):
        """What a violation is understood by: logs of the daemons, the log itself, receipts, what was served."""
        folder = os.path.join(rack.BUILD, "crash-artefacts", "kills-%d" % self.seed)
        shutil.rmtree(folder, ignore_errors=True)
        self.node.end()
        shutil.copytree(self.node.work, folder, ignore=shutil.ignore_patterns("input"))
        shutil.copytree(self.node.runtime, os.path.join(folder, "runtime"),
                        ignore=shutil.ignore_patterns("*.sock"))
        return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    matrix, violations = Matrix(arguments.kills, arguments.seed), 0
    try:
        matrix.run()
    except Exception:
        violations = 1
        traceback.print_exc(file=sys.stdout)
        print("VIOLATION behind kill %d, seed %d; kept in %s\nagain: ./tools/crash --kills %d --seed %d --no-traces" % (
            matrix.done, arguments.seed, matrix.keep(), arguments.kills, arguments.seed), flush=True)
    finally:
        matrix.end()
        rack.down()
    print("%d kills, %d violations" % (matrix.done, violations), flush=True)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
