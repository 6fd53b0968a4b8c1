"""Producer: lanes, sockets and one thread that serves them all.

Threads  The I/O thread alone touches lanes and sockets. Callers put encoded records into inboxes under the
         lock; on_delivery and on_loss run on the I/O thread: they must neither wait nor raise.
Memory   At most queue_bytes of encoded records are held; beyond that send() waits queue_wait, then QueueFull.
"""

import os
import selectors
import socket
import sys
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

from . import codec
from .codec import Fate
from .events import AcknowledgedLoss, Closed, Event, Failed, FateRun, Opened, Rebind
from .lane import Lane, LaneOptions, LaneStatistics, State

RECEIVE_BURST = 64
IDLE_WAIT = 1.0
INBOX_WAKE_BYTES = 16384  # fewer wait until the I/O thread comes by, within `linger`
UNKEYED_RUN_BYTES = 1100  # records without a key change lanes after about a datagram
OVERHEAD_BYTES = 128  # of a held record, beside its bytes


class ProducerError(Exception):
    pass


class QueueFull(ProducerError):
    """queue_bytes are held already: the appliance is slower than the application."""


class RecordRefused(ProducerError):
    """The appliance refused the record for good, or lost it."""

    def __init__(self, fate: int) -> None:
        super().__init__(Fate(fate).name if fate in list(Fate) else f"refusal {fate}")
        self.fate = fate


class LaneFailed(ProducerError):
    """The lane is given up, its records with it: whether they were stored is not known."""

    def __init__(self, lane: int, reason: str, detail: int) -> None:
        super().__init__(f"lane {lane}: {reason} ({detail})")
        self.lane = lane
        self.reason = reason
        self.detail = detail


class Delivery:
    """What send() returns: the fate of one record, once it is on stable storage."""

    __slots__ = ("_producer", "callback", "error", "fate", "lane", "sequence", "size")

    def __init__(
        self, producer: "Producer", lane: int, size: int, callback: "Callable[[Delivery], None] | None"
    ) -> None:
        self._producer = producer
        self.size = size  # of memory, about
        self.callback = callback
        self.lane = lane
        self.sequence = 0
        self.fate: int | None = None
        self.error: ProducerError | None = None

    def done(self) -> bool:
        return self.fate is not None or self.exception() is not None

    def exception(self) -> ProducerError | None:
        if self.error is not None:
            return self.error
        if self.fate is None:
            return self._producer._broken
        refused = self.fate >= codec.FIRST_REFUSAL or self.fate == Fate.LOST
        return RecordRefused(self.fate) if refused else None

    def result(self, timeout: float | None = None) -> int:
        """Fate.STORED or Fate.DROPPED (by a rule). Raises RecordRefused, LaneFailed, TimeoutError."""
        if not self._producer._wait_until(self.done, timeout):
            raise TimeoutError("the record is not durable yet")
        error = self.exception()
        if error is not None:
            raise error
        assert self.fate is not None
        return self.fate


@dataclass(slots=True)
class Statistics(LaneStatistics):
    """The sums over all lanes."""

    pending_records: int = 0
    pending_bytes: int = 0
    stored: int = 0
    dropped: int = 0
    refused: int = 0
    failed: int = 0  # of lanes that were given up
    records_lost_by_appliance: int = 0  # it had named them durable
    send_errors: int = 0


def _socket_to(target: tuple, family: int, source_port: int) -> socket.socket:
    """Connected and non-blocking; from source_port, or if that is taken from any other."""
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        opened.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
    if sys.platform == "linux":
        # IP_MTU_DISCOVER, IPV6_MTU_DISCOVER to PMTUDISC_PROBE: DF, and the path is ours to probe.
        level, option = (socket.IPPROTO_IPV6, 23) if family == socket.AF_INET6 else (socket.IPPROTO_IP, 10)
        opened.setsockopt(level, option, 3)
    if source_port:
        try:
            opened.bind(("", source_port))
        except OSError:
            pass
    opened.connect(target)
    return opened


