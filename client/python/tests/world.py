"""Lanes, a lossy link and a mini appliance in virtual time, from one seed. An auditor stands at the producer's edge."""

import heapq
import itertools
import random
from dataclasses import dataclass, field

from mini_appliance import Address, MiniAppliance
from penstock_producer import codec
from penstock_producer.events import AcknowledgedLoss, Failed, FateRun, Opened, Rebind
from penstock_producer.lane import Lane, LaneOptions, State

PRODUCER_ID = bytes(range(1, 17))


@dataclass
class Link:
    drop: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0  # of the datagrams, by up to ten delays
    delay: float = 0.005
    datagram_bytes: int = 1472  # larger ones vanish


class Auditor:
    """Checks what a producer MUST do, where it does it: before the link loses anything."""

    def __init__(self, violations: list[str]) -> None:
        self._violations = violations
        self._records: dict[int, bytes] = {}  # those that were sent whole
        self._counted: dict[int, int] = {}  # bytes against the credit
        self._nonces: set[int] = set()
        self.sent_bytes_max = 0
        self._session = 0
        self._accept(0, 0, 0, 0)

    def _accept(self, session: int, following: int, durable: int, credit: int) -> None:
        self._session = session
        self._number = 0
        self._highest = following - 1
        self._durable = durable
        self._credit = credit
        self._ack_number = -1
        self._proven = codec.SAFE_DATAGRAM_BYTES
        self._sizes: dict[int, int] = {}

    def _expect(self, claim: bool, text: str) -> None:
        if not claim:
            self._violations.append(text)

    def delivered(self, datagram: bytes) -> None:
        try:
            message = codec.decode(datagram)
        except codec.Malformed:
            return
        if isinstance(message, codec.Accept) and message.session > self._session:
            self._accept(message.session, message.next, message.durable, message.credit)
        if isinstance(message, codec.Ack) and message.session == self._session:
            self._durable = max(self._durable, message.durable)
            if message.number > self._ack_number:
                self._ack_number, self._credit = message.number, message.credit
            for first, last in message.ranges:
                self._proven = max([self._proven, *(self._sizes.get(n, 0) for n in range(first, last + 1))])

    def sent(self, datagram: bytes) -> None:
        message = codec.decode(datagram)
        if isinstance(message, (codec.Hello, codec.Open)):
            self._expect(message.nonce != 0, "nonce 0")
            return
        self._expect(message.session == self._session, "a datagram of another session than the newest")
        self._expect(message.number == self._number, f"packet number {message.number}, not {self._number}")
        self._number += 1
        self._sizes[message.number] = len(datagram)
        self._expect(message.confirmed <= self._durable, "confirmed what is not durable")
        if isinstance(message, (codec.Data, codec.Fragment)):
            self.sent_bytes_max = max(self.sent_bytes_max, len(datagram))
            self._expect(len(datagram) <= self._proven, f"{len(datagram)} bytes on a path that is not proven")
        if isinstance(message, codec.Data):
            for place, record in enumerate(message.records):
                same = self._records.setdefault(message.sequence + place, record) == record
                self._expect(same, f"sequence {message.sequence + place} names two records")
                self._on_record(message.sequence + place, len(record))
        if isinstance(message, codec.Fragment):
            self._on_record(message.sequence, message.record_bytes)

    def _on_record(self, sequence: int, size: int) -> None:
        counted = size + len(codec.encode_uvarint(size))
        same = self._counted.setdefault(sequence, counted) == counted
        self._expect(same, f"sequence {sequence} names records of two sizes")
        if sequence <= self._highest:
            return
        self._expect(sequence == self._highest + 1, f"sequence {sequence} before {self._highest + 1}")
        self._highest = sequence
        held = sum(self._counted.get(s, 0) for s in range(self._durable + 1, sequence))
        within = held + counted <= self._credit or (held == 0 and self._credit > 0)
        self._expect(within, f"credit {self._credit} exceeded by sequence {sequence}")


@dataclass
class Host:
    """A lane, the address it sends from, and what became of its records."""

    lane: Lane
    address: Address
    auditor: Auditor
    fates: dict[object, int] = field(default_factory=dict)
    losses: list[tuple[int, int]] = field(default_factory=list)
    failure: Failed | None = None
    opened: list[codec.Accept] = field(default_factory=list)
    rebinds: int = 0


