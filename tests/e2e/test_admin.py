"""The admin port: metrics agree with the ledger, health says what is so."""
import json
import re
import socket

import sending
from appliance import ADMIN, LINES_PORT, wait_until
from case import ApplianceTest

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (-?[0-9.e+-]+|\+Inf|-Inf|NaN)$')


class Admin(ApplianceTest):
    def test_metrics_are_prometheus_text_and_agree_with_the_ledger(self):
        node = self.appliance().start()
        sending.send_lines([b"line %d" % i for i in range(2000)], LINES_PORT, rate=10000)
        node.settled_ledger()
        status, text = node.http("/metrics")
        counters = node.counters()

        self.assertEqual(status, 200)
        families, sums, stored, seen = {}, {}, 0, set()
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, family, kind = line.split(" ", 3)
                self.assertNotIn(family, families, "a family twice")
                families[family] = kind
            elif not line.startswith("#"):
                match = SAMPLE.match(line)
                self.assertIsNotNone(match, line)
                self.assertNotIn(match.group(1, 2), seen, line)
                seen.add(match.group(1, 2))
                sums[match.group(1)] = sums.get(match.group(1), 0) + float(match.group(3))
                if match.group(1) == "penstock_records_total" and 'outcome="stored"' in match.group(2):
                    stored += float(match.group(3))
        for name in ("frames_received", "records_in", "records_in_bytes", "records_stored_bytes"):
            self.assertEqual(sums["penstock_%s_total" % name], counters[name], name)
        self.assertEqual(sums["penstock_frames_total"], counters["frames_received"], "outcomes add up")
        self.assertEqual(sums["penstock_ledger_records_residue"], 0)
        self.assertEqual(stored, counters["records_stored"])
        self.assertEqual(counters["records_stored"], 2000)

    def test_health_follows_ingest(self):
        node = self.appliance().start()
        self.assertEqual(node.http("/livez")[0], 200)
        self.assertEqual(node.http("/readyz")[0], 200)
        self.assertEqual(node.http("/healthz")[0], 200)

        node.kill("ingest")
        wait_until("/readyz to say no", lambda: node.http("/readyz")[0] == 503, seconds=15)
        self.assertIn("ingest", node.http("/readyz")[1])
        self.assertEqual(node.http("/livez")[0], 200, "serve itself is alive")

        node.start_ingest()
        node.wait_ready()

    def test_what_is_not_there_and_what_is_not_http(self):
        node = self.appliance().start()
        self.assertEqual(node.http("/nosuch")[0], 404)
        host, port = ADMIN.split(":")
        for garbage in (b"\0\1\2\3" * 1000, b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\n\r\n", b"GET / HT"):
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                try:
                    connection.sendall(garbage)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(4096)
                except OSError:
                    pass
        self.assertEqual(node.http("/readyz")[0], 200)

    def test_status_and_ledger_say_when_ingest_is_not_running(self):
        node = self.appliance()
        self.assertEqual(node.tool("status", "-c", node.config).returncode, 69)
        node.start()
        self.assertEqual(node.tool("status", "-c", node.config).returncode, 0)
        self.assertEqual(node.tool("ledger", "-c", node.config).returncode, 0)

        self.assertEqual(node.stop("ingest"), 0)

        self.assertEqual(node.tool("status", "-c", node.config).returncode, 1)
        answer = node.tool("ledger", "-c", node.config)
        self.assertEqual(answer.returncode, 0, answer.stdout)
        self.assertIn("every one is accounted for", answer.stdout)
