"""gateway.mqtt against a real Mosquitto."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from gateway.errors import LinkDown, TakenOver
from gateway.mqtt import Received, Subscription, Will, connect
from gateway.mqtt_connect import PACKET_BYTES
from tests.harness.broker import Mosquitto, established, until
from tests.harness.clock import FakeClock
from tests.harness.mqtt import TOPIC, endpoint, gateway, link, send


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.mark.both_loops
async def test_what_was_not_acked_comes_back_and_what_was_acked_does_not(broker: Mosquitto) -> None:
    async with gateway(broker) as first:
        assert not first.session_present
        await send(broker, 3)
        messages = [await first.receive() for _ in range(3)]
        assert [m.payload for m in messages] == [b"0", b"1", b"2"]
        assert {(m.topic, m.qos, m.dup, m.retain) for m in messages} == {(TOPIC, 1, False, False)}
        assert first.ack(messages[1])
        assert first.held == 2
    async with gateway(broker) as second:
        assert second.session_present
        assert second.generation > first.generation
        again = [await second.receive() for _ in range(2)]
        assert [(m.payload, m.dup) for m in again] == [(b"0", True), (b"2", True)]
        assert all(second.ack(m) for m in again)
        assert second.held == 0
    async with gateway(broker) as third:
        await send(broker, 1)
        assert not (await third.receive()).dup


async def test_an_ack_of_another_connection_or_a_second_one_does_nothing(
    broker: Mosquitto,
) -> None:
    async with gateway(broker) as first:
        await send(broker, 1)
        old = await first.receive()
    assert not first.ack(old)
    async with gateway(broker) as second:
        new = await second.receive()
        assert (new.mid, new.payload) == (old.mid, old.payload)
        assert not second.ack(old)
        assert second.ack(new)
        assert not second.ack(new)
        assert second.stale_acks == 2
    async with gateway(broker) as third:
        assert third.receive_nowait() is None


@pytest.mark.both_loops
async def test_cancelling_receive_loses_no_message(broker: Mosquitto) -> None:
    async with gateway(broker) as connection, link(broker, "device") as device:
        for number in range(100):
            waiting = asyncio.create_task(connection.receive())

            def arrive(messages: list[Received], waiting: asyncio.Task[Received] = waiting) -> None:
                connection._take(messages)
                waiting.cancel()  # in the very turn in which the message arrives

            connection._reader._take = arrive
            await device.publish(TOPIC, b"%d" % number)
            await asyncio.wait({waiting})
            assert waiting.cancelled()
            message = await connection.receive()
            assert message.payload == b"%d" % number
            assert connection.ack(message)


async def test_the_brokers_reason_reaches_the_publisher(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite d/#\n")
    async with (
        Mosquitto(tmp_path / "broker", [f"acl_file {acl}"]) as broker,
        link(broker, "device") as device,
    ):
        unheard = await device.publish(TOPIC, b"x")
        assert (unheard.code, unheard.ok) == (0x10, False)
        async with gateway(broker):
            assert (await device.publish(TOPIC, b"x")).ok
        assert (await device.publish(TOPIC, b"x", qos=0)).ok
        denied = await device.publish("secret/1", b"x")
        assert (denied.code, denied.ok) == (0x87, False)


@pytest.mark.both_loops
async def test_everybody_who_waits_learns_that_the_broker_died(broker: Mosquitto) -> None:
    async with gateway(broker) as connection:
        broker.pause()
        waiting = [
            asyncio.create_task(connection.receive()),
            asyncio.create_task(connection.publish("up/0", b"x")),
            asyncio.create_task(connection.closed()),
        ]
        await asyncio.sleep(0)
        await broker.kill()
        async with asyncio.timeout(1):
            await asyncio.wait(waiting)
        for task, doing in zip(
            waiting, ["receiving from", "publishing up/0 to", "connected to"], strict=True
        ):
            with pytest.raises(LinkDown, match=f"^gateway: {doing} {broker.url}: connection lost"):
                task.result()
        with pytest.raises(LinkDown):
            connection.publish_nowait("up/0", b"x")
    await broker.start()


async def test_a_frozen_broker_is_noticed_by_keep_alive(broker: Mosquitto) -> None:
    async with gateway(broker, keepalive_s=1) as connection:
        broker.pause()
        async with asyncio.timeout(2 * 1 + 2):
            with pytest.raises(LinkDown, match="Keep alive timeout"):
                await connection.closed()


async def test_messages_that_came_before_the_end_are_given_out(broker: Mosquitto) -> None:
    async with gateway(broker) as connection:
        await send(broker, 2)
        await until(lambda: connection.held == 2)
        await broker.kill()
        with pytest.raises(LinkDown):
            await connection.closed()
        late = [await connection.receive(), await connection.receive()]
        assert [m.payload for m in late] == [b"0", b"1"]
        assert not connection.ack(late[0])
        with pytest.raises(LinkDown):
            await connection.receive()
    await broker.start()


@pytest.mark.both_loops
async def test_leaving_takes_no_longer_than_the_bound_when_the_broker_is_frozen(
    broker: Mosquitto,
) -> None:
    async with gateway(broker) as connection:
        broker.pause()
        for _ in range(100):  # more than the socket's buffers hold: DISCONNECT cannot leave
            connection.publish_nowait("up/0", bytes(60_000), qos=0)
        left = time.monotonic()
    assert time.monotonic() - left < 3
    assert established(broker.port) == 0


async def test_memory_is_bounded_when_the_broker_takes_nothing(broker: Mosquitto) -> None:
    async with gateway(broker) as connection:
        broker.pause()
        for _ in range(10_000):
            connection.publish_nowait("up/0", b"x")
        with pytest.raises(LinkDown, match="10000 messages before it are not taken"):
            connection.publish_nowait("up/0", b"x")
        broker.resume()


async def test_another_client_with_our_identifier_ends_the_connection(broker: Mosquitto) -> None:
    async with gateway(broker) as first, gateway(broker):
        async with asyncio.timeout(1):
            with pytest.raises(LinkDown):
                await first.closed()


async def test_a_broker_that_says_that_another_took_our_place_is_understood() -> None:
    """Mosquitto 2.0 only closes the connection; others say why."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"\x20\x03\x00\x00\x00" + b"\xe0\x01\x8e")  # CONNACK, DISCONNECT 0x8E
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say, "127.0.0.1", 0) as server:
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(TakenOver, match="Session taken over"):
            async with connect(endpoint(url), client_id="a", clock=FakeClock()) as connection:
                await connection.closed()


