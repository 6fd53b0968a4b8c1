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
BUILD = os.environ.get("PENSTOCK_BUILD", os.path.join(ROOT, "build"))
RACK = os.path.join(ROOT, "tools", "rack")
APPLIANCE = "192.0.2.10"
PRODUCER = "192.0.2.1"
PRODUCER_LINK = "prod0"
NODE_LINK = "node0"
HOP = "hop"
HOP_LINKS = ("hop0", "hop1")  # towards the producer, towards the node
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def _enter(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        if _libc.setns(handle, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns " + path)
    finally:
        os.close(handle)


def _run(*words):
    subprocess.run(words, check=True)


@contextlib.contextmanager
def inside(namespace):
    """This thread is in `namespace` (node, producer, hop) meanwhile."""
    own = "/proc/thread-self/ns/net"
    back = os.open(own, os.O_RDONLY)
    _enter("/run/netns/" + namespace)
    try:
        yield
    finally:
        if _libc.setns(back, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "cannot leave " + namespace)
        os.close(back)


def up(queues=1, with_hop=False):
    """With the uplink: librdkafka resolves no IPv4 address on a machine that has none but loopback. The
    producer knows the appliance's MAC from the start, for as long as the cable lives: a kernel that has
    to ask first queues datagrams meanwhile, and one sent on another CPU as the answer comes overtakes them.

    `with_hop`: the cable is cut, and its ends lead to hop0 and hop1 in a namespace of their own, for a
    hop.Hop to join them."""
    remove_hop()
    subprocess.run([RACK, "up", "--queues", str(queues)], check=True)
    if with_hop:
        cut_cable(queues)
    resolve_appliance()


def down():
    remove_hop()
    subprocess.run([RACK, "down"], check=True)


def cut_cable(queues):
    _run("ip", "-n", "node", "link", "del", "dev", NODE_LINK)
    _run("ip", "netns", "add", HOP)
    for namespace, link, hop_link in (("producer", PRODUCER_LINK, HOP_LINKS[0]), ("node", NODE_LINK, HOP_LINKS[1])):
        many = ["numrxqueues", str(queues), "numtxqueues", str(queues)]
        _run("ip", "link", "add", link, *many, "netns", namespace, "type", "veth",
             "peer", "name", hop_link, *many, "netns", HOP)
        _plug_in(namespace, link)
        _plug_in(HOP, hop_link)
    _run("ip", "-n", "producer", "addr", "add", PRODUCER + "/24", "dev", PRODUCER_LINK)


def _plug_in(namespace, link):
    """As tools/rack does: no frames of the kernel's own, and whole checksums in those of others."""
    inside_it = ["ip", "netns", "exec", namespace]
    if os.path.exists("/proc/sys/net/ipv6"):
        _run(*inside_it, "sysctl", "-qw", "net/ipv6/conf/%s/disable_ipv6=1" % link)
    subprocess.run([*inside_it, "ethtool", "-K", link, "tx", "off", "tso", "off", "gso", "off", "gro", "off"],
                   check=True, capture_output=True)
    _run("ip", "-n", namespace, "link", "set", link, "up")


def remove_hop():
    """The cables go with their ends in the hop's namespace."""
    if not os.path.exists("/run/netns/" + HOP):
        return
    for link in HOP_LINKS:
        subprocess.run(["ip", "-n", HOP, "link", "del", "dev", link], capture_output=True)  # may be gone
    _run("ip", "netns", "del", HOP)


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
