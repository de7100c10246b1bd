"""How a connection of gateway.mqtt begins, and what is left when it does not."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway import mqtt
from gateway.endpoint import MqttEndpoint
from gateway.errors import LinkDown, Refused
from gateway.mqtt import Subscription, connect
from tests.harness.broker import Mosquitto, established, password_line, until
from tests.harness.certificates import make
from tests.harness.clock import FakeClock
from tests.harness.mqtt import INBOX, endpoint, gateway, send
from tests.harness.ports import free_port


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.mark.both_loops
@pytest.mark.parametrize("how", ["timed out", "cancelled"])
async def test_an_abandoned_connect_leaves_no_socket_and_takes_no_message(
    broker: Mosquitto, how: str
) -> None:
    async with gateway(broker):
        pass
    await send(broker, 50)
    broker.pause()
    entered = gateway(broker, connect_timeout_s=0.2 if how == "timed out" else 10.0)
    attempt = asyncio.create_task(entered.__aenter__())
    await until(lambda: established(broker.port) == 1)
    if how == "cancelled":
        attempt.cancel()
    await asyncio.wait({attempt})
    assert established(broker.port) == 0
    if how == "timed out":
        with pytest.raises(LinkDown, match=r"^gateway: connecting to .*: no answer, limit 0\.2 s$"):
            attempt.result()
    broker.resume()
    async with gateway(broker) as connection:
        payloads = [(await connection.receive()).payload for _ in range(50)]
        assert payloads == [b"%d" % number for number in range(50)]


@pytest.mark.both_loops
async def test_cancelled_at_any_point_and_again_it_still_closes_its_socket(
    broker: Mosquitto,
) -> None:
    async def stay() -> None:
        async with gateway(broker):
            await asyncio.Event().wait()

    for turns in range(40):
        attempt = asyncio.create_task(stay())
        for _ in range(turns):
            await asyncio.sleep(0)
        attempt.cancel()
        await asyncio.sleep(0)
        attempt.cancel()
        await asyncio.wait({attempt})
        assert attempt.cancelled()
        assert established(broker.port) == 0


async def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    users = tmp_path / "passwd"
    users.write_text(password_line("gateway", "right"))
    extra = ["allow_anonymous false", f"password_file {users}"]
    async with Mosquitto(tmp_path / "broker", extra) as broker:
        login = {"username": "gateway", "password": SecretStr("right")}
        async with connect(endpoint(broker.url, **login), client_id="gw", clock=FakeClock()):
            pass
        login["password"] = SecretStr("wrong")
        with pytest.raises(Refused, match=rf"^gw: connecting to {broker.url}: Not authorized$"):
            async with connect(endpoint(broker.url, **login), client_id="gw", clock=FakeClock()):
                pass


async def test_nobody_at_the_address_is_link_down() -> None:
    there = endpoint(f"mqtt://127.0.0.1:{free_port()}")
    with pytest.raises(LinkDown, match=r"^gw: connecting to mqtt://.*refused$"):
        async with connect(there, client_id="gw", clock=FakeClock()):
            pass


CONNECT, PUBLISH, SUBSCRIBE = 0x10, 0x30, 0x80  # MQTT 5 2.1.2, in place
CONNACK = "20 03 00 00 00"
HANG_UP = ""


@asynccontextmanager
async def scripted(answers: dict[int, str]) -> AsyncIterator[MqttEndpoint]:
    """A peer that does what Mosquitto never does: it answers each kind of packet as written."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, length = await reader.readexactly(2)  # all packets here are short
                await reader.readexactly(length)
                answer = bytes.fromhex(answers.get(kind & 0xF0, "c0 00"))
                writer.write(answer)
                if not answer:
                    break
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield endpoint(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")


@pytest.mark.parametrize(
    ("answers", "kind", "says"),
    [
        ({CONNECT: HANG_UP}, LinkDown, "connection lost|reset by peer"),
        ({CONNECT: "20 03 00 88 00"}, LinkDown, "Server unavailable"),
        ({CONNECT: "20 03 00 85 00"}, Refused, "Client identifier not valid"),
        ({CONNECT: "20 02 00 01"}, Refused, "Unsupported protocol version"),  # an MQTT 3.1.1 broker
        ({CONNECT: CONNACK, SUBSCRIBE: "90 04 00 01 00 87"}, Refused, "d/#: Not authorized"),
        ({CONNECT: CONNACK, SUBSCRIBE: HANG_UP}, LinkDown, "subscribing d/#: connection lost"),
    ],
)
async def test_what_a_peer_answers_decides_between_retry_and_operator(
    answers: dict[int, str], kind: type[Exception], says: str
) -> None:
    async with scripted(answers) as there:
        with pytest.raises(kind, match=rf"^gw: connecting to {there.url}: .*({says})"):
            async with connect(there, client_id="gw", clock=FakeClock(), subscriptions=INBOX):
                pass


async def test_a_subscription_that_is_not_needed_may_be_refused() -> None:
    async with scripted({CONNECT: CONNACK, SUBSCRIBE: "90 04 00 01 00 87"}) as there:
        spare = (Subscription("$SYS/x", needed=False),)
        async with connect(there, client_id="gw", clock=FakeClock(), subscriptions=spare) as made:
            assert made.receive_nowait() is None


async def test_a_malformed_message_ends_the_connection() -> None:
    broken = "30 05 00 01 ff 00 78"  # PUBLISH to a topic that is no UTF-8
    async with (
        scripted({CONNECT: f"{CONNACK} {broken}"}) as there,
        connect(there, client_id="gw", clock=FakeClock()) as connection,
    ):
        async with asyncio.timeout(1):
            with pytest.raises(LinkDown, match="no UTF-8"):
                await connection.closed()


async def test_a_publish_without_an_answer_ends_in_link_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mqtt, "PUBACK_S", 0.05)
    async with (
        scripted({CONNECT: CONNACK}) as there,
        connect(there, client_id="gw", clock=FakeClock()) as connection,
    ):
        with pytest.raises(LinkDown, match=r"^gw: publishing up/0 to .*: no PUBACK in 0\.05 s$"):
            await connection.publish("up/0", b"x")


