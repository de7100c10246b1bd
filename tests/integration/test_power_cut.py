"""Power cuts: at any system call, with what was not synced lost, torn or out of order.

Traces of real processes are replayed into images of their directory, and each image is opened by
the real store. What was promised before the cut is there, at its number; nothing else is broken.
"""

import asyncio
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.harness import cut_daemon, cuts, trace
from tests.harness.cuts import Life

REFUSED = trace.refused()
pytestmark = pytest.mark.skipif(bool(REFUSED), reason=f"no process can be traced: {REFUSED}")

IMAGES = 1_000
MANY = 10_000
DAEMON_IMAGES = 400


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> list[Life]:
    return cuts.history(tmp_path_factory.mktemp("lives"))


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


def judged(pool: ProcessPoolExecutor, lives: Sequence[Life], images: int) -> list[str]:
    """Faults of that many images, spread over the lives."""
    shares = [(life, range(i, images, len(lives))) for i, life in enumerate(lives)]
    results = [pool.submit(cuts.judge, life, seeds) for life, seeds in shares]
    return [f"{life.trace.stem}: {fault}" for (life, _), result in zip(shares, results, strict=True) for fault in result.result()]  # fmt: skip


def red(faults: Sequence[str]) -> int:
    """Number of images with faults."""
    return len({fault.split(",")[0] for fault in faults})


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(IMAGES, marks=pytest.mark.timeout(180)),
        pytest.param(MANY, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)]),
    ],
)
def test_nothing_promised_is_lost_in_a_power_cut(
    lives: list[Life], pool: ProcessPoolExecutor, images: int
) -> None:
    assert judged(pool, lives, images) == []


def test_every_promise_follows_the_sync_of_its_record(lives: list[Life]) -> None:
    promised = 0
    for life in lives:
        calls = trace.read(life.trace)
        promised += len(cuts.tellings(calls).promised)
        assert cuts.unsynced_promises(calls, life.root) == []
    assert promised > 5_000


@pytest.mark.timeout(60)
def test_without_full_sync_promises_are_lost(tmp_path: Path, pool: ProcessPoolExecutor) -> None:
    life = cuts.live(tmp_path, 1, "killed", None, "normal")
    faults = judged(pool, [life], 100)
    assert red(faults) > 60
    assert any("promised records lost" in fault for fault in faults)
    assert len(cuts.unsynced_promises(trace.read(life.trace), life.root)) > 500


@pytest.mark.timeout(60)
def test_a_promise_before_the_commit_is_noticed(tmp_path: Path, pool: ProcessPoolExecutor) -> None:
    life = cuts.live(tmp_path, 1, "killed", None, "early")
    assert red(judged(pool, [life], 50)) > 40
    assert len(cuts.unsynced_promises(trace.read(life.trace), life.root)) > 500


@pytest.mark.timeout(90)
async def test_a_power_cut_of_the_daemon_loses_no_alarm_acknowledged_to_its_lamp(
    tmp_path: Path, pool: ProcessPoolExecutor
) -> None:
    life = await cut_daemon.live(tmp_path, 300)
    calls = await asyncio.to_thread(trace.read, life.trace)
    assert len(cut_daemon.acknowledged(calls)) == 300
    jobs = [pool.submit(cut_daemon.judge, life, range(part, DAEMON_IMAGES, 2)) for part in (0, 1)]
    assert [await asyncio.wrap_future(job) for job in jobs] == [[], []]


@pytest.mark.timeout(90)
async def test_a_daemon_that_acknowledges_before_the_commit_loses_alarms(
    tmp_path: Path, pool: ProcessPoolExecutor
) -> None:
    life = await cut_daemon.live(tmp_path, 60, "ack_before_commit")
    faults = await asyncio.wrap_future(pool.submit(cut_daemon.judge, life, range(40)))
    assert any("acknowledged messages lost" in fault for fault in faults)
