"""A message to ourselves shows that the broker still gives us what we subscribed to.

Keep-alive only shows that the broker answers. It goes on doing so when our subscriptions are gone,
or when nobody reads the socket any more: the link looks well and is deaf.
"""

import asyncio
import logging

from gateway.errors import LinkDown
from gateway.health import LinkHealth
from gateway.mqtt import Connection, Received, Subscription

log = logging.getLogger(__name__)

# Together 20 s: a peer that is gone is to be noticed within 25 s.
PERIOD_S = 10.0
ANSWER_S = 10.0
EXPIRY_S = 10  # an old probe is of no use to a new connection
FAILURE = 0x80  # MQTT 5 2.4: this and above


class Deaf(LinkDown):
    """The broker answers, but we hear nothing."""


class Echo:
    """Publishes to a topic that it hears itself; anything else that is heard is as good an answer.

    The topic is our own `ack` below `d/`: where the gateway may acknowledge all devices and hear
    them, it may use this one too. A broker that forbids it is told of in the log, once, and the
    link stays up without it; `echo_missing` counts probes that did not come back.
    """

    def __init__(self, client_id: str, health: LinkHealth) -> None:
        self.topic = f"d/{client_id}/ack"
        self.subscription = Subscription(self.topic)
        self._name = client_id
        self._health = health
        self._came_back = False  # ever
        self._warned = self._forbidden = False
        self._heard = asyncio.Event()

    def take(self, message: Received) -> bool:
        """False: it is no probe."""
        if message.topic != self.topic:
            return False
        self._came_back = True
        self._heard.set()
        return True

    async def run(self, connection: Connection) -> None:
        """Until the connection ends. Raises Deaf when nothing comes back any more."""
        while not self._forbidden:
            self._heard.clear()
            before_ns = self._health.last_good_ns
            # QoS 1, so that we learn the reason if it is forbidden.
            reason = await connection.publish(self.topic, b"probe", expiry_s=EXPIRY_S)
            if reason.code >= FAILURE:
                self._forbidden = True  # never again: Mosquitto 2.0 closes the connection over it
                self._warn(reason.text)
            elif not await self._answered() and self._health.last_good_ns == before_ns:
                self._missing()
            await asyncio.sleep(PERIOD_S)

    async def _answered(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._heard.wait()
        except TimeoutError:
            return False
        return True

    def _missing(self) -> None:
        self._health.counters["echo_missing"] += 1
        if self._came_back:
            why = f"nothing is heard any more, not even our own message on {self.topic}"
            raise Deaf(f"{self._name}: {why}, in {ANSWER_S:g} s")
        self._warn("it does not come back")

    def _warn(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "%s: our own message on %s: %s; until the broker lets us read and write there, a "
                "link that has become deaf is not noticed",
                self._name, self.topic, why, extra={"component": "mqtt"},
            )  # fmt: skip
