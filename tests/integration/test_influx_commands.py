"""`gateway influx` and `gateway history` as their operator uses them."""

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.config import load_config
from gateway.inventory import infos
from gateway.model import Sample
from tests.harness.influx import BUCKET, ORG, TOKEN, shim
from tests.harness.influx_v2 import ADMIN, v2
from tests.harness.influxd import Influxd, needs_influxd
from tests.harness.ports import free_ports
from tests.harness.site import Site, site

CONFIG = """\
version: 1
gateway: {{id: gw-test-01, timezone: Asia/Shanghai, state_dir: state}}
links:
  meters: {{driver: modbus, host: 127.0.0.1, port: 1}}
devices:
  meter-1: {{profile: eastron-sdm120, link: meters}}
influxdb: {{url: "http://127.0.0.1:{port}", org: {org}, bucket: {bucket}, token: "${{file:token}}"}}
"""
POWER, ENERGY = "elec.power.total", "elec.energy.total"
HOURS = 26


def configured(folder: Path, port: int = 1, token: str = TOKEN, **names: str) -> Path:
    file = folder / "token"
    file.touch(mode=0o600)
    file.write_text(token)
    config = folder / "gateway.yaml"
    config.write_text(CONFIG.format(**{"port": port, "org": ORG, "bucket": BUCKET, **names}))
    return config


async def cli(config: Path, *arguments: str) -> int:
    return await asyncio.to_thread(main, [*arguments, "-c", str(config)])


async def fill(one: Site) -> list[Sample]:
    """A meter every minute for 26 hours until now."""
    now = one.clock.time_ns() // 10**9 * 10**9
    made = []
    for n in range(HOURS * 60):
        at = now - (HOURS * 60 - n) * 60 * 10**9
        values = {POWER: 1000.0 + n % 60, ENERGY: n / 10}
        sample = Sample("meter-1", at, one.clock.boottime_ns(), 1, True, values, n=n + 1)
        made.append(sample)
        while not one.store.append(sample):
            await one.store.room()
    await one.store.durable(len(made))
    return made


@pytest.fixture
async def influxd(tmp_path: Path) -> AsyncIterator[Influxd]:
    server = Influxd(tmp_path / "influxd")
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.kill)


async def test_history_shows_a_curve_a_table_csv_and_json_of_the_same_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    config = configured(tmp_path)
    described = infos(await asyncio.to_thread(load_config, config))
    async with site(tmp_path / "state", described) as one:
        made = await fill(one)
        assert await cli(config, "history", "meter-1", POWER, "--since", "2h", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["source"], found["counter"]) == ("raw", False)
    assert sum(row["n"] for row in found["rows"]) in {119, 120}
    assert found["rows"][-1]["last"] == made[-1].values[POWER]
    # The daemon is stopped now.
    assert await cli(config, "history", "meter-1", POWER, "--since", "26h", "--csv") == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert sum(int(row["n"]) for row in rows) >= len(made) - 6  # the window of the beginning
    assert rows[0]["time"].endswith("+08:00")
    assert await cli(config, "history", "meter-1", POWER) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"meter-1 {POWER}: mean, one value in 5 min, from 5 min rollups")
    assert "max 1059" in text
    assert max(map(len, text.splitlines())) <= 100
    assert await cli(config, "history", "meter-1", ENERGY, "--since", "3h", "--step", "1h", "--table") == 0  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    sources = ("5 min", "1 h")  # the latter in the first minutes of an hour
    assert lines[0].endswith(tuple(f"counter, one value in 1 h, from {s} rollups" for s in sources))
    assert "rise" in lines[-1]
    assert len(lines) in {6, 7}


@pytest.mark.timeout(60)
async def test_history_without_a_point_shows_each_point_of_a_device_or_of_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path)
    described = infos(await asyncio.to_thread(load_config, config))
    async with site(tmp_path / "state", described) as one:
        made = await fill(one)
        assert await cli(config, "history", "meter-1", "--since", "26h", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["source"], found["step_s"]) == ("5m", 600)
    series = {one["point"]: one for one in found["series"]}
    assert {name: one["counter"] for name, one in series.items()} == {POWER: False, ENERGY: True}
    for one in series.values():
        assert sum(row["n"] for row in one["rows"]) >= len(made) - 6
        assert (one["rows"][-1]["rise"] is None) is not one["counter"]
    assert await cli(config, "history", "--since", "26h", "--csv") == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    of_power = [row for row in rows if row["point"] == POWER]
    assert sum(int(row["n"]) for row in of_power) == sum(row["n"] for row in series[POWER]["rows"])
    assert await cli(config, "history", "meter-1") == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["device", "and", "point", "n", "min", "max", "mean", "last", "rise"]
    assert [line.split()[:2] for line in lines] == [["meter-1", ENERGY], ["meter-1", POWER]]
    assert await cli(config, "history", "--step", "1h", "--table") == 0
    assert "+08:00" in capsys.readouterr().out


