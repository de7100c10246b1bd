"""More of what the receive side of MQTT relies on, and works around, in paho and Mosquitto.

As in `tests/contract/test_libraries.py`: "relies on" must hold, a behaviour that we work around is
shown to be there, so that the workaround can go when it is not.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.mqtt import Connection, Subscription
from tests.harness.broker import Mosquitto
from tests.harness.forger import Forger
from tests.harness.mqtt import TOPIC, gateway, link, send
from tests.harness.users import client, guarded

BIG = 5_000_000
GRANTED_QOS_1, MORE_THAN_DEFAULT = 1, 1_200


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path / "broker") as running:
        yield running


async def drained(connection: Connection, last: bytes) -> list[bytes]:
    """Payloads up to `last`, each acknowledged."""
    found: list[bytes] = []
    async with asyncio.timeout(10):
        while not found or found[-1] != last:
            message = await connection.receive()
            connection.ack(message)
            found.append(message.payload)
    return found


async def away(broker: Mosquitto) -> None:
    """The gateway has a session at the broker, and is not there."""
    async with gateway(broker):
        pass


# T6: a subscription that the access list forbids


async def test_t6_mosquitto_grants_a_filter_that_its_access_list_forbids(tmp_path: Path) -> None:
    """Worked around (drivers/mqtt/echo.py): SUBACK says nothing, so a probe must come back."""
    acl = tmp_path / "acl"
    acl.write_text("user a\ntopic read open/#\nuser b\ntopic write #\n")
    async with guarded(tmp_path / "broker", acl, ["a", "b"]) as broker:
        reader = Forger(broker.port, "a", "correct horse")
        assert await reader.connect() == 0
        assert await reader.subscribe("secret/#") == GRANTED_QOS_1
        await reader.subscribe("open/#")
        async with client(broker, "b") as writer:
            assert (await writer.publish("secret/x", b"never")).code == 0
            await writer.publish("open/x", b"heard")
        await reader.settle()
        assert [x.payload for x in reader.heard] == [b"heard"]
        await reader.close()


# T10: publishers that use QoS 2


async def test_t10_qos_2_messages_come_as_qos_1_and_again_until_they_are_acked(
    broker: Mosquitto,
) -> None:
    """Relies on (gateway/mqtt_connect.py): subscribed with QoS 1, nothing waits in paho's memory."""
    await away(broker)
    device = Forger(broker.port, name="device")
    await device.connect()
    assert await device.publish(TOPIC, b"alarm", 2) == "taken"
    await device.close()
    for _ in range(2):
        async with gateway(broker) as connection:
            message = await connection.receive()
            assert (message.qos, message.payload, connection.held) == (1, b"alarm", 1)
    async with gateway(broker) as connection:
        assert await drained(connection, b"alarm") == [b"alarm"]
    async with gateway(broker) as connection:
        await send(broker, 1)
        assert await drained(connection, b"0") == [b"0"]


# T11: what CONNACK says


async def test_t11_session_present_tells_a_session_that_is_there_from_one_that_is_lost(
    broker: Mosquitto,
) -> None:
    """Relies on (drivers/mqtt/driver.py): a lost session is told as data_loss."""
    for present in (False, True, True):
        async with gateway(broker) as connection:
            assert connection.session_present is present
    await broker.kill()
    for saved in broker.directory.glob("*.db"):
        saved.unlink()
    await broker.start()
    async with gateway(broker) as connection:
        assert connection.session_present is False
        await send(broker, 1)  # subscribed anew all the same
        assert await drained(connection, b"0") == [b"0"]


# T12: packets of any size


async def test_t12_packets_over_the_maximum_stay_at_the_broker(tmp_path: Path) -> None:
    """Relies on (gateway/mqtt_connect.py): MaximumPacketSize; the publisher is told nothing of it."""
    async with (
        Mosquitto(tmp_path / "broker", ["message_size_limit 0"]) as broker,
        gateway(broker) as connection,
        link(broker, "device") as device,
    ):
        assert (await device.publish(TOPIC, bytes(BIG))).ok
        assert (await device.publish(TOPIC, b"next")).ok
        assert await drained(connection, b"next") == [b"next"]


async def test_t12_the_shipped_broker_takes_no_big_message(broker: Mosquitto) -> None:
    """Relies on (configs/mosquitto.conf): message_size_limit."""
    device = Forger(broker.port, name="device")
    await device.connect()
    async with gateway(broker) as connection:
        await device.publish(TOPIC, bytes(BIG), 1)
        await device.publish(TOPIC, b"next", 1)
        assert await drained(connection, b"next") == [b"next"]
    await device.close()


# T14: retained messages


@pytest.mark.parametrize(("handling", "stored"), [(0, [True]), (2, [])])
async def test_t14_stored_messages_are_marked_and_a_filter_can_leave_them_out(
    broker: Mosquitto, handling: int, stored: list[bool]
) -> None:
    """Relies on (gateway/mqtt_connect.py): retain means stored, a live message never has it."""
    async with link(broker, "device") as device:
        await device.publish(TOPIC, b"old", retain=True)
        only = (Subscription(TOPIC, handling),)
        async with link(broker, "gateway", subscriptions=only) as connection:
            await device.publish(TOPIC, b"live", retain=True)
            seen: list[bool] = []
            async with asyncio.timeout(5):
                while (message := await connection.receive()).payload != b"live":
                    seen.append(message.retain)
    assert seen == stored
    assert message.retain is False


# T15: what the broker keeps while we are away


@pytest.mark.parametrize(
    ("extra", "kept"),
    [([], MORE_THAN_DEFAULT), (["max_queued_messages 1000", "max_inflight_messages 20"], 1_000)],
)
async def test_t15_the_shipped_broker_keeps_more_than_its_default_of_1000(
    tmp_path: Path, extra: list[str], kept: int
) -> None:
    """Relies on (configs/mosquitto.conf): by default the rest is dropped after its PUBACK."""
    async with Mosquitto(tmp_path / "broker", extra) as broker:
        await away(broker)
        async with link(broker, "device") as device:
            for _ in range(MORE_THAN_DEFAULT - 1):
                device.publish_nowait(TOPIC, b"kept")
            await device.publish(TOPIC, b"kept")  # in order: the others are with the broker
            async with gateway(broker) as connection:
                await device.publish(TOPIC, b"end")
                assert len(await drained(connection, b"end")) == kept + 1


# T3: how much the broker hands out


async def test_t3_receive_maximum_is_exact_while_nothing_is_acked(broker: Mosquitto) -> None:
    """Relies on (gateway/mqtt.py, `receive_max`): with acks under way Mosquitto sends more."""
    await away(broker)
    await send(broker, 200)
    async with gateway(broker, receive_max=64) as connection:
        for _ in range(64):
            await connection.receive()
        more = asyncio.create_task(connection.receive())
        await asyncio.wait({more}, timeout=0.3)
        assert not more.done()
        more.cancel()
        await asyncio.wait({more})
        assert connection.held == 64
