#!/usr/bin/python3
"""table.py - redraws every table from the JSON that ./bench/run wrote.

  table.py FILE            prints them (Markdown)
  table.py FILE DOCUMENT   writes them into DOCUMENT, between its two marks
"""
import json
import sys

BEGIN = "<!-- figures: begin -->"
END = "<!-- figures: end -->"


def row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def head(*cells):
    return [row(*cells), row(*["---"] + ["---:"] * (len(cells) - 1))]


def ratio(result, name):
    return "%.2f [%.2f, %.2f]" % (result[name], result[name + "_low"], result[name + "_high"])


def ingest_tables(results):
    lines = head("workload", "M records/s", "Gbit/s", "ns/record", "roofline M/s", "share [95 %]",
                 "share of busy time [95 %]", "rounds kept")
    for result in results:
        lines.append(row(result["workload"], "%.2f" % (result["records_per_s"] / 1e6),
                         "%.2f" % result["gbit_per_s"], "%.0f" % result["ns_per_record"],
                         "%.2f" % (result["limit_records_per_s"] / 1e6), ratio(result, "limit_ratio"),
                         ratio(result, "busy_limit_ratio"),
                         "%d of %d" % (result["rounds_kept"], result["rounds_run"])))
    lines += ["", *head("workload", "to disk MB/s", "commit KiB", "bare writer MB/s", "share of the disk [95 %]",
                        "time waiting for it", "dropped by rule")]
    for result in results:
        lines.append(row(result["workload"], "%.0f" % (result["disk_bytes_per_s"] / 1e6),
                         "%.0f" % (result["commit_bytes"] / 1024),
                         "%.0f" % (result["disk_limit_bytes_per_s"] / 1e6), ratio(result, "disk_limit_ratio"),
                         "%.0f %%" % (100 * result["stages"]["waiting"]["ns"] / result["ns_per_record"]), "%.0f %%" % (100 * result["dropped_share"])))
    lines += ["", "a record, in this thread's user mode alone (what others took of the core is not in it):", "",
              *head("workload", "instructions", "bare", "cycles", "bare")]
    for result in results:
        lines.append(row(result["workload"], *["%.0f" % result[name] for name in
                                               ("instructions_per_record", "limit_instructions_per_record",
                                                "user_cycles_per_record", "limit_user_cycles_per_record")]))
    lines += ["", "ns a record by stage, worker (bare):", ""]
    stages = list(results[0]["stages"])
    lines += head("workload", *stages)
    for result in results:
        cells = []
        for name in stages:
            stage = result["stages"][name]
            bare = " (%.0f)" % stage["limit_ns"] if "limit_ns" in stage else ""
            cells.append("%.1f%s" % (stage["ns"], bare))
        lines.append(row(result["workload"], *cells))
    return lines


def delivery_tables(results):
    lines = head("workload", "records/s", "records", "p50 us", "p90", "p99", "p99.9", "max", "p99 limit",
                 "share of it", "lost", "serve waited for a CPU", "ingest main", "CPU pressure")
    for result in results:
        pressure = result["cpu_pressure_share"]
        lines.append(row(result["workload"], "%.0f" % result["records_per_s"], result["records"],
                         *["%.0f" % result[name] for name in ("p50_us", "p90_us", "p99_us", "p999_us", "max_us")],
                         "%d" % result["limit_us"], "%.2f" % result["limit_ratio"], result["lost"],
                         *["%.1f %%" % (100 * result[name]) for name in
                           ("serve_run_delay_share", "ingest_main_run_delay_share")],
                         "unknown" if pressure is None else "%.0f %%" % (100 * pressure)))
    return lines


