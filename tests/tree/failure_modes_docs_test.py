#!/usr/bin/env python3
"""docs/failure-modes.md names only metrics, events and statuses that the code has, and every row has its views."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = [path for folder in ("base", "wire", "storage", "dataplane", "serve")
           for path in sorted((ROOT / folder).glob("*.[ch]"))]
VIEWS = ["producer", "metrics", "event", "consumer", "on call", "heals"]
TEXT = (ROOT / "docs/failure-modes.md").read_text()
complaints = []


def joined(source):
    """A source with adjacent string literals as one, and every conversion as one placeholder."""
    text = re.sub(r'"\s*(PRI[a-zA-Z0-9]+)\s*"', "#", source)
    text = re.sub(r'"\s*\n\s*"', "", text)
    return re.sub(r"%[-0-9.*]*(?:l|z|ll)?[a-zA-Z]?#?|#", "\0", text)


CODE = "\n".join(joined(path.read_text()) for path in SOURCES)


def metrics_of_the_code():
    names = set()
    for path in SOURCES:
        source = path.read_text()
        names |= {"%s_total" % name for name in re.findall(r"^    X\((\w+), \w+,", source, re.M)}
        if path.name == "serve_stats.h":
            names |= {"serve_%s_total" % name for name in re.findall(r"^    X\((\w+),", source, re.M)}
        if path.name == "metrics.c":
            names |= set(re.findall(r'"(\w+)"', source))
    return names


def check_metrics():
    known = metrics_of_the_code()
    named = set(re.findall(r"penstock_(\w+)", TEXT))
    complaints.extend("no metric is called penstock_%s" % name for name in sorted(named - known))
    return len(named)


def is_said(words):
    """Whether a message of the code has these words in this order; what is in capitals, and what stands between
    parentheses, is of the case at hand."""
    pieces = [piece.strip() for piece in re.split(r"\b[A-Z]\b|\bWHY\b|\.\.\.|part-P", words)]
    pieces = [re.sub(r"\((input/output error|no space left|Read-only file system)\)", "(\0)", piece) for piece in pieces]
    pieces = [re.sub(r": (input/output error|no space left);", ": \0;", piece) for piece in pieces]
    return all(part in CODE for piece in pieces for part in re.split("\0", piece) if len(part.strip()) > 2)


def check_events():
    rows = re.findall(r"^\| event \| (.*) \|$", TEXT, re.M)
    events = [event for row in rows for event in re.findall(r"`([^`]+)`", row)]
    others = re.findall(r"`((?:segment|storage path|lacks|is damaged)[^`]*)`", TEXT)
    complaints.extend("nothing says: %s" % event for event in sorted(set(events + others)) if not is_said(event))
    return len(events)


def check_views():
    cases = re.findall(r"^### (.*)\n\n((?:\|.*\n)+)", TEXT, re.M)
    for name, table in cases:
        found = re.findall(r"^\| ([a-z ]+) \|", table, re.M)[1:]
        if found != VIEWS:
            complaints.append("%s: %s, not %s" % (name, found, VIEWS))
    return len(cases)


counts = check_metrics(), check_events(), check_views()
for name in ("NATIVE_BEHIND", "NATIVE_CLOSED_IO", "NATIVE_CLOSED_NO_SPACE", "KAFKA_STORAGE_ERROR", "KAFKA_OFFSET_OUT_OF_RANGE"):
    if name not in CODE:
        complaints.append("the code has no %s" % name)
if min(counts) == 0:
    complaints.append("the document has lost its tables")
print("\n".join(complaints) if complaints else "%d metrics, %d events, %d cases" % counts)
sys.exit(1 if complaints else 0)
