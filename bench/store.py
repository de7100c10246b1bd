"""The journal: samples appended and durable, alarms durable, against SQLite with a commit for each row."""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from bench import volume
from bench.report import Row
from gateway.clock import SystemClock
from gateway.model import Event, EventKind, Sample, Severity, uuid7
from gateway.store.settings import StoreSettings
from gateway.store.store import Store

SAMPLES = 200_000
BATCH = 2_000
ALARMS = 300
BASELINE_ROWS = 2_000


def run() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-store-") as folder:
        single = _one_commit_a_row(Path(folder))
        rows = asyncio.run(_ours(Path(folder), single))
    # /var/tmp: /tmp may be in memory, where nothing is written to a device.
    with tempfile.TemporaryDirectory(prefix="bench-store-", dir="/var/tmp") as folder:
        return [*rows, *volume.run(Path(folder))]


def _one_commit_a_row(folder: Path) -> float:
    """Rows a second of the simplest durable queue: WAL, FULL, one transaction for each row."""
    database = sqlite3.connect(folder / "plain.db", isolation_level=None)
    database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE q(id INTEGER PRIMARY KEY, body BLOB)")  # fmt: skip
    body = bytes(200)
    started = time.perf_counter()
    for _ in range(BASELINE_ROWS):
        database.execute("INSERT INTO q(body) VALUES(?)", (body,))
    elapsed = time.perf_counter() - started
    database.close()
    return BASELINE_ROWS / elapsed


async def _ours(folder: Path, single: float) -> list[Row]:
    clock = SystemClock()
    settings = StoreSettings.model_validate({"group_commit": "1s"})
    store = Store(folder / "state", gateway_id="gw-bench", settings=settings, clock=clock)
    await asyncio.to_thread(store.open)
    await store.start()
    try:
        rate, n = await _samples(store, clock)
        latencies = await _alarms(store, clock, n)
    finally:
        await store.close()
    baseline = f"one commit a row ({single:.0f}/s)"
    return [
        Row("samples durable", f"{rate:,.0f} /s", baseline, rate / single),
        Row("alarm durable, p50", f"{statistics.median(latencies) * 1e3:.2f} ms", f"one commit a row ({1e3 / single:.2f} ms)", statistics.median(latencies) * single),
        Row("alarm durable, p99", f"{statistics.quantiles(latencies, n=100)[98] * 1e3:.2f} ms"),
    ]  # fmt: skip


async def _samples(store: Store, clock: SystemClock) -> tuple[float, int]:
    """Twelve points each, taken in batches as drivers deliver them; (samples a second, last n)."""
    points = {f"elec.point.p{i}": 230.1 + i for i in range(12)}
    now = clock.time_ns()
    started = time.perf_counter()
    n = 0
    for batch in range(SAMPLES // BATCH):
        await store.room()
        for index in range(BATCH):
            n += 1
            at = now + n * 1_000_000
            store.append(Sample(f"meter-{index % 100}", at, at, 1, True, points, n=n), held=True)
        await asyncio.sleep(0)
        if batch % 10 == 9:
            await store.durable(n)
    await store.durable(n)
    return SAMPLES / (time.perf_counter() - started), n


async def _alarms(store: Store, clock: SystemClock, n: int) -> list[float]:
    """Seconds from append to durable, one after the other, beside 2,000 samples a second."""
    latencies = []
    points = {"elec.power.total": 1.5}
    news = store.subscribe()
    for _ in range(ALARMS):
        for _ in range(20):
            n += 1
            store.append(
                Sample("meter-1", clock.time_ns(), clock.boottime_ns(), 1, True, points, n=n)
            )
        n += 1
        now = clock.time_ns()
        event = Event(uuid7(now), EventKind.POINT_ALARM, Severity.LIFE, "smoke-1", now, now, 1, True, {"point": "alarm.smoke", "value": True}, None, n)  # fmt: skip
        started = time.perf_counter()
        store.append(event)
        # `durable(n)` would also wait for the samples before it: an alarm does not.
        await _committed(store, news, store.last(0) + 1)
        latencies.append(time.perf_counter() - started)
        await asyncio.sleep(0.01)
    return latencies


async def _committed(store: Store, news: asyncio.Event, seq: int) -> None:
    while store.last(0) < seq:
        news.clear()
        await news.wait()
