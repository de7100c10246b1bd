"""A naive reading of `mode` and `max_run`: the life of one rule, second by second.

Written from docs/rules.md; knows nothing of the engine. Steps are words to say and seconds to wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

TEN_MINUTES = 600
Words = Sequence[str | int]  # say a word, or wait for so many seconds (1 or more)


class Terms(NamedTuple):
    """`mode` is `restart`, `single`, `queued` or `parallel`, the last two with `most`."""

    mode: str
    most: int
    max_run: int
    do: Words
    on_clear: Words
    latch: bool


@dataclass
class Line:
    """One run through the words; nothing is said after `left` is empty."""

    left: list[str | int]
    until: int = 0  # second at which its wait is over

    def speak(self, now: int) -> list[str]:
        said: list[str] = []
        while self.left and self.until <= now:
            word = self.left.pop(0)
            if isinstance(word, str):
                said.append(word)
            else:
                self.until = now + word
        return said

    def over(self, now: int) -> bool:
        return not self.left and self.until <= now


@dataclass
class ReferenceMode:
    """`said` are words, `skipped` and `limited`, each with its second."""

    terms: Terms
    lines: list[Line] = field(default_factory=list)
    last_words: Line | None = None  # of `on_clear`
    waiting: int = 0
    begins: list[int] = field(default_factory=list)
    told_limit: bool = False
    did_something: bool = False  # since it became active
    on: bool = False
    latched: bool = False
    said: list[tuple[int, str]] = field(default_factory=list)

    def second(self, now: int) -> None:
        """Time has come to `now`: whoever waited for it goes on, and the next in line begins."""
        for line in self.lines:
            self._say(now, line.speak(now))
        if self.last_words is not None:
            self._say(now, self.last_words.speak(now))
        self.lines = [line for line in self.lines if not line.over(now)]
        while self.waiting and not self.lines:
            self.waiting -= 1
            self._begin(now)

    def rise(self, now: int) -> None:
        """Its condition has become true."""
        if not self.on:
            if not self.latched:
                self.did_something = False
            self.on, self.latched = True, False
            self.activate(now)

    def fall(self, now: int) -> None:
        """Its condition has become false."""
        if self.on:
            self.on = False
            if self.terms.latch:
                self.latched = True
            else:
                self._end(now)

    def reset(self, now: int) -> None:
        if self.latched:
            self.latched = False
            self._end(now)

    def activate(self, now: int) -> None:
        runs = [line for line in self.lines if not line.over(now)]
        match self.terms.mode:
            case "single":
                room = not runs
            case "queued":
                room = not runs or self.waiting < self.terms.most
            case "parallel":
                room = len(runs) < self.terms.most
            case _:
                room = True
        if not room:
            self.said.append((now, "skipped"))
        elif self._too_often(now):
            self.said += [] if self.told_limit else [(now, "limited")]
            self.said.append((now, "skipped"))
            self.told_limit = True
        else:
            self.told_limit, self.did_something = False, True
            self.begins.append(now)
            self._take_on(now, busy=bool(runs))

    def _take_on(self, now: int, *, busy: bool) -> None:
        if busy and self.terms.mode == "queued":
            self.waiting += 1
            return
        if self.terms.mode == "restart":
            self.lines = []
        self._begin(now)

    def _begin(self, now: int) -> None:
        self.last_words = None
        line = Line(list(self.terms.do), now)
        self._say(now, line.speak(now))
        if not line.over(now):
            self.lines.append(line)

    def _too_often(self, now: int) -> bool:
        recent = [at for at in self.begins if now - at < TEN_MINUTES]
        return len(recent) >= self.terms.max_run

    def _end(self, now: int) -> None:
        """What is under way stops, what waits is forgotten; then the last words, if there is an end of something."""
        self.lines, self.waiting = [], 0
        if self.did_something:
            self.last_words = Line(list(self.terms.on_clear), now)
            self._say(now, self.last_words.speak(now))

    def _say(self, now: int, words: Sequence[str]) -> None:
        self.said += [(now, word) for word in words]
