"""What the daemon tells the audit log: starts, changes of the configuration, results, what people do."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import orjson

from gateway.audit import AuditLog
from gateway.audit_chain import newest_first
from gateway.config_history import fingerprint
from gateway.control import Handler
from gateway.model import CommandResult, Event, EventKind
from rules.trace import Result, Traces

log = logging.getLogger(__name__)

# Verbs of the control socket that change nothing; whoever may open the socket may ask them.
LOOKS = frozenset({"status", "devices", "cursors", "unknown", "rules", "explain", "alarms", "tail"})
TOLD = frozenset({"command", "reload"})  # they tell their results themselves


def telling(audit: AuditLog, traces: Traces) -> Callable[[CommandResult], None]:
    """For `Commands`: every result is a record, and that of a rule is for `explain` too."""

    def told(result: CommandResult) -> None:
        command = result.command
        if command.origin == "rules":
            ended = Result(command.device, command.point, result.outcome.value)
            traces.result(command.by, ended)
        cause = {} if command.cause is None else {"cause": str(command.cause)}
        audit.record(
            f"{command.origin} {command.by}".strip(), "command", result.outcome.value,
            id=command.id, device=command.device, point=command.point, value=command.value,
            reason=result.reason, reported=result.value, **cause,
        )  # fmt: skip

    return told


def refusals(audit: AuditLog) -> Callable[[Event], None]:
    """For `Bus`: messages that may be somebody's attempt, as seldom as their driver tells of them."""

    def told(event: Event) -> None:
        if event.kind is EventKind.MESSAGE_REFUSED:
            audit.record(f"device {event.device}", "message", "refused", **event.attributes)

    return told


def audited(handlers: Mapping[str, Handler], audit: AuditLog) -> dict[str, Handler]:
    """Handlers of the control socket: those that change something are told, refusals too."""
    return {
        verb: handler if verb in LOOKS | TOLD else _audited(verb, handler, audit)
        for verb, handler in handlers.items()
    }


def _audited(verb: str, handler: Handler, audit: AuditLog) -> Handler:
    async def run(request: Mapping[str, object], uid: int) -> object:
        about = orjson.dumps({k: v for k, v in request.items() if k != "verb"}).decode()
        try:
            answer = await handler(request, uid)
        except ValueError as error:
            audit.record(f"cli uid {uid}", verb, "refused", request=about, reason=str(error))
            raise
        audit.record(f"cli uid {uid}", verb, "done", request=about)
        return answer

    return run


async def begin(audit: AuditLog, directory: Path, files: Iterable[Path]) -> None:
    """Start the log; tell the start, and whether the configuration is another one than last time."""
    now, before = await asyncio.to_thread(_configurations, directory, tuple(files))
    audit.start()
    if before and before != now:
        audit.record("gateway", "config", "changed", sha256=now, before=before)
    audit.record("gateway", "start", "done", config=now)


def _configurations(directory: Path, files: tuple[Path, ...]) -> tuple[str, str]:
    """Fingerprints of the configuration, now and at the last start ("" if none is known)."""
    now = fingerprint(files)
    try:
        for line in newest_first(directory):
            about = line.fields.get("about")
            if line.fields.get("what") == "start" and isinstance(about, dict):
                return now, str(about.get("config"))
    except OSError as error:  # the log itself says so when it is written
        log.warning("%s", error, extra={"component": "audit"})
    return now, ""
