"""Meters of several generations behind one port: the driver finds out which it has, and reads it right."""

import asyncio
import io
import json
from decimal import Decimal

import pytest

from drivers.modbus.settings import ModbusDevice
from gateway.driver import Device
from gateway.errors import LinkDown
from gateway.model import Level, Quality, Sample
from gateway.profile import Profile
from simulators.modbus import SimMeter, serve
from tests.harness.modbus import FAST, command, driver_for, eventually, running, shipped
from tests.harness.ports import free_ports
from tests.harness.recorder import Recorder

DTSU, QDY = shipped("chint-dtsu666"), shipped("qdy30a-level")
PANEL, DOOR = shipped("gst-fire-panel"), shipped("modbus-relay-door")
NAMED = Profile.model_validate({
    "profile": "acme", "type": "pump", "facility": "pipes", "protocol": "modbus", "sources": ["this test"],
    "status": "code", "limits": {"timeout": "300ms"}, "defaults": {"at": {"table": "holding", "type": "u16"}},
    "identity": [{"at": {"addr": 0, "type": "string", "words": 4, "order": "BADC"}, "equals": ["PUMP-2"]}],
    "points": [
        {"id": "meter.serial", "kind": "state", "at": {"addr": 10, "type": "string", "words": 4}, "poll": "once"},
        {"id": "pump", "at": 20, "bits": {"0": "dry", "15": "hot"}},
        {"id": "pump.starts", "kind": "counter", "at": {"addr": 21, "type": "bcd", "words": 2}},
    ],
})  # fmt: skip
OLD, NEW = ("gen2016", "energy-401e"), ("gen2019", "energy-101e")
CT40 = {"ct": Decimal(40), "pt": Decimal(1)}


def device(name: str, profile: Profile, unit: int, **keys: object) -> Device:
    section = {"profile": profile.profile, "link": "meters", "unit": unit, "poll": FAST, **keys}
    return Device(name, profile, ModbusDevice.model_validate(section))


def served(log: io.StringIO, name: str) -> dict[str, list[object]]:
    """Everything that a correct reader got from this device, by point."""
    found: dict[str, list[object]] = {}
    for line in map(json.loads, log.getvalue().splitlines()):
        for point, value in line["values"].items() if line["device"] == name else ():
            found.setdefault(point, []).append(value)
    return found


def agrees(sample: Sample, log: io.StringIO) -> bool:
    right = served(log, sample.device)
    return bool(sample.values) and all(
        value in right[name] for name, value in sample.values.items()
    )


@pytest.mark.both_loops
async def test_two_generations_of_one_meter_are_read_right_on_one_bus() -> None:
    log, bus = io.StringIO(), Recorder()
    meters = [
        SimMeter("old", DTSU, 1, OLD),
        SimMeter("new", DTSU, 2, NEW, CT40),
        SimMeter("mixed", DTSU, 3, ("gen2019", "energy-401e")),
    ]
    async with serve("127.0.0.1", 0, meters, log=log) as farm:
        devices = [device(meter.device, DTSU, meter.unit) for meter in meters]
        async with running(driver_for(farm.port, devices), bus):
            found = {meter.device: await bus.sample(meter.device) for meter in meters}
    assert all(agrees(sample, log) for sample in found.values())
    assert "elec.power.a" in found["new"].values
    assert "elec.power.a" not in {**found["old"].values, **found["old"].quality}
    assert not any(sample.quality for sample in found.values())
    for sample in found.values():
        assert 180 < float(sample.values["elec.voltage.a"]) < 260
        assert "elec.energy.import" in sample.values


async def test_a_transformer_that_was_changed_is_known_after_a_reconnect() -> None:
    (port,) = free_ports(1)
    driver = driver_for(port, [device("m", DTSU, 1)])
    for ct in (40, 80):
        log, bus = io.StringIO(), Recorder()
        meter = SimMeter("m", DTSU, 1, NEW, {**CT40, "ct": Decimal(ct)})
        async with serve("127.0.0.1", port, [meter], log=log) as farm:
            task = asyncio.create_task(driver.run(bus))
            await bus.sample("m")
            sample = await bus.sample("m")
            farm.cut()
        async with asyncio.timeout(5):
            with pytest.raises(LinkDown):
                await task
        assert agrees(sample, log)


