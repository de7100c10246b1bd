"""From one rule of a file to its instances: devices, conditions, what they set."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.document import Path_, Within, suggest
from gateway.model import Value
from gateway.profile import Point, Profile
from rules.bind import Binder
from rules.check import Report, check_at, check_during, check_reach
from rules.clause import Condition
from rules.formula import Alias, Formula, Reading, Scope
from rules.hours import Calendar
from rules.limits import never
from rules.meaning import meanings
from rules.model import LEVELS, Instance, Rule
from rules.predicate import Predicate
from rules.quantity import Comparison, common, reach, span_of
from rules.section import Group, RuleSection
from rules.select import DeviceView, Site, Target
from rules.steps import Binding, Checked, StepCheck
from rules.term import Compare, Const, Input

GATEWAY = "gateway"  # the device of events of a rule that is about no device, or about several

_TAG = re.compile(r"\{([a-z][a-z0-9_]*)\}")

Aliases = Mapping[str, Sequence[DeviceView]]
Signature = tuple[tuple[str, bool, tuple[str, ...]], ...]


class Making:
    """What all rules share. `asks` are the rules that a rule asks whether they are active."""

    def __init__(
        self,
        site: Site,
        binder: Binder,
        rules: frozenset[str],
        recipients: frozenset[str],
        calendar: Calendar | None,
    ) -> None:
        self.site = site
        self.binder = binder
        self.rules = rules
        self.recipients = recipients
        self.calendar = calendar
        self.asks: dict[str, set[str]] = {}


class _Meant(NamedTuple):
    """What a rule means for devices of certain profiles."""

    when: Formula
    until: Formula | None
    steps: Checked


def made(rule: Rule, section: RuleSection, making: Making, report: Report) -> list[Instance]:
    """One instance for each target of `for_each`; none if the rule is disabled or has a problem."""
    if section.alarm is None and not section.do:
        report.note((), "neither alarm nor do: the rule does nothing", "add one of them")
    check_during(rule, section.during, making.calendar, report)
    check_at(section, making.calendar, report)
    targets = making.site.targets(section.for_each, report)
    groups = {
        name: making.site.select(one, report, ("with", name))
        for name, one in section.with_.items()
        if isinstance(one, Group)
    }
    everyone = {t.it.profile.profile: t.it.profile for t in targets if t.it is not None}
    meant: dict[Signature, _Meant | None] = {}
    found: list[Instance] = []
    for target in targets:
        aliases = _aliases(section, target, groups, making, report)
        if aliases is None:
            continue
        known = {**aliases, **groups}  # a group is understood as a whole
        signature = _signature(section, known)
        if signature not in meant:
            meant[signature] = _meaning(section, known, everyone, making, report)
        one = meant[signature]
        if one is not None and rule.enabled:
            found.append(_instance(rule, section, target, aliases, one, making))
    return [] if report.problems else found


def _aliases(
    section: RuleSection, target: Target, groups: Aliases, making: Making, report: Report
) -> Aliases | None:
    """The devices that names stand for; None after a problem."""
    aliases: dict[str, Sequence[DeviceView]] = {}
    if target.it is not None:
        aliases["it"] = [target.it]
    if section.for_each is not None and section.for_each.each is not None:
        aliases["members"] = target.members
    for name, one in section.with_.items():
        if isinstance(one, Group):
            aliases[name] = making.site.group(one, target, groups[name])
            continue
        device = _named(one, name, target, making, report)
        if device is None:
            return None
        aliases[name] = [device]
    return aliases


def _named(
    template: str, alias: str, target: Target, making: Making, report: Report
) -> DeviceView | None:
    """The device `valve-b{building}`, with the tags of the target."""
    lacking = [tag for tag in _TAG.findall(template) if tag not in target.tags]
    if lacking:
        what = f"'{template}': the devices of the rule have no tag '{lacking[0]}'"
        report.problem(("with", alias), what, f"write one of {', '.join(target.tags) or 'the ids'}")
        return None
    name = _TAG.sub(lambda tag: target.tags[tag[1]], template)
    device = making.site.device(name)
    if device is None:
        report.problem(
            ("with", alias), f"unknown device '{name}'", suggest(name, making.site.names)
        )
    return device


def _grouped(section: RuleSection, name: str) -> bool:
    return name == "members" or isinstance(section.with_.get(name), Group)


def _signature(section: RuleSection, aliases: Aliases) -> Signature:
    return tuple(
        (name, _grouped(section, name), tuple(dict.fromkeys(d.profile.profile for d in devices)))
        for name, devices in aliases.items()
    )


# Meaning


def _meaning(
    section: RuleSection,
    aliases: Aliases,
    everyone: Mapping[str, Profile],
    making: Making,
    report: Report,
) -> _Meant | None:
    """`everyone` are the profiles of all devices of the rule."""
    before = len(report.problems)
    known = {
        name: Alias(
            tuple({d.profile.profile: d.profile for d in devices}.values()),
            _grouped(section, name),
            tuple(everyone.values()) if name == "it" else (),
        )
        for name, devices in aliases.items()
    }
    scope = Scope(known, making.rules)
    formulas = {
        key: _formula(key, condition, scope, report) for key, condition in section.conditions
    }
    life = LEVELS[section.effective_priority] == LEVELS["life"]
    steps = StepCheck(aliases, scope, making.recipients, report, life=life).run(section)
    when, until = formulas["when"], formulas.get("until")
    if len(report.problems) > before or when is None:
        return None
    for formula in (*formulas.values(), *steps.formulas.values()):
        if formula is not None:
            making.asks.setdefault(section.id, set()).update(formula.asks)
    points = _points([f for f in formulas.values() if f is not None], known)
    for (key, condition), formula in zip(section.conditions, formulas.values(), strict=True):
        if formula is not None:
            _check_limits(key, condition, formula, points, report)
    if until is not None:
        _check_overlap(when, until, points, report)
    return None if len(report.problems) > before else _Meant(when, until, steps)


def _formula(key: str, condition: Condition, scope: Scope, report: Report) -> Formula | None:
    found, failed = meanings([(part.node, part.text) for part in condition.parts], scope, condition.join)  # fmt: skip
    for index, error in failed:
        part = condition.parts[index]
        within = Within(part.text, error.start, error.end)
        report.problem((key, *part.path), error.what, error.fix, within=within)
    return found


def _points(
    formulas: Sequence[Formula], aliases: Mapping[str, Alias]
) -> dict[tuple[str, str], Point]:
    return {
        (alias, point): aliases[alias].profiles[0].by_id[point]
        for formula in formulas
        for alias, point in formula.readings
        if aliases[alias].profiles
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
    atom = _atom(formula)
    if atom is not None and not isinstance(atom.value, bool | str):
        point = points[atom.alias, atom.point]
        written = Comparison(
            point.id, atom.op, atom.value, point.unit if point.unit != "1" else None
        )
        check_reach(path, written, point, float(atom.value), report)
    elif never(formula, points):
        report.problem(path, f"never true: '{formula.text}'", "look at the ranges of its points")
    elif formula.inputs and never(formula, points, negated=True):
        report.note(path, f"always true: '{formula.text}'", "look at the ranges of its points")


class _Atom(NamedTuple):
    alias: str
    point: str
    op: str
    value: Value


def _atom(formula: Formula) -> _Atom | None:
    """`formula` if it is a point compared with a constant."""
    match formula:
        case Formula(Compare(op, Input(), Const(value)), (Reading(alias, point),)):
            return _Atom(alias, point, op, value)
    return None


def _check_overlap(
    when: Formula, until: Formula, points: Mapping[tuple[str, str], Point], report: Report
) -> None:
    first, second = _atom(when), _atom(until)
    if first is None or second is None or first[:2] != second[:2]:
        return
    if isinstance(first.value, bool | str) or isinstance(second.value, bool | str):
        return
    point = points[first.alias, first.point]
    span = span_of(point)
    for begin in reach(first.op, float(first.value)):
        if any(common(span, begin, end) for end in reach(second.op, float(second.value))):
            what = f"some values of {point.id} fit both `when` and `until`"
            fix = f"let `until` begin where `when` ends, at {first.value} {point.unit}, or beyond"
            report.problem(("until",), what, fix)
            return


# Instances


def _instance(
    rule: Rule,
    section: RuleSection,
    target: Target,
    aliases: Aliases,
    meant: _Meant,
    making: Making,
) -> Instance:
    def bind(formula: Formula) -> Predicate:
        return making.binder.test(formula, aliases, target.key)

    binding = Binding(meant.steps, aliases, bind)
    name = f"{rule.id}[{target.key}]" if target.key else rule.id
    about: dict[str, object] = {} if target.it is not None else dict(target.tags)
    device = GATEWAY if target.it is None else target.it.id
    return Instance(
        name, rule, device, bind(meant.when), None if meant.until is None else bind(meant.until),
        binding.steps(section.do, ("do",)), binding.steps(section.on_clear, ("on_clear",)), "", about,
        _during(section, making), _at(section, making),
    )  # fmt: skip


def _during(section: RuleSection, making: Making) -> int | None:
    if section.during is None or making.calendar is None:
        return None
    lost = section.during.without_clock == "inside"
    return making.binder.during(section.during.hours, making.calendar, lost=lost)


def _at(section: RuleSection, making: Making) -> int | None:
    if section.at is None or making.calendar is None:
        return None
    return making.binder.at(section.at.moments, making.calendar)
