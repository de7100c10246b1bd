"""A journal without threads, whose rollups are brought up to date when a test says so; the oracle."""

import itertools
import math
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from gateway.model import Sample, Value
from gateway.store.files import open_files
from gateway.store.journal import Chores
from gateway.store.points import PointInfo
from gateway.store.window import Row
from tests.harness.clock import FakeClock

START = 1_772_391_600  # 2026-03-01T19:00:00Z, an hour begins
COUNTER = ("meter-1", "elec.energy.total")
GAUGE = ("meter-1", "elec.power.total")
KINDS = {
    COUNTER: PointInfo("kW.h", "counter", "eastron-sdm120", 1),
    GAUGE: PointInfo("W", "gauge", "eastron-sdm120", 1),
}

Rows = dict[tuple[int, str, str], Row]


def reading(
    at_s: float,
    values: Mapping[str, Value],
    *,
    n: int = 0,
    device: str = "meter-1",
    clock_ok: bool = True,
    received_ns: int = 0,
) -> Sample:
    """`at_s` counts from START."""
    time_ns = START * 10**9 + round(at_s * 1e9)
    return Sample(device, time_ns, received_ns, 1, clock_ok, dict(values), {}, None, n)


class Rolled:
    """Every `commit` makes one chunk. `crash` and `stop` open the directory again."""

    def __init__(self, directory: Path, *, clock: FakeClock | None = None) -> None:
        self.directory = directory
        self.clock = clock or FakeClock(time_ns=(START + 86_400) * 10**9)
        self.open()

    def open(self) -> None:
        self.files = open_files(self.directory, "gw-1", self.clock)
        self.journal = self.files.journal
        self.journal.describe(KINDS)
        self.journal.rollups.linger_s = 0.0
        self.clock.boot = self.files.state.boot

    def commit(self, samples: Sequence[Sample]) -> None:
        self.journal.commit_samples([[s._replace(boot=self.clock.boot) for s in samples]])

    def core(self) -> None:
        """Some transaction of core.db, such as the cursor of a sink."""
        self.journal.commit_core((), Chores())

    def settle(self) -> None:
        """As if a long time went by without new samples."""
        rollups = self.journal.rollups
        while rollups.due < math.inf:
            rollups.work(rollups.due)

    def steps(self, count: int) -> None:
        """As far as the writer thread came in its spare time."""
        rollups = self.journal.rollups
        for _ in range(count):
            if rollups.due < math.inf:
                rollups.work(rollups.due)

    def rows(self, width: int) -> Rows:
        with closing(sqlite3.connect(self.directory / "core.db")) as db:
            query = "SELECT t, device, point, n, mn, mx, sm, la FROM rollup JOIN point USING (pid) WHERE w=?"
            return {(t, d, p): Row(*rest) for t, d, p, *rest in db.execute(query, (width,))}

    def crash(self) -> None:
        self.journal.abandon()
        os.close(self.files.lock)
        self.open()

    def stop(self) -> None:
        self.close()
        self.open()

    def close(self) -> None:
        self.journal.close()
        os.close(self.files.lock)


def naive(samples: Iterable[Sample], width: int) -> Rows:
    """The rollups of all samples, computed the slow way; samples in the order of storing."""
    series: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for sample in samples:
        for name, value in sample.values.items():
            if not isinstance(value, str):
                key = (sample.device, name)
                series.setdefault(key, []).append((sample.time_ns, float(value)))
    rows: Rows = {}
    for key, values in series.items():
        values.sort(key=lambda pair: pair[0])
        rises = [0.0] + [max(0.0, b - a) for (_, a), (_, b) in itertools.pairwise(values)]
        for t in {at // 10**9 // width * width for at, _ in values}:
            inside = [i for i, (at, _) in enumerate(values) if at // 10**9 // width * width == t]
            numbers = [values[i][1] for i in inside]
            total = sum(rises[i] for i in inside) if key == COUNTER else sum(numbers)
            rows[t, *key] = Row(len(numbers), min(numbers), max(numbers), total, numbers[-1])
    return rows


def assert_alike(found: Rows, wanted: Rows) -> None:
    assert found.keys() == wanted.keys()
    for key, row in wanted.items():
        assert all(
            math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
            for a, b in zip(found[key], row, strict=True)
        ), (key, found[key], row)
