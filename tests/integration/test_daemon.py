"""The daemon as its operator meets it: the command line, exit codes, faults, the demonstration."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.cli.simulate import plan_of
from gateway.config import load_config
from gateway.snapshot import Snapshot
from simulators.bluez.bus import installed
from simulators.compound import compound
from tests.harness.compound import Site, site, write_config
from tests.harness.daemon import Daemon
from tests.harness.oracle import Arrived
from tests.harness.ports import free_ports

GATEWAY = [sys.executable, "-c", "import sys; from gateway.cli.main import main; sys.exit(main())"]


async def gateway(*arguments: object, **environment: str) -> tuple[int, str]:
    """Run a command; (exit code, everything that it printed)."""
    process = await asyncio.create_subprocess_exec(
        *GATEWAY, *map(str, arguments), stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, env={**os.environ, "COLUMNS": "160", **environment},
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as running:
        yield running


def healthy(status: Snapshot) -> bool:
    return status["health"]["word"] == "healthy"


@pytest.mark.timeout(60)
async def test_an_operator_reads_writes_and_is_refused(one: Site) -> None:
    config = one.daemon.config
    await one.daemon.until(healthy)
    code, text = await gateway("status", "-c", config)
    assert code == 0, text
    assert "healthy" in text
    assert all(device in text for device in ("meter-1", "light-3"))
    code, text = await gateway("status", "--json", "-c", config)
    assert json.loads(text)["health"]["word"] == "healthy"
    code, text = await gateway("devices", "meter-2", "-c", config)
    assert code == 0
    assert "elec.voltage.a" in text
    code, text = await gateway("command", "light-1", "light.level", "35", "-c", config)
    assert (code, "confirmed" in text, "35" in text) == (0, True, True), text
    assert one.running.lights[0].lamps["light-1"].level == 35
    for point, value, why in (
        ("light.level", "350", "outside 0 to 100"),
        ("light.level", "bright", "not a number"),
        ("elec.power.total", "1", "cannot be written"),
    ):
        code, text = await gateway("command", "light-1", point, value, "-c", config)
        assert (code, "refused" in text, why in text) == (1, True, True), text
    code, text = await gateway("devices", "metre-2", "-c", config)
    assert (code, "did you mean 'meter-2'?" in text) == (1, True)


@pytest.mark.timeout(60)
async def test_dusk_is_decided_here_and_confirmed_by_every_lamp(one: Site) -> None:
    lights = one.running.lights[0]
    lights.set_illuminance(500.0)
    await one.daemon.until(healthy)
    lights.set_illuminance(10.0)
    await one.daemon.until(lambda s: s["commands"].get("confirmed", 0) >= len(lights.lamps))
    assert {lamp.level for lamp in lights.lamps.values()} == {60}


@pytest.mark.timeout(60)
async def test_over_voltage_raises_an_alarm_and_clears_it(one: Site) -> None:
    farm = one.running.farms[0]
    farm.set_voltage("meter-2", 258.0)
    status = await one.daemon.until(lambda s: len(s["alarms"]) == 1)
    assert status["alarms"][0]["instance"] == "overvoltage[meter-2]"
    await one.daemon.kill()  # the alarm goes on after a restart: it is not raised a second time
    await one.daemon.start()
    await one.daemon.until(lambda s: len(s["alarms"]) == 1)
    farm.set_voltage("meter-2", None)
    await one.daemon.until(lambda s: not s["alarms"])
    await one.daemon.until(
        lambda s: all(lane["backlog"] == 0 for lane in s["upstream"][0]["lanes"])
    )
    told = Arrived.read(one.platform_log).events
    kinds = [event["kind"] for event in told if event["kind"].startswith("alarm_")]
    assert kinds == ["alarm_raised", "alarm_cleared"]


@pytest.mark.timeout(60)
async def test_a_dead_meter_and_a_dead_bus_are_shown_and_come_back(one: Site) -> None:
    farm = one.running.farms[0]
    await one.daemon.until(healthy)
    farm.stop("meter-3")
    status = await one.daemon.until(
        lambda s: any("1 of 8 devices not live: meter-3" in r for r in s["health"]["reasons"])
    )
    assert all(d["live"] for d in status["devices"] if d["id"] != "meter-3")
    meter = next(d for d in status["devices"] if d["id"] == "meter-3")
    assert meter["errors"]["timeout"] >= 1
    code, _text = await gateway("status", "-c", one.daemon.config)
    assert code == 1
    farm.start("meter-3")
    await one.daemon.until(healthy)


@pytest.mark.timeout(60)
async def test_a_second_daemon_and_a_foreign_store_are_refused(one: Site) -> None:
    code, text = await gateway("run", "-c", one.daemon.config)
    assert code == 73, text
    assert await one.daemon.stop() == 0
    other = one.folder / "other.yaml"
    text = one.daemon.config.read_text().replace("gw-test-01", "gw-other-01")
    other.write_text(text)
    code, text = await gateway("run", "-c", other)
    assert (code, "gw-test-01" in text) == (74, True), text
    code, text = await gateway("status", "-c", one.daemon.config)
    assert (code, "start it with: gateway run -c" in text) == (3, True), text


async def test_the_smallest_configuration_runs_and_stops_without_any_server(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(
        f"version: 1\ngateway: {{id: gw-demo-01, timezone: Asia/Shanghai, state_dir: {tmp_path}/s}}\n"
        f"links:\n  meters: {{driver: modbus, transport: tcp, host: 127.0.0.1, port: {free_ports(1)[0]}}}\n"
        "devices:\n  meter-1: {profile: eastron-sdm120, link: meters, unit: 1}\n"
    )
    daemon = Daemon(path, tmp_path / "s")
    await daemon.start()
    status = await daemon.until(lambda s: s["health"]["word"] == "critical")
    assert "no link to any device is up" in status["health"]["reasons"]
    assert await daemon.stop() == 0
    assert not (tmp_path / "s" / "control.sock").exists()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_the_daemon_runs_and_stops_on_both_loops(tmp_path: Path, loop: str) -> None:
    path = await asyncio.to_thread(write_config, tmp_path)
    plan = await asyncio.to_thread(lambda: plan_of(load_config(path)))
    async with compound(plan):
        daemon = Daemon(path, tmp_path / "state", arguments=("--loop", loop))
        await daemon.start()
        status = await daemon.until(
            lambda s: all(x["state"] == "up" for x in (*s["links"], *s["upstream"]))
        )
        assert status["loop"] == loop
        assert await daemon.stop() == 0


DEMO_DEVICES = 20 if installed() else 14  # six of them are Bluetooth alarms


@pytest.mark.timeout(90)
async def test_the_demonstration_is_healthy_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators.demo", "--for", "12", stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "160"},
    )  # fmt: skip
    output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, text
    assert f"Devices: {DEMO_DEVICES} of {DEMO_DEVICES} live" in text
    assert list(tmp_path.iterdir()) == []
    assert await processes_with(str(tmp_path)) == []


@pytest.mark.timeout(60)
async def test_ctrl_c_stops_the_demonstration_in_ten_seconds(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators.demo", stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while b"Devices:" not in await process.stdout.readline():
            pass
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(10):
        await process.communicate()
    assert list(tmp_path.iterdir()) == []
    assert await processes_with(str(tmp_path)) == []


async def test_only_what_is_on_this_machine_is_simulated(tmp_path: Path) -> None:
    path = await asyncio.to_thread(write_config, tmp_path)
    path.write_text(path.read_text().replace("host: 127.0.0.1", "host: 192.0.2.20"))
    code, text = await gateway("simulate", path)
    assert (code, "192.0.2.20 is not on this machine" in text) == (78, True), text


async def processes_with(text: str) -> list[str]:
    """Command lines of running processes that mention `text`."""

    def look() -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it ended meanwhile
                continue
            if text in line:
                found.append(line)
        return found

    return await asyncio.to_thread(look)
