"""The MQTT driver and simulated lamps, with a real Mosquitto between them."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from gateway.errors import LinkDown
from gateway.model import Outcome
from simulators.lights import Lights, daylight_lx
from tests.harness.broker import Mosquitto, until
from tests.harness.clock import FakeClock
from tests.harness.recorder import Recorder
from tests.integration.test_mqtt_driver import LIGHT, PLACES, command, level_of, new_driver, running


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path / "broker") as running_:
        yield running_


@asynccontextmanager
async def shining(broker: Mosquitto, log: io.StringIO | None = None) -> AsyncIterator[Lights]:
    lights = Lights("127.0.0.1", broker.port, PLACES, interval_s=0.3, seed=7, log=log)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(lights.run())
        try:
            yield lights
        finally:
            task.cancel()


async def test_two_lamps_obey_and_report_what_they_do(broker: Mosquitto) -> None:
    clock, bus, log = FakeClock(), Recorder(), io.StringIO()
    driver = new_driver(broker, clock)
    async with running(driver, bus), shining(broker, log) as lights:
        for place in PLACES:
            await bus.sample(place.device, lambda s: s.values.get("device.online") is True)
            await driver.write(command(clock, 40, device=place.device))
            sample = await bus.sample(place.device, level_of(40))
            assert sample.values["light.on"] is True
            assert sample.values["elec.power.total"] == 24.3
        lights.set_illuminance(5.0)
        dusk = await bus.sample(LIGHT, lambda s: s.values.get("env.illuminance", 9e9) < 6)  # type: ignore[operator]
        assert dusk.values["env.illuminance"] == pytest.approx(5.0, rel=0.03)
        lamp = lights.lamps[LIGHT]
        await until(lambda: not lamp.outbox)  # acknowledged, forgotten
        made = {(entry["device"], entry["id"]): entry["values"] for entry in map(orjson.loads, log.getvalue().splitlines())}  # fmt: skip
    known = [s for s in bus.samples if s.source_id is not None]
    assert known
    for sample in known:
        assert sample.source_id is not None
        assert made[sample.device, sample.source_id.decode()] == sample.values


async def test_a_failed_lamp_says_so_and_obeys_no_more(broker: Mosquitto) -> None:
    clock, bus = FakeClock(), Recorder()
    driver = new_driver(broker, clock)
    async with running(driver, bus), shining(broker) as lights:
        await bus.sample(LIGHT, lambda s: s.values.get("device.online") is True)
        lamp = lights.lamps[LIGHT]
        lamp.fail()
        await bus.sample(LIGHT, lambda s: s.values == {"alarm.lamp_failure": True})
        before = len(bus.items)  # its answer may be here when the write returns
        assert (await driver.write(command(clock, 80))).outcome is Outcome.WRITTEN
        dark = await bus.sample(LIGHT, level_of(0), after=before)
        assert (dark.values["light.on"], dark.values["elec.power.total"]) == (False, 0.5)
        assert (lamp.obeyed, lamp.level) == (0, 0)
        lamp.go_offline()
        await bus.sample(LIGHT, lambda s: s.values.get("device.online") is False)
        start = len(bus.items)
        lamp.fail(failed=False)
        lamp.come_back()
        await bus.sample(LIGHT, lambda s: s.values.get("device.online") is True, after=start)
        await bus.sample(LIGHT, lambda s: s.values == {"alarm.lamp_failure": False}, after=start)


@pytest.mark.both_loops
async def test_a_killed_broker_is_a_dead_link_and_everyone_comes_back(broker: Mosquitto) -> None:
    bus, driver = Recorder(), new_driver(broker)
    async with shining(broker):

        async def run() -> None:
            with pytest.raises(LinkDown, match="gw-field: receiving from mqtt://"):
                await driver.run(bus)

        async with asyncio.TaskGroup() as group:
            group.create_task(run())
            await bus.sample(LIGHT)
            await broker.kill()
        with pytest.raises(LinkDown, match="gw-field: connecting to mqtt://"):
            await driver.run(bus)
        await broker.start()
        async with running(driver, bus):
            after = len(bus.items)
            await bus.sample(LIGHT, lambda s: "light.level" in s.values, after=after)


def test_the_simulated_day_has_light_and_dusk() -> None:
    day = [daylight_lx(second, dusk_after_s=30) for second in range(600)]
    assert day[0] > 1000 > day[29] > 100
    assert day[45] < 10
    assert 0 < min(day) < 1
    assert 30_000 < max(day) < 200_000


def test_a_simulation_has_a_bounded_number_of_lamps() -> None:
    with pytest.raises(ValueError, match="21 lamps"):
        Lights("127.0.0.1", 1, [PLACES[0]._replace(device=f"l{n}") for n in range(21)])
