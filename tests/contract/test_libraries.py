"""What the gateway relies on in its libraries, and what it works around, against real peers.

Two kinds of tests. "Relies on" must hold: when one fails, the module it names loses data. "Known
bad" states the behaviour we would like and is expected to fail: when a new version of the library
makes it pass, it turns red, and the workaround in the module it names can go.
Numbers: 1 to 14 MQTT, 20 to 29 Modbus, 40 to 48 BLE, 60 to 67 InfluxDB, 80 to 86 SQLite.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.harness.broker import HOST, Mosquitto, established, until

TOPIC = "d/alarm-1/event"
RELIES = "gateway/mqtt.py relies on "


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path / "broker") as running:
        yield running


def known_bad(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason)


def client(broker: Mosquitto, name: str, *, clean: bool = False, **options: Any) -> aiomqtt.Client:
    """A client of MQTT 5 as anyone would write it; the broker keeps its session."""
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
    session.SessionExpiryInterval = 600
    made = aiomqtt.Client(
        HOST,
        broker.port,
        identifier=name,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=clean,
        properties=session,
        **options,
    )
    made._client.disable_logger()
    return made


@asynccontextmanager
async def hand_acked(broker: Mosquitto, count: int) -> AsyncIterator[tuple[Client, list[Any]]]:
    """The session `gateway` with manual acks, after `count` messages have arrived."""
    link = client(broker, "gateway")
    inbox: list[MQTTMessage] = []
    arrived = asyncio.Event()

    def take(_paho: Client, _data: object, message: MQTTMessage) -> None:
        inbox.append(message)
        if len(inbox) >= count:
            arrived.set()

    link._client.manual_ack_set(True)
    link._client.on_message = take
    async with link:
        await link.subscribe("d/#", qos=1)
        async with asyncio.timeout(5):
            if count:
                await arrived.wait()
        yield link._client, inbox


async def send(broker: Mosquitto, *payloads: str) -> None:
    async with client(broker, "device", clean=True) as device:
        for payload in payloads:
            await device.publish(TOPIC, payload, qos=1)


async def left_for(broker: Mosquitto, name: str) -> list[bytes]:
    """What the broker still holds for the session `name`, in order."""
    link = client(broker, name)
    async with link:
        await send(broker, "end")
        payloads: list[bytes] = []
        async with asyncio.timeout(5):
            async for message in link.messages:
                if message.payload == b"end":
                    return payloads
                assert isinstance(message.payload, bytes)
                payloads.append(message.payload)
    raise AssertionError("the end never came")


# T1: when a message is acknowledged


@pytest.mark.both_loops
async def test_t1_unacked_messages_come_back_marked_dup_and_acked_ones_do_not(
    broker: Mosquitto,
) -> None:
    """Relies on (gateway/mqtt.py, Connection.ack)."""
    for name in ("manual_ack_set", "ack"):
        assert hasattr(Client, name), f"{RELIES}paho's {name}"
    async with hand_acked(broker, 0):
        pass
    await send(broker, "0", "1", "2", "3")
    async with hand_acked(broker, 4) as (paho, inbox):
        for message in inbox[:2]:
            paho.ack(message.mid, message.qos)
    async with hand_acked(broker, 2) as (paho, inbox):
        came = [(m.payload, m.dup) for m in inbox]
        assert came == [(b"2", True), (b"3", True)], f"{RELIES}un-acked messages coming back"


@known_bad("aiomqtt#345: PUBACK goes out before the application has the message")
async def test_t1_a_message_that_nobody_took_is_not_acknowledged(broker: Mosquitto) -> None:
    """Known bad (gateway/mqtt.py acks by hand)."""
    link = client(broker, "gateway")
    async with link:
        await link.subscribe("d/#", qos=1)
        await send(broker, "alarm")
        await until(lambda: len(link.messages) == 1)
    assert await left_for(broker, "gateway") == [b"alarm"]


# T2: a full queue


@known_bad("a full queue discards the message after its PUBACK")
async def test_t2_a_full_queue_pushes_back(broker: Mosquitto) -> None:
    """Known bad (gateway/mqtt.py never bounds aiomqtt's queue, nor uses it)."""
    link = client(broker, "gateway", max_queued_incoming_messages=10)
    payloads = [str(number) for number in range(100)]
    async with link:
        await link.subscribe("d/#", qos=1)
        await send(broker, *payloads)
        taken = [(await anext(link.messages)).payload for _ in range(10)]
    taken += await left_for(broker, "gateway")
    assert taken == [payload.encode() for payload in payloads]


# T4: a connect that is left half-way


async def abandon(link: aiomqtt.Client, broker: Mosquitto, how: str) -> None:
    """A connect to a frozen broker, cancelled or timed out after its TCP connection is up."""
    broker.pause()
    link.timeout = 0.2 if how == "timed out" else 10
    attempt = asyncio.create_task(link.__aenter__())
    await until(lambda: established(broker.port) == 1)
    if how == "cancelled":
        attempt.cancel()
    await asyncio.wait({attempt})
    assert attempt.cancelled() or isinstance(attempt.exception(), aiomqtt.MqttError)


async def clear_up(link: aiomqtt.Client) -> None:
    link._client._sock_close()
    assert link._misc_task, f"{RELIES}aiomqtt's _misc_task"
    await asyncio.wait({link._misc_task})


@pytest.mark.both_loops
@pytest.mark.parametrize("how", ["timed out", "cancelled"])
async def test_t4_sock_close_ends_an_abandoned_connection(broker: Mosquitto, how: str) -> None:
    """Relies on (gateway/mqtt.py, Connection._close)."""
    assert hasattr(Client, "_sock_close"), f"{RELIES}paho's _sock_close"
    link = client(broker, "gateway")
    await abandon(link, broker, how)
    await clear_up(link)
    assert established(broker.port) == 0, f"{RELIES}_sock_close closing the socket at once"


@known_bad("aiomqtt leaves the socket of a failed connect open, a ghost that acks messages")
@pytest.mark.both_loops
@pytest.mark.parametrize("how", ["timed out", "cancelled"])
async def test_t4_an_abandoned_connect_closes_its_own_socket(broker: Mosquitto, how: str) -> None:
    """Known bad (gateway/mqtt.py closes it)."""
    link = client(broker, "gateway")
    await abandon(link, broker, how)
    left = established(broker.port)
    await clear_up(link)
    assert left == 0


# T5: the broker's answer to a publish


@asynccontextmanager
async def strict_broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite d/#\n")
    async with Mosquitto(tmp_path / "strict", [f"acl_file {acl}"]) as broker:
        yield broker


async def test_t5_on_publish_shows_the_reason_of_the_broker(tmp_path: Path) -> None:
    """Relies on (gateway/mqtt.py, Connection.publish)."""
    reasons: list[int] = []

    def take(_c: Client, _d: object, _mid: int, code: ReasonCode, _p: Properties) -> None:
        reasons.append(code.value)

    async with strict_broker(tmp_path) as broker:
        link = client(broker, "device", clean=True)
        link._client.on_publish = take
        with suppress(aiomqtt.MqttError):  # Mosquitto 2.0.11 ends the connection of the denied
            async with link:
                link._client.publish(TOPIC, "x", qos=1)
                await until(lambda: len(reasons) == 1)
                link._client.publish("secret/1", "x", qos=1)
                await until(lambda: len(reasons) == 2)
    assert reasons == [0x10, 0x87], f"{RELIES}paho giving the reason code to on_publish"


@known_bad("aiomqtt takes any PUBACK for success")
async def test_t5_a_denied_publish_raises(tmp_path: Path) -> None:
    """Known bad (gateway/mqtt.py returns the reason)."""
    raised = False
    async with strict_broker(tmp_path) as broker:
        with suppress(aiomqtt.MqttError):
            async with client(broker, "device", clean=True) as link:
                try:
                    await link.publish("secret/1", "x", qos=1)
                except aiomqtt.MqttError:
                    raised = True
    assert raised


# T7: a cancelled wait for a message


@known_bad("aiomqtt pops the message and then loses it to the cancellation")
@pytest.mark.both_loops
async def test_t7_cancelling_the_iterator_loses_no_message(broker: Mosquitto) -> None:
    """Known bad (gateway/mqtt.py has its own queue)."""
    link = client(broker, "gateway")
    arrived = asyncio.Event()

    def arrive(paho: Client, data: object, message: MQTTMessage) -> None:
        link._on_message(paho, data, message)
        arrived.set()

    link._client.on_message = arrive
    kept = []
    async with link:
        await link.subscribe("d/#", qos=1)
        for turns in range(6):  # between the arrival and the cancellation
            waiting = asyncio.create_task(take_one(link))
            sending = asyncio.create_task(send(broker, "alarm"))
            await arrived.wait()
            arrived.clear()
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting, sending})
            if waiting.cancelled():
                kept.append(len(link.messages) == 1)
                while len(link.messages):
                    await take_one(link)
    assert False not in kept


