"""One simulated program on an MQTT broker: it stays connected, hears its topics, and publishes."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterable, Sequence

import aiomqtt

from simulators.cancelling import obey_cancellation

log = logging.getLogger(__name__)

RECONNECT_S = 0.5
KEEPALIVE_S = 10


class Station:
    """MQTT 3.1.1, as the devices that it stands for.

    `hear(topic, payload)` gives what is to be published for a message: (topic, payload). `presence` is
    its topic, what stands there while it is connected, and the last will; both are retained.
    """

    def __init__(
        self,
        host: str,
        port: int,
        name: str,
        topics: Sequence[str],
        hear: Callable[[str, bytes], Iterable[tuple[str, str]]],
        *,
        presence: tuple[str, str, str],
    ) -> None:
        self._host, self._port, self._name = host, port, name
        self._topics, self._hear = topics, hear
        self._presence, self._up, self._down = presence
        self._client: aiomqtt.Client | None = None
        self.online = asyncio.Event()
        self._reachable = asyncio.Event()
        self._reachable.set()

    async def stay_connected(self) -> None:
        while True:
            await self._reachable.wait()
            try:
                await self._session()
            except aiomqtt.MqttError as error:
                log.info("%s: %s", self._name, error)
            await asyncio.sleep(RECONNECT_S)

    async def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        """QoS 0, as these devices do; nothing while there is no connection."""
        if self._client is not None:
            with contextlib.suppress(aiomqtt.MqttError):
                await self._client.publish(topic, payload, retain=retain)
                obey_cancellation()

    def go_offline(self) -> None:
        """Lose the network without a goodbye, so that the broker sends the last will."""
        self._reachable.clear()
        found = None if self._client is None else self._client._client.socket()  # no public way
        if isinstance(found, socket.socket):
            with contextlib.suppress(OSError):  # already cut by the other side
                found.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        self._reachable.set()

    async def _session(self) -> None:
        client = aiomqtt.Client(
            self._host,
            self._port,
            identifier=self._name,
            protocol=aiomqtt.ProtocolVersion.V311,
            will=aiomqtt.Will(self._presence, self._down, qos=1, retain=True),
            keepalive=KEEPALIVE_S,
            timeout=5.0,
        )
        try:
            async with client:
                for topic in self._topics:
                    await client.subscribe(topic)
                await client.publish(self._presence, self._up, qos=1, retain=True)
                self._client = client
                self.online.set()
                obey_cancellation()
                async for message in client.messages:
                    for topic, payload in self._hear(message.topic.value, bytes(message.payload)):
                        await client.publish(topic, payload)
                    obey_cancellation()
        finally:
            self._client = None
            self.online.clear()
            client._client._sock_close()  # aiomqtt leaves it open after a cancelled connect
