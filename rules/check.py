"""Checks of rules that need the profiles: reach of comparisons, values to write."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from gateway.document import Document, Path_, Within, suggest
from gateway.errors import Problem
from gateway.model import Severity, Value
from gateway.profile import CommandSpec, Point, Profile
from gateway.words.text import fault, text
from rules.hours import Calendar
from rules.kinds import numeric, quantity
from rules.model import LEVELS, Rule
from rules.nodes import NEVER_NS
from rules.quantity import Comparison, Fault, common, in_unit_of, reach, span_of
from rules.section import DuringSection, RuleSection
from rules.step_section import Step
from rules.tree import RuleError

# Three periods of the slow poll class (60 s by default, `gateway.driver.Poll`): which class a site
# uses and how it sets it is not known here. A missed poll or two must not make a value unknown.
STALE_AFTER_S = 3 * 60.0
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


class Report:
    """Collects what is wrong with one rule: each fault once, whatever number of profiles shows it."""

    def __init__(
        self, document: Document, path: Path_, names: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """`names`: what the keys of a rule are called there, where they are called otherwise."""
        self._document = document
        self._path = path
        self._names = names
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []

    def called(self, key: str) -> str:
        return self._names.get(key, key)

    def problem(
        self, path: Path_, what: str, fix: str, *, key: bool = False, within: Within | None = None
    ) -> None:
        """Something wrong with the value at `path` of the rule, with its `key`, or in its text."""
        problem = self._document.problem(self._at(path), what, fix, key=key, within=within)
        if problem not in self.problems:
            self.problems.append(problem)

    def note(self, path: Path_, what: str, fix: str) -> None:
        note = self._document.problem(self._at(path), what, fix)
        if note not in self.notes:
            self.notes.append(note)

    def _at(self, path: Path_) -> Path_:
        named = (self._names.get(str(path[0]), path[0]), *path[1:]) if path else ()
        return (*self._path, *named)


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


def check_during(
    rule: Rule, during: DuringSection | None, calendar: Calendar | None, report: Report
) -> None:
    """Hours need a place for the sun; a rule that protects people says what holds without a clock."""
    if during is None:
        return
    if calendar is None:
        report.problem(("during",), *fault("rule.no_calendar"))
        return
    for key, mark in (("from", during.from_), ("to", during.to)):
        if mark.sun and not calendar.located:
            report.problem(("during", key), *fault("rule.no_place", sun=mark.sun))
    protects = rule.level <= LEVELS["safety"] or (rule.severity or 0) >= Severity.SAFETY
    if protects and during.without_clock is None:
        report.problem(("during",), *fault("rule.without_clock"))


def check_at(section: RuleSection, calendar: Calendar | None, report: Report) -> None:
    """The moments of `at`, and that nothing is held from then on, since nothing ends it."""
    at = section.at
    if at is None or calendar is None:
        return
    moment = at.time or at.sun
    if moment is not None and moment.sun and not calendar.located:
        report.problem(("at",), *fault("rule.no_place", sun=moment.sun))
    if at.cron is not None and (why := calendar.fault(at.cron)):
        report.problem(("at", "cron"), *fault("rule.cron", cron=at.cron, why=why))
    if any(step.set_ is not None and step.set_.hold is None for step in inner(section.do)):
        report.problem(("do",), *fault("rule.set_at"))


def inner(steps: Sequence[Step]) -> Iterator[Step]:
    """Every step, those within steps too."""
    for step in steps:
        yield step
        if step.wait_until is not None:
            yield from inner(step.wait_until.on_timeout)
        elif step.if_ is not None:
            yield from inner((*step.if_.then, *step.if_.otherwise))
        written = step.set_ or step.command
        yield from inner(step.parallel or (written.on_fail if written else ()))


def check_reach(
    key: Path_, comparison: Comparison, point: Point, limit: float, report: Report
) -> None:
    """A comparison that no value of `point` can fulfil, or that every one does."""
    span = span_of(point)
    written = " ".join(filter(None, (comparison.op, str(comparison.number), comparison.unit)))
    unit = "" if point.unit == "1" else f" {point.unit}"
    low, high = _or_any(point.min), _or_any(point.max)
    if not any(common(span, part) for part in reach(comparison.op, limit)):
        never = fault("rule.never_reached", written=written, point=point.id, low=low, high=high, unit=unit)  # fmt: skip
        report.problem(key, *never)
    elif not any(common(span, part) for part in reach(_OPPOSITE[comparison.op], limit)):
        always = fault("rule.always_reached", written=written, point=point.id, low=low, high=high, unit=unit)  # fmt: skip
        report.note(key, *always)


def _or_any(limit: float | None) -> str:
    return text("rule.any_number") if limit is None else str(limit)


def setting_value(
    path: Path_, name: str, written: Value, profile: Profile, report: Report
) -> Value | None:
    """What goes to a device of `profile` for `written`; None after a problem. `path` is that of `set`."""
    command = profile.by_command.get(name)
    if command is None:
        id_ = "rule.not_writable" if name in profile.by_id else "rule.no_command"
        fix = _writable(name, profile.by_command)
        report.problem((*path, "point"), *fault(id_, point=name, profile=profile.profile, fix=fix))
        return None
    try:
        value = _value(written, command, profile.by_id[name])
    except RuleError as error:
        value = Fault(error.what, error.fix)
    if isinstance(value, Fault):
        report.problem((*path, "value"), *value)
        return None
    return value


def confirm_value(
    path: Path_, name: str, written: Value, profile: Profile, report: Report
) -> Value | None:
    """What point `name` of a device of `profile` must show; None after a problem. `path` is that of `confirm`."""
    try:
        value = _value(written, CommandSpec(id=name, point=name), profile.by_id[name])
    except RuleError as error:
        value = Fault(error.what, error.fix)
    if isinstance(value, Fault):
        report.problem((*path, "equals"), *value)
        return None
    return value


def _writable(name: str, commands: Mapping[str, CommandSpec]) -> str:
    return suggest(name, commands) if commands else text("rule.no_commands")


def _value(written: Value, command: CommandSpec, point: Point) -> Value | Fault:
    """What goes to the device for `written`. Raises RuleError on an unknown unit."""
    texts = command.enum if command.enum is not None else point.enum
    if texts is not None:
        if written in texts.values():
            return written
        allowed = list(texts.values())
        return Fault(*fault("value.never", value=repr(written), point=point.id, allowed=allowed))
    takes_number = command.range is not None or numeric(point)
    if isinstance(written, bool) and command.range is None and point.unit == "1":
        return written
    value = _number(written, point) if takes_number else None
    if value is None:
        example = _example(command, point)
        return Fault(*fault("value.unfit", value=repr(written), point=point.id, fix=example))
    refusal = None if isinstance(value, Fault) else command.refuse(value)
    return Fault(refusal, _example(command, point)) if refusal else value


def _number(written: Value, point: Point) -> int | float | Fault | None:
    """`written` in the unit of `point`, None if it is no number."""
    if isinstance(written, str):
        found = quantity(written)
        return in_unit_of(point, *found) if found else None
    return None if isinstance(written, bool) else in_unit_of(point, written, None)


def _example(command: CommandSpec, point: Point) -> str:
    unit = "" if point.unit == "1" else f" {point.unit}"
    if command.range is not None:
        low, high = command.range
        return text("value.range", low=low, high=high, unit=unit)
    if unit:
        return text("value.with_unit", unit=unit)
    return text("value.number_or_state") if numeric(point) else text("value.state")
