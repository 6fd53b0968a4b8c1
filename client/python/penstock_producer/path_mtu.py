"""How large a session's datagrams may be: docs/protocol.md, section 6.5, after RFC 8899.

Tries the largest first, then the usual Ethernet sizes below it; a size that was not acknowledged three times
is given up. After a fall back to 1,200 bytes it searches again in ten minutes.
"""

from .codec import SAFE_DATAGRAM_BYTES

PROBES_MAX = 3
RAISE_AFTER = 600.0
_COMMON = (8972, 1472, 1452, 1400)  # jumbo frames, Ethernet over IPv4 and over IPv6, a tunnel


class PathMtu:
    def __init__(self, largest: int, now: float) -> None:
        self.proven = SAFE_DATAGRAM_BYTES
        self._largest = largest
        self._begin(now)

    def _begin(self, at: float) -> None:
        sizes = {self._largest, *_COMMON}
        self._candidates = sorted((s for s in sizes if self.proven < s <= self._largest), reverse=True)
        self._tries = 0
        self.in_flight = False
        self.next_at = at

    def probe_due(self, now: float) -> int | None:
        if self.in_flight or not self._candidates or now < self.next_at:
            return None
        return self._candidates[0]

    def deadline(self) -> float | None:
        return self.next_at if self._candidates and not self.in_flight else None

    def on_sent(self) -> None:
        self.in_flight = True
        self._tries += 1

    def on_acked(self, size: int) -> None:
        self.in_flight = False
        self.proven = max(self.proven, size)
        self._candidates = []

    def on_lost(self) -> None:
        self.in_flight = False
        if self._tries >= PROBES_MAX:
            self._candidates = self._candidates[1:]
            self._tries = 0

    def fall_back(self, now: float) -> None:
        self.proven = SAFE_DATAGRAM_BYTES
        self._begin(now + RAISE_AFTER)
