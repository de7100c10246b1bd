"""A day of 500 points every 10 s (25 devices of 20 points), in accelerated time: bytes, commits, history."""

import asyncio
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from bench.report import Row
from gateway.cli.history import default_step
from gateway.model import Sample, Value
from gateway.store.history import Historian, History, Query
from gateway.store.points import PointInfo
from gateway.store.rollup import Rollups
from gateway.store.settings import StoreSettings
from gateway.store.store import Position, Store
from tests.harness.clock import FakeClock

DEVICES, POINTS = 25, 20
POLL_S, DAY_S = 10, 86_400
COUNTERS, STATES = 6, 6  # of the points; the others walk
START_NS = 1_772_391_600_000_000_000
POINT = "p00"


def run(folder: Path) -> list[Row]:
    """10 s groups over 4 h, scaled to a day; 60 s groups over a whole day, which is then queried."""
    grouped = asyncio.run(_day(folder / "10", group=1, hours=4))
    return [*grouped, *asyncio.run(_day(folder / "60", group=6, hours=24))]


def queried(folder: Path) -> list[Row]:
    """A whole day as `gateway history DEVICE POINT --since 24h` asks for it: without --step."""
    asyncio.run(_day(folder, group=6, hours=24))
    until = START_NS + DAY_S * 10**9
    default = _query(0, 0, until)
    historian = Historian(folder)
    found, coarse_s = _timed(historian, default)
    _, raw_s = _timed(historian, default._replace(coarse=False, step_s=60))
    began = time.perf_counter()
    for device in range(DEVICES):
        for point in range(POINTS):
            historian.read(_query(device, point, until))
    every_s = time.perf_counter() - began
    what = f"24 h in steps of {default.step_s} s ({len(found.rows)}, from {found.source} rollups)"
    return [
        Row(f"{what}, one point of {DEVICES * POINTS}", f"{coarse_s * 1e3:.1f} ms"),
        Row("  from its raw samples, in steps of 60 s", f"{raw_s * 1e3:,.0f} ms"),
        Row(f"  all {DEVICES * POINTS} points, one after the other", f"{every_s * 1e3:,.0f} ms"),
    ]


def _query(device: int, point: int, until: int) -> Query:
    since = until - DAY_S * 10**9
    step_s = default_step(DAY_S)
    return Query(f"meter-{device}", f"p{point:02}", since, until, step_s, until, coarse=True)


def _timed(historian: Historian, query: Query) -> tuple[History, float]:
    """The answer, and the median of nine."""
    took = []
    for _ in range(9):
        began = time.perf_counter()
        historian.read(query)
        took.append(time.perf_counter() - began)
    return historian.read(query), sorted(took)[4]


async def _day(folder: Path, *, group: int, hours: int) -> list[Row]:
    """`group` polls to a commit. A window is written 50 ms after its first chunk, which is about
    when its last one is in; some are written twice, so the bytes are an upper bound.
    """
    linger_s, Rollups.linger_s = Rollups.linger_s, 0.05
    clock = FakeClock(time_ns=START_NS + DAY_S * 10**9)  # every window has ended
    settings = StoreSettings.model_validate({"group_commit": "60s", "ack_linger": "0s"})
    store = Store(folder, gateway_id="gw-bench", settings=settings, clock=clock)
    store.describe({
        (f"meter-{d}", f"p{p:02}"): PointInfo("1", _kind(p), "bench", 1)
        for d in range(DEVICES) for p in range(POINTS)
    })  # fmt: skip
    await asyncio.to_thread(store.open)
    await store.start()
    before = _written()
    try:
        await _write(store, clock, group, hours * 3_600 // POLL_S)
        await _rolled_up(folder, hours * 12)
        await store.close()
        written, commits = (_written() - before) * 24 / hours, store.stats().commits * 24 / hours
        name = f"500 points, {group * POLL_S} s groups"
        rows = [
            Row(f"{name}: written", f"{written / 1e6:,.0f} MB/day"),
            Row(f"{name}: commits", f"{commits:,.0f} /day, and 288 of rollups"),
        ]
        return rows if hours < 24 else [*rows, *await _history(folder, clock)]
    finally:
        await store.close()
        Rollups.linger_s = linger_s


async def _write(store: Store, clock: FakeClock, group: int, polls: int) -> None:
    """Polls, and a sink that acknowledges every group; events of a quiet site are few."""
    walk = random.Random(7)
    state = [[100.0] * POINTS for _ in range(DEVICES)]
    n = 0
    for poll in range(1, polls + 1):
        clock.advance(POLL_S)
        for device in range(DEVICES):
            n += 1
            now = clock.time_ns() - DAY_S * 10**9 + device * 1_000_000
            values = _step(state[device], walk)
            store.append(Sample(f"meter-{device}", now, clock.boottime_ns(), 1, True, values, n=n))
        if poll % group == 0:
            await store.durable(n)
            store.advance("platform", 2, Position(store.epoch, store.last(2)))


async def _rolled_up(folder: Path, windows: int) -> None:
    query = "SELECT count(*) FROM rollup WHERE w=300"
    async with asyncio.timeout(60):
        while True:
            with closing(sqlite3.connect(folder / "core.db")) as db:
                if db.execute(query).fetchone()[0] >= windows * DEVICES * POINTS:
                    return
            await asyncio.sleep(0.1)


def _step(state: list[float], walk: random.Random) -> dict[str, Value]:
    for p in range(POINTS):
        if p < COUNTERS:
            state[p] = round(state[p] + walk.random() / 100, 2)
        elif p < COUNTERS + STATES:
            state[p] = state[p] if walk.random() < 0.99 else float(state[p] != 1.0)
        else:
            state[p] = round(state[p] + walk.gauss(0, 0.3), 1)
    return {f"p{p:02}": value for p, value in enumerate(state)}


def _kind(p: int) -> str:
    return "counter" if p < COUNTERS else "gauge"


async def _history(folder: Path, clock: FakeClock) -> list[Row]:
    settings = StoreSettings.model_validate({"group_commit": "60s", "ack_linger": "0s"})
    store = Store(folder, gateway_id="gw-bench", settings=settings, clock=clock)
    await asyncio.to_thread(store.open)
    await store.start()
    try:
        end = START_NS + DAY_S * 10**9
        took = []
        for start, step_s in ((end - DAY_S * 10**9, 60), (end - DAY_S * 10**9 - 1, 300)):
            began = time.perf_counter()
            found = await store.history("meter-3", POINT, start, end, step_s)
            took.append((found.source, len(found.rows), time.perf_counter() - began))
    finally:
        await store.close()
    return [
        Row(
            f"history of a point of 500 over 24 h, {source}, {count} rows",
            f"{seconds * 1e3:,.0f} ms",
        )
        for source, count, seconds in took
    ]


def _written() -> int:
    """Bytes that this process caused to be written to the block layer (proc(5), io)."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])
