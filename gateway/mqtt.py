"""MQTT 5 over aiomqtt, hardened; only this module, mqtt_connect and mqtt_read import it and paho.

aiomqtt 2.5.1 gives paho 2.2.0 its place in the event loop: client, sockets, keep-alive. Messages,
acknowledgements, publishes and the two ends of a connection are handled here and in mqtt_read,
because there the libraries lose or invent data or are slow (tests/contract/test_libraries.py):

- PUBACK is ours, after the commit (T1), and for the message it is meant for (T9);
- no bounded queue, which drops after the PUBACK (T2), no iterator, which loses on cancel (T7);
- whoever leaves a connect half-way closes its socket, else a ghost eats messages (T4);
- the broker's reason reaches the publisher (T5); nothing is sent twice behind its back (T8).
"""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiomqtt
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, error_string
from paho.mqtt.enums import LogLevel, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.clock import Clock
from gateway.endpoint import MqttEndpoint, MqttUrl
from gateway.errors import LinkDown, Refused, TakenOver
from gateway.mqtt_connect import FAILURE, Reason, Subscription, Will, dial, new_client, properties
from gateway.mqtt_read import Received, SocketReader
from gateway.mqtt_wire import PUBACK, TAKEN_OVER, pubacks, publish
from gateway.tls import Context

__all__ = ["Connection", "Reason", "Received", "Subscription", "Will", "connect"]

PUBACK_S = 10.0  # a broker on a bad 4G line answers within this or not at all
CLOSE_S = 2.0  # for the last PUBACKs and DISCONNECT to leave; a dead peer must not delay shutdown
INFLIGHT = 20  # paho's own default; brokers may ask for less (MQTT 5 3.2.2.3.3)
OUTSTANDING = 10_000  # publishes not yet taken by the broker: bounds memory when it stops reading
_GENERATIONS = itertools.count(1)

Answer = asyncio.Future[Reason | None]  # None: the connection died first


@asynccontextmanager
async def connect(
    endpoint: MqttEndpoint,
    *,
    client_id: str,
    clock: Clock,
    session_expiry_s: int = 0,
    receive_max: int = 64,
    subscriptions: Sequence[Subscription] = (),
    will: Will | None = None,
    keepalive_s: int = 10,
    connect_timeout_s: float = 10.0,
    context: Context | None = None,
) -> "AsyncIterator[Connection]":
    """Connect, subscribe, yield the connection, and leave no socket behind whatever happens.

    `session_expiry_s` > 0 keeps subscriptions and un-acked messages at the broker for so long;
    `receive_max` bounds un-acked messages; a broker that sends twice as many is not read. A dead
    peer is noticed within 2 x `keepalive_s` + 2 s. Raises `LinkDown` (no answer within `connect_timeout_s`, or
    broken) or `Refused` (login, identifier, certificate, a subscription). Never reconnects. Reads
    the certificate files anew unless it is given a `context`.
    When cancelled, a name lookup or TLS handshake under way is waited for: a thread does it.
    """
    client = new_client(endpoint, client_id, will)
    connection = Connection(client, client_id, endpoint.url, clock, receive_max, keepalive_s)
    doing = f"{client_id}: connecting to {endpoint.url}:"
    try:
        try:
            async with asyncio.timeout(connect_timeout_s):
                await dial(
                    client._client,
                    endpoint,
                    session_expiry_s=session_expiry_s,
                    receive_max=receive_max,
                    keepalive_s=keepalive_s,
                    timeout_s=connect_timeout_s / 2,
                    context=context,
                )
                await connection._opened()
                await connection._subscribe(subscriptions)
                connection._subscribed = True
        except TimeoutError as error:
            raise LinkDown(f"{doing} no answer, limit {connect_timeout_s:g} s") from error
        except (LinkDown, Refused) as error:
            raise type(error)(f"{doing} {error}") from error
        yield connection
    finally:
        await connection._close()


