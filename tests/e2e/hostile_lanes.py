#!/usr/bin/env python3
"""Lanes that keep to the protocol's letters and hurt others all the same: run inside the producer's namespace.

usage: hostile_lanes.py HOST:PORT KIND LANES SECONDS

KIND   fates      each fills what the appliance keeps of fates, runs of one record, and never confirms any
       fragments  each sends one chunk of a large record every two seconds, and never the last one
       trickle    each sends ten short records a second, confirms, and is no harm by itself
The last line printed is JSON: how many lanes were opened, records sent, ACKs heard.
"""
import json
import os
import selectors
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "client", "python"))
from penstock_producer import codec  # noqa: E402

RUNS = 1024  # of a lane's fates: more than any appliance keeps
RECORDS = 64  # a datagram
PERIOD = {"fates": 0.05, "fragments": 2.0, "trickle": 0.1}
RECORD_BYTES = 200 * 1024


class HostileLane:
    """One socket, one lane."""

    def __init__(self, address, kind, number):
        self.address, self.kind, self.number = address, kind, number
        self.id = os.urandom(16)
        self.nonce = int.from_bytes(os.urandom(8), "little") or 1
        self.socket = None
        self.session = 0
        self.packet = 0
        self.sequence = 1
        self.confirmed = 0
        self.chunk = 0
        self.acks = 0
        self.next = 0.0
        self.rebind()

    def rebind(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(self.address)
        self.socket.setblocking(False)

    def send(self, message):
        try:
            self.socket.send(message.encode())
        except (BlockingIOError, ConnectionRefusedError):
            pass

    def hear(self):
        """True: it has another socket now."""
        while True:
            try:
                data = self.socket.recv(2048)
            except (BlockingIOError, ConnectionRefusedError):
                return False
            try:
                message = codec.decode(data)
            except codec.Malformed:
                continue
            if isinstance(message, codec.Challenge) and not self.session:
                self.send(codec.Open(self.nonce, message.cookie, self.id, self.number, 1, codec.UNKNOWN,
                                     codec.UNKNOWN, begin=True))
            elif isinstance(message, codec.Accept):
                self.session = message.session
            elif isinstance(message, codec.Reject) and message.code == codec.Code.REDIRECT and not self.session:
                self.rebind()  # another source port: another queue, with luck
                return True
            elif isinstance(message, codec.Reject) and message.code == codec.Code.SESSION_UNKNOWN:
                self.session = 0
            elif isinstance(message, codec.Ack):
                self.acks += 1
                if self.kind == "trickle":
                    self.confirmed = max(self.confirmed, message.durable)

    def act(self, now):
        if now < self.next:
            return
        if not self.session:
            self.next = now + 0.3
            self.send(codec.Hello(self.nonce))
            return
        self.next = now + PERIOD[self.kind]
        getattr(self, self.kind)()

    def data(self, records):
        self.packet += 1
        self.send(codec.Data(self.session, self.packet, self.sequence, self.confirmed, records))
        self.sequence += len(records)

    def fates(self):
        """Malformed ones and such for a topic that is not there, in turns: no two fates in a row are the same."""
        if self.sequence > RUNS:
            self.packet += 1
            self.send(codec.Ping(self.session, self.packet, self.sequence, 0))
            return
        no_topic = codec.encode_record(codec.Record(b"x", topic_crc=12345))
        self.data([b"\xff", no_topic] * (RECORDS // 2))

    def fragments(self):
        self.packet += 1
        self.chunk += 1
        self.send(codec.Fragment(self.session, self.packet, self.sequence, 0, RECORD_BYTES,
                                 self.chunk * codec.CHUNK_BYTES, bytes(codec.CHUNK_BYTES)))

    def trickle(self):
        self.data([codec.encode_record(codec.Record(b"trickle"))])


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    kind, lanes, seconds = sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    all_lanes = [HostileLane((host, int(port)), kind, 0) for _ in range(lanes)]
    selector = selectors.DefaultSelector()
    for lane in all_lanes:
        selector.register(lane.socket, selectors.EVENT_READ, lane)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _ in selector.select(0.01):
            lane, old = key.data, key.fileobj
            selector.unregister(old)
            lane.hear()
            selector.register(lane.socket, selectors.EVENT_READ, lane)
        now = time.monotonic()
        for lane in all_lanes:
            lane.act(now)
    print(json.dumps({"opened": sum(lane.packet > 0 for lane in all_lanes),
                      "records": sum(lane.sequence - 1 for lane in all_lanes),
                      "acks": sum(lane.acks for lane in all_lanes)}))


if __name__ == "__main__":
    main()
