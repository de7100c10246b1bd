"""Every shipped Modbus profile is served on every transport, and read as its simulator says."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from drivers.modbus import quarantine
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.settings import ModbusDevice, ModbusLink
from drivers.modbus.spec import SPEC
from gateway.cli.simulate import plan_of
from gateway.config import load_config
from gateway.driver import Device
from gateway.errors import ConfigError
from gateway.profile import Profile, load_profile, shipped_folder
from gateway.profile_choice import contested
from simulators.compound import compound
from simulators.modbus import (
    METERS_S,
    Farm,
    SimMeter,
    Timing,
    on_serial_port,
    on_serial_server,
    on_tcp,
)
from simulators.pty import PortError, port
from tests.harness.clock import FakeClock
from tests.harness.modbus import eventually, running
from tests.harness.ports import free_ports
from tests.harness.recorder import Recorder

SHIPPED = [
    profile
    for path in sorted(shipped_folder().glob("*.yaml"))
    for profile, _ in [load_profile(path)]
    if profile.protocol == "modbus"
]
TRANSPORTS = ("tcp", "rtu_over_tcp", "rtu")
BAUD, UNIT = 115200, 9


@pytest.fixture(autouse=True)
def short_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "QUIET_S", 0.1)


def settled(profile: Profile) -> Device:
    """A device of that model; where the sources disagree the first one is right here."""
    decisions = {name: choices[0] for name, choices in contested(profile).items()}
    section = {
        "profile": profile.profile, "link": "l", "unit": UNIT, "poll": "10m", "decisions": decisions,
    }  # fmt: skip
    return Device("d1", profile, ModbusDevice.model_validate(section))


@asynccontextmanager
async def served(farm: Farm, transport: str, path: Path) -> AsyncIterator[ModbusLink]:
    section: dict[str, object] = {"driver": "modbus", "transport": transport}
    timing = Timing(BAUD, 10, METERS_S)
    serving: AbstractAsyncContextManager[Farm]
    match transport:
        case "tcp":
            serving = on_tcp(farm, "127.0.0.1", 0)
        case "rtu_over_tcp":
            serving = on_serial_server(farm, "127.0.0.1", 0, timing)
        case _:
            serving = on_serial_port(farm, path, timing)
            section |= {"path": str(path)}
    async with serving:
        if transport != "rtu":
            section |= {"host": "127.0.0.1", "port": farm.port}
        if transport != "tcp":
            section |= {"baud": BAUD}
        yield ModbusLink.model_validate(section)


@pytest.mark.parametrize("profile", SHIPPED, ids=lambda profile: profile.profile)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_shipped_profile_is_read_as_it_is_simulated(
    profile: Profile, transport: str, tmp_path: Path
) -> None:
    log, bus, one = io.StringIO(), Recorder(), settled(profile)
    farm = Farm([SimMeter("d1", profile, UNIT, decisions=one.section.decisions)], log)
    async with served(farm, transport, tmp_path / "port") as link:
        driver = SPEC.build("l", link, [one], FakeClock())
        assert isinstance(driver, ModbusDriver)
        async with running(driver, bus):
            await eventually(lambda: driver.devices["d1"].good > 0 and bool(bus.items))
    assert not any(sample.quality for sample in bus.samples)
    read = {pair for sample in bus.samples for pair in sample.values.items()}
    shown = [json.loads(line)["values"].items() for line in log.getvalue().splitlines()]
    assert read
    assert read <= {pair for values in shown for pair in values}


@pytest.mark.both_loops
async def test_the_links_of_a_configuration_are_served_as_it_says(tmp_path: Path) -> None:
    (tcp,) = free_ports(1)
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "version: 1\ngateway: {id: gw-test-01, timezone: Asia/Shanghai}\nlinks:\n"
        f"  a: {{driver: modbus, transport: rtu, path: {tmp_path}/bus, baud: 9600, stop: 2}}\n"
        f"  b: {{driver: modbus, transport: rtu_over_tcp, host: 127.0.0.1, port: {tcp}}}\n"
        "devices:\n"
        "  m1: {profile: eastron-sdm120, link: a, unit: 1}\n"
        "  m2: {profile: eastron-sdm120, link: b, unit: 2}\n"
    )
    config = await asyncio.to_thread(load_config, path)
    plan = await asyncio.to_thread(plan_of, config)
    assert [bus.timing.bits for bus in plan.buses] == [11, 10]
    bus = Recorder()
    async with compound(plan):
        assert (tmp_path / "bus").is_symlink()
        for name, link in config.links.items():
            driver = SPEC.build(name, link.section, config.devices_of(name), FakeClock())
            assert isinstance(driver, ModbusDriver)
            async with running(driver, bus):
                sample = await bus.sample({"a": "m1", "b": "m2"}[name])
                assert "elec.voltage.a" in sample.values
    assert not (tmp_path / "bus").exists()


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (
            "path: /dev/serial/by-id/a",
            "links.a.path: /dev/serial/by-id/a may be a real serial port",
        ),
        ("path: /tmp/bus, parity: E", "links.a.parity: a simulated port has no parity bit"),
    ],
)
def test_a_port_that_cannot_be_simulated_is_refused(keys: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "version: 1\ngateway: {id: gw-test-01, timezone: Asia/Shanghai}\nlinks:\n"
        f"  a: {{driver: modbus, transport: rtu, {keys}, baud: 2400}}\n"
        "devices:\n  m1: {profile: eastron-sdm120, link: a, unit: 1}\n"
    )
    with pytest.raises(ConfigError) as refused:
        plan_of(load_config(path))
    (problem,) = refused.value.problems
    assert what in str(problem)


def test_a_simulated_port_replaces_nothing_but_an_old_one_of_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "bus"
    with port(path):
        pass
    path.symlink_to("/dev/pts/999999")  # left behind by a program that was killed
    with port(path) as made:
        assert path.is_symlink()
        made.send(b"x" * 100_000)  # nobody reads: lost, not waited for
    path.write_text("a file")
    with pytest.raises(PortError, match="exists and is no simulated port"), port(path):
        pass
    assert path.read_text() == "a file"
    with pytest.raises(PortError, match="there is no folder"), port(tmp_path / "no" / "bus"):
        pass
