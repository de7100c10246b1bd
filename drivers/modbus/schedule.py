"""When a device is due: absolute ticks that do not drift, spread over the period."""

import math
from collections.abc import Iterable

# Two periods that fall due within this are read together: 1/100 of the shortest period allowed.
TOGETHER_S = 0.001
# Ticks of all links fall on multiples of this on the loop's clock: a processor that wakes up for 10
# requests at once needs a third of the time per request that it needs when it wakes up for each.
SLOT_S = 0.05
_GOLDEN = (5**0.5 - 1) / 2  # its multiples spread evenly, however many there are
_SCATTER = 1000 * _GOLDEN


class Schedule:
    """Ticks of some poll periods. Times are seconds of the loop clock.

    `phase` (0 to 1) is this device's place in the period: devices with different phases are not
    due at the same time. A longer period begins at a tick of the shortest one, so that both are
    read together, but not at the same tick for every device.
    """

    def __init__(self, periods: Iterable[float], phase: float = 0.0) -> None:
        self._next = dict.fromkeys(periods, math.inf)
        self._phase = phase
        self._origin = dict.fromkeys(self._next, 0.0)

    def start(self, now: float) -> None:
        """Everything is due at once; from then on every period has its own ticks."""
        self._next = dict.fromkeys(self._next, now)
        shortest = min(self._next, default=0.0)
        for period in self._next:
            later = math.floor(self._phase * _SCATTER % 1 * period / shortest + 1e-9)
            origin = now + self._phase * shortest + later * shortest
            self._origin[period] = math.ceil(origin / SLOT_S) * SLOT_S

    @property
    def due(self) -> float:
        """When to read next; infinite if nothing is read again."""
        return min(self._next.values(), default=math.inf)

    def periods(self, now: float) -> frozenset[float]:
        """The periods that are due."""
        return frozenset(p for p, at in self._next.items() if at <= now + TOGETHER_S)

    def take(self, now: float) -> tuple[frozenset[float], int]:
        """(periods that are due, ticks that were missed); each moves to its next tick after `now`."""
        due = self.periods(now)
        missed = 0
        for period in due:
            origin = self._origin[period]
            at = origin + (math.floor((now + TOGETHER_S - origin) / period) + 1) * period
            missed += max(0, round((at - self._next[period]) / period) - 1)
            self._next[period] = at
        return due, missed
