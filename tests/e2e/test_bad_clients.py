"""Clients that are hostile, broken or slow: refused or waited out; a good consumer goes on."""
import os
import socket
import struct
import subprocess
import time

import consuming
import sending
from appliance import KAFKA, LINES_PORT, wait_until
from case import SharedApplianceTest

HOST, PORT = KAFKA.split(":")


def connect():
    out = socket.create_connection((HOST, int(PORT)), timeout=15)
    return out


def is_closed_by_peer(connection):
    """True when serve closes without an answer that is a Kafka frame; False after 15 quiet seconds."""
    try:
        while connection.recv(65536):
            pass
        return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def request(api, version, body=b"", client=b"e2e"):
    header = struct.pack("!hhih", api, version, 77, len(client)) + client
    return struct.pack("!i", len(header + body)) + header + body


def fetch(topic, offset=0, max_bytes=16 << 20):
    """Fetch version 4 of partition 0."""
    name = topic.encode()
    return request(1, 4, struct.pack("!iiiib", -1, 10, 1, max_bytes, 0) + struct.pack("!ih", 1, len(name)) + name +
                   struct.pack("!iiqi", 1, 0, offset, max_bytes))


def resident_bytes(pid):
    with open("/proc/%d/statm" % pid) as file:
        return int(file.read().split()[1]) * 4096


class BadClients(SharedApplianceTest):
    def setUp(self):
        self.follower = consuming.Follower(os.path.join(self.node.work, "follower"), "events", offset="end")
        self.addCleanup(self.follower.close)
        self.pid = self.node.pid("serve")
        wait_until("the good consumer at the end of the log", self.greet, pause=0.2)

    def greet(self):
        sending.send_lines([b"hello"], LINES_PORT)
        return self.follower.entries()

    def tearDown(self):
        """Whatever the test did: the same serve runs, and the consumer of before goes on."""
        self.node.must_run("serve")
        self.assertEqual(self.node.pid("serve"), self.pid)
        sending.send_lines([b"alive"], LINES_PORT)
        wait_until("the good consumer's next record",
                   lambda: any(value == b"alive" for _, value in self.follower.entries()))
        self.assertGreater(len(consuming.values("events")), 0)

    def refused(self, data):
        with connect() as connection:
            try:
                connection.sendall(data)
            except ConnectionError:
                return
            self.assertTrue(is_closed_by_peer(connection), "still open")

    def test_64_kib_of_garbage(self):
        self.refused(os.urandom(65536))

    def test_a_length_of_two_gib(self):
        self.refused(struct.pack("!I", 0x7FFFFFFF) + b"x" * 100)

    def test_a_negative_length(self):
        self.refused(struct.pack("!i", -1) + b"x" * 100)

    def test_a_tls_hello(self):
        self.refused(bytes.fromhex("16030100c8010000c40303") + bytes(190))

    def test_an_http_get(self):
        self.refused(b"GET / HTTP/1.1\r\nHost: penstock\r\n\r\n")

    def test_an_api_that_nobody_knows(self):
        self.refused(request(999, 0))

    def test_a_request_cut_in_its_body(self):
        self.refused(struct.pack("!i", 12) + struct.pack("!hhih", 1, 4, 5, -1) + b"\0\0")

    def test_half_a_header_and_silence_is_closed_after_its_time(self):
        with connect() as connection:
            connection.settimeout(25)
            began = time.monotonic()
            connection.sendall(request(18, 0)[:6])
            self.assertTrue(is_closed_by_peer(connection))
            self.assertLess(time.monotonic() - began, 20)

    def test_api_versions_of_the_future_is_answered_with_version_0(self):
        """KIP-511: so that a newer client can step down."""
        with connect() as connection:
            connection.sendall(request(18, 99))
            answer = connection.recv(4096)
        length, correlation, error = struct.unpack("!iih", answer[:10])
        self.assertEqual((length, correlation, error), (len(answer) - 4, 77, 35))

    def test_500_idle_connections_leave_room_for_a_good_one(self):
        idle = [connect() for _ in range(500)]
        self.addCleanup(lambda: [one.close() for one in idle])
        sending.send_lines([b"beside 500"], LINES_PORT)

        wait_until("a record beside them", lambda: any(value == b"beside 500" for _, value in self.follower.entries()))
        self.assertIn(b"beside 500", consuming.values("events"))

    def test_clients_that_ask_for_much_and_read_nothing_get_bounded_memory(self):
        lines = [(b"%d " % i).ljust(1400, b"#") for i in range(12000)]
        sending.send_lines(lines, LINES_PORT, rate=20000, node=self.node)
        wait_until("the lines in the log", lambda: consuming.watermarks("events")[1] >= len(lines))
        before = resident_bytes(self.pid)

        greedy = [connect() for _ in range(60)]
        self.addCleanup(lambda: [one.close() for one in greedy])
        for one in greedy:
            one.sendall(fetch("events") * 20)
        time.sleep(2)

        self.assertLess(resident_bytes(self.pid) - before, 400 << 20)
        sending.send_lines([b"beside the greedy"], LINES_PORT)
        wait_until("a record beside them", lambda: any(value == b"beside the greedy"
                                                       for _, value in self.follower.entries()))

    def test_produce_is_refused_by_name(self):
        answer = subprocess.run([*consuming.KCAT, "-P", "-t", "events", "-X", "message.timeout.ms=4000"],
                                input=b"not this way\n", capture_output=True, timeout=30)
        self.assertNotEqual(answer.returncode, 0)
        self.assertNotIn(b"not this way", consuming.values("events"))

    def test_a_topic_that_does_not_exist(self):
        answer = subprocess.run([*consuming.KCAT, "-C", "-t", "nosuch", "-e", "-q"], capture_output=True, timeout=30)
        self.assertNotEqual(answer.returncode, 0)
        self.assertIn(b"nknown topic", answer.stderr)


class ConnectionLimit(SharedApplianceTest):
    @classmethod
    def settings(cls):
        return {"serve": {"connections": 20}}

    def test_connections_beyond_the_limit_are_closed_at_once_and_counted(self):
        open_ones = [connect() for _ in range(20)]
        with connect() as one_more:
            self.assertTrue(is_closed_by_peer(one_more))
        for one in open_ones:
            one.close()
        self.assertIn("penstock_serve_connections_refused_total 1\n", self.node.http("/metrics")[1])
        self.assertEqual(consuming.values("events"), [])
