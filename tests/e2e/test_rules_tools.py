"""penstock rules test, explain, bench, import, history and replay: whole commands, and on a real log."""
import json
import os
import random
import subprocess
import tempfile
import unittest

import sending
from appliance import BUILD, ROUTED_PORT
from case import ApplianceTest

PENSTOCK = os.path.join(BUILD, "penstock")
RULES = {"rules": [{"name": "noise", "when": "noise", "do": "drop"},
                   {"name": "pay", "when": "svc=pay", "do": {"route": ["alerts", "events"]}}],
         "default": {"route": "events"}}


def penstock(*words, data=b"", code=0):
    answer = subprocess.run([PENSTOCK, "rules", *words], input=data, capture_output=True, timeout=100, check=False)
    if code is not None and answer.returncode != code:
        raise AssertionError("%s: exit %d: %s" % (words, answer.returncode, answer.stderr[-2000:].decode("replace")))
    return answer


class OnAFile(unittest.TestCase):
    """No node: rules and records alone."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="penstock-e2e.", dir="/var/tmp")
        self.addCleanup(directory.cleanup)
        self.folder = directory.name

    def file(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return path

    def judged(self, rules, records, *words):
        answer = penstock("test", self.file("rules.yaml", rules), "--no-config", "--json", *words, data=records)
        return [json.loads(line) for line in answer.stdout.splitlines()]

    def test_a_hundred_thousand_records_stream_in_bounded_memory(self):
        rules = self.file("rules.yaml", json.dumps(RULES))
        command = "ulimit -v 400000; yes 'svc=pay 0123456789 0123456789' | head -n 300000 | %s rules test %s --no-config | tail -n 1"
        answer = subprocess.run(["sh", "-c", command % (PENSTOCK, rules)], capture_output=True, timeout=100, check=True)
        self.assertEqual(answer.stdout.decode().strip(), "300000: store alerts, events  by pay; held: pay",
                         answer.stderr[-500:])

    def test_a_reader_that_goes_away_ends_it(self):
        rules = self.file("rules.yaml", json.dumps(RULES))
        command = "yes line | timeout 20 %s rules test %s --no-config 2>/dev/null | head -n 1" % (PENSTOCK, rules)
        answer = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=True)
        self.assertEqual(answer.stdout.decode().strip(), "1: store events  default")

    def test_imported_patterns_find_what_grep_finds(self):
        """Generated patterns in both syntaxes, held against GNU grep line by line."""
        seed = int(os.environ.get("PENSTOCK_SEED", "7"))
        choose = random.Random(seed)
        lines = ["".join(choose.choice("abc.*\\[](){}|+?^$ ") for _ in range(choose.randrange(0, 9))) for _ in range(400)]
        lines += ["aa", "abab", "", "a" * 40, "b.c", "c]"]
        records = "\n".join(lines).encode() + b"\n"
        compared = 0
        for flags in ([], ["-E"], ["-F"], ["-i"]):
            pieces = ["a", "b", "c", ".", "*", "\\(", "\\)", "(", ")", "\\|", "|", "+", "?", "\\+", "\\?", "^", "$", "[ab]",
                      "[^a]", "[]c]", "[\\.]", "{2}", "\\{2\\}", "{1,2}", "\\.", "\\*", "\\\\", "[[:punct:]]", "C"]
            for _ in range(60):
                pattern = "".join(choose.choice(pieces) for _ in range(choose.randrange(1, 6)))
                source = self.file("pattern", pattern + "\n")
                wanted = subprocess.run(["grep", "-n", *flags, "-f", source], input=records, capture_output=True, check=False,
                                        env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]})
                imported = penstock("import", "--from", "grep", *flags, source, "--do", "events", "--default", "drop", code=None)
                if imported.returncode == 1:
                    continue  # refused, and said
                self.assertEqual(imported.returncode, 0, imported.stderr)
                self.assertLess(wanted.returncode, 2, "grep refuses %r: %s" % (pattern, wanted.stderr))
                found = [line["number"] for line in self.judged(imported.stdout, records) if line["verdict"] == "store"]
                expected = [int(line.split(b":")[0]) for line in wanted.stdout.splitlines()]
                self.assertEqual(found, expected, "pattern %r, flags %s, seed %d" % (pattern, flags, seed))
                compared += 1
        self.assertGreater(compared, 80)

    def test_expectations_are_a_regression_test(self):
        rules = self.file("rules.yaml", json.dumps(RULES))
        records = self.file("records", "noise\nsvc=pay\nother\n")
        recorded = penstock("test", rules, records, "--no-config", "--json").stdout
        expected = self.file("expected", recorded)

        penstock("test", rules, records, "--no-config", "--expect", expected)
        self.file("rules.yaml", json.dumps({**RULES, "rules": RULES["rules"][1:]}))
        answer = penstock("test", rules, records, "--no-config", "--expect", expected, code=1)

        self.assertIn(b'verdict: expected "drop", found "store"', answer.stdout)


class OnALog(ApplianceTest):
    def test_history_and_replay_of_a_real_log(self):
        node = self.appliance(rules=RULES, listeners=[{"protocol": "lines", "port": ROUTED_PORT}]).start()
        lines = [(b"noise %d", b"svc=pay %d", b"plain %d")[i % 3] % i for i in range(900)]
        sending.send_lines(lines, ROUTED_PORT, rate=2000, per_datagram=10, node=node)
        node.settled_ledger()
        epoch = node.status()["rules_epoch"]

        spans = json.loads(node.tool("rules", "history", "-c", node.config, "--json", check=True).stdout)
        self.assertEqual({(span["topic"], span["records"]) for span in spans}, {("events", 600), ("alerts", 300)})
        self.assertEqual({span["epoch"] for span in spans}, {epoch})

        changed = dict(RULES, rules=[{"name": "pay", "when": "svc=pay", "do": {"route": "alerts"}},
                                     {"name": "plain", "when": "^plain .*7$", "do": "drop"}])
        candidate = os.path.join(node.work, "candidate.yaml")
        with open(candidate, "w", encoding="utf-8") as file:
            json.dump(changed, file)
        words = ["rules", "replay", candidate, "-c", node.config, "--topic", "events", "--json"]
        report = json.loads(node.tool(*words, "--last", "10m", check=True).stdout)
        sevens = sum(1 for line in lines if line.startswith(b"plain") and line.endswith(b"7"))
        rules = {rule["rule"]: rule for rule in report["rules"]}
        self.assertEqual(report["records"], 600)
        self.assertEqual(report["changed"], 300 + sevens)
        self.assertEqual((rules["plain"]["new"], rules["pay"]["new"], rules["pay"]["lost"]), (sevens, 0, 0))
        self.assertEqual({(c["from"], c["to"]): c["records"] for c in report["changes"]},
                         {("alerts, events", "alerts"): 300, ("events", "drop"): sevens})
        self.assertEqual(report["in_force"]["epoch"], epoch)

        same = json.loads(node.tool("rules", "replay", os.path.join(node.work, "rules.yaml"), "-c", node.config, "--json",
                                    check=True).stdout)
        self.assertEqual((same["records"], same["changed"]), (900, 0))
