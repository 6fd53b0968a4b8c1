#!/usr/bin/env python3
"""How fast Producer is: records of 256 bytes over the loopback to the mini appliance, which only counts them.

  measure.py [RECORDS]     default 100000; prints records a second, first send to last durable
"""

import context  # noqa: F401

import sys
import time

from penstock_producer import Producer
from test_producer import Appliance

count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
value = bytes(256)
with Appliance("--quick") as appliance, Producer(appliance.address, queue_wait=10.0) as producer:
    producer.send(value).result(5.0)  # the lanes' handshake is not what is measured
    began = time.monotonic()
    cpu = time.process_time()
    for _ in range(count):
        producer.send(value)
    assert producer.flush(60.0)
    seconds = time.monotonic() - began
    cpu = time.process_time() - cpu
    print(f"{count / seconds:,.0f} records/s, {cpu / count * 1e6:.1f} us of CPU a record")
    print(producer.statistics())
assert appliance.report["fates"] == count + 1
