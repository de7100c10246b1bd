"""When a device is due: absolute ticks that do not drift, and back-off while it does not answer."""

import math
import random
from collections.abc import Iterable

# Two periods that fall due within this are read together: 1/100 of the shortest period allowed.
TOGETHER_S = 0.001
BACKOFF_S = (1.0, 60.0)  # a dead unit: at most 0.5 s of bus time every 30 s on average


class Schedule:
    """Ticks of some poll periods, all counted from one start. Times are seconds of the loop clock."""

    def __init__(self, periods: Iterable[float]) -> None:
        self._next = dict.fromkeys(periods, 0.0)
        self._start = 0.0
        self._failures = 0
        self._retry_at = 0.0

    def start(self, now: float) -> None:
        """Everything is due at once."""
        self._start = now
        self._failures = 0
        self._next = dict.fromkeys(self._next, now)

    @property
    def due(self) -> float:
        """When to read next; infinite if nothing is read again."""
        return self._retry_at if self._failures else min(self._next.values(), default=math.inf)

    def take(self, now: float) -> tuple[frozenset[float], int]:
        """(periods that are due, ticks that were missed); each moves to its next tick after `now`."""
        due = frozenset(p for p, at in self._next.items() if at <= now + TOGETHER_S)
        missed = 0
        for period in due:
            tick = math.floor((now + TOGETHER_S - self._start) / period)
            missed += tick - round((self._next[period] - self._start) / period)
            self._next[period] = self._start + (tick + 1) * period
        return due, missed

    def failed(self, now: float, *, longest: bool = False) -> None:
        """Back off from 1 s to 60 s with full jitter; `longest`: 60 s at once."""
        self._failures += 1
        low, high = BACKOFF_S
        # 2 ** 6 > 60: later failures change nothing
        delay = high if longest else random.uniform(low, min(high, 2.0 ** min(self._failures, 6)))
        self._retry_at = now + delay

    def worked(self) -> None:
        self._failures = 0
