"""One lane of a producer, without I/O: the state machine of docs/protocol.md, section 5.

Bytes come in through receive(), time through the `now` of every call (seconds, any clock that never runs
backwards), and what is to be done comes out of transmit(), take_events() and deadline(). Not thread-safe:
one owner calls it. A record is numbered when it is first sent, so that a process without state can wait for
ACCEPT to say where the lane stands.
"""

import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from . import codec
from .backlog import Backlog
from .codec import Code
from .events import AcknowledgedLoss, Closed, Event, Failed, Opened, Rebind
from .session import LaneStatistics, Session

T1_MIN, T1_MAX, T1_JITTER = 0.1, 5.0, 0.25
OPENS_MAX = 3
CLOSES_MAX = 3
REDIRECTS_AT_ONCE = 64
HELLOS_AT_REDIRECTED = 5  # unanswered ones, before it asks at the configured address again
DRAINING_PAUSE = 0.1


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

        self.backlog = Backlog()

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

        self.session: Session | None = None  # of OPEN and CLOSING
        self.previous_session = 0
        self._lost_told = (0, 0)
        self._closing = False

    # ---- the application's side -------------------------------------------------------------

    @property
    def pending(self) -> int:
        return len(self.backlog)

    def open(self, now: float) -> None:
        """Opens the lane without a record."""
        if self.state is State.IDLE:
            self._hello(now)

    def add(self, record: bytes, context: object, added_at: float, now: float) -> None:
        """Takes an encoded record, which lingers since `added_at`. Its fate comes as an event, with `context`."""
        assert self.state not in (State.CLOSING, State.CLOSED, State.FAILED)
        assert not self._closing
        self.backlog.add(record, context, added_at)
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
            assert self.session is not None
            self._outbox.append(self.session.close(codec.CloseReason.FAILED, now))
        self._fail(reason, 0)

    def take_events(self) -> list[Event]:
        events = list(self._events)
        self._events.clear()  # the session appends to the same list
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
        self._leave_session()
        self._t1 = T1_MIN
        self._hello(now)

    def _leave_session(self) -> None:
        assert self.session is not None
        self.previous_session = self.session.accept.session
        self.session = None

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
            durable=self.backlog.durable if self._numbered else codec.UNKNOWN,
            oldest_held=self.backlog.base if self._numbered else codec.UNKNOWN,
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
            self._numbered = True
            self.backlog.begin_at(accept.next, accept.durable)
        if accept.next < self.backlog.base or accept.durable >= accept.next or accept.next >= codec.SEQUENCE_LIMIT:
            return False
        if accept.next > self.backlog.end:
            self._fail("the appliance has records of this lane that this producer never sent", accept.next)
            return True
        lost = (accept.lost_first, accept.lost_last)
        if accept.lost_first and lost != self._lost_told:
            self._lost_told = lost
            self._events.append(AcknowledgedLoss(accept.lost_first, accept.lost_last))
        self._open_session(accept, now)
        return True

    def _open_session(self, accept: codec.Accept, now: float) -> None:
        self.state = State.OPEN
        self.statistics.sessions += 1
        self.session = Session(
            accept,
            self.backlog,
            self._events,
            self.statistics,
            self.options.datagram_bytes,
            self.options.linger,
            now,
        )
        self._begin = False
        self._t1 = T1_MIN
        self._t1_at = None
        self._redirects_in_row = self._cookies_in_row = 0
        self._events.append(Opened(accept))
        self._close_if_done(now)

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
        if taken and self.session is not None:
            self.session.on_heard()
        if not taken:
            self.statistics.datagrams_ignored += 1

    def _on_versions(self, versions: codec.VersionList) -> bool:
        if self.state not in (State.HELLO_SENT, State.OPEN_SENT) or versions.token != self._nonce:
            return False
        if codec.VERSION not in versions.versions:
            self._fail(f"the appliance speaks versions {list(versions.versions)} only", 0)
        return True

    def _is_of_session(self, token: int) -> bool:
        in_session = self.state in (State.OPEN, State.CLOSING)
        return in_session and self.session is not None and self.session.accept.session == token

    def _on_reject(self, reject: codec.Reject, now: float) -> bool:
        if self.state in (State.HELLO_SENT, State.OPEN_SENT) and reject.token == self._nonce:
            return self._on_reject_of_handshake(reject, now)
        if not self._is_of_session(reject.token):
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
        if not self._is_of_session(close.session):
            return False
        if self.state is State.CLOSING:
            self._closed()
        else:
            self._leave_session()
            self._wait(now, DRAINING_PAUSE)
        return True

    def _on_ack(self, ack: codec.Ack, now: float) -> bool:
        if not self._is_of_session(ack.session):
            return False
        assert self.session is not None
        taken = self.session.on_ack(ack, now)
        self._close_if_done(now)
        return taken


    # ---- the ends ---------------------------------------------------------------------------

    def _fail(self, reason: str, detail: int) -> None:
        self.state = State.FAILED
        self._t1_at = None
        contexts = [held.context for held in self.backlog.take_all()]
        self._events.append(Failed(reason, detail, contexts))

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
        assert self.session is not None
        self._outbox.append(self.session.close(codec.CloseReason.DONE, now))
        self._set_t1(now)
        self._t1 = min(self._t1 * 2, T1_MAX)

    # ---- timers -----------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When on_timer() and transmit() want to be called next, if nothing arrives before."""
        if self._outbox:
            return 0.0
        times = [self._t1_at]
        if self.state is State.OPEN:
            assert self.session is not None
            times.append(self.session.deadline())
        return min((time for time in times if time is not None), default=None)

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
            assert self.session is not None
            if self.session.is_silent(now):
                self._reopen(now)
            else:
                self.session.on_timer(now)

    # ---- sending ----------------------------------------------------------------------------

    def transmit(self, now: float) -> list[bytes]:
        """What is to be sent now, in order. Timers that are due come first."""
        self.on_timer(now)
        if self.state is State.OPEN:
            assert self.session is not None
            self.session.hurry = self.hurry or self._closing
            self.session.transmit(self._outbox, now)
            self._close_if_done(now)
        out, self._outbox = self._outbox, []
        self.statistics.datagrams_sent += len(out)
        return out

