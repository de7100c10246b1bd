"""The figures of an operation report once more, from the raw journal: plain SQLite, zlib and JSON,
and none of the code that makes the report. Naive and slow on purpose.
"""

import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

NS = 10**9
WINDOW_NS = 300 * NS
SHANGHAI = timezone(timedelta(hours=8))


class Raw(NamedTuple):
    seq: int
    device: str
    time_ns: int
    age_s: float
    clock_ok: bool
    values: dict[str, Any]
    bad: int


class Told(NamedTuple):
    lane: int
    seq: int
    time_ns: int
    received_ns: int
    kind: str
    severity: int
    device: str
    id: bytes
    cause: bytes | None
    body: dict[str, Any]


def samples(state: Path) -> Iterator[Raw]:
    with closing(sqlite3.connect(state / "core.db")) as core:
        offsets = dict(core.execute("SELECT boot, offset_ns FROM boot"))
        names = dict(core.execute("SELECT pid, point FROM point"))
    for path in sorted((state / "ts").glob("*.db")):
        with closing(sqlite3.connect(path)) as db:
            for first, body in db.execute("SELECT first, body FROM chunk ORDER BY first"):
                yield from _chunk(first, json.loads(zlib.decompress(body)), offsets, names)


def _chunk(first: int, told: dict[str, Any], offsets: dict[int, int], names: dict[int, str]) -> Iterator[Raw]:  # fmt: skip
    for seq, (shape, time, received, _n, _id, marks, *values) in enumerate(told["x"], first):
        device, boot, ok, pids = told["s"][shape]
        wall = told["b"][1] + received + offsets[boot]
        at = told["b"][0] + time if ok else wall
        shown = {names[pid]: value for pid, value in zip(pids, values, strict=True)}
        yield Raw(seq, told["d"][device], at, (wall - at) / NS, bool(ok), shown, len(marks or ()))


def events(state: Path) -> list[Told]:
    query = "SELECT id, time_ns, received_ns, kind, severity, device, event_id, cause, body FROM event ORDER BY time_ns"
    with closing(sqlite3.connect(state / "core.db")) as db:
        return [_told(id_, body, rest) for id_, *rest, body in db.execute(query)]


def _told(id_: int, body: bytes, rest: list[Any]) -> Told:
    return Told._make([id_ >> 56, id_ & (1 << 56) - 1, *rest, json.loads(body)])


class Recount:
    """Of the local day in Shanghai that begins at `since_s`."""

    def __init__(self, state: Path, since_s: int) -> None:
        self._state = state
        self.since, self.until = since_s * NS, (since_s + 86_400) * NS
        self.all = sorted(samples(state), key=lambda raw: raw.time_ns)
        self.raw = [raw for raw in self.all if self.since <= raw.time_ns < self.until]
        self.events = events(state)
        self.day = [event for event in self.events if self.since <= event.time_ns < self.until]

    def hours(self, time_ns: int) -> float:
        at = datetime.fromtimestamp(time_ns // NS, UTC).astimezone(SHANGHAI)
        return at.hour + at.minute / 60 + at.second / 3600

    def online(self, devices: dict[str, float]) -> tuple[int, int]:
        """Windows in which devices were there; `devices`: how long each may be silent, in seconds."""
        heard: dict[str, set[int]] = {name: set() for name in devices}
        for raw in self.all:
            if raw.device in heard and raw.values:
                heard[raw.device].add(raw.time_ns // WINDOW_NS)
        windows = range(self.since // WINDOW_NS, self.until // WINDOW_NS)
        good = sum(
            any(w - k in heard[name] for k in range(100) if k == 0 or k * 300 < grace)
            for name, grace in devices.items()
            for w in windows
        )
        return good, len(windows) * len(devices)

    def stored(self, devices: set[str]) -> Counter[tuple[str, str]]:
        return Counter((raw.device, point) for raw in self.raw if raw.device in devices for point in raw.values)  # fmt: skip

    def rises(self, device: str, point: str) -> list[tuple[int, float, int]]:
        """(time in ns, rise, windows since the one with a value before) of each value of the day."""
        found, last, window, before = [], None, 0, 0
        for raw in self.all:
            if raw.device != device or point not in raw.values:
                continue
            value = raw.values[point]
            if raw.time_ns // WINDOW_NS != window:
                before, window = window, raw.time_ns // WINDOW_NS
            if last is not None and raw.time_ns >= self.since:
                found.append((raw.time_ns, max(0.0, value - last), window - before))
            last = value
        return found

    def households(self, devices: list[str]) -> float:
        return median(
            sum(r for _t, r, _gap in self.rises(d, "elec.energy.import")) for d in devices
        )

    def lit(self, devices: list[str]) -> tuple[int, int, int]:
        """(windows lit, windows known, windows told to be lit)."""
        lit = known = wanted = 0
        for device in devices:
            told = [e for e in self.events if e.kind == "command_result" and e.device == device]
            levels = [r for r in self.all if r.device == device and "light.level" in r.values]
            heard = [r.time_ns // WINDOW_NS for r in self.all if r.device == device and r.values]
            for w in range(self.since // WINDOW_NS, self.until // WINDOW_NS):
                begin, end = w * WINDOW_NS, (w + 1) * WINDOW_NS
                before = [e for e in told if e.time_ns < begin]
                if (
                    any(begin <= e.time_ns < end for e in told)
                    or not before
                    or not before[-1].body["value"]
                ):
                    continue
                wanted += 1
                if max(h for h in heard if h <= w) < w - 1:  # 10 min, two windows
                    continue
                known += 1
                seen = max(r.time_ns // WINDOW_NS for r in levels if r.time_ns < end)
                lit += (
                    min(r.values["light.level"] for r in levels if r.time_ns // WINDOW_NS == seen)
                    > 0
                )
        return lit, known, wanted

    def night_m3(self, device: str) -> float:
        hours: dict[int, float] = {2: 0.0, 3: 0.0}
        for at, rise, _gap in self.rises(device, "water.volume"):
            if 2 <= self.hours(at) < 4:
                hours[int(self.hours(at))] += rise
        return min(hours.values())
