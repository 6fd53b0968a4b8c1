"""appliance.py - the two daemons with a configuration of their own, and what one may ask them."""
import copy
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import rack

BUILD = rack.BUILD
KAFKA = "127.0.0.1:9092"
ADMIN = "127.0.0.1:9640"
LINES_PORT, SYSLOG_PORT, PARSED_PORT, ROUTED_PORT = 5140, 514, 5514, 5141

# Every log of a daemon that the running test has started: run.py shows them when it fails.
started_logs = []


def wait_until(what, claim, seconds=20, pause=0.05, alive=None):
    """Waits until claim() is true; `alive` may end the wait early by raising."""
    deadline = time.monotonic() + seconds
    while True:
        found = claim()
        if found:
            return found
        if alive is not None:
            alive()
        if time.monotonic() > deadline:
            raise AssertionError("waited %g s for %s" % (seconds, what))
        time.sleep(pause)


def interrupt(process, program):
    """SIGINT, once `program` takes it: started by rack.command, the process is a shell first, which may not
    pass it on, and a program that has not set itself up would just die. One that waits for signals blocks them."""
    def takes_it():
        with open("/proc/%d/status" % process.pid) as file:
            status = dict(line.split(":\t", 1) for line in file.read().splitlines())
        taken = int(status.get("SigCgt", "0"), 16) | int(status.get("SigBlk", "0"), 16)
        return process.poll() is not None or (status["Name"] == program and taken >> (signal.SIGINT - 1) & 1)

    wait_until(program + " to take signals", takes_it, seconds=120)
    process.send_signal(signal.SIGINT)


def merged(base, overrides):
    """`base` with `overrides` laid over it, sections key by key."""
    out = dict(base)
    for key, value in overrides.items():
        out[key] = merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return out


def devices(workers):
    one = "net_af_xdp%d,iface=%s,start_queue=%d,queue_count=1"
    return [one % (i, rack.NODE_LINK, i) for i in range(workers)]


def cores(workers):
    available = sorted(os.sched_getaffinity(0))
    return available[-workers:]


