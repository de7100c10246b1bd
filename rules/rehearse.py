"""What an instance would do if it became active now, step by step, waits and all. Pure.

It has steps of its own, apart from those of the engine, whose values it only reads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from gateway.model import Value
from rules.deeds import FAILED, filled, said
from rules.flow import State
from rules.outputs import Answer, Claimed, Commanded, Logged, Notified
from rules.predicate import Predicate
from rules.sequence import Deed, Note, Notice, Order, Run, Setting, Thread, WaitUntil, walk

Rehearsed = Claimed | Commanded | Notified | Logged
MOST = 10_000  # rounds of a plan: steps have no loops, so it ends long before


class Part(NamedTuple):
    """Something that is done. `step`: whose end decides how it goes on; `hold_ns`: held for so long at most."""

    output: Rehearsed
    step: int | None = None
    hold_ns: int | None = None


@dataclass(slots=True, eq=False)
class Pause:
    """A wait: `text` is its time, or its condition. `outcome` is "" while it lasts, then `over`, `true` or
    `timed out`.
    """

    text: str
    since: int
    outcome: str = ""
    ended: int = 0


class _Paused(NamedTuple):
    thread: Thread
    until: WaitUntil | None
    due: int | None
    pause: Pause


class Rehearsal:
    """`go_on` whenever something may have changed, and at `due`, until it is `over`."""

    def __init__(self, state: State, rank: int) -> None:
        self._state, self._rank = state, rank
        self._instance = state.rules.instances[rank]
        self._run = Run.of(self._instance.do)
        waits = [step for step in walk(self._instance.do) if isinstance(step, WaitUntil)]
        self._conditions = {id(step.when) for step in waits}
        self._met: list[Predicate] = []
        self._paused: list[_Paused] = []

    @property
    def over(self) -> bool:
        return self._run.over

    def due(self) -> int | None:
        """Engine time at which the next wait ends by itself."""
        return self._run.due()

    def go_on(self, now: int, *, trusting: bool = False) -> list[Part | Pause]:
        """All that can be done by now, and the waits that begin. `trusting`: what it waits for is true."""
        self._met.clear()
        deeds = self._run.go_on(now, self._trusted if trusting else self._truth)
        parts: list[Part | Pause] = [self._part(deed) for deed in deeds]
        self._end_pauses(now)
        parts += [Pause(met.text, now, "true", now) for met in self._met]  # they were true at once
        return [*parts, *self._new_pauses(now)]

    def answer(self, step: int, answer: Answer) -> None:
        """A write has ended; `go_on` does what follows."""
        place = (answer.device, answer.point)
        self._run.answer(step, place, failed=answer.outcome in FAILED)

    def succeed(self, part: Part) -> None:
        """A write ends well."""
        one = part.output
        if part.step is not None and isinstance(one, Claimed | Commanded):
            self._run.answer(part.step, (one.device, one.point), failed=False)

    def _truth(self, predicate: Predicate) -> Value | None:
        found = predicate.truth(self._state.values)
        if found is True and id(predicate) in self._conditions:
            self._met.append(predicate)
        return found

    def _trusted(self, predicate: Predicate) -> Value | None:
        if id(predicate) not in self._conditions:
            return predicate.truth(self._state.values)
        self._met.append(predicate)
        return True

    def _end_pauses(self, now: int) -> None:
        lasting = []
        for one in self._paused:
            thread, until, due, pause = one
            if thread.until is until and thread.due == due:
                lasting.append(one)
                continue
            pause.ended = now
            met = until is not None and any(until.when is predicate for predicate in self._met)
            if until is not None and met:
                self._met = [predicate for predicate in self._met if predicate is not until.when]
            pause.outcome = "over" if until is None else "true" if met else "timed out"
        self._paused = lasting

    def _new_pauses(self, now: int) -> Iterator[Pause]:
        known = {id(one.thread) for one in self._paused}
        for thread in _all(self._run.threads):
            if id(thread) in known or (thread.until is None and thread.due is None):
                continue
            text = f"{((thread.due or now) - now) / 1e9:g}s" if thread.until is None else thread.until.when.text  # fmt: skip
            pause = Pause(text, now)
            self._paused.append(_Paused(thread, thread.until, thread.due, pause))
            yield pause

    def _part(self, deed: Deed) -> Part:
        state, rank, instance = self._state, self._rank, self._instance
        level = instance.rule.level
        match deed:
            case Setting(device, point, value, hold_ns, terms, step):
                claimed = Claimed(instance.id, device, point, value, level, rank, terms)
                return Part(claimed, step, hold_ns)
            case Order(device, point, value, terms, step):
                return Part(Commanded(instance.id, device, point, value, level, terms), step)
            case Notice():
                return Part(said(state, rank, deed))
            case Note():
                return Part(Logged(instance.id, filled(state, deed.text)))


def planned(state: State, rank: int, now: int) -> list[Part | Pause]:
    """What it would do if every write were confirmed, and all that it waits for came true, at once."""
    rehearsal, found = Rehearsal(state, rank), list[Part | Pause]()
    for _ in range(MOST):
        parts = rehearsal.go_on(now, trusting=True)
        found += parts
        for part in parts:
            if isinstance(part, Part):
                rehearsal.succeed(part)
        if rehearsal.over:
            break
        now = max(now, rehearsal.due() or now)
    return found


def _all(threads: list[Thread]) -> Iterator[Thread]:
    for thread in threads:
        yield thread
        yield from _all(thread.children)
