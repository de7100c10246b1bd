"""`suppressed_by`: which alarms make which needless. Checked here, at load."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.document import Document, Path_, suggest
from gateway.errors import Problem
from gateway.words.text import fault
from rules.alarm_section import AlarmSection
from rules.cycles import cycles
from rules.model import Instance
from rules.section import RuleSection


class Written(NamedTuple):
    """A rule that is well formed, and where it stands."""

    section: RuleSection
    document: Document
    path: Path_
    raw: object = None

    def problem(self, path: Path_, what: str, fix: str) -> Problem:
        return self.document.problem((*self.path, *path), what, fix)


def suppressions(
    written: Sequence[Written], instances: Sequence[Instance], asks: dict[str, set[str]]
) -> list[Problem]:
    """What is wrong with `suppressed_by` and `group_by`. Adds to `asks` who depends on whom."""
    by_id = {entry.section.id: entry for entry in written}
    problems: list[Problem] = []
    needs: dict[str, set[str]] = {}
    for entry in written:
        alarm = entry.section.alarm
        if alarm is not None and alarm.suppressed_by:
            needs[entry.section.id] = set(alarm.suppressed_by) & by_id.keys()
            problems += _names(entry, alarm, by_id)
            problems += _tags(entry, alarm, instances)
    for chain in cycles(needs):
        said = fault("life.circle", chain=" -> ".join((*chain, chain[0])))
        problems.append(by_id[chain[0]].problem(("alarm", "suppressed_by"), *said))
    for name, others in needs.items():
        asks.setdefault(name, set()).update(others)
    return problems


def _names(entry: Written, alarm: AlarmSection, by_id: Mapping[str, Written]) -> Iterator[Problem]:
    alarms = {name for name, other in by_id.items() if other.section.alarm is not None}
    for index, name in enumerate(alarm.suppressed_by):
        if name not in alarms:
            said = fault("life.no_alarm", name=name, fix=suggest(name, sorted(alarms)))
            yield entry.problem(("alarm", "suppressed_by", index), *said)


def _tags(entry: Written, alarm: AlarmSection, instances: Sequence[Instance]) -> Iterator[Problem]:
    """Each instance must have the tags of `group_by`, of each other rule one at least."""
    for index, tag in enumerate(alarm.group_by):
        path = ("alarm", "group_by", index)
        own = [one for one in instances if one.rule.id == entry.section.id]
        for one in (one for one in own if tag not in one.tags):
            said = fault("life.no_tag", name=one.id, tag=tag, fix=suggest(tag, one.tags))
            yield entry.problem(path, *said)
            return
        for name in alarm.suppressed_by:
            others = [one for one in instances if one.rule.id == name]
            if others and not any(tag in one.tags for one in others):
                yield entry.problem(path, *_lacks(name, tag, others))


def _lacks(name: str, tag: str, others: Sequence[Instance]) -> tuple[str, str]:
    known = sorted({known for one in others for known in one.tags})
    if not known:
        return fault("life.no_tags", name=f"'{name}'", tag=tag)
    return fault("life.no_tag", name=f"'{name}'", tag=tag, fix=suggest(tag, known))
