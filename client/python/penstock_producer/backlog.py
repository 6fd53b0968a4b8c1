"""The records of a lane that are not known to be durable: those that have their sequences, and behind them those
that wait for one. A record is numbered when it is first sent, and keeps its number for good.
"""

from collections import deque
from dataclasses import dataclass

from .codec import encode_uvarint


@dataclass(slots=True)
class Held:
    """A record that is not known to be durable."""

    wire: bytes  # with its length before it
    prefix_bytes: int
    context: object
    added_at: float

    @property
    def record_bytes(self) -> int:
        return len(self.wire) - self.prefix_bytes


class Backlog:
    """durable < base <= end: `durable` has its fate taken in, base..end-1 are held, `end` is the next record's."""

    def __init__(self) -> None:
        self.durable = 0
        self.base = 1
        self.end = 1
        self.waiting: deque[Held] = deque()
        self.waiting_bytes = 0
        self._held: dict[int, Held] = {}

    def __len__(self) -> int:
        return len(self._held) + len(self.waiting)

    def __getitem__(self, sequence: int) -> Held:
        return self._held[sequence]

    def add(self, record: bytes, context: object, added_at: float) -> None:
        prefix = encode_uvarint(len(record))
        self.waiting.append(Held(prefix + record, len(prefix), context, added_at))
        self.waiting_bytes += len(prefix) + len(record)

    def begin_at(self, following: int, durable: int) -> None:
        """A process without state goes on where its predecessor stopped; that one's fates are nobody's."""
        assert not self._held
        self.base = self.end = following
        self.durable = durable

    def take_waiting(self) -> Held:
        """The first that waits, for good."""
        held = self.waiting.popleft()
        self.waiting_bytes -= len(held.wire)
        return held

    def number_next(self) -> None:
        self._held[self.end] = self.take_waiting()
        self.end += 1

    def bytes_below(self, sequence: int) -> int:
        return sum([len(self._held[s].wire) for s in range(self.base, sequence)])

    def free(self, first: int, end: int) -> list[Held]:
        """Those of first..end-1 that are held. Called in ascending order; reach() follows."""
        return [self._held.pop(sequence) for sequence in range(max(first, self.base), end)]

    def reach(self, durable: int) -> None:
        self.durable = durable
        self.base = max(self.base, durable + 1)

    def take_all(self) -> list[Held]:
        """What is left when the lane ends without a fate for it."""
        left = [self._held[sequence] for sequence in sorted(self._held)] + list(self.waiting)
        self._held.clear()
        self.waiting.clear()
        self.waiting_bytes = 0
        return left
