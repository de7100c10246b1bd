"""The `upstream:` section of the configuration: one entry per destination, each with its own cursor."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.endpoint import MqttEndpoint
from gateway.model import LANES
from gateway.settings import Duration, Section, wrong
from gateway.words.text import fault

LONGEST_LINGER_S = 60.0


def _lanes(value: list[int]) -> list[int]:
    for lane in value:
        if lane not in LANES:
            raise wrong(*fault("setting.lane", lane=lane))
    if len(set(value)) != len(value):
        raise wrong(*fault("setting.lane_twice"))
    return value


def _linger(value: float) -> float:
    if value > LONGEST_LINGER_S:
        raise wrong(*fault("setting.too_long", value=value))
    return value


def _max_life(value: float) -> float:
    if not 1 <= value <= 86_400:
        raise wrong(*fault("setting.seconds", value=value, low="1s", high="24h"))
    return value


class DownlinkSection(Section):
    """What this platform may send back. Without it nothing is subscribed and nothing is taken.

    What it may write is `commands.allow`. `rate` (a minute) and `burst` bound commands;
    `max_life` how far ahead `not_after` may be. `config`: it may propose configurations;
    with `apply` they are taken over without asking.
    """

    rate: Annotated[int, Field(ge=1, le=60)] = 10
    burst: Annotated[int, Field(ge=1, le=1_000)] = 200
    max_life: Annotated[Duration, AfterValidator(_max_life)] = 3_600.0
    config: bool | Literal["apply"] = False


class UpstreamSection(MqttEndpoint):
    """A community platform behind an MQTT 5 broker.

    `ack: platform` takes an item as delivered when the platform says so on the `ack` topic;
    `ack: broker` when the broker does, which is no promise that it will outlive the broker.
    Samples (lane 2) leave the compound only if `lanes` says so: household load curves are private
    and a metered link costs money. `linger` is how long telemetry (lanes 2 and 3) waits for more of
    it, so that it goes in large batches; alarms and events never wait. `allow_unsynced_clock`: while
    the gateway does not know what day it is, dates of certificates are not checked, and alarms
    alone are sent.
    """

    dialect: Literal["native"] = "native"
    ack: Literal["platform", "broker"] = "platform"
    lanes: Annotated[list[int], AfterValidator(_lanes)] = [0, 1]
    allow_unsynced_clock: bool = False
    linger: Annotated[Duration, AfterValidator(_linger)] = 0.25
    downlink: DownlinkSection | None = None