class _Channel:
    """A lane and its socket. Of the I/O thread, but for the inbox, which is the lock's."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.socket: socket.socket | None = None
        self.inbox: list[tuple[bytes, Delivery, float]] = []
        self.inbox_bytes = 0
        self.ended: LaneFailed | None = None


class Producer:
    """Sends records to one appliance, each once, and says when its fate is on stable storage.

    producer_id  16 bytes that name this producer for ever. None: a random one, new lanes; then a later process
                 cannot go on where this one stopped.
    on_loss      Called with (lane, first, last) when the appliance lost what it had named durable.
    """

    def __init__(
        self,
        address: tuple[str, int] | str,
        producer_id: bytes | None = None,
        lanes: int = 4,
        *,
        epoch: int | None = None,
        topic: str | None = None,
        linger: float = 0.005,
        queue_bytes: int = 32 << 20,
        queue_wait: float = 0.0,
        datagram_bytes: int = 1472,
        begin_again: bool = False,
        on_loss: Callable[[int, int, int], None] | None = None,
    ) -> None:
        if producer_id is not None and (len(producer_id) != codec.PRODUCER_ID_BYTES or not any(producer_id)):
            raise ValueError("a producer id has 16 bytes, not all zero")
        if lanes < 1 or datagram_bytes < codec.SAFE_DATAGRAM_BYTES or queue_bytes < 1:
            raise ValueError("lanes, queue_bytes: at least 1; datagram_bytes: at least 1,200")
        host, port = split_address(address) if isinstance(address, str) else address
        self._family, _, _, _, self._target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self.producer_id = producer_id or os.urandom(codec.PRODUCER_ID_BYTES)
        self.epoch = epoch or time.time_ns()
        self._topic = topic
        self._queue_bytes = queue_bytes
        self._queue_wait = queue_wait
        self._on_loss = on_loss
        self._linger = linger
        self._topic_crcs: dict[str, int] = {}
        self._channels = [
            _Channel(
                Lane(
                    LaneOptions(
                        producer_id=self.producer_id,
                        lane=number,
                        epoch=self.epoch,
                        fresh=producer_id is None,
                        datagram_bytes=datagram_bytes,
                        linger=linger,
                        begin_again=begin_again,
                    )
                )
            )
            for number in range(lanes)
        ]

        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._pending_records = 0
        self._pending_bytes = 0
        self._flushing = 0
        self._closing = False
        self._abandoned = False
        self._unkeyed_bytes = 0
        self._counts = Statistics()
        self._waiters = 0
        self._broken: LaneFailed | None = None  # the I/O thread is gone

        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._asleep = False
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="penstock-producer", daemon=True)
        self._thread.start()

    # ---- callers' threads -------------------------------------------------------------------

    def __enter__(self) -> "Producer":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(timeout=None if kind is None else 0)

    def send(
        self,
        value: bytes | None,
        key: bytes | None = None,
        topic: str | None = None,
        headers: codec.Headers = (),
        timestamp_ms: int | None = None,
        on_delivery: Callable[[Delivery], None] | None = None,
    ) -> Delivery:
        """Records of one key keep their order. Raises QueueFull, LaneFailed."""
        record = codec.encode_record(
            codec.Record(value, key, headers, self._topic_crc(topic or self._topic), timestamp_ms)
        )
        size = len(record) + OVERHEAD_BYTES
        with self._lock:
            if self._closing:
                raise ProducerError("the producer is closed")
            self._make_room(size)
            channel = self._channels[self._lane_of(key, len(record))]
            if channel.ended is not None:
                raise channel.ended
            delivery = Delivery(self, channel.lane.options.lane, size, on_delivery)
            channel.inbox.append((record, delivery, time.monotonic()))
            channel.inbox_bytes += size
            self._pending_records += 1
            self._pending_bytes += size
            wake = self._asleep or channel.inbox_bytes - size < INBOX_WAKE_BYTES <= channel.inbox_bytes
            self._asleep = False
        if wake:
            self._wake()
        return delivery

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until every record that was sent has its fate; False if that took longer."""
        with self._lock:
            self._flushing += 1
        self._wake()
        try:
            return self._wait_until(lambda: self._pending_records == 0, timeout)
        finally:
            with self._lock:
                self._flushing -= 1

    def close(self, timeout: float | None = None) -> bool:
        """Flushes, then ends the sessions. False: it took longer, and what was pending has failed."""
        with self._lock:
            self._closing = True
        done = self.flush(timeout)
        if not done:
            self._abandoned = True
        self._wake()
        self._thread.join(None if done else 5.0)
        return done

    def statistics(self) -> Statistics:
        with self._lock:
            result = Statistics(**asdict(self._counts))
            result.pending_records = self._pending_records
            result.pending_bytes = self._pending_bytes
        for channel in self._channels:
            for part in fields(LaneStatistics):
                total = getattr(result, part.name) + getattr(channel.lane.statistics, part.name)
                setattr(result, part.name, total)
        return result

    def _topic_crc(self, topic: str | None) -> int | None:
        if topic is None:
            return None
        if topic not in self._topic_crcs:
            self._topic_crcs[topic] = codec.topic_crc(topic)
        return self._topic_crcs[topic]

    def _lane_of(self, key: bytes | None, size: int) -> int:
        if key is not None:
            return zlib.crc32(key) % len(self._channels)
        self._unkeyed_bytes += size
        return self._unkeyed_bytes // UNKEYED_RUN_BYTES % len(self._channels)

    def _make_room(self, size: int) -> None:
        """Under the lock. A single record larger than the queue passes alone."""

        def has_room() -> bool:
            return self._pending_records == 0 or self._pending_bytes + size <= self._queue_bytes

        if has_room():
            return
        self._waiters += 1
        has = self._queue_wait > 0 and self._changed.wait_for(has_room, self._queue_wait)
        self._waiters -= 1
        if not has:
            raise QueueFull(f"{self._pending_records} records wait to become durable")

    def _wait_until(self, predicate: Callable[[], bool], timeout: float | None) -> bool:
        with self._changed:
            self._waiters += 1
            try:
                return self._changed.wait_for(predicate, timeout)
            finally:
                self._waiters -= 1

    def _wake(self) -> None:
        try:
            self._wake_write.send(b"\0")
        except OSError:
            pass  # it has been woken often enough, or is gone

    # ---- the I/O thread ---------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._is_over():
                self._turn()
        except Exception as error:
            self._fail_all(f"the I/O thread ended: {error!r}")
            raise
        finally:
            for channel in self._channels:
                if channel.socket is not None:
                    channel.socket.close()
            self._selector.close()
            self._wake_read.close()
            self._wake_write.close()

    def _fail_all(self, reason: str) -> None:
        """A defect here, or a callback that raised: nobody may wait for ever."""
        for channel in self._channels:
            failure = LaneFailed(channel.lane.options.lane, reason, 0)
            channel.lane.abandon(time.monotonic(), reason)
            events = channel.lane.take_events()
            deliveries = [delivery for event in events if isinstance(event, Failed) for delivery in event.contexts]
            with self._lock:
                channel.ended = failure
                deliveries += [delivery for _, delivery, _ in channel.inbox]
            for delivery in deliveries:
                delivery.callback = None
            self._resolve_failed(failure, deliveries)
        with self._changed:
            self._broken = LaneFailed(-1, reason, 0)
            self._pending_records = self._pending_bytes = 0
            self._changed.notify_all()

    def _turn(self) -> None:
        for channel in self._channels:
            self._take_inbox(channel)
            self._advance(channel)
        now = time.monotonic()
        deadlines = [d for d in (channel.lane.deadline() for channel in self._channels) if d is not None]
        wait = min(max(min(deadlines, default=now + IDLE_WAIT) - now, 0.0), IDLE_WAIT)
        with self._lock:
            if any(channel.inbox for channel in self._channels):
                wait = min(wait, self._linger)
            self._asleep = wait > self._linger
        for key, _ in self._selector.select(wait):
            if key.data is None:
                self._wake_read.recv(4096)
            else:
                self._receive(key.data)

    def _is_over(self) -> bool:
        ended = (State.CLOSED, State.FAILED)
        return self._closing and all(channel.lane.state in ended for channel in self._channels)

    def _take_inbox(self, channel: _Channel) -> None:
        lane = channel.lane
        with self._lock:
            inbox, channel.inbox = channel.inbox, []
            channel.inbox_bytes = 0
            lane.hurry = self._flushing > 0
            close = self._closing and not self._abandoned
        now = time.monotonic()
        if channel.ended is not None:
            self._resolve_failed(channel.ended, [delivery for _, delivery, _ in inbox])
            return
        for record, delivery, added_at in inbox:
            lane.add(record, delivery, added_at, now)
        if self._abandoned:
            lane.abandon(now, "the producer was closed before all was durable")
        elif close:
            lane.close(now)

    def _advance(self, channel: _Channel) -> None:
        out = channel.lane.transmit(time.monotonic())
        for event in channel.lane.take_events():
            self._on_event(channel, event)
        if out and channel.socket is None:
            self._bind(channel, 0, 0)
        for datagram in out:
            try:
                channel.socket.send(datagram)
            except OSError:
                # Full buffer, unreachable, too large for the interface: lost, as far as a lane can tell.
                self._counts.send_errors += 1

    def _receive(self, channel: _Channel) -> None:
        assert channel.socket is not None
        now = time.monotonic()
        for _ in range(RECEIVE_BURST):
            try:
                datagram = channel.socket.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                continue  # what an ICMP message left behind: the lane's timers know better
            channel.lane.receive(datagram, now)

    def _bind(self, channel: _Channel, source_port: int, target_port: int) -> None:
        if channel.socket is not None:
            self._selector.unregister(channel.socket)
            channel.socket.close()
        target = (self._target[0], target_port or self._target[1], *self._target[2:])
        channel.socket = _socket_to(target, self._family, source_port)
        self._selector.register(channel.socket, selectors.EVENT_READ, channel)

    def _on_event(self, channel: _Channel, event: Event) -> None:
        match event:
            case FateRun():
                self._resolve(event)
            case Rebind():
                self._bind(channel, event.source_port, event.target_port)
            case Failed():
                failure = LaneFailed(channel.lane.options.lane, event.reason, event.detail)
                channel.ended = failure
                self._resolve_failed(failure, event.contexts)
            case AcknowledgedLoss():
                with self._lock:
                    self._counts.records_lost_by_appliance += event.last - event.first + 1
                if self._on_loss is not None:
                    self._on_loss(channel.lane.options.lane, event.first, event.last)
            case Opened() | Closed():
                pass

    def _resolve(self, run: FateRun) -> None:
        callbacks = []
        for place, delivery in enumerate(run.contexts):
            delivery.sequence = run.first + place if run.first else 0
            delivery.fate = run.fate
            if delivery.callback is not None:
                callbacks.append(delivery)
        count = len(run.contexts)
        with self._lock:
            if run.fate == Fate.STORED:
                self._counts.stored += count
            elif run.fate >= codec.FIRST_REFUSAL or run.fate == Fate.LOST:
                self._counts.refused += count
            else:
                self._counts.dropped += count
        self._settle(run.contexts, callbacks)

    def _resolve_failed(self, failure: LaneFailed, deliveries: list) -> None:
        for delivery in deliveries:
            delivery.error = failure
        with self._lock:
            self._counts.failed += len(deliveries)
        self._settle(deliveries, [d for d in deliveries if d.callback is not None])

    def _settle(self, deliveries: list, callbacks: list) -> None:
        for delivery in callbacks:
            delivery.callback(delivery)
        with self._changed:
            self._pending_records -= len(deliveries)
            self._pending_bytes -= sum([delivery.size for delivery in deliveries])
            if self._waiters:
                self._changed.notify_all()


def split_address(text: str) -> tuple[str, int]:
    """HOST:PORT, [IPV6]:PORT, or HOST with the default port."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), codec.DEFAULT_PORT
    return host.strip("[]"), int(port)
