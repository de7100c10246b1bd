"""Between the pure rule engine and the world: feeds `rules.step`, turns its outputs into deeds."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, Protocol, assert_never
from uuid import UUID

import orjson

from gateway.bus import Bus
from gateway.claims import Claim
from gateway.commands import Commands
from gateway.execution import severity_of
from gateway.late import lateness, lost, waiting
from gateway.model import RETAINED, CommandResult, Event, EventKind, Sample, Severity
from gateway.store.kept import Rows
from gateway.timeline import MARK, Timeline
from rules.account import reason
from rules.flow import State
from rules.keep import Kept, changes
from rules.model import RuleSet
from rules.restart import NOTHING, Past, late, restore
from rules.step import (
    NO_MOMENTS,
    ActiveAlarm,
    Answer,
    Changed,
    Claimed,
    Cleared,
    ClockStep,
    Commanded,
    Held,
    Limited,
    Logged,
    Notified,
    Occurred,
    Operation,
    Output,
    Raised,
    Ref,
    Released,
    Skipped,
    Tick,
    active,
    next_due,
    occurred,
    operate,
    start,
    step,
)
from rules.swap import GONE, reload, unseen
from rules.trace import Traces

log = logging.getLogger(__name__)


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


class Memory(NamedTuple):
    """What is left of the time before a restart: the newest event of each alarm, the rows of instances
    (`rules.keep`), what `RuleDecider.occurred` said, and samples with the engine time at which they came.
    """

    events: Sequence[Event] = ()
    rows: Mapping[str, Kept] = NOTHING
    moments: Mapping[str, int] = NO_MOMENTS
    history: Iterable[tuple[Sample, int]] = ()


class RuleDecider:
    """Implements `gateway.bus.Decider`. Times are CLOCK_BOOTTIME here; the engine has its own
    (`gateway.timeline`).
    """

    def __init__(
        self,
        rules: RuleSet,
        commands: Commands,
        notify: Notify,
        wall_ns: int | None = None,
        traces: Traces | None = None,
    ) -> None:
        """`wall_ns`: UTC minus CLOCK_BOOTTIME; None while the wall clock cannot be trusted. `traces`
        keeps what was known at transitions.
        """
        self.wall_ns = wall_ns
        self.timeline: Timeline | None = None
        self._traces = traces
        self._state = start(rules, wall_ns=wall_ns)
        self._state.traces = traces
        self._commands = commands
        self._notify = notify
        self._raises: dict[str, UUID] = {}  # event of the open raise, by instance
        self._over: dict[
            str, UUID
        ] = {}  # of the last one that was cleared: it may be unacknowledged
        self._paused: frozenset[str] = frozenset()
        self._kept: dict[str, bytes] = {}  # rows as they are stored
        self._first: list[Output] = []  # what follows from `recall`

    def restrict(self, rules: RuleSet) -> None:
        """Before `recall`: go by fewer rules; alarms that the others raised stay as they are."""
        kept = {instance.id for instance in rules.instances}
        self._paused = frozenset(i.id for i in self._state.rules.instances if i.id not in kept)
        self._state = start(rules, wall_ns=self.wall_ns)
        self._state.traces = self._traces

    def recall(self, memory: Memory, now_ns: int, timeline: Timeline | None = None) -> None:
        """Continue after a restart: see `rules.restart`. Blocks while it reads the history: before
        anything else, and not on the event loop. `restore` follows.
        """
        self.timeline, now = timeline, now_ns if timeline is None else timeline.at(now_ns)
        newest = {
            str(event.attributes.get("instance")): event
            for event in memory.events
            if event.kind in {EventKind.ALARM_RAISED, EventKind.ALARM_CLEARED}
        }
        raised = {name for name, event in newest.items() if event.kind is EventKind.ALARM_RAISED}
        self._raises = {name: newest[name].event_id for name in raised}
        self._over = {name: e.cause for name, e in newest.items() if e.cause and name not in raised}
        rows = {
            name: row
            for name, row in memory.rows.items()
            if name not in newest or timeline is None or not timeline.after_mark(newest[name])
        }
        self._kept = {name: orjson.dumps(row) for name, row in memory.rows.items()}
        past = Past(
            rows, dict.fromkeys(sorted(raised - rows.keys()), now), memory.moments, memory.history,
            0 if timeline is None else timeline.off_ns,
        )  # fmt: skip
        self._state, self._first = restore(
            self._state.rules, past, now, wall_ns=self._engine_wall(), base=self._base
        )
        self._state.traces = self._traces
        known = {instance.id for instance in self._state.rules.instances} | self._paused
        self._first = [
            *(_gone(newest[name]) for name in sorted(raised - known)),
            *lost(rows, known, now),
            *self._first,
        ]
        self._state.touched.update(range(len(self._state.rules.instances)))

    def restore(self, now_ns: int, bus: Bus) -> None:
        """Do what follows from `recall`."""
        self._forget_rows(bus)
        outputs, self._first = self._first, []
        self._follow(outputs, now_ns, bus)
        bus.rearm()

    def adopt(self, rules: RuleSet, known: Iterable[Sample], now_ns: int, bus: Bus) -> None:
        """Go by other rules from now on, see `rules.swap`; `known` is what devices showed last."""
        self._state, outputs = reload(self._state, rules, now_ns + self._base)
        self._state.traces = self._traces
        self._forget_rows(bus)
        self._follow(outputs, now_ns, bus)
        for sample in known:
            news = unseen(self._state, sample)
            if news.values or news.quality:
                self.decide(news, now_ns, bus)
        bus.rearm()

    def decide(self, sample: Sample | None, now_ns: int, bus: Bus) -> None:
        if sample is not None and RETAINED in sample.quality.values():
            return  # an old value raises nothing until a live message confirms it
        taken = Tick() if sample is None else sample
        self._state, outputs = step(self._state, taken, now_ns + self._base)
        if outputs or self._state.touched:
            self._follow(outputs, now_ns, bus)

    def turn(self, wall_ns: int | None, now_ns: int, bus: Bus) -> None:
        """The wall clock was set, is trusted now, or is trusted no longer."""
        self.wall_ns = wall_ns
        now = now_ns + self._base
        self._state, outputs = step(self._state, ClockStep(self._engine_wall()), now)
        owed = 0 if self.timeline is None else self.timeline.owed(now_ns, wall_ns)
        if owed:
            log.info("the gateway was off %.1f s longer than it knew", owed / 1e9, extra={"component": "rules"})  # fmt: skip
            self._state, more = late(self._state, owed, now)
            outputs += more
            self._commands.sooner(owed)
        self._follow(outputs, now_ns, bus)
        self.beat(now_ns, bus)

    def beat(self, now_ns: int, bus: Bus) -> None:
        """Note where engine time is, so that a restart knows how long the gateway was off."""
        if self.timeline is not None:
            bus.keep({MARK: self.timeline.mark(now_ns, self.wall_ns)})

    @property
    def engine(self) -> State:
        """The state of the engine, to look at; its times are `engine_time`."""
        return self._state

    def engine_time(self, now_ns: int) -> int:
        return now_ns + self._base

    def occurred(self) -> dict[str, int]:
        """UTC (ns) of the last moment of each rule with `at`."""
        return occurred(self._state)

    def next_due_ns(self) -> int | None:
        due = next_due(self._state)
        return None if due is None else due - self._base

    def active(self) -> list[ActiveAlarm]:
        base = self._base
        return [
            one._replace(
                since=one.since - base, until=None if one.until is None else one.until - base
            )
            for one in active(self._state)
        ]

    def operate(self, operation: Operation, now_ns: int, bus: Bus) -> None:
        """What a person does with an alarm. Raises ValueError, which says why it cannot be done."""
        self.decide(None, now_ns, bus)
        self._state, outputs = operate(self._state, operation, now_ns + self._base)
        self._follow(outputs, now_ns, bus)
        bus.rearm()

    @property
    def _base(self) -> int:
        return 0 if self.timeline is None else self.timeline.base

    def _engine_wall(self) -> int | None:
        return None if self.wall_ns is None else self.wall_ns - self._base

    def _follow(self, outputs: Iterable[Output], now_ns: int, bus: Bus) -> None:
        """Do what the engine says, and keep what has changed: with the event of its alarm if there is
        one, else before anything is done, so that nothing is done twice after a crash.
        """
        rows = self._news(now_ns)
        told = {o.instance for o in outputs if isinstance(o, Raised | Cleared | Changed | Held)}
        if alone := {name: body for name, body in rows.items() if name not in told}:
            bus.keep(alone)
        for output in outputs:
            self._act(output, rows, bus)

    def _forget_rows(self, bus: Bus) -> None:
        """Of instances that are no more."""
        known = {instance.id for instance in self._state.rules.instances} | self._paused
        gone = [name for name in self._kept if name not in known]
        for name in gone:
            del self._kept[name]
        if gone:
            bus.keep(dict.fromkeys(gone))

    def _news(self, now_ns: int) -> dict[str, bytes | None]:
        """The rows that are not as they are stored, and the time that goes with them."""
        news: dict[str, bytes | None] = {}
        for name, row in changes(self._state).items():
            body = None if row is None else orjson.dumps(row)
            if body == self._kept.get(name):
                continue
            news[name] = body
            if body is None:
                del self._kept[name]
            else:
                self._kept[name] = body
        if news and self.timeline is not None:
            news[MARK] = self.timeline.mark(now_ns, self.wall_ns)
        return news

    def _act(self, output: Output, rows: Rows, bus: Bus) -> None:
        cause = self._raises.get(output.instance)
        match output:
            case Raised() | Cleared() | Changed() | Held():
                self._tell_alarm(output, rows, bus)
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
            case Limited():
                self._limit(output, bus)
            case Occurred() | Logged() | Skipped():
                _tell(output, bus)
            case _:
                assert_never(output)

    def _limit(self, output: Limited, bus: Bus) -> None:
        about: dict[str, object] = {
            "rule": output.rule, "instance": output.instance, "max_run": output.most,
        }  # fmt: skip
        cause = self._raises.get(output.instance)
        severity = severity_of(output.level)
        bus.emit(EventKind.ACTION_LIMITED, severity, output.device, about, cause)

    def _wish(self, output: Claimed | Commanded, bus: Bus) -> Claim:
        rank = output.rank if isinstance(output, Claimed) else 0
        told = None if output.ref is None else partial(self._answer, output.ref, bus)
        cause = self._raises.get(output.instance)
        return Claim(output.instance, output.value, output.level, rank, cause, output.terms, told)

    def _answer(self, ref: Ref, bus: Bus, result: CommandResult) -> None:
        """A write has ended that a step waits for."""
        command = result.command
        answer = Answer(ref, command.device, command.point, result.outcome)
        now_ns = bus.now_ns()
        self._state, outputs = step(self._state, answer, now_ns + self._base)
        self._follow(outputs, now_ns, bus)
        bus.rearm()

    def _tell_alarm(self, output: Raised | Cleared | Changed | Held, rows: Rows, bus: Bus) -> None:  # fmt: skip
        match output:
            case Held():
                self._alarm(EventKind.RULE_HELD, output, waiting(output), rows, bus)
            case Raised():
                what = {
                    "title": output.title, "values": dict(output.values),
                    "annunciate": output.annunciate, **lateness(output), **self._why(output),
                }  # fmt: skip
                event = self._alarm(EventKind.ALARM_RAISED, output, what, rows, bus)
                self._raises[output.instance] = event
            case Cleared():
                why: dict[str, object] = {"reason": output.reason}
                self._alarm(EventKind.ALARM_CLEARED, output, why, rows, bus)
                if (raised := self._raises.pop(output.instance, None)) is not None:
                    self._over[output.instance] = raised
            case Changed():
                acked = output.change == "acked"
                loud = {"annunciate": True} if output.change == "annunciated" else {}
                more = {"change": output.change, "letter": output.letter, **output.more, **loud}
                kind = EventKind.ALARM_ACKED if acked else EventKind.ALARM_CHANGED
                self._alarm(kind, output, more, rows, bus)

    def _why(self, output: Raised) -> dict[str, object]:
        """What was known when the alarm was raised: its delay ended somewhat before this step."""
        traces = [] if self._traces is None else self._traces.of(output.instance)
        for trace in traces:
            if any(one is output for one in trace.outputs):
                return {"why": reason(trace)}
        return {}

    def _alarm(
        self, kind: EventKind, output: Raised | Cleared | Changed | Held, more: dict[str, object],
        rows: Rows, bus: Bus,
    ) -> UUID:  # fmt: skip
        attributes: dict[str, object] = {
            "rule": output.rule, "instance": output.instance, **output.about, **more,
        }  # fmt: skip
        first = kind in {EventKind.ALARM_RAISED, EventKind.RULE_HELD}
        last = self._raises.get(output.instance, self._over.get(output.instance))
        own = {name: rows[name] for name in (output.instance, MARK) if name in rows}
        cause = None if first else last
        event = bus.emit(kind, output.severity, output.device, attributes, cause, rows=own)
        return event.event_id


def _gone(event: Event) -> Cleared:
    """Of an alarm that has no rule or device any more."""
    instance, rule = (str(event.attributes.get(key)) for key in ("instance", "rule"))
    return Cleared(instance, rule, event.device, event.severity, GONE)


def _tell(output: Occurred | Logged | Skipped, bus: Bus) -> None:
    """What only the log tells."""
    extra = {"component": "rules"}
    match output:
        case Logged():
            log.info("%s: %s", output.instance, output.text, extra=extra)
        case Skipped():
            bus.counters["activations_skipped"] += 1
            log.debug("%s does not begin again: %s", output.instance, output.why, extra=extra)
        case Occurred():
            due = datetime.fromtimestamp(output.utc_ns / 1e9, UTC).isoformat(timespec="seconds")
            what = "began" if output.ran else "did nothing"
            late_s = output.late_ns / 1e9
            log.info("%s %s: due %s, %.1f s ago", output.instance, what, due, late_s, extra=extra)
