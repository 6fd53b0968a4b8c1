"""penstock log repair, export and verify on the logs of real nodes, and what consumers get afterwards."""
import base64
import json
import os

import consuming
import sending
from appliance import LINES_PORT
from test_send import SendTest
from test_verify import BLOCK, flip_byte

LINE_BYTES = 1000
EVERY_BYTE = bytes(range(256))


def record(value, key=None, headers=(), timestamp=1700000000000):
    """A line of `--format records`."""
    def put(out, name, data):
        if data is None:
            out[name] = None
        else:
            out[name + "_base64"] = base64.b64encode(data).decode()
    out = {"timestamp": timestamp}
    if key is not None:
        put(out, "key", key)
    put(out, "value", value)
    if headers:
        out["headers"] = []
        for name, data in headers:
            header = {"name": name}
            put(header, "value", data)
            out["headers"].append(header)
    return json.dumps(out)


def contents(line):
    """Key, value, headers and time of an exported line, whatever stands as base64."""
    def get(object, name):
        if name + "_base64" in object:
            return base64.b64decode(object[name + "_base64"])
        text = object.get(name)
        return None if text is None else text.encode()
    found = json.loads(line)
    headers = [(get(header, "name"), get(header, "value")) for header in found.get("headers", [])]
    return get(found, "key"), get(found, "value"), headers, found["timestamp"]


class Export(SendTest):
    def export(self, node, *words, code=0):
        answer = node.tool("log", "export", *words)
        self.assertEqual(answer.returncode, code, answer.stderr[-2000:])
        return answer.stdout.splitlines()

    def mixed(self):
        return [record(b"plain"), record(EVERY_BYTE, key=EVERY_BYTE), record(b"", key=b""), record(None, key=b"tombstone"),
                record(b"headers", headers=[("a", b"1"), ("a", EVERY_BYTE), ("null", None), ("\u20ac", b"")]),
                record(b"early", timestamp=1), record(b"x" * 100000, key=b"large")] + [
                    record(b"%d" % i, key=b"k%d" % (i % 7)) for i in range(500)]

    def test_what_is_exported_and_sent_again_is_the_same_to_the_byte(self):
        node = self.node(topics=[{"name": "events"}, {"name": "copy"}])
        lines = self.mixed()
        self.send(self.file(node, "\n".join(lines).encode()), "--format", "records", "--topic", "events")
        node.settled_ledger()

        first = self.export(node, "-c", node.config, "--topic", "events")
        self.send("--format", "records", "--topic", "copy", data="\n".join(first).encode())
        node.settled_ledger()
        second = self.export(node, "-c", node.config, "--topic", "copy", "--json-encoding", "base64")

        self.assertEqual([contents(line) for line in first], [contents(line) for line in lines])
        self.assertEqual([contents(line) for line in second], [contents(line) for line in lines])
        verified = node.tool("log", "verify", "-c", node.config, "--lanes")
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_records_with_headers_are_proven_by_their_receipts(self):
        node = self.node()
        receipts = os.path.join(node.work, "receipts")
        self.send(self.file(node, "\n".join(self.mixed()).encode()), "--format", "records", "--receipts", receipts)
        node.settled_ledger()

        self.assertEqual(self.audit(node, receipts)["findings"], [])

    def test_nothing_is_exported_that_is_not_durable_and_nothing_is_called_damaged_under_load(self):
        node = self.appliance(storage={"segment": "8MiB"}).start()
        with sending.Load(LINES_PORT, rate=8000, line_bytes=LINE_BYTES):
            for _ in range(8):
                verified = node.tool("log", "verify", "-c", node.config)
                self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
                verified = node.tool("log", "verify", "--quiet", node.storage)
                self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
                last = json.loads(self.export(node, "-c", node.config, "--topic", "events")[-1])["offset"]
                self.assertLess(last, consuming.watermarks("events")[1])
        node.settled_ledger()

        self.assertEqual([(json.loads(line)["offset"], contents(line)[1])
                          for line in self.export(node, node.storage, "--topic", "events")], consuming.entries("events"))


