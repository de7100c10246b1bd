"""What an operation report is made of: figures that carry what they were computed from."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from gateway.indicators.settings import ReportSection
from gateway.store.window import WINDOW_S

NS = 1_000_000_000


class Period(NamedTuple):
    """Seconds since 1970; half open. `asked_since` and `asked_until` are the local day or week.
    `since` and `until` are whole 5 min windows in it: from that of the journal's first sample to
    that of now. `first` and `last` are that sample and now, if they are within these windows.
    """

    since: int
    until: int
    asked_since: int
    asked_until: int
    first: float
    last: float

    @property
    def windows(self) -> range:
        return range(self.since, self.until, WINDOW_S)

    @property
    def passed_windows(self) -> range:
        """Of the asked time."""
        return range(self.asked_since, self.until, WINDOW_S)

    @property
    def coverage(self) -> float:
        """The share of the asked time, as far as it has passed, that the journal knows of."""
        return self.seconds / self.passed

    @property
    def seconds(self) -> float:
        """That the journal knows of."""
        return self.last - self.first

    @property
    def passed(self) -> float:
        """Seconds of the asked time that are over."""
        return self.last - self.asked_since

    def holds(self, time_ns: int) -> bool:
        return self.since * NS <= time_ns < self.until * NS


class Target(NamedTuple):
    """In the unit of the indicator. `shipped`: nobody set it for this compound."""

    limit: float
    at_least: bool
    shipped: bool

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


class Indicator(NamedTuple):
    """`value` follows from `numerator` and `denominator`; it is None where there is none, and `why`
    is the reason as a key of the catalogue. `coverage` (0 to 1) is the share of what should be
    known that is known. `subject`: which facility, meter, link or recipient.
    """

    id: str
    unit: str
    value: float | None
    numerator: float | None = None
    denominator: float | None = None
    coverage: float | None = None
    subject: str = ""
    why: str = ""
    target: Target | None = None


class Chart(NamedTuple):
    """Stacked bars: for each name one number for each of `starts` (seconds since 1970)."""

    id: str
    unit: str
    starts: Sequence[int]
    bars: Mapping[str, Sequence[float]]


class Sheet(NamedTuple):
    gateway: str
    name: str
    zone: str
    made: datetime
    period: Period
    week: bool
    indicators: Sequence[Indicator]
    charts: Sequence[Chart]
    settings: ReportSection


def percent(
    id_: str,
    numerator: float,
    denominator: float,
    *,
    coverage: float | None = None,
    subject: str = "",
    target: Target | None = None,
    why: str = "nothing",
) -> Indicator:
    """A share in percent; without a denominator there is no value, for the reason `why`."""
    if not denominator:
        return Indicator(id_, "%", None, numerator, denominator, coverage, subject, why, target)
    value = 100 * numerator / denominator
    return Indicator(id_, "%", value, numerator, denominator, coverage, subject, "", target)


def target(settings: ReportSection, key: str, *, at_least: bool = True) -> Target:
    return Target(getattr(settings, key), at_least, key not in settings.model_fields_set)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; there must be one."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(id_: str, seconds: list[float], of: int, why: str) -> Iterator[Indicator]:
    """Median and 95th percentile; numerator is how many are known, denominator of how many."""
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        known = min(1.0, len(seconds) / of) if of else None
        value = quantile(seconds, share) if seconds else None
        yield Indicator(id_, "s", value, len(seconds), of, known, name, "" if seconds else why)
