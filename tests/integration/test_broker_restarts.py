"""A broker that comes and goes: the MQTT link hears its devices again, every time, on both loops."""

import asyncio
import itertools
from pathlib import Path

import aiomqtt
import pytest

from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.settings import MqttDevice, MqttLink
from gateway.clock import SystemClock
from gateway.driver import Device
from gateway.health import LinkState
from gateway.profile import find, load_profile
from gateway.supervise import supervise
from tests.harness.broker import Mosquitto
from tests.harness.recorder import Recorder

DEAF_S = 25.0  # no silence may last longer


CLOCK = SystemClock()


def lamp_driver(broker: Mosquitto) -> MqttDriver:
    path = find("streetlight-native", ())
    assert path is not None
    link = MqttLink.model_validate({"driver": "mqtt", "url": broker.url})
    section = MqttDevice(profile="streetlight-native", link="l", topic_id="l1")
    device = Device("light-1", load_profile(path)[0], section)
    return MqttDriver("l", link, [device], CLOCK)


async def say(broker: Mosquitto, number: int) -> None:
    """A device says something; it repeats until the broker takes it."""
    payload = b'{"id": "r-%d", "values": {"light.level": 1}}' % number
    while True:
        try:
            async with aiomqtt.Client(
                "127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5
            ) as client:
                await client.publish("d/l1/event", payload, qos=1)
                return
        except aiomqtt.MqttError:
            await asyncio.sleep(0.05)


@pytest.mark.both_loops
@pytest.mark.parametrize(
    "restarts",
    [
        pytest.param(3, marks=pytest.mark.timeout(90)),
        pytest.param(200, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)]),
    ],
)
async def test_no_restart_of_the_broker_leaves_the_link_deaf(tmp_path: Path, restarts: int) -> None:
    bus = Recorder()
    states: list[LinkState] = []
    async with Mosquitto(tmp_path / "broker") as broker:
        driver = await asyncio.to_thread(lamp_driver, broker)
        task = asyncio.create_task(
            supervise(
                "link l", lambda: driver.run(bus), driver.health, clock=CLOCK,
                transition=lambda state, _why: states.append(state), longest_s=1.0,
            )
        )  # fmt: skip
        try:
            for number, how in zip(range(restarts), itertools.cycle((broker.stop, broker.kill))):
                await how()
                await broker.start()
                async with asyncio.timeout(DEAF_S):
                    await say(broker, number)
                    # A kill may take the session, and what was said before we subscribed again.
                    while not any(s.source_id == b"r-%d" % number for s in bus.samples):
                        await asyncio.sleep(0.1)
                        await say(broker, number)
        finally:
            task.cancel()
            await asyncio.wait({task})
    assert {LinkState.UP, LinkState.DOWN} <= set(states)
