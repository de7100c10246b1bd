"""The alarms of profiles, made for each device: what `rules.step` evaluates."""

from collections.abc import Sequence

from gateway.document import Document, suggest
from gateway.model import Value
from gateway.profile import Point, Profile
from rules.alarm_check import Bound, Side, bind, value_of
from rules.check import Report, check_reach, stale_ns
from rules.condition import Limit
from rules.model import Instance, Slots
from rules.predicate import Predicate
from rules.quantity import Comparison, Fault
from rules.select import DeviceView
from rules.term import Compare, Const, Input, compiled


def alarm_instances(devices: Sequence[DeviceView], slots: Slots) -> list[Instance]:
    """The alarms of all devices, by device id; none of an alarm with a problem or without its limit."""
    known: dict[str, list[Bound]] = {}
    found: list[Instance] = []
    for device in sorted(devices, key=lambda device: device.id):
        name = device.profile.profile
        if name not in known:
            known[name] = _bound(device.profile)
        for bound in known[name]:
            found += _instances(bound, device, slots)
    return found


def check_device(device: DeviceView, report: Report) -> None:
    """`limits:` and `labels:` of a device. An alarm without its limit is off: a note."""
    wanted: dict[str, Side] = {}
    for bound in _bound(device.profile):
        for side in bound.sides:
            if isinstance(side.test.operand, Limit):
                wanted.setdefault(side.test.operand.name, side)
    for name in device.limits:
        if name not in wanted:
            what = f"no alarm of profile '{device.profile.profile}' asks for a limit '{name}'"
            report.problem(("limits", name), what, suggest(name, wanted), key=True)
    for name, side in wanted.items():
        _check_limit(name, side, device, report)
    _check_labels(device, report)


def _check_limit(name: str, side: Side, device: DeviceView, report: Report) -> None:
    point = side.first
    limit = value_of(side.test, point, device.limits)
    if isinstance(limit, Fault):
        report.problem(("limits", name), *limit)
    elif limit is None:
        unit = "" if point.unit == "1" else f" {point.unit}"
        what = f"no limit '{name}': alarms of profile '{device.profile.profile}' are off without it"
        report.note((), what, f"add e.g. limits: {{{name}: 3{unit}}}")
    elif isinstance(limit, int | float):
        comparison = Comparison(point.id, side.test.op, *device.limits[name])
        check_reach(("limits", name), comparison, point, limit, report)


def _check_labels(device: DeviceView, report: Report) -> None:
    elements: dict[str, list[str]] = {}
    for name in device.profile.by_id:
        base, bracket, index = name.partition("[")
        if bracket:
            elements.setdefault(base, []).append(index.removesuffix("]"))
    without = {array.name for array in device.profile.arrays if array.labels is None}
    for array in device.profile.arrays:
        if array.labels is not None and array.name not in device.labels:
            what = f"no labels for {array.name}: alarms tell the numbers of its elements only"
            first = elements[array.name][0]
            report.note((), what, f"add e.g. labels: {{{array.name}: {{{first}: {{place: 3F}}}}}}")
    for name, labels in device.labels.items():
        known = [] if name in without else elements.get(name, [])
        if not known:
            what = f"profile '{device.profile.profile}' has no array '{name}' with labels"
            report.problem(("labels", name), what, suggest(name, elements.keys() - without), key=True)  # fmt: skip
        for index in labels if known else ():
            if index not in known:
                what, fix = f"{name} has no element {index}", f"write {known[0]} to {known[-1]}"
                report.problem(("labels", name, index), what, fix, key=True)


def _bound(profile: Profile) -> list[Bound]:
    unheard = Report(Document(profile.profile), ())
    found = (bind(alarm, profile, unheard) for alarm in profile.alarm_rules)
    return [one for one in found if one is not None]


def _instances(bound: Bound, device: DeviceView, slots: Slots) -> list[Instance]:
    """One, or one for each element."""
    limits = [value_of(side.test, side.first, device.limits) for side in bound.sides]
    if any(limit is None or isinstance(limit, Fault) for limit in limits):
        return []
    found = []
    for index, point in bound.when.points.items():
        tests = [
            _test(side, side.at(index), limit, device, slots)
            for side, limit in zip(bound.sides, limits, strict=True)
            if limit is not None and not isinstance(limit, Fault)
        ]
        found.append(_instance(bound, device, index, point, tests))
    return found


def _test(side: Side, point: Point, limit: Value, device: DeviceView, slots: Slots) -> Predicate:
    term = Compare(side.test.op, Input(0), Const(limit))
    known = stale_ns(point, device.supervise)
    slot = slots.of(device.id, point.id, known, text=isinstance(limit, str))
    return Predicate(
        f"{point.id} {side.test.op} {limit}", term, compiled(term), (slot,), (point.id,)
    )


def _instance(
    bound: Bound, device: DeviceView, index: str, point: Point, tests: Sequence[Predicate]
) -> Instance:
    rule = bound.rule
    title, about = "", dict[str, object]()
    if index:
        title, about = f"{rule.title}: {point.id}", {"point": point.id}
        label = device.labels.get(bound.when.test.point, {}).get(index.strip("[]"))
        if label:
            about["label"] = label
            title += f" ({label if isinstance(label, str) else ', '.join(label.values())})"
    until = tests[1] if len(tests) > 1 else None
    name = f"{rule.id}[{device.id}]{index}"
    return Instance(name, rule, device.id, tests[0], until, (), (), title, about)
