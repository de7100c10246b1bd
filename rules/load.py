"""Rule files to a `RuleSet`: every fault found at once, each with its place and its fix."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import cast

from gateway.document import Document, Path_, Plain, mapping_at
from gateway.errors import Problem
from gateway.model import Severity
from gateway.validate import validate
from gateway.words.text import fault
from rules.advice import Entry, advise, advise_memory, advise_reach
from rules.alarms import Alarm, Alarms, targets
from rules.bind import Binder
from rules.check import Report
from rules.cycles import cycles
from rules.digest import digested
from rules.hours import Calendar
from rules.instances import Making, made
from rules.loops import loops
from rules.model import LEVELS, Instance, Rule, RuleSet
from rules.scenes import scenes_of
from rules.section import RuleFile, RuleSection
from rules.select import DeviceView, Site
from rules.slots import Slots
from rules.storms import storms
from rules.suppress import Written, suppressions
from rules.template import Templates
from rules.terms import Terms

__all__ = ["DeviceView", "load_rules"]


def load_rules(
    documents: Sequence[Document],
    devices: Sequence[DeviceView],
    recipients: Collection[str] = (),
    calendar: Calendar | None = None,
    history_s: float | None = None,
) -> tuple[RuleSet, list[Problem]]:
    """Check the rule files against the devices. The rule set is usable only without problems.

    It holds the alarms of the devices' profiles too (`rules.alarms`), which are not among its `rules`:
    what is wrong with them is told where their profiles are loaded.

    `calendar` is that of the site; without it `during` and `at` are refused.

    Ranks follow the order of `documents`, so give them in a fixed order (sorted by name).
    `history_s`: for how long the journal keeps samples, None if that is not known.
    `RuleSet.notes` are warnings: a rule that selects no device, does nothing or is always true.
    """
    problems: list[Problem] = []
    templates = Templates(documents, problems)
    files = [file for document in documents if (file := _file(document, problems)) is not None]
    written = [
        one for file, document in files for one in _rules_of(file, document, templates, problems)
    ]
    problems += _same_ids(written)
    site, slots = Site(devices), Slots()
    alarms = _alarms(devices)
    ids = frozenset(e.section.id for e in [*written, *map(_of_profile, alarms)])
    making = Making(
        site, Binder(slots), ids, frozenset(recipients), calendar, scenes_of(files, site, problems)
    )
    rules = [digested(_rule(entry.section), entry.raw) for entry in written]
    entries = [Entry(e.section, Report(e.document, e.path), e.raw) for e in written]
    instances: list[Instance] = []
    for rule, entry in zip(rules, entries, strict=True):
        instances += made(rule, entry.section, making, entry.report)
        problems += entry.report.problems
    instances, wrong = storms(written, instances)
    problems += wrong
    of_profiles = _alarm_instances(alarms, devices, making)
    everything = [*written, *map(_of_profile, alarms)]
    problems = (
        problems
        or suppressions(everything, [*instances, *of_profiles], making.asks)
        or _circular(everything, making)
        or _feedback(written, instances, site, slots)
    )
    if problems:
        return RuleSet(notes=_notes(entries)), problems
    found = slots.index(rules, [*instances, *of_profiles], ())
    advise(entries, found, {device.id: device.profile for device in devices})
    advise_memory(entries, making.windows_of())
    advise_reach(entries, found, history_s)
    return replace(found, notes=(*_notes(entries), *templates.unused())), []


def _notes(entries: Sequence[Entry]) -> tuple[Problem, ...]:
    return tuple(note for entry in entries for note in entry.report.notes)


def _alarms(devices: Sequence[DeviceView]) -> list[Alarm]:
    """Those of the profiles that devices have, by name of the profile, as they are written there."""
    known = Alarms()
    profiles = {device.profile.profile: device.profile for device in devices}
    return [alarm for name in sorted(profiles) for alarm in known.of(profiles[name])]


def _alarm_instances(
    alarms: Sequence[Alarm], devices: Sequence[DeviceView], making: Making
) -> list[Instance]:
    by_profile: dict[str, list[DeviceView]] = {}
    for device in sorted(devices, key=lambda device: device.id):
        by_profile.setdefault(device.profile.profile, []).append(device)
    found: list[Instance] = []
    for alarm in alarms:
        own = by_profile[alarm.profile]
        unheard = Report(Document(alarm.profile), ())
        texts = {k: [p.text for p in one.parts] for k, one in alarm.section.conditions}
        rule = digested(_rule(alarm.section), texts)
        found += made(rule, alarm.section, making, unheard, targets(alarm, own))
    return found


def _of_profile(alarm: Alarm) -> Written:
    return Written(alarm.section, Document(alarm.profile), ())


def _file(document: Document, problems: list[Problem]) -> tuple[RuleFile, Document] | None:
    if not mapping_at(document.value):
        problems.append(document.problem((), *fault("rule.no_rules")))
        return None
    file = validate(RuleFile, document, (), document.value, problems)
    return None if file is None else (file, document)


def _rules_of(
    file: RuleFile, document: Document, templates: Templates, problems: list[Problem]
) -> list[Written]:
    written = []
    for index, value in enumerate(cast("list[Plain]", file.rules)):
        path: Path_ = ("rules", index)
        made_ = templates.made(document, path, value)
        if made_ is None:
            continue
        own, whole = made_
        section = validate(RuleSection, own, path, whole, problems)
        if section is not None:
            written.append(Written(section, own, path, whole))
    return written


def _same_ids(written: Sequence[Written]) -> list[Problem]:
    problems = []
    first: dict[str, str] = {}
    for section, document, path, _ in written:
        if section.id in first:
            twice = fault("rule.twice", id=section.id, first=first[section.id])
            problems.append(document.problem((*path, "id"), *twice))
        else:
            line, column = document.place((*path, "id"))
            first[section.id] = f"{document.name}:{line}:{column}"
    return problems


def _rule(section: RuleSection) -> Rule:
    alarm = section.alarm
    return Rule(
        id=section.id,
        title=section.title or section.id,
        enabled=section.enabled,
        level=LEVELS[section.effective_priority],
        for_ns=round(section.for_ * 1e9),
        severity=Severity[alarm.severity.upper()] if alarm else None,
        latch=alarm is not None and alarm.latch,
        keep_ns=round(section.keep_for * 1e9),
        restart=section.restart,
        on_unknown=section.on_unknown,
        unknown_ns=round(section.unknown_for * 1e9),
        catch_up_ns=section.at.catch_up_ns if section.at else 0,
        terms=alarm.terms if alarm else Terms(),
        mode=section.mode,
        max_run=section.max_run,
    )


def _circular(written: Sequence[Written], making: Making) -> list[Problem]:
    """Rules that ask whether each other is active: nobody could say who is decided first."""
    by_id = {entry.section.id: entry for entry in written}
    problems = []
    for chain in cycles(making.asks):
        _, document, path, _ = by_id[chain[0]]
        circle = fault("rule.circle", chain=" -> ".join((*chain, chain[0])))
        problems.append(document.problem((*path, "when"), *circle))
    return problems


def _feedback(
    written: Sequence[Written], instances: Sequence[Instance], site: Site, slots: Slots
) -> list[Problem]:
    by_id = {entry.section.id: entry for entry in written}
    allowed = {entry.section.id for entry in written if entry.section.allow_feedback}
    indexed = slots.index((), instances, ())
    problems = []
    for loop in loops(
        [one for one in indexed.instances if one.at is None], indexed.reads, site.profile_of
    ):
        if allowed & set(loop.rules):
            continue
        _, document, path, _ = by_id[loop.rules[0]]
        chain = " -> ".join((*loop.rules, loop.rules[0]))
        feedback = fault("rule.feedback", device=loop.device, chain=chain)
        problems.append(document.problem((*path, "do"), *feedback))
    return problems
