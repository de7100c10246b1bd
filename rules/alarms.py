"""The alarms of profiles: rules of the one language, written shorter.

`{id, when, severity, hold, clear}` is the rule `<profile>.<id>` for each device of its profile: `it.`
is implied, `hold` is `for`, `clear` is `until`, `limit.x` is a number that the section of the device
gives, and `array[*]` makes one instance for each element, whose key has its number: `[panel-1][3]`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.document import Document, Path_, Within, suggest
from gateway.errors import Problem
from gateway.profile import Profile
from gateway.profile_alarm import AlarmRule
from gateway.words.text import fault
from rules.alarm_section import AlarmSection
from rules.check import Report
from rules.clause import Condition, Part
from rules.condition import limits_of, meant
from rules.formula import EVERY, Alias, Scope
from rules.parse import parse
from rules.points import LIMIT, implied, indices, paths, point_of
from rules.section import Each, RuleSection
from rules.select import DeviceView, Target
from rules.tree import RuleError

NAMES = {"until": "clear"}  # what a profile calls the keys of a rule


class Alarm(NamedTuple):
    """An alarm of a profile as a rule: its `array`, if it is for each element of one, and these
    elements; without array one with no number. `limits` are the numbers that it asks a device for.
    """

    profile: str
    section: RuleSection
    array: str
    elements: tuple[str, ...]
    limits: frozenset[str]


class Alarms:
    """Those of profiles, each read once."""

    def __init__(self) -> None:
        self._known: dict[str, list[Alarm]] = {}

    def of(self, profile: Profile) -> list[Alarm]:
        """Those without a problem: `check_alarms` tells the others."""
        if profile.profile not in self._known:
            unheard = Report(Document(profile.profile), ())
            found = (read(alarm, profile, unheard) for alarm in profile.alarm_rules)
            self._known[profile.profile] = [one for one in found if one is not None]
        return self._known[profile.profile]

    def check_device(self, device: DeviceView, report: Report) -> None:
        """`limits:` and `labels:` of a device. An alarm without its limit is off: a note."""
        alarms = self.of(device.profile)
        wanted = {name for alarm in alarms for name in alarm.limits}
        for name in device.limits:
            if name not in wanted:
                fix = suggest(name, wanted)
                unasked = fault("alarm.unasked", profile=device.profile.profile, name=name, fix=fix)
                report.problem(("limits", name), *unasked, key=True)
        for name in sorted(wanted - device.limits.keys()):
            unit = next(_units(name, alarms, device.profile), "1")
            shown = "" if unit == "1" else f" {unit}"
            off = fault("alarm.no_limit", name=name, profile=device.profile.profile, unit=shown)
            report.note((), *off)
        for alarm in alarms:
            if alarm.limits and alarm.limits <= device.limits.keys():
                scope = _scope(device.profile, frozenset())._replace(limits=device.limits)
                meant(alarm.section, scope, _LimitReport(alarm, report))
        _check_labels(device, report)


def check_alarms(profile: Profile, document: Document) -> tuple[list[Problem], list[Problem]]:
    """(problems, notes) about `alarms:` of the profile that `document` holds."""
    problems: list[Problem] = []
    notes: list[Problem] = []
    for index, alarm in enumerate(profile.alarm_rules):
        report = Report(document, ("alarms", index), NAMES)
        read(alarm, profile, report)
        problems += report.problems
        notes += report.notes
    return problems, notes


def read(alarm: AlarmRule, profile: Profile, report: Report) -> Alarm | None:
    """None after a problem."""
    when = _condition("when", alarm.when, profile, report)
    clear = None if alarm.clear is None else _condition("until", alarm.clear, profile, report)
    if when is None or (clear is None and alarm.clear is not None):
        return None
    section = _section(alarm, profile, when, clear)
    elements = _elements(profile, section, report)
    ids = frozenset(f"{profile.profile}.{one.id}" for one in profile.alarm_rules)
    if elements is None or meant(section, _scope(profile, ids), report) is None:
        return None
    array = next(iter(_arrays(when)), "")
    limits = limits_of(when) | (limits_of(clear) if clear is not None else set())
    return Alarm(profile.profile, section, array, elements, frozenset(limits))


def targets(alarm: Alarm, devices: Sequence[DeviceView]) -> list[Target]:
    """What it is for, among the `devices` of its profile: those that give it its limits."""
    found: list[Target] = []
    for device in devices:
        if alarm.limits <= device.limits.keys():
            own = {key: device.limits[key] for key in sorted(alarm.limits)}
            found += [
                Target(
                    device.id, device, (), device.tags, _about(alarm, one, device), one,
                    _said(alarm, one, device), own,
                )
                for one in alarm.elements
            ]  # fmt: skip
    return found


def _condition(key: str, text: str, profile: Profile, report: Report) -> Condition | None:
    try:
        return Condition((Part((), text, implied(parse(text), profile)),))
    except RuleError as error:
        report.problem((key,), error.what, error.fix, within=Within(text, error.start, error.end))
        return None


def _section(
    alarm: AlarmRule, profile: Profile, when: Condition, clear: Condition | None
) -> RuleSection:
    """Without validation: the name of a rule of a file has no dots, and everything else is valid."""
    severity = alarm.severity.name.lower()
    written: dict[str, Any] = {
        "id": f"{profile.profile}.{alarm.id}", "title": alarm.title or alarm.id,
        "for_each": Each(profile=profile.profile), "when": when, "until": clear, "for": alarm.hold,
        "alarm": AlarmSection.model_validate({"severity": severity, "latch": alarm.latch}),
    }  # fmt: skip
    return RuleSection.model_construct(**written)


def _scope(profile: Profile, ids: frozenset[str]) -> Scope:
    return Scope({"it": Alias((profile,))}, ids, {})


def _arrays(condition: Condition) -> list[str]:
    """The arrays of which it reads each element."""
    names = (path.point for part in condition.parts for path in paths(part.node))
    return [name.removesuffix(EVERY) for name in names if name.endswith(EVERY)]


def _elements(profile: Profile, section: RuleSection, report: Report) -> tuple[str, ...] | None:
    """Of all arrays of its conditions the same; None after a problem."""
    when = _arrays(section.when)
    until = [] if section.until is None else _arrays(section.until)
    found = {name: indices(profile, name) for name in (*when, *until)}
    first = found[when[0]] if when else ()
    for key, names in (("when", when), ("until", until)):
        if any(found[name] != first for name in names):
            called = report.called(key)
            report.problem((key,), *fault("alarm.elements", key=called))
            return None
    return first or ("",)


def _units(name: str, alarms: Sequence[Alarm], profile: Profile) -> Iterator[str]:
    """Of the points that stand in a condition with the limit `name`."""
    for alarm in alarms:
        for _, condition in alarm.section.conditions:
            if name in limits_of(condition):
                for path in (path for part in condition.parts for path in paths(part.node)):
                    point = None if path.alias == LIMIT else point_of(profile, path.point)
                    if point is not None:
                        yield point.unit


class _LimitReport(Report):
    """What is wrong with a condition, once a device gives the numbers, is wrong with these."""

    def __init__(self, alarm: Alarm, report: Report) -> None:
        super().__init__(Document(alarm.section.id), (), NAMES)
        self._first = min(alarm.limits)
        self._told = report

    def problem(
        self, path: Path_, what: str, fix: str, *, key: bool = False, within: Within | None = None
    ) -> None:
        super().problem(path, what, fix, key=key, within=within)
        named = "" if within is None else within.text[within.start : within.end]
        name = named.removeprefix(f"{LIMIT}.") if named.startswith(f"{LIMIT}.") else self._first
        self._told.problem(("limits", name), what, fix)

    def note(self, path: Path_, what: str, fix: str) -> None:
        super().note(path, what, fix)
        self._told.note(("limits", self._first), what, fix)


def _check_labels(device: DeviceView, report: Report) -> None:
    elements: dict[str, list[str]] = {}
    for name in device.profile.by_id:
        base, bracket, index = name.partition("[")
        if bracket:
            elements.setdefault(base, []).append(index.removesuffix("]"))
    without = {array.name for array in device.profile.arrays if array.labels is None}
    for array in device.profile.arrays:
        if array.labels is not None and array.name not in device.labels:
            first = elements[array.name][0]
            report.note((), *fault("alarm.no_labels", array=array.name, first=first))
    for name, labels in device.labels.items():
        known = [] if name in without else elements.get(name, [])
        if not known:
            fix = suggest(name, elements.keys() - without)
            unknown = fault("alarm.no_array", profile=device.profile.profile, name=name, fix=fix)
            report.problem(("labels", name), *unknown, key=True)
        for index in labels if known else ():
            if index not in known:
                missing = fault("alarm.no_element", array=name, index=index, first=known[0], last=known[-1])  # fmt: skip
                report.problem(("labels", name, index), *missing, key=True)


def _about(alarm: Alarm, element: str, device: DeviceView) -> Mapping[str, object]:
    if not element:
        return {}
    about: dict[str, object] = {"point": alarm.array + element}
    label = device.labels.get(alarm.array, {}).get(element.strip("[]"))
    return about | ({"label": label} if label else {})


def _said(alarm: Alarm, element: str, device: DeviceView) -> str:
    """`fire.device[3] (B3 4F east, detector)`."""
    label = device.labels.get(alarm.array, {}).get(element.strip("[]")) if element else None
    if not label:
        return alarm.array + element if element else ""
    return (
        f"{alarm.array}{element} ({label if isinstance(label, str) else ', '.join(label.values())})"
    )