def contest_tables(result):
    """Sides that did the same in turns, and what one was held to against another."""
    sides = result["sides"]
    flood = any(side["flood_per_s"] > 0 for side in sides)
    lines = head("%s: ns a record of the worker's core" % result["workload"], *[side["side"] for side in sides])
    for stage in sides[0]["stages_ns"]:
        name = "**busy, all stages**" if stage == "busy" else stage
        lines.append(row(name, *["%.1f" % side["stages_ns"][stage] for side in sides]))
    for name, field, form in (("waited for the disk", "waiting_ns", "%.1f"),
                              ("producers, on the same core", "sender_ns", "%.1f"),
                              ("instructions in busy turns", "instructions_per_record", "%.0f"),
                              ("user cycles in busy turns", "user_cycles_per_record", "%.0f"),
                              ("ACKs", "acks_per_record", "%.3f")):
        lines.append(row(name, *[form % side[field] for side in sides]))
    lines.append(row("M records/s, the producers' time left out", *["%.2f" % (side["records_per_s"] / 1e6)
                                                                    for side in sides]))
    if flood:
        lines.append(row("M hostile datagrams/s", *["%.2f" % (side["flood_per_s"] / 1e6) for side in sides]))
    lines += ["", *head("promised", "measured [95 %]", "limit", "kept", "rounds kept")]
    for promise in result["promises"]:
        at_least = promise["at_least"]
        # As sure as the interval is: its worse end decides.
        worse = promise["figure_low"] if at_least else promise["figure_high"]
        kept = worse >= promise["limit"] if at_least else worse <= promise["limit"]
        median = (promise["figure"] >= promise["limit"]) if at_least else (promise["figure"] <= promise["limit"])
        lines.append(row(promise["text"], "%.2f [%.2f, %.2f]" % (promise["figure"], promise["figure_low"],
                                                               promise["figure_high"]),
                         "%s %g" % ("at least" if at_least else "at most", promise["limit"]),
                         "not known: no round was undisturbed" if result["rounds_kept"] == 0 else
                         "yes" if kept else "by the median" if median else "no",
                         "%d of %d" % (result["rounds_kept"], result["rounds_run"])))
    return lines


def triple(values, scale=1.0):
    return "%.2f [%.2f, %.2f]" % tuple(value / scale for value in values)


def promised(values, limit, at_least, rounds_kept):
    """As sure as the interval is: its worse end decides."""
    median, low, high = values
    if rounds_kept == 0:
        return "not known: no round was undisturbed"
    if (low >= limit) if at_least else (high <= limit):
        return "yes"
    return "by the median" if ((median >= limit) if at_least else (median <= limit)) else "no"


def append_tables(results):
    lines = head("append: records of", "commits", "method", "append GB/s", "bare writer GB/s", "with the same bytes",
                 "ratio [95 %]", "limit", "kept", "gather ns/KiB", "bare copy + CRC", "rounds kept")
    for result in results:
        lines.append(row("%d B" % result["record_bytes"],
                         "%.0f KiB x %d" % (result["mean_commit_bytes"] / 1024, result["depth"]), result["method"],
                         triple(result["append_bytes_per_s"], 1e9), triple(result["bare_bytes_per_s"], 1e9),
                         triple(result["bare_same_bytes_per_s"], 1e9),
                         triple(result["rate_ratio"]), "at least %g" % result["rate_ratio_limit"],
                         promised(result["rate_ratio"], result["rate_ratio_limit"], True, result["rounds_kept"]),
                         "%.0f" % result["gather_ns_per_kib"], "%.0f" % result["copy_ns_per_kib"],
                         "%d of %d" % (result["rounds_kept"], result["rounds_run"])))
    lines += ["", *head("append to durable, on a schedule", "GB/s", "p50 us", "p99", "p99.9", "bare p50", "p99",
                        "p99.9", "(p99 - linger) / bare p99 [95 %]", "limit", "kept", "rounds kept")]
    for result in results:
        cells = ["%.0f" % result[who][name] for who in ("append_latency", "bare_latency")
                 for name in ("p50_us", "p99_us", "p999_us")]
        lines.append(row("%d B" % result["record_bytes"], "%.2f" % (result["scheduled_bytes_per_s"] / 1e9), *cells,
                         triple(result["latency_ratio"]), "at most %g" % result["latency_ratio_limit"],
                         promised(result["latency_ratio"], result["latency_ratio_limit"], False,
                                  result["open_rounds_kept"]),
                         "%d of %d" % (result["open_rounds_kept"], result["rounds_run"])))
    return lines


