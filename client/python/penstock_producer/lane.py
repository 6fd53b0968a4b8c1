"""One lane of a producer, without I/O: the state machine of docs/protocol.md, section 5.

Bytes come in through receive(), time through the `now` of every call (seconds, any clock that never runs
backwards), and what is to be done comes out of transmit(), take_events() and deadline(). Not thread-safe:
one owner calls it. A record is numbered when it is first sent, so that a process without state can wait for
ACCEPT to say where the lane stands.
"""

import heapq
import random
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from . import codec
from .codec import Code, Fate
from .events import AcknowledgedLoss, Closed, Event, Failed, FateRun, Opened, Rebind
from .path_mtu import PathMtu
from .recovery import Packet, Recovery

T1_MIN, T1_MAX, T1_JITTER = 0.1, 5.0, 0.25
OPENS_MAX = 3
CLOSES_MAX = 3
REDIRECTS_AT_ONCE = 64
HELLOS_AT_REDIRECTED = 5  # unanswered ones, before it asks at the configured address again
SILENCE_MAX = 10.0
PING_MIN, PING_MAX = 0.1, 1.0
DRAINING_PAUSE = 0.1
PTOS_BEFORE_FALL_BACK = 3
SEQUENCES_AHEAD_MAX = 65536  # of what the appliance received in order (section 7)
TRANSMIT_MAX = 64  # datagrams of one transmit(): the owner has other lanes


class State(Enum):
    IDLE = auto()
    HELLO_SENT = auto()
    OPEN_SENT = auto()
    WAITING = auto()
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()
    FAILED = auto()


@dataclass(slots=True)
class LaneOptions:
    producer_id: bytes
    lane: int
    epoch: int
    fresh: bool = True  # nobody used this producer id before: the lane begins at sequence 1
    datagram_bytes: int = codec.SAFE_DATAGRAM_BYTES  # the largest to try
    linger: float = 0.005
    begin_again: bool = False  # what LANE_UNKNOWN means: begin it anew, or fail
    dice: random.Random = field(default_factory=random.SystemRandom)
    make_nonce: Callable[[], int] = lambda: secrets.randbits(64) or 1


@dataclass(slots=True)
class LaneStatistics:
    sessions: int = 0
    redirects: int = 0
    datagrams_sent: int = 0
    datagrams_received: int = 0
    datagrams_ignored: int = 0  # not decodable, not ours, or claiming what cannot be
    packets_lost: int = 0
    records_sent: int = 0
    records_sent_again: int = 0
    probe_timeouts: int = 0
    pings: int = 0


@dataclass(slots=True)
class Held:
    """A record that is not known to be durable."""

    wire: bytes  # with its length before it
    prefix_bytes: int
    context: object
    added_at: float


@dataclass(slots=True)
class Run:
    """What a packet carried: records first..end-1, or with `offset` bytes offset..end-1 of record `first`."""

    first: int
    end: int
    offset: int = -1

    def __lt__(self, other: "Run") -> bool:
        return (self.first, self.offset) < (other.first, other.offset)

    @property
    def last(self) -> int:
        return self.end - 1 if self.offset < 0 else self.first

    def continues_in(self, other: "Run") -> bool:
        """Whether the two, of which this is the lesser, are one run without a hole."""
        if self.offset < 0 or other.offset < 0:
            return self.offset == other.offset and other.first <= self.end
        return self.first == other.first and other.offset <= self.end


def _pieces(numbers: list[int], step: int) -> list[tuple[int, int]]:
    """Ascending numbers as (first, end) of runs in which each is `step` over the one before."""
    pieces: list[tuple[int, int]] = []
    for number in numbers:
        if pieces and pieces[-1][1] == number:
            pieces[-1] = (pieces[-1][0], number + step)
        else:
            pieces.append((number, number + step))
    return pieces


