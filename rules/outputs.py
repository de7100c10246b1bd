"""What goes into the rule engine and what comes out of it."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.model import NO_ATTRIBUTES, Outcome, Sample, Severity, Value
from gateway.terms import AS_USUAL, Terms


class Tick(NamedTuple):
    """Time has passed."""


class ClockStep(NamedTuple):
    """The wall clock was set: `wall_ns` is UTC minus engine time; None: it cannot be trusted.

    It moves no delay, only what goes by the time of day.
    """

    wall_ns: int | None


class Ref(NamedTuple):
    """The step of an activation that wants to know how its writes end."""

    instance: str
    activation: int
    step: int


class Answer(NamedTuple):
    """A write with a `ref` has ended."""

    ref: Ref
    device: str
    point: str
    outcome: Outcome


Input = Sample | Tick | ClockStep | Answer


class Raised(NamedTuple):
    """An alarm begins. `values`: the points that the condition reads, as far as they are known."""

    instance: str
    rule: str
    device: str
    severity: Severity
    title: str
    values: Mapping[str, Value]
    about: Mapping[str, object] = NO_ATTRIBUTES


class Cleared(NamedTuple):
    """An alarm ends."""

    instance: str
    rule: str
    device: str
    severity: Severity
    reason: str
    about: Mapping[str, object] = NO_ATTRIBUTES


class Claimed(NamedTuple):
    """The instance wants `point` to have `value`. The lowest `level` wins, then the lowest `rank`."""

    instance: str
    device: str
    point: str
    value: Value
    level: int
    rank: int
    terms: Terms = AS_USUAL
    ref: Ref | None = None


class Released(NamedTuple):
    """The instance gives its claim back."""

    instance: str
    device: str
    point: str


class Commanded(NamedTuple):
    """The instance wants `value` written to `point` once."""

    instance: str
    device: str
    point: str
    value: Value
    level: int
    terms: Terms = AS_USUAL
    ref: Ref | None = None


class Notified(NamedTuple):
    """Somebody is to be told. `severity`: of the alarm of the rule, operational without one."""

    instance: str
    device: str
    recipient: str
    text: str
    severity: Severity
    about: Mapping[str, object] = NO_ATTRIBUTES


class Logged(NamedTuple):
    """A line for the log."""

    instance: str
    text: str


class Occurred(NamedTuple):
    """A moment of `at` has come. `utc_ns` is when it was due, `late_ns` how long that is ago.

    `ran`: its steps have begun; else the condition was not true, or it was missed for too long.
    """

    instance: str
    utc_ns: int
    late_ns: int
    ran: bool


Output = Occurred | Raised | Cleared | Claimed | Released | Commanded | Notified | Logged


class ActiveAlarm(NamedTuple):
    """An alarm that was raised and not cleared. `since`: engine time of the raise, ns.

    `latched`: its condition has ended, it waits for a reset.
    """

    instance: str
    rule: str
    device: str
    severity: Severity
    since: int
    title: str
    latched: bool = False
