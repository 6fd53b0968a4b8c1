"""An appliance in memory, from docs/protocol.md section 6: strict about what a producer sends.

No I/O: receive() and poll() append to `out`, deadline() says when poll() wants to be called. A commit is durable
`commit_latency` after its records came. restart() forgets sessions and what was not durable, and with `lose` also
the newest durable records, as a lost disk would. What a producer must not do is in `violations`.
"""

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from penstock_producer import codec
from penstock_producer.codec import Code, Fate

Address = tuple[str, int]  # of the producer: IP address and port
COOKIE_SECONDS = 10


def stores_all(_record: bytes) -> int:
    return Fate.STORED


@dataclass
class Settings:
    workers: int = 1
    names_source_port: bool = True
    credit: int = 1 << 20
    record_bytes_max: int = 900 * 1024
    datagram_bytes: int = 1472
    commit_latency: float = 0.002
    ack_delay: float = 0.005
    session_timeout: float = 30.0
    takeover_after: float = 3.0
    lanes_max: int = 1000
    kept_records: int = 4096  # ahead of next, of a lane
    fates_bytes: int = codec.SAFE_DATAGRAM_BYTES
    fate_of: Callable[[bytes], int] = stores_all
    versions: tuple[int, ...] = (1,)


@dataclass
class LaneState:
    key: tuple[bytes, int]
    home: int
    epoch: int
    next: int
    durable: int = 0
    confirmed: int = 0
    fates: dict[int, int] = field(default_factory=dict)
    records: dict[int, bytes] = field(default_factory=dict)
    session: "Session | None" = None
    loss_untold: tuple[int, int] = (0, 0)  # named in every ACCEPT until its session is used

    def stored(self) -> list[bytes]:
        return [self.records[sequence] for sequence in sorted(self.records)]


@dataclass
class Session:
    number: int
    lane: LaneState
    address: Address
    open_bytes: bytes
    accept_bytes: bytes = b""
    epoch: int = 0
    last_heard: float = 0.0
    packets: dict[int, int] = field(default_factory=dict)  # number: CRC of its bytes
    received: list[int] = field(default_factory=list)  # numbers that may be named, ascending
    largest_at: float = 0.0
    ack_number: int = 0
    ack_at: float | None = None
    unacknowledged: int = 0
    credit_named: int = 0
    ahead: dict[int, bytes] = field(default_factory=dict)
    chunks: dict[int, bytes] = field(default_factory=dict)
    chunks_of: int = 0


