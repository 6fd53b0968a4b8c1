#!/usr/bin/env python3
"""Sends numbered records by the native protocol, with client/python: run inside the producer's namespace.

usage: native_producer.py HOST:PORT COUNT [--keys K] [--lanes L] [--rate R] [--id HEX] [--bytes B] [--topic T]
                          [--timeout S]

Record i has the key `k<i % K>` and the value `k<i % K> <i> <padding>`. The last line printed is JSON: what became of
them. Exit 0: each has its fate.
"""
import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "client", "python"))
from penstock_producer import Fate, Producer, QueueFull  # noqa: E402


def value_of(number, keys, length):
    return (b"k%d %d " % (number % keys, number)).ljust(length, b".")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("count", type=int)
    parser.add_argument("--keys", type=int, default=16)
    parser.add_argument("--lanes", type=int, default=4)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--id", type=bytes.fromhex)
    parser.add_argument("--bytes", type=int, default=100)
    parser.add_argument("--topic")
    parser.add_argument("--timeout", type=float, default=60)
    return parser.parse_args()


def main():
    options = arguments()
    host, port = options.address.rsplit(":", 1)
    fates = {}
    failures = []
    began = time.monotonic()

    def note(delivery):
        error = delivery.exception()
        if error is not None:
            failures.append(str(error))
        else:
            name = Fate(delivery.result()).name
            fates[name] = fates.get(name, 0) + 1

    losses = []
    with Producer((host, int(port)), options.id, options.lanes, topic=options.topic, queue_wait=options.timeout,
                  on_loss=lambda *loss: losses.append(loss)) as producer:
        for i in range(options.count):
            if options.rate:
                time.sleep(max(0, began + i / options.rate - time.monotonic()))
            producer.send(value_of(i, options.keys, options.bytes), key=b"k%d" % (i % options.keys), on_delivery=note)
        done = producer.flush(options.timeout)
        statistics = producer.statistics()
    print(json.dumps({"fates": fates, "failures": failures[:5], "failed": len(failures), "losses": losses,
                      "flushed": done, "statistics": vars(statistics) if hasattr(statistics, "__dict__") else {},
                      "seconds": time.monotonic() - began}, default=str))
    return 0 if sum(fates.values()) == options.count else 1


if __name__ == "__main__":
    sys.exit(main())
