"""A day of 500 points every 10 s (25 devices of 20 points), in accelerated time: bytes, commits, history."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bench.report import Row
from gateway.cli.history_many import default_step
from gateway.errors import GatewayError
from gateway.model import Sample, Value
from gateway.store.history import Historian, History, Query, Wide
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
    every_s = _seconds(lambda: _one_by_one(historian, until), 3)
    wide = Wide(None, default.since_ns, until, default.step_s, until)
    at_once_s = _seconds(lambda: historian.read_wide(wide), 9)
    plain_s = _seconds(lambda: _plain(folder, wide), 9)
    asked = [(s.device, s.point, len(s.rows)) for s in historian.read_wide(wide)[1]]
    if len(asked) != DEVICES * POINTS or {count for _, _, count in asked} != {len(found.rows)}:
        raise GatewayError(f"not every point came whole: {len(asked)} points")
    what = f"24 h in steps of {default.step_s} s ({len(found.rows)}, from {found.source} rollups)"
    count = DEVICES * POINTS
    return [
        Row(f"{what}, one point of {count}", f"{coarse_s * 1e3:.1f} ms"),
        Row("  from its raw samples, in steps of 60 s", f"{raw_s * 1e3:,.0f} ms"),
        Row(f"  all {count} points, one after the other", f"{every_s * 1e3:,.0f} ms"),
        Row(
            f"  all {count} points at once", f"{at_once_s * 1e3:,.0f} ms",
            f"one after the other ({every_s * 1e3:,.0f} ms)", at_once_s / every_s,
        ),
        Row(
            "    against the same rows out of sqlite3", "",
            f"fetchall ({plain_s * 1e3:,.0f} ms)", at_once_s / plain_s,
        ),
    ]  # fmt: skip


def _seconds(work: Callable[[], object], times: int) -> float:
    """Of processor time, the median: what else runs on the machine does not count."""
    took = []
    for _ in range(times):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return sorted(took)[times // 2]


def _one_by_one(historian: Historian, until: int) -> None:
    for device in range(DEVICES):
        for point in range(POINTS):
            historian.read(_query(device, point, until))


def _plain(folder: Path, wide: Wide) -> list[tuple[float, ...]]:
    query = "SELECT pid, t, n, mn, mx, sm, la FROM rollup WHERE w=300 AND t >= ? AND t < ?"
    with closing(sqlite3.connect(folder / "core.db")) as db:
        return db.execute(query, (wide.since_ns // 10**9, wide.until_ns // 10**9)).fetchall()


def _query(device: int, point: int, until: int) -> Query:
    since = until - DAY_S * 10**9
    step_s = default_step(DAY_S)
    return Query(f"meter-{device}", f"p{point:02}", since, until, step_s, until, coarse=True)


def _timed(historian: Historian, query: Query) -> tuple[History, float]:
    """The answer, and how long it took."""
    return historian.read(query), _seconds(lambda: historian.read(query), 9)


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
