"""The uplink is cut for long: what was missed is delivered fast, and alarms do not wait for it."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from simulators.ledger import arrivals
from simulators.platform import Platform, platform
from tests.harness.broker import HOST, Mosquitto, until
from tests.harness.proxy import Mode, Proxy, proxy
from tests.harness.site import GATEWAY
from tests.harness.uplink_child import PER_S

GROWTH = 30_000_000  # bytes


class Watch:
    """What the gateway's process tells, and when its alarms arrive. Times are CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        self.raised: dict[str, float] = {}
        self.arrived: dict[str, float] = {}
        self.rss: list[int] = []
        self.ready = asyncio.Event()

    async def follow(self, child: Process) -> None:
        assert child.stdout
        async for line in child.stdout:
            match line.decode().split():
                case ["alarm", event_id, at]:
                    self.raised[event_id] = float(at)
                case ["rss", size]:
                    self.rss.append(int(size))
                case ["ready"]:
                    self.ready.set()

    def note(self, item: Mapping[str, Any]) -> None:
        if "event_id" in item:
            self.arrived.setdefault(item["event_id"], time.monotonic())

    def waits(self, since: float, until: float) -> list[float]:
        """How long the alarms raised in that time were under way; those that are missing: for ever."""
        chosen = ((i, at) for i, at in self.raised.items() if since <= at < until)
        return sorted(self.arrived.get(i, float("inf")) - at for i, at in chosen)


@asynccontextmanager
async def gateway(place: Path, url: str, samples: int, alarms_per_s: int) -> AsyncIterator[Watch]:
    watch = Watch()
    command = ["-m", "tests.harness.uplink_child", str(place), url, str(samples), str(alarms_per_s)]
    child = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=PIPE)
    following = asyncio.create_task(watch.follow(child))
    try:
        yield watch
    finally:
        child.kill()
        await child.wait()
        await following


async def drained(far: Platform, line: Proxy, backlog: int) -> tuple[float, float]:
    """Heal the line and wait for the backlog; returns the two times of it."""
    before = far.items
    line.mode = Mode.PASS
    await far.until(lambda p: p.items > before)
    began = time.monotonic()
    await far.until(lambda p: p.items >= before + backlog)
    return began, time.monotonic()


async def cut_and_heal(tmp_path: Path, *, preload: int, cut_s: float, alarms_per_s: int) -> Watch:
    """Raises AssertionError where a promise is not kept."""
    log = tmp_path / "platform.jsonl"
    async with (
        Mosquitto(tmp_path / "broker") as broker,
        proxy(HOST, broker.port) as line,
        platform(HOST, broker.port, GATEWAY, log=log) as far,
    ):
        line.mode = Mode.REFUSE
        url = f"mqtt://{HOST}:{line.port}"
        async with gateway(tmp_path / "state", url, preload, alarms_per_s) as watch:
            far.refuse(watch.note)
            await watch.ready.wait()
            await asyncio.sleep(cut_s)
            began, ended = await drained(far, line, preload + int(cut_s * PER_S))
            await until(lambda: watch.waits(began, ended)[-1:] != [float("inf")])
    waits = watch.waits(began, ended)
    p99 = waits[int(0.99 * len(waits))]
    rate = (preload + cut_s * PER_S) / (ended - began)
    grown = max(watch.rss) - watch.rss[0]
    print(f"{rate:,.0f}/s in {ended - began:.1f} s; {len(waits)} alarms meanwhile, p99 {p99 * 1000:.0f} ms;"
          f" memory +{grown / 1e6:.1f} MB")  # fmt: skip
    assert rate >= 5 * PER_S
    assert len(waits) >= 3
    assert p99 <= 1
    assert grown < GROWTH
    for lane in (0, 2):
        seqs = [item["seq"] for item in arrivals(log, lane)]
        assert all(a < b for a, b in pairwise(seqs))
    return watch


async def test_after_a_cut_alarms_overtake_a_backlog_that_drains_fast(tmp_path: Path) -> None:
    await cut_and_heal(tmp_path, preload=30_000, cut_s=2, alarms_per_s=10)


@pytest.mark.chaos
async def test_after_a_cut_of_10_minutes_alarms_overtake_a_backlog_that_drains_fast(
    tmp_path: Path,
) -> None:
    await cut_and_heal(tmp_path, preload=0, cut_s=600, alarms_per_s=1)


@pytest.mark.chaos
async def test_a_backlog_of_a_million_samples_drains_in_bounded_memory(tmp_path: Path) -> None:
    watch = await cut_and_heal(tmp_path, preload=1_000_000, cut_s=1, alarms_per_s=1)
    print(f"at most {max(watch.rss) / 1e6:.0f} MB")
    assert max(watch.rss) < 120_000_000
