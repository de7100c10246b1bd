"""From the meaning of an expression to the slots and nodes of one instance."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from gateway.model import Value
from rules.check import stale_ns
from rules.formula import Formula, Grouped, Reading, Running, Source, Stated, Windowed
from rules.hours import At, Calendar, During, Hours, Moment
from rules.model import Wire
from rules.nodes import (
    Changed,
    Group,
    Known,
    Node,
    Previous,
    Stale,
    Total,
)
from rules.nodes import Running as RunningNode
from rules.predicate import Predicate
from rules.select import DeviceView
from rules.slots import Slots
from rules.term import compiled, kleene, source
from rules.windows import Rises, Window, window


class Binder:
    """Binds formulas for instances."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def test(
        self, formula: Formula, aliases: Mapping[str, Sequence[DeviceView]], key: str
    ) -> Predicate:
        """`aliases` are the devices that names stand for; `key` is that of the instance."""
        inputs = [self._input(one, aliases, key) for one in formula.inputs]
        names = tuple(_name(one, aliases) for one in formula.inputs)
        return Predicate(
            formula.text, formula.term, compiled(formula.term, len(inputs)), tuple(inputs), names
        )

    def during(self, hours: Hours, calendar: Calendar, *, lost: bool) -> int:
        """One node for all instances that keep the same hours."""
        wire = Wire(lambda _now: During(hours, calendar, lost=lost), ())
        return self._node(("during", hours, lost), wire)

    def at(self, at: At, calendar: Calendar) -> int:
        return self._node(("at", at), Wire(lambda _now: Moment(at, calendar), ()))

    def slot(self, device: DeviceView, point: str) -> int:
        found = device.profile.by_id[point]
        text = found.enum is not None
        return self._slots.of(device.id, point, stale_ns(found, device.supervise), text=text)

    def _input(self, one: Source, aliases: Mapping[str, Sequence[DeviceView]], key: str) -> int:
        match one:
            case Reading(alias, point):
                return self.slot(aliases[alias][0], point)
            case Running(rule, anywhere):
                name = rule if anywhere else f"{rule}[{key}]"
                return self._node(("active", name), Wire(lambda _now: RunningNode(), (), (name,)))
            case Grouped(function, alias, each):
                return self._group(function, each, aliases[alias])
        device = aliases[one.alias][0]
        slot = self.slot(device, one.point)
        make = _window(one, device) if isinstance(one, Windowed) else _stated(one)
        known_ns = stale_ns(device.profile.by_id[one.point], device.supervise)
        what = f"{one.function} {one.ns} {known_ns}"
        reach = Window.reach_ns(one.function, one.ns, known_ns)
        return self._node((one.function, slot, one.ns), Wire(make, (slot,), (), what, reach))

    def _group(self, function: str, each: Formula, members: Sequence[DeviceView]) -> int:
        own = tuple(
            tuple(self.slot(device, one.point) for one in each.inputs if isinstance(one, Reading))
            for device in members
        )
        kind = Total if function.endswith("_of") and function not in {"count_of", "unknown_of"} else Group  # fmt: skip
        truth: Callable[[Sequence[Value | None]], Value | None] = partial(kleene, each.term)

        def make(_now: int) -> Node:
            return kind(function, own, truth)

        slots = tuple(dict.fromkeys(slot for slots in own for slot in slots))
        return self._node((function, own, source(each.term)), Wire(make, slots))

    def _node(self, key: object, wire: Wire) -> int:
        """Nodes are numbered -1, -2, ... until all slots are known."""
        return -1 - self._slots.node(key, wire)


def _window(one: Windowed, device: DeviceView) -> Callable[[int], Node]:
    point = device.profile.by_id[one.point]
    if one.function == "rises":
        return lambda _now: Rises(one.ns, stale_ns(point, device.supervise))
    counter = one.function == "rate" and point.kind == "counter"
    function = "rate_of_counter" if counter else one.function
    return lambda _now: window(function, one.ns, stale_ns(point, device.supervise))


def _stated(one: Stated) -> Callable[[int], Node]:
    match one.function:
        case "stale":
            return lambda now: Stale(one.ns, now)
        case "changed":
            return lambda _now: Changed(one.ns)
        case "prev":
            return lambda _now: Previous()
    return lambda _now: Known(good=one.function == "good")


def _name(one: Source, aliases: Mapping[str, Sequence[DeviceView]]) -> str:
    """What people read: the point for the device of the rule, else with the device."""
    match one:
        case Reading(alias, point):
            return point if alias == "it" else f"{aliases[alias][0].id}.{point}"
        case Running(rule, _):
            return f"active({rule})"
        case Grouped(function, alias, each):
            points = ", ".join(sorted(point for _, point in each.readings))
            return f"{function}({alias}.{points})"
    seconds = f", {one.ns / 1e9:g}s" if one.ns else ""
    return f"{one.function}({one.point}{seconds})"