class World:
    def __init__(self, seed: int = 1, link: Link | None = None, appliance: MiniAppliance | None = None) -> None:
        self.random = random.Random(seed)
        self.link = link or Link()
        self.appliance = appliance or MiniAppliance()
        self.hosts: list[Host] = []
        self.now = 1000.0
        self._flying: list[tuple[float, int, object, bytes]] = []
        self._order = itertools.count()
        self._ports = itertools.count(50000)

    def host(self, ip: str = "10.0.0.1", **options: object) -> Host:
        settings = {"producer_id": PRODUCER_ID, "lane": 0, "epoch": 1, "dice": self.random, **options}
        settings["make_nonce"] = lambda: self.random.getrandbits(64) | 1
        host = Host(Lane(LaneOptions(**settings)), (ip, next(self._ports)), Auditor(self.appliance.violations))
        self.hosts.append(host)
        return host

    def send(self, host: Host, count: int, size: int = 200) -> None:
        first = len(host.fates) + host.lane.pending
        for index in range(first, first + count):
            value = index.to_bytes(8, "big") + bytes([index % 251 + 1]) * self.random.randrange(size)
            host.lane.add(codec.encode_record(codec.Record(value)), index, self.now, self.now)

    def run(self, until, seconds: float = 600.0) -> bool:
        """Whether `until()` came true within so many virtual seconds."""
        limit = self.now + seconds
        for _ in range(2_000_000):
            self._serve()
            if until():
                return True
            times = [flying[0] for flying in self._flying[:1]]
            times += [t for t in (h.lane.deadline() for h in self.hosts) if t is not None]
            times += [t for t in (self.appliance.deadline(),) if t is not None]
            if not times or min(times) > limit:
                self.now = limit
                return False
            self.now = max(self.now, min(times))
        raise AssertionError("the world does not come to rest")

    def run_for(self, seconds: float) -> None:
        self.run(lambda: False, seconds)

    def all_settled(self) -> bool:
        return all(host.lane.pending == 0 for host in self.hosts)

    def _serve(self) -> None:
        while self._flying and self._flying[0][0] <= self.now:
            _, _, target, datagram = heapq.heappop(self._flying)
            self._deliver(target, datagram)
        self.appliance.poll(self.now)
        out, self.appliance.out = self.appliance.out, []
        for datagram, address in out:
            self._fly(address, datagram)
        for host in self.hosts:
            self._serve_host(host)

    def _deliver(self, target: object, datagram: bytes) -> None:
        kind, address = target
        if kind == "appliance":
            self.appliance.receive(datagram, address, self.now)
            return
        for host in self.hosts:
            if host.address == address:
                host.auditor.delivered(datagram)
                host.lane.receive(datagram, self.now)

    def _serve_host(self, host: Host) -> None:
        out = host.lane.transmit(self.now)
        for event in host.lane.take_events():
            match event:
                case FateRun():
                    for context in event.contexts:
                        assert context not in host.fates, f"record {context} has two fates"
                        host.fates[context] = event.fate
                case AcknowledgedLoss():
                    host.losses.append((event.first, event.last))
                case Failed():
                    host.failure = event
                case Opened():
                    host.opened.append(event.accept)
                case Rebind():
                    host.rebinds += 1
                    host.address = (host.address[0], event.source_port or next(self._ports))
        for datagram in out:
            host.auditor.sent(datagram)
            self._fly(("appliance", host.address), datagram)

    def _fly(self, target: object, datagram: bytes) -> None:
        link, chance = self.link, self.random.random
        if target[0] != "appliance":
            target = ("host", target)
        if len(datagram) > link.datagram_bytes:
            return
        for _ in range(2 if chance() < link.duplicate else 1):
            if chance() < link.drop:
                continue
            delay = link.delay * (1 + (self.random.random() * 10 if chance() < link.reorder else 0))
            arriving = self._corrupted(datagram) if chance() < link.corrupt else datagram
            heapq.heappush(self._flying, (self.now + delay, next(self._order), target, arriving))

    def _corrupted(self, datagram: bytes) -> bytes:
        damaged = bytearray(datagram)
        damaged[self.random.randrange(len(damaged))] ^= 1 << self.random.randrange(8)
        return bytes(damaged)


def is_open(host: Host) -> bool:
    return host.lane.state is State.OPEN