def rules_tables(results):
    lines = head("rules", "lines that match", "judge ns/record", "hs_scan ns/record", "ratio [95 %]", "limit", "kept",
                 "aim", "kept", "compiled in s", "database MiB", "rounds kept")
    for result in results:
        kept = [promised(result["scan_ratio"], result[name], False, result["rounds_kept"])
                for name in ("scan_ratio_limit", "scan_ratio_aim")]
        lines.append(row("%d literals, %d regular expressions" % (result["literals"], result["regexes"]),
                         "%.1f %%" % (100 * result["matched_share"]), "%.0f" % result["judge_ns"][0],
                         "%.0f" % result["scan_ns"][0], triple(result["scan_ratio"]),
                         "at most %g" % result["scan_ratio_limit"], kept[0], "%g" % result["scan_ratio_aim"], kept[1],
                         "%.1f" % result["compile_seconds"], "%.1f" % (result["database_bytes"] / 2**20),
                         "%d of %d" % (result["rounds_kept"], result["rounds_run"])))
    return lines


def durable_tables(result):
    names = list(result["cells"][0]["methods"])
    lines = ["the writer spins on CPU %d; us are a write's time to durable: p99 as fast as they go / p99 on a schedule of "
             "half of what fdatasync does; ratios are of GB/s, to dsync in the same round" % result["core"], ""]
    lines += head("place", "write", *["%s: GB/s" % name for name in names], *["%s: us" % name for name in names],
                  *["%s [95 %%]" % name for name in names[1:]])
    for cell in result["cells"]:
        methods = [cell["methods"][name] for name in names]
        lines.append(row("%s (%s)" % (cell["place"], cell["cache"]),
                         "%d KiB x %d" % (cell["size"] / 1024, cell["depth"]),
                         *["%.2f" % (method["bytes_per_s"] / 1e9) for method in methods],
                         *["%.0f / %.0f" % (method["p99_us"], method["scheduled_p99_us"]) for method in methods],
                         *[triple(method["ratio"]) for method in methods[1:]]))
    return lines


def disturbed(results):
    """A warning when the machine was too busy for the figures to be believed."""
    measured = [result for result in results if "rounds_kept" in result]
    kept = sum(result["rounds_kept"] for result in measured)
    run = sum(result["rounds_run"] for result in measured)
    crowded = any((result.get("cpu_pressure_share") or 0) > 0.2 for result in results)
    out = []
    if 2 * kept < run:
        out.append("**Disturbed: %d of %d rounds had the core to themselves.** Rates and stage times are no measure of "
                   "the appliance; instructions and cycles of the thread alone nearly are." % (kept, run))
    if crowded:
        out.append("**Crowded: processes waited for a CPU.** The tail of the delivery times is the scheduler's.")
    return ["", *out] if out else []


def draw(document):
    lines = ["`%(command)s`, %(date)s" % document,
             "commit %s, kernel %s" % (document["commit"][:20], document["kernel"]),
             "%s; load before %.1f, after %.1f" % (document["cpu"], document["load_before"],
                                                   document["load_after"]),
             "flags %s" % document["flags"]]
    lines = ["%s  " % line for line in lines]
    lines += disturbed(document["results"])
    delivery = [result for result in document["results"] if result["workload"].startswith("delivery-")]
    contests = [result for result in document["results"] if "sides" in result]
    append = [result for result in document["results"] if result["workload"] == "append"]
    durable = [result for result in document["results"] if result["workload"] == "durable"]
    rules = [result for result in document["results"] if "scan_ratio" in result]
    others = delivery + contests + append + durable + rules
    ingest = [result for result in document["results"] if result not in others]
    if ingest:
        lines += ["", *ingest_tables(ingest)]
    for result in contests:
        lines += ["", *contest_tables(result)]
    if append:
        lines += ["", *append_tables(append)]
    if rules:
        lines += ["", *rules_tables(rules)]
    for result in durable:
        lines += ["", *durable_tables(result)]
    if delivery:
        lines += ["", *delivery_tables(delivery)]
    return "\n".join(lines)


def write_into(path, text):
    with open(path, encoding="utf-8") as file:
        document = file.read()
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        sys.exit("table.py: %s has not the two marks '%s' and '%s'" % (path, BEGIN, END))
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    with open(path, "w", encoding="utf-8") as file:
        file.write("%s%s\n%s\n%s%s" % (before, BEGIN, text, END, after))


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        text = draw(json.load(file))
    if len(sys.argv) == 3:
        write_into(sys.argv[2], text)
    else:
        print(text)


if __name__ == "__main__":
    main()
