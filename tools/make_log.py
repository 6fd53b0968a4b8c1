#!/usr/bin/env python3
"""Writes a realistic log of LINES lines to stdout: web requests, payments, ssh, kernel; seeded.

  make_log.py LINES [SEED]
"""
import random
import sys

HOSTS = ["edge-03", "edge-11", "cart-2", "pay-1", "auth-7"]
PATHS = ["/", "/healthz", "/api/v1/cart", "/api/v1/orders/%d", "/static/app.%x.js", "/login"]
AGENTS = ["curl/7.88.1", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0", "kube-probe/1.29"]
LEVELS = ["debug", "info", "info", "info", "warn", "error"]
USERS = ["root", "deploy", "müller", "svc-batch", "admin"]


def address(rng):
    return "%d.%d.%d.%d" % (rng.randint(1, 223), rng.randint(0, 255), rng.randint(0, 255), rng.randint(1, 254))


def stamp(second):
    return "2026-%02d-%02dT%02d:%02d:%02d.%03dZ" % (
        1 + second // 2592000 % 12, 1 + second // 86400 % 28, second // 3600 % 24, second // 60 % 60,
        second % 60, second * 37 % 1000)


def web(rng, second):
    path = rng.choice(PATHS)
    path = path % rng.randint(1, 1 << 20) if "%" in path else path
    return '%s - - [%s] "GET %s HTTP/1.1" %d %d "-" "%s"' % (
        address(rng), stamp(second), path, rng.choice([200, 200, 200, 304, 404, 500]),
        rng.randint(0, 90000), rng.choice(AGENTS))


def payment(rng, second):
    return "%s %s svc=payments level=%s order=%d amount=%d.%02d EUR card=****%04d latency_ms=%d" % (
        stamp(second), rng.choice(HOSTS), rng.choice(LEVELS), rng.randint(1, 10**9), rng.randint(0, 900),
        rng.randint(0, 99), rng.randint(0, 9999), rng.randint(1, 4000))


def ssh(rng, second):
    return "%s %s sshd[%d]: %s password for %s from %s port %d ssh2" % (
        stamp(second), rng.choice(HOSTS), rng.randint(300, 65000), rng.choice(["Accepted", "Failed"]),
        rng.choice(USERS), address(rng), rng.randint(1024, 65535))


def kernel(rng, second):
    return "%s %s kernel: [%d.%06d] eth%d: link %s, 10000 Mbps full duplex" % (
        stamp(second), rng.choice(HOSTS), second, rng.randint(0, 999999), rng.randint(0, 3),
        rng.choice(["up", "down"]))


def main():
    count = int(sys.argv[1])
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    kinds = [web] * 5 + [payment] * 3 + [ssh] * 2 + [kernel]
    second = 0
    for number in range(count):
        second += rng.randint(0, 2)
        sys.stdout.write("%s seq=%d\n" % (rng.choice(kinds)(rng, second), number))


if __name__ == "__main__":
    main()
