"""nbd_disk.py - a block device whose every request comes to a plugin of ours: nbdkit, nbdfuse, a loop device.

This is how something gets below a real file system on a kernel without device mapper. It is slow: 10 MB/s of durable writes.
"""
import os
import subprocess

from appliance import wait_until


class NbdDisk:
    """`plugin` and its parameters; `folder` is for the mount of nbdfuse. mount() it once; remove() it."""

    def __init__(self, folder, plugin, *parameters):
        self.fuse = os.path.join(folder, "fuse")
        self.mounted = self.loop = self.server = None
        os.makedirs(self.fuse)
        disk = os.path.join(self.fuse, "disk")
        self.server = subprocess.Popen(["nbdfuse", disk, "--command", "nbdkit", "-s", "--exit-with-parent", plugin,
                                        *parameters])
        wait_until("the disk", lambda: os.path.exists(disk), alive=self._must_run)
        self.loop = subprocess.run(["losetup", "--find", "--show", disk], check=True, capture_output=True,
                                   text=True).stdout.strip()

    def _must_run(self):
        if self.server.poll() is not None:
            raise AssertionError("nbdfuse ended with %d" % self.server.returncode)

    def mount(self, fs, options, mount_point):
        os.makedirs(mount_point, exist_ok=True)
        subprocess.run(["mount", "-t", fs, "-o", options, self.loop, mount_point], check=True)
        self.mounted = mount_point
        self._detach()

    def _detach(self):
        """While it is mounted: the kernel takes the device away with the mount, whoever ends that."""
        subprocess.run(["losetup", "--detach", self.loop], check=True)
        self.loop = None

    def remove(self):
        """Everything is written, and the plugin has ended, when it returns."""
        if self.mounted is not None:
            subprocess.run(["umount", self.mounted], check=True)
            self.mounted = None
        if self.loop is not None:
            self._detach()
        if self.server is not None:
            wait_until("the disk to be idle", lambda: subprocess.run(["umount", self.fuse], capture_output=True).returncode == 0)
            self.server.wait(20)
            self.server = None
