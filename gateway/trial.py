"""Rules on a virtual clock: what they raise, clear and write for given samples. Pure."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from gateway.case import Case, Ends, Expected, Heard, Kind, Operated, Reboot, Reloaded, Turn
from gateway.case_text import shown
from gateway.errors import Problem
from gateway.fixture import Fixture
from gateway.model import EMPTY, Level, Outcome, Quality, Sample, Value
from gateway.words.text import fault
from rules.keep import everything
from rules.load import DeviceView
from rules.model import RuleSet
from rules.outputs import (
    Answer,
    Changed,
    Claimed,
    Cleared,
    ClockStep,
    Commanded,
    Notified,
    Operation,
    Output,
    Raised,
    Ref,
    Released,
)
from rules.restart import Past, horizon, restore
from rules.step import NO_MOMENTS, Tick, next_due, occurred, operate, start, step
from rules.swap import reload

MOST = 50_000  # samples that a reboot reads again: 30 MB; the daemon reads more, from disk
_BAD = Quality(Level.BAD, "no reading")


class Happened(NamedTuple):
    """`at`: engine time, ns. `name`: the instance, DEVICE.POINT of what is written, or who is told.

    `loud`: people hear of what is raised.
    """

    at: int
    kind: Kind
    name: str
    value: Value | None = None
    loud: bool = True

    def __str__(self) -> str:
        value = "" if self.value is None else f" = {_word(self.value)}"
        muted = "" if self.loud else " (muted)"
        return f"{shown(self.at)} {self.kind} {self.name}{value}{muted}"


class Trial:
    """The engine, and of the gateway what decides which claim is written. `now` never goes back."""

    def __init__(
        self, rules: RuleSet, devices: Mapping[str, DeviceView], now: int = 0, *,
        raised: Collection[str] = (), wall_ns: int | None = None,
    ) -> None:  # fmt: skip
        """`raised`: the alarms that are active at the beginning; `wall_ns`: UTC minus engine time, None
        while the wall clock cannot be trusted.
        """
        self.now = now
        self.happened: list[Happened] = []
        self._devices = devices
        self._rules = rules
        self._wall_ns = wall_ns
        self._claims: dict[tuple[str, str], dict[str, Claimed]] = {}
        self.ends: dict[str, Outcome] = {}  # of writes, by DEVICE.POINT; else confirmed
        self._history: deque[tuple[Sample, int]] = deque(maxlen=MOST)
        self._horizon = horizon(rules)
        self._state = start(rules, now, wall_ns)
        if raised:
            self._go_on(Past(raised=dict.fromkeys(sorted(raised), now)))

    def take(self, sample: Sample, now: int) -> None:
        """A sample that comes at `now`; timers that are due until then come first."""
        self.wait(now)
        self._remember(sample)
        self._state, outputs = step(self._state, sample, now)
        self._act(outputs)

    def wait(self, until: int) -> None:
        """Timers up to `until`, each at its time."""
        while (due := next_due(self._state)) is not None and due <= until:
            self.now = max(self.now, due)
            self._state, outputs = step(self._state, Tick(), self.now)
            self._act(outputs)
        self.now = max(self.now, until)

    def reboot(self, down: int) -> None:
        """As the daemon starts: with what the store has of the rules and of their samples."""
        self.now += down
        self._claims.clear()
        rows = orjson.loads(orjson.dumps(everything(self._state)))
        self._go_on(Past(rows, NO_MOMENTS, occurred(self._state), tuple(self._history), down))

    def _go_on(self, past: Past) -> None:
        self._state, outputs = restore(self._rules, past, self.now, wall_ns=self._wall_ns)
        self._act(outputs)

    def _remember(self, sample: Sample) -> None:
        """For a reboot; what is older than any window is not kept."""
        self._history.append((sample, self.now))
        while self._history[0][1] < self.now - self._horizon:
            self._history.popleft()

    def reload(self, rules: RuleSet) -> None:
        """Go by other rules from now on."""
        self._rules, self._horizon = rules, horizon(rules)
        self._state, outputs = reload(self._state, rules, self.now)
        self._act(outputs)

    def turn(self, wall_ns: int | None) -> None:
        """The wall clock was set, or lost."""
        self._wall_ns = wall_ns
        self._state, outputs = step(self._state, ClockStep(wall_ns), self.now)
        self._act(outputs)

    def operate(self, operation: Operation) -> None:
        """Raises ValueError that says why it cannot be."""
        self._state, outputs = operate(self._state, operation, self.now)
        self._act(outputs)

    def _act(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            match output:
                case Claimed():
                    self._claim(output)
                case Released():
                    self._release(output)
                case Commanded():
                    self._tell("written", f"{output.device}.{output.point}", output.value)
                case _:
                    self._hear(output)
        for output in outputs:
            if isinstance(output, Claimed | Commanded) and output.ref is not None:
                self._answer(output, output.ref)

    def _hear(self, output: Output) -> None:
        """What people may hear of."""
        match output:
            case Raised():
                raised = Happened(self.now, "raised", output.instance, None, output.annunciate)
                self.happened.append(raised)
            case Changed(change="annunciated"):
                self._tell("annunciated", output.instance)
            case Cleared():
                self._tell("cleared", output.instance)
            case Notified():
                self._tell("told", output.recipient, output.text)

    def _answer(self, write: Claimed | Commanded, ref: Ref) -> None:
        """At once; what a stronger rule holds is not written at all."""
        held = self._claims.get((write.device, write.point), {})
        ruling = _strongest(held.values())
        outdone = ruling is not None and ruling.value != write.value and ruling.level <= write.level
        outcome = self.ends.get(f"{write.device}.{write.point}", Outcome.CONFIRMED)
        answer = Answer(ref, write.device, write.point, Outcome.SUPERSEDED if outdone else outcome)
        self._state, outputs = step(self._state, answer, self.now)
        self._act(outputs)

    def _tell(self, kind: Kind, name: str, value: Value | None = None) -> None:
        self.happened.append(Happened(self.now, kind, name, value))

    def _claim(self, claim: Claimed) -> None:
        held = self._claims.setdefault((claim.device, claim.point), {})
        before = _strongest(held.values())
        held[claim.instance] = claim
        after = _strongest(held.values())
        if after is not None and (before is None or before.value != after.value):
            self._tell("written", f"{claim.device}.{claim.point}", after.value)

    def _release(self, gone: Released) -> None:
        held = self._claims.get((gone.device, gone.point), {})
        before = _strongest(held.values())
        claim = held.pop(gone.instance, None)
        if claim is None or claim is not before:
            return
        after = _strongest(held.values())
        name = f"{gone.device}.{gone.point}"
        if after is not None:
            if after.value != claim.value:
                self._tell("written", name, after.value)
            return
        command = self._devices[gone.device].profile.by_command.get(gone.point)
        if command is not None and command.relinquish != "leave":
            self._tell("written", name, command.relinquish)


def _strongest(claims: Iterable[Claimed]) -> Claimed | None:
    return min(claims, key=lambda claim: (claim.level, claim.rank), default=None)


class Verdict(NamedTuple):
    """What happened in a case, and what should not have or should have."""

    case: Case
    happened: tuple[Happened, ...]
    problems: tuple[Problem, ...]


def judge(fixture: Fixture, case: Case) -> Verdict:
    """Run one case."""
    trial = Trial(fixture.rules, fixture.devices, wall_ns=case.start)
    wall_ns = case.start
    problems: list[Problem] = []
    awake = 0  # the gateway is off before
    for one in case.inputs:
        if one.at < awake:
            continue
        match one:
            case Heard():
                trial.take(_sample(one, case.start), one.at)
            case Reboot():
                trial.wait(one.at)
                trial.reboot(one.down)
                awake = one.at + one.down
            case Reloaded():
                trial.wait(one.at)
                trial.reload(one.rules)
            case Turn():
                trial.wait(one.at)
                wall_ns += one.by or 0
                trial.turn(None if one.by is None else wall_ns)
            case Ends():
                trial.wait(one.at)
                trial.ends |= dict.fromkeys(one.places, one.outcome)
            case Operated():
                trial.wait(one.at)
                try:
                    trial.operate(one.operation)
                except ValueError as error:
                    kind = one.operation.kind
                    refused = fault("trial.refused", at=shown(one.at), why=str(error), kind=kind)
                    problems.append(fixture.document.problem(case.path, *refused))
    trial.wait(case.end)
    problems += _faults(fixture, case, trial.happened)
    return Verdict(case, tuple(trial.happened), tuple(problems))


def _sample(one: Heard, start_ns: int) -> Sample:
    at = one.at - one.late
    quality = dict.fromkeys(one.bad, _BAD) if one.bad else EMPTY
    return Sample(one.device, start_ns + at, at, 1, True, one.values, quality)  # noqa: FBT003 -- a named tuple


def _faults(fixture: Fixture, case: Case, happened: Sequence[Happened]) -> Iterable[Problem]:
    for wanted in case.expected:
        found = [one for one in happened if _is(one, wanted)]
        fits = [one for one in found if wanted.when == "never" or _in_time(one, wanted)]
        if bool(fits) is (wanted.when == "never"):
            what = f"not {wanted.kind}{_at(wanted)}" if not fits else f"{wanted.kind} all the same"
            yield fixture.document.problem(
                wanted.path,
                f"{wanted.name}{_value(wanted)}: {what}",
                _instead(wanted, found, happened),
            )
    for one in happened if case.only else ():
        if not any(_is(one, w) and w.when != "never" and _in_time(one, w) for w in case.expected):
            yield fixture.document.problem(
                (*case.path, "only"), *fault("trial.unexpected", happened=str(one))
            )


def _is(one: Happened, wanted: Expected) -> bool:
    names = (
        {one.name} if one.kind in {"written", "told"} else {one.name, one.name.partition("[")[0]}
    )
    heard = wanted.kind == "annunciated" and one.kind == "raised" and one.loud
    fits = (one.kind == wanted.kind or heard) and wanted.name in names
    return fits and (wanted.value is None or one.value == wanted.value)


def _in_time(one: Happened, wanted: Expected) -> bool:
    return one.at == wanted.ns if wanted.when == "at" else one.at <= wanted.ns


def _at(wanted: Expected) -> str:
    return f" {wanted.when} {shown(wanted.ns)}"


def _value(wanted: Expected) -> str:
    return "" if wanted.value is None else f" = {_word(wanted.value)}"


def _word(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _instead(wanted: Expected, found: Sequence[Happened], happened: Sequence[Happened]) -> str:
    """What did happen to it."""
    others = found or [
        one for one in happened if one.kind == wanted.kind and one.name == wanted.name
    ]
    told = [
        f"{shown(one.at)}{'' if one.value is None else f' = {_word(one.value)}'}" for one in others
    ]
    return f"it was at {', '.join(told[:5])}" if told else "it never was"
