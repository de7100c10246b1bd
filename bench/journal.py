"""The journal under load: alarms beside 2,000 samples/s, how fast samples are taken, a million rows waiting.

The baseline of alarms is SQLite with a transaction for each row and nothing beside it.
"""

import asyncio
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import orjson

from bench.report import Row
from gateway.clock import SystemClock
from gateway.model import LANE_ALARM, Event, EventKind, Sample, Severity, uuid7
from gateway.store.settings import StoreSettings
from gateway.store.store import Store

LOAD_S = 5.0
TICK_S = 0.01
SAMPLES_A_TICK = 20  # 2,000 a second
TICKS_AN_ALARM = 3
LAG_S = 0.005
TAKEN = 200_000
BATCH = 2_000
BASELINE_ROWS = 500
VALUES = {f"elec.point.p{i}": 230.1 + i for i in range(12)}


def run() -> list[Row]:
    # /var/tmp: /tmp may be in memory, where an fsync costs nothing.
    with tempfile.TemporaryDirectory(prefix="bench-journal-", dir="/var/tmp") as name:
        folder = Path(name)
        single_s = _one_commit_a_row(folder)
        return [*asyncio.run(_loaded(folder / "load", single_s)), *_backlog(folder / "backlog")]


def _one_commit_a_row(folder: Path) -> float:
    """Median of the seconds that one durable row takes."""
    with closing(sqlite3.connect(folder / "plain.db", isolation_level=None)) as database:
        database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE q(id INTEGER PRIMARY KEY, body BLOB)")  # fmt: skip
        times = []
        for _ in range(BASELINE_ROWS):
            began = time.perf_counter()
            database.execute("INSERT INTO q(body) VALUES(?)", (bytes(200),))
            times.append(time.perf_counter() - began)
    return statistics.median(times)


async def _loaded(folder: Path, single_s: float) -> list[Row]:
    clock = await asyncio.to_thread(SystemClock)
    settings = StoreSettings.model_validate({"group_commit": "1s"})
    store = Store(folder, gateway_id="gw-bench", settings=settings, clock=clock)
    await asyncio.to_thread(store.open)
    await store.start()
    try:
        load = Load(store, clock)
        async with asyncio.TaskGroup() as group:
            lag = group.create_task(_lags(LOAD_S), name="lag")
            group.create_task(load.confirm(), name="confirm")
            group.create_task(load.run(LOAD_S), name="load")
        taken, durable = await load.flood()
    finally:
        await store.close()
    p50, p99 = statistics.median(load.latencies), _p99(load.latencies)
    baseline = f"one commit a row ({single_s * 1e3:.2f} ms)"
    return [
        Row("alarm durable beside 2,000 samples/s, p50", f"{p50 * 1e3:.2f} ms", baseline, p50 / single_s),
        Row("alarm durable beside 2,000 samples/s, p99", f"{p99 * 1e3:.2f} ms", baseline, p99 / single_s),
        Row("event loop late beside them, p99", f"{_p99(lag.result()) * 1e3:.2f} ms"),
        Row("samples taken in batches", f"{taken:,.0f} /s"),
        Row("samples taken and durable", f"{durable:,.0f} /s"),
    ]  # fmt: skip


class Load:
    def __init__(self, store: Store, clock: SystemClock) -> None:
        self.latencies: list[float] = []
        self._store = store
        self._clock = clock
        self._n = 0
        self._waiting: list[tuple[int, float]] = []  # (seq of an alarm, when it was appended)
        self._ended = False
        self._news = store.subscribe()

    async def run(self, seconds: float) -> None:
        """Samples in ticks, as drivers deliver them; an alarm every third tick."""
        seq = self._store.last(LANE_ALARM)
        began = time.perf_counter()
        for tick in range(int(seconds / TICK_S)):
            await asyncio.sleep(max(0.0, began + tick * TICK_S - time.perf_counter()))
            for meter in range(SAMPLES_A_TICK):
                self._sample(meter)
            if tick % TICKS_AN_ALARM == 0:
                seq += 1
                self._waiting.append((seq, time.perf_counter()))
                self._alarm()
        self._ended = True

    async def confirm(self) -> None:
        """Take the time when an alarm is told to be durable."""
        while self._waiting or not self._ended:
            await self._news.wait()
            self._news.clear()
            last, now = self._store.last(LANE_ALARM), time.perf_counter()
            while self._waiting and self._waiting[0][0] <= last:
                self.latencies.append(now - self._waiting.pop(0)[1])

    async def flood(self) -> tuple[float, float]:
        """(samples a second that `append` takes, the same until they are durable)."""
        began, taking_s = time.perf_counter(), 0.0
        for _ in range(TAKEN // BATCH):
            await self._store.room()
            batch_began = time.perf_counter()
            for meter in range(BATCH):
                self._sample(meter % 100)
            taking_s += time.perf_counter() - batch_began
            await asyncio.sleep(0)
        await self._store.durable(self._n)
        return TAKEN / taking_s, TAKEN / (time.perf_counter() - began)

    def _sample(self, meter: int) -> None:
        self._n += 1
        at_ns = self._clock.time_ns()
        self._store.append(Sample(f"meter-{meter}", at_ns, at_ns, 1, True, VALUES, n=self._n), held=True)  # fmt: skip

    def _alarm(self) -> None:
        self._n += 1
        at_ns = self._clock.time_ns()
        self._store.append(Event(uuid7(at_ns), EventKind.POINT_ALARM, Severity.LIFE, "smoke-1", at_ns, at_ns, 1, True, {"point": "alarm.smoke", "value": True}, None, self._n))  # fmt: skip


async def _lags(seconds: float) -> list[float]:
    """By how much later than asked for the loop comes back."""
    lags = []
    loop = asyncio.get_running_loop()
    for _ in range(int(seconds / LAG_S)):
        due = loop.time() + LAG_S
        await asyncio.sleep(LAG_S)
        lags.append(loop.time() - due)
    return lags


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def _backlog(folder: Path) -> list[Row]:
    _child("fill", folder)
    figures = _child("drain", folder)
    rate = 1e6 / figures["drain_s"]
    return [
        Row("a million samples waiting: open", f"{figures['open_s'] * 1e3:,.0f} ms"),
        Row("a million samples waiting: drain", f"{figures['drain_s']:.1f} s, {rate:,.0f} /s"),
        Row("a million samples waiting: a new alarm", f"{figures['alarm_s'] * 1e3:.1f} ms"),
        Row("a million samples waiting: memory", f"{figures['peak_mb']:.0f} MB at most"),
    ]


def _child(role: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.backlog", role, str(folder)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    figures: dict[str, float] = orjson.loads(output)
    return figures
