"""What is in InfluxDB after kills of either side is what is in the journal: no more, no less."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.model import Event, Sample, Severity
from gateway.store.readonly import core, read_register
from tests.harness.influx import influx_sink, meters, shim, until_empty
from tests.harness.influxd import Influxd, needs_influxd
from tests.harness.site import Site, running, site
from tests.harness.stores import items

pytestmark = needs_influxd
SAMPLES, ALARMS = 20_000, 200
KILLS = 10  # of the gateway; InfluxDB is killed at the 3rd and the 7th
POISON = "elec.voltage.l9"  # InfluxDB has it as a text: a number is refused for good
POISONED = 10


@asynccontextmanager
async def server(tmp_path: Path) -> AsyncIterator[Influxd]:
    influxd = Influxd(tmp_path / "influxd")
    await asyncio.to_thread(influxd.start)
    try:
        yield influxd
    finally:
        await asyncio.to_thread(influxd.kill)


async def ask(influxd: Influxd, text: str) -> list[dict[str, Any]]:
    return await asyncio.to_thread(influxd.query, text)


async def child(directory: Path, port: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.harness.influx_child", str(directory), str(port),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def until_points(influxd: Influxd, count: int) -> None:
    while True:
        rows = await ask(influxd, 'SELECT count("elec.voltage.l0") FROM utilities')
        if rows and rows[0]["count"] >= count:
            return
        await asyncio.sleep(0.02)


async def restart(influxd: Influxd) -> None:
    await asyncio.to_thread(influxd.kill)
    await asyncio.to_thread(influxd.start)


async def fill(one: Site) -> None:
    """Two lanes of events, many in one millisecond, and samples with a point that is BAD; ten of
    them with a value that InfluxDB will refuse.
    """
    for severity in (Severity.LIFE, Severity.OPERATIONAL):
        one.events(ALARMS // 2, severity)
    for number in range(POISONED):
        await one.samples(SAMPLES // POISONED - 1, bad=True)
        await one.sample("meter-3", {POISON: float(number), "elec.voltage.l0": 1.0})
    await one.durable()


async def conflict(influxd: Influxd) -> None:
    """Types are those of a shard: a week."""
    old = f'utilities,device=old {POISON}="text" {time.time_ns()}'.encode()
    assert await asyncio.to_thread(influxd.write, old) == (204, b"")


async def compare(one: Site, influxd: Influxd) -> None:
    """Every record of the journal but the dead letters, and no other point."""
    stored = [s for s in await items(one.store, 2) if isinstance(s, Sample)]
    samples = [s for s in stored if POISON not in s.values]
    assert (len(stored), len(samples)) == (SAMPLES, SAMPLES - POISONED)
    rows = await ask(influxd, "SELECT * FROM utilities WHERE device != 'old'")
    points = {(r["device"], r["time"]): r for r in rows}
    assert len(points) == len(rows) == len(samples)
    tags = {
        "gateway": "gw-test-01",
        "profile": "eastron-sdm120",
        **meters(1)["meter-0"].section.tags,
    }
    for sample in samples:
        row = points[sample.device, sample.time_ns]
        whole = {"time": sample.time_ns, "device": sample.device, **tags, **sample.values}
        assert row == {**whole, POISON: None}
    events = [e for lane in (0, 1) for e in await items(one.store, lane) if isinstance(e, Event)]
    found = await ask(influxd, "SELECT * FROM event")
    assert {r["event_id"] for r in found} == {str(e.event_id) for e in events}
    assert len(found) == len(events) == ALARMS


def dead(directory: Path) -> list[int]:
    with core(directory) as db:
        return sorted(seq for _, lane, seq, _ in read_register(db, directory).dead if lane == 2)


@pytest.mark.timeout(120)
async def test_the_bucket_equals_the_journal_less_dead_letters_after_kills_of_server_and_sink(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    async with site(state) as one:
        await fill(one)
    async with server(tmp_path) as influxd, shim(influxd.port) as port, asyncio.timeout(110):
        await conflict(influxd)
        for number in range(1, KILLS + 1):
            process = await child(state, port)
            await until_points(influxd, SAMPLES * number // (KILLS + 2))
            if number in {3, 7}:
                await restart(influxd)
                await until_points(influxd, SAMPLES * number // (KILLS + 2) + 100)
            process.kill()
            await process.wait()
        async with site(state) as one:
            for name in ("influxdb", "again"):  # the second begins at the beginning
                sink = influx_sink(one.store, one.clock, port, name=name)
                async with running(sink):
                    await until_empty(sink)
                await compare(one, influxd)
        each = SAMPLES // POISONED
        expected = [each * n for n in range(1, POISONED + 1)]
        assert await asyncio.to_thread(dead, state) == sorted(2 * expected), "of both sinks"
