#!/usr/bin/env python3
"""The tree's include rules: who may see whom, one door a library, a README in every folder.

Prints every breach as file:line; exit 1 when there is any.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Folder: the folders that its own sources may include.
MAY_SEE = {
    "base": {"base"},
    "wire": {"base", "wire"},
    "nic": {"base", "nic"},
    "pipeline": {"base", "wire", "pipeline"},
    "storage": {"base", "wire", "storage"},
    "client": {"base", "wire", "client"},
    "dataplane": {"base", "wire", "nic", "pipeline", "storage", "dataplane"},
    "serve": {"base", "wire", "serve"},
}
SEE_ALL = {"tools", "tests", "bench"}
# serve sees only the read side of the logs.
SERVE_STORAGE = {"storage/reader.h", "storage/scrub.h"}

# Header prefix: where it may be included (files or folders).
DOORS = [
    ("rte_rcu_qsbr.h", ["dataplane/rules_rcu.c"]),
    ("rte_", ["nic/dpdk_", "pipeline/rule_meter.c", "tests/nic/", "bench/"], r"^rte_(?!rcu_qsbr\.h)"),
    ("hs", ["pipeline/rule_databases.c", "pipeline/rule_flags.h", "pipeline/rule_redact.c", "pipeline/rule_set.c", "pipeline/rules", "tests/pipeline/rule_redact_test.cc", "bench/"], r"^hs(/hs)?\.h$"),
    ("liburing.h", ["storage/uring_disk.c", "tests/storage/", "bench/"]),
    ("event2/", ["serve/"]),
    ("yaml.h", ["base/yaml.c"]),
    ("jansson.h", ["tools/", "serve/", "tests/", "bench/"]),
    ("numa.h", ["nic/dpdk_", "dataplane/node"]),
    ("isa-l", ["base/crc32c.c", "bench/"]),
    ("lz4", ["wire/record_codec.c"]),
    ("zstd.h", ["wire/record_codec.c"]),
]

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def folder_breach(source, target):
    folder = source.split("/")[0]
    seen = target.split("/")[0]
    if folder in SEE_ALL:
        return None
    if "/" not in target:
        return f'"{target}": include by its path from the root'
    if folder == "serve" and target in SERVE_STORAGE:
        return None
    if seen not in MAY_SEE[folder]:
        return f"{folder}/ may not include {target}"
    return None


def door_breach(source, target):
    for door in DOORS:
        pattern = door[2] if len(door) > 2 else "^" + re.escape(door[0])
        if re.search(pattern, target) and not any(source.startswith(place) for place in door[1]):
            return f"<{target}> belongs behind one door: {', '.join(door[1])}"
    return None


def breaches_of(path):
    source = path.relative_to(ROOT).as_posix()
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted = match.group(1) == '"'
        breach = folder_breach(source, match.group(2)) if quoted else door_breach(source, match.group(2))
        if breach:
            yield f"{source}:{number}: {breach}"


def main():
    breaches = []
    for folder in sorted(MAY_SEE.keys() | SEE_ALL | {"docs", "packaging"}):
        if not (ROOT / folder / "README.md").is_file():
            breaches.append(f"{folder}/: has no README.md")
        if folder in MAY_SEE or folder in SEE_ALL:
            for path in sorted((ROOT / folder).rglob("*")):
                if path.suffix in (".c", ".h", ".cc"):
                    breaches.extend(breaches_of(path))
    print("\n".join(breaches) if breaches else "the include rules hold")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
