"""Lamps that do not speak the native dialect, with a real Mosquitto: heard, told, grouped, missed."""

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiomqtt
import pytest

from drivers.mqtt import silence
from gateway.claims import Claim
from gateway.errors import Refused
from gateway.group import Together, _for_member
from gateway.model import SILENT, Command, CommandResult, Event, Level, Outcome, Quality
from simulators.mqtt_station import Station
from simulators.tasmota import TasmotaLamp
from simulators.zigbee2mqtt import Bridge
from tests.harness import sabotage_mqtt as sabotage
from tests.harness.broker import HOST, Mosquitto, until
from tests.harness.street import Street, device, living, quick, running

INTERVAL_S = 0.1
TASMOTA, ZIGBEE = quick("tasmota-light"), quick("zigbee2mqtt-light")
CHIRPSTACK, LWM2M = quick("chirpstack-lamp"), quick("lwm2m-lamp")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt comes at once."""
    monkeypatch.setattr("gateway.attempt.BACKOFF_S", 0.01)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path / "broker") as one:
        yield one


def tasmota(broker: Mosquitto, street: Street, name: str) -> TasmotaLamp:
    return TasmotaLamp(HOST, broker.port, street.place(name), random.Random(name))


@asynccontextmanager
async def client(broker: Mosquitto) -> AsyncIterator[aiomqtt.Client]:
    async with aiomqtt.Client(HOST, broker.port, protocol=aiomqtt.ProtocolVersion.V5) as one:
        yield one


async def test_a_tasmota_lamp_is_heard_and_obeys(broker: Mosquitto) -> None:
    street = Street(broker, [device("yard-1", TASMOTA)])
    lamp = tasmota(broker, street, "yard-1")
    async with running(street), living(partial(lamp.run, INTERVAL_S)):
        await street.bus.sample("yard-1", lambda s: "elec.energy.total" in s.values)
        assert street.value("yard-1", "light.level") == 0
        assert street.value("yard-1", "device.online") is True
        result = await street.tell("yard-1", "light.level", 60)
        assert (result.outcome, result.value, lamp.bulb.level) == (Outcome.CONFIRMED, 60, 60)
        result = await street.tell("yard-1", "light.on", False)
        assert (result.outcome, lamp.bulb.on) == (Outcome.CONFIRMED, False)
        assert street.value("yard-1", "light.level") == 0  # it remembers 60, and does not burn
        lamp.station.go_offline()
        await until(lambda: street.value("yard-1", "device.online") is False)
        assert "offline" in street.driver.devices["yard-1"].note
    assert street.driver.devices["yard-1"].errors == {}


async def test_lights_behind_zigbee2mqtt_are_heard_and_obey(broker: Mosquitto) -> None:
    base = {"base": "zb/north"}
    street = Street(broker, [device("hall-1", ZIGBEE, captures=base)])
    bridge = Bridge(HOST, broker.port, "zb/north", [street.place("hall-1")], random.Random(1))
    async with running(street), living(partial(bridge.run, INTERVAL_S)):
        await street.bus.sample("hall-1", lambda s: s.values.get("device.online") is True)
        result = await street.tell("hall-1", "light.level", 60)
        assert result.outcome is Outcome.CONFIRMED
        assert bridge.bulbs["hall-1"].level == 60
        assert (await street.tell("hall-1", "light.level", 0)).outcome is Outcome.CONFIRMED
        assert (await street.tell("hall-1", "light.on", True)).outcome is Outcome.CONFIRMED
    assert street.driver.devices["hall-1"].errors == {}


def uplink(eui: str, ident: str, level: int = 60) -> str:
    frame = bytes([level, level > 0, 1, 0x6A, 0, 1, 0xF5, 0x94, 25])
    return json.dumps({
        "deduplicationId": ident, "deviceInfo": {"devEui": eui}, "fCnt": 7, "fPort": 2,
        "data": base64.b64encode(frame).decode(),
    })  # fmt: skip


async def test_an_uplink_counts_once_and_only_for_the_device_that_it_names(
    broker: Mosquitto,
) -> None:
    park = device("park-1", CHIRPSTACK, topic_id="0a01", captures={"application": "app-1"})
    street = Street(broker, [park])
    topic = "application/app-1/device/0a01/event/up"
    async with client(broker) as server:
        await server.publish(topic, uplink("0a01", "u-0", 10), qos=1, retain=True)
        async with running(street):
            old = await street.bus.sample("park-1")
            assert old.quality["light.level"] == Quality(Level.UNCERTAIN, "retained")
            await server.publish(topic, uplink("0a02", "u-1"), qos=1)
            refused = await street.bus.until(lambda item: isinstance(item, Event))
            assert isinstance(refused, Event)
            assert refused.attributes["reason"] == "identity_mismatch"
            await server.subscribe("d/0a01/ack")  # nothing is to come there
            for _ in range(2):
                await server.publish(topic, uplink("0a01", "u-2"), qos=1)
            await until(lambda: len(street.bus.repeats) == 1)
            live = street.bus.samples[-1]
            assert (live.values["elec.power.total"], live.source_id) == (36.2, b"u-2")
            assert live in [item.numbered(live.n) for item in street.bus.committed]
            await server.subscribe("application/app-1/device/0a01/command/down")
            order = street.order("park-1", "light.level", 40)
            assert (await street.driver.write(order)).outcome is Outcome.WRITTEN
            down = json.loads((await anext(aiter(server.messages))).payload)
    assert down == {"devEui": "0a01", "confirmed": True, "fPort": 2, "data": "ASg="}


async def test_a_stranger_of_another_make_is_noticed(broker: Mosquitto) -> None:
    street = Street(broker, [device("yard-1", TASMOTA)])
    async with running(street), client(broker) as stranger:
        await stranger.publish("tele/yard-9/STATE", '{"POWER":"ON"}', qos=1)
        await until(lambda: bool(street.driver.strangers()))
        (part,) = street.driver.strangers()
    assert (part["name"], part["topic"]) == ("yard-9", "tele/yard-9/STATE")


class Listener:
    """Hears everything on some topics."""

    def __init__(self, broker: Mosquitto, topics: list[str]) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.station = Station(
            HOST, broker.port, "listener", topics, self._hear, presence=("listener", "1", "0")
        )

    def _hear(self, topic: str, payload: bytes) -> list[tuple[str, str]]:
        self.heard.append((topic, payload))
        return []


LAMPS = ("yard-1", "yard-2", "yard-3")


@asynccontextmanager
async def yard(broker: Mosquitto) -> AsyncIterator[tuple[Street, dict[str, TasmotaLamp], Listener]]:
    """Three lamps of a group, all heard, and somebody who hears all commands."""
    street = Street(broker, [device(name, TASMOTA, groups=["yard"]) for name in LAMPS])
    lamps = {name: tasmota(broker, street, name) for name in LAMPS}
    listener = Listener(broker, ["cmnd/#"])
    lives = [partial(lamp.run, INTERVAL_S) for lamp in lamps.values()]
    async with running(street), living(listener.station.stay_connected, *lives):
        await listener.station.online.wait()
        for name in LAMPS:
            await street.bus.sample(name, lambda s: "light.level" in s.values)
        yield street, lamps, listener


CONFIRMED = dict.fromkeys(LAMPS, Outcome.CONFIRMED)


async def test_a_group_is_dimmed_with_one_message_and_each_member_confirms(
    broker: Mosquitto,
) -> None:
    async with yard(broker) as (street, lamps, listener):
        assert await street.tell_group("yard", "light.level", 60) == CONFIRMED
        assert listener.heard == [("cmnd/yard/Dimmer", b"60")]
        assert [lamp.bulb.level for lamp in lamps.values()] == [60, 60, 60]


async def test_who_did_not_hear_the_group_is_told_alone(broker: Mosquitto) -> None:
    async with yard(broker) as (street, lamps, listener):
        deaf = lamps["yard-2"].station
        hear = deaf._hear
        deaf._hear = lambda topic, payload: hear(topic, payload) if "yard-2" in topic else []
        assert await street.tell_group("yard", "light.level", 60) == CONFIRMED
        assert listener.heard == [("cmnd/yard/Dimmer", b"60"), ("cmnd/yard-2/Dimmer", b"60")]


def test_a_repeat_of_a_command_for_a_group_is_known_for_each_member() -> None:
    order = Command("c-1", "yard", "light.level", 60, 10**18, "cli")
    ids = [_for_member(order, name).id for name in (*LAMPS, *LAMPS)]
    assert ids[:3] == ids[3:]
    assert len(set(ids)) == 3


async def test_a_command_that_must_not_come_twice_goes_to_each_alone(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so does one for a group of one: others may listen to its topic."""
    monkeypatch.setattr("gateway.attempt.RETRIES", 0)
    commands = [one.model_copy(update={"idempotent": False}) for one in TASMOTA.commands]
    once = TASMOTA.model_copy(update={"commands": commands})
    assert not once.by_command["light.level"].idempotent
    lamps = [device(name, once, groups=["yard"]) for name in LAMPS]
    street = Street(broker, [*lamps, device("gate", TASMOTA, groups=["gates"])])
    listener = Listener(broker, ["cmnd/#"])
    async with running(street), living(listener.station.stay_connected):
        await listener.station.online.wait()
        orders = [street.tell_group(name, "light.level", 60) for name in ("yard", "gates")]
        await asyncio.gather(*orders)
        await until(lambda: len(listener.heard) >= 4)
    assert {topic for topic, _ in listener.heard} == {f"cmnd/{name}/Dimmer" for name in (*LAMPS, "gate")}  # fmt: skip


