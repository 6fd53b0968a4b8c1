"""Loss recovery and congestion control of one session: RFC 9002, sections 5 to 7, with NewReno.

Owns what is in flight, the round-trip time, the congestion window and the pacer. It knows packet numbers and
bytes; which records a packet carried is its owner's, in Packet.content. Time comes in as an argument, in seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass

GRANULARITY = 0.001
INITIAL_RTT = 0.1  # docs/protocol.md, section 6.2
PACKET_THRESHOLD = 3
TIME_THRESHOLD = 9 / 8
PERSISTENT_CONGESTION_PTOS = 3
PACING_GAIN = 1.25
PACING_BURST_PACKETS = 10


@dataclass(slots=True)
class Packet:
    number: int
    sent_at: float
    size: int
    content: object
    is_mtu_probe: bool = False  # its loss says nothing about congestion (RFC 8899, section 3)


class Recovery:
    def __init__(self, datagram_bytes: int, ack_delay_max: float) -> None:
        self.datagram_bytes = datagram_bytes
        self.ack_delay_max = ack_delay_max
        self.in_flight: dict[int, Packet] = {}  # by number, which is the order of sending too
        self.bytes_in_flight = 0
        self.largest_acked = -1
        self.next_number = 0

        self.smoothed_rtt = INITIAL_RTT
        self.rtt_variation = INITIAL_RTT / 2
        self.rtt_min = 0.0
        self.first_rtt_at: float | None = None

        self.window = min(10 * datagram_bytes, max(2 * datagram_bytes, 14720))
        self.slow_start_until = float("inf")
        self.recovery_began_at = -1.0
        self.was_limited = False  # the window, not the application, held sending back

        self.pto_count = 0
        self.last_sent_at = 0.0
        self.loss_at: float | None = None
        self._pace_budget = float(PACING_BURST_PACKETS * datagram_bytes)
        self._paced_at = 0.0

    # ---- sending ----------------------------------------------------------------------------

    def window_allows(self, size: int) -> bool:
        if self.bytes_in_flight + size <= self.window:
            return True
        self.was_limited = True
        return False

    def _pacing_rate(self) -> float:
        return PACING_GAIN * self.window / self.smoothed_rtt

    def paced_until(self, size: int, now: float) -> float:
        """When `size` bytes may leave: `now`, or later."""
        burst = PACING_BURST_PACKETS * self.datagram_bytes
        if now > self._paced_at:
            earned = (now - self._paced_at) * self._pacing_rate()
            self._pace_budget = min(self._pace_budget + earned, burst)
            self._paced_at = now
        if self._pace_budget >= size:
            return now
        self.was_limited = True  # by the pacer, which is no reason to distrust the window (RFC 9002, 7.8)
        return now + max((size - self._pace_budget) / self._pacing_rate(), GRANULARITY)

    def on_sent(self, size: int, content: object, now: float, is_mtu_probe: bool = False) -> None:
        """The packet that next_number names has left."""
        self.in_flight[self.next_number] = Packet(self.next_number, now, size, content, is_mtu_probe)
        self.next_number += 1
        self.bytes_in_flight += size
        self.last_sent_at = now
        self._pace_budget -= size

    # ---- acknowledgements -------------------------------------------------------------------

    def on_ack(
        self, ranges: Iterable[tuple[int, int]], ack_delay: float, now: float
    ) -> tuple[list[Packet], list[Packet]]:
        """What is acknowledged by this, and what it shows to be lost. Ranges name only numbers that were sent."""
        ranges = list(ranges)
        acked = self._take(ranges)
        if not acked:
            return [], []
        largest = ranges[0][1]
        if acked[-1].number == largest:
            self._sample_rtt(now - acked[-1].sent_at, ack_delay, now)
        self.largest_acked = max(self.largest_acked, largest)
        lost = self.detect_lost(now)
        for packet in acked:
            self._grow(packet)
        self.was_limited = False
        self.pto_count = 0
        return acked, lost

    def _take(self, ranges: list[tuple[int, int]]) -> list[Packet]:
        """Those of `ranges` that are in flight, in order of their numbers."""
        acked = []
        oldest = next(iter(self.in_flight), self.next_number)
        for first, last in reversed(ranges):
            for number in range(max(first, oldest), last + 1):
                packet = self.in_flight.pop(number, None)
                if packet is not None:
                    self.bytes_in_flight -= packet.size
                    acked.append(packet)
        return acked

    def _sample_rtt(self, latest: float, ack_delay: float, now: float) -> None:
        if self.first_rtt_at is None:
            self.first_rtt_at = now
            self.rtt_min = self.smoothed_rtt = latest
            self.rtt_variation = latest / 2
            return
        self.rtt_min = min(self.rtt_min, latest)
        ack_delay = min(ack_delay, self.ack_delay_max)
        adjusted = latest - ack_delay if latest >= self.rtt_min + ack_delay else latest
        self.rtt_variation += (abs(self.smoothed_rtt - adjusted) - self.rtt_variation) / 4
        self.smoothed_rtt += (adjusted - self.smoothed_rtt) / 8
        self.smoothed_rtt = max(self.smoothed_rtt, 1e-6)

    def _grow(self, packet: Packet) -> None:
        if packet.sent_at <= self.recovery_began_at or not self.was_limited:
            return
        if self.window < self.slow_start_until:
            self.window += packet.size
        else:
            self.window += self.datagram_bytes * packet.size // self.window

    # ---- losses -----------------------------------------------------------------------------

    def detect_lost(self, now: float) -> list[Packet]:
        """Takes what is lost out of flight, and sets the timer for what is about to be."""
        latest = max(self.smoothed_rtt, self.rtt_min)
        loss_delay = max(TIME_THRESHOLD * latest, GRANULARITY)
        self.loss_at = None
        lost = []
        for number, packet in self.in_flight.items():
            if number > self.largest_acked:
                break
            late = packet.sent_at + loss_delay
            if late <= now or self.largest_acked - number >= PACKET_THRESHOLD:
                lost.append(packet)
            elif self.loss_at is None or late < self.loss_at:
                self.loss_at = late
        for packet in lost:
            del self.in_flight[packet.number]
            self.bytes_in_flight -= packet.size
        self._shrink([packet for packet in lost if not packet.is_mtu_probe], now)
        return lost

    def _shrink(self, lost: list[Packet], now: float) -> None:
        if not lost:
            return
        least = 2 * self.datagram_bytes
        if lost[-1].sent_at > self.recovery_began_at:
            self.recovery_began_at = now
            self.slow_start_until = self.window = max(self.window // 2, least)
        if self._is_persistent(lost):
            self.window = least
            self.recovery_began_at = -1.0

    def _is_persistent(self, lost: list[Packet]) -> bool:
        """RFC 9002, 7.6: a gapless run of losses longer than three probe timeouts, after the first sample."""
        if self.first_rtt_at is None:
            return False
        duration = (self._probe_interval()) * PERSISTENT_CONGESTION_PTOS
        run_first = previous = None
        for packet in lost:
            if packet.sent_at <= self.first_rtt_at:
                continue
            if previous is None or packet.number != previous.number + 1:
                run_first = packet
            previous = packet
            if packet.sent_at - run_first.sent_at > duration:
                return True
        return False

    # ---- probe timeout ----------------------------------------------------------------------

    def _probe_interval(self) -> float:
        return self.smoothed_rtt + max(4 * self.rtt_variation, GRANULARITY) + self.ack_delay_max

    def pto_at(self) -> float | None:
        if not self.in_flight or self.loss_at is not None:
            return None
        return self.last_sent_at + min(self._probe_interval() * 2 ** min(self.pto_count, 16), 60.0)

    def on_pto(self) -> None:
        self.pto_count += 1

    def fall_back_to(self, datagram_bytes: int) -> None:
        self.datagram_bytes = datagram_bytes
