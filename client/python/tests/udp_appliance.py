#!/usr/bin/env python3
"""The mini appliance on a UDP socket of 127.0.0.1, until its standard input ends.

Prints its port, and at the end what it has seen, as JSON. With --quick it checks less and stores nothing: for
measuring a producer.
"""

import context  # noqa: F401  (first: it finds the package)

import json
import selectors
import socket
import sys
import time

from mini_appliance import MiniAppliance, Settings
from penstock_producer.codec import Fate, Malformed, decode_record


def fate_by_value(record: bytes) -> int:
    try:
        value = decode_record(record).value or b""
    except Malformed:
        return Fate.MALFORMED
    if value.startswith(b"refuse"):
        return Fate.NOT_ALLOWED
    return Fate.DROPPED if value.startswith(b"drop") else Fate.STORED


def serve(appliance: MiniAppliance, own: socket.socket) -> None:
    selector = selectors.DefaultSelector()
    selector.register(own, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    while True:
        now = time.monotonic()
        deadline = appliance.deadline()
        wait = 0.5 if deadline is None else min(max(deadline - now, 0.0), 0.5)
        for key, _ in selector.select(wait):
            if key.fileobj is sys.stdin:
                return
            for _ in range(32):
                try:
                    datagram, address = own.recvfrom(65536)
                except BlockingIOError:
                    break
                appliance.receive(datagram, address, time.monotonic())
        appliance.poll(time.monotonic())
        for datagram, address in appliance.out:
            own.sendto(datagram, address)
        appliance.out.clear()


def main() -> None:
    quick = "--quick" in sys.argv
    workers = 4 if "--workers" in sys.argv else 1
    settings = Settings(workers=workers, names_source_port=False, session_timeout=5.0, credit=4 << 20)
    if not quick:
        settings.fate_of = fate_by_value
    appliance = MiniAppliance(settings)
    appliance.quick = quick
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    own.bind(("127.0.0.1", 0))
    own.setblocking(False)
    print(own.getsockname()[1], flush=True)
    serve(appliance, own)
    lanes = appliance.lanes.values()
    values = [[(decode_record(r).value or b"").hex() for r in lane.stored()] for lane in lanes]
    fates = sum(lane.durable for lane in lanes)
    json.dump({"fates": fates, "values": values, "violations": appliance.violations}, sys.stdout)


if __name__ == "__main__":
    main()
