#!/usr/bin/env python3
"""Every whole example in the documentation is accepted by `penstock check`: examples_docs_test.py PENSTOCK.

README.md and docs/configuration.md begin with a penstock.yaml, and have its rules.yaml behind it. Those of docs/rules.md are
run by tests/rules/docs_test.py."""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PENSTOCK = sys.argv[1]


def yaml_blocks(name):
    return re.findall(r"^```yaml\n(.*?)^```$", (ROOT / name).read_text(), re.M | re.S)


def rules_of(blocks):
    return [block for block in blocks if block.startswith(("rules:\n", "default:"))]


def complaints_about(name, node, rules):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "penstock.yaml").write_text(node)
        (path / "rules.yaml").write_text(rules)
        run = subprocess.run([PENSTOCK, "check", path / "penstock.yaml"], capture_output=True, text=True, timeout=60)
    return [] if run.returncode == 0 else [f"{name}:\n{rules}{run.stdout}{run.stderr}"]


readme = yaml_blocks("README.md")
configuration = yaml_blocks("docs/configuration.md")
examples = [("README.md", readme[0], rules) for rules in rules_of(readme)]
examples += [("docs/configuration.md", configuration[0], rules) for rules in rules_of(configuration)]

complaints = [complaint for example in examples for complaint in complaints_about(*example)]
lacking = {"README.md", "docs/configuration.md"} - {name for name, _, _ in examples}
complaints += [f"{name} has no example of rules" for name in sorted(lacking)]
print("\n".join(complaints) if complaints else f"{len(examples)} examples are accepted")
sys.exit(1 if complaints else 0)
