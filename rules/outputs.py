"""What goes into the rule engine and what comes out of it."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

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


OperationKind = Literal["ack", "shelve", "unshelve", "out_of_service", "in_service", "reset"]


class Operation(NamedTuple):
    """What a person does with the alarm of one instance. `ns`: for so long; `reason`: why."""

    kind: OperationKind
    alarm: str
    user: str
    ns: int = 0
    reason: str = ""
    one_shot: bool = False
    force: bool = False


Input = Sample | Tick | ClockStep | Answer


class Raised(NamedTuple):
    """An alarm begins. `values`: the points that the condition reads, as far as they are known.

    `late_ns`: so long before it was due, while the gateway was off; `unconfirmed`: and nothing is
    known since, so that nobody can say whether the condition still holds.

    `annunciate`: people are to hear of it; false while it is shelved or suppressed, say.
    """

    instance: str
    rule: str
    device: str
    severity: Severity
    title: str
    values: Mapping[str, Value]
    about: Mapping[str, object] = NO_ATTRIBUTES
    annunciate: bool = True
    late_ns: int = 0
    unconfirmed: bool = False


class Held(NamedTuple):
    """The rule was due `late_ns` ago while the gateway was off, and nothing that its condition reads
    has been known for long since. It waits on; this is told once. With `over`, why it waits no longer,
    though it is not raised.
    """

    instance: str
    rule: str
    device: str
    severity: Severity
    title: str
    late_ns: int
    about: Mapping[str, object] = NO_ATTRIBUTES
    over: str = ""


class Cleared(NamedTuple):
    """An alarm ends."""

    instance: str
    rule: str
    device: str
    severity: Severity
    reason: str
    about: Mapping[str, object] = NO_ATTRIBUTES


Change = Literal[
    "acked", "annunciated", "realarm", "shelved", "unshelved", "out_of_service", "in_service",
    "suppressed", "unsuppressed", "flapping", "steady", "severity", "escalated",
]  # fmt: skip


class Changed(NamedTuple):
    """An alarm stands otherwise than before; `letter` is its state by then (see `rules.standing`).

    `annunciated` is news for people. `more` are JSON values: who did it, until when.
    """

    instance: str
    rule: str
    device: str
    severity: Severity
    change: Change
    letter: str
    more: Mapping[str, object] = NO_ATTRIBUTES
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
    """Somebody is to be told. `severity`: of the alarm of the rule, operational without one.

    The same text is news again on another `occasion`.
    """

    instance: str
    device: str
    recipient: str
    text: str
    severity: Severity
    about: Mapping[str, object] = NO_ATTRIBUTES
    occasion: str = ""


class Logged(NamedTuple):
    """A line for the log."""

    instance: str
    text: str


class Skipped(NamedTuple):
    """An activation whose steps do not begin, because of `why`: the mode of the rule, or its `max_run`."""

    instance: str
    why: str


class Limited(NamedTuple):
    """Activated more than `most` times in ten minutes: the steps do not begin for a while."""

    instance: str
    rule: str
    device: str
    level: int
    most: int


class Occurred(NamedTuple):
    """A moment of `at` has come. `utc_ns` is when it was due, `late_ns` how long that is ago.

    `ran`: its steps have begun; else the condition was not true, or it was missed for too long.
    """

    instance: str
    utc_ns: int
    late_ns: int
    ran: bool


Output = (
    Skipped
    | Limited
    | Occurred
    | Raised
    | Held
    | Cleared
    | Changed
    | Claimed
    | Released
    | Commanded
    | Notified
    | Logged
)


class ActiveAlarm(NamedTuple):
    """An alarm whose incident is open, that is put aside, or waits for data. `since`: engine time of the
    raise, ns, or when it was due.

    `latched`: its condition has ended, it waits for a reset. `raises`: how many there were in
    this incident. `until`: engine time at which it is not shelved, or out of service, any more.
    """

    instance: str
    rule: str
    device: str
    severity: Severity
    title: str
    since: int
    latched: bool = False
    letter: str = ""
    acked_by: str = ""
    raises: int = 1
    muted: bool = False
    until: int | None = None
    by: str = ""
    reason: str = ""
