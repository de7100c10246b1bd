"""Local time of a compound: minutes of its day, and the bars of its charts."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from gateway.indicators.model import Period
from gateway.store.window import HOUR_S, WINDOW_S


def span_of(day: date, days: int, zone: ZoneInfo) -> tuple[int, int]:
    """Seconds since 1970 of the `days` local days that end with `day`."""
    first = datetime.combine(day - timedelta(days=days - 1), time(), zone)
    last = datetime.combine(day + timedelta(days=1), time(), zone)
    return int(first.timestamp()), int(last.timestamp())


class Buckets:
    """Hours of a day, or days of a week; `starts` in seconds since 1970."""

    def __init__(self, period: Period, zone: ZoneInfo, *, week: bool) -> None:
        self.zone = zone
        since, until = period.asked_since, period.asked_until
        if week:
            days = {self.local(t).date() for t in range(since, until, HOUR_S)}
            self.starts = [span_of(day, 1, zone)[0] for day in sorted(days)]
        else:
            self.starts = list(range(since, until, HOUR_S))
        self._minutes: dict[int, int] = {}

    def local(self, t: int) -> datetime:
        return datetime.fromtimestamp(t, UTC).astimezone(self.zone)

    def minute(self, t: int) -> int:
        """Minute of the local day in which the 5 min window of `t` begins."""
        t -= t % WINDOW_S
        if t not in self._minutes:
            at = self.local(t)
            self._minutes[t] = at.hour * 60 + at.minute
        return self._minutes[t]

    def index(self, t: int) -> int:
        """Which bar `t` belongs to; it must be within the asked period."""
        later = (i for i, start in enumerate(self.starts) if start > t)
        return next(later, len(self.starts)) - 1
