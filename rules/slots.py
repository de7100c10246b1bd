"""Numbers what rules read, and makes the index that `step` runs on. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from graphlib import TopologicalSorter

from gateway.errors import Problem
from gateway.model import Severity
from rules.model import LEVELS, MANY, NO_LIMITS, Instance, Limits, Rule, RuleSet, Wire
from rules.predicate import Predicate
from rules.relations import relations, suppressors
from rules.sequence import placed
from rules.term import Compare, Const, Input


class Slots:
    """Gives every (device, point) that a rule reads its number, and every node."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[str, int]] = {}
        self._places: list[tuple[str, str]] = []
        self._stale: list[int] = []
        self._spans: dict[int, int] = {}  # each length once
        self._texts: list[bool] = []
        self._wires: dict[object, int] = {}
        self._made: list[Wire] = []

    def of(self, device: str, point: str, stale_ns: int, *, text: bool = False) -> int:
        """`text`: its values are texts; a number is unknown there, and the other way round."""
        numbers = self._numbers.setdefault(device, {})
        if point not in numbers:
            numbers[point] = len(self._stale)
            self._places.append((device, point))
            self._stale.append(self._spans.setdefault(stale_ns, stale_ns))
            self._texts.append(text)
        self._texts[numbers[point]] |= text
        return numbers[point]

    def node(self, key: object, wire: Wire) -> int:
        """The number of the node called `key` among nodes, made if it is new."""
        if key not in self._wires:
            self._wires[key] = len(self._made)
            self._made.append(wire)
        return self._wires[key]

    def index(
        self, rules: Iterable[Rule], instances: Iterable[Instance], notes: Sequence[Problem]
    ) -> RuleSet:
        """The rule set of `instances`, which are in file order.

        Nodes were numbered on their own so far, as -1, -2, ...: now they follow the slots.
        """
        count = len(self._stale)
        numbered = [_placed(instance, count) for instance in instances]
        named = _named(numbered) if any(wire.runs for wire in self._made) else {}
        wires = [
            wire._replace(runs=tuple(one for name in wire.runs for one in named.get(name, ())))
            for wire in self._made
        ]
        depths = _depths(numbered, wires, count, suppressors(numbered))
        ranked = tuple(sorted(numbered, key=lambda one: (depths[one.id], one.rule.level)))
        feeds: list[list[int]] = [[] for _ in range(count)]
        for number, wire in enumerate(wires):
            for slot in dict.fromkeys(wire.slots):
                feeds[slot].append(number)
        readers = _readers(ranked, count + len(wires))
        return RuleSet(
            tuple(rules), ranked, self._numbers, tuple(self._places), tuple(self._stale), tuple(self._texts), tuple(wires),
            tuple(map(tuple, feeds)), readers, *relations(ranked),
            _limits(ranked, readers[:count]), tuple(notes),
        )  # fmt: skip


def _named(instances: Iterable[Instance]) -> dict[str, list[str]]:
    """The instances behind a name: its own, that of a rule, that of a rule with a device for all
    elements of this.
    """
    found: dict[str, list[str]] = {}
    for one in instances:
        names = (one.id, one.rule.id, f"{one.rule.id}[{one.device}]")
        for name in dict.fromkeys(names):
            found.setdefault(name, []).append(one.id)
    return found


def _depths(
    instances: Sequence[Instance], wires: Sequence[Wire], slots: int,
    above: Mapping[str, Sequence[str]],
) -> dict[str, int]:  # fmt: skip
    """How many rules stand behind each instance: they come first. There are no cycles."""
    needs = {
        one.id: {
            other
            for test in one.tests
            for index in test.inputs
            if index >= slots
            for other in wires[index - slots].runs
        }
        | set(above.get(one.id, ()))
        for one in instances
    }
    depths: dict[str, int] = {}
    for name in TopologicalSorter(needs).static_order():
        depths[name] = 1 + max((depths[other] for other in needs.get(name, ())), default=-1)
    return depths


def _placed(instance: Instance, slots: int) -> Instance:
    def index(number: int) -> int:
        return slots - 1 - number if number < 0 else number

    def place(test: Predicate) -> Predicate:
        return test._replace(inputs=tuple(map(index, test.inputs)))

    return instance._replace(
        when=place(instance.when),
        until=None if instance.until is None else place(instance.until),
        do=placed(instance.do, place),
        on_clear=placed(instance.on_clear, place),
        levels=tuple(
            one._replace(
                when=place(one.when), until=None if one.until is None else place(one.until)
            )
            for one in instance.levels
        ),
        stages=tuple(one._replace(steps=placed(one.steps, place)) for one in instance.stages),
        during=None if instance.during is None else index(instance.during),
        at=None if instance.at is None else index(instance.at),
    )


def protective(rules: RuleSet) -> RuleSet:
    """Only the rules that protect people, in the same order: those whose priority is life or
    safety, or whose alarm is of such severity.
    """
    instances = tuple(
        one for one in rules.instances if _protects(one.rule) or one.worst >= Severity.SAFETY
    )
    ids = {one.rule.id for one in instances}
    kept = tuple(rule for rule in rules.rules if rule.id in ids or _protects(rule))
    readers = _readers(instances, len(rules.readers))
    limits = _limits(instances, readers[: len(rules.stale_ns)])
    return replace(
        rules, rules=kept, instances=instances, readers=readers, limits=limits,
        **relations(instances)._asdict(),
    )  # fmt: skip


def _protects(rule: Rule) -> bool:
    return rule.level <= LEVELS["safety"] or (rule.severity or 0) >= Severity.SAFETY


def _readers(ranked: Sequence[Instance], count: int) -> tuple[tuple[int, ...], ...]:
    readers: list[list[int]] = [[] for _ in range(count)]
    for rank, instance in enumerate(ranked):
        inputs = {index for test in instance.reads for index in test.inputs}
        inputs |= {node for node in (instance.during, instance.at) if node is not None}
        for index in sorted(inputs):
            readers[index].append(rank)
    return tuple(map(tuple, readers))


def _limits(ranked: Sequence[Instance], readers: Sequence[Sequence[int]]) -> tuple[Limits, ...]:
    found = []
    for ranks in readers:
        if len(ranks) < MANY:
            found.append(NO_LIMITS)
            continue
        compared = {rank: _compared(ranked[rank]) for rank in ranks}
        pairs = sorted((limit, rank) for rank, own in compared.items() for limit in own)
        others = tuple(rank for rank, own in compared.items() if not own)
        found.append(Limits(tuple(v for v, _ in pairs), tuple(r for _, r in pairs), others))
    return tuple(found)


def _compared(instance: Instance) -> list[float]:
    """The numbers with which an instance compares its only slot; none if it does more than that.

    Its conditions change only where the value passes or meets one of them.
    """
    if len({index for one in instance.reads for index in one.inputs}) != 1:
        return []
    found = []
    for one in instance.reads:
        match one.term:
            case Compare(_, Input(), Const(float() | int() as limit)) if not isinstance(
                limit, bool
            ):
                found.append(float(limit))
            case _:
                return []
    return found
