"""A naive reading of the life of an alarm: second by second, every flag looked at anew.

It shares no code with the engine and has no timers. One alarm, and another one that may suppress it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

OPERATIONAL, SAFETY, LIFE = 1, 2, 3


@dataclass(frozen=True)
class Terms:
    """In seconds; 0: not so. `levels`: (above which value, for so long, severity). `escalate`: (after,
    "unacked" or "active").
    """

    ack: str = "optional"
    latch: bool = False
    cooldown: int = 0
    realarm: int = 0
    flap: tuple[int, int] | None = None  # more than so many raises in so long
    levels: Sequence[tuple[int, int, int]] = ()
    escalate: Sequence[tuple[int, str]] = ()


@dataclass
class Alarm:
    """Raised above `limit`. `other` says whether an alarm of severity safety of the same place stands."""

    terms: Terms
    limit: int = 250
    value: int | None = None
    known: bool = False
    other: bool = False
    now: int = 0
    active: bool = False
    since: int = 0
    latched: bool = False
    open: bool = False
    first: int | None = None
    silent: bool = False  # within the cooldown
    said: bool = False
    acked: int | None = None
    shelf: int | None = None
    shot: bool = False
    out: int | None = None
    suppressed: bool = False
    heard: int | None = None
    stage: int = 0
    holding: bool = False
    raises: list[int] = field(default_factory=list)
    flapping: bool = False
    over: dict[int, int] = field(default_factory=dict)  # level -> since when its value is above
    severity: int = OPERATIONAL
    words: list[str] = field(default_factory=list)

    # What is asked

    @property
    def muted(self) -> bool:
        aside = self.shelf is not None or self.out is not None or self.suppressed
        return self.silent or aside or (self.flapping and self.severity < LIFE)

    @property
    def letter(self) -> str:
        aside = [
            name
            for name, is_ in (
                ("I", self.out is not None),
                ("H", self.suppressed),
                ("G", self.shelf is not None),
            )
            if is_
        ]
        if aside or not self.open:
            return (*aside, "A")[0]
        seen = self.acked is not None or self.terms.ack == "none"
        state = "active" if self.active else "latched" if self.latched else "over"
        return {"active": "BC", "latched": "EF", "over": "DD"}[state][seen]

    # What happens

    def until(self, now: int) -> list[str]:
        """Time goes on up to `now`, and with it."""
        self.words = []
        while self.now < now:
            self.now += 1
            self._second()
        return self.words

    def show(self, value: int) -> list[str]:
        """The value is another one."""
        self.words = []
        self.value, self.known = value, True
        for index, (limit, _, _) in enumerate(self.terms.levels):
            if value <= limit:
                self.over.pop(index, None)
            else:
                self.over.setdefault(index, self.now)
        if value > self.limit and not self.active:
            self._raise()
        elif value <= self.limit and self.active:
            self._clear()
        self._weigh()
        return self.words

    def suppress(self, *, other: bool) -> list[str]:
        self.words = []
        self.other = other
        self._review()
        return self.words

    def do(self, what: str, span: int = 0) -> list[str] | None:
        """None: refused."""
        self.words = []
        deeds: dict[str, Callable[[int], bool]] = {
            "ack": self._ack, "shelve": self._shelve, "one_shot": self._one_shot,
            "unshelve": self._unshelve, "out_of_service": self._take_out,
            "in_service": self._bring_back, "reset": self._reset,
        }  # fmt: skip
        if not deeds[what](span):
            return None
        if what != "reset":
            self._listen()
        self._close()
        return self.words

    # How

    def _second(self) -> None:
        if self.shelf == self.now:
            self._off_the_shelf()
        if self.out == self.now:
            self._back()
        if self._realarms():
            self.acked, self.heard = None, None
            self.words.append("realarm")
        steady = self._is_steady()
        if steady:
            self.flapping = False
            self.words.append("steady")
        self._weigh()
        self._listen(seen=steady)
        self._escalate()

    def _realarms(self) -> bool:
        if not self.terms.realarm or self.acked is None or not self.active or not self.open:
            return False
        return self.now == max(self.acked, self.since) + self.terms.realarm

    def _is_steady(self) -> bool:
        if not self.flapping or self.terms.flap is None:
            return False
        most, span = self.terms.flap
        return sum(1 for at in self.raises if at > self.now - span) <= most / 2

    def _worst(self) -> int:
        found = [OPERATIONAL]
        for index, since in self.over.items():
            _, delay, severity = self.terms.levels[index]
            if since + delay <= self.now:
                found.append(severity)
        if self.open and self.terms.latch:
            found.append(self.severity)
        return max(found)

    def _weigh(self) -> None:
        if not self.open or not (self.active or self.latched):
            return
        before, self.severity = self.severity, self._worst()
        if self.severity == before:
            return
        if self.severity > before:
            self.acked, self.heard = None, None
            if self.silent:
                self.silent = False
                self._tell_begin()
            else:
                self.words.append("severity")
            if self.shelf is not None:
                self._off_the_shelf()
        else:
            self.words.append("severity")
        self._review()
        self._listen()

    def _raise(self) -> None:
        terms = self.terms
        self.active, self.since, self.latched = True, self.now, False
        self.silent = self.first is not None and self.now - self.first < terms.cooldown
        if not self.open and not self.silent:
            self.first = self.now
        self.severity = self._worst()
        self.open = True
        if not self.silent:
            self.acked = None
            flaps = False
            if terms.flap is not None:
                self.raises.append(self.now)
                recent = [at for at in self.raises if at > self.now - terms.flap[1]]
                flaps = not self.flapping and len(recent) > terms.flap[0]
                self.flapping = self.flapping or flaps
            self._tell_begin()
            if flaps:
                self.words.append("flapping")
        self.suppressed = self._needless()
        if self.out is None:
            self.holding = True
            self.words += ["claimed"] if self.muted else ["claimed", "notified"]

    def _tell_begin(self) -> None:
        was, self.suppressed = self.suppressed, self._needless()
        self.said, self.stage = True, 0
        self.heard = None if self.muted else self.now
        self.words.append("raised quietly" if self.muted else "raised")
        if self.suppressed and not was:
            self.words.append("suppressed")

    def _clear(self) -> None:
        self.active = False
        if self.terms.latch:
            self.latched = True
        else:
            self._end()
        if self.shelf is not None and self.shot:
            self._off_the_shelf()
        self._close()

    def _end(self) -> None:
        if self.said:
            self.words.append("cleared")
        self.said = False
        self._let_go()

    def _let_go(self) -> None:
        if self.holding:
            self.words.append("released")
        self.holding = False

    def _close(self) -> None:
        waits = self.terms.ack == "required" and self.acked is None
        if self.open and not self.active and not self.latched and not waits:
            self.open = self.silent = self.suppressed = False
            self.heard, self.stage = None, 0

    def _needless(self) -> bool:
        return self.other and self.severity <= SAFETY

    def _review(self) -> None:
        if self.open and self.suppressed is not self._needless():
            self.suppressed = not self.suppressed
            self.words.append("suppressed" if self.suppressed else "unsuppressed")
            self._listen()

    def _listen(self, *, seen: bool = False) -> None:
        if self.muted:
            self.heard = None
        elif self.active and self.heard is None and (seen or (self.open and self.acked is None)):
            self.heard, self.stage = self.now, 0
            self.words += ["annunciated", "notified"]

    def _escalate(self) -> None:
        told = False
        while self.open and self.heard is not None and self.stage < len(self.terms.escalate):
            after, only = self.terms.escalate[self.stage]
            if self.now < self.heard + after:
                return
            self.stage += 1
            if self.acked is None if only == "unacked" else self.active:
                self.words += ["escalated"] if told else ["escalated", "notified"]
                told = True

    # What people do

    def _ack(self, _span: int) -> bool:
        if self.terms.ack == "none" or not self.open:
            return False
        if self.acked is None:
            self.acked = self.now
            self.words.append("acked")
        return True

    def _shelve(self, span: int) -> bool:
        if not 0 < span <= (3_600 if self._now_severity() == LIFE else 8 * 3_600):
            return False
        self.shelf, self.shot = self.now + span, False
        self.words.append("shelved")
        return True

    def _now_severity(self) -> int:
        return self.severity if self.open else OPERATIONAL

    def _one_shot(self, span: int) -> bool:
        done = self._shelve(span)
        self.shot = self.shot or done
        return done

    def _unshelve(self, _span: int) -> bool:
        if self.shelf is None:
            return False
        self._off_the_shelf()
        return True

    def _off_the_shelf(self) -> None:
        self.shelf, self.shot = None, False
        self.words.append("unshelved")

    def _take_out(self, span: int) -> bool:
        self._let_go()
        self.out = self.now + span
        self.words.append("out_of_service")
        return True

    def _bring_back(self, _span: int) -> bool:
        if self.out is None:
            return False
        self._back()
        return True

    def _back(self) -> None:
        if self.active or self.latched:
            self.holding = True
            self.words.append("claimed")
        self.out = None
        self.words.append("in_service")

    def _reset(self, _span: int) -> bool:
        if not self.latched or not self.terms.latch:
            return False
        self.latched = False
        self._end()
        if self.shelf is not None and self.shot:
            self._off_the_shelf()
        return True
