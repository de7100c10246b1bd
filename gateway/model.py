"""The values that travel through the gateway: immutable, comparable, free of I/O.

They are named tuples: on CPython 3.11 one costs 0.4-0.6 us to make against 1.4 us for a frozen
dataclass (docs/decisions/0002-model-values.md, `make bench`), and the hot path makes tens of
thousands a second.
"""

import os
import time
from collections.abc import Mapping, Sequence
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

Value = bool | int | float | str

LANES = (0, 1, 2, 3)
LANE_ALARM, LANE_EVENT, LANE_SAMPLE, LANE_DIAGNOSTIC = LANES


class Severity(IntEnum):
    """How much an event matters; the order is the order of the numbers."""

    TELEMETRY = 0
    OPERATIONAL = 1
    SAFETY = 2
    LIFE = 3


class Level(StrEnum):
    """OPC UA quality (OPC 10000-8, 6.3): GOOD points are not listed at all."""

    UNCERTAIN = "uncertain"
    BAD = "bad"


class Quality(NamedTuple):
    level: Level
    reason: str


# The value is what a broker kept, not what the device says now: it raises nothing.
RETAINED = Quality(Level.UNCERTAIN, "retained")
# Nothing has come from the device for longer than it may be silent.
SILENT = Quality(Level.BAD, "silent")


EMPTY: Mapping[str, Quality] = MappingProxyType({})
NO_ATTRIBUTES: Mapping[str, object] = MappingProxyType({})


class Sample(NamedTuple):
    """What one device showed at one instant.

    `values` maps dotted point names to numbers, booleans or enum texts, in the unit that the
    device's profile declares (UCUM). `quality` lists only points that are not GOOD, each with a
    reason: a BAD point is in `quality` and not in `values`, an UNCERTAIN one is in both.
    `time_ns` is UTC, the device's own time if its profile declares a trusted clock, else the
    reader's; set once, never rewritten. `received_ns` is CLOCK_BOOTTIME of boot number `boot`.
    `source_id` is the id that the device gave this message, the same on every repeat.
    `n` is the input number given by `Bus.publish`; 0 before that. `counter` is the counter that
    seals the message against replay: kept with the events of the sample, not with the sample.
    """

    device: str
    time_ns: int
    received_ns: int
    boot: int
    clock_ok: bool
    values: Mapping[str, Value]
    quality: Mapping[str, Quality] = EMPTY
    source_id: bytes | None = None
    n: int = 0
    counter: int | None = None

    def numbered(self, n: int) -> "Sample":
        return Sample(*self[:8], n, self.counter)


class EventKind(StrEnum):
    POINT_ALARM = "point_alarm"
    ALARM_RAISED = "alarm_raised"
    ALARM_CLEARED = "alarm_cleared"
    ALARM_ACKED = "alarm_acked"  # somebody has seen it
    ALARM_CHANGED = "alarm_changed"  # shelved, suppressed, news again ...: attribute `change`
    RULE_HELD = "rule_held"  # due while the gateway was off, it waits for data: attribute `state`
    COUNTER_WRAP = "counter_wrap"
    COUNTER_RESET = "counter_reset"
    METER_REPLACED = "meter_replaced"
    LINK_UP = "link_up"
    LINK_DOWN = "link_down"
    COMMAND_RESULT = "command_result"
    ACTION_LIMITED = "action_limited"  # a rule was activated too often: its steps do not begin
    DATA_LOSS = "data_loss"
    STORAGE = "storage"  # it fails, or works again: attribute `state`
    SUSPICION = "suspicion"  # a message that its device may not have sent; it had no effect
    MESSAGE_REFUSED = "message_refused"
    UPSTREAM_PARKED = "upstream_parked"  # the broker refuses a lane again and again
    UPSTREAM_RESUMED = "upstream_resumed"
    CERTIFICATE_REFUSED = "certificate_refused"  # new files are not used
    CERTIFICATE_RENEWED = "certificate_renewed"
    NOTIFICATION = "notification"  # to a recipient
    NOTIFIED = "notified"  # how it ended
    CLOCK_STEP = "clock_step"  # the wall clock was set, or is trusted now, or no longer
    CONFIG_APPLIED = "config_applied"  # while running: `gateway.reload`
    CONFIG_REFUSED = "config_refused"  # the one before goes on
    DEVICE_RETIRED = "device_retired"  # removed by a reload, and all its records are delivered
    CONFIG_ROLLED_BACK = "config_rolled_back"  # a link or upstream did not come up again
    DRILL = "drill"  # a linkage was run on demand: no alarm, `drill: true`


