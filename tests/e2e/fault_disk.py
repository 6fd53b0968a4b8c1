"""fault_disk.py - a file system on a disk that fails when it is told to (fault_disk.c): nbdkit, nbdfuse, a loop
device, ext4, mounted where a test wants it. Everything above the disk is the real thing."""
import errno
import fcntl
import os
import struct
import subprocess
import time

import rack

PLUGIN = os.path.join(rack.BUILD, "tests", "e2e", "fault_disk.so")
BLOCK_BYTES = 4096
MIB = 1 << 20
ORDERS = struct.Struct("=QQIIQQIIIIII")  # struct orders
FS_IOC_FIEMAP = 0xC020660B
EVERYWHERE = (0, 1 << 62)


def _wait(what, claim, seconds=10):
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            raise AssertionError("waited %g s for %s" % (seconds, what))
        time.sleep(0.02)


class FaultDisk:
    """`size_mib` of disk below ext4, mounted at `mount_point`. The file system's own blocks lie in its first
    16 MiB: `data` is the range behind them, where segments are, so a disk may refuse records and keep its
    file system."""

    DATA = (16 * MIB, 1 << 62)

    def __init__(self, work, mount_point, size_mib=120):
        self.work, self.mount_point = work, mount_point
        os.makedirs(work)
        os.makedirs(mount_point, exist_ok=True)
        self.data, self.orders_path = os.path.join(work, "data"), os.path.join(work, "orders")
        self.socket, self.fuse = os.path.join(work, "socket"), os.path.join(work, "fuse")
        os.makedirs(self.fuse)
        for path, size in ((self.data, size_mib * MIB), (self.orders_path, BLOCK_BYTES)):
            with open(path, "wb") as file:
                file.truncate(size)
        self.processes = []
        self.mounted = False
        self.heal()
        self._start()
        self._make_file_system()

    def _run(self, *words):
        answer = subprocess.run(words, capture_output=True, text=True, timeout=30)
        if answer.returncode != 0:
            raise AssertionError("%s: %s" % (" ".join(words), answer.stderr))
        return answer.stdout.strip()

    def _start(self):
        def start(*words):
            with open(os.path.join(self.work, "nbd.log"), "ab") as log:
                self.processes.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

        start("nbdkit", "-f", "-U", self.socket, PLUGIN, "data=" + self.data, "orders=" + self.orders_path)
        _wait("nbdkit", lambda: os.path.exists(self.socket))
        disk = os.path.join(self.fuse, "disk")
        start("nbdfuse", disk, "nbd+unix:///?socket=" + self.socket)
        _wait("nbdfuse", lambda: os.path.exists(disk))
        self.device = self._run("losetup", "--direct-io=on", "--show", "--find", disk)

    def _make_file_system(self):
        """The metadata packed in front, and what is left there filled, so that segments lie behind it."""
        self._run("mkfs.ext4", "-q", "-m", "0", "-b", str(BLOCK_BYTES), "-N", "1024", "-J", "size=4",
                  "-E", "packed_meta_blocks=1,lazy_itable_init=0,lazy_journal_init=0", self.device)
        self._run("mount", self.device, self.mount_point)
        self.mounted = True
        self._run("losetup", "--detach", self.device)  # when it is unmounted
        for partition in range(2):  # their directories lie in front, too
            os.makedirs(os.path.join(self.mount_point, "part-%04d" % partition))
        # Where ext4 puts a file is its own affair: one takes all there is, and gives back what lies behind.
        filling = os.path.join(self.mount_point, "filling")
        with open(filling, "wb") as file:
            space = os.statvfs(self.mount_point)
            os.posix_fallocate(file.fileno(), 0, (space.f_bavail - 64) * space.f_frsize)
        for begin, place, length in self.extents(filling):
            kept = min(max(self.DATA[0] - place, 0), length)
            if kept < length:
                self._run("fallocate", "--punch-hole", "--offset", str(begin + kept), "--length", str(length - kept), filling)
        self._run("sync", "--file-system", self.mount_point)

    # ---- what the disk is to do, from the next request on

    def tell(self, read=(0, 0), write=(0, 0), flush=False, stalled=False, delay_ms=0, error=errno.EIO):
        """`read` and `write`: ranges of the disk, begin and end in bytes, that answer `error`."""
        with open(self.orders_path, "r+b") as file:
            file.write(ORDERS.pack(*read, error, 0, *write, error, 0, error if flush else 0, int(stalled), delay_ms, 0))

    def heal(self):
        self.tell()

    def extents(self, path):
        """Where the file's bytes lie: [(position in the file, position on the disk, bytes)]."""
        count = 64
        header = struct.Struct("=QQIIII")
        extent = struct.Struct("=QQQQQIIII")
        request = bytearray(header.pack(0, (1 << 64) - 1, 0, 0, count, 0) + bytes(extent.size * count))
        with open(path, "rb") as file:
            fcntl.ioctl(file.fileno(), FS_IOC_FIEMAP, request)
        found = header.unpack_from(request)[3]
        out = [extent.unpack_from(request, header.size + i * extent.size)[:3] for i in range(found)]
        return [(position, place, length) for position, place, length in out]

    def range_of(self, path, position, length):
        """The range of the disk that bytes of the file lie in, which must be in one piece."""
        for begin, place, extent_length in self.extents(path):
            if begin <= position and position + length <= begin + extent_length:
                return place + position - begin, place + position - begin + length
        raise AssertionError("%s: bytes %d to %d lie in pieces" % (path, position, position + length))

    def destroy(self):
        self.heal()
        if self.mounted:
            _wait("the file system to be free", lambda: subprocess.run(
                ["umount", self.mount_point], capture_output=True).returncode == 0, seconds=20)
        subprocess.run(["fusermount3", "-u", self.fuse], capture_output=True)
        for process in reversed(self.processes):
            process.terminate()
            process.wait(10)
