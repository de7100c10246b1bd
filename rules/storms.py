"""`storm`: the alarms that stand for many. Made here, at load."""

from collections.abc import Iterator, Sequence

from gateway.document import suggest
from gateway.errors import Problem
from gateway.words.text import fault
from rules.instances import GATEWAY
from rules.model import Instance, Rule
from rules.predicate import Predicate
from rules.sequence import Notice, walk
from rules.suppress import Written
from rules.term import Const
from rules.terms import Storm


def storms(
    written: Sequence[Written], instances: Sequence[Instance]
) -> tuple[list[Instance], list[Problem]]:
    """All instances, those first that stand for many; and what is wrong with `storm`."""
    names = {entry.section.id for entry in written}
    problems: list[Problem] = []
    wholes: dict[str, Instance] = {}
    members: dict[str, str] = {}
    for entry in written:
        alarm = entry.section.alarm
        if alarm is None or alarm.storm is None:
            continue
        storm = alarm.storm.storm
        own = [one for one in instances if one.rule.id == entry.section.id]
        problems += _faults(entry, storm, own, names)
        names.add(storm.name)
        for one in () if problems else own:
            whole = _whole(one, storm)
            wholes.setdefault(whole.id, whole)
            members[one.id] = whole.id
    found = [one._replace(storm=members.get(one.id, "")) for one in instances]
    return [*found, *wholes.values()], problems


def _faults(
    entry: Written, storm: Storm, own: Sequence[Instance], names: set[str]
) -> Iterator[Problem]:
    if storm.name in names:
        yield entry.problem(("alarm", "storm", "as"), *fault("life.storm_name", name=storm.name))
    for index, tag in enumerate(storm.group_by):
        for one in (one for one in own if tag not in one.tags):
            said = fault("life.no_tag", name=one.id, tag=tag, fix=suggest(tag, one.tags))
            yield entry.problem(("alarm", "storm", "group_by", index), *said)
            break


def _whole(member: Instance, storm: Storm) -> Instance:
    """It begins with its members, and tells those whom they tell."""
    key = {tag: member.tags[tag] for tag in storm.group_by}
    name = f"{storm.name}[{'/'.join(key.values())}]" if key else storm.name
    terms = member.rule.terms._replace(cooldown_ns=0, suppressed_by=(), flap=None, storm=None)
    title = f"{member.rule.title} (> {storm.more_than})"
    rule = Rule(
        storm.name, title, enabled=True, level=member.rule.level, for_ns=0,
        severity=member.rule.severity, terms=terms,
    )  # fmt: skip
    people = dict.fromkeys(s.recipient for s in walk(member.do) if isinstance(s, Notice))
    # Never known to be true or false: what becomes of it say its members.
    text = f"> {storm.more_than} {member.rule.id}"
    when = Predicate(text, Const(value=False), lambda _values: None, (), ())
    return Instance(
        name, rule, GATEWAY, when, None, tuple(Notice(one, None) for one in people), (), "", key,
        tags=key,
    )  # fmt: skip
