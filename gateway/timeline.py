"""Engine time: the clock of the rules. It never goes back, and goes on over restarts and reboots.

It is CLOCK_BOOTTIME plus a base, which is kept with the state of the rules. After a reboot the time
that the gateway was off counts, if the wall clock was right before and is right now; else it is
found out when the wall clock is known at last (`owed`).
"""

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from gateway.clock import Clock
from gateway.model import Event

MARK = ""  # the name of the row: no instance is called so
SLACK_NS = 1_000_000_000  # an event is made a moment after the mark that is stored with it
BOOTS = 8  # whose bases are kept: samples of earlier ones are older than any window


class Mark(NamedTuple):
    """Where engine time was when it was noted last (ns). `wall_ns` is UTC minus engine time, None while
    the wall clock could not be trusted; `bases` are by boot.
    """

    now: int
    wall_ns: int | None
    boot: int
    bases: Mapping[int, int]


def mark_of(body: bytes | None) -> Mark | None:
    """None for none, or one that is not understood: then engine time begins anew."""
    try:
        found = orjson.loads(body or b"")
        wall = found["wall"]
        bases = {int(boot): int(base) for boot, base in found["bases"].items()}
        return Mark(
            int(found["now"]), None if wall is None else int(wall), int(found["boot"]), bases
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class Timeline:
    """`off_ns`: how long the gateway was off, as far as it is known."""

    def __init__(self, mark: Mark | None, clock: Clock) -> None:
        now, wall_ns = clock.boottime_ns(), offset(clock)
        self._boot = clock.boot
        self._mark = mark
        self._owed: Mark | None = None
        self.base = self.off_ns = 0
        if mark is not None and mark.boot == clock.boot and clock.boot in mark.bases:
            self.base = mark.bases[clock.boot]
            self.off_ns = max(0, now + self.base - mark.now)
        elif mark is not None:
            if mark.wall_ns is not None and wall_ns is not None:
                self.off_ns = max(0, now + wall_ns - mark.wall_ns - mark.now)
            else:
                self._owed = mark
            self.base = mark.now + self.off_ns - now
        kept = dict(mark.bases) if mark is not None else {}
        newest = sorted({**kept, clock.boot: self.base}.items())[-BOOTS:]
        self.bases: Mapping[int, int] = dict(newest)

    def at(self, boottime_ns: int) -> int:
        """Engine time at a time of this boot."""
        return boottime_ns + self.base

    def after_mark(self, event: Event) -> bool:
        """It came after the rows were stored last: a version of the gateway ran that has no rows."""
        if self._mark is None or event.boot not in self._mark.bases:
            return True
        return event.received_ns + self._mark.bases[event.boot] > self._mark.now + SLACK_NS

    def owed(self, boottime_ns: int, wall_ns: int | None) -> int:
        """For how much longer the gateway was off than was known at the start: not 0 at most once,
        when the wall clock is known. `wall_ns`: UTC minus CLOCK_BOOTTIME.
        """
        mark = self._owed
        if mark is None or wall_ns is None:
            return 0
        self._owed = None
        if mark.wall_ns is None:
            return 0
        passed = boottime_ns + wall_ns - mark.wall_ns - mark.now
        return max(0, passed - (self.at(boottime_ns) - mark.now))

    def mark(self, boottime_ns: int, wall_ns: int | None) -> bytes:
        """To be kept. While it is not known how long the gateway was off, the wall clock of before
        stays the one to compare with.
        """
        wall = None if wall_ns is None else wall_ns - self.base
        if wall is None and self._owed is not None:
            wall = self._owed.wall_ns
        bases = {str(boot): base for boot, base in self.bases.items()}
        found = {"now": self.at(boottime_ns), "wall": wall, "boot": self._boot, "bases": bases}
        return orjson.dumps(found)


def offset(clock: Clock) -> int | None:
    """UTC minus CLOCK_BOOTTIME, ns; None while the wall clock cannot be trusted."""
    return clock.time_ns() - clock.boottime_ns() if clock.ok else None
