"""sending.py - records on their way in, by ordinary UDP sockets of the producer, paced."""
import os
import subprocess
import sys
import threading
import time

import rack

DATAGRAM_BYTES_MAX = 1472


def realistic_lines(count, seed=1):
    """Lines of tools/make_log.py, without their newlines; each ends in a number of its own."""
    text = subprocess.run([sys.executable, os.path.join(rack.ROOT, "tools", "make_log.py"), str(count), str(seed)],
                          check=True, capture_output=True).stdout
    return text.split(b"\n")[:-1]


def datagrams(lines, per_datagram):
    """Groups lines into (payload, lines)."""
    for first in range(0, len(lines), per_datagram):
        group = lines[first:first + per_datagram]
        while group:  # long lines: fewer fit
            fits = len(group)
            while fits > 1 and sum(map(len, group[:fits])) + fits > DATAGRAM_BYTES_MAX:
                fits -= 1
            yield b"\n".join(group[:fits]) + b"\n", group[:fits]
            group = group[fits:]


class Pace:
    """`rate` things a second; sleeps only when well ahead. Whoever was held up goes on at the rate: a
    burst to make up for it would only test the receive ring."""

    LATENESS_S_MAX = 0.02

    def __init__(self, rate):
        self.rate = rate
        self.due = time.monotonic()

    def advance(self, count):
        self.due += count / self.rate
        ahead = self.due - time.monotonic()
        if ahead > 0.001:
            time.sleep(ahead)
        elif ahead < -self.LATENESS_S_MAX:
            self.due = time.monotonic()


# A veth with an XDP program queues 256 frames before its receiving end runs; a busy machine may let it
# wait for long. What is on the way stays below that, so that slowness is only slowness.
WINDOW_DATAGRAMS = 200


def window_of(node):
    """wait(sent): until all but a few of `sent` datagrams are taken: a machine that is busy with other
    things slows the sender down instead of losing datagrams."""
    before = node.frames_received()

    def wait(sent):
        deadline = time.monotonic() + 20
        while node.frames_received() - before < sent - WINDOW_DATAGRAMS // 2:
            if time.monotonic() > deadline:
                raise AssertionError("the node took only %d of %d datagrams" % (
                    node.frames_received() - before, sent))
            time.sleep(0.0005)

    return wait


def send_lines(lines, port, rate=25000, sockets=1, per_datagram=1, node=None):
    """Sends all lines, the datagrams dealt out to the sockets in turn; with `node` never further ahead
    of it than its port can hold. Answers (runs, datagrams): runs maps each source port to the lines
    that it sent, in order."""
    senders = [rack.datagram_socket(port) for _ in range(sockets)]
    runs = {sender.getsockname()[1]: [] for sender in senders}
    pace, count = Pace(rate), 0
    wait = window_of(node) if node is not None else None
    for payload, group in datagrams(lines, per_datagram):
        if wait is not None and count > 0 and count % (WINDOW_DATAGRAMS // 2) == 0:
            wait(count)
        sender = senders[count % sockets]
        sender.send(payload)
        runs[sender.getsockname()[1]] += group
        count += 1
        pace.advance(len(group))
    for sender in senders:
        sender.close()
    return runs, count


class Load:
    """Numbered lines from a thread, until the with-block ends; goes on when nobody takes them."""

    ENDING = b"\n"

    def __init__(self, port, rate, line_bytes=80):
        self.sender = rack.datagram_socket(port)
        self.rate, self.line_bytes = rate, line_bytes
        self.sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def line(self, number):
        return (b"n=%d " % number).ljust(self.line_bytes, b".")

    def _run(self):
        pace = Pace(self.rate)
        while not self._stop.is_set():
            self.sender.send(self.line(self.sent) + self.ENDING)  # lost while the appliance is down
            self.sent += 1
            pace.advance(1)

    def __enter__(self):
        self._thread.start()
        return self

    def stop(self):
        self._stop.set()
        self._thread.join(10)

    def __exit__(self, *_):
        self.stop()
        self.sender.close()
