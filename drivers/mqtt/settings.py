"""Configuration of MQTT links and of the devices behind them."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

from gateway.driver import DeviceSection, LinkSection
from gateway.endpoint import MqttEndpoint
from gateway.settings import wrong


def _topic_id(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise wrong(f"'{value}' is no topic id", "use 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")
    return value


class MqttLink(LinkSection, MqttEndpoint):
    """One broker: {driver: mqtt, url: "mqtts://127.0.0.1:8883", username: gateway, ...}."""

    driver: Literal["mqtt"]


class MqttDevice(DeviceSection):
    """One device behind a broker; its topics are `d/<topic_id>/...`."""

    topic_id: Annotated[str, AfterValidator(_topic_id)]
