"""When a device counts as silent, and what nobody knows of it then."""

from drivers.mqtt import silence
from drivers.mqtt.admit import Pace
from drivers.mqtt.peer import Peer
from drivers.mqtt.settings import MqttDevice
from gateway.driver import Device
from gateway.health import DeviceHealth
from gateway.profile import Profile

S = 1_000_000_000
PROFILE = Profile.model_validate({
    "profile": "siren", "type": "alarm", "facility": "fire", "protocol": "mqtt",
    "dialect": "native", "sources": ["this test"], "status": "code",
    "points": [
        {"id": "alarm.smoke", "kind": "state", "severity": "life"},
        {"id": "alarm.test", "kind": "state", "severity": "operational", "latched": True},
        {"id": "button.press", "kind": "event"},
        {"id": "device.online", "kind": "state"},
        {"id": "alarm.silent", "kind": "state", "severity": "operational"},
    ],
})  # fmt: skip


def peer(heard_s: int) -> Peer:
    keys = {"profile": "siren", "link": "field", "topic_id": "s1", "supervise": "60s"}
    section = MqttDevice.model_validate(keys)
    one = Peer(Device("siren-1", PROFILE, section), section, DeviceHealth(), Pace(10, 50))
    one.heard_ns = heard_s * S
    return one


def test_silence_counts_from_the_last_word_and_from_the_beginning_of_the_connection() -> None:
    one = peer(100)
    assert not silence._missing(one, 90 * S, 160 * S)
    assert silence._missing(one, 90 * S, 161 * S)
    assert not silence._missing(one, 500 * S, 560 * S), "nobody was heard without a connection"
    assert silence._missing(one, 500 * S, 561 * S)
    one.silent = True
    assert not silence._missing(one, 500 * S, 900 * S), "it was told"


def test_what_is_latched_or_happened_or_is_said_by_the_broker_stays_known() -> None:
    assert silence._unknown(PROFILE) == ["alarm.smoke"]
