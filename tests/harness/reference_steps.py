"""A naive reading of the steps of a rule: one generator for each line of steps, asked again and again.

Shares the shapes of the steps with the engine and nothing else: no stacks, no positions, no timers.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.model import Outcome
from rules.sequence import (
    Branches,
    Choice,
    Note,
    Notice,
    Order,
    Setting,
    Steps,
    Wait,
    WaitUntil,
    Watched,
)

# Written down again, not imported: superseded and overridden mean that something else is done instead.
WELL = {
    Outcome.CONFIRMED: True, Outcome.LATE_CONFIRMED: True, Outcome.WRITTEN: True,
    Outcome.SUPERSEDED: True, Outcome.OVERRIDDEN: True,
    Outcome.UNCONFIRMED: False, Outcome.FAILED: False, Outcome.REFUSED: False,
    Outcome.EXPIRED: False, Outcome.UNKNOWN: False,
}  # fmt: skip

Ready = Callable[[], bool]


def again() -> bool:
    """Branches are looked at anew each time something has happened."""
    return True


Line = Generator[Ready, None, None]


@dataclass
class Ticket:
    """One step whose writes were sent: the ends that came, and what a bad one begins."""

    step: Watched
    ends: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    failed: bool = False

    @property
    def ended(self) -> bool:
        return len(self.ends) == len(self.step.writes)


@dataclass
class ReferenceRun:
    """`said` are the deeds since they were taken last: `set lamp.level = 1 (2)`, with the step asked about."""

    steps: Steps
    truth: Callable[[Any], Any]
    now: int = 0
    lines: list["Going"] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lines.append(Going(self.line(self.steps)))

    def go_on(self, now: int) -> list[str]:
        self.now, self.said = now, []
        for line in list(self.lines):
            line.advance()
        return self.said

    def answer(self, number: int, place: tuple[str, str], outcome: Outcome) -> None:
        ticket = self.tickets[number - 1]
        if place in ticket.ends:
            return
        ticket.ends[place] = outcome
        if not WELL[outcome] and not ticket.failed:
            ticket.failed = True
            if ticket.step.on_fail:
                self.lines.insert(0, Going(self.line(ticket.step.on_fail)))

    @property
    def over(self) -> bool:
        """Nothing can come of it any more."""
        waiting = any(
            not ticket.ended
            and (ticket.step.awaited or (ticket.step.on_fail and not ticket.failed))
            for ticket in self.tickets
        )
        return not waiting and all(line.over for line in self.lines)

    def line(self, steps: Steps) -> Line:
        for step in steps:
            match step:
                case Wait(ns):
                    due = self.now + ns
                    yield lambda due=due: self.now >= due  # type: ignore[misc]
                case WaitUntil():
                    yield from self.wait_until(step)
                case Choice(when, then, otherwise):
                    yield from self.line(then if self.truth(when) is True else otherwise)
                case Branches(branches):
                    yield from self.branches(branches)
                case Watched():
                    yield from self.watched(step)
                case _:
                    self.said.append(told(step, None))

    def wait_until(self, step: WaitUntil) -> Line:
        due = None if step.timeout_ns is None else self.now + step.timeout_ns
        while True:
            if self.truth(step.when) is True:
                return
            if due is not None and self.now >= due:
                yield from self.line(step.on_timeout)
                return
            yield lambda: self.truth(step.when) is True or (due is not None and self.now >= due)

    def branches(self, branches: tuple[Steps, ...]) -> Line:
        own = [Going(self.line(branch)) for branch in branches]
        while True:
            for one in own:
                one.advance()
            if all(one.over for one in own):
                return
            yield again

    def watched(self, step: Watched) -> Line:
        ticket = Ticket(step)
        self.tickets.append(ticket)
        self.said += [told(write, len(self.tickets)) for write in step.writes]
        if step.awaited:
            yield lambda: ticket.ended


class Going:
    """A line of steps, and what it waits for."""

    def __init__(self, line: Line) -> None:
        self.line: Iterator[Ready] = line
        self.ready: Ready = lambda: True
        self.over = False

    def advance(self) -> None:
        while not self.over and self.ready():
            ready = next(self.line, None)
            self.over = ready is None
            self.ready = ready or again
            if self.ready is again:
                return


def told(step: Setting | Order | Notice | Note, number: int | None) -> str:
    match step:
        case Setting():
            return f"set {step.device}.{step.point} = {step.value} ({number})"
        case Order():
            return f"command {step.device}.{step.point} = {step.value} ({number})"
        case Note(text):
            return f"log {text.parts}"
        case Notice(recipient, _):
            return f"to {recipient}"
