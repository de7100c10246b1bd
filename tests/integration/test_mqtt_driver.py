"""The MQTT driver against a real Mosquitto, with a hand-made device."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import orjson
import pytest

from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.settings import MqttDevice, MqttLink
from drivers.mqtt.spec import SPEC
from gateway.driver import Device
from gateway.errors import LinkDown, Refused, StoreFailed, StoreFull
from gateway.model import Command, Level, Outcome, Quality, Sample
from gateway.mqtt import Connection, Subscription, Will, connect
from gateway.profile import Profile, find, load_profile
from simulators.lights import Place
from tests.harness.broker import Mosquitto, established, until
from tests.harness.clock import FakeClock
from tests.harness.recorder import Recorder

LIGHT = "light-b3-01"
TOPIC = "d/b3-01"


def lamp_profile() -> Profile:
    path = find("streetlight-native", [])
    assert path is not None
    return load_profile(path)[0]


LAMP = lamp_profile()
PLACES = [Place(LIGHT, "b3-01", LAMP), Place("light-b3-02", "b3-02", LAMP)]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path / "broker") as running:
        yield running


def new_driver(broker: Mosquitto, clock: FakeClock | None = None) -> MqttDriver:
    link = MqttLink.model_validate({"driver": "mqtt", "url": broker.url})
    devices = [
        Device(place.device, LAMP, MqttDevice.model_validate({"profile": "streetlight-native", "link": "field", "topic_id": place.topic_id}))
        for place in PLACES
    ]  # fmt: skip
    driver = SPEC.build("field", link, devices, clock or FakeClock())
    assert isinstance(driver, MqttDriver)
    return driver


@asynccontextmanager
async def running(driver: MqttDriver, bus: Recorder) -> AsyncIterator[None]:
    connects = driver.health.connects
    async with asyncio.TaskGroup() as group:
        task = group.create_task(driver.run(bus))
        try:
            await until(lambda: driver.health.connects > connects)
            yield
        finally:
            task.cancel()


def device(broker: Mosquitto, will: Will | None = None) -> AbstractAsyncContextManager[Connection]:
    endpoint = MqttLink.model_validate({"driver": "mqtt", "url": broker.url})
    topics = (Subscription(f"{TOPIC}/ack"), Subscription(f"{TOPIC}/cmd"))
    return connect(endpoint, client_id="b3-01", clock=FakeClock(), subscriptions=topics, will=will)


def state(level: float, ident: str | None = None) -> bytes:
    message: dict[str, object] = {"values": {"light.level": level}}
    return orjson.dumps(message if ident is None else message | {"id": ident})


async def acked(lamp: Connection) -> object:
    async with asyncio.timeout(5):
        message = await lamp.receive()
    lamp.ack(message)
    assert message.topic == f"{TOPIC}/ack"
    return orjson.loads(message.payload)


def level_of(level: float) -> Callable[[Sample], bool]:
    return lambda sample: sample.values.get("light.level") == level


async def settled(broker: Mosquitto, lamp: Connection, bus: Recorder) -> None:
    """Everything that `lamp` published before has been acknowledged: messages stay in order."""
    await lamp.publish(f"{TOPIC}/state", state(1, "settled"))
    assert await acked(lamp) == {"id": "settled"}


@pytest.mark.both_loops
async def test_a_message_becomes_one_sample_and_is_acknowledged(broker: Mosquitto) -> None:
    bus, clock = Recorder(), FakeClock()
    driver = new_driver(broker, clock)
    async with running(driver, bus), device(broker) as lamp:
        await lamp.publish(f"{TOPIC}/state", state(60, "a-1"))
        assert await acked(lamp) == {"id": "a-1"}
        assert bus.samples == [
            Sample(LIGHT, clock.time_ns(), clock.boottime_ns(), 1, clock_ok=True, values={"light.level": 60}, source_id=b"a-1", n=1)
        ]  # fmt: skip
        assert bus.held == [True]
        assert bus.committed == bus.items
        health = driver.devices[LIGHT]
        assert (health.good, health.last_good_ns, health.note) == (1, clock.boottime_ns(), "")
        assert driver.health.last_good_ns == clock.boottime_ns()
    assert established(broker.port) == 0


async def test_a_repeat_is_acknowledged_again(broker: Mosquitto) -> None:
    bus = Recorder()
    async with running(new_driver(broker), bus), device(broker) as lamp:
        for _ in range(2):
            await lamp.publish(f"{TOPIC}/event", state(60, "a-1"))
            assert await acked(lamp) == {"id": "a-1"}
        assert (len(bus.items), len(bus.repeats)) == (1, 1)


async def test_messages_of_one_millisecond_have_times_of_their_own(broker: Mosquitto) -> None:
    bus, clock = Recorder(), FakeClock(time_ns=1_772_391_600_000_987_654)
    async with running(new_driver(broker, clock), bus), device(broker) as lamp:
        for number in range(3):
            await lamp.publish(f"{TOPIC}/state", state(number))
        await bus.sample(LIGHT, level_of(2))
        clock.advance(0.001)
        await lamp.publish(f"{TOPIC}/state", state(3))
        await bus.sample(LIGHT, level_of(3))
    start = 1_772_391_600_000_000_000
    assert [s.time_ns for s in bus.samples] == [start, start + 1, start + 2, start + 1_000_000]


@pytest.mark.both_loops
async def test_nothing_is_acknowledged_before_the_commit(broker: Mosquitto) -> None:
    bus = Recorder()
    bus.durable.clear()
    async with device(broker) as lamp:
        async with running(new_driver(broker), bus):
            for number in range(3):
                await lamp.publish(f"{TOPIC}/event", state(number, f"a-{number}"))
            # Reading goes on while the first waits for the disk.
            await bus.sample(LIGHT, level_of(2))
        assert bus.committed == []
        assert lamp.receive_nowait() is None
        restarted = Recorder()
        async with running(new_driver(broker), restarted):
            for number in range(3):
                assert await acked(lamp) == {"id": f"a-{number}"}
        assert [s.source_id for s in restarted.samples] == [b"a-0", b"a-1", b"a-2"]
        third = Recorder()
        async with running(new_driver(broker), third):
            await settled(broker, lamp, third)
        assert [s.source_id for s in third.samples] == [b"settled"]


@pytest.mark.parametrize("error", [StoreFull("lane 0 is full"), StoreFailed("EIO")])
async def test_while_storage_fails_nothing_is_acknowledged_and_lights_obey(
    broker: Mosquitto, error: StoreFull | StoreFailed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.mqtt.driver.COMMIT_RETRY_S", 0.01)
    clock, bus = FakeClock(), Recorder()
    driver = new_driver(broker, clock)
    bus.commit_error = error
    async with running(driver, bus), device(broker) as lamp:
        for number in range(3):
            await lamp.publish(f"{TOPIC}/event", state(number, f"a-{number}"))
        await bus.sample(LIGHT, level_of(2))
        await until(lambda: driver.health.counters["commits_failed"] > 2)
        assert driver._connection is not None
        assert driver._connection.held == 3
        assert (await driver.write(command(clock, 40))).outcome is Outcome.WRITTEN
        assert (await lamp.receive()).topic == f"{TOPIC}/cmd"
        assert lamp.receive_nowait() is None
        bus.commit_error = None
        for number in range(3):
            assert await acked(lamp) == {"id": f"a-{number}"}
    assert (len(bus.items), len(bus.repeats), driver.health.connects) == (3, 0, 1)


async def test_a_retained_event_is_refused_and_counted(broker: Mosquitto) -> None:
    bus, driver = Recorder(), new_driver(broker)
    async with device(broker) as lamp:
        alarm = b'{"id":"a-1","values":{"alarm.lamp_failure":true}}'
        await lamp.publish(f"{TOPIC}/event", alarm, retain=True)
        async with running(driver, bus):
            await settled(broker, lamp, bus)
            # The live repeat is the alarm.
            await lamp.publish(f"{TOPIC}/event", alarm)
            assert await acked(lamp) == {"id": "a-1"}
    assert driver.devices[LIGHT].errors == {"retained": 1}
    assert [s.source_id for s in bus.samples] == [b"settled", b"a-1"]


async def test_a_retained_state_is_uncertain_until_a_live_message(broker: Mosquitto) -> None:
    bus = Recorder()
    async with device(broker) as lamp:
        await lamp.publish(f"{TOPIC}/state", state(60, "a-1"), retain=True)
        async with running(new_driver(broker), bus):
            old = await bus.sample(LIGHT)
            assert (old.quality, old.source_id) == ({"light.level": Quality(Level.UNCERTAIN, "retained")}, None)  # fmt: skip
            await lamp.publish(f"{TOPIC}/state", state(60, "a-1"))
            assert await acked(lamp) == {"id": "a-1"}
            live = bus.samples[1]
        assert lamp.receive_nowait() is None
    assert old.values == live.values == {"light.level": 60}
    assert (live.quality, live.source_id) == ({}, b"a-1")


async def test_what_cannot_be_understood_is_counted_logged_once_and_not_sent_again(
    broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    bus, driver = Recorder(), new_driver(broker)
    async with device(broker) as lamp:
        async with running(driver, bus):
            for payload in (b"\x00junk", b"{", b"[]"):
                await lamp.publish(f"{TOPIC}/state", payload)
            await lamp.publish(f"{TOPIC}/online", b"perhaps")
            await lamp.publish("d/stranger/state", state(60, "s-1"))
            await lamp.publish("d/stranger/event", state(60, "s-2"))
            await settled(broker, lamp, bus)
            assert driver._connection is not None
            await until(lambda: driver._connection is not None and driver._connection.held == 0)
        assert driver.devices[LIGHT].errors == {"not_json": 2, "not_an_object": 1, "bad_online": 1}
        assert driver.health.counters == {"refused": 4, "unknown_device": 2}
        warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
        assert len(warnings) == 4
        assert sum("stranger" in text for text in warnings) == 1
        again = new_driver(broker)
        async with running(again, bus):
            await settled(broker, lamp, bus)
        assert again.health.counters == {}


async def test_bad_values_and_missing_ids_show_in_the_health(broker: Mosquitto) -> None:
    bus, driver = Recorder(), new_driver(broker)
    async with running(driver, bus), device(broker) as lamp:
        payload = b'{"values":{"light.level":300,"light.on":true,"light.colour":"red"}}'
        await lamp.publish(f"{TOPIC}/state", payload)
        sample = await bus.sample(LIGHT)
        assert sample.values == {"light.on": True}
        assert sample.quality == {"light.level": Quality(Level.BAD, "out_of_range")}
        assert driver.devices[LIGHT].errors == {"out_of_range": 1, "unknown_point": 1}
        assert driver.devices[LIGHT].note == "no message ids: at least once"
        await settled(broker, lamp, bus)
        assert driver.devices[LIGHT].note == ""


async def test_only_what_its_source_keeps_is_held(broker: Mosquitto) -> None:
    bus = Recorder()
    async with running(new_driver(broker), bus), device(broker) as lamp:
        await lamp.publish(f"{TOPIC}/state", state(7), qos=0)
        await bus.sample(LIGHT, level_of(7))
        await lamp.publish(f"{TOPIC}/state", state(8, "a-8"), qos=0)
        assert await acked(lamp) == {"id": "a-8"}
    assert bus.held == [False, True]
    assert [s.source_id for s in bus.samples if s in bus.committed] == [b"a-8"]


async def test_the_last_will_tells_that_a_device_is_offline(broker: Mosquitto) -> None:
    bus, driver = Recorder(), new_driver(broker)
    async with running(driver, bus):
        with suppress(LinkDown):
            async with device(broker, Will(f"{TOPIC}/online", b"0")) as lamp:
                await lamp.publish(f"{TOPIC}/online", b"1", retain=True)
                assert (await bus.sample(LIGHT)).values == {"device.online": True}
                lamp._paho._sock_close()  # no goodbye
        sample = await bus.sample(LIGHT, after=1)
        assert sample.values == {"device.online": False}
        assert sample.quality == {}
        assert driver.devices[LIGHT].note == "offline"


def command(clock: FakeClock, value: float, within_s: float = 5, **changes: object) -> Command:
    return Command("c-1", LIGHT, "light.level", value, clock.boottime_ns() + int(within_s * 1e9), "test")._replace(**changes)  # type: ignore[arg-type]  # fmt: skip


async def test_a_command_goes_to_the_device_and_expires_at_the_broker(broker: Mosquitto) -> None:
    clock = FakeClock()
    driver = new_driver(broker, clock)
    async with running(driver, Recorder()), device(broker) as lamp:
        wanted = command(clock, 40)
        written = await driver.write(wanted)
        assert (written.command, written.outcome) == (wanted, Outcome.WRITTEN)
        message = await lamp.receive()
        assert (message.topic, message.qos, message.retain) == (f"{TOPIC}/cmd", 1, False)
        assert orjson.loads(message.payload) == {"id": "c-1", "values": {"light.level": 40}}
        assert (await driver.write(command(clock, 40, within_s=0))).outcome is Outcome.EXPIRED
        with pytest.raises(Refused, match=r"no command writes light\.on"):
            await driver.write(command(clock, 1, point="light.on"))
        with pytest.raises(Refused, match="stranger: no command"):
            await driver.write(command(clock, 1, device="stranger"))


async def test_a_command_says_why_it_cannot_be_written(broker: Mosquitto) -> None:
    clock = FakeClock()
    driver = new_driver(broker, clock)
    with pytest.raises(LinkDown, match="field has no connection"):
        await driver.write(command(clock, 40))
    async with running(driver, Recorder()):
        with pytest.raises(Refused, match="it is not connected to the broker"):
            await driver.write(command(clock, 40))
    with pytest.raises(LinkDown, match="field has no connection"):
        await driver.write(command(clock, 40))


async def test_a_lost_session_is_counted(broker: Mosquitto) -> None:
    bus, driver = Recorder(), new_driver(broker)
    async with running(driver, bus):
        pass
    async with running(driver, bus):
        assert driver.health.counters["session_lost"] == 0
    await broker.kill()
    for saved in broker.directory.glob("*.db"):
        saved.unlink()
    await broker.start()
    async with running(driver, bus):
        assert driver.health.counters["session_lost"] == 1


@pytest.mark.both_loops
async def test_a_burst_is_taken_whole(broker: Mosquitto) -> None:
    bus, driver = Recorder(), new_driver(broker)
    async with running(driver, bus), device(broker) as lamp:
        for number in range(1500):
            lamp.publish_nowait(f"{TOPIC}/state", state(number % 100, f"a-{number}"))
        got = [await acked(lamp) for _ in range(1500)]
    assert got == [{"id": f"a-{number}"} for number in range(1500)]
    assert len(bus.items) == 1500


async def test_cancelling_takes_less_than_a_second_and_leaves_nothing(broker: Mosquitto) -> None:
    bus = Recorder()
    bus.durable.clear()
    async with device(broker) as lamp:
        async with running(new_driver(broker), bus):
            await lamp.publish(f"{TOPIC}/state", state(60, "a-1"))
            await bus.sample(LIGHT)
            started = time.monotonic()
        assert time.monotonic() - started < 1
    assert established(broker.port) == 0