async def test_a_message_to_all_that_fails_is_sent_once_and_fails_for_all() -> None:
    sent = 0

    async def send(_command: Command) -> CommandResult:
        nonlocal sent
        sent += 1
        raise Refused("nobody listens there")

    together = Together(send)
    for name in LAMPS:
        with pytest.raises(Refused, match="nobody listens"):
            await together.write(Command("c-1", name, "light.level", 60, 10**18, "cli"))
    assert sent == 1


async def test_a_member_that_is_away_fails_alone(broker: Mosquitto) -> None:
    async with yard(broker) as (street, lamps, _listener):
        lamps["yard-3"].station.go_offline()
        await until(lambda: street.value("yard-3", "device.online") is False)
        told = await street.tell_group("yard", "light.level", 30)
    assert told == CONFIRMED | {"yard-3": Outcome.UNCONFIRMED}


async def test_a_member_that_a_stronger_claim_holds_is_not_dimmed_with_the_others(
    broker: Mosquitto,
) -> None:
    async with yard(broker) as (street, lamps, listener):
        street.commands.claim("yard-1", "light.level", Claim("fire", 100, 1, 0, None))
        await until(lambda: lamps["yard-1"].bulb.level == 100 and lamps["yard-1"].bulb.on)
        told = await street.tell_group("yard", "light.level", 20)
        assert told == CONFIRMED | {"yard-1": Outcome.OVERRIDDEN}
        assert lamps["yard-1"].bulb.level == 100
        assert "cmnd/yard/Dimmer" not in [topic for topic, _ in listener.heard]


