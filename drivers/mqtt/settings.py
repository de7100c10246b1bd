"""Configuration of MQTT links and of the devices behind them."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from drivers.mqtt.template import capture_fault
from gateway.driver import Device, DeviceSection, LinkSection
from gateway.endpoint import MqttEndpoint
from gateway.settings import wrong
from gateway.words.text import fault

TOPIC_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _topic_id(value: str) -> str:
    if not TOPIC_ID.fullmatch(value):
        raise wrong(*fault("setting.topic_id", value=value))
    return value


class MqttLink(LinkSection, MqttEndpoint):
    """One broker: {driver: mqtt, url: "mqtts://127.0.0.1:8883", username: gateway, ...}."""

    driver: Literal["mqtt"]
    # Messages of one device: a second, and at once. No field device comes near; a device that
    # empties its memory after an outage does for a moment. `event` and presence have as much once more.
    device_rate: Annotated[float, Field(ge=0.1, le=100_000, strict=False)] = 100.0
    device_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000


def _capture(value: str) -> str:
    why = capture_fault(value)
    if why is not None:
        raise wrong(*fault("setting.topic_part", value=value, why=why))
    return value


def _user(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value):
        raise wrong(*fault("setting.user", value=value))
    return value


class MqttDevice(DeviceSection):
    """One device behind a broker. Its topics are `d/<topic_id>/...`, or as the profile says."""

    topic_id: Annotated[str, AfterValidator(_topic_id)]
    captures: dict[str, Annotated[str, AfterValidator(_capture)]] = {}
    # What the device waits for before it forgets a message: our `ack` (L3), the broker (L1).
    delivery: Literal["application", "broker"] | None = None
    # Who it says it is in its payloads; given, every payload must say so.
    identity: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    # Its user at the broker; several devices behind one bridge have the bridge's.
    user: Annotated[str, AfterValidator(_user)] | None = None

    @property
    def login(self) -> str:
        return self.user or self.topic_id


def level_of(device: Device) -> str:
    """The level at which a device is acknowledged: L3 if it waits for our `ack`, else L1.

    Native devices do unless their section says otherwise; other dialects have no `ack`.
    """
    section = device.section
    delivery = section.delivery if isinstance(section, MqttDevice) else None
    if delivery is None:
        delivery = "application" if device.profile.dialect == "native" else "broker"
    return "L3" if delivery == "application" else "L1"
