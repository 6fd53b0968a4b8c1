"""hop.py - a stretch of bad wire between the producer and the node (hop.c), as a test sets it up."""
import json
import os
import select
import signal
import subprocess

import rack

PROGRAM = os.path.join(rack.BUILD, "tests", "e2e", "hop")
FORTH, BACK = "forth", "back"  # towards the node, towards the producer
ANSWER_SECONDS_MAX = 10


class Hop:
    """drop, repeat, reorder and corrupt are shares of all frames, 0 to 1; delay_us holds for every frame.
    Each is one value for both directions, or a pair: forth (towards the node), back. ARP is spared unless
    told otherwise. The same seed treats the same sequence of frames the same way."""

    def __init__(self, **impairment):
        self.process = None
        self.set(**impairment)

    def set(self, drop=0, repeat=0, reorder=0, corrupt=0, delay_us=0, seed=1, spare_arp=True):
        self.options = {"drop": drop, "repeat": repeat, "reorder": reorder, "corrupt": corrupt,
                        "delay-us": delay_us, "seed": seed}
        self.spare_arp = spare_arp

    def words(self):
        out = ["--spare-arp"] if self.spare_arp else []
        for name, value in self.options.items():
            pair = value if isinstance(value, tuple) else (value,)
            out += ["--" + name, ":".join(map(str, pair))]
        return out

    def start(self):
        """Returns when frames pass; rack.up(with_hop=True) comes first."""
        assert self.process is None
        self.process = subprocess.Popen(["ip", "netns", "exec", rack.HOP, PROGRAM, *self.words(), *rack.HOP_LINKS],
                                        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self._report()

    def _report(self):
        """The next line that it prints: a whole one each time."""
        ready, _, _ = select.select([self.process.stdout], [], [], ANSWER_SECONDS_MAX)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            raise AssertionError("the hop says nothing (exit code %s)" % self.process.poll())
        return self._checked(json.loads(line))

    def _checked(self, counters):
        for way, of_way in counters.items():
            for trouble in ("oversized", "unfinished", "missed"):
                if of_way[trouble] > 0:
                    raise AssertionError("the hop itself is in the way, %s: %s" % (way, of_way))
        return counters

    def counters(self):
        """By direction; see direction.h."""
        self.process.send_signal(signal.SIGUSR1)
        return self._report()

    def stop(self):
        """Nothing passes any more; the last counters."""
        self.process.send_signal(signal.SIGTERM)
        last = self._report()
        code = self.process.wait(ANSWER_SECONDS_MAX)
        self.end()
        if code != 0:
            raise AssertionError("the hop ended with %d" % code)
        return last

    def change(self, **impairment):
        """From now on this, counted from 0; frames that are inside are lost."""
        self.stop()
        self.set(**impairment)
        self.start()

    def end(self):
        """By force, if it runs."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait(ANSWER_SECONDS_MAX)
        self.process.stdout.close()
        self.process = None