class Lane:
    def __init__(self, options: LaneOptions) -> None:
        self.options = options
        self.state = State.IDLE
        self.statistics = LaneStatistics()
        self.hurry = False  # nothing is held for `linger`: the application flushes
        self._events: list[Event] = []
        self._outbox: list[bytes] = []
        self._begin = True  # in the next OPEN
        self._numbered = options.fresh  # base and end say where the lane stands

        # Sequences: durable < base <= received + 1, base <= cursor <= end.
        self.durable = 0  # fates up to it are taken in: `confirmed`
        self.base = 1  # the lowest that is held
        self.end = 1  # the next new record's
        self._held: dict[int, Held] = {}  # base..end-1: sent at least once
        self._waiting: deque[Held] = deque()  # not numbered yet
        self._waiting_bytes = 0

        # The handshake.
        self._nonce = 0
        self._cookie = b""
        self._open_bytes = b""
        self._tries = 0
        self._hellos_unanswered = 0
        self._t1 = T1_MIN
        self._t1_at: float | None = None
        self._redirects_in_row = 0
        self._cookies_in_row = 0
        self._redirected = False

        # The session.
        self.session = 0
        self.previous_session = 0
        self.accept: codec.Accept | None = None
        self.status = 0
        self.credit = 0
        self._lost_told = (0, 0)
        self._closing = False
        self._last_polled_at = 0.0
        self._begin_session(0.0)

    # ---- the application's side -------------------------------------------------------------

    @property
    def pending(self) -> int:
        return len(self._held) + len(self._waiting)

    def open(self, now: float) -> None:
        """Opens the lane without a record."""
        if self.state is State.IDLE:
            self._hello(now)

    def add(self, record: bytes, context: object, added_at: float, now: float) -> None:
        """Takes an encoded record, which lingers since `added_at`. Its fate comes as an event, with `context`."""
        assert self.state not in (State.CLOSING, State.CLOSED, State.FAILED)
        assert not self._closing
        prefix = codec.encode_uvarint(len(record))
        self._waiting.append(Held(prefix + record, len(prefix), context, added_at))
        self._waiting_bytes += len(prefix) + len(record)
        self.open(now)

    def close(self, now: float) -> None:
        """Closes when all is durable."""
        self._closing = True
        self._close_if_done(now)

    def abandon(self, now: float, reason: str) -> None:
        """Ends at once: what is pending comes back in a Failed event."""
        if self.state in (State.CLOSED, State.FAILED):
            return
        if self.state is State.OPEN:
            self._send_close(codec.CloseReason.FAILED, now)
        self._fail(reason, 0)

    def take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    # ---- handshake --------------------------------------------------------------------------

    def _jitter(self, seconds: float) -> float:
        return seconds * self.options.dice.uniform(1 - T1_JITTER, 1 + T1_JITTER)

    def _set_t1(self, now: float) -> None:
        self._t1_at = now + self._jitter(self._t1)

    def _hello(self, now: float) -> None:
        """With a new nonce."""
        self.state = State.HELLO_SENT
        self._nonce = self.options.make_nonce()
        self._tries = 1
        self._outbox = [codec.Hello(self._nonce).encode()]
        self._set_t1(now)

    def _wait(self, now: float, retry_after: float) -> None:
        self.state = State.WAITING
        self._outbox.clear()
        if retry_after > 0:
            self._t1_at = now + retry_after
        else:
            self._set_t1(now)
            self._t1 = min(self._t1 * 2, T1_MAX)

    def _reopen(self, now: float) -> None:
        """The session is gone; the lane is not."""
        self.previous_session = self.session
        self._t1 = T1_MIN
        self._hello(now)

    def _on_challenge(self, challenge: codec.Challenge, now: float) -> bool:
        if self.state is not State.HELLO_SENT or challenge.nonce != self._nonce:
            return False
        self._hellos_unanswered = 0
        self._open_bytes = codec.Open(
            nonce=self._nonce,
            cookie=challenge.cookie,
            producer_id=self.options.producer_id,
            lane=self.options.lane,
            epoch=self.options.epoch,
            durable=self.durable if self._numbered else codec.UNKNOWN,
            oldest_held=self.base if self._numbered else codec.UNKNOWN,
            previous_session=self.previous_session,
            datagram_bytes=max(self.options.datagram_bytes, codec.SAFE_DATAGRAM_BYTES),
            begin=self._begin,
        ).encode()
        self.state = State.OPEN_SENT
        self._tries = 1
        self._outbox = [self._open_bytes]
        self._set_t1(now)
        return True

    def _on_t1(self, now: float) -> None:
        """Of HELLO_SENT and OPEN_SENT."""
        self._t1 = min(self._t1 * 2, T1_MAX)
        if self.state is State.OPEN_SENT and self._tries < OPENS_MAX:
            self._outbox = [self._open_bytes]
        elif self.state is State.OPEN_SENT:
            self._hello(now)
            return
        else:
            self._outbox = [codec.Hello(self._nonce).encode()]
            self._hellos_unanswered += 1
            self._return_from_redirect()
        self._tries += 1
        self._set_t1(now)

    def _return_from_redirect(self) -> None:
        """Where a redirect led to nobody answers (any more)."""
        if self._redirected and self._hellos_unanswered >= HELLOS_AT_REDIRECTED:
            self._redirected = False
            self._hellos_unanswered = 0
            self._events.append(Rebind(0, 0))

    def _on_accept(self, accept: codec.Accept, now: float) -> bool:
        if self.state is not State.OPEN_SENT or accept.nonce != self._nonce:
            return False
        if not self._numbered:
            self._number_from(accept)
        if accept.next < self.base or accept.durable >= accept.next or accept.next >= codec.SEQUENCE_LIMIT:
            return False
        if accept.next > self.end:
            self._fail("the appliance has records of this lane that this producer never sent", accept.next)
            return True
        lost = (accept.lost_first, accept.lost_last)
        if accept.lost_first and lost != self._lost_told:
            self._lost_told = lost
            self._events.append(AcknowledgedLoss(accept.lost_first, accept.lost_last))
        self._open_session(accept, now)
        return True

    def _number_from(self, accept: codec.Accept) -> None:
        """A process without state goes on where its predecessor stopped; that one's fates are nobody's."""
        self._numbered = True
        self.base = self.end = accept.next
        self.durable = accept.durable

    def _open_session(self, accept: codec.Accept, now: float) -> None:
        self.state = State.OPEN
        self.statistics.sessions += 1
        self.accept = accept
        self.session = accept.session
        self.credit, self.status = accept.credit, accept.status
        self._begin = False
        self._t1 = T1_MIN
        self._t1_at = None
        self._redirects_in_row = self._cookies_in_row = 0
        self._begin_session(now)
        self._events.append(Opened(accept))
        self._close_if_done(now)

    def _begin_session(self, now: float) -> None:
        """Packet numbers and loss recovery start anew; everything from ACCEPT's next on is unsent."""
        accept = self.accept
        largest = min(self.options.datagram_bytes, accept.datagram_bytes) if accept else codec.SAFE_DATAGRAM_BYTES
        self.mtu = PathMtu(largest, now)
        self.recovery = Recovery(self.mtu.proven, accept.ack_delay_us / 1e6 if accept else 0.0)
        self.cursor = accept.next if accept else self.base  # the next to be sent for the first time in this session
        self.received = self.cursor - 1  # by the appliance, in order
        self._fragment_at = 0  # of record `cursor`: these bytes went out
        self._outstanding = sum(len(held.wire) for sequence, held in self._held.items() if sequence < self.cursor)
        self._lost: list[Run] = []  # a heap
        self._acked_ahead: set[int] = set()  # sequences over `received` that arrived
        self._acked_chunks: set[int] = set()  # offsets that arrived of record received + 1
        self._ack_number = -1
        self._probes = 0
        self._ping_due = False
        self._ping_after = PING_MIN
        self._ping_at: float | None = None
        self._paced_until: float | None = None
        self._unanswered_since: float | None = None
        self._last_sent_at = now

    # ---- what the appliance sends -----------------------------------------------------------

    def receive(self, datagram: bytes, now: float) -> None:
        self.statistics.datagrams_received += 1
        try:
            message = codec.decode(datagram)
        except codec.Malformed:
            self.statistics.datagrams_ignored += 1
            return
        match message:
            case codec.Ack():
                taken = self._on_ack(message, now)
            case codec.Challenge():
                taken = self._on_challenge(message, now)
            case codec.Accept():
                taken = self._on_accept(message, now)
            case codec.Reject():
                taken = self._on_reject(message, now)
            case codec.Close():
                taken = self._on_close(message, now)
            case codec.VersionList():
                taken = self._on_versions(message)
            case _:
                taken = False
        if taken:
            self._unanswered_since = None
        else:
            self.statistics.datagrams_ignored += 1

    def _on_versions(self, versions: codec.VersionList) -> bool:
        if self.state not in (State.HELLO_SENT, State.OPEN_SENT) or versions.token != self._nonce:
            return False
        if codec.VERSION not in versions.versions:
            self._fail(f"the appliance speaks versions {list(versions.versions)} only", 0)
        return True

    def _on_reject(self, reject: codec.Reject, now: float) -> bool:
        if self.state in (State.HELLO_SENT, State.OPEN_SENT) and reject.token == self._nonce:
            return self._on_reject_of_handshake(reject, now)
        if self.state not in (State.OPEN, State.CLOSING) or reject.token != self.session:
            return False
        if reject.code == Code.SESSION_UNKNOWN and self.state is State.CLOSING:
            self._closed()
        elif reject.code == Code.SESSION_UNKNOWN:
            self._reopen(now)
        elif reject.code == Code.FENCED:
            self._fail(Code.FENCED.name, reject.detail)
        else:
            return False
        return True

    def _on_reject_of_handshake(self, reject: codec.Reject, now: float) -> bool:
        match reject.code:
            case Code.REDIRECT:
                self._on_redirect(reject, now)
            case Code.COOKIE:
                self._cookies_in_row += 1
                if self._cookies_in_row == 1:
                    self._hello(now)
                else:
                    self._wait(now, 0)
            case Code.LANE_BUSY | Code.LANES_FULL | Code.DRAINING | Code.OVERLOADED:
                self._wait(now, reject.retry_after_ms / 1000)
            case Code.LANE_UNKNOWN if self.options.begin_again and not self._begin:
                self._begin = True
                self._hello(now)
            case Code.LANE_UNKNOWN | Code.FENCED | Code.INVALID | Code.NOT_ALLOWED:
                self._fail(Code(reject.code).name, reject.detail)
            case _:
                return False
        return True

    def _on_redirect(self, reject: codec.Reject, now: float) -> None:
        self.statistics.redirects += 1
        self._redirects_in_row += 1
        self._redirected = self._redirected or reject.target_port != 0
        self._events.append(Rebind(reject.source_port, reject.target_port))
        if self._redirects_in_row <= REDIRECTS_AT_ONCE:
            self._hello(now)
        else:
            self._wait(now, 0)

    def _on_close(self, close: codec.Close, now: float) -> bool:
        if close.session != self.session:
            return False
        if self.state is State.CLOSING:
            self._closed()
        elif self.state is State.OPEN:
            self.previous_session = self.session
            self._wait(now, DRAINING_PAUSE)
        else:
            return False
        return True

    def _on_ack(self, ack: codec.Ack, now: float) -> bool:
        if self.state not in (State.OPEN, State.CLOSING) or ack.session != self.session:
            return False
        if ack.ranges and ack.largest >= self.recovery.next_number:
            return False
        if ack.durable >= self.cursor or ack.received >= self.cursor:
            return False
        if ack.durable >= self.base and ack.fates_first > self.base:
            return False  # durable, but the fates between are not told
        if ack.number > self._ack_number:
            self._ack_number = ack.number
            if ack.credit > self.credit:
                self._ping_after = PING_MIN
            self.credit, self.status = ack.credit, ack.status
        self._on_received(max(ack.received, ack.durable))
        self._take_fates(ack)
        acked, lost = self.recovery.on_ack(ack.ranges, ack.ack_delay_us / 1e6, now)
        for packet in acked:
            if packet.content is not None and packet.content.last > self.received:
                self._note_ahead(packet.content)
            if packet.is_mtu_probe:
                self.mtu.on_acked(packet.size)
                self.recovery.datagram_bytes = self.mtu.proven
        self._queue_lost(lost)
        self._close_if_done(now)
        return True

    def _on_received(self, received: int) -> None:
        if received > self.received:
            self.received = received
            self._acked_chunks.clear()
            if self._acked_ahead:
                self._acked_ahead = {sequence for sequence in self._acked_ahead if sequence > received}

    def _note_ahead(self, run: Run) -> None:
        if run.offset < 0:
            self._acked_ahead.update(range(max(run.first, self.received + 1), run.end))
        else:
            self._acked_chunks.update(range(run.offset, run.end, codec.CHUNK_BYTES))

    def _missing(self, run: Run) -> list[Run]:
        """What of `run` is not known to have arrived, by this or another packet."""
        if run.offset < 0:
            numbers = range(max(run.first, self.received + 1), run.end)
            pieces = _pieces([n for n in numbers if n not in self._acked_ahead], 1)
            return [Run(first, end) for first, end in pieces]
        if run.first <= self.received:
            return []
        offsets = range(run.offset, run.end, codec.CHUNK_BYTES)
        pieces = _pieces([at for at in offsets if at not in self._acked_chunks], codec.CHUNK_BYTES)
        return [Run(run.first, min(end, run.end), begin) for begin, end in pieces]

    def _take_fates(self, ack: codec.Ack) -> None:
        if ack.durable <= self.durable:
            return
        sequence = ack.fates_first
        for fate, count in ack.fates:
            self._free(max(sequence, self.base), sequence + count, fate)
            sequence += count
        self.durable = ack.durable
        self.base = max(self.base, ack.durable + 1)
        self._ping_after = PING_MIN
        self._ping_at = None

    def _free(self, first: int, end: int, fate: int) -> None:
        if first >= end:
            return
        freed = [self._held.pop(sequence) for sequence in range(first, end)]
        self._outstanding -= sum([len(held.wire) for held in freed])
        self._events.append(FateRun(first, fate, [held.context for held in freed]))

    def _queue_lost(self, lost: list[Packet]) -> None:
        for packet in lost:
            if packet.is_mtu_probe:
                self.mtu.on_lost()
                continue
            self.statistics.packets_lost += 1
            if packet.content is not None:
                for run in self._missing(packet.content):
                    heapq.heappush(self._lost, run)

    # ---- the ends ---------------------------------------------------------------------------

    def _fail(self, reason: str, detail: int) -> None:
        self.state = State.FAILED
        self._t1_at = None
        held = [self._held[sequence] for sequence in range(self.base, self.end)] + list(self._waiting)
        self._held.clear()
        self._waiting.clear()
        self._events.append(Failed(reason, detail, [record.context for record in held]))

    def _closed(self) -> None:
        self.state = State.CLOSED
        self._t1_at = None
        self._events.append(Closed())

    def _close_if_done(self, now: float) -> None:
        if not self._closing or self.pending:
            return
        if self.state is State.OPEN:
            self.state = State.CLOSING
            self._t1 = T1_MIN
            self._tries = 0
            self._on_closing_t1(now)
        elif self.state not in (State.CLOSING, State.CLOSED, State.FAILED):
            self._closed()

    def _on_closing_t1(self, now: float) -> None:
        if self._tries == CLOSES_MAX:
            self._closed()
            return
        self._tries += 1
        self._send_close(codec.CloseReason.DONE, now)
        self._set_t1(now)
        self._t1 = min(self._t1 * 2, T1_MAX)

    def _send_close(self, reason: codec.CloseReason, now: float) -> None:
        number = self.recovery.next_number
        close = codec.Close(self.session, reason, number, self.end, self.durable).encode()
        self.recovery.on_sent(len(close), None, now)
        self._outbox.append(close)

    # ---- timers -----------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When on_timer() and transmit() want to be called next, if nothing arrives before."""
        if self._outbox:
            return 0.0
        times = [self._t1_at]
        if self.state is State.OPEN:
            recovery = self.recovery
            times += [recovery.loss_at, recovery.pto_at(), self._ping_at, self._paced_until, self._keep_alive_at()]
            if recovery.in_flight and self._unanswered_since is not None and recovery.pto_count > 0:
                times.append(self._unanswered_since + SILENCE_MAX)
            if not recovery.in_flight:
                times.append(self.mtu.deadline())
            if self._waiting and not self.hurry:
                linger_ends = self._waiting[0].added_at + self.options.linger
                if linger_ends > self._last_polled_at:
                    times.append(linger_ends)
        return min((time for time in times if time is not None), default=None)

    def _keep_alive_at(self) -> float:
        assert self.accept is not None
        return self._last_sent_at + self.accept.session_timeout_ms / 3000

    def on_timer(self, now: float) -> None:
        if self._t1_at is not None and now >= self._t1_at:
            match self.state:
                case State.HELLO_SENT | State.OPEN_SENT:
                    self._on_t1(now)
                case State.WAITING:
                    self._hello(now)
                case State.CLOSING:
                    self._on_closing_t1(now)
        if self.state is State.OPEN:
            self._on_session_timers(now)

    def _on_session_timers(self, now: float) -> None:
        recovery = self.recovery
        silent = self._unanswered_since is not None and now >= self._unanswered_since + SILENCE_MAX
        if silent and recovery.pto_count > 0:
            self._reopen(now)
            return
        if recovery.loss_at is not None and now >= recovery.loss_at:
            self._queue_lost(recovery.detect_lost(now))
        pto_at = recovery.pto_at()
        if pto_at is not None and now >= pto_at:
            self._on_pto(now)
        if self._ping_at is not None and now >= self._ping_at:
            self._ping_at = None
            self._ping_after = min(self._ping_after * 2, PING_MAX)
            self._ping_due = True
        if now >= self._keep_alive_at():
            self._ping_due = True

    def _on_pto(self, now: float) -> None:
        self.statistics.probe_timeouts += 1
        self.recovery.on_pto()
        self._probes = 1 if self.recovery.pto_count == 1 else 2
        if self.recovery.pto_count == PTOS_BEFORE_FALL_BACK:
            self.mtu.fall_back(now)
            self.recovery.fall_back_to(self.mtu.proven)

    def _arm_ping(self, now: float) -> None:
        """ACKs are not acknowledged: the one that says `durable` or brings credit may be lost, so ask."""
        wants_word = self._outstanding > 0 or self._waiting or self.cursor < self.end
        if not wants_word or self.recovery.in_flight or self._paced_until is not None:
            self._ping_at = None
        elif self._ping_at is None:
            self._ping_at = now + self._ping_after

    # ---- sending ----------------------------------------------------------------------------

    def transmit(self, now: float) -> list[bytes]:
        """What is to be sent now, in order. Timers that are due come first."""
        self.on_timer(now)
        self._last_polled_at = now
        if self.state is State.OPEN:
            self._transmit_session(now)
        out, self._outbox = self._outbox, []
        self.statistics.datagrams_sent += len(out)
        return out

    def _transmit_session(self, now: float) -> None:
        self._paced_until = None
        self._transmit_probes(now)
        while len(self._outbox) < TRANSMIT_MAX:
            if not self._may_send(now):
                break
            if not self._send_lost(now) and not self._send_new(now):
                break
        if len(self._outbox) >= TRANSMIT_MAX and self._paced_until is None:
            self._paced_until = now  # there may be more: come again at once
        if self._ping_due:
            self._ping_due = False
            self._send_ping(now)
        size = self.mtu.probe_due(now)
        if size is not None and self.recovery.window_allows(size):
            self.mtu.on_sent()
            self._send_ping(now, size)
        self._arm_ping(now)
        self._close_if_done(now)

    def _may_send(self, now: float) -> bool:
        """Whether the window and the pacer let a full datagram go, if there is anything to send."""
        if not self._lost and not self._waiting and self.cursor == self.end:
            return False
        size = self.mtu.proven
        if not self.recovery.window_allows(size):
            return False
        ready_at = self.recovery.paced_until(size, now)
        if ready_at > now:
            self._paced_until = ready_at
            return False
        return True

    def _transmit_probes(self, now: float) -> None:
        """The oldest that are not acknowledged, past any window (RFC 9002, 6.2.4)."""
        if not self._probes:
            return
        number = self.recovery.next_number
        carried = [packet.content for packet in self.recovery.in_flight.values() if packet.content is not None]
        runs = {(run.first, run.offset): run for content in carried[:64] for run in self._missing(content)}
        for run in list(runs.values())[: self._probes]:
            self._send_run(run, now)
        if self.recovery.next_number == number:
            self._send_ping(now)
        self._probes = 0

    def _send_ping(self, now: float, probe_bytes: int = 0) -> None:
        size = probe_bytes or codec.DATA_OVERHEAD_BYTES
        ping = codec.Ping(self.session, self.recovery.next_number, self.end, self.durable, size)
        self.statistics.pings += 1
        self._send(ping.encode(), None, now, is_mtu_probe=probe_bytes > 0)

    def _send(self, datagram: bytes, run: Run | None, now: float, is_mtu_probe: bool = False) -> None:
        self.recovery.on_sent(len(datagram), run, now, is_mtu_probe)
        self._last_sent_at = now
        if self._unanswered_since is None:
            self._unanswered_since = now
        self._outbox.append(datagram)

    def _send_lost(self, now: float) -> bool:
        """One datagram of what was lost; False if nothing of it can or need be sent."""
        while self._lost:
            if self._lost[0].offset >= 0 and self._lost[0].first > self.received + 1:
                return False  # the appliance collects fragments of its next sequence only
            run = heapq.heappop(self._lost)
            while self._lost and run.continues_in(self._lost[0]):
                run = Run(run.first, max(run.end, heapq.heappop(self._lost).end), run.offset)
            run, *others = self._missing(run) or [None]
            for other in others:
                heapq.heappush(self._lost, other)
            if run is None:
                continue
            number = self.recovery.next_number
            for rest in self._send_run(run, now):
                heapq.heappush(self._lost, rest)
            if self.recovery.next_number > number:
                return True
        return False

    def _send_run(self, run: Run, now: float) -> list[Run]:
        """Sends again what of `run` fits one datagram; returns the rest. Nothing, if its first record has to go in
        fragments now, because the path's MTU shrank."""
        if run.offset >= 0:
            return self._send_fragment(run, now)
        first = max(run.first, self.received + 1)
        room = self.mtu.proven - codec.DATA_OVERHEAD_BYTES
        wires = []
        for sequence in range(first, min(run.end, first + codec.RECORDS_PER_DATAGRAM_MAX)):
            wire = self._held[sequence].wire
            if len(wire) > room:
                break
            room -= len(wire)
            wires.append(wire)
        end = first + len(wires)
        if not wires:
            held = self._held[first]
            whole = Run(first, len(held.wire) - held.prefix_bytes, 0)
            return [whole, Run(first + 1, run.end)] if first + 1 < run.end else [whole]
        self.statistics.records_sent_again += len(wires)
        self._send_data(first, wires, now)
        return [Run(end, run.end)] if end < run.end else []

    def _send_data(self, first: int, wires: list[bytes], now: float) -> None:
        datagram = codec.encode_data(self.session, self.recovery.next_number, first, self.durable, wires)
        self._send(datagram, Run(first, first + len(wires)), now)

    def _send_fragment(self, run: Run, now: float) -> list[Run]:
        held = self._held[run.first]
        room = (self.mtu.proven - codec.FRAGMENT_OVERHEAD_BYTES) // codec.CHUNK_BYTES * codec.CHUNK_BYTES
        end = min(run.offset + room, run.end)
        piece = held.wire[held.prefix_bytes + run.offset : held.prefix_bytes + end]
        record_bytes = len(held.wire) - held.prefix_bytes
        fragment = codec.Fragment(
            self.session, self.recovery.next_number, run.first, self.durable, record_bytes, run.offset, piece
        )
        self._send(fragment.encode(), Run(run.first, end, run.offset), now)
        return [Run(run.first, run.end, end)] if end < run.end else []

    # ---- new records ------------------------------------------------------------------------

    def _peek_new(self, sequence: int) -> Held | None:
        """The record that has, or would get, this sequence: cursor or one behind those already looked at."""
        if sequence < self.end:
            return self._held[sequence]
        self._refuse_too_large()
        return self._waiting[0] if self._waiting else None

    def _credit_allows(self, size: int) -> bool:
        if self._outstanding == 0:
            return self.credit > 0  # one record may be under way alone
        return self._outstanding + size <= self.credit

    def _take_new(self, held: Held) -> None:
        """Numbers it, if that was not done in an earlier session, and counts it against the credit."""
        if self.cursor == self.end:
            self._waiting.popleft()
            self._waiting_bytes -= len(held.wire)
            self._held[self.end] = held
            self.end += 1
        self._outstanding += len(held.wire)

    def _refuse_too_large(self) -> None:
        """What the appliance would refuse anyway is not carried there. Held records have numbers: they are."""
        assert self.accept is not None
        while self._waiting:
            held = self._waiting[0]
            if len(held.wire) - held.prefix_bytes <= self.accept.record_bytes_max:
                return
            self._waiting.popleft()
            self._waiting_bytes -= len(held.wire)
            self._events.append(FateRun(0, Fate.TOO_LARGE, [held.context]))

    def _lingers(self, room: int, now: float) -> bool:
        """Whether the datagram may still fill."""
        if self.hurry or self._closing or self.cursor < self.end or self._waiting_bytes >= room:
            return False
        return now < self._waiting[0].added_at + self.options.linger

    def _send_new(self, now: float) -> bool:
        """One datagram of records that this session did not carry yet; False if there is none to send."""
        room = self.mtu.proven - codec.DATA_OVERHEAD_BYTES
        held = self._peek_new(self.cursor)
        if held is None or self._lingers(room, now):
            return False
        if self._fragment_at > 0 or len(held.wire) > room:
            return self._send_new_fragment(held, now)
        first = self.cursor
        wires = self._gather(room)
        if not wires:
            return False
        self.statistics.records_sent += len(wires)
        self._send_data(first, wires, now)
        return True

    def _gather(self, room: int) -> list[bytes]:
        wires: list[bytes] = []
        bound = min(self.received + SEQUENCES_AHEAD_MAX, self.cursor + codec.RECORDS_PER_DATAGRAM_MAX - 1)
        while self.cursor <= bound:
            held = self._peek_new(self.cursor)
            if held is None or len(held.wire) > room or not self._credit_allows(len(held.wire)):
                break
            self._take_new(held)
            self.cursor += 1
            room -= len(held.wire)
            wires.append(held.wire)
        return wires

    def _send_new_fragment(self, held: Held, now: float) -> bool:
        if self._fragment_at == 0:
            # The appliance collects fragments of its next sequence only, so all before must have arrived.
            if self.received + 1 < self.cursor or not self._credit_allows(len(held.wire)):
                return False
            self._take_new(held)
            self.statistics.records_sent += 1
        rest = self._send_fragment(Run(self.cursor, len(held.wire) - held.prefix_bytes, self._fragment_at), now)
        if rest:
            self._fragment_at = rest[0].offset
        else:
            self._fragment_at = 0
            self.cursor += 1
        return True
