#!/usr/bin/env python3
"""docs/operations.md explains every counter of wire/stats_page.h, and none that is not there."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
counters = set(re.findall(r"^    X\((\w+), \w+,", (ROOT / "wire/stats_page.h").read_text(), re.M))
rows = re.findall(r"^\| `(\w+_\w+)` \|", (ROOT / "docs/operations.md").read_text(), re.M)

complaints = [f"docs/operations.md does not explain {name}" for name in sorted(counters - set(rows))]
complaints += [f"docs/operations.md explains {name}, which is no counter" for name in sorted(set(rows) - counters)]
complaints += [f"docs/operations.md explains {name} twice" for name in sorted(set(rows)) if rows.count(name) > 1]
print("\n".join(complaints) if complaints else f"{len(counters)} counters are explained")
sys.exit(1 if complaints or not counters else 0)
