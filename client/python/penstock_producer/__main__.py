"""python3 -m penstock_producer HOST:PORT: each line of the standard input becomes a record.

Exit 0 only when every line has its fate on stable storage (stored, or dropped by a rule); 1 when a line was
refused, its lane failed, or --timeout passed; 64 for a wrong command line.
"""

import argparse
import dataclasses
import json
import sys
from typing import BinaryIO

from .producer import Delivery, Producer, ProducerError


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="penstock-producer", description=__doc__.splitlines()[0])
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("--lanes", type=int, default=1, help="more than 1 gives up the order of lines (default 1)")
    parser.add_argument("--topic", help="for records that no rule takes")
    parser.add_argument("--producer-id", type=bytes.fromhex, metavar="HEX", help="32 digits; default: random")
    parser.add_argument("--begin-again", action="store_true", help="begin a lane anew that the appliance forgot")
    parser.add_argument("--timeout", type=float, default=60, help="seconds to wait at the end (default 60)")
    parser.add_argument("--statistics", action="store_true", help="print them as JSON at the end")
    try:
        return parser.parse_args(arguments)
    except SystemExit as ending:
        sys.exit(64 if ending.code else 0)


def _send_lines(producer: Producer, lines: BinaryIO, failures: list[str]) -> None:
    def note(delivery: Delivery) -> None:
        error = delivery.exception()
        if error is not None:
            failures.append(str(error))

    for line in lines:
        producer.send(line.rstrip(b"\r\n"), on_delivery=note)


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    failures: list[str] = []
    try:
        producer = Producer(
            options.address,
            options.producer_id,
            options.lanes,
            topic=options.topic,
            queue_wait=options.timeout,
            begin_again=options.begin_again,
            on_loss=lambda lane, first, last: failures.append(f"lane {lane}: the appliance lost {first}..{last}"),
        )
    except (OSError, ValueError) as error:
        print(f"penstock-producer: {error}", file=sys.stderr)
        return 64
    try:
        _send_lines(producer, sys.stdin.buffer, failures)
    except ProducerError as error:
        failures.append(str(error))
    done = producer.close(options.timeout)
    if not done:
        failures.append("not all is durable in time")
    for failure in sorted(set(failures)):
        print(f"penstock-producer: {failure} ({failures.count(failure)} times)", file=sys.stderr)
    if options.statistics:
        print(json.dumps(dataclasses.asdict(producer.statistics())))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
