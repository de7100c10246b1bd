"""`during`: the hours of the day in which a condition counts. Pure: the calendar is given to it."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from gateway.amount import SECONDS
from gateway.model import Value
from gateway.settings import wrong
from gateway.words.text import fault
from rules.nodes import NEVER_NS, Node

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN = 24 * 60
NOON_MIN = 12 * 60
MAX_OFFSET_MIN = 6 * 60  # further from sunrise or sunset, another mark says better what is meant

Sun = Literal["sunrise", "sunset"]
_SUNS: Mapping[str, Sun] = MappingProxyType({"sunrise": "sunrise", "sunset": "sunset"})

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_SUN = re.compile(r"(sunrise|sunset)(?:\s*([+-])\s*([0-9]{1,4})(m|h))?")


class Mark(NamedTuple):
    """A moment of each day: `minutes` after midnight, as clocks show it, or after `sun`."""

    sun: Sun | None
    minutes: int

    @property
    def morning(self) -> bool:
        return self.sun == "sunrise" if self.sun else self.minutes < NOON_MIN

    def __str__(self) -> str:
        if self.sun is None:
            return f"{self.minutes // 60:02}:{self.minutes % 60:02}"
        return f"{self.sun} {self.minutes:+}m" if self.minutes else self.sun


class Hours(NamedTuple):
    """[begin, end) of each day that is among `days` (0 is Monday); `overnight`: it ends on the next.

    Empty on a day on which the end comes first: from 06:00 to sunrise in summer.
    """

    begin: Mark
    end: Mark
    days: frozenset[int]

    @property
    def overnight(self) -> bool:
        """By the clock: when the end is not later. With the sun: from an evening to a morning."""
        if self.begin.sun is None and self.end.sun is None:
            return self.end.minutes <= self.begin.minutes
        return self.end.morning and not self.begin.morning


class At(NamedTuple):
    """Moments: `mark` of each day, or each of `every_min` from midnight on, or those of `cron`."""

    mark: Mark | None = None
    every_min: int = 0
    cron: str = ""


class Calendar(Protocol):
    """Local time and the sun, of the place where the gateway stands."""

    @property
    def located(self) -> bool:
        """It knows sunrise and sunset."""

    def hours(self, hours: Hours, wall_ns: int) -> tuple[bool, int]:
        """Whether `wall_ns` (UTC, ns since 1970) is inside, and when to ask again: later."""

    def latest(self, at: At, wall_ns: int) -> int | None:
        """The last moment of `at` that is not after `wall_ns`."""

    def next(self, at: At, wall_ns: int) -> int | None:
        """The first moment of `at` after `wall_ns`."""

    def fault(self, cron: str) -> str:
        """What is wrong with it; empty if nothing is."""


def mark(value: object) -> Mark:
    """Raises PydanticCustomError, which says what to write."""
    text = value.strip() if isinstance(value, str) else ""
    if clock := _CLOCK.fullmatch(text):
        return Mark(None, int(text[:2]) * 60 + int(text[3:]) if clock[1] else DAY_MIN)
    sun = _SUN.fullmatch(text)
    if sun is None:
        raise wrong(*fault("rule.no_time", value=repr(value)))
    minutes = int(sun[3] or 0) * round(SECONDS[sun[4] or "m"] / 60)
    if minutes > MAX_OFFSET_MIN:
        raise wrong(*fault("rule.far_from_sun", sun=sun[1]))
    return Mark(_SUNS[sun[1]], -minutes if sun[2] == "-" else minutes)


class WallNode(Node):
    """Goes by the wall clock."""

    __slots__ = ("wall_ns",)
    every = False

    def __init__(self) -> None:
        super().__init__()
        self.wall_ns: int | None = None

    def turn(self, wall_ns: int | None) -> None:
        """UTC minus engine time from now on; None: nobody knows what time it is."""
        self.wall_ns = wall_ns


class Moment(WallNode):
    """The last moment of `at` that has come, UTC ns; unknown while the time is."""

    def __init__(self, at: At, calendar: Calendar) -> None:
        super().__init__()
        self._at = at
        self._calendar = calendar

    def value(self, now: int) -> Value | None:
        self.edge = NEVER_NS
        if self.wall_ns is None:
            return None
        coming = self._calendar.next(self._at, now + self.wall_ns)
        if coming is not None:
            self.edge = coming - self.wall_ns
        return self._calendar.latest(self._at, now + self.wall_ns)


class During(WallNode):
    """Whether it is inside `hours` by the wall clock; `lost`: what holds while that is not known."""

    def __init__(self, hours: Hours, calendar: Calendar, *, lost: bool) -> None:
        super().__init__()
        self._hours = hours
        self._calendar = calendar
        self._lost = lost
        self._asked = self._changes = 0  # UTC; between them it is `_inside` or not
        self._inside = lost

    def value(self, now: int) -> Value:
        self.edge = NEVER_NS
        if self.wall_ns is None:
            return self._lost
        utc = now + self.wall_ns
        if not self._asked <= utc < self._changes:
            self._asked = utc
            self._inside, self._changes = self._calendar.hours(self._hours, utc)
        self.edge = self._changes - self.wall_ns
        return self._inside
