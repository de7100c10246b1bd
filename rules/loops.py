"""Finds rules that feed themselves: what one sets is what it, or a rule that it leads to, reads."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gateway.profile import Profile
from rules.cycles import cycles
from rules.model import Instance

Place = tuple[str, str]  # device, point


class Loop(NamedTuple):
    """The rules of a loop in order of effect, and a device on which it was found."""

    rules: tuple[str, ...]
    device: str


def loops(
    instances: Sequence[Instance],
    reads: Callable[[Instance], Iterable[Place]],
    profile_of: Callable[[str], Profile],
) -> list[Loop]:
    """Loops among `instances`, one for each set of rules.

    Setting a point changes its feedback point: who reads one of the two is led to by who sets it.
    """
    writers: dict[Place, list[Instance]] = {}
    for instance in instances:
        for setting in instance.sets:
            feedback = profile_of(setting.device).by_command[setting.point].feedback
            for point in {setting.point, feedback}:
                writers.setdefault((setting.device, point), []).append(instance)
    needs: dict[str, set[str]] = {}
    rule_of = {instance.id: instance.rule.id for instance in instances}
    through: dict[tuple[str, str], str] = {}
    for reader in instances:
        for place in reads(reader) if writers else ():
            for writer in writers.get(place, ()):
                needs.setdefault(reader.id, set()).add(writer.id)
                through.setdefault((reader.id, writer.id), place[0])
    found: dict[frozenset[str], Loop] = {}
    for circle in cycles(needs):
        rules = tuple(dict.fromkeys(rule_of[name] for name in circle))
        device = through.get((circle[0], circle[-1]), "")
        device = device or next(through[a, b] for a in circle for b in circle if (a, b) in through)
        found.setdefault(frozenset(rules), Loop(rules, device))
    return list(found.values())
