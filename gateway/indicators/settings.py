"""Section `report:` of the configuration: targets and hours of the operation report.

No public standard gives numbers for these (they score presence and coverage), so the shipped ones
are ours; the report says of each target whether it was shipped or set for the compound.
"""

import re
from typing import Annotated, NamedTuple, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from gateway.settings import Duration, Section, wrong

DAY_MIN = 1440
STEP_MIN = 5  # what is known of energy is known by 5 min windows
_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")


class Span(NamedTuple):
    """From `first` up to `last`, in minutes of the local day; `last` <= `first` runs past midnight."""

    first: int
    last: int

    def holds(self, minute: int) -> bool:
        if self.first < self.last:
            return self.first <= minute < self.last
        return minute >= self.first or minute < self.last

    def __str__(self) -> str:
        return "-".join(f"{at // 60:02d}:{at % 60:02d}" for at in self)


def _span(value: object) -> Span:
    match = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise wrong(f"{value!r} is no span of the day", 'write e.g. "22:00-06:00"')
    hour, minute, to_hour, to_minute = map(int, match.groups())
    span = Span(hour * 60 + minute, to_hour * 60 + to_minute)
    if span.last > DAY_MIN or span.first == span.last:
        raise wrong(f"'{value}' is no span of the day", 'write e.g. "22:00-06:00"')
    if any(at % STEP_MIN for at in span):
        raise wrong(f"'{value}' is not in steps of 5 min", "write minutes that 5 divides")
    return span


Hours = Annotated[Span, BeforeValidator(_span), PlainSerializer(str)]
Percent = Annotated[int | float, Field(ge=0, le=100)]


class ReportSection(Section):
    """Targets in percent: at least, but for `lamp_failures` at most."""

    online: Percent = 98
    completeness: Percent = 95
    validity: Percent = 98
    timely: Percent = 99
    timely_within: Duration = 60.0
    clock: Percent = 99
    commands: Percent = 99
    links: Percent = 99
    delivered: Percent = 99
    lit: Percent = 98
    lamp_failures: Percent = 5
    peak: list[Hours] = [Span(360, 1320)]
    valley: list[Hours] = [Span(1320, 360)]
    night: Hours = Span(120, 240)
    min_households: Annotated[int, Field(ge=2, le=1000)] = 5

    @model_validator(mode="after")
    def _apart(self) -> Self:
        for minute in range(0, DAY_MIN, STEP_MIN):
            if sum(span.holds(minute) for span in (*self.peak, *self.valley)) > 1:
                at = f"{minute // 60:02d}:{minute % 60:02d}"
                raise wrong(f"{at} is in two spans of peak and valley", "let them not overlap")
        return self

    def rate(self, minute: int) -> str:
        """`peak`, `valley` or `flat`, by the minute of the local day."""
        if any(span.holds(minute) for span in self.peak):
            return "peak"
        return "valley" if any(span.holds(minute) for span in self.valley) else "flat"