async def test_a_meter_whose_generation_cannot_be_told_is_not_read_and_hurts_no_other() -> None:
    bus = Recorder()
    meters = [SimMeter("dead", DTSU, 1, OLD), SimMeter("live", DTSU, 2, OLD)]
    async with serve("127.0.0.1", 0, meters) as farm:
        farm.set_value("dead", "elec.voltage.a", 0.0)
        driver = driver_for(farm.port, [device("dead", DTSU, 1), device("live", DTSU, 2)])
        async with running(driver, bus):
            refused = await bus.sample("dead")
            await eventually(lambda: len(bus.of("live")) >= 3)
    assert refused.values == {}
    assert set(refused.quality.values()) == {Quality(Level.BAD, "unknown_variant")}
    assert "gen2016: elec.voltage.a is 0.0 V, expected 160 to 280" in driver.devices["dead"].note
    assert len(bus.of("dead")) == 1


async def test_a_generation_that_the_site_names_is_read_whatever_the_voltage() -> None:
    bus = Recorder()
    async with serve("127.0.0.1", 0, [SimMeter("m", DTSU, 1, OLD)]) as farm:
        farm.set_value("m", "elec.voltage.a", 0.0)
        named = device("m", DTSU, 1, variant=list(OLD), vars={"ct": 1, "pt": 1})
        async with running(driver_for(farm.port, [named]), bus):
            sample = await bus.sample("m")
    assert sample.values["elec.voltage.a"] == 0
    assert sample.quality["elec.voltage.a"] == Quality(Level.UNCERTAIN, "implausible")


async def test_a_level_and_a_pressure_transmitter_are_told_apart() -> None:
    bus = Recorder()
    meters = [
        SimMeter("level", QDY, 1, ("level",), {"unit_code": Decimal(17), "dec": Decimal(1)}),
        SimMeter("pressure", QDY, 2, ("pressure",), {"unit_code": Decimal(1), "dec": Decimal(2)}),
    ]
    async with serve("127.0.0.1", 0, meters) as farm:
        farm.set_value("level", "water.level", 0.873)
        farm.set_value("pressure", "water.pressure", 12.34)
        devices = [device("level", QDY, 1), device("pressure", QDY, 2)]
        async with running(driver_for(farm.port, devices), bus):
            level, pressure = await bus.sample("level"), await bus.sample("pressure")
    assert dict(level.values) == {"water.level": 0.873}
    assert dict(pressure.values) == {"water.pressure": 12.34}


async def test_a_detector_of_242_is_seen_on_fire() -> None:
    bus = Recorder()
    async with (
        serve("127.0.0.1", 0, [SimMeter("panel", PANEL, 1)]) as farm,
        running(driver_for(farm.port, [device("panel", PANEL, 1)]), bus),
    ):
        first = await bus.sample("panel")
        assert farm.requests["panel"] == 3
        farm.set_value("panel", "fire.device[242]", "fire")
        fire = await bus.sample("panel", lambda s: s.values["fire.device[242]"] == "fire")
    assert len(first.values) == 245
    assert [n for n, v in fire.values.items() if v == "fire"] == ["fire.device[242]"]


async def test_a_lock_is_opened_and_read_back_through_the_shipped_door() -> None:
    bus = Recorder()
    async with serve("127.0.0.1", 0, [SimMeter("door", DOOR, 1)]) as farm:
        driver = driver_for(farm.port, [device("door", DOOR, 1)])
        async with running(driver, bus):
            await bus.sample("door")
            await driver.write(command("door", "door.lock", "locked"))
            await bus.sample("door", lambda s: s.values.get("door.lock") == "locked")
            await driver.write(command("door", "door.lock", "unlocked"))
            await bus.sample("door", lambda s: s.values.get("door.lock") == "unlocked")


async def test_texts_bits_and_decimal_digits_are_read_from_a_unit_known_by_its_name() -> None:
    bus = Recorder()
    async with serve("127.0.0.1", 0, [SimMeter("pump", NAMED, 1)]) as farm:
        farm.set_value("pump", "pump.hot", True)
        farm.set_value("pump", "pump.starts", 20260305)
        farm.set_value("pump", "meter.serial", "SN-0042")
        async with running(driver_for(farm.port, [device("pump", NAMED, 1)]), bus):
            sample = await bus.sample("pump")
    assert dict(sample.values) == {
        "meter.serial": "SN-0042", "pump.dry": False, "pump.hot": True, "pump.starts": 20260305,
    }  # fmt: skip
