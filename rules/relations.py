"""Which alarms have to do with each other: who suppresses whom, who is a member of which storm."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rules.model import Instance


def suppressors(instances: Sequence["Instance"]) -> dict[str, list[str]]:
    """For each instance that has some: those that make its alarm needless."""
    by_place: dict[tuple[object, ...], list[str]] = {}
    wanted = {
        (n, one.rule.terms.group_by) for one in instances for n in one.rule.terms.suppressed_by
    }
    for one in instances:
        for name, tags in wanted:
            if one.rule.id == name:
                by_place.setdefault((name, tags, *map(one.tags.get, tags)), []).append(one.id)
    found: dict[str, list[str]] = {}
    for one in instances:
        tags = one.rule.terms.group_by
        for name in one.rule.terms.suppressed_by:
            found.setdefault(one.id, []).extend(
                by_place.get((name, tags, *map(one.tags.get, tags)), ())
            )
    return found


Ranks = dict[int, tuple[int, ...]]


class Relations(NamedTuple):
    """As in `RuleSet`."""

    suppressors: Ranks
    suppresses: Ranks
    members: Ranks
    storms: dict[int, int]


def relations(ranked: Sequence["Instance"]) -> Relations:
    ranks = {one.id: rank for rank, one in enumerate(ranked)}
    above: Ranks = {}
    below: dict[int, list[int]] = {}
    for name, others in suppressors(ranked).items():
        above[ranks[name]] = tuple(ranks[other] for other in others)
        for other in others:
            below.setdefault(ranks[other], []).append(ranks[name])
    storms = {rank: ranks[one.storm] for rank, one in enumerate(ranked) if one.storm in ranks}
    members: dict[int, list[int]] = {}
    for rank, storm in storms.items():
        members.setdefault(storm, []).append(rank)
    return Relations(above, _tupled(below), _tupled(members), storms)


def _tupled(lists: Mapping[int, Sequence[int]]) -> Ranks:
    return {rank: tuple(sorted(own)) for rank, own in lists.items()}