async def test_we_say_how_much_we_take_and_wait_for_no_delayed_ack() -> None:
    """Receive maximum and maximum packet size (MQTT 5, 3.1.2.11), and TCP_NODELAY."""
    said: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(await reader.read(4096))
        writer.write(b"\x20\x03\x00\x00\x00")  # CONNACK
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        near = connect(endpoint(url), client_id="a", clock=FakeClock(), receive_max=7)
        async with near as connection:
            sock = connection._paho.socket()
            assert isinstance(sock, socket.socket)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    assert b"\x21" + (7).to_bytes(2) in said[0]
    assert b"\x27" + PACKET_BYTES.to_bytes(4) in said[0]


async def test_topics_without_end_take_no_memory_without_end(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.mqtt_read.KNOWN_TOPICS", 5)
    async with gateway(broker) as connection, link(broker, "device") as device:
        for number in range(20):
            await device.publish(f"d/{number}/event", b"")
        topics = [(await connection.receive()).topic for _ in range(20)]
        assert topics == [f"d/{number}/event" for number in range(20)]
        assert len(connection._reader._topics) <= 5


async def test_retain_tells_stored_messages_from_live_ones(broker: Mosquitto) -> None:
    await send_retained(broker)
    async with gateway(broker) as connection:
        assert (await connection.receive()).retain
        await send_retained(broker)
        assert not (await connection.receive()).retain
    never = (Subscription(TOPIC, retain_handling=2),)
    async with link(broker, "other", subscriptions=never) as connection:
        await send(broker, 1)
        assert (await connection.receive()).payload == b"0"


async def send_retained(broker: Mosquitto) -> None:
    async with link(broker, "device") as device:
        await device.publish(TOPIC, b"on", retain=True)


async def test_a_qos_0_message_needs_no_ack(broker: Mosquitto) -> None:
    async with gateway(broker) as connection, link(broker, "device") as device:
        device.publish_nowait(TOPIC, b"x", qos=0)
        message = await connection.receive()
        assert (message.qos, connection.held) == (0, 0)
        assert connection.ack(message)
        assert connection.stale_acks == 0


async def test_the_will_is_published_when_the_line_breaks_and_not_when_we_leave(
    broker: Mosquitto,
) -> None:
    async with gateway(broker) as watcher:
        for breaks in (False, True):
            will = Will("d/lamp-1/online", b"%d" % breaks)
            async with link(broker, "device", will=will) as device:
                if breaks:
                    sock = device._paho.socket()
                    assert isinstance(sock, socket.socket)
                    sock.shutdown(socket.SHUT_RDWR)
                    with pytest.raises(LinkDown):
                        await device.closed()
        assert (await watcher.receive()).payload == b"1"


async def test_the_expiry_reaches_the_broker(broker: Mosquitto) -> None:
    listener = aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5)
    async with listener, link(broker, "device") as device:
        await listener.subscribe("up/0")
        await device.publish("up/0", b"x", expiry_s=60)
        message = await anext(listener.messages)
        assert getattr(message.properties, "MessageExpiryInterval", None) == 60