class Repair(SendTest):
    def stopped(self):
        """A node that is down, with a few sealed segments."""
        node = self.appliance(storage={"segment": "8MiB"}).start()
        self.lines = [(b"line %d " % i).ljust(LINE_BYTES, b"=") for i in range(30000)]
        sending.send_lines(self.lines, LINES_PORT, rate=10000, node=node)
        node.settled_ledger()
        self.assertEqual(node.stop("ingest"), 0)
        self.assertEqual(node.stop("serve"), 0)
        return node

    def inspect(self, node, path):
        return json.loads(node.tool("log", "inspect", path, "--json", "--entries").stdout)[0]

    def index_position(self, node, path):
        footer = self.inspect(node, path)["commits"][-1]
        self.assertTrue(footer["footer"])
        return footer["position"] + next(entry["position"] for entry in footer["entries"] if entry["name"] == "index")

    def test_a_running_node_is_not_repaired(self):
        node = self.appliance().start()
        sending.send_lines([b"a line"], LINES_PORT)
        node.settled_ledger()

        self.assertEqual(node.tool("log", "repair", "--yes", node.storage).returncode, 75)
        self.assertEqual(node.tool("log", "repair", "--yes", "-c", node.config).returncode, 75)

    def test_what_is_repaired_is_served_whole(self):
        node = self.stopped()
        paths = node.segments()
        self.assertGreater(len(paths), 3)
        size = os.path.getsize(paths[0])
        flip_byte(paths[0], size - BLOCK + 20)                      # a trailer
        flip_byte(paths[1], self.index_position(node, paths[1]) + 100)  # an index
        flip_byte(paths[2], 60)                                     # a header
        with open(os.path.join(os.path.dirname(paths[0]), "notes.txt"), "w") as file:
            file.write("left by somebody")
        self.assertEqual(node.tool("log", "verify", node.storage).returncode, 1)

        plan = node.tool("log", "repair", "--dry-run", "-c", node.config)
        self.assertEqual(plan.returncode, 1, plan.stdout + plan.stderr)
        self.assertEqual(node.tool("log", "verify", node.storage).returncode, 1)
        repaired = node.tool("log", "repair", "--yes", "-c", node.config)

        self.assertEqual(repaired.returncode, 0, repaired.stdout + repaired.stderr)
        verified = node.tool("log", "verify", node.storage)
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        node.start()
        self.assertEqual(consuming.entries("events"), list(enumerate(self.lines)))
        sending.send_lines([b"after the repair"], LINES_PORT)
        self.assert_balanced(node.settled_ledger())
        consuming.wait_for_end("events", len(self.lines) + 1)
        self.assertEqual(consuming.entries("events", offset=len(self.lines)), [(len(self.lines), b"after the repair")])

    def test_an_undone_repair_leaves_every_byte_as_it_was(self):
        node = self.stopped()
        paths = node.segments()
        os.rename(paths[0], paths[0] + ".x")
        os.rename(paths[1], paths[0])
        os.rename(paths[0] + ".x", paths[1])
        flip_byte(paths[2], os.path.getsize(paths[2]) - BLOCK + 20)
        before = [open(path, "rb").read() for path in paths]
        side_file = os.path.join(node.work, "side")

        repaired = node.tool("log", "repair", "--yes", "--save", side_file, node.storage)
        self.assertEqual(repaired.returncode, 0, repaired.stdout + repaired.stderr)
        self.assertEqual(node.tool("log", "verify", node.storage).returncode, 0)
        undone = node.tool("log", "repair", "--undo", side_file)

        self.assertEqual(undone.returncode, 0, undone.stdout + undone.stderr)
        self.assertTrue([open(path, "rb").read() for path in paths] == before)

    def test_a_segment_that_lost_its_beginning_is_served_from_its_first_good_commit_on(self):
        node = self.stopped()
        paths = node.segments()
        commits = self.inspect(node, paths[1])["commits"]
        with open(paths[1], "r+b") as file:
            file.write(bytes(commits[0]["position"] + commits[0]["bytes"]))
        self.assertIn("nothing in it can be identified", node.tool("log", "verify", node.storage).stdout)

        repaired = node.tool("log", "repair", "--yes", node.storage)
        node.start()

        self.assertIn("write anew", repaired.stdout)
        served = dict(consuming.entries("events"))
        missing = sorted(set(range(len(self.lines))) - set(served))
        self.assertEqual(len(missing), commits[0]["records"])
        self.assertEqual(served, {i: self.lines[i] for i in served})
