"""Connections of gateway.mqtt as tests need them."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from gateway.endpoint import MqttEndpoint
from gateway.mqtt import Connection, Subscription, connect
from tests.harness.broker import Mosquitto
from tests.harness.clock import FakeClock

TOPIC = "d/lamp-1/event"
INBOX = (Subscription("d/#"),)


def endpoint(url: str, **more: object) -> MqttEndpoint:
    return MqttEndpoint.model_validate({"url": url, **more})


def link(
    broker: Mosquitto, client_id: str, **options: Any
) -> AbstractAsyncContextManager[Connection]:
    return connect(endpoint(broker.url), client_id=client_id, clock=FakeClock(), **options)


def gateway(broker: Mosquitto, **options: Any) -> AbstractAsyncContextManager[Connection]:
    """As the MQTT driver connects: the broker keeps what we have not acked."""
    return link(broker, "gateway", session_expiry_s=600, subscriptions=INBOX, **options)


async def send(broker: Mosquitto, count: int, **options: Any) -> None:
    async with link(broker, "device") as device:
        for number in range(count):
            assert (await device.publish(TOPIC, b"%d" % number, **options)).ok
