"""Events and sample chunks as rows, and back; every row carries a CRC-32 over its other columns.

SQLite's own checks saw 3 of 60 flipped bits, a CRC per row caught the others (measured).
Chunk format 1 is zlib level 1 over JSON: devices `d`; shapes `s`, each [device, boot, clock_ok,
[pid...]]; base time, received time and input number `b`; samples `x`, each [shape, time, received,
n, source_id, quality, value...] with times and n relative to the base.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from gateway.model import EMPTY, Event, EventKind, Level, Quality, Sample, Severity, Value, lane_of
from gateway.store.points import Registry
from gateway.store.schema import SEQ_BITS, SEQ_MASK

CHUNK_SAMPLES = 1_000  # at most, in one chunk
ENC_JSON_ZLIB = 1
ZLIB_LEVEL = 1  # for groups of seconds; level 6 pays for groups of a minute only

EventRow = tuple[
    int, bytes, int, int, int, int, int, str, int, str, bytes | None, int, bytes
]  # in the order of table `event`
ChunkRow = tuple[int, int, int, int, int, int, int, int, bytes]  # in the order of table `chunk`

# Reason of a value that cannot be stored as a number; drivers mark such a point BAD themselves.
NOT_A_NUMBER = Quality(Level.BAD, "not_a_number")


class Damaged(ValueError):  # noqa: N818 -- a state of the row
    """The row is not what was written: its CRC or its format is wrong."""


def dedupe_key(device: str, source_id: bytes) -> bytes:
    """Under this key a repeated message is known: device ids hold no NUL."""
    return device.encode() + b"\0" + source_id


class Chunk(NamedTuple):
    row: ChunkRow
    pids: frozenset[int]


def canonical(value: object) -> bytes:
    """JSON with sorted keys. What JSON cannot say is stored as text or float, never refused: a
    record that cannot be stored would stop the store.
    """
    try:
        return orjson.dumps(value, default=_unusual, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS)


def _unusual(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _plain(value: object) -> object:
    """`value` without what orjson refuses: lone surrogates, integers over 64 bits, other keys."""
    match value:
        case bool() | None | float():
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else float(f"{value:.17g}")
        case str():
            return value.encode("utf-8", "replace").decode()
        case Mapping():
            return {str(_plain(str(k))): _plain(v) for k, v in value.items()}
        case list() | tuple():
            return [_plain(entry) for entry in value]
        case _:
            return _plain(str(value))


def event_row(seq: int, event: Event) -> EventRow:
    body = canonical(event.attributes)
    cause = None if event.cause is None else event.cause.bytes
    head = (
        lane_of(event) << SEQ_BITS | seq, event.event_id.bytes, event.n, event.time_ns,
        event.received_ns, event.boot, int(event.clock_ok), str(event.kind), int(event.severity),
        event.device, cause,
    )  # fmt: skip
    return (*head, _event_crc(head, body), body)


def alarm_of(event: Event) -> str | None:
    """Which alarm, alarm-bearing point, counter or notification an event is about, else None."""
    match event.kind:
        case EventKind.POINT_ALARM:
            return f"point {event.device} {event.attributes.get('point')}"
        case EventKind.ALARM_RAISED | EventKind.ALARM_CLEARED:
            return f"rule {event.attributes.get('instance')}"
        case EventKind.COUNTER_WRAP | EventKind.COUNTER_RESET | EventKind.METER_REPLACED:
            return f"counter {event.device} {event.attributes.get('point')}"
        case EventKind.NOTIFICATION | EventKind.NOTIFIED:
            slot = event.attributes.get("slot")
            return None if slot is None else f"notice {slot}"
        case _:
            return None


def event_of(row: EventRow) -> tuple[int, Event]:
    """(seq, event). Raises Damaged."""
    head: list[Any]
    *head, crc, body = row
    try:
        if crc != _event_crc(head, body):
            raise Damaged("crc")
        id_, event_id, n, time_ns, received_ns, boot, clock_ok, kind, severity, device, cause = head
        return id_ & SEQ_MASK, Event(
            UUID(bytes=event_id), EventKind(kind), Severity(severity), device, time_ns, received_ns,
            boot, bool(clock_ok), orjson.loads(body), None if cause is None else UUID(bytes=cause), n,
        )  # fmt: skip
    except (TypeError, ValueError) as error:
        raise Damaged(str(error)) from error


def _event_crc(head: Sequence[Any], body: bytes) -> int:
    texts = [part.hex() if isinstance(part, bytes) else part for part in head]
    return zlib.crc32(body, zlib.crc32(canonical(texts)))


_CHUNK_HEAD = struct.Struct("<qqqqqqq")


def chunk_of(first: int, samples: Sequence[Sample], registry: Registry) -> Chunk:
    """Pack samples with the seqs `first`, `first` + 1, ...; there must be at least one."""
    pack = _Packer(samples[0], registry)
    document = {"x": [pack.sample(sample) for sample in samples], **pack.head()}
    body = zlib.compress(canonical(document), ZLIB_LEVEL)
    times = [sample.time_ns for sample in samples]
    clock_ok = int(all(sample.clock_ok for sample in samples))
    head = (first, len(samples), min(times), max(times), samples[0].boot, clock_ok)
    crc = zlib.crc32(body, zlib.crc32(_CHUNK_HEAD.pack(*head, ENC_JSON_ZLIB)))
    return Chunk((*head, crc, ENC_JSON_ZLIB, body), frozenset(pack.pids))


class _Packer:
    def __init__(self, base: Sample, registry: Registry) -> None:
        self._base = (base.time_ns, base.received_ns, base.n)
        self._registry = registry
        self._devices: dict[str, int] = {}
        self._shapes: dict[tuple[str, int, bool, tuple[str, ...]], int] = {}
        self._shape_rows: list[tuple[int, int, int, tuple[int, ...]]] = []
        self.pids: set[int] = set()

    def head(self) -> dict[str, object]:
        return {"d": list(self._devices), "s": self._shape_rows, "b": self._base}

    def sample(self, sample: Sample) -> list[object]:
        device, time_ns, received_ns, boot, clock_ok, values, quality, source_id, n = sample[:9]
        key = (device, boot, clock_ok, tuple(values))
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shape(key)
        base_time, base_received, base_n = self._base
        return [
            shape, time_ns - base_time, received_ns - base_received, n - base_n,
            None if source_id is None else source_id.decode("latin-1"),
            self._quality(device, quality) if quality else None,
            *values.values(),
        ]  # fmt: skip

    def _shape(self, key: tuple[str, int, bool, tuple[str, ...]]) -> int:
        device, boot, clock_ok, names = key
        pids = self._registry.pids(device, names)
        self.pids.update(pids)
        index = self._devices.setdefault(device, len(self._devices))
        shape = self._shapes[key] = len(self._shape_rows)
        self._shape_rows.append((index, boot, int(clock_ok), pids))
        return shape

    def _quality(self, device: str, quality: Mapping[str, Quality]) -> list[object]:
        pids = self._registry.pids(device, tuple(quality))
        self.pids.update(pids)
        return [[p, q.level, q.reason] for p, q in zip(pids, quality.values(), strict=True)]


def check_chunk(row: ChunkRow) -> None:
    """Raises Damaged if the CRC does not fit."""
    *head, crc, enc, body = row
    try:
        good = zlib.crc32(body, zlib.crc32(_CHUNK_HEAD.pack(*head, enc)))
    except (TypeError, struct.error) as error:
        raise Damaged(str(error)) from error
    if crc != good:
        raise Damaged("crc")


def samples_of(row: ChunkRow, points: Mapping[int, str]) -> list[tuple[int, Sample]]:
    """(seq, sample) in order; `points` names the pids of this segment. Raises Damaged."""
    check_chunk(row)
    if row[7] != ENC_JSON_ZLIB:
        raise Damaged(f"chunk format {row[7]} is unknown")
    try:
        document = orjson.loads(zlib.decompress(row[8]))
        shapes = [
            (document["d"][device], boot, bool(ok), tuple(points[pid] for pid in pids))
            for device, boot, ok, pids in document["s"]
        ]
        base = document["b"]
        samples = [_sample(entry, shapes, base, points) for entry in document["x"]]
    except (zlib.error, LookupError, TypeError, ValueError) as error:
        raise Damaged(str(error)) from error
    return list(enumerate(samples, row[0]))


def _sample(
    entry: list[Any],
    shapes: list[tuple[str, int, bool, tuple[str, ...]]],
    base: list[int],
    points: Mapping[int, str],
) -> Sample:
    shape, time, received, n, source, marks, *numbers = entry
    device, boot, clock_ok, names = shapes[shape]
    values: dict[str, Value] = dict(zip(names, numbers, strict=True))
    quality = {points[pid]: Quality(Level(level), reason) for pid, level, reason in marks or ()}
    if None in numbers:  # NaN and infinity have no JSON form: null
        lost = [name for name, value in values.items() if value is None]
        quality.update(dict.fromkeys(lost, NOT_A_NUMBER))
        values = {name: value for name, value in values.items() if name not in lost}
    return Sample(
        device, base[0] + time, base[1] + received, boot, clock_ok, values, quality or EMPTY,
        None if source is None else source.encode("latin-1"), base[2] + n,
    )  # fmt: skip