async def take_one(link: aiomqtt.Client) -> aiomqtt.Message:
    return await anext(link.messages)


# T8: a publish that failed


@known_bad("paho keeps the message and sends it when the object connects again")
@pytest.mark.both_loops
async def test_t8_a_publish_that_raised_is_not_sent_later(broker: Mosquitto) -> None:
    """Known bad (gateway/mqtt.py makes a client for each connection)."""
    async with hand_acked(broker, 0):
        pass
    link = client(broker, "device", clean=True)
    with suppress(aiomqtt.MqttError):
        async with link:
            await broker.kill()
            await until(link._disconnected.done)
            with pytest.raises(aiomqtt.MqttError):
                await link.publish(TOPIC, "raised", qos=1)
    await broker.start()
    async with hand_acked(broker, 0):
        pass
    async with link:
        await link.publish(TOPIC, "later", qos=1)
    assert await left_for(broker, "gateway") == [b"later"]


@known_bad("a publish that timed out stays in paho: three attempts, three copies")
async def test_t8_a_publish_that_timed_out_is_withdrawn(broker: Mosquitto) -> None:
    """Known bad (after a timeout gateway/mqtt.py gives the connection up)."""
    async with hand_acked(broker, 0):
        pass
    async with client(broker, "device", clean=True, max_inflight_messages=1) as link:
        broker.pause()
        for _ in range(3):
            with pytest.raises(aiomqtt.MqttError, match="timed out"):
                await link.publish(TOPIC, "alarm", qos=1, timeout=0.05)
        broker.resume()
        await link.publish("up/0", "", qos=1)
    assert await left_for(broker, "gateway") == [b"alarm"]