async def test_a_peer_without_tls_is_refused() -> None:
    async def other(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(other, "127.0.0.1", 0) as server:
        there = endpoint(f"mqtts://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(Refused, match=r"^gw: connecting to mqtts://.*WRONG_VERSION_NUMBER"):
            async with connect(there, client_id="gw", clock=FakeClock()):
                pass
    gc.collect()  # a socket that nobody closed would warn


async def test_a_handshake_that_ends_in_the_middle_is_a_line_that_is_down() -> None:
    async def restart(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.close()

    async with await asyncio.start_server(restart, "127.0.0.1", 0) as server:
        there = endpoint(f"mqtts://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(LinkDown, match=r"^gw: connecting to mqtts://.*EOF"):
            async with connect(there, client_id="gw", clock=FakeClock()):
                pass
    gc.collect()


async def test_a_broker_that_says_goodbye_is_quoted() -> None:
    goodbye = "e0 02 8b 00"  # DISCONNECT, which Mosquitto 2.0.11 never sends
    async with (
        scripted({CONNECT: CONNACK, PUBLISH: goodbye}) as there,
        connect(there, client_id="gw", clock=FakeClock()) as connection,
    ):
        connection.publish_nowait("up/0", b"x")
        with pytest.raises(LinkDown, match=r"the broker said: Server shutting down$"):
            await connection.closed()


async def test_a_broker_with_a_small_receive_maximum_is_not_overrun() -> None:
    topics: list[bytes] = []
    taken = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly((await reader.readexactly(2))[1])  # CONNECT, shorter than 128
        writer.write(bytes.fromhex("20 06 00 00 03 21 00 02"))  # CONNACK, Receive Maximum 2
        while not taken.is_set():
            kind, length = await reader.readexactly(2)
            packet = await reader.readexactly(length)
            if kind & 0xF0 == 0x30:
                topics.append(packet[2:6])
            if topics[-1:] == [b"last"]:
                taken.set()
        writer.close()

    async with await asyncio.start_server(slow, "127.0.0.1", 0) as server:
        there = endpoint(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with connect(there, client_id="gw", clock=FakeClock()) as connection:
            for _ in range(5):
                connection.publish_nowait("up/2", b"x")
            connection.publish_nowait("last", b"x", qos=0)
            async with asyncio.timeout(5):
                await taken.wait()
    assert topics == [b"up/2", b"up/2", b"last"]


@pytest.fixture
async def certificates(tmp_path: Path) -> Path:
    await make(tmp_path, "ca ca; ca other; pair localhost ca; pair client ca")
    return tmp_path


async def test_tls_checks_the_broker_and_shows_our_certificate(certificates: Path) -> None:
    port = free_port()
    extra = [
        f"listener {port} 127.0.0.1",
        f"cafile {certificates}/ca.crt",
        f"certfile {certificates}/localhost.crt",
        f"keyfile {certificates}/localhost.key",
        "require_certificate true",
    ]
    ca = {"ca": f"{certificates}/ca.crt"}
    pair = {
        "client_cert": f"{certificates}/client.crt",
        "client_key": f"{certificates}/client.key",
    }
    here, by_number = f"mqtts://localhost:{port}", f"mqtts://127.0.0.1:{port}"

    async def enter(there: MqttEndpoint) -> None:
        async with connect(there, client_id="gw", clock=FakeClock()) as connection:
            assert (await connection.publish("up/0", b"x")).code == 0x10

    async with Mosquitto(certificates / "broker", extra) as broker:
        await enter(endpoint(here, **ca, **pair))
        for wrong, says in {
            endpoint(
                here, ca=f"{certificates}/other.crt", **pair
            ): "self-signed|unable to get|verify failed",
            endpoint(by_number, **ca, **pair): "IP address mismatch",
            endpoint(here, **ca): "certificate required",
            endpoint(here, ca=f"{certificates}/none.crt", **pair): "none.crt.*No such file",
        }.items():
            with pytest.raises(Refused, match=says):
                await enter(wrong)
        broker.pause()
        attempt = asyncio.create_task(enter(endpoint(here, **ca, **pair)))
        await until(lambda: established(port) == 1)
        attempt.cancel()
        broker.resume()
        await asyncio.wait({attempt})
        assert attempt.cancelled()
        assert established(port) == 0
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, ssl.SSLSocket)]
