"""kill -9 at random moments: what was promised is there, once, as it was; no number twice."""

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from gateway.model import LANES
from gateway.store.store import Store
from tests.harness.forks import Forks, forks
from tests.harness.store_child import record
from tests.harness.stores import opened, slices


async def run_and_kill(
    child: Forks, directory: Path, after_s: float, *, opening: bool
) -> tuple[int, int, list[int]]:
    """(first input number, epoch, promised input numbers) of one life.

    It ends some time after it began, or after it had opened its store; 0 for the first two if it
    never got so far.
    """
    pid = await child.fork(directory, "honest")
    await child.go()
    lines = [] if opening else [await child.line() or b""]
    killer = asyncio.get_running_loop().call_later(after_s, os.kill, pid, signal.SIGKILL)
    lines += await child.rest()
    killer.cancel()
    assert child.code == -signal.SIGKILL
    if not lines:
        return 0, 0, []
    _, first, _, epoch = lines[0].split()
    return int(first), int(epoch), [int(line) for line in lines[1:]]


async def stored(store: Store) -> tuple[Counter[int], list[tuple[int, int, int]]]:
    """How often each input number is there, and every (lane, epoch, seq), in the order of reading."""
    numbers: Counter[int] = Counter()
    places: list[tuple[int, int, int]] = []
    for lane in LANES:
        for part in await slices(store, lane):
            assert part.gaps == ()
            for seq, item in part.items:
                assert item == record(item.n)
                numbers[item.n] += 1
                places.append((lane, part.epoch, seq))
    return numbers, places


async def kill_again_and_again(folder: Path, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    promised: list[int] = []
    epochs: list[int] = []
    async with forks(folder / f"{seed}.log") as child:
        for _ in range(kills):
            opening = moments.random() < 0.25
            after_s = moments.uniform(0.001, 0.06)
            life = await run_and_kill(child, folder / str(seed), after_s, opening=opening)
            first, epoch, numbers = life
            if first:
                assert first > max(promised, default=0)
                promised += numbers
                epochs.append(epoch)
    assert epochs == sorted(set(epochs))
    assert len(promised) > 2 * kills, "else it tests nothing"
    async with opened(folder / str(seed)) as store:
        found, places = await stored(store)
        assert store.epoch > epochs[-1]
        assert store.stats().damage == {}
    assert not set(promised) - found.keys()
    assert set(found.values()) == {1}
    assert places == sorted(set(places))


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(200, marks=pytest.mark.timeout(60)),
        pytest.param(1_000, marks=[pytest.mark.chaos, pytest.mark.timeout(600)]),
    ],
)
async def test_what_was_promised_survives_kill_9(tmp_path: Path, kills: int) -> None:
    async with asyncio.TaskGroup() as group:  # two at a time, each with a journal of its own
        for seed in (9, 10):
            group.create_task(kill_again_and_again(tmp_path, kills // 2, seed))


async def test_a_promise_made_too_early_is_noticed(tmp_path: Path) -> None:
    async with forks(tmp_path / "log") as child:
        pid = await child.fork(tmp_path / "s", "liar")
        await child.go()
        lines = [await child.line() for _ in range(200)]
        os.kill(pid, signal.SIGKILL)
        await child.rest()
    promised = {int(line) for line in lines[1:] if line is not None}
    async with opened(tmp_path / "s") as store:
        found, _ = await stored(store)
    assert promised - found.keys()
