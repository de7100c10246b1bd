"""The course of a drill: the steps of a rule, one after the other, waits and all, each with its answer.

Outputs are held at the priority of the rule and given back at the end.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from uuid import UUID

from gateway.claims import Claim
from gateway.commands import Commands
from gateway.decider import RuleDecider
from gateway.drill_report import DrillStep, entry
from gateway.model import CommandResult, Outcome
from gateway.notify import Notifier
from rules.flow import State
from rules.outputs import Answer, Claimed, Commanded, Notified, Ref
from rules.rehearse import Part, Pause, Rehearsal
from rules.standing import raised

WRITES_S = 75.0  # a command lives for 60 s, then comes its last confirmation
TOLD_S = 15.0  # one attempt of a notification; with the uplink down it goes on after the drill
LOOK_S = 0.1  # how often it looks whether what it waits for is true
NOT_OVER = "not over"
PREFIX = "DRILL, no alarm: "

Write = Claimed | Commanded
Ending = asyncio.Future[tuple[CommandResult, float]]  # and after how many ms


class Course:
    """`run` it once."""

    def __init__(
        self, decider: RuleDecider, rank: int, commands: Commands, notifier: Notifier,
        now_ns: Callable[[], int], cause: UUID,
    ) -> None:  # fmt: skip
        self._decider, self._commands, self._notifier = decider, commands, notifier
        self._now_ns, self._cause = now_ns, cause
        self._state: State = decider.engine
        self._rank = rank
        self._rehearsal = Rehearsal(self._state, rank)
        self._told: list[Callable[[], DrillStep]] = []  # of each part, in order, once all has ended
        self._writes: list[tuple[Write, Ending]] = []
        self._cut = ""  # why it did not come to its end
        self._stopped = ""
        self._lapses: list[asyncio.TimerHandle] = []
        self._news = asyncio.Event()

    async def run(self, seconds: float) -> list[DrillStep]:
        """At most so long, not counting the answers to what was written last."""
        self._began = monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                self._cut = await self._walk(group, seconds)
                open_ = [ending for _, ending in self._writes if not ending.done()]
                if open_:
                    await asyncio.wait(open_, timeout=WRITES_S)
        finally:
            self._give_back()
        steps = [tell() for tell in self._told]
        if self._cut and all(one["outcome"] != NOT_OVER for one in steps):
            steps.append(self._waited(Pause("confirmation of its writes", self._now())))
        return steps

    def stop(self, why: str) -> None:
        """Go no further."""
        self._stopped = why
        self._news.set()

    async def _walk(self, group: asyncio.TaskGroup, seconds: float) -> str:
        """To the end; why not, if it is cut short."""
        while True:
            for part in self._rehearsal.go_on(self._now()):
                self._begin(part, group)
            left_s = self._began + seconds - monotonic()
            if self._rehearsal.over:
                return ""
            if why := self._disturbed():
                return why
            if left_s <= 0:
                return f"the drill ended after {seconds:g} s: give it more with --for"
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK_S, left_s)):
                    await self._news.wait()

    def _now(self) -> int:
        return self._decider.engine_time(self._now_ns())

    def _disturbed(self) -> str:
        if self._stopped:
            return self._stopped
        if self._decider.engine is not self._state:
            return "the configuration was changed meanwhile"
        if raised(self._state, self._rank):
            return "the rule became active: this is no drill any more"
        return ""

    def _begin(self, part: Part | Pause, group: asyncio.TaskGroup) -> None:
        if isinstance(part, Pause):
            self._told.append(partial(self._waited, part))
            return
        match part.output:
            case Claimed() | Commanded():
                ending = self._write(part.output, part)
                self._told.append(partial(self._written, part.output, ending))
            case Notified() as notified:
                name = f"drill:{notified.recipient}"
                task = group.create_task(self._tell(notified), name=name)
                self._told.append(task.result)
            case logged:
                self._told.append(partial(entry, "log", logged.text, "logged"))

    def _waited(self, pause: Pause) -> DrillStep:
        if not pause.outcome:
            why = f"{self._cut}; what comes after it was not tried"
            return entry("wait", pause.text, NOT_OVER, reason=why)
        return entry("wait", pause.text, pause.outcome, ms=(pause.ended - pause.since) / 1e6)

    # -- writes ---------------------------------------------------------------------------------

    def _write(self, one: Write, part: Part) -> Ending:
        loop = asyncio.get_running_loop()
        ending: Ending = loop.create_future()
        rank = one.rank if isinstance(one, Claimed) else 0
        told = partial(self._ended, ending, monotonic(), part.step)
        claim = Claim(_holder(one), one.value, one.level, rank, self._cause, one.terms, told)
        start = self._commands.claim if isinstance(one, Claimed) else self._commands.order
        start(one.device, one.point, claim)
        self._writes.append((one, ending))
        if part.hold_ns is not None:
            back = partial(self._commands.release, one.device, one.point, _holder(one))
            self._lapses.append(loop.call_later(part.hold_ns / 1e9, back))
        return ending

    def _ended(self, ending: Ending, began: float, number: int | None, result: CommandResult) -> None:  # fmt: skip
        if ending.done():  # a late confirmation comes on top
            return
        ending.set_result((result, (monotonic() - began) * 1e3))
        if number is not None:
            command = result.command
            ref = Ref(self._state.rules.instances[self._rank].id, 0, number)
            answer = Answer(ref, command.device, command.point, result.outcome)
            self._rehearsal.answer(number, answer)
        self._news.set()

    def _written(self, one: Write, ending: Ending) -> DrillStep:
        target = f"{one.device}.{one.point}"
        if not ending.done():
            return entry("write", target, "no answer", one.value, reason=f"within {WRITES_S:g} s")
        result, ms = ending.result()
        outcome = result.outcome.value
        if result.outcome is Outcome.SUPERSEDED and self._replaced(one):
            outcome = "replaced"
        found = entry("write", target, outcome, one.value, reason=result.reason, ms=ms)
        return {**found, "reported": result.value}

    def _replaced(self, one: Write) -> bool:
        """A later step writes the same point."""
        places = [(other.device, other.point) for other, _ in self._writes]
        index = next(i for i, (other, _) in enumerate(self._writes) if other is one)
        return (one.device, one.point) in places[index + 1 :]

    def _give_back(self) -> None:
        for lapse in self._lapses:
            lapse.cancel()
        for one, _ in self._writes:
            self._commands.release(one.device, one.point, _holder(one))

    # -- people ---------------------------------------------------------------------------------

    async def _tell(self, one: Notified) -> DrillStep:
        """As operational, whatever the rule is: it must not pass for an alarm."""
        about, began = {**one.about, "instance": one.instance, "drill": True}, monotonic()
        text = PREFIX + one.text
        notice = self._notifier.send(one.recipient, text, about=about, cause=self._cause, by="drill")  # fmt: skip
        if notice is None:  # no cause is older than this drill
            raise RuntimeError(f"the drill {self._cause} was told before")
        with suppress(TimeoutError):
            async with asyncio.timeout(TOLD_S):
                await notice.done.wait()
        outcome = "waiting" if notice.ending is None else notice.ending.value
        ms = None if notice.ending is None else (monotonic() - began) * 1e3
        return entry("tell", one.recipient, outcome, text, reason=notice.reason, ms=ms)


def _holder(one: Write) -> str:
    return f"drill {one.instance}"
