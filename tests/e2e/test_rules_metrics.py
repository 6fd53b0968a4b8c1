"""What each rule did: the same in /metrics, /rules, the command line and the ledger, also after a kill."""
import json
import re

import sending
from appliance import LINES_PORT, ROUTED_PORT, wait_until
from case import ApplianceTest

SAMPLE = re.compile(r'^penstock_rule_(\w+)_total\{rule="([^"]*)",mode="(\w+)"\} (\d+)$')

DROP_AND_ROUTE = {
    "rules": [
        {"name": "debug", "when": "level=debug", "do": "drop"},
        {"name": "errors", "when": "level=error", "do": {"route": "alerts"}},
    ],
    "default": {"route": "events"},
}

ALL_KINDS = {
    "rules": [
        {"name": "would-drop", "when": "level=error", "do": "drop", "mode": "shadow"},
        {"name": "debug", "when": "level=debug", "do": "drop"},
        {"name": "tenth", "when": "level=info", "do": {"keep": "1/10", "route": "events"}},
        {"name": "errors", "when": "level=error", "do": {"route": "alerts"}},
    ],
    "default": {"route": "events"},
    "examples": {"keep": 2, "bytes": 32},
}


def lines_of(level, count):
    return [b"level=%s number=%d of what was sent" % (level.encode(), i) for i in range(count)]


