"""Warnings about time: what a rule asks of values that come less often than it counts on. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.profile import Point
from gateway.words.text import fault
from rules.check import Report
from rules.condition import Conditions
from rules.formula import Formula, Grouped, Reading, Source, Windowed
from rules.points import point_of
from rules.section import RuleSection
from rules.select import DeviceView
from rules.term import Both, Compare, Const, Either, Input, Not, Term

# A sample in a window (rules.windows): time and value, 8 bytes each, 1/8 to spare, and beside it one
# that is gone already.
BYTES_A_SAMPLE = 36
USUAL_PERIOD_S = 10.0  # of points that come when they like, as those that are asked for fast

Aliases = Mapping[str, Sequence[DeviceView]]
_MIRROR = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


class _Count(NamedTuple):
    """`input <op> number`."""

    number: int
    op: str
    limit: float


def check_periods(
    section: RuleSection, conditions: Conditions, aliases: Aliases, report: Report
) -> None:
    """Says nothing of points that come when they like."""
    found = {"when": conditions.when, "until": conditions.until}
    for key, formula in ((key, one) for key, one in found.items() if one is not None):
        for count in _counts(formula.term):
            source = formula.inputs[count.number]
            if isinstance(source, Windowed) and source.function == "count":
                _check_count(key, count, source, aliases, report)
    _check_delay(section, conditions.when, aliases, report)


def _check_count(
    key: str, count: _Count, window: Windowed, aliases: Aliases, report: Report
) -> None:
    """A window holds d / period samples, and now and then one less."""
    period = _period(window, aliases)
    if period is None:
        return
    seconds = window.ns / 1e9
    needed = count.limit if count.op in {">=", "<", "=="} else count.limit + 1
    if needed >= seconds / period:
        flaps = fault(
            "advice.count", point=window.point, period=period, window=seconds,
            number=f"{seconds / period:.3g}",
        )  # fmt: skip
        report.note((key,), *flaps)


def _check_delay(section: RuleSection, when: Formula, aliases: Aliases, report: Report) -> None:
    """`for` confirms nothing if it is over before the next value comes."""
    if not section.for_ or not when.inputs:
        return
    periods = [_period(one, aliases) for one in when.inputs]
    known = [period for period in periods if period is not None]
    if len(known) == len(periods) and section.for_ < min(known):
        short = fault("advice.delay", delay=section.for_, period=min(known))
        report.note(("for",), *short)


def _period(source: Source, aliases: Aliases) -> float | None:
    """Seconds between two values, the shortest of its devices; None where that is not known."""
    match source:
        case Reading(alias, point):
            places = {(alias, point)}
        case Windowed(_, alias, point, _):
            places = {(alias, point)}
        case Grouped(_, _, each):
            places = each.readings
        case _:
            return None
    found = [
        period_of(device, point_of(device.profile, point))
        for alias, point in sorted(places)
        for device in aliases.get(alias, ())
    ]
    known = [period for period in found if period is not None]
    return min(known) if known and len(known) == len(found) else None


def period_of(device: DeviceView, point: Point | None) -> float | None:
    """How often `device` is asked for `point`, in seconds."""
    if point is None or point.poll == "once":
        return None
    if isinstance(point.poll, float):
        return point.poll
    return None if device.poll is None else device.poll[point.poll == "slow"]


def bytes_of(window: Windowed, device: DeviceView) -> float:
    """What a window keeps, about."""
    period = period_of(device, point_of(device.profile, window.point))
    return window.ns / 1e9 / (period or USUAL_PERIOD_S) * BYTES_A_SAMPLE


def _counts(term: Term) -> Iterator[_Count]:
    match term:
        case Not(operand):
            yield from _counts(operand)
        case Both(left, right) | Either(left, right):
            yield from _counts(left)
            yield from _counts(right)
        case Compare(op, Input(number), Const(int() | float() as limit)):
            yield _Count(number, op, limit)
        case Compare(op, Const(int() | float() as limit), Input(number)):
            yield _Count(number, _MIRROR.get(op, op), limit)
