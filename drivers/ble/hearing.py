"""How well the gateway hears one device, and what follows for its alarms. Pure, bounded.

Counts of the current and of the last hour: a detector that was moved shows within an hour.
"""

from bisect import bisect_left
from collections.abc import Sequence

from gateway.snapshot import HearingPart

PERIOD_NS = 3_600 * 10**9
GAPS_S = (
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
)  # ends of the bins; one more above
ENOUGH = 20  # receptions; fewer prove nothing
GOOD_SHARE, POOR_SHARE = 0.9, 0.5
# The radio of a Raspberry Pi hears down to about -95 dBm (CYW43455 data sheet, LE, 30.8 % PER), and a person
# in the way costs 5 to 10 dB.
WEAK_DBM = -88
MOST_LOST = 1_000  # more frames at once: it was restarted or far away, not badly heard
MISSING_INTERVALS = 3.0


class _Period:
    """Counts since `begin_ns`."""

    def __init__(self, begin_ns: int) -> None:
        self.begin_ns = begin_ns
        self.gaps = [0] * (len(GAPS_S) + 1)
        self.longest_ns = 0
        self.rssi_sum = 0
        self.adverts = 0
        self.heard = 0  # frames with a number
        self.sent = 0  # of them and those that are missing between them


class Hearing:
    """`interval_s` is how often the device is expected, None if it sends only when something happens."""

    def __init__(self, interval_s: float | None = None) -> None:
        self._interval_s = interval_s
        self._periods: list[_Period] = []
        self._last_ns = 0
        self._number: int | None = None

    def advert(self, received_ns: int, rssi: int) -> None:
        """One reception, of whatever content; `rssi` in dBm."""
        now = self._period(received_ns)
        if self._last_ns:
            gap_ns = received_ns - self._last_ns
            now.gaps[bisect_left(GAPS_S, gap_ns / 1e9)] += 1
            now.longest_ns = max(now.longest_ns, gap_ns)
        self._last_ns = received_ns
        now.adverts += 1
        now.rssi_sum += rssi

    def frame(self, number: int, modulo: int) -> None:
        """A new frame with the number that the device gave it; call after its `advert`."""
        now = self._period(self._last_ns)
        step = 1 if self._number is None else (number - self._number) % modulo
        self._number = number
        if 0 < step <= min(MOST_LOST, modulo // 2):
            now.heard += 1
            now.sent += step

    def told(self, now_ns: int) -> HearingPart:
        """What is known now, and the verdict."""
        self._roll(now_ns)
        adverts = sum(p.adverts for p in self._periods)
        silent_s = (now_ns - self._last_ns) / 1e9 if self._last_ns else None
        rssi = round(sum(p.rssi_sum for p in self._periods) / adverts) if adverts else None
        share = self._share(now_ns, adverts)
        word, why = self._verdict(adverts, silent_s, rssi, share)
        gaps = [sum(column) for column in zip(*(p.gaps for p in self._periods), strict=True)]
        longest_ns = max((p.longest_ns for p in self._periods), default=0)
        return {
            "adverts": adverts, "rssi": rssi, "share": share, "silent_s": silent_s, "gaps": _bins(gaps),
            "longest_gap_s": longest_ns / 1e9, "heard": word, "why": why,
        }  # fmt: skip

    def _share(self, now_ns: int, adverts: int) -> float | None:
        """Of its frames if it numbers them, else of the adverts that it should have sent."""
        sent = sum(p.sent for p in self._periods)
        if sent >= ENOUGH:
            return sum(p.heard for p in self._periods) / sent
        if self._interval_s is None or not self._periods:
            return None
        expected = (now_ns - self._periods[0].begin_ns) / 1e9 / self._interval_s
        return min(1.0, adverts / expected) if expected >= 1 else None

    def _verdict(
        self, adverts: int, silent_s: float | None, rssi: int | None, share: float | None
    ) -> tuple[str, str]:
        if silent_s is None:
            return "unknown", "not heard yet"
        late_s = None if self._interval_s is None else MISSING_INTERVALS * self._interval_s
        if rssi is None or (late_s is not None and silent_s > late_s):
            expected = "" if late_s is None else f", expected every {self._interval_s:g} s"
            return "no", f"silent for {silent_s:.0f} s{expected}"
        if adverts < ENOUGH:
            return "unknown", f"only {adverts} receptions"
        if share is not None and share < GOOD_SHARE:
            word = "no" if share < POOR_SHARE else "doubtful"
            return word, f"only {share:.0%} of what it sends is heard"
        if rssi <= WEAK_DBM:
            return "doubtful", f"weak: {rssi} dBm"
        return "yes", f"{rssi} dBm" if share is None else f"{share:.0%} heard, {rssi} dBm"

    def _period(self, now_ns: int) -> _Period:
        self._roll(now_ns)
        if not self._periods:
            self._periods.append(_Period(now_ns))
        return self._periods[-1]

    def _roll(self, now_ns: int) -> None:
        """Begin a new hour; forget what is older than the last one."""
        if self._periods and now_ns - self._periods[-1].begin_ns >= PERIOD_NS:
            self._periods.append(_Period(now_ns))
        while self._periods and now_ns - self._periods[0].begin_ns >= 2 * PERIOD_NS:
            del self._periods[0]


def _bins(gaps: Sequence[int]) -> dict[str, int]:
    """Only those that are not empty, by their end."""
    names = [f"<= {end:g} s" for end in GAPS_S] + [f"> {GAPS_S[-1]:g} s"]
    return {name: count for name, count in zip(names, gaps, strict=False) if count}
