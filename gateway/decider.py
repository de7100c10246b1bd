"""Between the pure rule engine and the world: feeds `rules.step`, turns its outputs into deeds."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, Protocol, assert_never
from uuid import UUID

from gateway.bus import Bus
from gateway.claims import Claim
from gateway.commands import Commands
from gateway.model import RETAINED, CommandResult, Event, EventKind, Sample, Severity
from rules.alarming import dump, load
from rules.explain import phase_of
from rules.flow import State
from rules.model import RuleSet
from rules.step import (
    NO_MOMENTS,
    ActiveAlarm,
    Answer,
    Changed,
    Claimed,
    Cleared,
    ClockStep,
    Commanded,
    Logged,
    Notified,
    Occurred,
    Operation,
    Output,
    Raised,
    Ref,
    Released,
    Tick,
    active,
    next_due,
    occurred,
    operate,
    resume,
    start,
    step,
)

log = logging.getLogger(__name__)

GONE = "no longer configured"


class Notify(Protocol):
    """Tells a recipient; starts at once and returns immediately."""

    def __call__(
        self,
        recipient: str,
        text: str,
        severity: Severity,
        about: Mapping[str, object],
        cause: UUID | None,
        by: str = "rules",
        occasion: str = "",
    ) -> object: ...


class RuleDecider:
    """Implements `gateway.bus.Decider`. Engine time is CLOCK_BOOTTIME."""

    def __init__(
        self, rules: RuleSet, commands: Commands, notify: Notify, wall_ns: int | None = None
    ) -> None:
        """`wall_ns`: UTC minus engine time; None while the wall clock cannot be trusted."""
        self.wall_ns = wall_ns
        self._state = start(rules, wall_ns=wall_ns)
        self._commands = commands
        self._notify = notify
        self._raises: dict[str, UUID] = {}  # event of the open raise, by instance
        self._over: dict[
            str, UUID
        ] = {}  # of the last one that was cleared: it may be unacknowledged
        self._paused: frozenset[str] = frozenset()

    def restrict(self, rules: RuleSet) -> None:
        """Before `restore`: go by fewer rules; alarms that the others raised stay as they are."""
        kept = {instance.id for instance in rules.instances}
        self._paused = frozenset(i.id for i in self._state.rules.instances if i.id not in kept)
        self._state = start(rules, wall_ns=self.wall_ns)

    def restore(
        self,
        events: Iterable[Event],
        now_ns: int,
        bus: Bus,
        moments: Mapping[str, int] = NO_MOMENTS,
    ) -> None:
        """Continue after a restart: what was raised and not cleared is active.

        An alarm whose rule or device is gone from the configuration is cleared. `moments`: what
        `occurred` said before.
        """
        raised: dict[str, int] = {}
        instances = {instance.id for instance in self._state.rules.instances}
        for event in events:
            if event.kind is not EventKind.ALARM_RAISED:
                continue
            instance, rule = (str(event.attributes.get(key)) for key in ("instance", "rule"))
            self._raises[instance] = event.event_id
            if instance in instances:
                raised[instance] = now_ns
            elif instance not in self._paused:
                gone = Cleared(instance, rule, event.device, event.severity, GONE)
                self._act(gone, bus)
        self._state, outputs = resume(
            start(self._state.rules, now_ns, self.wall_ns), raised, moments
        )
        for output in outputs:
            self._act(output, bus)
        bus.rearm()

    def adopt(self, rules: RuleSet, known: Iterable[Sample], now_ns: int, bus: Bus) -> None:
        """Go by other rules from now on; `known` is what devices showed last.

        Alarms go on where their instance does, else they are cleared; delays and steps that are under
        way begin anew.
        """
        old = self._state
        ids = {instance.id for instance in rules.instances}
        raised = {}
        for alarm in _raised(old):
            if alarm.id in ids:
                raised[alarm.id] = alarm.since
            elif alarm.severity is not None:
                gone = Cleared(alarm.id, alarm.rule, alarm.device, alarm.severity, GONE)
                self._act(gone, bus)
        state = start(rules, now_ns, self.wall_ns)
        load(state, dump(old))
        self._state, outputs = resume(state, raised, occurred(old))
        for output in (*outputs, *_given_back(old, self._state)):
            self._act(output, bus)
        for sample in known:
            self.decide(sample, now_ns, bus)
        bus.rearm()

    def decide(self, sample: Sample | None, now_ns: int, bus: Bus) -> None:
        if sample is not None and RETAINED in sample.quality.values():
            return  # an old value raises nothing until a live message confirms it
        self._state, outputs = step(self._state, Tick() if sample is None else sample, now_ns)
        for output in outputs:
            self._act(output, bus)

    def turn(self, wall_ns: int | None, now_ns: int, bus: Bus) -> None:
        """The wall clock was set, is trusted now, or is trusted no longer."""
        self.wall_ns = wall_ns
        self._state, outputs = step(self._state, ClockStep(wall_ns), now_ns)
        for output in outputs:
            self._act(output, bus)

    @property
    def engine(self) -> State:
        """The state of the engine, to look at."""
        return self._state

    def occurred(self) -> dict[str, int]:
        """UTC (ns) of the last moment of each rule with `at`."""
        return occurred(self._state)

    def next_due_ns(self) -> int | None:
        return next_due(self._state)

    def active(self) -> list[ActiveAlarm]:
        return active(self._state)

    def operate(self, operation: Operation, now_ns: int, bus: Bus) -> None:
        """What a person does with an alarm. Raises ValueError, which says why it cannot be done."""
        self.decide(None, now_ns, bus)
        self._state, outputs = operate(self._state, operation, now_ns)
        for output in outputs:
            self._act(output, bus)
        bus.rearm()

    def _act(self, output: Output, bus: Bus) -> None:
        cause = self._raises.get(output.instance)
        match output:
            case Raised() | Cleared() | Changed():
                self._tell_alarm(output, bus)
            case Claimed():
                self._commands.claim(output.device, output.point, self._wish(output, bus))
            case Released():
                self._commands.release(output.device, output.point, output.instance)
            case Commanded():
                self._commands.order(output.device, output.point, self._wish(output, bus))
            case Notified():
                about = {"instance": output.instance, "device": output.device, **output.about}
                self._notify(
                    output.recipient, output.text, output.severity, about, cause,
                    occasion=output.occasion,
                )  # fmt: skip
            case Occurred():
                _tell(output)
            case Logged():
                log.info("%s: %s", output.instance, output.text, extra={"component": "rules"})
            case _:
                assert_never(output)

    def _wish(self, output: Claimed | Commanded, bus: Bus) -> Claim:
        rank = output.rank if isinstance(output, Claimed) else 0
        told = None if output.ref is None else partial(self._answer, output.ref, bus)
        cause = self._raises.get(output.instance)
        return Claim(output.instance, output.value, output.level, rank, cause, output.terms, told)

    def _answer(self, ref: Ref, bus: Bus, result: CommandResult) -> None:
        """A write has ended that a step waits for."""
        command = result.command
        answer = Answer(ref, command.device, command.point, result.outcome)
        self._state, outputs = step(self._state, answer, bus.now_ns())
        for output in outputs:
            self._act(output, bus)
        bus.rearm()

    def _tell_alarm(self, output: Raised | Cleared | Changed, bus: Bus) -> None:
        match output:
            case Raised():
                what = {
                    "title": output.title, "values": dict(output.values),
                    "annunciate": output.annunciate,
                }  # fmt: skip
                event = self._alarm(EventKind.ALARM_RAISED, output, what, bus)
                self._raises[output.instance] = event
            case Cleared():
                self._alarm(EventKind.ALARM_CLEARED, output, {"reason": output.reason}, bus)
                if (raised := self._raises.pop(output.instance, None)) is not None:
                    self._over[output.instance] = raised
            case Changed():
                acked = output.change == "acked"
                loud = {"annunciate": True} if output.change == "annunciated" else {}
                more = {"change": output.change, "letter": output.letter, **output.more, **loud}
                kind = EventKind.ALARM_ACKED if acked else EventKind.ALARM_CHANGED
                self._alarm(kind, output, more, bus)

    def _alarm(
        self, kind: EventKind, output: Raised | Cleared | Changed, more: dict[str, object], bus: Bus
    ) -> UUID:
        attributes: dict[str, object] = {
            "rule": output.rule, "instance": output.instance, **output.about, **more,
        }  # fmt: skip
        severity: Severity = output.severity
        first = kind is EventKind.ALARM_RAISED
        last = self._raises.get(output.instance, self._over.get(output.instance))
        cause = None if first else last
        return bus.emit(kind, severity, output.device, attributes, cause).event_id


class _Active(NamedTuple):
    """An instance that is active, with or without an alarm, or latched."""

    id: str
    rule: str
    device: str
    severity: Severity | None
    since: int


def _raised(state: State) -> Iterator[_Active]:
    for rank, one in enumerate(state.rules.instances):
        if phase_of(state, rank) in {"active", "clearing", "latched"}:
            yield _Active(one.id, one.rule.id, one.device, one.rule.severity, state.since[rank])


def _given_back(old: State, new: State) -> list[Released]:
    """What instances held and hold no longer."""
    held = {(new.rules.instances[rank].id, *p) for rank, places in new.claimed.items() for p in places}  # fmt: skip
    before = [(old.rules.instances[rank].id, *p) for rank, places in old.claimed.items() for p in places]  # fmt: skip
    return [Released(*claim) for claim in before if claim not in held]


def _tell(output: Occurred) -> None:
    due = datetime.fromtimestamp(output.utc_ns / 1e9, UTC).isoformat(timespec="seconds")
    what = "began" if output.ran else "did nothing"
    log.info(
        "%s %s: due %s, %.1f s ago", output.instance, what, due, output.late_ns / 1e9,
        extra={"component": "rules"},
    )  # fmt: skip
