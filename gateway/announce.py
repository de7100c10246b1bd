"""The notifier in the gateway: made of its parts, tried out by the verb `notify`, told to status and audit."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from gateway.audit import AuditLog
from gateway.clock import Clock
from gateway.config import Config
from gateway.control import Handler
from gateway.driver import Announcer, Driver
from gateway.model import Severity
from gateway.notice import Notice
from gateway.notify import MAX_TEXT, Emit, Journal, Notifier
from gateway.snapshot import NotificationsPart, NotifyAnswer
from gateway.supervise import ContainedAnnouncer

LONGEST_WAIT_S = 60.0
STORE_S = 3.0  # a disk that takes longer is said to have failed
SHOWN = 20  # open notifications in a snapshot


def notifier(
    config: Config,
    drivers: Mapping[str, Driver],
    *,
    journal: Journal,
    clock: Clock,
    emit: Emit,
    audit: AuditLog,
) -> Notifier:
    return Notifier(
        config.recipients, gateway_id=config.gateway.id, announcers=announcers(drivers),
        journal=journal, clock=clock, emit=emit, told=_telling(audit),
    )  # fmt: skip


def announcers(drivers: Mapping[str, Driver]) -> dict[str, ContainedAnnouncer]:
    return {n: ContainedAnnouncer(d) for n, d in drivers.items() if isinstance(d, Announcer)}


def _telling(audit: AuditLog) -> Callable[[Notice], None]:
    """Every ending is a record."""

    def told(notice: Notice) -> None:
        cause = {} if notice.event.cause is None else {"cause": str(notice.event.cause)}
        audit.record(
            notice.by, "notification", "" if notice.ending is None else notice.ending.value,
            id=str(notice.id), recipient=notice.recipient, text=notice.text, reason=notice.reason,
            attempts=notice.attempts, **cause,
        )  # fmt: skip

    return told


def notifying(to: Notifier) -> Handler:
    """The verb `notify`: answers when it is on disk, and has ended or `wait_s` (0 to 60) are over."""

    async def handle(request: Mapping[str, object], uid: int) -> NotifyAnswer:
        recipient, text, wait_s = (request.get(key) for key in ("recipient", "text", "wait_s"))
        if not isinstance(recipient, str) or not isinstance(text, str) or not text.strip():
            raise ValueError("a recipient and a text are needed")
        if len(text) > MAX_TEXT:
            raise ValueError(f"the text is longer than {MAX_TEXT} characters")
        if not isinstance(wait_s, int | float) or not 0 <= wait_s <= LONGEST_WAIT_S:
            raise ValueError(f"the gateway waits 0 to {LONGEST_WAIT_S:g} s")
        severity = _severity(request.get("severity"))
        notice = to.send(recipient, text, severity, by=f"cli uid {uid}")
        assert notice is not None  # noqa: S101 -- None is for repeats, and this has no cause
        stored = False
        with suppress(TimeoutError):
            async with asyncio.timeout(STORE_S):
                stored = await to.stored(notice)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await notice.done.wait()
        return {
            "id": str(notice.id), "outcome": "waiting" if notice.ending is None else notice.ending.value,
            "reason": notice.reason, "attempts": notice.attempts, "stored": stored,
        }  # fmt: skip

    return handle


def _severity(word: object) -> Severity:
    words = {s.name.lower(): s for s in Severity if s is not Severity.TELEMETRY}
    if word not in words:
        raise ValueError(f"{word!r} is no severity: write one of {', '.join(words)}")
    return words[str(word)]


def part(of: Notifier, clock: Clock) -> NotificationsPart:
    waiting, now_ns = of.open, clock.boottime_ns()
    return {
        "recipients": of.recipients,
        "open": len(waiting),
        "waiting": [
            {"id": str(n.id), "recipient": n.recipient, "severity": n.event.severity.name.lower(),
             "text": n.text, "since_s": (now_ns - n.since_ns) / 1e9, "attempts": n.attempts,
             "reason": n.reason}
            for n in waiting[:SHOWN]
        ],
        "counters": dict(of.counters),
    }  # fmt: skip
