"""Who may say what, and how much, against a real Mosquitto."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.settings import MqttDevice, MqttLink
from drivers.mqtt.spec import SPEC
from gateway.clock import Clock, SystemClock
from gateway.driver import Device
from gateway.model import Event, EventKind
from tests.harness.broker import HOST, Mosquitto, until
from tests.harness.clock import FakeClock
from tests.harness.forger import Forger
from tests.harness.mqtt import INBOX, link
from tests.harness.picky import picky
from tests.harness.recorder import Recorder
from tests.integration.test_mqtt_driver import (
    LAMP,
    LIGHT,
    TOPIC,
    acked,
    command,
    device,
    running,
    state,
)

CLOCK = SystemClock()  # it looks into files: not on the loop


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path / "broker") as running:
        yield running


def new_driver(
    broker: Mosquitto, clock: Clock, *, keys: object = None, **link: object
) -> MqttDriver:
    section = {"profile": "streetlight-native", "link": "field", "topic_id": "b3-01"}
    section |= keys if isinstance(keys, dict) else {}
    made = SPEC.build(
        "field",
        MqttLink.model_validate({"driver": "mqtt", "url": broker.url, **link}),
        [
            Device(LIGHT, LAMP, MqttDevice.model_validate(section)),
            Device(
                "light-b3-02", LAMP, MqttDevice.model_validate({**section, "topic_id": "b3-02"})
            ),
        ],
        clock,
    )
    assert isinstance(made, MqttDriver)
    return made


def told(bus: Recorder) -> list[Event]:
    return [item for item in bus.items if isinstance(item, Event)]


def said(sender: str | None, ident: str) -> bytes:
    message: dict[str, object] = {"id": ident, "values": {"alarm.lamp_failure": True}}
    return orjson.dumps(message if sender is None else message | {"device": sender})


async def test_a_device_that_names_another_is_refused_and_told_once(broker: Mosquitto) -> None:
    bus, driver = Recorder(), new_driver(broker, FakeClock())
    async with running(driver, bus), device(broker) as lamp:
        for number in range(20):
            await lamp.publish(f"{TOPIC}/event", said("b3-02", f"x-{number}"))
        await lamp.publish(f"{TOPIC}/event", said("b3-01", "own"))
        assert await acked(lamp) == {"id": "own"}
    assert [s.source_id for s in bus.samples] == [b"own"]
    (event,) = told(bus)
    assert (event.kind, event.device) == (EventKind.MESSAGE_REFUSED, LIGHT)
    assert event.attributes == {
        "reason": "identity_mismatch", "link": "field", "topic": "d/b3-01/event", "count": 1
    }  # fmt: skip
    assert driver.devices[LIGHT].errors == {"identity_mismatch": 20}


async def test_a_device_with_an_identity_must_name_it(broker: Mosquitto) -> None:
    bus, driver = Recorder(), new_driver(broker, FakeClock(), keys={"identity": "SN-4711"})
    async with running(driver, bus), device(broker) as lamp:
        for number, sender in enumerate([None, "b3-01", "SN-4711"]):
            await lamp.publish(f"{TOPIC}/event", said(sender, f"x-{number}"))
        assert await acked(lamp) == {"id": "x-2"}
    assert driver.devices[LIGHT].errors == {"no_identity": 1, "identity_mismatch": 1}


async def test_a_flood_of_states_takes_nothing_from_the_alarms_of_the_device(
    broker: Mosquitto,
) -> None:
    bus, clock = Recorder(), FakeClock()
    driver = new_driver(broker, clock, device_rate=10, device_burst=50)
    async with running(driver, bus), device(broker) as lamp:
        for number in range(500):
            lamp.publish_nowait(f"{TOPIC}/state", state(number % 100))
        for number in range(50):
            await lamp.publish(f"{TOPIC}/event", said(None, f"a-{number}"))
            assert await acked(lamp) == {"id": f"a-{number}"}
        assert driver.devices[LIGHT].errors == {"too_fast": 450}
        # Over its reserve an alarm is not acknowledged, so the device says it again.
        await lamp.publish(f"{TOPIC}/event", said(None, "late"))
        await until(lambda: driver.devices[LIGHT].errors["too_fast"] == 451)
        assert lamp.receive_nowait() is None
        clock.advance(1)
        await lamp.publish(f"{TOPIC}/event", said(None, "late"))
        assert await acked(lamp) == {"id": "late"}
    assert sum("light.level" in s.values for s in bus.samples) == 50
    assert [e.attributes["reason"] for e in told(bus)] == ["too_fast"]


async def test_what_the_broker_kept_while_we_were_away_is_no_flood(broker: Mosquitto) -> None:
    bus, clock = Recorder(), FakeClock()
    driver = new_driver(broker, clock, device_rate=10, device_burst=50)
    async with running(driver, bus):
        pass
    async with device(broker) as lamp:
        for number in range(300):
            await lamp.publish(f"{TOPIC}/state", state(1, f"k-{number}"))
        clock.advance(60)
        health = driver.devices[LIGHT]
        async with running(driver, bus):
            await until(lambda: health.good + health.errors.total() == 300)
            assert health.errors == {}
            for number in range(300):
                assert await acked(lamp) == {"id": f"k-{number}"}


async def test_a_lost_session_is_told_once(broker: Mosquitto) -> None:
    bus, driver = Recorder(), new_driver(broker, FakeClock())
    async with running(driver, bus):
        pass
    for _ in range(2):
        await broker.kill()
        for saved in broker.directory.glob("*.db"):
            saved.unlink()
        await broker.start()
        for _ in range(2):
            async with running(driver, bus):
                pass
    events = told(bus)
    assert [e.kind for e in events] == [EventKind.DATA_LOSS] * 2
    assert events[0].attributes == {"reason": "session_lost", "link": "field"}


async def test_a_session_that_was_lost_while_the_daemon_was_off_is_told(broker: Mosquitto) -> None:
    bus = Recorder()
    for restart in range(3):
        if restart == 2:
            await broker.kill()
            await broker.start()  # it had not saved anything yet
        async with running(new_driver(broker, FakeClock()), bus), device(broker) as lamp:
            await lamp.publish(f"{TOPIC}/state", state(7, f"a-{restart}"))
            assert await acked(lamp) == {"id": f"a-{restart}"}
    (lost,) = told(bus)
    assert (lost.kind, lost.attributes["reason"]) == (EventKind.DATA_LOSS, "session_lost")


async def test_a_device_without_ids_is_shown_at_l1(broker: Mosquitto) -> None:
    bus, driver = Recorder(), new_driver(broker, FakeClock())
    health = driver.devices[LIGHT]
    assert health.level == "L3"
    async with running(driver, bus), device(broker) as lamp:
        await lamp.publish(f"{TOPIC}/state", state(7))
        await bus.sample(LIGHT)
        assert (health.level, health.note) == ("L1", "no message ids: at least once")
        await lamp.publish(f"{TOPIC}/state", state(8, "a-1"))
        assert await acked(lamp) == {"id": "a-1"}
        assert (health.level, health.note) == ("L3", "")


async def test_strangers_are_remembered_with_what_they_say(broker: Mosquitto) -> None:
    bus, clock = Recorder(), FakeClock()
    driver = new_driver(broker, clock)
    async with running(driver, bus), device(broker) as lamp:
        for _ in range(3):
            await lamp.publish("d/new-lamp/state", state(5))
        await until(lambda: driver.health.counters["unknown_device"] == 3)
        clock.advance(2)
        (found,) = driver.strangers()
    assert found == {
        "link": "field", "name": "new-lamp", "topic": "d/new-lamp/state", "count": 3,
        "first_s": 2.0, "last_s": 2.0, "keys": ["values.light.level"],
    }  # fmt: skip


async def test_a_flood_of_strangers_does_not_fill_the_log(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("drivers.mqtt.driver.MAX_LOGGED", 3)
    driver = new_driver(broker, FakeClock())
    async with running(driver, Recorder()), device(broker) as lamp:
        for number in range(10):
            await lamp.publish(f"d/new-{number}/state", state(5))
        await until(lambda: driver.health.counters["unknown_device"] == 10)
    assert sum("no configured device" in record.getMessage() for record in caplog.records) == 3


@pytest.mark.parametrize(("within_s", "expiry_s"), [(5, 5), (0.5, 1)])
async def test_the_broker_forgets_a_command_when_it_is_too_late(
    broker: Mosquitto, within_s: float, expiry_s: int
) -> None:
    """Message expiry interval (MQTT 5, 3.3.2.3.3), as it stands on the line."""
    seen: list[bytes] = []

    def judge(packet: bytes) -> int:
        if b"/cmd" in packet:
            seen.append(packet)
        return 0

    clock = FakeClock()
    async with picky(HOST, broker.port, judge) as port, device(broker):
        driver = new_driver(broker, clock, url=f"mqtt://{HOST}:{port}")
        async with running(driver, Recorder()):
            await driver.write(command(clock, 40, within_s))
    (packet,) = seen
    assert b"\x05\x02" + expiry_s.to_bytes(4) in packet, "5 bytes of properties: the interval"


async def test_what_the_broker_throws_away_is_counted(tmp_path: Path) -> None:
    extra = ["sys_interval 1", "max_queued_messages 5", "max_inflight_messages 1"]
    async with Mosquitto(tmp_path / "broker", extra) as broker:
        driver = new_driver(broker, FakeClock())
        async with running(driver, Recorder()):
            async with link(broker, "sleeper", session_expiry_s=60, subscriptions=INBOX):
                pass
            async with device(broker) as lamp:
                for number in range(40):
                    await lamp.publish(f"{TOPIC}/other", b"%d" % number)
            await until(lambda: driver.health.counters["broker_dropped"] >= 30, within_s=10)


async def test_one_device_that_floods_does_not_delay_the_alarms_of_another(
    broker: Mosquitto,
) -> None:
    bus = Recorder()
    driver = new_driver(broker, CLOCK, device_rate=100, device_burst=200)
    noisy = Forger(broker.port, name="noisy")
    await noisy.connect()
    longest_s = 0.0
    async with running(driver, bus), device(broker) as lamp:
        for number in range(20):
            for _ in range(1_000):  # 20,000 in a second or two
                noisy.say("d/b3-02/state", state(5))
            started = time.monotonic()
            await lamp.publish(f"{TOPIC}/event", said(None, f"a-{number}"))
            assert await acked(lamp) == {"id": f"a-{number}"}
            longest_s = max(longest_s, time.monotonic() - started)
        await noisy.settle()
    await noisy.close()
    assert longest_s < 1
    assert driver.devices[LIGHT].errors == {}
    assert driver.devices["light-b3-02"].errors["too_fast"] > 15_000
