"""What the conditions of a rule mean, and whether they can ever be true."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.document import Path_, Within
from gateway.profile import Point
from gateway.words.text import fault, text
from rules.check import Report, check_reach
from rules.clause import Condition
from rules.formula import Alias, Formula, Reading, Scope
from rules.limits import never
from rules.meaning import meanings
from rules.points import LIMIT, paths, point_of
from rules.quantity import Comparison
from rules.section import RuleSection
from rules.term import Both, Compare, Const, Input, Not


class Conditions(NamedTuple):
    when: Formula
    until: Formula | None


def meant(section: RuleSection, scope: Scope, report: Report) -> Conditions | None:
    """None after a problem."""
    before = len(report.problems)
    formulas = {
        key: _formula((key,), condition, scope, report) for key, condition in section.conditions
    }
    when, until = formulas["when"], formulas.get("until")
    if len(report.problems) > before or when is None:
        return None
    points = _points([f for f in formulas.values() if f is not None], scope.aliases)
    given = {
        key: formula
        for (key, condition), formula in zip(section.conditions, formulas.values(), strict=True)
        if formula is not None
        and (scope.limits is None or limits_of(condition) <= scope.limits.keys())
    }
    for key, condition in section.conditions:
        if key in given:
            _check_limits(key, condition, given[key], points, report)
    if until is not None and len(given) == len(formulas):
        _check_overlap(when, until, points, report)
    return None if len(report.problems) > before else Conditions(when, until)


def limits_of(condition: Condition) -> set[str]:
    """The names of the numbers that each device gives."""
    return {p.point for part in condition.parts for p in paths(part.node) if p.alias == LIMIT}


class Leveled(NamedTuple):
    """What a level of an alarm means."""

    when: Formula
    until: Formula | None


def levels_meant(
    section: RuleSection, base: Formula | None, scope: Scope, report: Report
) -> tuple[Leveled, ...] | None:
    """`base` is what begins the alarm. None after a problem."""
    found: list[Leveled] = []
    before = len(report.problems)
    for index, level in enumerate(section.alarm.levels if section.alarm else ()):
        path: Path_ = ("alarm", "levels", index)
        when = _formula((*path, "when"), level.when, scope, report)
        until = (
            None if level.until is None else _formula((*path, "until"), level.until, scope, report)
        )
        if when is not None:
            found.append(Leveled(when, until))
            _check_implied((*path, "when"), when, base, scope, report)
    return None if len(report.problems) > before else tuple(found)


def _check_implied(
    path: Path_, level: Formula, base: Formula | None, scope: Scope, report: Report
) -> None:
    """A level counts only while the alarm stands: it should not hold where that does not begin."""
    if base is None or level.inputs != base.inputs:
        return
    points = _points([base], scope.aliases)
    alone = base._replace(term=Both(level.term, Not(base.term)))
    if not never(alone, points):
        report.note(path, *fault("life.not_implied", level=level.text, base=base.text))


def _formula(path: Path_, condition: Condition, scope: Scope, report: Report) -> Formula | None:
    found, failed = meanings([(part.node, part.text) for part in condition.parts], scope, condition.join)  # fmt: skip
    for index, error in failed:
        part = condition.parts[index]
        within = Within(part.text, error.start, error.end)
        report.problem((*path, *part.path), error.what, error.fix, within=within)
    return found


def _points(
    formulas: Sequence[Formula], aliases: Mapping[str, Alias]
) -> dict[tuple[str, str], Point]:
    return {
        (alias, name): point
        for formula in formulas
        for alias, name in formula.readings
        if aliases[alias].profiles
        and (point := point_of(aliases[alias].profiles[0], name)) is not None
    }


def _check_limits(
    key: str,
    condition: Condition,
    formula: Formula,
    points: Mapping[tuple[str, str], Point],
    report: Report,
) -> None:
    """A condition that no values can fulfil, or that all do."""
    path: Path_ = (key, *(condition.parts[0].path[:1]))
    limit = _limit(formula)
    if limit is not None and isinstance(formula.term, Compare):
        (point,) = (points[place] for place in formula.readings)
        written = Comparison(
            point.id, formula.term.op, limit, point.unit if point.unit != "1" else None
        )
        check_reach(path, written, point, float(limit), report)
    elif never(formula, points):
        report.problem(path, *fault("rule.never", written=formula.text))
    elif formula.inputs and never(formula, points, negated=True):
        report.note(path, *fault("rule.always", written=formula.text))


def _check_overlap(
    when: Formula, until: Formula, points: Mapping[tuple[str, str], Point], report: Report
) -> None:
    """Two simple conditions about one point that can both be true do not say which of them holds."""
    simple = all(isinstance(one.term, Compare | Input | Not) for one in (when, until))
    one = when.inputs[0] if len(when.inputs) == 1 else None
    if not simple or when.inputs != until.inputs or not isinstance(one, Reading):
        return
    if never(when._replace(term=Both(when.term, until.term)), points):
        return
    point, limit = points[one.alias, one.point], _limit(when)
    begin, end = report.called("when"), report.called("until")
    at = "" if limit is None else text("rule.overlap_at", limit=limit, unit=point.unit)
    report.problem(("until",), *fault("rule.overlap", point=point.id, begin=begin, end=end, at=at))


def _limit(formula: Formula) -> int | float | None:
    """The number with which `formula` compares its only point, if it does nothing else."""
    match formula:
        case Formula(Compare(_, Input(), Const(int() | float() as value)), (Reading(),)):
            return None if isinstance(value, bool) else value
    return None
