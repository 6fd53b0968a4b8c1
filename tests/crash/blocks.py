#!/usr/bin/python3
"""blocks.py - what the disk under the appliance was asked to do, cut short everywhere; ./tools/crash runs it.

  blocks.py --fs ext4|xfs --seed S [--prefixes N|all] [--variants N] [--state K]

Records: penstock-ingest writes to a file system on a loop device on a FUSE file that nbdkit serves, whose plugin
(recorder.c) writes down each write and flush, and what the appliance had promised by then. A sender with receipts
loads it; it is killed and started again on the way. Then block_replay builds what the disk may hold after a cut at
each write, and with writes that no flush covered lost, torn or garbled, and recovers it. Last line: "N states, N violations".
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import namespaces  # noqa: E402

namespaces.enter(__file__)
import appliance  # noqa: E402
import rack  # noqa: E402
from nbd_disk import NbdDisk  # noqa: E402
from served import NativeTopic  # noqa: E402

MIB = 1 << 20
NATIVE_PORT = 4650
LANES = 8
FLUSH_US = 3000
RATE_HIGH, RATE_LOW = 9000, 100  # records a second
VALUE_BYTES = 700
INPUT_RECORDS = 60_000  # more than is sent
MAKE = {
    "ext4": (128 * MIB, ["mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-J", "size=8", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
    "xfs": (320 * MIB, ["mkfs.xfs", "-q"]),
}
# The file system is to make nothing durable of its own accord that it was not asked for.
MOUNT_OPTIONS = {"ext4": "commit=300,nodiscard", "xfs": "nodiscard"}


def run(*words):
    subprocess.run(words, check=True)


class Recording:
    """One life of an appliance, and what its disk was asked to do meanwhile."""

    def __init__(self, fs):
        self.fs = fs
        self.folder = tempfile.mkdtemp(prefix="penstock-crash.", dir="/dev/shm")
        self.base, self.image, self.trace, self.receipts = (
            os.path.join(self.folder, name) for name in ("base", "image", "trace", "receipts"))
        self.disk = self.sender = None
        self.node = appliance.Appliance(
            workers=1, listeners=[{"protocol": "native", "port": NATIVE_PORT, "topic": "events"}],
            topics=[{"name": "events"}],
            storage={"segment": "8MiB", "commit": {"bytes": "256KiB", "linger": "40ms"}})

    def make_disk(self):
        """The recording begins with a file system that is made already."""
        size, words = MAKE[self.fs]
        with open(self.base, "wb") as file:
            file.truncate(size)
        run(*words, self.base)
        run("cp", "--sparse=always", self.base, self.image)
        self.disk = NbdDisk(self.folder, os.path.join(rack.BUILD, "tests", "crash", "recorder.so"), "image=" + self.image,
                            "trace=" + self.trace, "root=" + os.path.join(self.node.runtime, "root"),
                            "flush_us=%d" % FLUSH_US)
        self.disk.mount(self.fs, MOUNT_OPTIONS[self.fs], self.node.storage)

    def remove_disk(self):
        if self.disk is not None:
            self.disk.remove()
            self.disk = None

    # ---- the load

    def write_input(self):
        with open(os.path.join(self.folder, "input"), "wb") as file:
            for number in range(INPUT_RECORDS):
                file.write(NativeTopic.value_of(number).ljust(VALUE_BYTES, b"+") + b"\n")

    def start_sender(self, rate):
        return subprocess.Popen(rack.command(
            "producer", os.path.join(rack.BUILD, "penstock"), "send", os.path.join(self.folder, "input"), "--to",
            "%s:%d" % (rack.APPLIANCE, NATIVE_PORT), "--lanes", str(LANES), "--rate", str(rate), "--resume", "--state",
            os.path.join(self.folder, "state"), "--receipts", self.receipts, "--quiet"))

    def send(self, rate, seconds, meanwhile=None):
        """One run of `penstock send`, ended by SIGINT: what is under way gets its fate."""
        self.sender = self.start_sender(rate)
        time.sleep(seconds)
        if meanwhile is not None:
            meanwhile()
        appliance.interrupt(self.sender, "penstock")
        if self.sender.wait(60) not in (0, 130):
            raise AssertionError("the sender: exit %d" % self.sender.returncode)

    def die_and_recover(self):
        self.node.kill("ingest")
        self.node.start_ingest()
        time.sleep(0.5)

    def record(self):
        """Large commits, a kill -9 in the midst of them, recovery, small commits, large ones, an orderly end."""
        self.make_disk()
        self.write_input()
        self.node.start_ingest()
        self.send(RATE_HIGH, 3.0, meanwhile=self.die_and_recover)
        self.send(RATE_LOW, 0.7)
        self.send(RATE_HIGH, 2.5)
        if self.node.stop("ingest") != 0:
            raise AssertionError("ingest did not stop in order")
        answer = self.node.tool("audit", self.receipts, "-c", self.node.config)
        if answer.returncode != 0:
            raise AssertionError("penstock audit: " + answer.stdout + answer.stderr)
        self.remove_disk()

    def end(self, keep=None):
        if self.sender is not None and self.sender.poll() is None:
            self.sender.kill()  # it has a view of the mounts of its own
            self.sender.wait(10)
        self.node.end()
        self.remove_disk()
        if keep is not None:
            shutil.rmtree(keep, ignore_errors=True)
            os.makedirs(keep)
            for path in (self.base, self.trace, self.receipts):
                if os.path.exists(path):
                    run("cp", "--sparse=always", path, keep)
            shutil.copy(os.path.join(self.node.work, "ingest.log"), keep)
        self.node.destroy()
        shutil.rmtree(self.folder, ignore_errors=True)


def replay(folder, arguments):
    """The exit code of block_replay; it prints the last line."""
    mount = tempfile.mkdtemp(prefix="penstock-crash-mount.", dir="/dev/shm")
    words = [os.path.join(rack.BUILD, "tests", "crash", "block_replay"), "--fs", arguments.fs, "--base",
             os.path.join(folder, "base"), "--trace", os.path.join(folder, "trace"), "--receipts",
             os.path.join(folder, "receipts"), "--mount", mount, "--seed", str(arguments.seed),
             "--prefixes", arguments.prefixes, "--variants", str(arguments.variants)]
    if arguments.state is not None:
        words += ["--state", arguments.state]
    try:
        return subprocess.run(words).returncode
    finally:
        os.rmdir(mount)


def kept_folder(arguments):
    return os.path.join(rack.BUILD, "crash-artefacts", "blocks-%s-%d" % (arguments.fs, arguments.seed))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fs", choices=sorted(MAKE), required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--prefixes", default="all", help="how many cuts between two writes (default: all)")
    parser.add_argument("--variants", type=int, default=1000, help="how many cuts with writes lost, torn or garbled")
    parser.add_argument("--state", help="that state alone, of the trace that a violation left")
    arguments = parser.parse_args()
    if arguments.state is not None:
        return replay(kept_folder(arguments), arguments)

    recording, code = Recording(arguments.fs), 1
    try:
        recording.record()
        code = replay(recording.folder, arguments)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        print("0 states, 1 violations", flush=True)
    finally:
        recording.end(kept_folder(arguments) if code != 0 else None)
        rack.down()
    return code


if __name__ == "__main__":
    sys.exit(main())
