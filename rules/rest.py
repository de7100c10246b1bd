"""Which instances are decided the short way, and which windows may rest meanwhile. Pure.

Of `it.a > 5 W and avg(it.b, 1h) > 3 W` the average matters only while the first part is not false.
A node whose readers are all false so takes samples, but nobody computes its value and it has no timer,
until one of them is decided with other values. Only what it costs shows that it rests.
"""

from collections.abc import Iterator, Mapping
from functools import reduce

from rules.model import Instance, RuleSet
from rules.sequence import Notice
from rules.term import Both, Input, Quotient, Run, Term, compiled, renumbered, within

# While the first, over these inputs, is False a condition is false whatever these nodes say.
Guard = tuple[Run, tuple[int, ...], tuple[int, ...]]
# Of an instance whose condition says all: how to compute `when`, of which inputs, whether there is an
# `until`, what guards it.
Quick = tuple[Run, tuple[int, ...], bool, Guard | None]


def quick(rules: RuleSet) -> list[Quick | None]:
    """By rank; None: more than its condition counts."""
    apart = rules.members.keys() | rules.storms.keys()
    slots = len(rules.stale_ns)
    able = {slots + number: number for number, wire in enumerate(rules.wires) if wire.what}
    return [
        None if rank in apart else _quick(instance, able)
        for rank, instance in enumerate(rules.instances)
    ]


def resting(rules: RuleSet, quick: list[Quick | None]) -> Mapping[int, tuple[int, ...]]:
    """The nodes that may rest at times, with the ranks that read them."""
    found = {}
    slots = len(rules.stale_ns)
    told = {index for instance in rules.instances for index in _listed(instance)}
    for number, wire in enumerate(rules.wires):
        ranks = () if slots + number in told else rules.readers[slots + number]
        if ranks and wire.what and all(_guarded(quick[rank], number) for rank in ranks):
            found[number] = ranks
    return found


def _listed(instance: Instance) -> Iterator[int]:
    """What its digests look at: no reader of it decides anything."""
    for step in instance.all_steps:
        if isinstance(step, Notice) and step.digest is not None:
            yield from (index for one in step.digest.reads for index in one.inputs)


def _guarded(quick: Quick | None, number: int) -> bool:
    guard = None if quick is None else quick[3]
    return guard is not None and number in guard[2]


def _quick(instance: Instance, able: Mapping[int, int]) -> Quick | None:
    if instance.levels or instance.during is not None or instance.at is not None:
        return None
    when = instance.when
    return when.run, when.inputs, instance.until is not None, _guard(instance, able)


def _guard(instance: Instance, able: Mapping[int, int]) -> Guard | None:
    """The parts of a conjunction that read nothing that may rest: points, groups, other rules. `able` are
    the numbers of the nodes of one point, by index.

    Nodes that more than `when` reads are not guarded; where a division by zero may come first, nothing is.
    """
    when = instance.when
    rest = {index for one in instance.reads if one is not when for index in one.inputs}
    nodes = tuple(able[index] for index in when.inputs if index in able and index not in rest)
    if not nodes or any(isinstance(one, Quotient) for one in within(when.term)):
        return None
    own = [part for part in _parts(when.term) if _awake(part, when.inputs, able)]
    if not own:
        return None
    term = reduce(Both, own)
    read = sorted({one.number for one in within(term) if isinstance(one, Input)})
    numbers = [read.index(n) if n in read else 0 for n in range(len(when.inputs))]
    return (
        compiled(renumbered(term, numbers), len(read)),
        tuple(when.inputs[n] for n in read),
        nodes,
    )


def _parts(term: Term) -> Iterator[Term]:
    if isinstance(term, Both):
        yield from _parts(term.left)
        yield from _parts(term.right)
    else:
        yield term


def _awake(part: Term, inputs: tuple[int, ...], able: Mapping[int, int]) -> bool:
    return all(inputs[one.number] not in able for one in within(part) if isinstance(one, Input))
