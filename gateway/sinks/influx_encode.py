"""A slice of the journal as the body of one write to InfluxDB. Pure.

A sample is one line: its profile's facility as measurement, its points as fields. An event is one
line of the measurement `event`. Timestamps are ns.
"""

import json
from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

from gateway.driver import Device
from gateway.model import Event, Item, Sample, timed
from gateway.sinks.influx_types import FieldTypes
from gateway.sinks.line import NUMBER, field, field_key, kind, series, text
from gateway.store.store import Slice

EVENT = "event"  # measurement of events
STRANGER = "unknown"  # measurement of samples whose device is no longer configured
_MS = 1_000_000  # ns


class Line(NamedTuple):
    """One record: its seq, and its line without a newline at the end."""

    seq: int
    data: bytes


class Body:
    """The lines of one write: the beginning of `part`, at most `max_bytes`, but one line however long.

    It covers the seqs up to `last`; `items` of them have a line, `empty` have nothing to say.
    """

    def __init__(self, encoder: "Encoder", part: Slice, max_bytes: int) -> None:
        self.last = part.first - 1
        self.empty = 0
        self._encoder = encoder
        self._part = part
        self._room = max_bytes
        self._next = 0
        self.lines: list[Line] = []

    @property
    def items(self) -> int:
        return len(self.lines)

    def fill(self, count: int) -> bool:
        """Encode the next `count` records; False if the body is complete: full, or all of `part`."""
        part = self._part
        for seq, item in part.items[self._next : self._next + count]:
            line = self._encoder.line(part.lane, seq, timed(item, part.offsets)[0])
            if not self._add(seq, line):
                return False
            self.last = seq
        self._next += count
        if self._next >= len(part.items):
            self.last = part.last  # gaps at the end
            return False
        return True

    def _add(self, seq: int, line: str) -> bool:
        if not line:
            self.empty += 1
            return True
        data = line.encode("utf-8", "replace")  # lone surrogates, from nowhere we know
        if self.lines and len(data) >= self._room:
            return False
        self.lines.append(Line(seq, data))
        self._room -= len(data) + 1
        return True


class Encoder:
    """Lines of one gateway; what is the same for all lines of a device is made once.

    `devices` are those of the configuration; records of others
    that the journal still has are written without profile and inventory tags. `types` names the
    field of a value whose point was once of another type.
    """

    def __init__(
        self, gateway_id: str, devices: Mapping[str, Device], types: FieldTypes | None = None
    ) -> None:
        self._gateway_id = gateway_id
        self._devices = devices
        self._types = types or FieldTypes()
        self._samples: dict[str, tuple[str, str]] = {}  # device -> series, measurement
        self._events: dict[tuple[str, str, str, int], str] = {}
        # (measurement, kind) -> point -> field key and `=`
        self._keys: dict[tuple[str, str], dict[str, str]] = {}

    def line(self, lane: int, seq: int, item: Item) -> str:
        """Empty if there is nothing that can be written."""
        return self.sample(item) if isinstance(item, Sample) else self.event(lane, seq, item)

    def sample(self, sample: Sample) -> str:
        """Empty if no point has a value that can be written."""
        head, measurement = self._samples.get(sample.device) or self._sample_series(sample.device)
        numbers = self._keys.setdefault((measurement, NUMBER), {})
        parts = []
        for point, value in sample.values.items():
            # Nearly every value is a float: 12 of them in 9 us this way, 17 by `field` alone.
            if type(value) is float and isfinite(value):
                parts.append((numbers.get(point) or self._key(measurement, point, NUMBER)) + repr(value))  # fmt: skip
            elif (shown := field(value)) is not None:
                parts.append(self._key(measurement, point, kind(value)) + shown)
        return f"{head} {','.join(parts)} {sample.time_ns}" if parts else ""

    def event(self, lane: int, seq: int, event: Event) -> str:
        """Its time is in ms, and its seq fills the rest: two of one ms and lane stay two points."""
        key = (event.device, event.kind, event.severity.name.lower(), lane)
        head = self._events.get(key) or self._event_series(*key)
        cause = "" if event.cause is None else f",cause={text(str(event.cause))}"
        attributes = json.dumps(event.attributes, ensure_ascii=False, default=_plain)
        return (
            f"{head} event_id={text(str(event.event_id))},attributes={text(attributes)}"
            f",clock_ok={'true' if event.clock_ok else 'false'}{cause}"
            f" {event.time_ns // _MS * _MS + seq % _MS}"
        )

    def _key(self, measurement: str, point: str, what: str) -> str:
        known = self._keys.setdefault((measurement, what), {})
        key = known.get(point)
        if key is None:
            key = known[point] = f"{field_key(self._types.name(measurement, point, what))}="
        return key

    def _sample_series(self, name: str) -> tuple[str, str]:
        device = self._devices.get(name)
        facility = device.profile.facility if device else STRANGER
        made = self._samples[name] = series(facility, self._tags(name)), facility
        return made

    def _event_series(self, name: str, kind: str, severity: str, lane: int) -> str:
        tags = {**self._tags(name), "kind": kind, "lane": str(lane), "severity": severity}
        head = self._events[name, kind, severity, lane] = series(EVENT, dict(sorted(tags.items())))
        return head

    def _tags(self, name: str) -> dict[str, str]:
        """In the order that InfluxDB keeps them in, which spares it the sorting."""
        tags = {"gateway": self._gateway_id, "device": name}
        device = self._devices.get(name)
        if device is not None:
            tags |= {"profile": device.profile.profile, **device.section.tags}
        return dict(sorted(tags.items()))


def _plain(value: object) -> object:
    """What `json` does not take as it is: read-only mappings; anything else as text."""
    return dict(value) if isinstance(value, Mapping) else str(value)
