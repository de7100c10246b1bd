"""kill -9 at random moments: what was promised is there, once, as it was; no number twice."""

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from gateway.model import LANES
from gateway.store.store import Store
from tests.harness.store_child import record
from tests.harness.stores import opened, slices


async def run_and_kill(directory: Path, kind: str, after_s: float) -> tuple[int, int, list[int]]:
    """(first input number, epoch, promised input numbers) of one life of the child."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.harness.store_child", str(directory), kind,
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert child.stdout is not None
    _, first, _, epoch = (await child.stdout.readline()).split()
    await asyncio.sleep(after_s)  # not waiting for anything: the moment of the kill
    child.kill()
    lines = (await child.stdout.read()).split(b"\n")[:-1]  # the last one may be cut
    await child.wait()
    return int(first), int(epoch), [int(line) for line in lines]


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


@pytest.mark.parametrize(
    "kills",
    [12, pytest.param(300, marks=[pytest.mark.chaos, pytest.mark.timeout(600)])],
)
async def test_what_was_promised_survives_kill_9(tmp_path: Path, kills: int) -> None:
    moments = random.Random(9)
    promised: list[int] = []
    epochs: list[int] = []
    for _ in range(kills):
        first, epoch, numbers = await run_and_kill(
            tmp_path / "s", "honest", moments.uniform(0.005, 0.12)
        )
        assert first > max(promised, default=0)
        promised += numbers
        epochs.append(epoch)
    assert epochs == list(range(epochs[0], epochs[0] + kills))
    assert len(promised) > 50 * kills
    async with opened(tmp_path / "s") as store:
        found, places = await stored(store)
        assert store.stats().damage == {}
    assert not set(promised) - found.keys()
    assert set(found.values()) == {1}
    assert places == sorted(set(places))


async def test_a_promise_made_too_early_is_noticed(tmp_path: Path) -> None:
    _, _, promised = await run_and_kill(tmp_path / "s", "liar", 0.05)
    async with opened(tmp_path / "s") as store:
        found, _ = await stored(store)
    with pytest.raises(AssertionError):
        assert not set(promised) - found.keys()
