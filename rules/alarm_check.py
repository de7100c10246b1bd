"""Checks the `alarms:` of a profile against its points, and binds them to these."""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic_core import PydanticCustomError

from gateway.document import Document, suggest
from gateway.errors import Problem
from gateway.model import Severity, Value
from gateway.profile import Point, Profile
from gateway.profile_alarm import AlarmRule
from gateway.site_limit import SiteLimit
from rules.check import Report, check_reach
from rules.condition import Condition, Limit, Number, parse
from rules.kinds import numeric
from rules.model import LEVELS, Rule
from rules.quantity import OPERATORS, Comparison, Fault, common, in_unit_of, reach, span_of

_LEVEL = {Severity.LIFE: LEVELS["life"], Severity.SAFETY: LEVELS["safety"]}


class Side(NamedTuple):
    """A condition and the points that it reads, by index: one with "", or one for each element."""

    test: Condition
    points: Mapping[str, Point]

    @property
    def first(self) -> Point:
        return next(iter(self.points.values()))

    def at(self, index: str) -> Point:
        """What it reads where `when` reads the element `index`."""
        return self.points[index if self.test.every else ""]


class Bound(NamedTuple):
    """An alarm in the terms of its profile."""

    rule: Rule
    when: Side
    clear: Side | None

    @property
    def sides(self) -> list[Side]:
        return [self.when] if self.clear is None else [self.when, self.clear]


def check_alarms(profile: Profile, document: Document) -> tuple[list[Problem], list[Problem]]:
    """(problems, notes) about `alarms:` of the profile that `document` holds."""
    problems: list[Problem] = []
    notes: list[Problem] = []
    for index, alarm in enumerate(profile.alarm_rules):
        report = Report(document, ("alarms", index))
        bind(alarm, profile, report)
        problems += report.problems
        notes += report.notes
    return problems, notes


def bind(alarm: AlarmRule, profile: Profile, report: Report) -> Bound | None:
    """None after a problem."""
    before = len(report.problems)
    when = _side("when", alarm.when, profile, report)
    clear = None if alarm.clear is None else _side("clear", alarm.clear, profile, report)
    if when is not None and clear is not None and len(report.problems) == before:
        _check_pair(when, clear, report)
    if when is None or len(report.problems) > before:
        return None
    rule = Rule(
        id=f"{profile.profile}.{alarm.id}", title=alarm.title or alarm.id, enabled=True,
        level=_LEVEL.get(alarm.severity, LEVELS["automation"]), for_ns=round(alarm.hold * 1e9),
        severity=alarm.severity, latch=alarm.latch,
    )  # fmt: skip
    return Bound(rule, when, clear)


def value_of(
    test: Condition, point: Point, limits: Mapping[str, SiteLimit]
) -> Value | Fault | None:
    """What `point` is compared with, in its unit; None while its limit is not given."""
    operand = test.operand
    if isinstance(operand, Limit):
        limit = limits.get(operand.name)
        return None if limit is None else in_unit_of(point, *limit)
    return in_unit_of(point, *operand) if isinstance(operand, Number) else operand


def _side(key: str, text: str, profile: Profile, report: Report) -> Side | None:
    try:
        test = parse(text)
    except PydanticCustomError as error:
        context = error.context or {}
        report.problem((key,), context["what"], context["fix"])
        return None
    points = _points(test, profile)
    if not points:
        report.problem((key,), *_unknown(test, profile))
        return None
    side = Side(test, points)
    fault = _misfit(test, side.first)
    if fault is not None:
        report.problem((key,), *fault)
    elif isinstance(test.operand, Number):
        number = value_of(test, side.first, {})
        if isinstance(number, Fault):
            report.problem((key,), *number)
        elif isinstance(number, int | float):
            comparison = Comparison(side.first.id, test.op, *test.operand)
            check_reach((key,), comparison, side.first, number, report)
    return side


def _points(test: Condition, profile: Profile) -> Mapping[str, Point]:
    if not test.every:
        point = profile.by_id.get(test.point + test.element)
        return {} if point is None else {"": point}
    elements = (name for name in profile.by_id if name.startswith(f"{test.point}["))
    return {name.removeprefix(test.point): profile.by_id[name] for name in elements}


def _unknown(test: Condition, profile: Profile) -> Fault:
    what = f"profile '{profile.profile}' has no point '{test.point}{test.element}'"
    if not test.element and any(name.startswith(f"{test.point}[") for name in profile.by_id):
        return Fault(what, f"write {test.point}[*] for each element")
    if test.element and test.point in profile.by_id:
        return Fault(what, f"write {test.point}")
    known = {name.partition("[")[0] for name in profile.by_id}
    if test.point in known:
        return Fault(what, f"write {test.point}[*], or one of its elements")
    return Fault(what, suggest(test.point, known))


def _misfit(test: Condition, point: Point) -> Fault | None:
    """What is wrong with comparing `point` with this kind of value."""
    operand = test.operand
    if point.enum is not None:
        if isinstance(operand, str) and operand in point.enum.values():
            return None
        shown = f"'{operand}'" if isinstance(operand, str) else "true, false or a number"
        texts = ", ".join(point.enum.values())
        return Fault(f"{shown} is never a value of {point.id}", f"write one of {texts}")
    state = point.kind in {"state", "event"} or point.bits is not None
    if isinstance(operand, Number | Limit):
        what, fix = f"'{point.id}' is a state, not a number", "write a text, true or false"
        return None if numeric(point) else Fault(what, fix)
    if isinstance(operand, bool) and point.unit == "1":
        return None
    what = f"'{point.id}' is a number" + ("" if point.unit == "1" else f" of {point.unit}")
    return None if isinstance(operand, str) and state else Fault(what, "compare it with a number")


def _check_pair(when: Side, clear: Side, report: Report) -> None:
    if clear.test.every and clear.points.keys() != when.points.keys():
        what = "`clear` is for each element, `when` is not for the same ones"
        report.problem(("clear",), what, "write [*] in both, of arrays with the same elements")
    elif clear.first.id == when.first.id and _both(when, clear):
        what = f"some values of {when.first.id} fit both `when` and `clear`"
        report.problem(("clear",), what, "let `clear` begin where `when` ends, or remove it")


def _both(when: Side, clear: Side) -> bool:
    """Some value is known to fit both."""
    point, ops = when.first, (when.test.op, clear.test.op)
    limits = [value_of(side.test, point, {}) for side in (when, clear)]
    if isinstance(when.test.operand, Number) and isinstance(clear.test.operand, Number):
        spans = [reach(op, float(str(limit))) for op, limit in zip(ops, limits, strict=True)]
        return any(common(span_of(point), a, b) for a in spans[0] for b in spans[1])
    if isinstance(when.test.operand, Number | Limit) or isinstance(clear.test.operand, Number | Limit):  # fmt: skip
        return False
    domain: list[str | bool] = list(point.enum.values()) if point.enum else [True, False]
    return any(
        all(OPERATORS[op](value, limit) for op, limit in zip(ops, limits, strict=True))  # type: ignore[arg-type]  # -- == and != take anything
        for value in domain
    )