@pytest.mark.both_loops
async def test_how_many_messages_a_second_go_through(tmp_path: Path) -> None:
    """A figure, not a limit: QoS 1 in, one PUBACK each, publisher on the same loop."""
    count = 3000
    async with (
        Mosquitto(tmp_path / "broker", ["persistence false"]) as broker,
        gateway(broker, receive_max=1000) as connection,
        link(broker, "device") as device,
    ):
        began = time.perf_counter()
        for number in range(count):
            device.publish_nowait(TOPIC, b"%d" % number)
        for number in range(count):
            message = await connection.receive()
            assert message.payload == b"%d" % number
            assert connection.ack(message)
        took = time.perf_counter() - began
    print(f"{count / took:.0f} messages/s on {type(asyncio.get_running_loop()).__module__}")


@pytest.mark.both_loops
async def test_a_broker_that_overshoots_is_not_read(broker: Mosquitto) -> None:
    """Mosquitto sends more than Receive Maximum once acks flow (mosquitto#2301): a bound of ours."""
    count, window, most = 3_000, 16, 0
    async with gateway(broker, receive_max=window):
        pass
    async with link(broker, "device") as device:
        for number in range(count):
            device.publish_nowait(TOPIC, b"%d" % number)
        await device.publish(TOPIC, b"last")
    seen: list[bytes] = []
    async with gateway(broker, receive_max=window) as connection:
        while len(seen) <= count:
            message = await connection.receive()
            most = max(most, connection.held)
            await asyncio.sleep(0)  # a slow consumer: the loop may read more meanwhile
            seen.append(message.payload)
            assert connection.ack(message)
    assert seen == [*(b"%d" % number for number in range(count)), b"last"]
    # What one read brings comes on top of the bound, about 16 KB of 20-byte packets at the worst.
    assert window < most <= 2 * window + 16_384 // 20
    print(f"at most {most} held with a window of {window}")


async def test_what_the_broker_has_under_way_for_us_keeps_us_from_no_subscription(
    broker: Mosquitto,
) -> None:
    """It comes before the SUBACK, and more of it than may wait for its ack."""
    async with gateway(broker, receive_max=100) as connection:
        await send(broker, 50)
        await until(lambda: connection.held == 50)
    async with asyncio.timeout(8), gateway(broker, receive_max=2) as connection:
        came = [await connection.receive() for _ in range(50)]
        assert [message.payload for message in came] == [b"%d" % number for number in range(50)]


@pytest.mark.both_loops
async def test_a_pause_that_lasts_ends_the_connection_and_loses_nothing(broker: Mosquitto) -> None:
    async with gateway(broker, receive_max=2, keepalive_s=2) as connection:
        async with link(broker, "device") as device:
            for number in range(200):
                device.publish_nowait(TOPIC, b"%d" % number, qos=number % 2)
            await device.publish(TOPIC, b"last")
        async with asyncio.timeout(5):
            with pytest.raises(LinkDown, match="wait for their commit"):
                await connection.closed()
    async with gateway(broker, receive_max=1000) as connection:
        again = {(await connection.receive()).payload for _ in range(101)}
    assert again == {b"last", *(b"%d" % number for number in range(1, 200, 2))}
