"""The verb `drill`: does what a rule would do if it became active, and reports how each part went.

Outputs are held at the priority of the rule while the drill runs, and given back at its end. No alarm
is raised: the events have `drill: true`, and people are told that it is a drill.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from uuid import UUID

from gateway.claims import Claim
from gateway.clock import Clock
from gateway.commands import Commands
from gateway.decider import RuleDecider
from gateway.drill_report import DrillReport, DrillStep, good, keep
from gateway.execution import Emit
from gateway.model import CommandResult, EventKind, Severity
from gateway.notify import Notifier
from rules.explain import named
from rules.flow import State
from rules.outputs import Claimed, Commanded, Logged, Notified
from rules.rehearse import Rehearsed, rehearsed
from rules.standing import phase_of

log = logging.getLogger(__name__)

WRITES_S = 75.0  # a command lives for 60 s, then comes its last confirmation
TOLD_S = 15.0  # one attempt of a notification; with the uplink down it goes on after the drill
PREFIX = "DRILL, no alarm: "
NAMED = 50  # targets that failed, in the event; the report has all

Write = Claimed | Commanded
Answer = asyncio.Future[tuple[CommandResult, float]]  # and after how many ms


class Drills:
    """One at a time. `handle` is a handler of the control socket."""

    def __init__(
        self,
        decider: RuleDecider,
        commands: Commands,
        notifier: Notifier,
        *,
        clock: Clock,
        emit: Emit,
        state_dir: Path,
    ) -> None:
        self._decider, self._commands, self._notifier = decider, commands, notifier
        self._clock, self._emit, self._state_dir = clock, emit, state_dir
        self._busy = False

    async def handle(self, request: Mapping[str, object], uid: int) -> DrillReport:
        """Answers when all has ended. Raises ValueError for what cannot be drilled now."""
        if self._busy:
            raise ValueError("another drill is under way: wait for its end")
        state = self._decider.engine
        rank = _rank(state, str(request.get("name")))
        outputs = rehearsed(state, rank, self._clock.boottime_ns())
        if not outputs:
            raise ValueError(f"{state.rules.instances[rank].id} does nothing at its beginning")
        self._busy = True
        try:
            dry = request.get("dry") is True
            return await self._drill(state, rank, outputs, f"cli uid {uid}", dry=dry)
        finally:
            self._busy = False

    async def _drill(
        self, state: State, rank: int, outputs: Sequence[Rehearsed], by: str, *, dry: bool
    ) -> DrillReport:
        instance, began = state.rules.instances[rank], monotonic()
        about: dict[str, object] = {
            "drill": True, "dry": dry, "rule": instance.rule.id, "instance": instance.id, "by": by,
        }  # fmt: skip
        event = self._emit(EventKind.DRILL, Severity.OPERATIONAL, instance.device, about)
        cause = event.event_id
        steps = list(map(_planned, outputs)) if dry else await self._done(outputs, cause)
        failed = [step["target"] for step in steps if not good(step)]
        started = datetime.fromtimestamp(event.time_ns / 1e9, UTC).isoformat(timespec="seconds")
        report: DrillReport = {
            "id": str(cause), "instance": instance.id, "title": instance.shown, "by": by, "dry": dry,
            "started": started, "took_s": monotonic() - began, "ok": not (dry or failed),
            "steps": steps,
        }  # fmt: skip
        _log(report)
        if not dry:
            ended = {**about, "ok": not failed, "failed": failed[:NAMED]}
            self._emit(EventKind.DRILL, Severity.OPERATIONAL, instance.device, ended, cause)
            await self._keep(report)
        return report

    async def _keep(self, report: DrillReport) -> None:
        try:
            await asyncio.to_thread(keep, self._state_dir, report)
        except OSError as error:
            why = (
                f"the drill of {report['instance']} is done, but its report cannot be kept: {error}"
            )
            raise ValueError(why) from error

    async def _done(self, outputs: Sequence[Rehearsed], cause: UUID) -> list[DrillStep]:
        """Everything at once, as in a real case; each step with its answer."""
        began = monotonic()
        writes = [one for one in outputs if isinstance(one, Claimed | Commanded)]
        try:
            answers = [self._write(one, cause, began) for one in writes]
            async with asyncio.TaskGroup() as group:
                told = [
                    group.create_task(self._told(one, cause, began), name=f"drill:{one.recipient}")
                    for one in outputs
                    if isinstance(one, Notified)
                ]
                if answers:
                    await asyncio.wait(answers, timeout=WRITES_S)
        finally:
            for one in writes:
                self._commands.release(one.device, one.point, _holder(one))
        steps = [_written(one, answer) for one, answer in zip(writes, answers, strict=True)]
        notes = [_step("log", one.text, "logged") for one in outputs if isinstance(one, Logged)]
        return [*steps, *(task.result() for task in told), *notes]

    def _write(self, one: Write, cause: UUID, began: float) -> Answer:
        answer: Answer = asyncio.get_running_loop().create_future()
        rank = one.rank if isinstance(one, Claimed) else 0
        told = partial(_settle, answer, began)
        claim = Claim(_holder(one), one.value, one.level, rank, cause, one.terms, told)
        start = self._commands.claim if isinstance(one, Claimed) else self._commands.order
        start(one.device, one.point, claim)
        return answer

    async def _told(self, one: Notified, cause: UUID, began: float) -> DrillStep:
        """Tell it as operational, whatever the rule is: it must not pass for an alarm."""
        about = {**one.about, "instance": one.instance, "drill": True}
        text = PREFIX + one.text
        notice = self._notifier.send(one.recipient, text, about=about, cause=cause, by="drill")
        if notice is None:  # no cause is older than this drill
            raise RuntimeError(f"the drill {cause} was told before")
        with suppress(TimeoutError):
            async with asyncio.timeout(TOLD_S):
                await notice.done.wait()
        outcome = "waiting" if notice.ending is None else notice.ending.value
        ms = None if notice.ending is None else (monotonic() - began) * 1e3
        return _step("tell", one.recipient, outcome, text, reason=notice.reason, ms=ms)


def _rank(state: State, name: str) -> int:
    """The only instance of this name, which is not active."""
    ranks = named(state, name)
    ids = [state.rules.instances[rank].id for rank in ranks]
    if len(ids) > 1:
        raise ValueError(f"'{name}' has several instances, name one: {', '.join(ids)}")
    if phase_of(state, ranks[0]) != "normal":
        raise ValueError(f"{ids[0]} is {phase_of(state, ranks[0])}: this is no time for a drill")
    return ranks[0]


def _holder(one: Write) -> str:
    return f"drill {one.instance}"


def _settle(answer: Answer, began: float, result: CommandResult) -> None:
    if not answer.done():  # a late confirmation comes on top
        answer.set_result((result, (monotonic() - began) * 1e3))


def _planned(one: Rehearsed) -> DrillStep:
    match one:
        case Claimed() | Commanded():
            return _step("write", f"{one.device}.{one.point}", "not done", one.value)
        case Notified():
            return _step("tell", one.recipient, "not done", one.text)
        case Logged():
            return _step("log", one.text, "not done")


def _written(one: Write, answer: Answer) -> DrillStep:
    target = f"{one.device}.{one.point}"
    if not answer.done():
        return _step("write", target, "no answer", one.value, reason=f"within {WRITES_S:g} s")
    result, ms = answer.result()
    outcome, reason = result.outcome.value, result.reason
    step = _step("write", target, outcome, one.value, reason=reason, ms=ms)
    return {**step, "reported": result.value}


def _step(
    what: str, target: str, outcome: str, value: object = None, *, reason: str = "",
    ms: float | None = None,
) -> DrillStep:  # fmt: skip
    return {
        "what": what, "target": target, "value": value, "outcome": outcome, "reason": reason,
        "reported": None, "ms": ms,
    }  # fmt: skip


def _log(report: DrillReport) -> None:
    kind = "dry drill" if report["dry"] else "drill"
    for step in report["steps"]:
        log.info(
            "%s of %s: %s %s = %s: %s", kind, report["instance"], step["what"], step["target"],
            step["value"], step["outcome"], extra={"component": "rules"},
        )  # fmt: skip
