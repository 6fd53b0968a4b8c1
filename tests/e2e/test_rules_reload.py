"""Other rules come into force while records arrive: none is lost, and bad files change nothing."""
import hashlib
import json
import os
import signal
import subprocess
import time

import consuming
import rack
from appliance import BUILD, wait_until
from case import ApplianceTest

PORT, LINES_PORT = 4650, 5140
LISTENERS = [{"protocol": "native", "port": PORT, "topic": "events"},
             {"protocol": "lines", "port": LINES_PORT, "topic": "events"}]
TO_EVENTS = {"rules": [{"name": "all", "when": "k", "do": {"route": "events"}}]}
TO_ALERTS = {"rules": [{"name": "all", "when": "k", "do": {"route": "alerts"}}]}
BAD = b"rules:\n  - { name: one, when: 'k', do: drop }\n  - { name: two, when: 'k(', do: drop }\n"


def epoch_of(rules):
    """As pipeline/rules.h says."""
    text = rules if isinstance(rules, bytes) else json.dumps(rules).encode()
    return hashlib.sha256(text).digest()[7::-1].hex()


class ReloadTest(ApplianceTest):
    def node(self, **settings):
        settings.setdefault("listeners", LISTENERS)
        out = self.appliance(rules={"rules": []}, **settings)
        out.write_rules(TO_EVENTS)
        return out.start()

    def reload(self, node, code=0):
        answer = node.tool("rules", "reload", "-c", node.config)
        self.assertEqual(answer.returncode, code, (answer.stdout, answer.stderr))
        return answer

    def in_force(self, node):
        return node.status()["rules_epoch"]

    def metric(self, node, name):
        lines = [line for line in node.http("/metrics")[1].splitlines() if line.startswith(name)]
        self.assertEqual(len(lines), 1, (name, lines))
        return lines[0]

    def begin_sending(self, node, count, lanes=8, rate=0, receipts="receipts"):
        """penstock send of numbered records, with a ledger of receipts for penstock audit."""
        path = os.path.join(node.work, "input")
        if not os.path.exists(path):
            with open(path, "wb") as file:
                for i in range(count):
                    file.write(b"k%d %d %s\n" % (i % 16, i, b"." * (i % 60)))
        words = [os.path.join(BUILD, "penstock"), "send", path, "--to", "%s:%d" % (rack.APPLIANCE, PORT),
                 "--lanes", str(lanes), "--receipts", os.path.join(node.work, receipts), "--timeout", "100s", "--json"]
        process = subprocess.Popen(rack.command("producer", *words, *(["--rate", str(rate)] if rate else [])),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end_sending, process)
        return process

    @staticmethod
    def end_sending(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def finish_sending(self, process, seconds=100):
        out, errors = process.communicate(timeout=seconds)
        self.assertEqual(process.returncode, 0, (out[-2000:], errors[-2000:]))

    def assert_audit_is_clean(self, node, receipts="receipts"):
        answer = node.tool("audit", os.path.join(node.work, receipts), "-c", node.config, "--json")
        self.assertEqual(answer.returncode, 0, (answer.stdout[-3000:], answer.stderr))

    def assert_commits_keep_to_their_rules(self, node, topic_of):
        """`topic_of`: epoch to the one topic that those rules route to. Answers the epochs in order of commits."""
        answer = node.tool("log", "inspect", "-c", node.config, "--entries", "--json")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        epochs = []
        for segment in json.loads(answer.stdout):
            for commit in segment["commits"]:
                topics = {entry["topic_name"] for entry in commit["entries"] if "topic_name" in entry}
                if topics:
                    epoch = "%016x" % int(commit["rules_epoch"])
                    self.assertEqual(topics, {topic_of[epoch]}, commit)
                    epochs.append(epoch)
        return epochs


class Reload(ReloadTest):
    def test_the_command_waits_until_the_rules_are_in_force(self):
        node = self.node()
        self.assertEqual(self.in_force(node), epoch_of(TO_EVENTS))
        node.write_rules(TO_ALERTS)
        self.assertEqual(self.in_force(node), epoch_of(TO_EVENTS), "not before it is asked")

        answer = self.reload(node)

        self.assertRegex(answer.stdout, r"^rules reloaded: epoch %s, 1 rules, in force after \d+ ms on 1 worker\n$" %
                         epoch_of(TO_ALERTS))
        self.finish_sending(self.begin_sending(node, 500))
        self.assertEqual(len(consuming.values("alerts")), 500)
        self.assertEqual(consuming.values("events"), [])
        wait_until("the page to tell", lambda: self.in_force(node) == epoch_of(TO_ALERTS))
        wait_until("the worker to take them", lambda: node.counters()["rules_swaps"] == 1)
        copies = os.listdir(os.path.join(node.work, "cache", "rules"))
        self.assertEqual(sorted(copies), sorted(epoch_of(rules) + ".yaml" for rules in (TO_EVENTS, TO_ALERTS)))

    def test_a_bad_file_leaves_the_old_rules_and_says_so_loudly(self):
        node = self.node()
        node.write_rules(BAD)

        answer = self.reload(node, code=1)

        self.assertIn("rules.yaml:3:", answer.stderr)
        self.assertIn(epoch_of(TO_EVENTS) + " stay in force", answer.stderr)
        self.assertIn("rules.yaml:3:", node.log("ingest"))
        self.assertEqual(self.metric(node, "penstock_rules_reload_failures_total"), "penstock_rules_reload_failures_total 1")
        self.assertEqual(self.metric(node, "penstock_rules_stale"), "penstock_rules_stale 1")
        self.assertIn(epoch_of(TO_EVENTS), self.metric(node, "penstock_rules_epoch"))
        self.assertIn("FAILED", node.tool("status", "-c", node.config).stdout)
        self.finish_sending(self.begin_sending(node, 300))
        self.assertEqual(len(consuming.values("events")), 300)

        node.write_rules(TO_ALERTS)
        self.reload(node)
        self.assertEqual(self.metric(node, "penstock_rules_stale"), "penstock_rules_stale 0")
        self.assertEqual(self.metric(node, "penstock_rules_reloads_total"), "penstock_rules_reloads_total 1")

    def test_a_file_that_is_gone_and_a_node_without_rules(self):
        node = self.node()
        os.remove(os.path.join(node.work, "rules.yaml"))
        self.assertIn("rules.yaml", self.reload(node, code=1).stderr)
        self.assertEqual(self.in_force(node), epoch_of(TO_EVENTS))
        self.assertEqual(node.stop("ingest"), 0)
        self.assertIn("no penstock-ingest", self.reload(node, code=69).stderr)
        self.assertEqual(node.http("/rules/reload", method="POST")[0], 503)

        del node.settings["rules"]
        node.write_config()
        node.start_ingest()
        self.assertIn("no rules file", self.reload(node, code=1).stderr)
        self.assertEqual(node.http("/rules/reload", method="POST")[0], 422)

    def test_hangup_reloads(self):
        node = self.node()
        node.write_rules(TO_ALERTS)
        node.signal("ingest", signal.SIGHUP)
        wait_until("the rules of the file", lambda: self.in_force(node) == epoch_of(TO_ALERTS))
        node.write_rules(BAD)
        node.signal("ingest", signal.SIGHUP)
        wait_until("the log to tell", lambda: "rules not reloaded" in node.log("ingest"))
        self.assertEqual(self.in_force(node), epoch_of(TO_ALERTS))
        node.must_run("ingest")

    def test_http_reloads_for_this_host(self):
        node = self.node()
        node.write_rules(TO_ALERTS)
        self.assertEqual(node.http("/rules/reload")[0], 405, "only POST")
        self.assertEqual(self.in_force(node), epoch_of(TO_EVENTS))

        code, body = node.http("/rules/reload", method="POST", seconds=60)
        self.assertEqual(code, 200, body)
        answer = json.loads(body)
        self.assertEqual((answer["epoch"], answer["rules"], answer["in_force"]), (epoch_of(TO_ALERTS), 1, True))

        node.write_rules(BAD)
        code, body = node.http("/rules/reload", method="POST", seconds=60)
        self.assertEqual(code, 422)
        self.assertIn("rules.yaml:3:", body)
        self.assertEqual(node.http("/metrics", method="POST")[0], 405)
        self.assertEqual(node.http("/readyz")[0], 200)


class UnderLoad(ReloadTest):
    def test_nothing_is_lost_and_each_commit_keeps_to_one_set(self):
        node = self.node(workers=2)
        sets = [TO_EVENTS, TO_ALERTS]
        sender = self.begin_sending(node, 100_000, lanes=16, rate=20_000)
        reloads = 0
        while sender.poll() is None and reloads < 60:
            reloads += 1
            node.write_rules(sets[reloads % 2])
            self.reload(node)
            time.sleep(0.02)
        self.finish_sending(sender)

        self.assertGreater(reloads, 10)
        self.assert_balanced(node.settled_ledger())
        self.assertEqual(len(consuming.values("events")) + len(consuming.values("alerts")), 100_000)
        self.assertLessEqual(node.counters()["rules_swaps"], 2 * reloads, "one that sleeps may miss some")
        self.assertGreater(node.counters()["rules_swaps"], reloads)
        self.assertEqual(node.stop("ingest"), 0)
        self.assert_audit_is_clean(node)
        epochs = self.assert_commits_keep_to_their_rules(
            node, {epoch_of(TO_EVENTS): "events", epoch_of(TO_ALERTS): "alerts"})
        self.assertEqual(set(epochs), {epoch_of(TO_EVENTS), epoch_of(TO_ALERTS)})
