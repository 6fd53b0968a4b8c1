"""rack.py - the two network namespaces of tools/rack, as the tests use them.

Sockets are made inside a namespace and used from outside: a socket stays where it was made. So tests
send from the producer's side without a process of their own there.
"""
import contextlib
import ctypes
import os
import socket
import struct
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RACK = os.path.join(ROOT, "tools", "rack")
APPLIANCE = "192.0.2.10"
PRODUCER = "192.0.2.1"
PRODUCER_LINK = "prod0"
NODE_LINK = "node0"
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def _enter(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        if _libc.setns(handle, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns " + path)
    finally:
        os.close(handle)


@contextlib.contextmanager
def inside(namespace):
    """This thread is in `namespace` (node, producer) meanwhile."""
    own = "/proc/thread-self/ns/net"
    back = os.open(own, os.O_RDONLY)
    _enter("/run/netns/" + namespace)
    try:
        yield
    finally:
        if _libc.setns(back, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "cannot leave " + namespace)
        os.close(back)


def up(queues=1):
    """With the uplink: librdkafka resolves no IPv4 address on a machine that has none but loopback. The
    producer knows the appliance's MAC from the start, for as long as the cable lives: a kernel that has
    to ask first queues datagrams meanwhile, and one sent on another CPU as the answer comes overtakes them."""
    subprocess.run([RACK, "up", "--queues", str(queues)], check=True)
    resolve_appliance()


def down():
    subprocess.run([RACK, "down"], check=True)


def command(namespace, *words):
    """The command line that runs `words` in there."""
    return [RACK, "exec", namespace, *words]


def datagram_socket(port, source_port=0):
    """A UDP socket of the producer, connected to the appliance's `port`."""
    with inside("producer"):
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        out.bind((PRODUCER, source_port))
        out.connect((APPLIANCE, port))
    return out


def raw_socket():
    """A socket that puts whole Ethernet frames on the producer's end of the cable."""
    with inside("producer"):
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        out.bind((PRODUCER_LINK, 0))
    return out


def sent_frames():
    """Frames that the producer's end of the cable has sent since it was made."""
    text = subprocess.run(command("producer", "cat", "/sys/class/net/%s/statistics/tx_packets" % PRODUCER_LINK),
                          check=True, capture_output=True, text=True).stdout
    return int(text)


def mac_of(namespace, link):
    text = subprocess.run(command(namespace, "cat", "/sys/class/net/%s/address" % link),
                          check=True, capture_output=True, text=True).stdout
    return bytes.fromhex(text.strip().replace(":", ""))


def resolve_appliance():
    """Writes the appliance's MAC down for the producer. It is that of the cable's end, the same for every
    run of the appliance."""
    mac = ":".join("%02x" % byte for byte in mac_of("node", NODE_LINK))
    subprocess.run(command("producer", "ip", "neigh", "replace", APPLIANCE, "lladdr", mac, "nud", "permanent",
                           "dev", PRODUCER_LINK), check=True)


def forget_appliance():
    subprocess.run(command("producer", "ip", "neigh", "flush", "dev", PRODUCER_LINK, "nud", "all"), check=True)


def checksum(data):
    """The internet checksum, RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