class Connection:
    """One connection, from CONNACK to its end; made by `connect`, used on its loop only.

    `generation` is a number that no other connection of this process has. `session_present`:
    the broker still had our session. `stale_acks` counts acks that came too late or twice.
    """

    def __init__(
        self,
        client: aiomqtt.Client,
        name: str,
        url: MqttUrl,
        clock: Clock,
        receive_max: int,
        keepalive_s: int,
    ) -> None:
        self.generation = next(_GENERATIONS)
        self.session_present = False
        self.stale_acks = 0
        self._client, self._paho = client, client._client
        self._name, self._url, self._clock = name, url, clock
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[Received] = deque()
        self._arrived = asyncio.Event()
        self._held: dict[int, Received] = {}
        self._pending: dict[int, Answer | None] = {}
        self._connack: Answer = self._loop.create_future()
        self._lost: asyncio.Future[str] = self._loop.create_future()
        self._shut = asyncio.Event()  # paho has closed its socket
        self._down_as: type[LinkDown] = LinkDown
        self._complaint = ""  # paho's last error while connecting: it keeps no exception
        self._reader = SocketReader(
            self._paho, self._loop, clock, self.generation, self._take, self._lose
        )
        # Exact at the broker while nothing is acked; then Mosquitto overshoots (mosquitto#2301).
        self._most_held = 2 * receive_max
        self._subscribed = False  # till then nobody takes messages: a pause would hide the SUBACK
        self._longest_pause_s = keepalive_s / 2  # then the broker may think that we are gone
        self._take_over()

    @property
    def held(self) -> int:
        """QoS 1 messages received and not yet acked."""
        return len(self._held)

    @property
    def window(self) -> int:
        """How many publishes may wait for their PUBACK: 20, or fewer if the broker asks for it."""
        return self._paho._max_inflight_messages

    async def receive(self) -> Received:
        """The oldest message; cancelling loses none. What came before the end is given out first.

        Raises `LinkDown` when the connection is gone.
        """
        while not self._inbox:
            if self._lost.done():
                raise self._down("receiving from")
            self._arrived.clear()
            await self._arrived.wait()
        return self._inbox.popleft()

    async def receive_all(self) -> list[Received]:
        """All messages that are there, oldest first; at least one. Otherwise as `receive`."""
        messages = [await self.receive(), *self._inbox]
        self._inbox.clear()
        return messages

    def receive_nowait(self) -> Received | None:
        """The oldest message, or None."""
        return self._inbox.popleft() if self._inbox else None

    def ack(self, message: Received) -> bool:
        """Send PUBACK now. False, and counted: the message is of another connection or acked.

        QoS 0 needs none: True.
        """
        stale = self.stale_acks
        self.answer([message])
        return self.stale_acks == stale

    def answer(
        self, messages: Iterable[Received], replies: Iterable[tuple[str, bytes]] = ()
    ) -> None:
        """Send PUBACKs, then `replies` (topic, payload) as QoS 0, with one system call.

        A message of another connection, or acked before, is left out and counted.
        """
        mids: list[int] = []
        for message in messages:
            if message.qos == 0:
                continue
            # By identity: the broker gives the mid of an acked message to the next one.
            if self._lost.done() or self._held.get(message.mid) is not message:
                self.stale_acks += 1
            else:
                del self._held[message.mid]
                mids.append(message.mid)
        if self._lost.done():
            return
        packets = pubacks(mids) + b"".join([publish(t.encode(), body) for t, body in replies])
        if packets:
            self._paho._packet_queue(PUBACK << 4, packets, 0, 0)
        if self._reader.paused_at is not None and len(self._held) < self._most_held // 4:
            self._reader.resume()

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        expiry_s: int | None = None,
    ) -> Reason:
        """Publish and wait for PUBACK (QoS 1) or for the message to leave (QoS 0), at most 10 s.

        Raises `LinkDown` when none comes: the broker may have the message or not.
        """
        answer: Answer = self._loop.create_future()
        self._send(topic, payload, qos, retain, expiry_s, answer)
        doing = f"publishing {topic} to"
        try:
            async with asyncio.timeout(PUBACK_S):
                reason = await answer
        except TimeoutError as error:
            raise self._down(doing, f"no PUBACK in {PUBACK_S:g} s") from error
        if reason is None:
            raise self._down(doing)
        return reason

    def publish_nowait(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        expiry_s: int | None = None,
    ) -> None:
        """Publish without waiting; whether it arrived is not told. May raise `LinkDown`."""
        self._send(topic, payload, qos, retain, expiry_s, None)

    async def closed(self) -> None:
        """Wait for the end of the connection, then raise `LinkDown`."""
        await asyncio.shield(self._lost)
        raise self._down("connected to")

    def _down(self, doing: str, why: str | None = None) -> LinkDown:
        return self._down_as(f"{self._name}: {doing} {self._url}: {why or self._lost.result()}")

    def _send(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,  # noqa: FBT001 -- handed on
        expiry_s: int | None,
        answer: Answer | None,
    ) -> None:
        doing = f"publishing {topic} to"
        if self._lost.done():  # paho would keep it and send it when connected again
            raise self._down(doing)
        if len(self._pending) >= OUTSTANDING:
            raise self._down(doing, f"{OUTSTANDING} messages before it are not taken")
        expiry = {} if expiry_s is None else {"MessageExpiryInterval": expiry_s}
        extra = properties(PacketTypes.PUBLISH, **expiry) if expiry else None
        info = self._paho.publish(topic, payload, qos, retain, extra)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._down(doing, error_string(info.rc))
        self._pending[info.mid] = answer

    def _take_over(self) -> None:
        """Put our callbacks in the place of aiomqtt's; called before anything is sent."""
        paho = self._paho
        paho.disable_logger()  # a record for each packet; what fails is raised from here
        paho.manual_ack_set(True)  # noqa: FBT003 -- paho's signature
        paho.on_connect = self._on_connect
        paho.on_subscribe = self._on_subscribe
        paho.on_publish = self._on_publish
        paho.on_socket_open = self._on_socket_open
        paho.on_disconnect = self._on_disconnect
        paho.on_log = self._on_log
        paho.on_socket_register_write = self._watch_soon
        self._client._disconnected.add_done_callback(self._on_broken)

    async def _opened(self) -> None:
        """The TCP connection is there: wait for CONNACK."""
        self._paho.on_socket_register_write = self._watch  # the thread that dialled is gone
        reason = await self._connack
        self._paho.on_log = None
        if reason is None:
            # A peer that dislikes our certificate says so in an alert (RFC 8446 6.2), not CONNACK.
            why = self._complaint or self._lost.result()
            raise (Refused if "_ALERT_" in why else LinkDown)(why)
        if reason.code >= FAILURE:
            raise (LinkDown if reason.passing else Refused)(reason.text)

    async def _subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        for topic, retain_handling, qos, needed in subscriptions:
            options = SubscribeOptions(qos=qos, retainHandling=retain_handling)
            code, mid = self._paho.subscribe(topic, options=options)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
                raise LinkDown(f"subscribing {topic}: {error_string(code)}")
            answer = self._pending[mid] = self._loop.create_future()
            reason = await answer
            if reason is None:
                raise LinkDown(f"subscribing {topic}: {self._lost.result()}")
            if reason.code >= FAILURE and needed:
                raise Refused(f"subscribing {topic}: {reason.text}")

    async def _close(self) -> None:
        """Say goodbye to a peer that listens, then close the socket; at most `CLOSE_S` + 1 s."""
        listens = self._paho.socket() is not None and not self._lost.done()
        self._lose("closed")
        self._inbox.clear()
        try:
            if listens:
                self._paho.disconnect()
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_S):
                        await self._shut.wait()
        finally:
            self._paho._sock_close()
            self._reader.stop()
            keepalive = self._client._misc_task  # cancelled by the line above
            if keepalive is not None:
                async with asyncio.timeout(1):
                    await asyncio.wait({keepalive})

    def _lose(self, why: str) -> None:
        if self._lost.done():
            return
        self._lost.set_result(why)
        self._arrived.set()
        for answer in (self._connack, *self._pending.values()):
            if answer is not None and not answer.done():
                answer.set_result(None)
        self._pending.clear()

    def _answer(self, answer: Answer | None, code: ReasonCode) -> None:
        if answer is not None and not answer.done():
            answer.set_result(Reason(code.value, str(code)))

    def _take(self, messages: list[Received]) -> None:
        for message in messages:
            if message.qos:
                self._held[message.mid] = message
        self._inbox += messages
        self._arrived.set()
        if self._subscribed and max(len(self._held), len(self._inbox)) >= self._most_held:
            self._reader.pause(self._longest_pause_s)

    # Callbacks of paho, on our loop. None may close the socket: paho's lock is not re-entrant.

    def _watch(self, paho: Client, _: object, sock: object) -> None:
        # aiomqtt does not look, and may watch an fd that is closed or already someone else's.
        current = paho.socket()
        if current is not None and current is sock:
            self._loop.add_writer(current.fileno(), paho.loop_write)

    def _watch_soon(self, paho: Client, _: object, sock: object) -> None:
        self._loop.call_soon_threadsafe(self._watch, paho, _, sock)

    def _on_connect(
        self, paho: Client, _: object, flags: ConnectFlags, code: ReasonCode, granted: object
    ) -> None:
        self.session_present = flags.session_present
        # paho does not look at it, and offers no way to set it once connected.
        paho._max_inflight_messages = min(INFLIGHT, getattr(granted, "ReceiveMaximum", INFLIGHT))
        self._answer(self._connack, code)

    def _on_subscribe(
        self, _paho: Client, _: object, mid: int, codes: list[ReasonCode], _granted: object
    ) -> None:
        self._answer(self._pending.pop(mid, None), codes[0])

    def _on_publish(
        self, _paho: Client, _: object, mid: int, code: ReasonCode, _granted: object
    ) -> None:
        self._answer(self._pending.pop(mid, None), code)

    def _on_socket_open(self, paho: Client, _: object, sock: Any) -> None:
        """In the thread that dials. aiomqtt starts the keep-alive; its reader is replaced."""
        self._client._on_socket_open(paho, _, sock)
        self._loop.call_soon_threadsafe(self._reader.start, sock)

    def _on_disconnect(
        self, _paho: Client, _: object, flags: DisconnectFlags, code: ReasonCode, _said: object
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._down_as = TakenOver if code.value == TAKEN_OVER else LinkDown
            self._lose(f"the broker said: {code}")
        else:
            self._lose("connection lost" if code.value == FAILURE else str(code))
        self._shut.set()

    def _on_log(self, _paho: Client, _: object, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR:
            self._complaint = text

    def _on_broken(self, failed: asyncio.Future[None]) -> None:
        """Reading raised: aiomqtt keeps the exception and goes on with a dead socket."""
        if not failed.cancelled():
            self._lose(repr(failed.exception()))