async def test_sabotage_with_a_message_to_all_the_held_member_is_dimmed(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage.dim_whoever_is_held(monkeypatch.setattr)
    async with yard(broker) as (street, lamps, _listener):
        street.commands.claim("yard-1", "light.level", Claim("fire", 100, 1, 0, None))
        await until(lambda: lamps["yard-1"].bulb.level == 100 and lamps["yard-1"].bulb.on)
        await street.tell_group("yard", "light.level", 20)
        assert lamps["yard-1"].bulb.level == 20


async def test_lamps_without_a_topic_for_groups_are_told_one_by_one(broker: Mosquitto) -> None:
    street = Street(broker, [device(name, LWM2M, groups=["park"]) for name in ("p-1", "p-2")])

    def obey(topic: str, payload: bytes) -> list[tuple[str, str]]:
        name, level = topic.split("/")[1], json.loads(payload)[0]["v"]
        return [(f"lwm2m/{name}/3416/0", json.dumps([{"bn": "/3416/0/", "n": "3", "v": level}]))]

    bridge = Station(HOST, broker.port, "b", ["lwm2m/+/write"], obey, presence=("b", "1", "0"))
    async with running(street), living(bridge.stay_connected):
        await bridge.online.wait()
        told = await street.tell_group("park", "light.level", 60)
    assert told == dict.fromkeys(("p-1", "p-2"), Outcome.CONFIRMED)


async def broken_lamp(broker: Mosquitto, street: Street) -> None:
    """A lamp burns, breaks, is told to burn, and is mended."""
    lamp = tasmota(broker, street, "yard-1")
    async with running(street), living(partial(lamp.run, INTERVAL_S)):
        await street.bus.sample("yard-1")
        await street.tell("yard-1", "light.level", 60)
        await until(lambda: street.value("yard-1", "alarm.lamp_failed") is False)
        lamp.bulb.failed = True
        await until(lambda: street.value("yard-1", "alarm.lamp_failed") is True, within_s=2)
        lamp.bulb.failed = False
        await until(lambda: street.value("yard-1", "alarm.lamp_failed") is False)


async def test_a_lamp_that_should_burn_and_draws_no_power_raises_an_alarm(
    broker: Mosquitto,
) -> None:
    await broken_lamp(broker, Street(broker, [device("yard-1", TASMOTA)]))


async def test_a_failed_lamp_is_told_of_also_when_it_reports_changes_only(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "LOOK_S", 0.02)
    street = Street(broker, [device("hall-1", ZIGBEE)])
    async with running(street), client(broker) as bridge:
        dark = '{"state":"ON","brightness":254,"power":0.4}'
        await bridge.publish("zigbee2mqtt/hall-1", dark, qos=1)
        failed = await street.bus.sample(
            "hall-1", lambda s: s.values.get("alarm.lamp_failed") is True
        )
        assert failed.received_ns == street.bus.samples[0].received_ns  # it was not heard again
        await bridge.publish("zigbee2mqtt/hall-1", '{"power":58.2}', qos=1)
        await until(lambda: street.value("hall-1", "alarm.lamp_failed") is False)


async def test_a_lamp_that_is_told_to_burn_and_says_that_it_is_off_has_failed(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "LOOK_S", 0.02)
    street = Street(broker, [device("hall-1", ZIGBEE)])
    async with running(street), client(broker) as bridge:
        await bridge.subscribe("zigbee2mqtt/hall-1/set")
        await street.driver.write(street.order("hall-1", "light.level", 60))
        await anext(aiter(bridge.messages))
        await bridge.publish("zigbee2mqtt/hall-1", '{"state":"OFF","power":0.4}', qos=1)
        await until(lambda: street.value("hall-1", "alarm.lamp_failed") is True)


async def test_sabotage_without_a_watch_a_failed_lamp_is_not_noticed(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage.no_lamp_watch(monkeypatch.setattr)
    street = Street(broker, [device("yard-1", TASMOTA)])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await broken_lamp(broker, street)


async def missing_lamp(broker: Mosquitto, street: Street) -> None:
    """A lamp speaks, falls silent, and speaks again; the gateway starts anew and hears it."""
    async with running(street), client(broker) as lamp:
        await lamp.publish("tele/yard-1/STATE", '{"POWER":"ON","Dimmer":60}', qos=1)
        first = await street.bus.sample("yard-1")
        assert first.values["alarm.silent"] is False
        missing = await street.bus.sample("yard-1", lambda s: s.values.get("alarm.silent") is True)
        assert missing.quality["light.level"] == SILENT
        assert "device.online" not in missing.quality
        assert "silent" in street.driver.devices["yard-1"].note
        assert street.bus.state.seen_ns("yard-1") == first.received_ns
        # What the broker says of a device is no sign of life.
        await lamp.publish("tele/yard-1/LWT", "Offline", qos=1)
        await until(lambda: street.value("yard-1", "device.online") is False)
        assert street.value("yard-1", "alarm.silent") is True
        await lamp.publish("tele/yard-1/STATE", '{"POWER":"ON","Dimmer":60}', qos=1)
        await until(lambda: street.value("yard-1", "alarm.silent") is False)


async def test_a_device_that_is_silent_for_too_long_is_missing_until_it_speaks(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "LOOK_S", 0.02)
    await missing_lamp(broker, Street(broker, [device("yard-1", TASMOTA, supervise="300ms")]))


async def test_sabotage_without_supervision_nobody_is_missed(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage.nobody_is_missed(monkeypatch.setattr)
    street = Street(broker, [device("yard-1", TASMOTA, supervise="300ms")])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await missing_lamp(broker, street)
