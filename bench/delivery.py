#!/usr/bin/python3
"""delivery.py - from durable to delivered: real daemons on the rack, an open-loop sender, a consumer
that always has one Fetch waiting.

  delivery.py [--seconds S] [--json FILE]

Needs root and a build. Everything runs in namespaces of its own, as the end-to-end tests do (their
appliance.py and rack.py are used). First searches the highest rate of datagrams that this machine's
sender, cable and worker carry without loss; then measures at 50 records/s and at half that rate.
"""
import argparse
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
E2E = os.path.join(ROOT, "tests", "e2e")
INSIDE = "PENSTOCK_BENCH_INSIDE"
sys.dont_write_bytecode = True
sys.path.insert(0, E2E)

IDLE_RATE = 50
LIMITS_US = {"delivery-idle": 2000, "delivery-half-load": 5000}
SEARCH_SECONDS = 1.0
SEARCH_FIRST = 20000
SEARCH_LAST = 2000000
BISECTIONS = 3
ON_SCHEDULE = 1.05  # the sender is taken to keep up while it takes at most this much longer


def enter_own_namespaces():
    environment = dict(os.environ, **{INSIDE: "1"})
    os.execvpe("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                           sys.executable, os.path.abspath(__file__), *sys.argv[1:]], environment)


def furnish_namespaces():
    os.makedirs("/run/netns", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "bench-netns", "/run/netns"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def keep_off(core):
    """For what stands for other machines: it does not take the worker's core."""
    others = os.sched_getaffinity(0) - {core}
    if others:
        os.sched_setaffinity(0, others)


def run_delay_us(pid):
    """How long the main thread of a process was ready and got no CPU, so far (schedstat's second field)."""
    with open("/proc/%d/task/%d/schedstat" % (pid, pid), encoding="ascii") as file:
        return int(file.read().split()[1]) / 1000


def cpu_pressure_us():
    """Time in which some process of this machine waited for a CPU, so far; None: the kernel cannot tell."""
    try:
        with open("/proc/pressure/cpu", encoding="ascii") as file:
            return int(file.readline().rsplit("total=", 1)[1])
    except OSError:
        return None


class Bench:
    def __init__(self, node, rack, build):
        self.node, self.rack, self.build = node, rack, build

    def popen(self, words):
        core = self.node.settings["workers"]["cores"][0]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: keep_off(core))

    def sender(self, rate, seconds):
        words = [os.path.join(self.build, "bench", "bench-sender"), self.rack.APPLIANCE, "5140",
                 "%.3f" % rate, "%.3f" % seconds]
        return self.popen(self.rack.command("producer", *words))

    def consumer(self, first, seconds):
        words = [os.path.join(self.build, "bench", "bench-delivery"), "127.0.0.1", "9092", "events",
                 self.node.runtime, str(first), "%.3f" % seconds]
        return self.popen(words)

    def records_in(self):
        return self.node.settled_ledger()["records"]["in"]

    def carried(self, rate):
        """(sent, arrived, whether the sender kept its schedule) of one second at `rate`."""
        before = self.records_in()
        sent = json.loads(self.sender(rate, SEARCH_SECONDS).communicate(timeout=60)[0])
        arrived = self.records_in() - before
        return sent["sent"], arrived, sent["seconds"] <= SEARCH_SECONDS * ON_SCHEDULE

    def highest_lossless_rate(self):
        good, bad, rate = 0, None, SEARCH_FIRST
        bisections = 0
        while rate <= SEARCH_LAST and bisections <= BISECTIONS:
            sent, arrived, on_schedule = self.carried(rate)
            print("  %8d/s: sent %d, lost %d%s" %
                  (rate, sent, sent - arrived, "" if on_schedule else ", the sender fell behind"), flush=True)
            if arrived == sent and on_schedule:
                good = rate
            else:
                bad = rate
            if bad is None:
                rate *= 2
            else:
                rate = (good + bad) // 2
                bisections += 1
        if good == 0:
            raise SystemExit("delivery.py: datagrams are lost at %d/s already" % SEARCH_FIRST)
        return good

    def measure(self, workload, rate, seconds):
        before = self.records_in()
        consumer = self.consumer(before, seconds + 1)
        time.sleep(0.5)
        names = ("serve", "ingest")
        delays = [run_delay_us(self.node.pid(name)) for name in names]
        pressure, began = cpu_pressure_us(), time.monotonic()
        sender = self.sender(rate, seconds)
        sent = json.loads(sender.communicate(timeout=seconds * 3 + 30)[0])
        elapsed_us = (time.monotonic() - began) * 1e6
        delays = [(run_delay_us(self.node.pid(name)) - before_us) / elapsed_us
                  for name, before_us in zip(names, delays)]
        pressure = None if pressure is None else (cpu_pressure_us() - pressure) / elapsed_us
        text = consumer.communicate(timeout=60)[0]
        if consumer.returncode != 0:
            raise SystemExit("delivery.py: the consumer failed")
        arrived = self.records_in() - before
        figures = json.loads(text)
        limit = LIMITS_US[workload]
        return {
            "workload": workload,
            "records_per_s": sent["sent"] / sent["seconds"],
            "ns_per_record": 1e9 * sent["seconds"] / sent["sent"],
            "limit": "p99 %d us" % limit,
            "limit_us": limit,
            "limit_ratio": figures["p99_us"] / limit,
            "lost": sent["sent"] - arrived,
            "sender_late_us_max": sent["late_us_max"],
            "serve_run_delay_share": delays[0],
            "ingest_main_run_delay_share": delays[1],
            "cpu_pressure_share": pressure,
            **figures,
        }


def print_result(result):
    print("\n%s: %.0f records/s, %d records in %d batches delivered, %d lost on the way in" %
          (result["workload"], result["records_per_s"], result["records"], result["batches"], result["lost"]))
    print("  p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  max %.0f us; p99 to stay within %d us: %.2f of it" %
          (result["p50_us"], result["p90_us"], result["p99_us"], result["p999_us"], result["max_us"],
           result["limit_us"], result["limit_ratio"]))
    print("  ready and without a CPU: serve %.1f %% of the time, ingest's main thread %.1f %%; anybody %s" %
          (100 * result["serve_run_delay_share"], 100 * result["ingest_main_run_delay_share"],
           "an unknown share" if result["cpu_pressure_share"] is None
           else "%.0f %%" % (100 * result["cpu_pressure_share"])), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement (default 20)")
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("delivery.py: needs root (namespaces, AF_XDP): try sudo")
    if INSIDE not in os.environ:
        enter_own_namespaces()
    furnish_namespaces()
    import appliance
    import rack

    node = appliance.Appliance(storage={"segment": "256MiB", "commit": {"bytes": "1MiB"},
                                        "ring": "64MiB", "retain": {"bytes": "1GiB"}})
    node.settings["workers"]["polling"] = "busy"
    node._write("penstock.yaml", node.settings)
    results = []
    try:
        node.start()
        rack.resolve_appliance()
        bench = Bench(node, rack, appliance.BUILD)
        print("the highest rate without loss, one line a datagram:", flush=True)
        highest = bench.highest_lossless_rate()
        for workload, rate in (("delivery-idle", IDLE_RATE), ("delivery-half-load", highest / 2)):
            results.append(bench.measure(workload, rate, arguments.seconds))
            results[-1]["highest_lossless_per_s"] = highest
            print_result(results[-1])
        node.stop("ingest")
    finally:
        node.destroy()
        rack.down()
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"results": results}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
