"""What day and hour it is where the gateway stands, and where the sun is. Implements `rules.hours.Calendar`."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from astral import Observer
from astral.sun import elevation, sunrise, sunset
from cronsim import CronSim, CronSimError

from gateway.sections import File, Location
from rules.hours import DAY_MIN, At, Hours, Mark, Sun

_HORIZON = -0.833  # degrees; refraction and half the disc: where sunrise is defined
_DAY = timedelta(days=1)
_AHEAD = 9  # days: each weekday comes once in 7, and one of them may be empty


class LocalCalendar:
    """`location` is (latitude, longitude) in degrees; without it there is no sun."""

    def __init__(self, timezone: str, location: tuple[float, float] | None) -> None:
        self._zone = ZoneInfo(timezone)
        self._observer = None if location is None else Observer(*location)
        self._sun = lru_cache(maxsize=64)(self._compute_sun)  # 0.2 ms each

    @property
    def located(self) -> bool:
        return self._observer is not None

    def hours(self, hours: Hours, wall_ns: int) -> tuple[bool, int]:
        """Whether `wall_ns` is inside, and the next edge, or midnight in nine days."""
        today = datetime.fromtimestamp(wall_ns // 10**9, self._zone).date()
        for begin, end in self._spans(hours, today):
            if wall_ns < begin:
                return False, begin
            if wall_ns < end:
                return True, end
        return False, self._clock(today + _AHEAD * _DAY, 0)

    def _spans(self, hours: Hours, today: date) -> Iterator[tuple[int, int]]:
        """[begin, end) in UTC ns; from two days ago, since a mark may be beyond its midnight."""
        for number in range(-2, _AHEAD):
            day = today + number * _DAY
            if day.weekday() not in hours.days:
                continue
            begin = self.instant(hours.begin, day)
            end = self.instant(hours.end, day + _DAY if hours.overnight else day)
            if begin < end:
                yield begin, end

    def instant(self, mark: Mark, day: date) -> int:
        """UTC ns of `mark` on this day."""
        if mark.sun is None:
            return self._clock(day, mark.minutes)
        return self._sun(mark.sun, day) + mark.minutes * 60 * 10**9

    def latest(self, at: At, wall_ns: int) -> int | None:
        """The last moment of `at` that is not after `wall_ns`, within about two days but for cron."""
        if at.cron:
            return self._cron(at.cron, wall_ns // 10**9 + 1, reverse=True)
        return max((one for one in self._moments(at, wall_ns) if one <= wall_ns), default=None)

    def next(self, at: At, wall_ns: int) -> int | None:
        """The first moment of `at` after `wall_ns`."""
        if at.cron:
            return self._cron(at.cron, wall_ns // 10**9, reverse=False)
        return min((one for one in self._moments(at, wall_ns) if one > wall_ns), default=None)

    def fault(self, cron: str) -> str:
        """What is wrong with it; empty if nothing is."""
        try:
            CronSim(cron, datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            return str(error)
        return ""

    def _cron(self, cron: str, second: int, *, reverse: bool) -> int | None:
        moment = next(CronSim(cron, datetime.fromtimestamp(second, self._zone), reverse), None)
        return None if moment is None else int(moment.timestamp()) * 10**9

    def _moments(self, at: At, wall_ns: int) -> Iterator[int]:
        """Those of the days around."""
        today = datetime.fromtimestamp(wall_ns // 10**9, self._zone).date()
        if at.mark is not None:
            yield from (self.instant(at.mark, today + number * _DAY) for number in range(-2, 3))
            return
        begin, end = self._clock(today, 0), self._clock(today + _DAY, 0)
        pace = at.every_min * 60 * 10**9
        last = begin + (wall_ns - begin) // pace * pace
        yield last
        yield min(last + pace, end)

    def _clock(self, day: date, minutes: int) -> int:
        """When clocks show this: the first time if twice; if they leap over it, when they leap."""
        days, minute = divmod(minutes, DAY_MIN)
        naive = datetime.combine(day + days * _DAY, datetime.min.time()) + minute * timedelta(
            minutes=1
        )
        first = int(naive.replace(tzinfo=self._zone).timestamp())
        if datetime.fromtimestamp(first, self._zone).replace(tzinfo=None) != naive:
            early = int(naive.replace(tzinfo=self._zone, fold=1).timestamp())
            first = self._leap(early, first)
        return first * 10**9

    def _leap(self, before: int, after: int) -> int:
        """The second between them from which the offset to UTC is another."""

        def offset(second: int) -> timedelta | None:
            return datetime.fromtimestamp(second, self._zone).utcoffset()

        old = offset(before)
        while after - before > 1:
            middle = (before + after) // 2
            if offset(middle) == old:
                before = middle
            else:
                after = middle
        return after

    def _compute_sun(self, sun: Sun, day: date) -> int:
        """UTC ns. Where the sun does not set, sunset and sunrise are one moment at midnight, twelve
        hours from noon; where it does not rise, both are at noon. Noon is that of the longitude.
        """
        observer = self._observer
        if observer is None:
            raise ValueError("no location")  # `rules.section` refuses such rules
        try:
            moment = (sunrise if sun == "sunrise" else sunset)(observer, day, self._zone)
        except ValueError:
            return self._polar(observer, sun, day)
        return int(moment.timestamp()) * 10**9

    def _polar(self, observer: Observer, sun: Sun, day: date) -> int:
        midday = datetime.combine(day, datetime.min.time(), UTC) + timedelta(
            hours=12 - observer.longitude / 15
        )
        half = timedelta(hours=12) if elevation(observer, midday) > _HORIZON else timedelta(0)
        moment = midday - half if sun == "sunrise" else midday + half
        return int(moment.timestamp()) * 10**9


def calendar_of(file: File | None) -> LocalCalendar:
    """That of a configuration; None: it has faults, so that nothing is said about missing places."""
    if file is None:
        return LocalCalendar("UTC", (0.0, 0.0))
    return calendar_at(file.gateway.timezone, file.gateway.location)


def calendar_at(timezone: str, place: Location | None) -> LocalCalendar:
    return LocalCalendar(timezone, (place.lat, place.lon) if place else None)