# T9: message ids


@known_bad("aiomqtt keeps the messages of the old connection, whose ids mean others in the new one")
@pytest.mark.both_loops
async def test_t9_acking_a_message_of_the_old_connection_acks_no_new_one(
    broker: Mosquitto,
) -> None:
    """Known bad (gateway/mqtt.py ties each message to its connection)."""
    link = client(broker, "gateway", clean=True)
    link._client.manual_ack_set(True)
    async with link:
        await link.subscribe("d/#", qos=1)
        await send(broker, "old")
        await until(lambda: len(link.messages) == 1)
    async with link:
        await link.subscribe("d/#", qos=1)
        await send(broker, "new")
        await until(lambda: len(link.messages) == 2)
        old = await anext(aiter(link.messages))
        assert old.payload == b"old"
        link._client.ack(old.mid, old.qos)
    assert await left_for(broker, "gateway") == [b"new"]


# A14: what PUBACK of the broker is worth


def test_a14_the_shipped_broker_file_saves_its_queues_every_30_seconds() -> None:
    """Relies on (README, "What is guaranteed"): configs/mosquitto.conf."""
    text = (files("configs") / "mosquitto.conf").read_text()
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0] != "#"]
    settings = {name: value for name, value in lines if name != "listener"}
    wanted = {
        "persistence": "true",
        "autosave_on_changes": "false",
        "autosave_interval": "30",
        "max_queued_messages": "0",
        "max_inflight_messages": "1000",
        "message_size_limit": "65536",
        "allow_anonymous": "false",
    }
    assert settings | wanted == settings
    assert int(settings["max_queued_bytes"]) > 0
    assert {"password_file", "acl_file", "certfile", "keyfile"} <= settings.keys()


async def test_a14_acknowledged_messages_survive_a_kill_after_the_save(broker: Mosquitto) -> None:
    """Relies on (configs/mosquitto.conf): Mosquitto loses all of them with its own defaults."""
    async with hand_acked(broker, 0):
        pass
    payloads = [f"alarm-{number:03}" for number in range(200)]
    await send(broker, *payloads)
    broker.save()
    saved = broker.directory / "mosquitto.db"
    await until(lambda: saved.exists() and payloads[-1].encode() in saved.read_bytes())
    await broker.kill()
    await broker.start()
    assert await left_for(broker, "gateway") == [payload.encode() for payload in payloads]
