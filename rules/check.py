"""Checks one rule against the profile of a device that it selects, and binds it to that profile."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic_core import PydanticCustomError

from gateway.document import Document, Path_, suggest
from gateway.errors import Problem
from gateway.model import Value
from gateway.profile import CommandSpec, Point, Profile
from rules.model import NEVER_NS, Setting
from rules.section import RuleSection, SetSection
from rules.threshold import Comparison, Fault, common, in_unit_of, parse_quantity, reach, span_of

# Three periods of the slow poll class (60 s by default, `gateway.driver.Poll`): which class a site
# uses and how it sets it is not known here. A missed poll or two must not make a value unknown.
STALE_AFTER_S = 3 * 60.0
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


class Bound(NamedTuple):
    """What a rule means for the devices of one profile; limits are in the unit of the point."""

    when: Comparison
    until: Comparison | None
    sets: tuple[Setting, ...]


class Report:
    """Collects what is wrong with one rule: each fault once, whatever number of profiles shows it."""

    def __init__(self, document: Document, path: Path_) -> None:
        self._document = document
        self._path = path
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []

    def problem(self, path: Path_, what: str, fix: str, *, key: bool = False) -> None:
        """Something wrong with the value at `path` of the rule, or with its `key`."""
        problem = self._document.problem((*self._path, *path), what, fix, key=key)
        if problem not in self.problems:
            self.problems.append(problem)

    def note(self, path: Path_, what: str, fix: str) -> None:
        note = self._document.problem((*self._path, *path), what, fix)
        if note not in self.notes:
            self.notes.append(note)


def stale_ns(point: Point, supervise_s: float | None = None) -> int:
    """Age at which a value of `point` is no longer known; latched and once-read ones never are.

    What a supervised device said holds until it has been silent for too long: its driver tells then.
    """
    if point.latched or point.poll == "once":
        return NEVER_NS
    if point.stale_after is not None:
        return round(point.stale_after * 1e9)
    if supervise_s is not None:
        return round(max(supervise_s, STALE_AFTER_S) * 1e9)
    period = point.poll if isinstance(point.poll, float) else 0.0
    return round((3 * period or STALE_AFTER_S) * 1e9)


def bind(
    section: RuleSection, profile: Profile, others: Iterable[Profile], report: Report
) -> Bound | None:
    """`section` in the terms of `profile`; None after a problem. `others` are selected too."""
    when = _condition("when", section.when, profile, others, report)
    until = None
    if section.until is not None:
        until = _condition("until", section.until, profile, others, report)
        if when is not None and until is not None:
            _check_overlap(when, until, profile, report)
    sets = [_setting(index, step.set_, profile, report) for index, step in enumerate(section.do)]
    if when is None or (section.until is not None and until is None) or None in sets:
        return None
    return Bound(when, until, tuple(setting for setting in sets if setting is not None))


def _condition(
    key: str, comparison: Comparison, profile: Profile, others: Iterable[Profile], report: Report
) -> Comparison | None:
    name = comparison.point
    point = profile.by_id.get(name)
    if point is None:
        what = f"profile '{profile.profile}' has no point '{name}'"
        elsewhere = any(name in other.by_id for other in others)
        fix = f"add `has: {name}` to for_each" if elsewhere else suggest(name, profile.by_id)
        report.problem((key,), what, fix)
        return None
    if not numeric(point):
        what = f"'{name}' is a state; only comparing numbers is in this version"
        report.problem((key,), what, "choose a point that is a number")
        return None
    limit = in_unit_of(point, comparison.number, comparison.unit)
    if isinstance(limit, Fault):
        report.problem((key,), *limit)
        return None
    check_reach((key,), comparison, point, limit, report)
    return Comparison(name, comparison.op, limit, point.unit)


def numeric(point: Point) -> bool:
    """A state without unit is true/false or one of its texts: comparing it with a number is refused."""
    if point.enum is not None or point.bits is not None:
        return False
    return point.kind in {"gauge", "counter"} or point.unit != "1" or point.integer


def check_reach(
    key: Path_, comparison: Comparison, point: Point, limit: float, report: Report
) -> None:
    """A comparison that no value of `point` can fulfil, or that every one does."""
    span = span_of(point)
    written = " ".join(filter(None, (comparison.op, str(comparison.number), comparison.unit)))
    unit = "" if point.unit == "1" else f" {point.unit}"
    bounds = f"{point.id} is {_or_any(point.min)} to {_or_any(point.max)}{unit}"
    if not any(common(span, part) for part in reach(comparison.op, limit)):
        report.problem(key, f"never true: '{written}', but {bounds}", "write a limit inside")
    elif not any(common(span, part) for part in reach(_OPPOSITE[comparison.op], limit)):
        report.note(key, f"always true: '{written}', and {bounds}", "write a limit inside")


def _or_any(limit: float | None) -> str:
    return "any" if limit is None else str(limit)


def _check_overlap(when: Comparison, until: Comparison, profile: Profile, report: Report) -> None:
    if when.point != until.point:
        return
    span = span_of(profile.by_id[when.point])
    for begin in reach(when.op, when.number):
        if any(common(span, begin, end) for end in reach(until.op, until.number)):
            what = f"some values of {when.point} fit both `when` and `until`"
            fix = f"let `until` begin where `when` ends, at {when.number} {when.unit}, or beyond"
            report.problem(("until",), what, fix)
            return


def _setting(index: int, section: SetSection, profile: Profile, report: Report) -> Setting | None:
    path: Path_ = ("do", index, "set")
    name = section.point
    command = profile.by_command.get(name)
    if command is None:
        kind = "cannot be written" if name in profile.by_id else "does not exist"
        what = f"point '{name}' of profile '{profile.profile}' {kind}"
        report.problem((*path, "point"), what, _writable(name, profile.by_command))
        return None
    try:
        value = _value(section.value, command, profile.by_id[name])
    except PydanticCustomError as error:
        context = error.context or {}
        value = Fault(str(context["what"]), str(context["fix"]))
    if isinstance(value, Fault):
        report.problem((*path, "value"), *value)
        return None
    return Setting(name, value)


def _writable(name: str, commands: Mapping[str, CommandSpec]) -> str:
    return suggest(name, commands) if commands else "remove it: the device takes no commands"


def _value(written: Value, command: CommandSpec, point: Point) -> Value | Fault:
    """What goes to the device for `written`. Raises PydanticCustomError on an unknown unit."""
    texts = command.enum if command.enum is not None else point.enum
    if texts is not None:
        if written in texts.values():
            return written
        allowed = ", ".join(texts.values())
        return Fault(f"{written!r} is never a value of {point.id}", f"write one of {allowed}")
    takes_number = command.range is not None or numeric(point)
    if isinstance(written, bool) and command.range is None and point.unit == "1":
        return written
    value = _number(written, point) if takes_number else None
    if value is None:
        return Fault(f"{written!r} is no value of {point.id}", _example(command, point))
    refusal = None if isinstance(value, Fault) else command.refuse(value)
    return Fault(refusal, _example(command, point)) if refusal else value


def _number(written: Value, point: Point) -> int | float | Fault | None:
    """`written` in the unit of `point`, None if it is no number."""
    if isinstance(written, str):
        quantity = parse_quantity(written)
        return in_unit_of(point, quantity.number, quantity.unit) if quantity else None
    return None if isinstance(written, bool) else in_unit_of(point, written, None)


def _example(command: CommandSpec, point: Point) -> str:
    unit = "" if point.unit == "1" else f" {point.unit}"
    if command.range is not None:
        low, high = command.range
        return f"write {low}{unit} to {high}{unit}"
    if unit:
        return f"write a number with its unit, e.g. 1{unit}"
    return "write a number, true or false" if numeric(point) else "write true or false"