class RulesMetrics(ApplianceTest):
    def rules_of(self, node):
        """{name: rule} of /rules."""
        status, text = node.http("/rules")
        self.assertEqual(status, 200, text)
        return {rule["name"]: rule for rule in json.loads(text)["rules"]}

    def listed(self, node):
        answer = node.tool("rules", "list", "-c", node.config, "--json")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return json.loads(answer.stdout)

    def series(self, node):
        """{(rule, count): value} of /metrics."""
        out = {}
        for line in node.http("/metrics")[1].splitlines():
            match = SAMPLE.match(line)
            if match:
                out[match.group(2), match.group(1)] = int(match.group(4))
        return out

    def send(self, node, lines):
        sending.send_lines(lines, ROUTED_PORT, rate=5000)
        node.settled_ledger()

    def test_every_rule_is_listed_and_what_was_judged_outlives_a_kill(self):
        node = self.appliance(rules=DROP_AND_ROUTE,
                              listeners=[{"protocol": "lines", "port": ROUTED_PORT}]).start()
        self.send(node, lines_of("info", 500))
        before = self.listed(node)
        self.assertEqual([rule["name"] for rule in before["rules"]], ["debug", "errors"])
        self.assertEqual([rule["mode"] for rule in before["rules"]], ["enforce", "enforce"])
        self.assertEqual(before["rules"][0]["judged"], 500)
        self.assertEqual(before["epoch"], node.status()["rules_epoch"])
        self.assertEqual(list(self.rules_of(node)), ["debug", "errors"])

        node.kill("ingest")
        self.assertEqual(self.listed(node)["rules"], before["rules"], "the last page is still there")
        self.assertFalse(self.listed(node)["running"])
        self.assertEqual(node.tool("rules", "top", "-c", node.config, "--once").returncode, 1)

        node.start_ingest()
        node.wait_ready()
        self.send(node, lines_of("info", 100))
        after = self.listed(node)
        self.assertEqual(after["generation"], before["generation"] + 1)
        self.assertEqual(after["rules"][0]["judged"], 600)
        self.assertEqual(self.rules_of(node)["debug"]["judged"], 600, "serve follows the new page")

    def test_a_reload_goes_on_with_the_counts(self):
        node = self.appliance(rules=DROP_AND_ROUTE,
                              listeners=[{"protocol": "lines", "port": ROUTED_PORT}]).start()
        self.send(node, lines_of("info", 300))
        before = self.listed(node)
        node.write_rules({"rules": [{"name": "new", "when": "level=trace", "do": "drop"}] + DROP_AND_ROUTE["rules"][::-1],
                          "default": {"route": "events"}})

        answer = node.tool("rules", "reload", "-c", node.config)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        after = self.listed(node)
        self.send(node, lines_of("info", 50))

        self.assertEqual([rule["name"] for rule in after["rules"]], ["new", "errors", "debug"])
        self.assertEqual([rule["judged"] for rule in after["rules"]], [0, 300, 300])
        self.assertEqual(after["generation"], before["generation"] + 1)
        self.assertNotEqual(after["epoch"], before["epoch"])
        rules = self.rules_of(node)
        self.assertEqual([rules[name]["judged"] for name in ("new", "errors", "debug")], [50, 350, 350])

    def test_counts_are_the_same_everywhere_and_agree_with_the_ledger(self):
        node = self.appliance(workers=2, rules=ALL_KINDS,
                              listeners=[{"protocol": "lines", "port": ROUTED_PORT},
                                         {"protocol": "lines", "port": LINES_PORT}]).start()
        debug, info, errors = lines_of("debug", 300), lines_of("info", 1000), lines_of("error", 200)
        self.send(node, debug + info + errors)
        counters = node.counters()
        rules = self.rules_of(node)

        self.assertEqual(rules["would-drop"]["mode"], "shadow")
        self.assertEqual(rules["would-drop"]["matches"], 200)
        self.assertEqual(rules["would-drop"]["dropped"], 200, "what it would have dropped")
        self.assertEqual(rules["debug"]["matches"], 300)
        self.assertEqual(rules["debug"]["match_bytes"], sum(map(len, debug)))
        self.assertEqual(rules["debug"]["dropped"], 300)
        self.assertEqual(rules["errors"]["matches"], 200, "the shadow took none")
        self.assertEqual(rules["tenth"]["matches"], 1000)
        self.assertEqual(rules["debug"]["judged"], 1500)
        self.assertEqual(counters["records_dropped_by_rule"], 300)
        self.assertEqual(counters["records_sampled_out"], rules["tenth"]["sampled_out"])
        self.assertGreater(rules["tenth"]["sampled_out"], 800)
        self.assertEqual(counters["records_stored"], 1500 - 300 - rules["tenth"]["sampled_out"])

        self.assertEqual(self.listed(node)["rules"], list(rules.values()))
        series = self.series(node)
        for name, rule in rules.items():
            for count in ("matches", "dropped", "sampled_out", "limited", "redacted", "match_bytes"):
                self.assertEqual(series[name, count], rule[count], (name, count))

    def test_examples_are_what_came_last(self):
        node = self.appliance(rules=ALL_KINDS, listeners=[{"protocol": "lines", "port": ROUTED_PORT}]).start()
        self.send(node, lines_of("error", 50))

        answer = node.tool("rules", "examples", "errors", "-c", node.config, "--json")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        examples = json.loads(answer.stdout)["examples"]
        self.assertTrue(1 <= len(examples) <= 2, examples)
        for example in examples:
            self.assertRegex(example["value"], r"^level=error number=\d+ of ?")
            self.assertTrue(example["cut"])
            self.assertLessEqual(len(example["value"]), 32)
        status, text = node.http("/rules/examples?rule=errors")
        self.assertEqual(status, 200)
        self.assertEqual(json.loads(text)["examples"], examples)
        self.assertEqual(json.loads(node.http("/rules/examples?rule=debug")[1])["examples"], [])

    def test_counts_go_on_after_a_kill(self):
        node = self.appliance(rules=DROP_AND_ROUTE,
                              listeners=[{"protocol": "lines", "port": ROUTED_PORT}]).start()
        self.send(node, lines_of("debug", 100))
        self.assertEqual(self.rules_of(node)["debug"]["dropped"], 100)

        node.kill("ingest")
        node.start_ingest()
        node.wait_ready()
        wait_until("serve to follow", lambda: self.rules_of(node)["debug"]["dropped"] == 100)
        self.send(node, lines_of("debug", 10))
        self.assertEqual(self.rules_of(node)["debug"]["dropped"], 110)
