"""Other rules while the gateway runs: what is under way goes on where the rule means the same. Pure.

The same hash: state and windows move over. Another: a running delay begins anew, an alarm is decided
anew. Gone: the alarm is cleared and what it held is given back; a latched one waits for its reset.
"""

from collections.abc import Iterator

from gateway.model import Sample
from rules.confirm import waits
from rules.flow import TOLD, State, ask, start, watch
from rules.ghost import haunted
from rules.keep import everything
from rules.model import RuleSet
from rules.outputs import Cleared, Output, Released
from rules.restart import Past, settle

GONE = "no longer configured"


def reload(old: State, rules: RuleSet, now: int) -> tuple[State, list[Output]]:
    """The state under `rules` at engine time `now`, and what follows from the change. Consumes `old`."""
    rows = everything(old)
    rules = haunted(rules, rows)
    state = start(rules, now, old.wall_ns)
    state.now, state.base, state.late, state.activations = now, old.base, old.late, old.activations
    state.resumed = old.resumed
    _move_values(old, state)
    _move_nodes(old, state)
    known = {instance.id for instance in rules.instances}
    outputs: list[Output] = list(_gone(old, known))
    _move_moments(old, state)
    outputs += settle(state, Past(rows, under_way=True), now)
    outputs += _given_back(old, state)
    state.touched.update(range(len(rules.instances)))
    return state, outputs


def _move_values(old: State, state: State) -> None:
    for slot, (device, point) in enumerate(state.rules.places):
        before = old.rules.slots.get(device, {}).get(point)
        if before is None or old.rules.texts[before] is not state.rules.texts[slot]:
            continue
        value, at, stale_ns = old.values[before], old.stamps[before], state.rules.stale_ns[slot]
        state.stamps[slot] = at
        state.values[slot] = value if state.now - at < stale_ns else None
        if state.values[slot] is not None and not state.watched[slot]:
            watch(state, slot)


def _move_nodes(old: State, state: State) -> None:
    """A node that does the same with the same point is that of before; others begin with what is known now."""
    before = {place: old.nodes[number] for place, number in _numbers(old).items()}
    taken: set[int] = set()
    for place, number in _numbers(state).items():
        if place in before:
            state.nodes[number] = before[place]
            taken.add(number)
    for number, wire in enumerate(state.rules.wires):
        for slot in wire.slots if number not in taken else ():
            if state.stamps[slot] >= 0:
                value = state.values[slot]
                state.nodes[number].take(slot, state.stamps[slot], value, value, None)
    for number in range(len(state.nodes)):
        ask(state, number, state.now)


def _numbers(state: State) -> dict[tuple[str, str, str], int]:
    """Of the nodes that read one point: by what they do, device and point."""
    return {
        (wire.what, *state.rules.places[wire.slots[0]]): number
        for number, wire in enumerate(state.rules.wires)
        if wire.what
    }


def _move_moments(old: State, state: State) -> None:
    ranks = {instance.id: rank for rank, instance in enumerate(state.rules.instances)}
    for rank, utc in old.occurred.items():
        name = old.rules.instances[rank].id
        if name in ranks:
            state.occurred[ranks[name]] = utc
            if rank in old.down:
                state.down.add(ranks[name])


def _gone(old: State, known: set[str]) -> Iterator[Output]:
    """The end of what was told of instances that are no more."""
    for rank, instance in enumerate(old.rules.instances):
        severity, one = instance.rule.severity, old.incidents.get(rank)
        if instance.id in known:
            continue
        if old.held.get(rank) == TOLD:
            yield waits(instance, old.now - old.marks[rank], GONE)
        if severity is not None and one is not None and one.said:
            yield Cleared(instance.id, instance.rule.id, instance.device, severity, GONE, instance.about)  # fmt: skip


def _given_back(old: State, state: State) -> Iterator[Released]:
    """What was held and is not any more."""
    held = {
        (state.rules.instances[rank].id, *place)
        for rank, places in state.claimed.items()
        for place in places
    }
    for rank, places in old.claimed.items():
        for place in places:
            name = old.rules.instances[rank].id
            if (name, *place) not in held:
                yield Released(name, *place)


def unseen(state: State, sample: Sample) -> Sample:
    """What of it the rules have never heard of."""
    slots = state.rules.slots.get(sample.device, {})
    new = {point for point, slot in slots.items() if state.stamps[slot] < 0}
    values = {point: value for point, value in sample.values.items() if point in new}
    quality = {point: one for point, one in sample.quality.items() if point in new}
    return sample._replace(values=values, quality=quality)
