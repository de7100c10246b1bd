"""Sabotages of what speaks MQTT: devices, the platform, and the log of what it commanded.

`put` is `setattr` for the life of a process, or `monkeypatch.setattr` for that of a test.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson

from drivers.mqtt import dialect, driver, identity, native, path, silence, strangers
from drivers.mqtt.admit import Pace
from drivers.mqtt.convert import Conversion
from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.echo import Echo
from drivers.mqtt.lamp import LampWatch
from drivers.mqtt.mapped import Condition
from drivers.mqtt.native import Reading
from drivers.mqtt.settings import MqttDevice
from gateway import audit, audit_chain, tls
from gateway.audit_chain import Head, Line
from gateway.group import Groups
from gateway.model import EMPTY, Command, CommandResult
from gateway.mqtt import Connection, Reason, Received
from gateway.profile import Profile
from gateway.sinks import courier, downlink, flow, meter, order, traffic
from gateway.sinks.allowance import Allowance
from gateway.sinks.courier import Courier
from gateway.sinks.downlink import Downlink
from gateway.sinks.encode import Batch
from gateway.sinks.flow import Drain
from gateway.sinks.lane import Lane
from gateway.sinks.meter import Meter
from gateway.sinks.order import Order
from gateway.sinks.traffic import Traffic
from gateway.sinks.upstream import UpstreamSink
from gateway.sinks.window import Window
from gateway.store.store import Position, Store
from gateway.tls import Certificates

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


def no_identity_check(put: Put = setattr) -> None:
    """Whatever a payload says about its sender is believed."""
    put(identity, "check", lambda _section, _sender: None)


def old_is_new(put: Put) -> None:
    """What the broker has kept counts as said now."""
    put(driver, "_read_message", lambda reader, message: reader.read(message.payload))


def no_probe(put: Put) -> None:
    """Nobody minds that our own message does not come back."""
    put(Echo, "_missing", lambda _self: None)


def no_lamp_watch(put: Put) -> None:
    """Nobody looks whether a lamp that should burn draws power."""
    put(LampWatch, "take", lambda *_: False)
    put(LampWatch, "due", lambda *_: False)


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


# -- groups ---------------------------------------------------------------------------------------


def dim_whoever_is_held(put: Put) -> None:
    """Nobody asks whether a member may be written now."""
    proper = Groups._shared

    def shared(self: Groups, *args: Any) -> object:
        takes = self._commands.takes
        put(self._commands, "takes", lambda _command: True)
        try:
            return proper(self, *args)
        finally:
            put(self._commands, "takes", takes)

    put(Groups, "_shared", shared)


def one_answer_for_all(put: Put) -> None:
    """What the first member of a group answers holds for all."""
    proper = Groups.execute

    async def execute(self: Groups, command: Command) -> list[CommandResult]:
        results = await proper(self, command)
        return [results[0]._replace(command=one.command) for one in results]

    put(Groups, "execute", execute)


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
    proper = Meter._turn

    def turn(self: Meter) -> None:
        if self._day == meter.UNDATED:
            proper(self)
        self._until_ns = 2**63

    put(Meter, "_turn", turn)


def count_once(put: Put) -> None:
    """What is sent again costs nothing."""
    proper, paid = Meter.add, set[tuple[int, int]]()

    def add(self: Meter, lane: int, size: int) -> None:
        if (lane, size) not in paid:
            paid.add((lane, size))
            proper(self, lane, size)

    put(Meter, "add", add)


def one_book_for_all(put: Put) -> None:
    """All lanes count as lane 0."""
    proper = Meter.add
    put(Meter, "add", lambda self, _lane, size: proper(self, 0, size))


def never_park(put: Put) -> None:
    """A lane that the broker refuses is tried again and again, and nobody is told."""
    put(traffic, "PARK_AFTER", 10**9)


def park_in_silence(put: Put) -> None:
    """Nobody is told what the broker refuses."""
    put(Traffic, "_report", lambda *_what, **_more: None)


def park_for_ever(put: Put) -> None:
    """What the broker has refused once is not tried again."""
    proper = Window.refuse

    def refuse(self: Window, now: float, **why: bool) -> None:
        proper(self, now, **why)
        self.retry_at = float("inf")

    put(Window, "refuse", refuse)


def bury_the_batch(put: Put) -> None:
    """With one item that the broker does not take goes everything that travelled with it."""

    def look_for(_self: Traffic, lane: Lane, batch: Batch, reason: str) -> bool:
        items = orjson.loads(batch.payload)["items"]
        lane.refused |= {item["seq"]: reason for item in items}
        return True

    put(Traffic, "_look_for", look_for)


def any_answer_is_delivery(put: Put) -> None:
    """Nobody looks at the reason in a PUBACK."""
    put(Reason, "ok", property(lambda _reason: True))


def lane_0_is_one_of_the_others(put: Put) -> None:
    """Lane 0 has no slot of its own, and everything that is there travels at once."""
    put(Lane, "urgent", property(lambda _lane: False))
    put(courier, "WEIGHTS", {0: 1, 2: 1})
    put(flow, "FIRST", 60_000)


def nobody_waits_for_alarms(put: Put) -> None:
    """Telemetry starts while alarms are there to be sent."""
    put(Courier, "_alarms_wait", lambda *_: False)


def samples_before_events(put: Put) -> None:
    """Samples get more of the line than events."""
    put(courier, "WEIGHTS", {1: 1, 2: 8, 3: 1})


def from_now_on(put: Put) -> None:
    """Each new connection begins with what comes then."""
    proper = UpstreamSink._announce

    async def announce(self: UpstreamSink, link: Connection) -> None:
        await proper(self, link)
        window, store = self._traffic.lanes[0].window, self._traffic.store
        while self.health.connects > 1 and not store.backlog(0, window.cursor):
            await asyncio.sleep(0.01)
        if self.health.connects > 1:
            window.cursor = window.sent = Position(store.epoch, store.last(0))

    put(UpstreamSink, "_announce", announce)


def new_files_untried(put: Put) -> None:
    """New certificate files are used as they are."""
    put(tls, "_accepted", lambda _made, _url: True)


def half_a_pair(put: Put) -> None:
    """Nobody waits until both files of a pair are there."""
    proper = Certificates.look
    put(Certificates, "look", lambda self, **_how: proper(self, settled=True))


# -- what the platform commands -------------------------------------------------------------------


def no_memory_of_commands(put: Put = setattr) -> None:
    """A command that comes again is a new one."""
    put(Store, "command_outcome", lambda _self, _id: None)
    put(Downlink, "_earlier", lambda _self, _id: None)


def never_too_late(put: Put) -> None:
    """Whatever `not_after` says, a command is carried out."""

    def parse_order(payload: bytes) -> Order:
        soon = str(time.time_ns() + 10**10)
        return order.parse_order(payload).model_copy(update={"not_after": soon})

    put(downlink, "parse_order", parse_order)


def kept_is_live(put: Put) -> None:
    """A command that the broker has kept is one that was just sent."""
    proper = Downlink.take
    put(Downlink, "take", lambda self, message: proper(self, message._replace(retain=False)))


def as_many_as_they_like(put: Put) -> None:
    """A platform may command without end."""
    put(Allowance, "take", lambda _self, _now: True)


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
