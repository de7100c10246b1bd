"""Samples that fill a disk, and what became of them."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping

from gateway.model import Value
from gateway.store import retention
from gateway.store.store import Store
from tests.harness.stores import slices


def noise(n: int, points: int = 100) -> dict[str, Value]:
    """Values that zlib cannot shrink much, the same for the same `n`."""
    dice = random.Random(n)
    return {f"p{point}": dice.random() for point in range(points)}


async def until(fact: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not fact():
            await asyncio.sleep(0.005)


async def tidy(store: Store) -> None:
    """Until the clean-up has found nothing more to do."""
    idle_s = (retention.SETTLE_S + min(retention.LOOK_S, retention.WATCH_S)) / 2
    for _ in range(2):  # a step that was under way may have begun before the last commit
        store._upkeep.due = 0.0
        store._inbox.bell.ring()
        await until(lambda: store._upkeep.due - time.monotonic() > idle_s)


async def gaps_of(store: Store, lane: int) -> list[tuple[int, int, str]]:
    """All gaps of a lane; those that a batch has cut in two are one again."""
    found: list[tuple[int, int, str]] = []
    for part in await slices(store, lane):
        for first, last, reason in part.gaps:
            if found and found[-1][1:] == (first - 1, reason):
                first = found.pop()[0]  # noqa: PLW2901 -- the gap began in the slice before
            found.append((first, last, reason))
    return found


def ranges(losses: Iterable[Mapping[str, object]], epoch: int) -> list[tuple[int, int]]:
    """What `data_loss` events of one lane say together; each must count its own range."""
    found: list[tuple[int, int]] = []
    for loss in losses:
        first, last = loss["first"], loss["last"]
        assert isinstance(first, int)
        assert isinstance(last, int)
        assert loss["count"] == last - first + 1
        assert loss["epoch"] == epoch
        if found and found[-1][1] == first - 1:
            first = found.pop()[0]
        found.append((first, last))
    return found