WRONG = [
    ("meter-7", 64, "the journal has nothing of the device 'meter-7': did you mean 'meter-1'?"),
    ("meter-1 --step 1m", 64, "only rollups of 300 s can be read: use a step of 300 s"),
    ("meter-1 --from influx", 64, "InfluxDB is asked for one point"),
    ("--since 2020-01-01 --until 2020-01-02", 1, "all devices: no values in this time"),
    ("meter-1 elec.power.totl", 64, "did you mean 'elec.power.total'?"),
    (f"meter-7 {POWER}", 64, "the journal has nothing of the device 'meter-7': did you mean 'meter-1'?"),
    (f"meter-1 {POWER} --step 5", 64, "'5' is no step"),
    (f"meter-1 {POWER} --step 1s --since 20h", 64, "72000 rows are more than 10000"),
    (f"meter-1 {POWER} --since 1h --until 2h", 64, "the range is empty"),
    (f"meter-1 {POWER} --since yesterday", 64, "'yesterday' is no time"),
    (f"meter-1 {POWER} --since 2020-01-01 --until 2020-01-02", 1, "no values in this time"),
]  # fmt: skip


async def test_history_says_what_to_ask_for_instead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path)
    async with site(tmp_path / "state") as one:
        at = one.clock.time_ns()
        one.store.append(Sample("meter-1", at, 1, 1, True, {POWER: 1.0}, n=1))
        await one.store.durable(1)
    for arguments, code, said in WRONG:
        assert await cli(config, "history", *arguments.split()) == code
        assert said in capsys.readouterr().err


async def test_history_without_a_journal_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await cli(configured(tmp_path), "history", "meter-1", POWER) == 1
    assert "no journal there" in capsys.readouterr().err


@needs_influxd
@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        ({"token": "other"}, 1, "wrong token: the server does not know this token"),
        ({"bucket": "iot_rwa"}, 1, "wrong bucket: there is no bucket iot_rwa in yuhua: `gateway influx init` makes it"),
        ({"direct": "yes"}, 1, "wrong url: this server has no v2 API (InfluxDB 1.x?): use 2.x"),
    ],
)  # fmt: skip
async def test_influx_check_says_in_words_what_is_wrong(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    influxd: Influxd,
    wrong: dict[str, str],
    code: int,
    said: str,
) -> None:
    async with shim(influxd.port) as port:
        direct = wrong.pop("direct", None)
        config = configured(tmp_path, influxd.port if direct else port, **wrong)
        assert await cli(config, "influx", "check") == code
    found = capsys.readouterr()
    assert said in found.out
    assert "other" not in found.out


async def test_influx_check_says_that_nobody_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    assert await cli(configured(tmp_path, port), "influx", "check", "--json") == 1
    (finding,) = json.loads(capsys.readouterr().out)
    assert (finding["state"], finding["what"]) == ("wrong", "url")
    assert "nobody answers" in finding["said"]


async def test_influx_init_makes_what_is_missing_and_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against a script of the v2 API: 2.x itself has not been run."""
    async with v2() as (server, port):
        config = configured(tmp_path, port)
        assert await cli(config, "influx", "init") == 1
        assert "401 write:orgs/0rg/buckets is unauthorized; use --token-file" in capsys.readouterr().err  # fmt: skip
        admin = tmp_path / "admin"
        admin.write_text(f"{ADMIN}\n")
        more = ("influx", "init", "--token-file", str(admin), "--json")
        assert await cli(config, *more) == 0
        assert len(json.loads(capsys.readouterr().out)) == 10
        buckets = {x["name"]: x["retentionRules"] for x in server.made["buckets"]}
        assert list(buckets) == [BUCKET, "iot_5m", "iot_1h"]
        assert buckets[BUCKET] == [{"type": "expire", "everySeconds": 30 * 86_400}]
        assert {(x["database"], x["bucketID"]) for x in server.made["dbrps"]} == {
            (BUCKET, "buckets-0"), ("iot_5m", "buckets-1"), ("iot_1h", "buckets-2"),
        }  # fmt: skip
        scripts = [x["flux"] for x in server.made["tasks"]]
        assert len(scripts) == 4
        assert f'"{ENERGY}"' in scripts[0].partition("data =")[0]
        assert 'to(bucket: "iot_5m")' in scripts[0]
        assert await cli(config, *more) == 0
        assert all("is there" in line for line in json.loads(capsys.readouterr().out))
        assert [len(x) for x in server.made.values()] == [3, 3, 4]
