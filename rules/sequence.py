"""What a rule does while it is active: its steps, one after the other. Pure.

Steps follow each other without waiting for the world: only `wait` and `wait_until` wait, a write with
`await_confirm` until it has ended, and `parallel` until its branches have. The engine owns time and says when to go on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.model import Value
from gateway.terms import AS_USUAL, Terms
from rules.listing import Digest
from rules.predicate import Predicate


class Setting(NamedTuple):
    """Hold a point at a value until the rule ends, at most `hold_ns`."""

    device: str
    point: str
    value: Value
    hold_ns: int | None = None
    terms: Terms = AS_USUAL
    step: int | None = None  # of the run, where somebody waits for its end


class Order(NamedTuple):
    """Write a point once."""

    device: str
    point: str
    value: Value
    terms: Terms = AS_USUAL
    step: int | None = None


class Watched(NamedTuple):
    """Writes of one step whose ends matter. `on_fail` begins once, with the first that fails.

    `awaited`: what follows waits until all have ended, well or not.
    """

    writes: tuple[Setting | Order, ...]
    on_fail: "Steps"
    awaited: bool


class Message(NamedTuple):
    """A text for people, in parts: what is written, and values that are filled in."""

    parts: tuple[str | Predicate, ...]


class Notice(NamedTuple):
    """Tell a recipient; without `text` the title of the rule. `digest`: and a list."""

    recipient: str
    text: Message | None
    digest: Digest | None = None


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


Unwatched = Setting | Order | Notice | Note | Wait | WaitUntil | Choice | Branches
Step = Unwatched | Watched
Steps = tuple[Step, ...]
Deed = Setting | Order | Notice | Note
Truth = Callable[[Predicate], Value | None]
Place = tuple[str, str]  # device, point


@dataclass(slots=True)
class Thread:
    """One line of steps. `stack` holds what is left to do, the innermost list last."""

    stack: list[list[Step]]
    due: int | None = None  # engine time at which a wait ends
    until: WaitUntil | None = None
    children: list["Thread"] = field(default_factory=list)
    awaits: int | None = None  # the step whose writes must end first
    beside: bool = False  # what comes on failure

    @property
    def over(self) -> bool:
        waits = self.due is not None or self.until is not None or self.awaits is not None
        return not self.stack and not waits and not self.children


@dataclass(slots=True)
class Sent:
    """A step whose writes are under way: which are left, and what comes if one fails."""

    left: list[Place]
    on_fail: Steps
    awaited: bool


@dataclass(slots=True)
class Run:
    """The steps of one activation, as far as they have come. `number` is that of the activation."""

    threads: list[Thread]
    number: int = 0
    sent: dict[int, Sent] = field(default_factory=dict)
    steps: int = 0  # that were numbered so far
    after: bool = False  # what comes when the rule has ended

    @classmethod
    def of(cls, steps: Steps, number: int = 0, *, after: bool = False) -> "Run":
        return cls([Thread([list(steps)])], number, after=after)

    @property
    def lines(self) -> int:
        """How many activations are under way in it."""
        return sum(not thread.beside and not thread.over for thread in self.threads)

    def join(self, steps: Steps) -> None:
        """Another activation, beside those that are under way."""
        self.threads.append(Thread([list(steps)]))

    @property
    def over(self) -> bool:
        return not self.sent and all(thread.over for thread in self.threads)

    def send(self, step: Watched) -> int:
        """The number of a step whose writes begin."""
        self.steps += 1
        left = [(write.device, write.point) for write in step.writes]
        self.sent[self.steps] = Sent(left, step.on_fail, step.awaited)
        return self.steps

    def answer(self, step: int, place: Place, *, failed: bool) -> None:
        """A write has ended. What comes of it does so with `go_on`."""
        sent = self.sent.get(step)
        if sent is None or place not in sent.left:
            return
        sent.left.remove(place)
        if failed and sent.on_fail:
            self.threads.insert(0, Thread([list(sent.on_fail)], beside=True))
            sent.on_fail = ()
        if not sent.left or not (sent.on_fail or sent.awaited):
            del self.sent[step]

    def due(self) -> int | None:
        """When to go on by time."""
        return min((t.due for t in self._all() if t.due is not None), default=None)

    def go_on(self, now: int, truth: Truth) -> list[Deed]:
        """Everything that can be done by now, in order."""
        deeds: list[Deed] = []
        for thread in self.threads:
            _advance(thread, self, now, truth, deeds)
        self.threads = [thread for thread in self.threads if not thread.over]
        return deeds

    def sooner(self, ns: int, now: int) -> None:
        """Waits end `ns` earlier, but not before `now`."""
        for thread in self._all():
            if thread.due is not None:
                thread.due = max(now, thread.due - ns)

    def _all(self) -> Iterator[Thread]:
        waiting = list(self.threads)
        while waiting:
            thread = waiting.pop()
            waiting += thread.children
            yield thread


def _advance(thread: Thread, run: Run, now: int, truth: Truth, deeds: list[Deed]) -> None:
    while True:
        if thread.children:
            for child in thread.children:
                _advance(child, run, now, truth, deeds)
            thread.children = [child for child in thread.children if not child.over]
            if thread.children:
                return
        if thread.awaits in run.sent:
            return
        thread.awaits = None
        if not _waited(thread, now, truth):
            return
        while thread.stack and not thread.stack[-1]:
            thread.stack.pop()
        if not thread.stack:
            return
        step = thread.stack[-1].pop(0)
        if isinstance(step, Watched):
            number = run.send(step)
            deeds += [write._replace(step=number) for write in step.writes]
            thread.awaits = number if step.awaited else None
        else:
            _begin(thread, step, now, truth, deeds)


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


def _begin(thread: Thread, step: Unwatched, now: int, truth: Truth, deeds: list[Deed]) -> None:
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
            case Watched():
                yield from step.writes
                yield from walk(step.on_fail)


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
    new = step
    match step:
        case WaitUntil(when, timeout_ns, on_timeout):
            new = WaitUntil(place(when), timeout_ns, placed(on_timeout, place))
        case Choice(when, then, otherwise):
            new = Choice(place(when), placed(then, place), placed(otherwise, place))
        case Branches(branches):
            new = Branches(tuple(placed(branch, place) for branch in branches))
        case Watched(writes, on_fail, awaited):
            new = Watched(writes, placed(on_fail, place), awaited)
        case Notice(recipient, text, digest):
            said = None if text is None else Message(_filled(text.parts, place))
            new = Notice(recipient, said, None if digest is None else digest.placed(place))
        case Note(Message(parts)):
            new = Note(Message(_filled(parts, place)))
    return new


def _filled(
    parts: tuple[str | Predicate, ...], place: Callable[[Predicate], Predicate]
) -> tuple[str | Predicate, ...]:
    return tuple(place(part) if isinstance(part, Predicate) else part for part in parts)
