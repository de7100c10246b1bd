"""The verb `drill`: does what a rule would do if it became active, and reports how each part went.

Outputs are held at the priority of the rule while the drill runs, and given back at its end. No alarm
is raised: the events have `drill: true`, and people are told that it is a drill.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from uuid import UUID

from gateway.clock import Clock
from gateway.commands import Commands
from gateway.course import Course
from gateway.decider import RuleDecider
from gateway.drill_report import DrillReport, DrillStep, entry, good, keep
from gateway.execution import Emit
from gateway.model import EventKind, Severity
from gateway.notify import Notifier
from rules.explain import named
from rules.flow import State
from rules.outputs import Claimed, Commanded, Notified
from rules.rehearse import Part, Pause, planned
from rules.standing import phase_of

log = logging.getLogger(__name__)

FOR_S = 300.0  # how long a drill goes on, if nobody says so
MAX_FOR_S = 3600.0
NAMED = 50  # targets that failed, in the event; the report has all


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
        self._course: Course | None = None

    async def handle(self, request: Mapping[str, object], uid: int) -> DrillReport | None:
        """Answers when all has ended; with `stop`, which ends the one that is under way, at once. Raises
        ValueError for what cannot be drilled now.
        """
        if request.get("stop") is True:
            self._stop(f"uid {uid} stopped it")
            return None
        if self._busy:
            raise ValueError("another drill is under way: wait for its end, or --stop it")
        state = self._decider.engine
        rank = _rank(state, str(request.get("name")))
        if not state.rules.instances[rank].do:
            raise ValueError(f"{state.rules.instances[rank].id} does nothing at its beginning")
        seconds, dry = _seconds(request), request.get("dry") is True
        self._busy = True
        try:
            return await self._drill(state, rank, f"cli uid {uid}", seconds, dry=dry)
        finally:
            self._busy, self._course = False, None

    def _stop(self, why: str) -> None:
        if self._course is None:
            raise ValueError("no drill is under way")
        self._course.stop(why)

    async def _drill(
        self, state: State, rank: int, by: str, seconds: float, *, dry: bool
    ) -> DrillReport:
        instance, began = state.rules.instances[rank], monotonic()
        about: dict[str, object] = {
            "drill": True, "dry": dry, "rule": instance.rule.id, "instance": instance.id, "by": by,
        }  # fmt: skip
        event = self._emit(EventKind.DRILL, Severity.OPERATIONAL, instance.device, about)
        cause = event.event_id
        steps = self._plan(rank) if dry else await self._run(rank, cause, seconds)
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

    def _plan(self, rank: int) -> list[DrillStep]:
        now = self._decider.engine_time(self._clock.boottime_ns())
        return list(map(_planned, planned(self._decider.engine, rank, now)))

    async def _run(self, rank: int, cause: UUID, seconds: float) -> list[DrillStep]:
        self._course = Course(
            self._decider, rank, self._commands, self._notifier, self._clock.boottime_ns, cause
        )
        return await self._course.run(seconds)

    async def _keep(self, report: DrillReport) -> None:
        try:
            await asyncio.to_thread(keep, self._state_dir, report)
        except OSError as error:
            why = (
                f"the drill of {report['instance']} is done, but its report cannot be kept: {error}"
            )
            raise ValueError(why) from error


def _rank(state: State, name: str) -> int:
    """The only instance of this name, which is not active."""
    ranks = named(state, name)
    ids = [state.rules.instances[rank].id for rank in ranks]
    if len(ids) > 1:
        raise ValueError(f"'{name}' has several instances, name one: {', '.join(ids)}")
    if phase_of(state, ranks[0]) != "normal":
        raise ValueError(f"{ids[0]} is {phase_of(state, ranks[0])}: this is no time for a drill")
    return ranks[0]


def _planned(part: Part | Pause) -> DrillStep:
    if isinstance(part, Pause):
        return entry("wait", part.text, "not done")
    match part.output:
        case (Claimed() | Commanded()) as one:
            return entry("write", f"{one.device}.{one.point}", "not done", one.value)
        case Notified() as one:
            return entry("tell", one.recipient, "not done", one.text)
        case one:
            return entry("log", one.text, "not done")


def _seconds(request: Mapping[str, object]) -> float:
    """For how long it may go on."""
    seconds = request.get("for_s", FOR_S)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_FOR_S:  # fmt: skip
        raise ValueError(f"a drill lasts more than 0 and at most {MAX_FOR_S:g} s")
    return seconds


def _log(report: DrillReport) -> None:
    kind = "dry drill" if report["dry"] else "drill"
    for step in report["steps"]:
        log.info(
            "%s of %s: %s %s = %s: %s", kind, report["instance"], step["what"], step["target"],
            step["value"], step["outcome"], extra={"component": "rules"},
        )  # fmt: skip
