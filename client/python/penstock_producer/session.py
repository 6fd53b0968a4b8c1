"""One session of a lane, without I/O: sections 5 and 6 of docs/protocol.md from ACCEPT on.

Sends the lane's backlog within credit, window and MTU, and takes in what the appliance acknowledges. Fates go to the
lane's events. Nothing of it outlives the session; the backlog does.
"""

import heapq
from dataclasses import dataclass

from . import codec
from .backlog import Backlog, Held
from .codec import Fate
from .events import Event, FateRun
from .path_mtu import PathMtu
from .recovery import Packet, Recovery

SILENCE_MAX = 10.0
PING_MIN, PING_MAX = 0.1, 1.0
PTOS_BEFORE_FALL_BACK = 3
SEQUENCES_AHEAD_MAX = 65536  # of what the appliance received in order (section 7)
TRANSMIT_MAX = 64  # datagrams of one transmit(): the owner has other lanes


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


class Session:
    """backlog.base <= received + 1, and base <= cursor <= end."""

    def __init__(
        self,
        accept: codec.Accept,
        backlog: Backlog,
        events: list[Event],
        statistics: LaneStatistics,
        datagram_bytes: int,
        linger: float,
        now: float,
    ) -> None:
        self.accept = accept
        self.backlog = backlog
        self.credit, self.status = accept.credit, accept.status
        self.hurry = False  # nothing is held for `linger`
        self._events = events
        self._statistics = statistics
        self._linger = linger
        self._outbox: list[bytes] = []
        self._last_polled_at = 0.0
        self.mtu = PathMtu(min(datagram_bytes, accept.datagram_bytes), now)
        self.recovery = Recovery(self.mtu.proven, accept.ack_delay_us / 1e6)
        self.cursor = accept.next  # the next to be sent for the first time in this session
        self.received = self.cursor - 1  # by the appliance, in order
        self._fragment_at = 0  # of record `cursor`: these bytes went out
        self._outstanding = backlog.bytes_below(self.cursor)
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

    def on_heard(self) -> None:
        self._unanswered_since = None

    def on_ack(self, ack: codec.Ack, now: float) -> bool:
        """False: it claims what cannot be, and was not taken."""
        if ack.ranges and ack.largest >= self.recovery.next_number:
            return False
        if ack.durable >= self.cursor or ack.received >= self.cursor:
            return False
        if ack.durable >= self.backlog.base and ack.fates_first > self.backlog.base:
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
        if ack.durable <= self.backlog.durable:
            return
        sequence = ack.fates_first
        for fate, count in ack.fates:
            self._free(sequence, sequence + count, fate)
            sequence += count
        self.backlog.reach(ack.durable)
        self._ping_after = PING_MIN
        self._ping_at = None

    def _free(self, first: int, end: int, fate: int) -> None:
        freed = self.backlog.free(first, end)
        if freed:
            self._outstanding -= sum([len(held.wire) for held in freed])
            self._events.append(FateRun(max(first, self.backlog.base), fate, [held.context for held in freed]))

    def _queue_lost(self, lost: list[Packet]) -> None:
        for packet in lost:
            if packet.is_mtu_probe:
                self.mtu.on_lost()
                continue
            self._statistics.packets_lost += 1
            if packet.content is not None:
                for run in self._missing(packet.content):
                    heapq.heappush(self._lost, run)


    def close(self, reason: codec.CloseReason, now: float) -> bytes:
        number = self.recovery.next_number
        close = codec.Close(self.accept.session, reason, number, self.backlog.end, self.backlog.durable).encode()
        self.recovery.on_sent(len(close), None, now)
        return close

    def _keep_alive_at(self) -> float:
        return self._last_sent_at + self.accept.session_timeout_ms / 3000

    def is_silent(self, now: float) -> bool:
        """Whether the appliance does not answer any more, though it was asked."""
        since = self._unanswered_since
        return since is not None and now >= since + SILENCE_MAX and self.recovery.pto_count > 0

    def deadline(self) -> float | None:
        recovery = self.recovery
        times = [recovery.loss_at, recovery.pto_at(), self._ping_at, self._paced_until, self._keep_alive_at()]
        if recovery.in_flight and self._unanswered_since is not None and recovery.pto_count > 0:
            times.append(self._unanswered_since + SILENCE_MAX)
        if not recovery.in_flight:
            times.append(self.mtu.deadline())
        if self.backlog.waiting and not self.hurry:
            linger_ends = self.backlog.waiting[0].added_at + self._linger
            if linger_ends > self._last_polled_at:
                times.append(linger_ends)
        return min(time for time in times if time is not None)

    def on_timer(self, now: float) -> None:
        recovery = self.recovery
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
        self._statistics.probe_timeouts += 1
        self.recovery.on_pto()
        self._probes = 1 if self.recovery.pto_count == 1 else 2
        if self.recovery.pto_count == PTOS_BEFORE_FALL_BACK:
            self.mtu.fall_back(now)
            self.recovery.fall_back_to(self.mtu.proven)

    def _arm_ping(self, now: float) -> None:
        """ACKs are not acknowledged: the one that says `durable` or brings credit may be lost, so ask."""
        wants_word = self._outstanding > 0 or self.backlog.waiting or self.cursor < self.backlog.end
        if not wants_word or self.recovery.in_flight or self._paced_until is not None:
            self._ping_at = None
        elif self._ping_at is None:
            self._ping_at = now + self._ping_after

    # ---- sending ----------------------------------------------------------------------------

    def transmit(self, outbox: list[bytes], now: float) -> None:
        """Appends to `outbox` what the window, the pacer and the credit let go now."""
        self._outbox = outbox
        self._last_polled_at = now
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

    def _may_send(self, now: float) -> bool:
        """Whether the window and the pacer let a full datagram go, if there is anything to send."""
        if not self._lost and not self.backlog.waiting and self.cursor == self.backlog.end:
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
        ping = codec.Ping(self.accept.session, self.recovery.next_number, self.backlog.end, self.backlog.durable, size)
        self._statistics.pings += 1
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
            wire = self.backlog[sequence].wire
            if len(wire) > room:
                break
            room -= len(wire)
            wires.append(wire)
        end = first + len(wires)
        if not wires:
            held = self.backlog[first]
            whole = Run(first, held.record_bytes, 0)
            return [whole, Run(first + 1, run.end)] if first + 1 < run.end else [whole]
        self._statistics.records_sent_again += len(wires)
        self._send_data(first, wires, now)
        return [Run(end, run.end)] if end < run.end else []

    def _send_data(self, first: int, wires: list[bytes], now: float) -> None:
        datagram = codec.encode_data(self.accept.session, self.recovery.next_number, first, self.backlog.durable, wires)
        self._send(datagram, Run(first, first + len(wires)), now)

    def _send_fragment(self, run: Run, now: float) -> list[Run]:
        held = self.backlog[run.first]
        room = (self.mtu.proven - codec.FRAGMENT_OVERHEAD_BYTES) // codec.CHUNK_BYTES * codec.CHUNK_BYTES
        end = min(run.offset + room, run.end)
        piece = held.wire[held.prefix_bytes + run.offset : held.prefix_bytes + end]
        record_bytes = held.record_bytes
        fragment = codec.Fragment(
            self.accept.session, self.recovery.next_number, run.first, self.backlog.durable, record_bytes, run.offset, piece
        )
        self._send(fragment.encode(), Run(run.first, end, run.offset), now)
        return [Run(run.first, run.end, end)] if end < run.end else []

    # ---- new records ------------------------------------------------------------------------

    def _peek_new(self, sequence: int) -> Held | None:
        """The record that has, or would get, this sequence: cursor or one behind those already looked at."""
        if sequence < self.backlog.end:
            return self.backlog[sequence]
        self._refuse_too_large()
        return self.backlog.waiting[0] if self.backlog.waiting else None

    def _credit_allows(self, size: int) -> bool:
        if self._outstanding == 0:
            return self.credit > 0  # one record may be under way alone
        return self._outstanding + size <= self.credit

    def _take_new(self, held: Held) -> None:
        """Numbers it, if that was not done in an earlier session, and counts it against the credit."""
        if self.cursor == self.backlog.end:
            self.backlog.number_next()
        self._outstanding += len(held.wire)

    def _refuse_too_large(self) -> None:
        """What the appliance would refuse anyway is not carried there. Held records have numbers: they are."""
        while self.backlog.waiting:
            held = self.backlog.waiting[0]
            if held.record_bytes <= self.accept.record_bytes_max:
                return
            self.backlog.take_waiting()
            self._events.append(FateRun(0, Fate.TOO_LARGE, [held.context]))

    def _lingers(self, room: int, now: float) -> bool:
        """Whether the datagram may still fill."""
        if self.hurry or self.cursor < self.backlog.end or self.backlog.waiting_bytes >= room:
            return False
        return now < self.backlog.waiting[0].added_at + self._linger

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
        self._statistics.records_sent += len(wires)
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
            self._statistics.records_sent += 1
        rest = self._send_fragment(Run(self.cursor, held.record_bytes, self._fragment_at), now)
        if rest:
            self._fragment_at = rest[0].offset
        else:
            self._fragment_at = 0
            self.cursor += 1
        return True
