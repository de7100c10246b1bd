"""Rule files to a `RuleSet`: every fault found at once, each with its place and its fix."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.document import Document, Path_, mapping_at
from gateway.errors import Problem
from gateway.model import Severity
from gateway.validate import validate
from rules.alarms import alarm_instances
from rules.check import Bound, Report, bind, stale_ns
from rules.loops import loops
from rules.model import LEVELS, Instance, Rule, RuleSet, Slots, Threshold
from rules.section import NOT_YET, RuleFile, RuleSection
from rules.select import DeviceView, Site
from rules.threshold import OPERATORS, Comparison

__all__ = ["DeviceView", "load_rules"]


class _Written(NamedTuple):
    """A rule that is well formed, and where it stands."""

    section: RuleSection
    document: Document
    path: Path_


def load_rules(
    documents: Sequence[Document], devices: Sequence[DeviceView]
) -> tuple[RuleSet, list[Problem]]:
    """Check the rule files against the devices. The rule set is usable only without problems.

    It holds the alarms of the devices' profiles too, which are checked with these
    (`rules.alarm_check`) and are not among its `rules`.

    Ranks follow the order of `documents`, so give them in a fixed order (sorted by name).
    `RuleSet.notes` are warnings: a rule that selects no device, does nothing or is always true.
    """
    problems: list[Problem] = []
    notes: list[Problem] = []
    written = [rule for document in documents for rule in _rules_of(document, problems)]
    problems += _same_ids(written)
    site, slots = Site(devices), Slots()
    rules: list[Rule] = []
    instances: list[Instance] = []
    for entry in written:
        report = Report(entry.document, entry.path)
        rule = _rule(entry.section)
        rules.append(rule)
        instances += _instances(rule, entry.section, site, slots, report)
        problems += report.problems
        notes += report.notes
    if not problems:
        problems = _loops(written, instances, site)
    if problems:
        return RuleSet(notes=tuple(notes)), problems
    instances += alarm_instances(devices, slots)
    return slots.index(rules, instances, notes), []


def _rules_of(document: Document, problems: list[Problem]) -> list[_Written]:
    if not mapping_at(document.value):
        problems.append(document.problem((), "no rules", "begin with `rules:`"))
        return []
    file = validate(RuleFile, document, (), document.value, problems, not_yet=NOT_YET)
    written = []
    for index, value in enumerate(file.rules if file else []):
        path: Path_ = ("rules", index)
        section = validate(RuleSection, document, path, value, problems, not_yet=NOT_YET)
        if section is not None:
            written.append(_Written(section, document, path))
    return written


def _same_ids(written: Sequence[_Written]) -> list[Problem]:
    problems = []
    first: dict[str, str] = {}
    for section, document, path in written:
        if section.id in first:
            what = f"rule '{section.id}' twice"
            fix = f"give it another id: the first stands at {first[section.id]}"
            problems.append(document.problem((*path, "id"), what, fix))
        else:
            line, column = document.place((*path, "id"))
            first[section.id] = f"{document.name}:{line}:{column}"
    return problems


def _rule(section: RuleSection) -> Rule:
    return Rule(
        id=section.id,
        title=section.title or section.id,
        enabled=section.enabled,
        level=LEVELS[section.effective_priority],
        for_ns=round(section.for_ * 1e9),
        severity=Severity[section.alarm.severity.upper()] if section.alarm else None,
    )


def _instances(
    rule: Rule,
    section: RuleSection,
    site: Site,
    slots: Slots,
    report: Report,
) -> list[Instance]:
    """One instance for each selected device, in the order of their ids; none if `rule` is disabled."""
    if section.alarm is None and not section.do:
        report.note((), "neither alarm nor do: the rule does nothing", "add one of them")
    _check_settings(section, report)
    selected = site.select(section.for_each, report)
    profiles = {device.profile.profile: device.profile for device in selected}
    bound = {name: bind(section, profile, profiles.values(), report) for name, profile in profiles.items()}  # fmt: skip
    if not rule.enabled:
        return []
    instances = []
    for device in selected:
        meaning = bound[device.profile.profile]
        if meaning is not None:
            instances.append(_instance(rule, device, meaning, slots))
    return instances


def _instance(rule: Rule, device: DeviceView, bound: Bound, slots: Slots) -> Instance:
    def test(comparison: Comparison) -> Threshold:
        point = comparison.point
        return Threshold(
            point=point,
            slot=slots.of(device.id, point),
            holds=OPERATORS[comparison.op],
            limit=comparison.number,
            stale_ns=stale_ns(device.profile.by_id[point], device.supervise),
        )

    until = test(bound.until) if bound.until is not None else None
    name = f"{rule.id}[{device.id}]"
    return Instance(name, rule, device.id, test(bound.when), until, bound.sets)


def _check_settings(section: RuleSection, report: Report) -> None:
    seen: set[str] = set()
    for index, step in enumerate(section.do):
        point = step.set_.point
        if point in seen:
            report.problem(("do", index, "set", "point"), f"'{point}' is set twice", "remove one")
        seen.add(point)


def _loops(written: Sequence[_Written], instances: Sequence[Instance], site: Site) -> list[Problem]:
    by_id = {entry.section.id: entry for entry in written}
    problems = []
    for loop in loops(instances, site.profile_of):
        _, document, path = by_id[loop.rules[0]]
        chain = " -> ".join((*loop.rules, loop.rules[0]))
        what = f"on '{loop.device}' the rule sets what it reads itself: {chain}"
        fix = "let the condition read a point that no rule of the loop sets"
        problems.append(document.problem((*path, "do"), what, fix))
    return problems