class MiniAppliance:
    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.lanes: dict[tuple[bytes, int], LaneState] = {}
        self.sessions: dict[int, Session] = {}
        self.out: list[tuple[bytes, Address]] = []
        self.violations: list[str] = []
        self.rejected: dict[int, int] = {}
        self.malformed = 0
        self.duplicates = 0
        self.incarnation = 1
        self.draining = False
        self.quick = False  # for measurements: records are counted, not kept, and not looked into
        self.override: list[codec.Reject] = []  # scripted answers to the next OPENs; token is filled in
        self._session_numbers = itertools.count(1000)
        self._commits: list[tuple[float, LaneState, int]] = []

    # ---- what a test does to it -------------------------------------------------------------

    def restart(self, lose: int = 0) -> None:
        self.incarnation += 1
        self.sessions.clear()
        self._commits.clear()
        self.draining = False
        for lane in self.lanes.values():
            lane.session = None
            lane.durable = max(lane.durable - lose, 0)
            lane.confirmed = min(lane.confirmed, lane.durable)
            lane.next = lane.durable + 1
            for sequence in [s for s in lane.fates if s >= lane.next]:
                del lane.fates[sequence]
                lane.records.pop(sequence, None)

    def drain(self) -> None:
        self.draining = True
        for session in list(self.sessions.values()):
            self._send(session, codec.Close(session.number, 1, session.ack_number, session.lane.durable))
            self._end(session)

    def forget_lanes(self) -> None:
        self.sessions.clear()
        self.lanes.clear()
        self._commits.clear()

    def lose_sessions(self) -> None:
        for session in list(self.sessions.values()):
            self._end(session)

    # ---- time -------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        times = [at for at, _, _ in self._commits]
        times += [session.ack_at for session in self.sessions.values() if session.ack_at is not None]
        return min(times, default=None)

    def poll(self, now: float) -> None:
        due = [commit for commit in self._commits if commit[0] <= now]
        self._commits = [commit for commit in self._commits if commit[0] > now]
        for _, lane, last in due:
            if last > lane.durable:
                lane.durable = last
                if lane.session is not None:
                    self._ack(lane.session, now)
        for session in list(self.sessions.values()):
            returned = session.credit_named == 0 and self.settings.credit > 0
            if returned or (session.ack_at is not None and session.ack_at <= now):
                self._ack(session, now)
            if now - session.last_heard > self.settings.session_timeout:
                self._end(session)

    # ---- datagrams --------------------------------------------------------------------------

    def receive(self, datagram: bytes, address: Address, now: float) -> None:
        if 1 not in self.settings.versions:
            self._answer_versions(datagram, address)
            return
        try:
            message = codec.decode(datagram)
        except codec.Malformed:
            self.malformed += 1
            return
        match message:
            case codec.Hello():
                self.out.append((codec.Challenge(message.nonce, self._cookie(message.nonce, address, now)).encode(), address))
            case codec.Open():
                self._on_open(message, datagram, address, now)
            case codec.Data() | codec.Fragment() | codec.Ping() | codec.Close():
                self._on_session_datagram(message, datagram, address, now)
            case _:
                self.violations.append(f"a producer sent {type(message).__name__}")

    def _answer_versions(self, datagram: bytes, address: Address) -> None:
        if len(datagram) >= 24 and datagram[0] not in (0, *self.settings.versions):
            token = int.from_bytes(datagram[8:16], "little")
            self.out.append((codec.VersionList(token, self.settings.versions).encode(), address))

    def _cookie(self, nonce: int, address: Address, slot_at: float) -> bytes:
        slot = int(slot_at // COOKIE_SECONDS)
        return hashlib.sha256(repr((self.incarnation, nonce, address, slot)).encode()).digest()[: codec.COOKIE_BYTES]

    def _reject(self, token: int, address: Address, code: Code, **fields: int) -> None:
        self.rejected[code] = self.rejected.get(code, 0) + 1
        self.out.append((codec.Reject(token, code, **fields).encode(), address))

    # ---- OPEN -------------------------------------------------------------------------------

    def _on_open(self, ask: codec.Open, datagram: bytes, address: Address, now: float) -> None:
        lane = self.lanes.get((ask.producer_id, ask.lane))
        if lane and lane.session and lane.session.open_bytes == datagram and lane.session.address == address:
            self.out.append((lane.session.accept_bytes, address))
            return
        refusal = self._why_not(ask, lane, address, now)
        if refusal is not None:
            code, fields = refusal
            self._reject(ask.nonce, address, code, **fields)
            return
        if lane is None:
            first = 1 if ask.oldest_held == codec.UNKNOWN else ask.oldest_held
            key = (ask.producer_id, ask.lane)
            lane = self.lanes[key] = LaneState(key, ask.lane % self.settings.workers, ask.epoch, first, first - 1)
            lane.confirmed = first - 1
        if lane.session is not None:
            self._end(lane.session)
        self._accept(ask, lane, datagram, address, now)

    def _why_not(
        self, ask: codec.Open, lane: LaneState | None, address: Address, now: float
    ) -> tuple[Code, dict[str, int]] | None:
        if self.override:
            scripted = self.override.pop(0)
            return Code(scripted.code), {"detail": scripted.detail, "retry_after_ms": scripted.retry_after_ms}
        if ask.cookie not in (self._cookie(ask.nonce, address, now), self._cookie(ask.nonce, address, now - COOKIE_SECONDS)):
            return Code.COOKIE, {}
        if ask.epoch == 0 or not any(ask.producer_id) or ask.datagram_bytes < codec.SAFE_DATAGRAM_BYTES:
            return Code.INVALID, {}
        if self.draining:
            return Code.DRAINING, {"retry_after_ms": 200}
        home = lane.home if lane else ask.lane % self.settings.workers
        if address[1] % self.settings.workers != home:
            return Code.REDIRECT, {"source_port": self._port_to(home) if self.settings.names_source_port else 0}
        if lane is None:
            if not ask.begin:
                return Code.LANE_UNKNOWN, {}
            full = len(self.lanes) >= self.settings.lanes_max
            return (Code.LANES_FULL, {"detail": self.settings.lanes_max, "retry_after_ms": 500}) if full else None
        if ask.epoch < lane.epoch:
            return Code.FENCED, {"detail": lane.epoch}
        if lane.session is None:
            return None
        same = ask.epoch == lane.epoch and ask.previous_session == lane.session.number
        newer = ask.epoch > lane.epoch and address[0] == lane.session.address[0]
        if same or newer or now - lane.session.last_heard >= self.settings.takeover_after:
            return None
        return Code.LANE_BUSY, {"detail": lane.epoch, "retry_after_ms": 300}

    def _port_to(self, home: int) -> int:
        port = 30000 + len(self.sessions) + sum(self.rejected.values())
        while port % self.settings.workers != home:
            port += 1
        return port

    def _accept(self, ask: codec.Open, lane: LaneState, datagram: bytes, address: Address, now: float) -> None:
        expected = lane.next
        lane.epoch = ask.epoch
        has_lost = ask.durable != codec.UNKNOWN and expected <= ask.durable
        oldest = ask.oldest_held
        if oldest == codec.UNKNOWN:
            oldest = ask.durable + 1 if has_lost else expected
        if oldest > expected:
            if has_lost:
                lane.loss_untold = (expected, ask.durable)
            for sequence in range(expected, oldest):
                lane.fates[sequence] = Fate.LOST
            lane.next = oldest
            lane.durable = lane.next - 1
        session = Session(next(self._session_numbers), lane, address, datagram, epoch=ask.epoch, last_heard=now)
        session.credit_named = self.settings.credit
        session.accept_bytes = codec.Accept(
            nonce=ask.nonce,
            session=session.number,
            next=lane.next,
            durable=lane.durable,
            lost_first=lane.loss_untold[0],
            lost_last=lane.loss_untold[1],
            credit=self.settings.credit,
            record_bytes_max=self.settings.record_bytes_max,
            datagram_bytes=self.settings.datagram_bytes,
            ack_delay_us=int(self.settings.ack_delay * 1e6),
            session_timeout_ms=int(self.settings.session_timeout * 1000),
            incarnation=self.incarnation,
        ).encode()
        lane.session = session
        self.sessions[session.number] = session
        self.out.append((session.accept_bytes, address))

    def _end(self, session: Session) -> None:
        self.sessions.pop(session.number, None)
        if session.lane.session is session:
            session.lane.session = None

    # ---- datagrams of a session -------------------------------------------------------------

    def _on_session_datagram(self, message: object, datagram: bytes, address: Address, now: float) -> None:
        session = self.sessions.get(message.session)
        if session is None or session.address != address:
            self._reject(message.session, address, Code.SESSION_UNKNOWN)
            return
        if len(datagram) > self.settings.datagram_bytes:
            self.violations.append("a datagram larger than ACCEPT allows")
        self._check_number(session, message.number, datagram)
        session.last_heard = now
        lane = session.lane
        lane.loss_untold = (0, 0)
        if message.confirmed > lane.durable:
            self.violations.append(f"confirmed {message.confirmed} over durable {lane.durable}")
        lane.confirmed = max(lane.confirmed, min(message.confirmed, lane.durable))
        if isinstance(message, codec.Close):
            self._send(session, codec.Close(session.number, message.reason, session.ack_number, lane.durable))
            self._end(session)
            return
        before = lane.next
        if not self._take(session, message):
            return
        in_order = self._note_number(session, message.number, now)
        if lane.next > before:
            self._commits.append((now + self.settings.commit_latency, lane, lane.next - 1))
        session.unacknowledged += 1
        if isinstance(message, codec.Ping) or not in_order or session.unacknowledged >= 8:
            self._ack(session, now)
        elif session.ack_at is None:
            session.ack_at = now + self.settings.ack_delay

    def _check_number(self, session: Session, number: int, datagram: bytes) -> None:
        if self.quick:
            return
        seen = session.packets.setdefault(number, hash(datagram))
        if seen != hash(datagram):
            self.violations.append(f"packet number {number} came with other bytes")

    def _note_number(self, session: Session, number: int, now: float) -> bool:
        largest = session.received[-1] if session.received else -1
        if number > largest:
            session.received.append(number)
        elif number not in session.received:
            session.received = sorted([*session.received, number])
        del session.received[:-256]
        if number > largest:
            session.largest_at = now
        return number == largest + 1

    def _take(self, session: Session, message: object) -> bool:
        """False: dropped, and its number is not named."""
        if isinstance(message, codec.Data):
            return self._take_data(session, message)
        if isinstance(message, codec.Fragment):
            return self._take_fragment(session, message)
        return True

    def _take_data(self, session: Session, data: codec.Data) -> bool:
        lane = session.lane
        if data.sequence + len(data.records) > lane.next + 65536 + 1:
            self.violations.append("more than 65,536 sequences ahead")
            return False
        if data.sequence > lane.next and len(session.ahead) + len(data.records) > self.settings.kept_records:
            return False
        for place, record in enumerate(data.records):
            sequence = data.sequence + place
            if sequence < lane.next:
                self.duplicates += 1
                self._check_same(lane, sequence, record)
            else:
                session.ahead[sequence] = record
        self._append_ready(session)
        return True

    def _check_same(self, lane: LaneState, sequence: int, record: bytes) -> None:
        if sequence in lane.records and lane.records[sequence] != record:
            self.violations.append(f"sequence {sequence} names two records")

    def _append_ready(self, session: Session) -> None:
        lane = session.lane
        while lane.next in session.ahead:
            self._judge(lane, session.ahead.pop(lane.next))

    def _judge(self, lane: LaneState, record: bytes) -> None:
        if self.quick:
            lane.fates[lane.next] = Fate.STORED
            lane.next += 1
            return
        fate = self.settings.fate_of(record)
        try:
            codec.decode_record(record)
        except codec.Malformed:
            fate = Fate.MALFORMED
        if len(record) > self.settings.record_bytes_max:
            fate = Fate.TOO_LARGE
        lane.fates[lane.next] = fate
        if fate == Fate.STORED:
            lane.records[lane.next] = record
        lane.next += 1

    def _take_fragment(self, session: Session, fragment: codec.Fragment) -> bool:
        lane = session.lane
        if fragment.sequence != lane.next:
            return False
        if session.chunks_of != fragment.sequence:
            session.chunks, session.chunks_of = {}, fragment.sequence
        for at in range(0, len(fragment.piece), codec.CHUNK_BYTES):
            session.chunks[fragment.offset + at] = fragment.piece[at : at + codec.CHUNK_BYTES]
        if len(session.chunks) == -(-fragment.record_bytes // codec.CHUNK_BYTES):
            self._judge(lane, b"".join(session.chunks[at] for at in sorted(session.chunks)))
            session.chunks = {}
            self._append_ready(session)
        return True

    # ---- ACK --------------------------------------------------------------------------------

    def _send(self, session: Session, message: codec.Message) -> None:
        self.out.append((message.encode(), session.address))

    def _ack(self, session: Session, now: float) -> None:
        lane = session.lane
        fates, durable = self._fates_that_fit(lane)
        ack = codec.Ack(
            session=session.number,
            number=session.ack_number,
            received=lane.next - 1,
            durable=durable,
            fates_first=lane.confirmed + 1,
            credit=self.settings.credit,
            ack_delay_us=int((now - session.largest_at) * 1e6) if session.received else 0,
            ranges=self._ranges(session.received),
            fates=fates,
        )
        session.ack_number += 1
        session.ack_at = None
        session.unacknowledged = 0
        session.credit_named = self.settings.credit
        self._send(session, ack)

    def _fates_that_fit(self, lane: LaneState) -> tuple[list[tuple[int, int]], int]:
        runs: list[tuple[int, int]] = []
        room = (self.settings.fates_bytes - 68 - 32 * 4) // 4
        sequence = lane.confirmed + 1
        if self.quick and sequence <= lane.durable:
            return [(Fate.STORED, lane.durable - lane.confirmed)], lane.durable
        while sequence <= lane.durable and len(runs) < room:
            fate, end = lane.fates[sequence], sequence
            while end <= lane.durable and lane.fates[end] == fate:
                end += 1
            runs.append((fate, end - sequence))
            sequence = end
        return runs, sequence - 1

    @staticmethod
    def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
        ranges: list[tuple[int, int]] = []
        for number in reversed(numbers):
            if ranges and ranges[-1][0] == number + 1:
                ranges[-1] = (number, ranges[-1][1])
            else:
                ranges.append((number, number))
        return ranges[: codec.RANGES_MAX]
