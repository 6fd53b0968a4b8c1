"""namespaces.py - a program runs itself again where nothing of it is seen from outside, and nothing outlives it."""
import os
import signal
import subprocess
import sys

PYTHON = "/usr/bin/python3"  # Debian's: the one that python3-kafka belongs to
INSIDE = "PENSTOCK_E2E_INSIDE"


def enter(program):
    """Runs `program` again, with the arguments of this one, in a network, mount and process namespace of its
    own, as their first process: with it all others end. Comes back only inside."""
    if INSIDE not in os.environ:
        _run_inside(program)
    _furnish()


def _run_inside(program):
    if os.geteuid() != 0:
        sys.exit(os.path.basename(program) + ": needs root (namespaces, AF_XDP): try sudo")
    environment = dict(os.environ, **{INSIDE: "1"})
    process = subprocess.Popen(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                                PYTHON, os.path.abspath(program), *sys.argv[1:]], env=environment)
    # unshare itself ignores SIGTERM. Killed, it takes the first process inside with it, and that all others.
    signal.signal(signal.SIGTERM, lambda *_: process.kill())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one inside has it too, and takes the rack down
    sys.exit(process.wait())


def _furnish():
    os.makedirs("/run/netns", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "e2e-netns", "/run/netns"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
