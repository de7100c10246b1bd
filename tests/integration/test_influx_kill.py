"""What is in InfluxDB after kills of either side is what is in the journal: no more, no less."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.model import Event, Sample, Severity
from tests.harness.influx import influx_sink, meters, shim, until_empty
from tests.harness.influxd import Influxd, needs_influxd
from tests.harness.site import Site, running, site
from tests.harness.stores import items

pytestmark = needs_influxd
SAMPLES, ALARMS = 5_000, 200


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
    """Two lanes of events, many in one millisecond, and samples with a point that is BAD."""
    for severity in (Severity.LIFE, Severity.OPERATIONAL):
        one.events(ALARMS // 2, severity)
    await one.samples(SAMPLES, bad=True)
    await one.durable()


async def compare(one: Site, influxd: Influxd) -> None:
    """Every record of the journal, and no other point."""
    samples = [s for s in await items(one.store, 2) if isinstance(s, Sample)]
    points = {(r["device"], r["time"]): r for r in await ask(influxd, "SELECT * FROM utilities")}
    assert len(points) == len(samples) == SAMPLES
    tags = {
        "gateway": "gw-test-01",
        "profile": "eastron-sdm120",
        **meters(1)["meter-0"].section.tags,
    }
    for sample in samples:
        row = points[sample.device, sample.time_ns]
        assert row == {"time": sample.time_ns, "device": sample.device, **tags, **sample.values}
    events = [e for lane in (0, 1) for e in await items(one.store, lane) if isinstance(e, Event)]
    found = await ask(influxd, "SELECT * FROM event")
    assert {r["event_id"] for r in found} == {str(e.event_id) for e in events}
    assert len(found) == len(events) == ALARMS


@pytest.mark.timeout(60)
async def test_the_bucket_equals_the_journal_after_kills_of_server_and_sink(tmp_path: Path) -> None:
    async with site(tmp_path / "state") as one:
        await fill(one)
    async with server(tmp_path) as influxd, shim(influxd.port) as port, asyncio.timeout(50):
        first = await child(tmp_path / "state", port)
        await until_points(influxd, SAMPLES // 5)
        await restart(influxd)
        await until_points(influxd, SAMPLES * 2 // 5)
        first.kill()
        await first.wait()
        second = await child(tmp_path / "state", port)
        await until_points(influxd, SAMPLES * 3 // 5)
        await restart(influxd)
        assert second.stdout is not None
        assert await second.stdout.readline() == b"done\n"
        second.kill()
        await second.wait()
        async with site(tmp_path / "state") as one:
            await compare(one, influxd)


async def test_a_full_replay_changes_nothing(tmp_path: Path) -> None:
    async with server(tmp_path) as influxd, shim(influxd.port) as port, site(tmp_path / "s") as one:
        await fill(one)
        for name in ("influxdb", "again"):  # a sink of another name begins at the beginning
            sink = influx_sink(one.store, one.clock, port, name=name)
            async with running(sink):
                await until_empty(sink)
            assert sink.lanes()[2].acked == SAMPLES
            await compare(one, influxd)
