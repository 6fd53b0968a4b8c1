"""Starts that cannot work: said at once, in words that lead to the mistake."""
import os
import subprocess

import rack
from appliance import BUILD, Appliance
from case import ApplianceTest

GOOD = """node: e2e-config
runtime: %s
workers: { cores: [0] }
ports:
  - { device: 'net_af_xdp0,iface=node0', address: 192.0.2.10/24 }
listeners:
  - { protocol: lines, port: 5140, topic: events }
topics: [ { name: events } ]
storage: { paths: [%s] }
"""


class BadConfiguration(ApplianceTest):
    def setUp(self):
        self.node = self.appliance()

    PROGRAMS = ("penstock-ingest", "penstock-serve", "penstock")

    def start(self, text, rules=None, programs=PROGRAMS):
        """{program: (exit code, stderr)} for a configuration that cannot be used."""
        path = os.path.join(self.node.work, "bad.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        if rules is not None:
            with open(os.path.join(self.node.work, "bad-rules.yaml"), "w", encoding="utf-8") as file:
                file.write(rules)
        out = {}
        for program in programs:
            option = "check" if program == "penstock" else "-c"
            answer = subprocess.run(rack.command("node", os.path.join(BUILD, program), option, path),
                                    capture_output=True, text=True, timeout=30)
            out[program] = (answer.returncode, answer.stderr + answer.stdout)
        return out

    def good(self):
        return GOOD % (self.node.runtime, self.node.storage)

    def assert_refused(self, answers, *words):
        for program, (code, text) in answers.items():
            self.assertEqual(code, 78, program + ": " + text)
            for word in words:
                self.assertIn(word, text, program)

    def test_an_unknown_key_is_named_with_its_place(self):
        answers = self.start(self.good().replace("topics:", "tropics:"))
        self.assert_refused(answers, "bad.yaml:8:1", "tropics")

    def test_a_value_out_of_range_is_named_with_its_place(self):
        answers = self.start(self.good().replace("port: 5140", "port: 99999"))
        self.assert_refused(answers, "bad.yaml:7:30", "99999")

    def test_two_mistakes_are_both_told(self):
        answers = self.start(self.good().replace("port: 5140", "port: 0").replace("/24", "/99"))
        self.assert_refused(answers, "bad.yaml:5:", "bad.yaml:7:")

    def test_a_rule_that_does_not_compile_is_named_with_its_place(self):
        """serve has nothing to do with rules."""
        answers = self.start(self.good() + "rules: bad-rules.yaml\n", programs=("penstock-ingest", "penstock"),
                             rules="rules:\n  - { name: broken, when: '(unclosed', do: drop }\n")
        self.assert_refused(answers, "bad-rules.yaml:2:")

    def test_a_file_that_is_not_there(self):
        for program in ("penstock-ingest", "penstock-serve"):
            answer = subprocess.run([os.path.join(BUILD, program), "-c", "/nonexistent/penstock.yaml"],
                                    capture_output=True, text=True, timeout=30)
            self.assertNotEqual(answer.returncode, 0)
            self.assertIn("/nonexistent/penstock.yaml", answer.stderr)

    def test_usage(self):
        for program in ("penstock-ingest", "penstock-serve"):
            answer = subprocess.run([os.path.join(BUILD, program), "--nosuch"], capture_output=True, text=True,
                                    timeout=30)
            self.assertEqual(answer.returncode, 64)
            self.assertIn("usage:", answer.stderr)


class StartsThatCannotWork(ApplianceTest):
    def test_an_interface_that_is_not_there(self):
        node = self.appliance(ports=[{"device": "net_af_xdp0,iface=nosuch0", "address": "192.0.2.10/24"}])

        node.start_ingest(wait=False)

        self.assertEqual(node.processes["ingest"].wait(30), 1)
        self.assertIn("nosuch0", node.log("ingest"))

    def test_a_second_ingest_on_the_same_runtime_directory(self):
        node = self.appliance()
        node.start_ingest()

        second = subprocess.run(rack.command("node", os.path.join(BUILD, "penstock-ingest"), "-c", node.config),
                                capture_output=True, text=True, timeout=30)

        self.assertEqual(second.returncode, 1)
        self.assertIn("another penstock-ingest", second.stderr)
        node.must_run("ingest")
        self.assertEqual(node.status()["state"], "running")

    def test_a_second_ingest_on_the_same_storage(self):
        node = self.appliance()
        node.start_ingest()
        other = Appliance(storage={"paths": [node.storage]})
        self.addCleanup(other.destroy)

        other.start_ingest(wait=False)

        self.assertEqual(other.processes["ingest"].wait(30), 1)
        self.assertIn("in use by another penstock-ingest", other.log("ingest"))
        node.must_run("ingest")

    def test_a_second_serve_on_the_same_port(self):
        node = self.appliance()
        node.start_serve()

        second = subprocess.run([os.path.join(BUILD, "penstock-serve"), "-c", node.config], capture_output=True,
                                text=True, timeout=30)

        self.assertNotEqual(second.returncode, 0)
        self.assertIn("9092", second.stderr)
        node.must_run("serve")

    def test_a_runtime_directory_on_a_disk(self):
        node = self.appliance()
        node.settings["runtime"] = os.path.join(node.work, "runtime")
        node.write_config()

        node.start_ingest(wait=False)

        self.assertEqual(node.processes["ingest"].wait(30), 1)
        self.assertIn("not on a tmpfs", node.log("ingest"))
