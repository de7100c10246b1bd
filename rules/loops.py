"""Finds rules that feed themselves: what one sets is what it, or a rule that it leads to, reads."""

from collections.abc import Callable, Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import NamedTuple

from gateway.profile import Profile
from rules.model import Instance


class Loop(NamedTuple):
    """The rules of a loop in order of effect, and the device on which it was found."""

    rules: tuple[str, ...]
    device: str


def loops(instances: Iterable[Instance], profile_of: Callable[[str], Profile]) -> list[Loop]:
    """Loops among `instances`, one for each set of rules."""
    by_device: dict[str, list[Instance]] = {}
    for instance in instances:
        by_device.setdefault(instance.device, []).append(instance)
    found: dict[frozenset[str], Loop] = {}
    for device, group in by_device.items():
        rules = _loop(group, profile_of(device))
        if rules:
            found.setdefault(frozenset(rules), Loop(rules, device))
    return list(found.values())


def _loop(group: Sequence[Instance], profile: Profile) -> tuple[str, ...]:
    """A rule depends on those that set what it reads: setting a point changes its feedback point."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    writers = [instance for instance in group if instance.sets]
    for reader in group:
        reads = {test.point for test in reader.tests}
        for writer in writers:
            for setting in writer.sets:
                if reads & {setting.point, profile.by_command[setting.point].feedback}:
                    sorter.add(reader.rule.id, writer.rule.id)
    try:
        sorter.prepare()
    except CycleError as error:
        return tuple(before for before, _ in pairwise(error.args[1]))
    return ()
