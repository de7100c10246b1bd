"""Report strategies at work: which values of a sample go into the journal.

State and rules see every value; what is held back is only kept out of the journal, and thereby off
the way upstream. Nothing is invented: a report is a sample of its reader with the reader's time.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache

from gateway.document import suggest
from gateway.driver import Device
from gateway.model import Quality, Sample, Value
from gateway.profile import Point
from gateway.strategy import Strategy

Fault = tuple[tuple[str | int, ...], str, str]  # path in the device's section, what, fix

_EVER = 1 << 62  # ns
_NONE, _CHANGE, _ABSOLUTE, _RELATIVE = range(4)


class Reports:
    """Remembers, for each point that has a strategy, what was reported last."""

    def __init__(self, devices: Iterable[Device]) -> None:
        found = ((device.id, _gates(device)) for device in devices)
        self._gates = {name: gates for name, gates in found if gates}

    def adopt(self, devices: Mapping[str, Device], fresh: Collection[str]) -> None:
        """As at the construction; only what was reported last of `fresh` ones, new or changed, is forgotten."""
        found = (
            (name, _gates(device) if name in fresh else self._gates.get(name))
            for name, device in devices.items()
        )
        self._gates = {name: gates for name, gates in found if gates}

    def news(self, sample: Sample) -> Sample | None:
        """`sample` without the values that are held back; None if nothing is left.

        What it returns counts as reported: call `lost` if it is not.
        """
        gates = self._gates.get(sample.device)
        if gates is None:
            return sample
        values, quality, time_ns = sample.values, sample.quality, sample.time_ns
        held = set()
        for name, gate in gates.items():
            value, why = values.get(name), quality.get(name)
            if (value is not None or why is not None) and not gate.opens(value, why, time_ns):
                held.add(name)
        if not held:
            return sample
        values = {name: value for name, value in values.items() if name not in held}
        if quality:
            quality = {name: why for name, why in quality.items() if name not in held}
        return sample._replace(values=values, quality=quality) if values or quality else None

    def lost(self, sample: Sample) -> None:
        """The journal did not take what `news` returned: the next values are news whatever they are."""
        gates = self._gates.get(sample.device, {})
        for name in {**sample.values, **sample.quality}:
            if name in gates:
                gates[name].forget()


class _Gate:
    """The strategy of one point, ready to use, and what it let through last."""

    __slots__ = ("_at", "_kind", "_limit", "_longest", "_quality", "_shortest", "_value")

    def __init__(self, strategy: Strategy) -> None:
        self._kind, self._limit = _criterion(strategy)
        self._shortest = round(strategy.min_interval * 1e9)
        silence = strategy.max_silence
        self._longest = _EVER if silence is None else round(silence * 1e9)
        self._value: Value | None = None
        self._quality: Quality | None = None
        self._at: int | None = None  # time of the sample, ns; None: nothing was reported

    def opens(self, value: Value | None, quality: Quality | None, at: int) -> bool:
        before = self._at
        if before is not None and quality == self._quality:
            age = at - before
            # Late, or the clock was set back: what is news cannot be told.
            if age >= 0 and (age < self._shortest or (age < self._longest and self._same(value))):
                return False
        self._value, self._quality, self._at = value, quality, at
        return True

    def forget(self) -> None:
        self._at = None

    def _same(self, value: Value | None) -> bool:
        kind, before = self._kind, self._value
        if kind is _NONE:
            return False
        if kind is _CHANGE or not (isinstance(value, int | float) and isinstance(before, int | float)):  # fmt: skip
            return value == before
        limit = self._limit if kind is _ABSOLUTE else self._limit * abs(before)
        return abs(value - before) <= limit


def _criterion(strategy: Strategy) -> tuple[int, float]:
    if strategy.deadband is not None:
        return _ABSOLUTE, strategy.deadband
    if strategy.deadband_percent is not None:
        return _RELATIVE, strategy.deadband_percent / 100
    return (_CHANGE if strategy.on_change else _NONE), 0.0


def _gates(device: Device) -> dict[str, _Gate]:
    """By point. What bears an alarm has none: it is always reported."""
    return {
        point.id: _Gate(strategy)
        for point in device.profile.points
        if point.alarm_severity is None and (strategy := _strategy(device, point)) is not None
    }


def _strategy(device: Device, point: Point) -> Strategy | None:
    """That of the device's section: under the point's own name, else under the first pattern that
    fits it; else that of the profile.
    """
    written = device.section.report
    fitting = (name for name in written if "*" in name and _pattern(name).fullmatch(point.id))
    name = point.id if point.id in written else next(fitting, None)
    if name is None:
        return point.report
    return written[name]


@lru_cache(maxsize=256)  # a site has many devices with the same few patterns
def _pattern(text: str) -> re.Pattern[str]:
    """`*` is any text; everything else, brackets too, is itself."""
    return re.compile(".*".join(map(re.escape, text.split("*"))))


def faults(device: Device) -> Iterator[Fault]:
    """What is wrong with `report:` of a device."""
    points = device.profile.by_id
    for name, strategy in device.section.report.items():
        path = ("report", name)
        fits = [points[name]] if name in points else []
        if "*" in name:
            fits = [point for point in points.values() if _pattern(name).fullmatch(point.id)]
        if not fits:
            what = f"no point '{name}' in profile {device.profile.profile}"
            yield path, what, suggest(name, points)
        elif name in points and strategy is not None and (why := fits[0].misfit(strategy)):
            yield path, *why
