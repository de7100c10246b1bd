"""Brokers that come and go: the MQTT link hears its devices again, every time, on both loops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.settings import MqttDevice, MqttLink
from gateway.app import LINK_DELAY_S
from gateway.clock import SystemClock
from gateway.driver import Device
from gateway.health import LinkState
from gateway.profile import load_profile
from gateway.supervise import supervise
from tests.harness.broker import HOST, Mosquitto
from tests.harness.recorder import Recorder
from tests.harness.teller import PROFILE, Teller

DEAF_S = 25.0  # no silence may last longer
USUAL_S = 10.0  # nor 99 of 100
BROKERS = 25  # at the same time, each with a link of its own: descriptors are used again and again
CLOCK = SystemClock()


class Site:
    """One broker, one device that tells something 20 times a second, one link as the gateway runs it."""

    def __init__(self, broker: Mosquitto, teller: Teller, states: list[LinkState]) -> None:
        self.broker, self.teller, self.states = broker, teller, states

    async def restart(self, *, kill: bool) -> float:
        """Seconds from the start of the broker until something new is acknowledged."""
        await (self.broker.kill() if kill else self.broker.stop())
        await self.broker.start()
        began = asyncio.get_running_loop().time()
        await self.hear(DEAF_S)
        return asyncio.get_running_loop().time() - began

    async def hear(self, within_s: float) -> None:
        new = self.teller.minted
        async with asyncio.timeout(within_s):
            while not any(number >= new for number in self.teller.acked):
                await asyncio.sleep(0.02)


def new_driver(folder: Path, broker: Mosquitto) -> MqttDriver:
    path = folder / "panel-oracle.yaml"
    path.write_text(PROFILE, encoding="utf-8")
    link = MqttLink.model_validate({"driver": "mqtt", "url": broker.url})
    section = MqttDevice(profile="panel-oracle", link="panels", topic_id="panel-1")
    return MqttDriver("panels", link, [Device("panel-1", load_profile(path)[0], section)], CLOCK)


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    async with Mosquitto(folder) as broker:
        driver = await asyncio.to_thread(new_driver, folder, broker)
        teller = Teller(HOST, broker.port, "panel-1", rate_per_s=20)
        states: list[LinkState] = []
        link = supervise(
            "link panels", lambda: driver.run(Recorder()), driver.health, clock=CLOCK,
            transition=lambda state, _why: states.append(state), longest_s=LINK_DELAY_S,
        )  # fmt: skip
        tasks = {asyncio.create_task(link), asyncio.create_task(teller.run())}
        try:
            yield Site(broker, teller, states)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def restart_again_and_again(folder: Path, restarts: int) -> list[float]:
    """How long each took; stops in good order and kills take turns."""
    async with site(folder) as one:
        await one.hear(DEAF_S)
        took_s = [await one.restart(kill=number % 2 == 1) for number in range(restarts)]
        assert {LinkState.UP, LinkState.DOWN} <= set(one.states)
        return took_s


@pytest.mark.both_loops
@pytest.mark.parametrize(
    "restarts",
    [
        pytest.param(50, marks=pytest.mark.timeout(120)),
        pytest.param(500, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)]),
    ],
)
async def test_no_restart_of_the_broker_leaves_the_link_deaf(tmp_path: Path, restarts: int) -> None:
    async with asyncio.TaskGroup() as group:
        sites = [
            group.create_task(restart_again_and_again(tmp_path / str(n), restarts // BROKERS))
            for n in range(BROKERS)
        ]
    took_s = sorted(second for task in sites for second in task.result())
    p99_s = took_s[len(took_s) * 99 // 100 - 1]
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    print(f"{loop}: {len(took_s)} restarts, median {took_s[len(took_s) // 2]:.2f} s, p99 {p99_s:.2f} s, longest {took_s[-1]:.2f} s")  # fmt: skip
    assert p99_s <= USUAL_S
