#!/usr/bin/env python3
"""Sends the lines of a file as UDP datagrams with ordinary sockets, paced, in file order.

  send_lines.py --to 192.0.2.10:5140 [--rate LINES_PER_S] [--sockets N] [--per-datagram N] FILE

Line i goes through socket i*N/len: each socket (sender port) sends a contiguous run of the file, one
after the other. Lines longer than --max-bytes are skipped and counted. Prints what it sent as JSON.
"""
import argparse
import json
import socket
import sys
import time


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--to", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--rate", type=float, default=20000, help="lines a second (default 20000)")
    parser.add_argument("--sockets", type=int, default=1)
    parser.add_argument("--per-datagram", type=int, default=1, help="lines in one datagram (default 1)")
    parser.add_argument("--max-bytes", type=int, default=1472, help="of one datagram (default 1472)")
    parser.add_argument("file")
    return parser.parse_args()


def datagrams_of(lines, per_datagram, max_bytes):
    """Groups lines, each with its newline, into datagrams; yields (payload, line count)."""
    group, size = [], 0
    for line in lines:
        if group and (len(group) == per_datagram or size + len(line) > max_bytes):
            yield b"".join(group), len(group)
            group, size = [], 0
        group.append(line)
        size += len(line)
    if group:
        yield b"".join(group), len(group)


def send_paced(sender, datagrams, rate, started, sent_lines):
    """Sends on the schedule line number / rate, waiting where it is ahead of it."""
    count = 0
    for payload, lines in datagrams:
        ahead = started + sent_lines / rate - time.monotonic()
        if ahead > 0.0005:
            time.sleep(ahead)
        sender.send(payload)
        sent_lines += lines
        count += 1
    return count, sent_lines


def main():
    arguments = parse_arguments()
    host, port = arguments.to.rsplit(":", 1)
    with open(arguments.file, "rb") as file:
        lines = [line if line.endswith(b"\n") else line + b"\n" for line in file]
    fitting = [line for line in lines if len(line) <= arguments.max_bytes]

    started, sent_lines, sent_datagrams, ports = time.monotonic(), 0, 0, []
    share = -(-len(fitting) // arguments.sockets) if fitting else 0
    for i in range(arguments.sockets):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect((host, int(port)))
            ports.append(sender.getsockname()[1])
            run = fitting[i * share : (i + 1) * share]
            count, sent_lines = send_paced(
                sender, datagrams_of(run, arguments.per_datagram, arguments.max_bytes),
                arguments.rate, started, sent_lines)
            sent_datagrams += count
    json.dump({"lines": sent_lines, "datagrams": sent_datagrams, "ports": ports,
               "skipped": len(lines) - len(fitting), "seconds": round(time.monotonic() - started, 3)},
              sys.stdout)
    print()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
