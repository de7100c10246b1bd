"""The numbers of a chunk without the samples around them, for aggregates: a day is a million values."""

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from gateway.model import Level
from gateway.store.encode import ENC_JSON_ZLIB, ChunkRow, Damaged, check_chunk


class Reading(NamedTuple):
    """What one sample says about points; `values` go with `pids`, BAD ones are None. `bad`: how many
    more points were BAD, and have no place in `pids`.
    """

    time_ns: int
    received_ns: int
    boot: int
    clock_ok: bool
    pids: tuple[int, ...]
    values: list[Any]
    bad: int = 0

    def wall_ns(self, offsets: Mapping[int, int]) -> int | None:
        """UTC of the sample. Without a trusted clock: its time since boot plus the offset that the
        boot showed later, None while it has shown none. `offsets`: wall minus boot time, by boot.
        """
        if self.clock_ok:
            return self.time_ns
        offset = offsets.get(self.boot)
        return None if offset is None else self.received_ns + offset


def readings_of(row: ChunkRow, pid: int | None = None) -> list[Reading]:
    """In the order of seqs; with `pid` only its values, of the samples that have it. Raises Damaged."""
    check_chunk(row)
    if row[7] != ENC_JSON_ZLIB:
        raise Damaged(f"chunk format {row[7]} is unknown")
    try:
        document = orjson.loads(zlib.decompress(row[8]))
        return list(_readings(document, pid))
    except (zlib.error, LookupError, TypeError, ValueError) as error:
        raise Damaged(str(error)) from error


def _readings(document: dict[str, Any], pid: int | None) -> Iterator[Reading]:
    base_time, base_received, _n = document["b"]
    shapes = [(boot, bool(ok), tuple(pids)) for _device, boot, ok, pids in document["s"]]
    places = [pids.index(pid) if pid in pids else None for _boot, _ok, pids in shapes]
    for entry in document["x"]:
        shape, time, received, _number, _source, marks, *values = entry
        boot, ok, pids = shapes[shape]
        bad = {mark[0] for mark in marks or () if mark[1] == Level.BAD}
        more = len(bad.difference(pids)) if bad else 0
        if bad:
            values = [None if p in bad else v for p, v in zip(pids, values, strict=True)]
        if pid is not None:
            place = places[shape]
            if place is None:
                continue
            pids, values = (pid,), [values[place]]
        yield Reading(base_time + time, base_received + received, boot, ok, pids, values, more)