class Event(NamedTuple):
    """Something that happened. Identity is `event_id` (UUIDv7), never a sequence number.

    `cause` is the `event_id` of the event that led to this one. `attributes` holds JSON values.
    The times are as in `Sample`. `n` is the number of the input that produced the event.
    """

    event_id: UUID
    kind: EventKind
    severity: Severity
    device: str
    time_ns: int
    received_ns: int
    boot: int
    clock_ok: bool
    attributes: Mapping[str, object] = NO_ATTRIBUTES
    cause: UUID | None = None
    n: int = 0

    def numbered(self, n: int) -> "Event":
        return Event(*self[:10], n)


Item = Sample | Event

NO_OFFSETS: Mapping[int, int] = MappingProxyType({})


def timed(item: Item, offsets: Mapping[int, int]) -> tuple[Item, str]:
    """`item` with the time that it had, as far as that is known by now, and what that is worth: "" as
    recorded with a trusted clock, `backfilled`, `unknown`.

    `offsets`: wall minus boot time (ns) of the boots whose clock was trusted at some time.
    """
    if item.clock_ok:
        return item, ""
    offset = offsets.get(item.boot)
    if offset is None:
        return item, "unknown"
    return item._replace(time_ns=item.received_ns + offset), "backfilled"


def bounds_ns(item: Item, offsets: Mapping[int, int]) -> tuple[int | None, int | None]:
    """Between which wall times an item was made whose boot never knew the time; None: nobody knows.

    Later than the same time after the start of a boot before it whose start is known, and earlier
    than the start of the next such boot.
    """
    before = max((boot for boot in offsets if boot < item.boot), default=None)
    after = min((boot for boot in offsets if boot > item.boot), default=None)
    low = None if before is None else offsets[before] + item.received_ns
    return low, None if after is None else offsets[after]


def lane_of(item: Item) -> int:
    """Lane 0: life and safety events and command results; 1: other events; 2: samples; 3: diagnostics."""
    if isinstance(item, Sample):
        return LANE_SAMPLE
    if item.severity >= Severity.SAFETY or item.kind is EventKind.COMMAND_RESULT:
        return LANE_ALARM
    return LANE_EVENT if item.severity is Severity.OPERATIONAL else LANE_DIAGNOSTIC


class Precondition(NamedTuple):
    point: str
    equals: Value


class Command(NamedTuple):
    """A write to one point. `not_after_ns` is CLOCK_BOOTTIME of this boot: past it nothing is written.

    `origin` is who asks (`rules`, `cli`, the name of an upstream): the authenticated connection,
    never something from a payload. `cause` is the event that led to it, `by` the person
    or the instance of a rule if one is known. For `hold_s` nothing weaker may write the point, None: for no time.
    """

    id: str
    device: str
    point: str
    value: Value
    not_after_ns: int
    origin: str
    precondition: Precondition | None = None
    cause: UUID | None = None
    by: str = ""
    hold_s: float | None = None


class Outcome(StrEnum):
    CONFIRMED = "confirmed"  # the device reported the value after the write
    WRITTEN = "written"  # the device took the write; its feedback is not in yet
    LATE_CONFIRMED = "late_confirmed"  # the device reported it after the command had ended
    UNCONFIRMED = "unconfirmed"  # written, but the device never reported the value
    FAILED = "failed"  # no attempt to write succeeded
    REFUSED = "refused"  # not allowed, out of range, or no such point
    EXPIRED = "expired"  # `not_after_ns` passed before it was written
    SUPERSEDED = "superseded"  # a newer or stronger command took the point over
    UNKNOWN = "unknown"  # a crash came between the intent and the end; it is never tried again
    OVERRIDDEN = "overridden"  # a claim of higher priority holds the point


class CommandResult(NamedTuple):
    """How a command ended. `value` is what the device last reported, None if it reported nothing."""

    command: Command
    outcome: Outcome
    reason: str = ""
    value: Value | None = None
    attempts: int = 0


def whole_of(command: Command, members: Sequence[CommandResult]) -> CommandResult:
    """How a command to a group ended: confirmed if every member has, else as the first that has not."""
    short = [result.outcome for result in members if result.outcome is not Outcome.CONFIRMED]
    reason = f"{len(members) - len(short)} of {len(members)} confirmed"
    attempts = max((result.attempts for result in members), default=0)
    return CommandResult(command, short[0] if short else Outcome.CONFIRMED, reason, None, attempts)


def uuid7(time_ns: int | None = None) -> UUID:
    """A UUIDv7 (RFC 9562, 5.7): 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = (time.time_ns() if time_ns is None else time_ns) // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    high = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64
    return UUID(int=high | 0b10 << 62 | random & 0x3FFF_FFFF_FFFF_FFFF)
