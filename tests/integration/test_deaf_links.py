"""MQTT links whose peer is gone, silent or another's, though nobody has said so."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.mqtt import echo
from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.settings import MqttDevice, MqttLink
from gateway import mqtt
from gateway.app import LINK_DELAY_S
from gateway.clock import SystemClock
from gateway.driver import Device
from gateway.errors import LinkDown
from gateway.health import LinkState
from gateway.profile import load_profile
from gateway.supervise import supervise
from tests.harness.broker import HOST, Mosquitto, until
from tests.harness.mqtt import link as other_client
from tests.harness.proxy import Mode, Proxy, proxy
from tests.harness.recorder import Recorder
from tests.harness.sabotage_mqtt import no_probe
from tests.harness.teller import PROFILE, Teller

CLOCK = SystemClock()
NOTICED_S = 25.0


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo, "PERIOD_S", 0.1)
    monkeypatch.setattr(echo, "ANSWER_S", 0.4)


def driver_at(folder: Path, port: int) -> MqttDriver:
    path = folder / "panel-oracle.yaml"
    path.write_text(PROFILE, encoding="utf-8")
    link = MqttLink.model_validate({"driver": "mqtt", "url": f"mqtt://{HOST}:{port}"})
    section = MqttDevice(profile="panel-oracle", link="panels", topic_id="panel-1")
    return MqttDriver("panels", link, [Device("panel-1", load_profile(path)[0], section)], CLOCK)


@asynccontextmanager
async def task_of(
    driver: MqttDriver, bus: Recorder | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(driver.run(bus or Recorder()))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def deaf(folder: Path, broker: Mosquitto) -> AsyncIterator[asyncio.Task[None]]:
    """A driver that hears itself, until the broker publishes nothing any more."""
    async with proxy(HOST, broker.port, mqtt=True) as line:
        driver = await asyncio.to_thread(driver_at, folder, line.port)
        async with task_of(driver) as task:
            await until(lambda: driver._echo._came_back)
            line.mode = Mode.DEAF
            yield task


@pytest.mark.both_loops
@pytest.mark.usefixtures("often")
async def test_a_link_that_hears_nothing_is_down_though_its_broker_answers(
    tmp_path: Path, broker: Mosquitto
) -> None:
    async with deaf(tmp_path, broker) as task:
        await asyncio.wait({task}, timeout=3)
        with pytest.raises(LinkDown, match="nothing is heard any more"):
            task.result()


async def test_without_the_probe_a_deaf_link_looks_well(
    tmp_path: Path, broker: Mosquitto, often: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deaf(tmp_path, broker) as task:
        no_probe(monkeypatch.setattr)
        await asyncio.wait({task}, timeout=2)
        assert not task.done()


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("what", ["read", "write"])
async def test_a_broker_that_forbids_the_probe_is_no_deaf_link(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """Mosquitto says "granted" to a subscription that it never serves."""
    acl = tmp_path / "acl"
    right = "topic readwrite d/+/event\n" + ("topic write d/+/ack\n" if what == "read" else "")
    acl.write_text(right, encoding="utf-8")
    async with Mosquitto(tmp_path / "broker", [f"acl_file {acl}"]) as broker:
        driver = await asyncio.to_thread(driver_at, tmp_path, broker.port)
        async with supervised(driver):
            await until(lambda: driver._echo._warned)
            connects = 1 if what == "read" else 2  # it closes the connection over what it forbids
            await until(lambda: driver.health.connects == connects)
            down = asyncio.create_task(until(lambda: driver.health.connects > connects, 1))
            await asyncio.wait({down})
            assert isinstance(down.exception(), TimeoutError)
    assert (driver.health.counters["echo_missing"] > 1) is (what == "read")
    assert caplog.text.count("our own message on d/gw-panels/ack") == 1


@pytest.mark.both_loops
async def test_messages_that_come_twice_count_once_and_are_acknowledged(
    tmp_path: Path, broker: Mosquitto
) -> None:
    bus, count = Recorder(), 200
    async with proxy(HOST, broker.port, mqtt=True) as line:
        driver = await asyncio.to_thread(driver_at, tmp_path, line.port)
        line.mode = Mode.DOUBLE
        async with task_of(driver, bus):
            await until(lambda: driver._echo._came_back)
            teller = Teller(HOST, broker.port, "panel-1", rate_per_s=1_000)
            telling = asyncio.create_task(teller.run())
            await until(lambda: len(teller.acked) >= count)
            telling.cancel()
            await asyncio.wait({telling})
            assert driver._connection is not None
            await until(lambda: driver._connection is None or driver._connection.held == 0)
    ids = [sample.source_id for sample in bus.samples]
    assert len(ids) == len(set(ids)) >= count
    assert len(bus.repeats) >= count
    assert driver.health.connects == 1


@asynccontextmanager
async def supervised(driver: MqttDriver) -> AsyncIterator[None]:
    link = supervise(
        "link panels", lambda: driver.run(Recorder()), driver.health, clock=CLOCK,
        transition=lambda _state, _why: None, longest_s=LINK_DELAY_S,
    )  # fmt: skip
    task = asyncio.create_task(link)
    try:
        await until(lambda: driver.health.state is LinkState.UP)
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


Fault = Callable[[Mosquitto, Proxy], None]


def freeze(broker: Mosquitto, _line: Proxy) -> None:
    broker.pause()


def swallow(_broker: Mosquitto, line: Proxy) -> None:
    line.mode = Mode.BLACK_HOLE


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "as_shipped", [False, pytest.param(True, marks=pytest.mark.chaos)], ids=["fast", "as shipped"]
)
async def test_a_frozen_broker_and_a_half_open_line_are_noticed_and_forgotten_when_they_heal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_shipped: bool
) -> None:
    """Both at the same time; without `as_shipped` the probe is sent more often."""
    if not as_shipped:
        monkeypatch.setattr(echo, "PERIOD_S", 0.5)
        monkeypatch.setattr(echo, "ANSWER_S", 0.5)
        monkeypatch.setattr(mqtt, "PUBACK_S", 0.5)

    async def suffer(name: str, fault: Fault) -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        async with (
            Mosquitto(tmp_path / name) as broker,
            proxy(HOST, broker.port, mqtt=True) as line,
        ):
            driver = await asyncio.to_thread(driver_at, tmp_path / name, line.port)
            async with supervised(driver):
                began = loop.time()
                fault(broker, line)
                await until(lambda: driver.health.state is not LinkState.UP, 40)
                noticed_s, healed = loop.time() - began, loop.time()
                broker.resume()
                line.mode = Mode.PASS
                await until(lambda: driver.health.state is LinkState.UP, 40)
                return noticed_s, loop.time() - healed

    async with asyncio.TaskGroup() as group:
        faults = {"frozen": freeze, "half open": swallow}
        runs = {name: group.create_task(suffer(name, one)) for name, one in faults.items()}
    for name, run in runs.items():
        noticed_s, back_s = run.result()
        print(f"{name}: noticed after {noticed_s:.1f} s, back after {back_s:.1f} s")
        assert noticed_s <= (NOTICED_S if as_shipped else 5)
        assert back_s <= 10


@pytest.mark.timeout(60)
async def test_a_stranger_with_our_identifier_is_told_and_left_alone(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """Mosquitto 2.0 throws us out without a word; the stranger comes back whenever we do."""
    driver = await asyncio.to_thread(driver_at, tmp_path, broker.port)
    health = driver.health
    async with supervised(driver):
        for times in range(1, 4):
            await until(lambda: health.state is LinkState.UP)
            async with other_client(broker, driver.client_id):
                await until(lambda: health.state is not LinkState.UP)
                assert health.counters["taken_over"] == max(0, times - 1)
    assert health.state is LinkState.REFUSED
    assert "does another client use our identifier" in health.reason
