"""The last that is known of every point, and who waits for a point to change."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from gateway.model import RETAINED, SILENT, Event, EventKind, Quality, Sample, Severity, Value
from gateway.profile import Profile

_UNHEARD = frozenset({RETAINED, SILENT})  # the gateway says it, not the device


class Reading(NamedTuple):
    """One point as last seen: `value` is None when it was BAD, `quality` None when it was GOOD."""

    value: Value | None
    quality: Quality | None
    time_ns: int
    received_ns: int


class Change(NamedTuple):
    """An alarm-bearing point that changed."""

    point: str
    severity: Severity
    old: Value | None
    new: Value


class _Watch(NamedTuple):
    accept: Callable[[Reading], bool]
    found: asyncio.Future[Reading]


class State:
    """Keeps, for each device, which sample last spoke of each point.

    Points refer to whole samples, so an update allocates nothing, however many points it has.
    """

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self._last: dict[str, dict[str, Sample]] = {}
        self._alarms: dict[str, Mapping[str, Severity]] = {}
        self._momentary: dict[str, Collection[str]] = {}
        self._moments: dict[str, Collection[str]] = {}
        self._alarm_values: dict[tuple[str, str], Value] = {}
        self._watches: dict[tuple[str, str], list[_Watch]] = {}
        self._seen_ns: dict[str, int] = {}
        self.adopt(profiles)

    def adopt(self, profiles: Mapping[str, Profile]) -> None:
        """As at the construction; what is known of points that stay is kept."""
        points = {device: profile.by_id for device, profile in profiles.items()}
        self._last = {
            device: {p: s for p, s in self._last.get(device, {}).items() if p in points[device]}
            for device in profiles
        }
        self._alarms = {device: profile.alarms for device, profile in profiles.items()}
        self._momentary = {device: profile.momentary for device, profile in profiles.items()}
        self._moments = {
            device: {point.id for point in profile.points if point.kind == "event"}
            for device, profile in profiles.items()
        }
        self._alarm_values = {
            (device, point): value
            for (device, point), value in self._alarm_values.items()
            if point in self._alarms.get(device, ())
        }
        self._seen_ns = {d: at for d, at in self._seen_ns.items() if d in profiles}

    def restore(self, events: Iterable[Event]) -> None:
        """Continue after a restart: alarm-bearing points are as their newest events say."""
        for event in events:
            value = event.attributes.get("value")
            if event.kind is EventKind.POINT_ALARM and isinstance(value, bool | int | float | str):
                self._alarm_values[event.device, str(event.attributes.get("point"))] = value

    def update(self, sample: Sample) -> list[Change]:
        """Take a sample in; returns the alarm-bearing points that it changed."""
        points = self._last.setdefault(sample.device, {})
        for name in sample.values:
            points[name] = sample
        for name in sample.quality:
            points[name] = sample
        if sample.values and not (sample.quality and _UNHEARD & set(sample.quality.values())):
            self._seen_ns[sample.device] = sample.received_ns
        if self._watches:
            self._wake(sample)
        alarms = self._alarms.get(sample.device)
        return self._changes(sample, alarms) if alarms else []

    def _changes(self, sample: Sample, alarms: Mapping[str, Severity]) -> list[Change]:
        changes = []
        for name, severity in alarms.items():
            new = sample.values.get(name)
            if new is None or sample.quality.get(name) == RETAINED:
                continue
            old = self._alarm_values.get((sample.device, name))
            if name in self._momentary[sample.device]:
                if new not in (False, 0):  # at rest again: no news
                    changes.append(Change(name, severity, None, new))
            elif new != old:
                self._alarm_values[sample.device, name] = new
                if old is not None or new not in (False, 0):  # at rest when first seen: no alarm
                    changes.append(Change(name, severity, old, new))
        return changes

    def samples(self) -> list[Sample]:
        """What is known, each value in the sample that it came with, in the order of their coming.

        What was a moment only (a button was pressed) is over and not among it.
        """
        parts: dict[int, tuple[Sample, set[str]]] = {}
        for device, points in self._last.items():
            for name, sample in points.items():
                if name not in self._moments[device]:
                    parts.setdefault(id(sample), (sample, set()))[1].add(name)
        return sorted((_only(*part) for part in parts.values()), key=lambda sample: sample.n)

    def reading(self, device: str, point: str) -> Reading | None:
        sample = self._last.get(device, {}).get(point)
        return _reading(sample, point) if sample else None

    def readings(self, device: str) -> Mapping[str, Reading]:
        return {name: _reading(s, name) for name, s in self._last.get(device, {}).items()}

    def seen_ns(self, device: str) -> int | None:
        """CLOCK_BOOTTIME at which the device last gave a value."""
        return self._seen_ns.get(device)

    def devices(self) -> Iterable[str]:
        return self._last

    @contextmanager
    def watch(
        self, device: str, point: str, accept: Callable[[Reading], bool]
    ) -> Iterator[asyncio.Future[Reading]]:
        """A future of the next reading of a point that `accept` takes, for the time of the block."""
        found: asyncio.Future[Reading] = asyncio.get_running_loop().create_future()
        watch = _Watch(accept, found)
        self._watches.setdefault((device, point), []).append(watch)
        try:
            yield found
        finally:
            watches = self._watches[device, point]
            watches.remove(watch)
            if not watches:
                del self._watches[device, point]

    def _wake(self, sample: Sample) -> None:
        for name in sample.values:
            for watch in self._watches.get((sample.device, name), ()):
                reading = _reading(sample, name)
                if not watch.found.done() and watch.accept(reading):
                    watch.found.set_result(reading)


def _only(sample: Sample, names: Collection[str]) -> Sample:
    values = {name: value for name, value in sample.values.items() if name in names}
    quality = {name: why for name, why in sample.quality.items() if name in names}
    return sample._replace(values=values, quality=quality)


def _reading(sample: Sample, point: str) -> Reading:
    return Reading(
        sample.values.get(point), sample.quality.get(point), sample.time_ns, sample.received_ns
    )
