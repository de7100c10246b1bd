"""Sabotages of what speaks MQTT: devices, the platform, and the log of what it commanded.

`put` is `setattr` for the life of a process, or `monkeypatch.setattr` for that of a test.
"""

from collections.abc import Callable
from typing import Any

import orjson

from drivers.mqtt import dialect, native, path, silence, strangers
from drivers.mqtt.admit import Pace
from drivers.mqtt.convert import Conversion
from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.mapped import Condition
from drivers.mqtt.native import Reading
from drivers.mqtt.settings import MqttDevice
from gateway import audit, audit_chain
from gateway.audit_chain import Head, Line
from gateway.model import EMPTY
from gateway.mqtt import Received
from gateway.profile import Profile
from gateway.sinks import courier, flow, meter
from gateway.sinks.flow import Drain

Put = Callable[[Any, str, object], None]


# -- what a device says ---------------------------------------------------------------------------


def topics_of_the_profile(put: Put) -> None:
    """Whatever a device's section says, its topics are those of the profile."""

    def captures(profile: Profile, section: MqttDevice) -> dict[str, str]:
        return {**profile.captures, "topic_id": section.topic_id}

    put(dialect, "captures", captures)


def first_of_a_list(put: Put) -> None:
    """A path that names a record of a list finds the first one."""
    put(path, "_element", lambda records, _wanted: records[0] if records else path.MISSING)


def no_value_maps(put: Put) -> None:
    """What a profile says about the words of a device is ignored."""
    proper = Conversion.__call__

    def convert(self: Conversion, raw: object) -> object:
        return proper(Conversion(self.profile, self.point, None), raw)

    put(Conversion, "__call__", convert)


def no_scale(put: Put) -> None:
    """Numbers are taken as the device writes them."""
    put(Conversion, "_scaled", lambda _self, number: number)


def no_conditions(put: Put) -> None:
    """Every message of a topic counts, whatever it says it is."""
    put(Condition, "holds", lambda _self, _message: True)


def always_online(put: Put) -> None:
    """Whoever says anything about his presence is there."""

    def presence(payload: bytes) -> Reading:
        native.decode_online(payload)
        return Reading({dialect.ONLINE_POINT: True}, EMPTY, None, None)

    put(dialect, "_presence", presence)


def a_will_is_a_sign_of_life(put: Put) -> None:
    """What the broker says of a device counts as said by the device."""
    proper = MqttDriver._note

    def note(self: MqttDriver, peer: Any, kind: str, message: Received, reading: Reading) -> None:
        proper(self, peer, kind, message, reading)
        peer.heard_ns = message.received_ns

    put(MqttDriver, "_note", note)


def nobody_is_missed(put: Put) -> None:
    """Silence is never looked for."""
    put(silence, "LOOK_S", 3600)


def no_rate_limit(put: Put) -> None:
    """A device may say as much as it likes."""
    put(Pace, "admits", lambda *_args, **_how: True)


def one_bucket_for_all(put: Put) -> None:
    """A device's alarms and telemetry share one limit."""
    put(Pace, "admits", lambda self, now_ns, *, alarm: self._rest.take(now_ns))


def no_credit(put: Put) -> None:
    """What the broker kept for us counts as said at once."""
    put(Pace, "credit", lambda _self, _seconds: None)


def every_stranger_is_remembered(put: Put) -> None:
    """Whoever makes up names fills the memory."""
    put(strangers, "MAX_STRANGERS", 10**9)


def every_payload_is_looked_into(put: Put) -> None:
    """A payload of a stranger has as many keys as it likes."""
    put(strangers, "MAX_KEYS", 10**9)


# -- what leaves for the platform -----------------------------------------------------------------


def never_slower(put: Put) -> None:
    """The drain hears nothing of a platform that is late."""
    put(flow, "BACK_OFF_S", 1e9)


def never_faster(put: Put) -> None:
    """The drain stays at the rate with which it began."""
    put(flow, "MOST", flow.START)


def no_bound(put: Put) -> None:
    """The drain lets everything through."""
    put(Drain, "may", lambda *_figures: True)


def count_payloads(put: Put) -> None:
    """The books have the payloads alone."""
    for module in (courier, meter):
        put(module, "packet_bytes", lambda _topic, payload: len(payload))


def books_of_this_run(put: Put) -> None:
    """What was counted before a restart is forgotten."""
    put(meter, "_read", lambda _path: {})


def one_long_day(put: Put) -> None:
    """All bytes count for the day of the start."""
    proper = meter.Meter._turn

    def turn(self: meter.Meter) -> None:
        if self._day == meter.UNDATED:
            proper(self)
        self._until_ns = 2**63

    put(meter.Meter, "_turn", turn)


# -- the audit log --------------------------------------------------------------------------------


def hashes_are_believed(put: Put) -> None:
    """Whatever hash a line shows is taken for its own."""

    def unseal(line: bytes) -> Line | None:
        match = audit_chain._SEALED.fullmatch(line)
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError:
            return None
        return match and Line(Head(fields["n"], match[2].decode()), fields["prev"], fields)

    put(audit_chain, "unseal", unseal)


def lines_stand_alone(put: Put) -> None:
    """Nobody looks whether a line continues the one before."""
    put(audit_chain._Checker, "_misfit", lambda _self, _line: "")


def any_beginning(put: Put) -> None:
    """A log may begin with any line."""
    put(audit_chain._Checker, "begin", lambda _self, _file: None)


def begin_anew(put: Put) -> None:
    """Each start begins a chain of its own."""
    put(audit, "newest_first", lambda _directory: iter(()))


def heads_are_forgotten(put: Put) -> None:
    """What the platform knows of the log is not compared."""
    proper = audit_chain._Checker.__init__
    put(audit_chain._Checker, "__init__", lambda self, _known: proper(self, Head()))
