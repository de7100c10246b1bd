"""What a rule does while it is active: its steps, one after the other. Pure.

Steps follow each other without waiting for the world: only `wait` and `wait_until` wait, and
`parallel` until its branches have ended. The engine owns time and says when to go on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.model import Value
from rules.predicate import Predicate


class Setting(NamedTuple):
    """Hold a point at a value until the rule ends, at most `hold_ns`."""

    device: str
    point: str
    value: Value
    hold_ns: int | None = None


class Order(NamedTuple):
    """Write a point once."""

    device: str
    point: str
    value: Value


class Message(NamedTuple):
    """A text for people, in parts: what is written, and values that are filled in."""

    parts: tuple[str | Predicate, ...]


class Notice(NamedTuple):
    """Tell a recipient; without `text` the title of the rule."""

    recipient: str
    text: Message | None


class Note(NamedTuple):
    """A line for the log of the gateway."""

    text: Message


class Wait(NamedTuple):
    ns: int


class WaitUntil(NamedTuple):
    """Until `when` is known to be true, at most `timeout_ns`; then `on_timeout`."""

    when: Predicate
    timeout_ns: int | None
    on_timeout: "Steps"


class Choice(NamedTuple):
    """An unknown condition is not true."""

    when: Predicate
    then: "Steps"
    otherwise: "Steps"


class Branches(NamedTuple):
    branches: tuple["Steps", ...]


Step = Setting | Order | Notice | Note | Wait | WaitUntil | Choice | Branches
Steps = tuple[Step, ...]
Deed = Setting | Order | Notice | Note
Truth = Callable[[Predicate], Value | None]


@dataclass(slots=True)
class Thread:
    """One line of steps. `stack` holds what is left to do, the innermost list last."""

    stack: list[list[Step]]
    due: int | None = None  # engine time at which a wait ends
    until: WaitUntil | None = None
    children: list["Thread"] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return not self.stack and self.due is None and self.until is None and not self.children


@dataclass(slots=True)
class Run:
    """The steps of one activation, as far as they have come."""

    threads: list[Thread]

    @classmethod
    def of(cls, steps: Steps) -> "Run":
        return cls([Thread([list(steps)])])

    @property
    def over(self) -> bool:
        return all(thread.over for thread in self.threads)

    def due(self) -> int | None:
        """When to go on by time."""
        return min((t.due for t in self._all() if t.due is not None), default=None)

    def go_on(self, now: int, truth: Truth) -> list[Deed]:
        """Everything that can be done by now, in order."""
        deeds: list[Deed] = []
        for thread in self.threads:
            _advance(thread, now, truth, deeds)
        return deeds

    def _all(self) -> Iterator[Thread]:
        waiting = list(self.threads)
        while waiting:
            thread = waiting.pop()
            waiting += thread.children
            yield thread


def _advance(thread: Thread, now: int, truth: Truth, deeds: list[Deed]) -> None:
    while True:
        if thread.children:
            for child in thread.children:
                _advance(child, now, truth, deeds)
            thread.children = [child for child in thread.children if not child.over]
            if thread.children:
                return
        if not _waited(thread, now, truth):
            return
        while thread.stack and not thread.stack[-1]:
            thread.stack.pop()
        if not thread.stack:
            return
        _begin(thread, thread.stack[-1].pop(0), now, truth, deeds)


def _waited(thread: Thread, now: int, truth: Truth) -> bool:
    """No wait is under way any more."""
    late = thread.due is not None and thread.due <= now
    if thread.until is not None:
        if truth(thread.until.when) is True:
            thread.until = thread.due = None
        elif late:
            thread.stack.append(list(thread.until.on_timeout))
            thread.until = thread.due = None
        else:
            return False
    elif late:
        thread.due = None
    return thread.due is None


def _begin(thread: Thread, step: Step, now: int, truth: Truth, deeds: list[Deed]) -> None:
    match step:
        case Wait(ns):
            thread.due = now + ns
        case WaitUntil():
            thread.until = step
            thread.due = None if step.timeout_ns is None else now + step.timeout_ns
        case Choice(when, then, otherwise):
            thread.stack.append(list(then if truth(when) is True else otherwise))
        case Branches(branches):
            thread.children = [Thread([list(branch)]) for branch in branches]
        case _:
            deeds.append(step)


def walk(steps: Sequence[Step]) -> Iterator[Step]:
    """Every step, inner ones too."""
    for step in steps:
        yield step
        match step:
            case WaitUntil():
                yield from walk(step.on_timeout)
            case Choice():
                yield from walk(step.then)
                yield from walk(step.otherwise)
            case Branches(branches):
                for branch in branches:
                    yield from walk(branch)


def predicates(steps: Sequence[Step]) -> Iterator[Predicate]:
    """The conditions that decide how the steps go on, and the values of their texts."""
    for step in walk(steps):
        match step:
            case WaitUntil() | Choice():
                yield step.when
            case Notice(_, Message(parts)) | Note(Message(parts)):
                yield from (part for part in parts if isinstance(part, Predicate))


def placed(steps: Steps, place: Callable[[Predicate], Predicate]) -> Steps:
    """The steps with every predicate replaced by what `place` makes of it."""
    return tuple(_placed(step, place) for step in steps)


def _placed(step: Step, place: Callable[[Predicate], Predicate]) -> Step:
    match step:
        case WaitUntil(when, timeout_ns, on_timeout):
            return WaitUntil(place(when), timeout_ns, placed(on_timeout, place))
        case Choice(when, then, otherwise):
            return Choice(place(when), placed(then, place), placed(otherwise, place))
        case Branches(branches):
            return Branches(tuple(placed(branch, place) for branch in branches))
        case Notice(recipient, Message(parts)):
            return Notice(recipient, Message(_filled(parts, place)))
        case Note(Message(parts)):
            return Note(Message(_filled(parts, place)))
    return step


def _filled(
    parts: tuple[str | Predicate, ...], place: Callable[[Predicate], Predicate]
) -> tuple[str | Predicate, ...]:
    return tuple(place(part) if isinstance(part, Predicate) else part for part in parts)
