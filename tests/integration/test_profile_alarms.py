"""Alarms of a profile, counters and report strategies in the real daemon, over kills."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from gateway.profile import shipped_folder
from gateway.snapshot import Snapshot
from simulators.modbus import Farm
from tests.harness.daemon import Daemon
from tests.harness.modbus import SDM120, farm_of

ALARMS = """
alarms:
  - {id: over, title: Voltage high, when: elec.voltage.a > limit.high, clear: elec.voltage.a < 240 V, severity: safety, latch: true}
  - {id: low, when: elec.frequency < 49 Hz, hold: 200ms, severity: operational}
"""
CONFIG = """
version: 1
gateway: {{id: gw-test-01, timezone: Asia/Shanghai, state_dir: {folder}/state}}
profiles: [{folder}]
store: {{group_commit: 1s}}
links:
  meters: {{driver: modbus, transport: tcp, host: 127.0.0.1, port: {port}}}
devices:
  meter-1:
    profile: alarmed-meter
    link: meters
    unit: 1
    poll: {{fast: 100ms, slow: 100ms}}
    limits: {{high: 0.25 kV}}
    report: {{"*": {{on_change: true, max_silence: 1h}}}}
"""
OVER = "alarmed-meter.over[meter-1]"


class Site(NamedTuple):
    daemon: Daemon
    farm: Farm


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    text = (shipped_folder() / "eastron-sdm120.yaml").read_text(encoding="utf-8")
    text = text.replace("profile: eastron-sdm120", "profile: alarmed-meter") + ALARMS
    (folder / "alarmed-meter.yaml").write_text(text, encoding="utf-8")
    async with farm_of(("meter-1", SDM120, 1)) as farm:
        for point in SDM120.points:
            farm.set_value("meter-1", point.id, {"Hz": 50, "V": 230}.get(point.unit, 1))
        config = folder / "gateway.yaml"
        config.write_text(CONFIG.format(folder=folder, port=farm.port))
        daemon = Daemon(config, folder / "state")
        await daemon.start()
        try:
            yield Site(daemon, farm)
        finally:
            await daemon.stop()


async def gateway(daemon: Daemon, *arguments: str) -> tuple[int, str]:
    program = "import sys; from gateway.cli.main import main; sys.exit(main())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *arguments, "-c", str(daemon.config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def exported(daemon: Daemon, lane: int) -> list[dict[str, object]]:
    code, text = await gateway(daemon, "store", "export", "--lane", str(lane))
    assert code == 0, text
    return [orjson.loads(line) for line in text.splitlines() if line.startswith("{")]


def active(status: Snapshot) -> dict[str, bool]:
    return {alarm["instance"]: alarm["latched"] for alarm in status["alarms"]}


def read(status: Snapshot) -> bool:
    return bool(status["devices"][0]["live"])


@pytest.mark.timeout(60)
async def test_a_latched_alarm_outlives_kills_until_somebody_resets_it(tmp_path: Path) -> None:
    async with site(tmp_path) as (daemon, farm):
        await daemon.until(read)
        farm.set_value("meter-1", "elec.voltage.a", 258)
        await daemon.until(lambda status: active(status) == {OVER: False})
        code, text = await gateway(daemon, "reset", OVER)
        assert (code, "still holds" in text) == (1, True), text
        await daemon.kill()
        await daemon.start()
        await daemon.until(lambda status: active(status) == {OVER: False} and read(status))
        farm.set_value("meter-1", "elec.voltage.a", 230)
        await daemon.until(lambda status: active(status) == {OVER: True})
        code, text = await gateway(daemon, "status")
        assert re.search(r"Voltage high.*gateway\s+reset", text, re.DOTALL), text
        await daemon.kill()
        await daemon.start()
        await daemon.until(lambda status: active(status) == {OVER: True})
        assert await gateway(daemon, "reset", OVER) == (0, f"{OVER}: reset\n")
        assert active(await daemon.status()) == {}
        code, text = await gateway(daemon, "reset", OVER)
        assert (code, "no active alarm" in text) == (1, True), text
        events = [one for one in await exported(daemon, 0) if one["device"] == "meter-1"]
    assert [event["kind"] for event in events] == ["alarm_raised", "alarm_cleared"]
    raised, cleared = (event["attributes"] for event in events)
    assert isinstance(raised, dict)
    assert raised["title"] == "Voltage high"
    assert raised["values"] == {"elec.voltage.a": 258}
    assert isinstance(cleared, dict)
    assert str(cleared["reason"]).startswith("reset by uid ")


@pytest.mark.timeout(60)
async def test_an_alarm_without_latch_comes_and_goes_with_its_condition(tmp_path: Path) -> None:
    async with site(tmp_path) as (daemon, farm):
        await daemon.until(read)
        farm.set_value("meter-1", "elec.frequency", 48.5)
        await daemon.until(lambda status: active(status) == {"alarmed-meter.low[meter-1]": False})
        farm.set_value("meter-1", "elec.frequency", 50)
        await daemon.until(lambda status: active(status) == {})


@pytest.mark.timeout(60)
async def test_a_counter_that_steps_back_is_one_event_also_over_a_kill(tmp_path: Path) -> None:
    async with site(tmp_path) as (daemon, farm):
        farm.set_value("meter-1", "elec.energy.import", 5000)
        await shown(daemon, "elec.energy.import", 5000)
        farm.set_value("meter-1", "elec.energy.import", 3)
        async with asyncio.timeout(25):
            while not counter_events(await exported(daemon, 1)):
                await asyncio.sleep(0.1)
        await daemon.kill()
        await daemon.start()
        await shown(daemon, "elec.energy.import", 3)
        farm.set_value("meter-1", "elec.energy.import", 1)
        async with asyncio.timeout(25):
            while len(found := counter_events(await exported(daemon, 1))) < 2:
                await asyncio.sleep(0.1)
    assert [event["kind"] for event in found] == ["counter_reset", "meter_replaced"]
    point = {"point": "elec.energy.import"}
    assert [event["attributes"] for event in found] == [
        {**point, "value": 3, "was": 5000}, {**point, "value": 1, "was": 3},
    ]  # fmt: skip


async def shown(daemon: Daemon, point: str, value: float) -> None:
    """The gateway has read this value."""
    async with asyncio.timeout(15):
        while value not in [
            one["value"]
            for device in await daemon.ask("devices")
            for one in device["points"]
            if one["point"] == point
        ]:
            await asyncio.sleep(0.05)


def counter_events(events: list[dict[str, object]]) -> list[dict[str, object]]:
    return [event for event in events if str(event["kind"]).split("_")[0] in {"counter", "meter"}]


@pytest.mark.timeout(60)
async def test_what_does_not_change_is_read_and_not_stored(tmp_path: Path) -> None:
    async with site(tmp_path) as (daemon, farm):
        await daemon.until(read)
        status = await daemon.until(lambda s: s["counters"].get("suppressed", 0) > 100)
        farm.set_value("meter-1", "elec.power.total", 1234)
        more = await daemon.until(
            lambda s: s["counters"]["suppressed"] > status["counters"]["suppressed"] + 50
        )
        assert more["devices"][0]["age_s"] is not None
        assert more["devices"][0]["age_s"] < 5
        await daemon.stop()
        stored = [one["values"] for one in await exported(daemon, 2) if one["device"] == "meter-1"]
    assert {"elec.power.total": 1234} in stored
    names = [name for values in stored if isinstance(values, dict) for name in values]
    assert names.count("elec.voltage.a") == 1
    assert names.count("elec.power.total") == 2
