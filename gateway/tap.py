"""The live stream of samples and events, for people who watch: `gateway tail`.

Nothing waits for who watches: a reader that does not keep up loses items, and is told how many.
Without readers the bus does not know of the tap.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from gateway.driver import Device
from gateway.model import Event, Item, Sample, Severity

MOST = 3  # readers at once: the control socket has eight connections
WAITING = 1_000  # items for one reader
BATCH = 200
PAUSE_S = 0.1  # between two batches
HEARTBEAT_S = 2.0  # without news: else it would not show that nobody listens any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """`devices` and `points` may hold `*`; empty: all. `severity`: of events at least."""

    devices: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    facilities: frozenset[str] = frozenset()
    severity: Severity = Severity.TELEMETRY
    samples: bool = True
    events: bool = True

    def wants(self, item: Item, facility: str) -> bool:
        if self.devices and not any(fnmatchcase(item.device, name) for name in self.devices):
            return False
        if self.facilities and facility not in self.facilities:
            return False
        if isinstance(item, Event):
            return self.events and item.severity >= self.severity
        return self.samples and (not self.points or any(map(self.wants_point, _points(item))))

    def wants_point(self, point: str) -> bool:
        return not self.points or any(fnmatchcase(point, name) for name in self.points)


def _points(sample: Sample) -> list[str]:
    return [*sample.values, *sample.quality]


def read_filter(request: Mapping[str, object]) -> Filter:
    """From a request of the control socket. Raises ValueError."""

    def words(key: str) -> tuple[str, ...]:
        value = request.get(key, [])
        if (
            not isinstance(value, list)
            or len(value) > 50
            or not all(isinstance(x, str) for x in value)
        ):
            raise ValueError(f"{key}: give a list of up to 50 texts")
        return tuple(value)

    name = str(request.get("severity", "telemetry"))
    severities = {one.name.lower(): one for one in Severity}
    if name not in severities:
        raise ValueError(f"severity: write one of {', '.join(severities)}")
    return Filter(
        devices=words("devices"), points=words("points"), facilities=frozenset(words("facilities")),
        severity=severities[name], samples=request.get("samples", True) is True,
        events=request.get("events", True) is True,
    )  # fmt: skip


@dataclass(eq=False, slots=True)
class _Reader:
    filter: Filter
    waiting: deque[Item] = field(default_factory=lambda: deque(maxlen=WAITING))
    dropped: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, item: Item) -> None:
        if len(self.waiting) == WAITING:
            self.dropped += 1
        self.waiting.append(item)
        self.news.set()


class Tap:
    """`connect` tells the bus where items go, None when nobody reads. Event loop only."""

    def __init__(
        self,
        devices: Mapping[str, Device],
        connect: Callable[[Callable[[Item], None] | None], None],
    ) -> None:
        self._devices = devices
        self._connect = connect
        self._readers: list[_Reader] = []

    async def asked(self, request: Mapping[str, object], _uid: int) -> AsyncGenerator[object, None]:
        """The verb `tail`: batches of items until the reader hangs up. Raises ValueError."""
        wanted = read_filter(request)
        if len(self._readers) >= MOST:
            raise ValueError(f"{MOST} others watch already: end one of them")
        return self._stream(_Reader(wanted))

    async def _stream(self, reader: _Reader) -> AsyncGenerator[object, None]:
        self._readers.append(reader)
        self._connect(self._take)
        try:
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await reader.news.wait()
                except TimeoutError:
                    pass  # an empty batch: whoever hung up is noticed when it is written
                yield self._batch(reader)
                await asyncio.sleep(PAUSE_S)
        finally:
            self._readers.remove(reader)
            if not self._readers:
                self._connect(None)

    def _take(self, item: Item) -> None:
        device = self._devices.get(item.device)
        facility = device.profile.facility if device is not None else ""
        for reader in self._readers:
            if reader.filter.wants(item, facility):
                reader.offer(item)

    def _batch(self, reader: _Reader) -> dict[str, object]:
        count = min(BATCH, len(reader.waiting))
        items = [reader.waiting.popleft() for _ in range(count)]
        dropped, reader.dropped = reader.dropped, 0
        if not reader.waiting:
            reader.news.clear()
        return {"dropped": dropped, "items": [self._shown(one, reader.filter) for one in items]}

    def _shown(self, item: Item, wanted: Filter) -> dict[str, object]:
        shown: dict[str, object] = {"device": item.device, "time_ns": item.time_ns}
        if isinstance(item, Event):
            told = {"kind": item.kind, "severity": item.severity.name.lower()}
            return {**shown, **told, "attributes": _plain(item.attributes)}
        device = self._devices.get(item.device)
        units = {} if device is None else {p.id: p.unit for p in device.profile.points}
        values = {
            point: [value, units.get(point, "")]
            for point, value in item.values.items() if wanted.wants_point(point)
        }  # fmt: skip
        bad = {
            point: f"{quality.level}: {quality.reason}"
            for point, quality in item.quality.items() if wanted.wants_point(point)
        }  # fmt: skip
        return {**shown, "values": values, "quality": bad}


def _plain(value: object) -> object:
    """As JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
