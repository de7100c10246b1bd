"""How an MQTT connection begins: a client of its own; TCP, TLS and CONNECT in a thread."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import aiomqtt
from paho.mqtt.client import Client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway import tls
from gateway.endpoint import MqttEndpoint
from gateway.errors import LinkDown, Refused
from gateway.tls import Context

PACKET_BYTES = 65_536  # MQTT 5 3.1.2.11.4: a broker does not send us longer packets
NO_SUBSCRIBERS = 0x10  # MQTT 5 3.4.2.1: the broker threw the message away
FAILURE = 0x80  # MQTT 5 2.4: this and above
# MQTT 5 3.2.2.2, answers to CONNECT that may change by themselves: unspecified, implementation
# specific, server unavailable, server busy, quota exceeded, connection rate exceeded.
PASSING = frozenset({0x80, 0x83, 0x88, 0x89, 0x97, 0x9F})


class Will(NamedTuple):
    """What the broker publishes when it loses us without a DISCONNECT."""

    topic: str
    payload: bytes
    retain: bool = True
    qos: int = 1


class Subscription(NamedTuple):
    """A topic filter, QoS 1 or 0, never 2: paho drops QoS 2 messages that a crash interrupts.

    Retain As Published is off, so `Received.retain` means: stored, not live (MQTT 5 3.3.1.3).
    `retain_handling`: 0 send stored messages, 1 only if the subscription is new, 2 never.
    One that is not `needed` may be refused.
    """

    topic: str
    retain_handling: int = 0
    qos: int = 1
    needed: bool = True


class Reason(NamedTuple):
    """The broker's answer, an MQTT 5 reason code (2.4) and its name."""

    code: int
    text: str

    @property
    def ok(self) -> bool:
        """The broker took the message and had someone to give it to."""
        return self.code < FAILURE and self.code != NO_SUBSCRIBERS

    @property
    def passing(self) -> bool:
        """As an answer to CONNECT: it may change without anyone's doing."""
        return self.code in PASSING


def new_client(endpoint: MqttEndpoint, client_id: str, will: Will | None) -> aiomqtt.Client:
    """A client for one connection: a second use would send what the first one left unsent (T8)."""
    password = endpoint.password
    return aiomqtt.Client(
        endpoint.url.host,
        endpoint.url.port,
        username=endpoint.username,
        password=password.get_secret_value() if password else None,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5,
        will=aiomqtt.Will(will.topic, will.payload, will.qos, will.retain) if will else None,
    )


def properties(packet: int, **values: int) -> Properties:
    """MQTT 5 properties, by the names of the standard without spaces (2.2.2.2)."""
    made = Properties(packet)  # type: ignore[no-untyped-call]  # paho leaves this class untyped
    for name, value in values.items():
        setattr(made, name, value)
    return made


async def dial(
    paho: Client,
    endpoint: MqttEndpoint,
    *,
    session_expiry_s: int,
    receive_max: int,
    keepalive_s: int,
    timeout_s: float,
    context: Context | None = None,
) -> None:
    """Connect by TCP and TLS and queue CONNECT; `timeout_s` is for each of the two.

    Without a `context` one is made from the certificate files as they are.

    When cancelled it still waits for the thread that connects: nobody can stop it, and the socket
    that it opened later would be a ghost that takes our messages (T4). Raises `LinkDown`,
    `Refused` for what a retry does not mend, and TimeoutError.
    """
    wishes = properties(
        PacketTypes.CONNECT,
        SessionExpiryInterval=session_expiry_s,
        ReceiveMaximum=receive_max,
        MaximumPacketSize=PACKET_BYTES,
        RequestProblemInformation=1,
    )
    paho.connect_timeout = timeout_s
    url = endpoint.url
    connect = partial(
        paho.connect,
        url.host,
        url.port,
        keepalive_s,
        clean_start=session_expiry_s == 0,
        properties=wishes,
    )
    job = partial(_connect_tls, paho, endpoint, context, connect) if url.tls else connect
    try:
        await _ended(asyncio.get_running_loop().run_in_executor(None, job))
    except TimeoutError:
        raise
    except OSError as error:
        # Reset and end of file may be the line; any other TLS error is the peer's or our
        # certificate, or no TLS at all.
        mends = not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError)
        raise (LinkDown if mends else Refused)(str(error)) from error
    sock = paho.socket()
    if isinstance(sock, socket.socket):
        # Else a second small packet waits for the peer's delayed ACK of the first: 40 ms.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _connect_tls(
    paho: Client, endpoint: MqttEndpoint, given: Context | None, connect: Callable[[], object]
) -> None:
    # Made anew for each connection unless it is given, so that renewed certificate files are read.
    context = given or tls.context(endpoint)
    paho.tls_set_context(context)
    try:
        connect()
    except OSError:
        if context.sock is not None:
            context.sock.close()
        raise
    finally:
        context.sock = None  # the two would keep each other alive for ever


async def _ended(job: asyncio.Future[Any]) -> None:
    """Wait for the work of a thread to end, cancelled or not."""
    cancelled: asyncio.CancelledError | None = None
    while not job.done():
        try:
            await asyncio.wait({job})
        except asyncio.CancelledError as error:
            cancelled = error
    failed = job.exception()
    if cancelled is not None:
        raise cancelled
    if failed is not None:
        raise failed
