"""What the broker says it threw away: the only trace of a message that is too long or too many."""

import re

from gateway.health import LinkHealth
from gateway.mqtt import Received, Subscription

# Mosquitto publishes it every `sys_interval`, 10 s by default, when it has changed (mosquitto(8)).
TOPIC = "$SYS/broker/publish/messages/dropped"
_NUMBER = re.compile(rb"[0-9]{1,18}\Z")


class Dropped:
    """Counts as `broker_dropped` what was dropped since we looked first, for whomever it was."""

    # No message of a device waits behind it, and a broker may have nothing to tell or not tell it.
    SUBSCRIPTION = Subscription(TOPIC, qos=0, needed=False)

    def __init__(self, health: LinkHealth) -> None:
        self._health = health
        self._last: int | None = None
        self._asks = True

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        return (self.SUBSCRIPTION,) if self._asks else ()

    def blame(self, error: str) -> None:
        """The connection failed: if it was for our question, it is not asked again.

        rumqttd, the broker inside iotcore, hangs up on whoever subscribes below `$`.
        """
        self._asks = self._asks and f"subscribing {TOPIC}:" not in error

    def take(self, message: Received) -> bool:
        """False: it is no such message. A total that fell is that of a broker that was restarted."""
        if message.topic != TOPIC:
            return False
        if _NUMBER.match(message.payload):
            total = int(message.payload)
            last = total if self._last is None else self._last
            self._last = total
            if total != last:
                self._health.counters["broker_dropped"] += total - last if total > last else total
        return True
