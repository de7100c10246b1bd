"""What a real InfluxDB makes of our lines: 1.6.7 behind a shim, or the 2.x server in INFLUX_URL."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.influx_api import Api
from gateway.cli.main import main
from gateway.model import Event, Sample, Severity
from tests.harness.influx import influx_sink, until_empty
from tests.harness.influx_engine import engine, needs_engine
from tests.harness.site import Site, running, site
from tests.harness.stores import items

pytestmark = [needs_engine, pytest.mark.timeout(60)]
SAMPLES, ALARMS = 2_000, 100
POWER, ENERGY = "elec.power.total", "elec.energy.total"
CONFIG = """\
version: 1
gateway: {{id: gw-test-01, timezone: Asia/Shanghai, state_dir: state}}
links:
  meters: {{driver: modbus, host: 127.0.0.1, port: 1}}
devices:
  meter-1: {{profile: eastron-sdm120, link: meters}}
influxdb: {{url: "{url}", org: "{org}", bucket: {bucket}, token: "${{file:token}}"}}
"""


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Api]:
    async with engine(tmp_path) as api:
        yield api


async def ask(api: Api, text: str) -> list[dict[str, Any]]:
    return await asyncio.to_thread(api.rows, text)


async def written(one: Site, api: Api, name: str = "influxdb") -> list[int]:
    """Everything; the dead letters of each lane."""
    sink = influx_sink(one.store, one.clock, 0, name=name, to=api.section)
    async with running(sink):
        await until_empty(sink)
    return [lane.dead for lane in sink.lanes()]


async def cli(folder: Path, api: Api, *arguments: str) -> int:
    there = api.section
    config = folder / "gateway.yaml"
    config.write_text(CONFIG.format(url=there.url, org=there.org, bucket=there.bucket))
    return await asyncio.to_thread(main, [*arguments, "-c", str(config)])


async def test_every_record_arrives_with_its_values_and_a_replay_changes_nothing(
    tmp_path: Path, there: Api
) -> None:
    async with site(tmp_path / "state") as one:
        await one.samples(SAMPLES, bad=True)
        for severity in (Severity.LIFE, Severity.OPERATIONAL):
            one.events(ALARMS // 2, severity)
        await one.durable()
        samples = [s for s in await items(one.store, 2) if isinstance(s, Sample)]
        events = [e for n in (0, 1) for e in await items(one.store, n) if isinstance(e, Event)]
        for name in ("influxdb", "again"):  # a sink of another name begins at the beginning
            assert await written(one, there, name) == [0, 0, 0]
            points = await ask(there, "SELECT * FROM utilities")
            found = {(p["device"], p["time"]): p for p in points}
            assert len(points) == len(found) == len(samples) == SAMPLES
            for sample in samples:
                assert sample.values.items() <= found[sample.device, sample.time_ns].items()
            alarms = await ask(there, 'SELECT "event_id", "kind" FROM "event"')
            assert sorted(a["event_id"] for a in alarms) == sorted(str(e.event_id) for e in events)


async def test_a_field_that_has_another_type_in_influxdb_costs_its_own_lines_alone(
    tmp_path: Path, there: Api
) -> None:
    query = {"org": there.section.org, "bucket": there.section.bucket, "precision": "ns"}
    # Types are those of a shard: a day or a week.
    old = f'utilities,device=old elec.voltage.l9="low" {time.time_ns()}'.encode()
    answer = await asyncio.to_thread(there.ask, "POST", "/api/v2/write", query, old)
    assert answer.status == 204, answer.said
    async with site(tmp_path / "state") as one:
        await one.samples(20)
        for _ in range(3):
            await one.sample("meter-3", {"elec.voltage.l9": 1.0})
        one.events(3)
        await one.durable()
        assert await written(one, there) == [0, 0, 3]
    assert len(await ask(there, "SELECT * FROM utilities WHERE device != 'old'")) == 20
    assert len(await ask(there, 'SELECT "event_id" FROM "event"')) == 3


async def test_history_from_influx_is_that_of_the_journal(
    tmp_path: Path, there: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    async with site(tmp_path / "state") as one:
        for n in range(300):
            await one.sample("meter-1", {POWER: 1000.0 + n, ENERGY: float(n)})
        await one.durable()
        assert await written(one, there) == [0, 0, 0]
        span = ["--since", "1h", "--step", "5m", "--json"]
        assert await cli(tmp_path, there, "history", "meter-1", POWER, *span) == 0
        ours = json.loads(capsys.readouterr().out)["rows"]
        assert await cli(tmp_path, there, "history", "meter-1", POWER, "--from", "influx", *span) == 0  # fmt: skip
        theirs = json.loads(capsys.readouterr().out)
        assert theirs["source"] == "InfluxDB"
        assert theirs["rows"] == [{**row, "mean": pytest.approx(row["mean"])} for row in ours]
        assert sum(row["n"] for row in ours) == 300
        code = await cli(tmp_path, there, "history", "meter-1", "no.such", "--from", "influx")
        assert code == 64


async def test_influx_check_finds_nothing_wrong(
    tmp_path: Path, there: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await cli(tmp_path, there, "influx", "check") == 0
    text = capsys.readouterr().out
    assert "ok    write: a point was taken" in text
    assert "ok    query: InfluxQL works" in text