class Appliance:
    """`workers` one-queue AF_XDP devices make its port. The configuration is written as JSON, which is
    YAML too. `overrides` are laid over the usual one; rules are a list (None: no rules file). `hop` (a
    hop.Hop) is put between the producer and the port, and runs as long as the appliance is there."""

    def __init__(self, workers=1, rules=None, hop=None, **overrides):
        self.work = tempfile.mkdtemp(prefix="penstock-e2e.", dir="/var/tmp")
        self.runtime = tempfile.mkdtemp(prefix="penstock-e2e.", dir="/dev/shm")
        self.storage = os.path.join(self.work, "log")
        self.config = os.path.join(self.work, "penstock.yaml")
        self.workers = workers
        self.processes = {}
        names = devices(workers)
        self.settings = merged({
            "node": "e2e-%d" % os.getpid(),
            "runtime": self.runtime,
            "cache": os.path.join(self.work, "cache"),
            "workers": {"cores": cores(workers), "polling": "adaptive"},
            "ports": [{"device": names if workers > 1 else names[0], "address": rack.APPLIANCE + "/24"}],
            "listeners": [
                {"protocol": "lines", "port": LINES_PORT, "topic": "events"},
                {"protocol": "syslog", "port": SYSLOG_PORT, "topic": "syslog"},
                {"protocol": "syslog", "port": PARSED_PORT, "topic": "syslog", "value": "parsed"},
            ],
            "topics": [{"name": "events"}, {"name": "alerts"}, {"name": "syslog"}],
            "storage": {"paths": [self.storage], "segment": "16MiB", "commit": {"bytes": "256KiB"},
                        "ring": "16MiB"},
            "serve": {"kafka": KAFKA, "admin": ADMIN},
        }, copy.deepcopy(overrides))
        if rules is not None:
            self.settings["rules"] = "rules.yaml"
            self._write("rules.yaml", rules)
        self.write_config()
        rack.up(queues=workers, with_hop=hop is not None)
        self.hop = hop
        if hop is not None:
            hop.start()

    def write_rules(self, rules):
        """Another rules file beside what runs: nothing changes before a reload. Bytes are written as they are."""
        if not isinstance(rules, bytes):
            rules = json.dumps(rules).encode()
        path = os.path.join(self.work, "rules.yaml")
        with open(path + ".new", "wb") as file:
            file.write(rules)
        os.replace(path + ".new", path)

    def write_config(self):
        self._write("penstock.yaml", self.settings)

    def _write(self, name, tree):
        with open(os.path.join(self.work, name), "w", encoding="utf-8") as file:
            json.dump(tree, file, indent=2)

    # ---- processes

    def _start(self, name, words):
        assert not self.runs(name), name + " runs already"
        path = os.path.join(self.work, name + ".log")
        started_logs.append(path)
        with open(path, "ab") as log:
            self.processes[name] = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def start_ingest(self, wait=True):
        self._start("ingest", rack.command("node", os.path.join(BUILD, "penstock-ingest"), "-v", "-c", self.config))
        if wait:
            wait_until("a running ingest", lambda: self.status().get("running") and
                       self.status()["state"] == "running" and self.status()["pid"] == self.pid("ingest"),
                       seconds=60, alive=lambda: self.must_run("ingest"))

    def start_serve(self, wait=True):
        self._start("serve", [os.path.join(BUILD, "penstock-serve"), "-c", self.config])
        if wait:
            wait_until("a live serve", lambda: self.http("/livez")[0] == 200, alive=lambda: self.must_run("serve"))

    def start(self):
        self.start_ingest()
        self.start_serve()
        self.wait_ready()
        return self

    def wait_ready(self, seconds=30):
        wait_until("/readyz", lambda: self.http("/readyz")[0] == 200, seconds=seconds)

    def pid(self, name):
        return self.processes[name].pid

    def runs(self, name):
        process = self.processes.get(name)
        return process is not None and process.poll() is None

    def must_run(self, name):
        if not self.runs(name):
            raise AssertionError("%s ended by itself with %s" % (name, self.processes[name].returncode))

    def signal(self, name, number):
        self.processes[name].send_signal(number)

    def stop(self, name, seconds=60):
        """Stops in order; the exit code."""
        process = self.processes[name]
        process.send_signal(signal.SIGTERM)
        return process.wait(seconds)

    def kill(self, name):
        process = self.processes[name]
        process.kill()
        process.wait(60)  # its memory, sockets and writes under way go first

    def log(self, name):
        with open(os.path.join(self.work, name + ".log"), errors="replace") as file:
            return file.read()

    def end(self):
        """By force, whatever runs."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(60)

    def destroy(self):
        self.end()
        if self.hop is not None:
            self.hop.end()
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.rmtree(self.runtime, ignore_errors=True)

    # ---- questions

    def tool(self, *words, check=False):
        return subprocess.run([os.path.join(BUILD, "penstock"), *words], capture_output=True, text=True,
                              errors="replace", timeout=120, check=check)

    def status(self):
        answer = self.tool("status", "--runtime", self.runtime, "--json")
        return json.loads(answer.stdout) if answer.stdout else {}

    def ledger(self):
        return json.loads(self.tool("ledger", "--runtime", self.runtime, "--json").stdout)

    def counters(self):
        """Counters of wire/stats_page.h, summed over the partitions."""
        total = {}
        for partition in self.status()["partitions"]:
            for name, count in partition.get("counters", {}).items():
                total[name] = total.get(name, 0) + count
        return total

    def frames_received(self):
        """The first counter of every stats page, read as it lies there (wire/stats_page.h): cheap enough
        to ask for while sending."""
        total = 0
        for path in glob.glob(os.path.join(self.runtime, "stats-*")):
            with open(path, "rb") as page:
                magic, counters = page.read(8), page.seek(128)
                assert magic == b"PENSTSTA" and counters == 128, path
                total += int.from_bytes(page.read(8), "little")
        return total

    def settled_ledger(self, seconds=20):
        """The ledger once nothing arrives and nothing is in flight any more."""
        last = None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            now = self.ledger()
            if last is not None and now["frames"] == last["frames"] and now["records"]["in_flight"] == 0:
                return now
            last = now
            time.sleep(0.3)
        raise AssertionError("not quiet within %g s: %s" % (seconds, json.dumps(last["records"])))

    def http(self, path, method="GET", seconds=5):
        """(status, body) of the admin port; (0, reason) when nobody answers."""
        try:
            request = urllib.request.Request("http://%s%s" % (ADMIN, path), method=method)
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def segments(self):
        """Segment files of all partitions, in order, as paths."""
        out = []
        for folder, _, names in os.walk(self.storage):
            out += [os.path.join(folder, name) for name in names if name.endswith(".segment")]
        return sorted(out)


def missed_frames(ledger):
    """What the ports lost before the workers, in this run."""
    return sum(port["missed"] + port["no_buffer"] + port["errors"] for port in ledger["ports"])
