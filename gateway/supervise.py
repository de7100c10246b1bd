"""Keeps drivers and sinks running: the one place that restarts, and the one with a broad `except`."""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from gateway.clock import Clock
from gateway.driver import Announcer
from gateway.errors import GatewayError, LinkDown, Refused, TakenOver
from gateway.health import LinkHealth, LinkState
from gateway.model import Command, CommandResult
from gateway.redact import redact

log = logging.getLogger(__name__)

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0
STABLE_S = 60.0  # a run that lasted this long starts the back-off anew
# Taken over twice within this time: two clients with one identifier throw each other out for ever.
RIVAL_S = 600.0

STOP_S = 5.0  # a driver closes what it opened within this time, or is left behind

T = TypeVar("T")
Run = Callable[[], Coroutine[Any, Any, None]]
Transition = Callable[[LinkState, str], None]


class Rival:
    """Somebody else connects under our identifier. Once it may have been a person who tried something out."""

    def __init__(self) -> None:
        self._seen_at = -math.inf

    def judge(self, error: TakenOver, now: float) -> tuple[LinkState, str]:
        """The second time it is up to the operator, and we come back slowly."""
        again = now - self._seen_at < RIVAL_S
        self._seen_at = now
        fix = (
            "does another client use our identifier (two gateways with one name, one started twice)? "
            "The broker's log tells"
        )
        return LinkState.REFUSED if again else LinkState.DOWN, f"{error}; {fix}"


def contained(what: str, build: Callable[[], T]) -> T:
    """What `build` returns; a bug of it comes out as Refused. `what` is built, for people."""
    try:
        return build()
    except GatewayError:
        raise
    except Exception as error:
        log.exception("%s cannot be built", what, extra={"component": what})
        raise Refused(f"{what}: internal error: {type(error).__name__}: {error}") from error


class Contained:
    """A driver's `write`, whose bugs come out as Refused: commands belong to the core."""

    def __init__(self, write: Callable[[Command], Coroutine[Any, Any, CommandResult]]) -> None:
        self._write = write

    async def write(self, command: Command) -> CommandResult:
        """Raises LinkDown or Refused."""
        try:
            return await self._write(command)
        except (LinkDown, Refused, TimeoutError):
            raise
        except Exception as error:
            extra = {"component": f"device {command.device}"}
            log.exception("writing %s failed", command.point, extra=extra)
            raise Refused(f"internal error: {type(error).__name__}: {error}") from error


class ContainedAnnouncer:
    """As `Contained`, for a driver that announces."""

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer

    async def announce(self, topic: str, payload: bytes, *, expiry_s: int) -> None:
        try:
            await self._announcer.announce(topic, payload, expiry_s=expiry_s)
        except (LinkDown, Refused, TimeoutError):
            raise
        except Exception as error:
            log.exception("publishing %s failed", topic, extra={"component": "notify"})
            raise Refused(f"internal error: {type(error).__name__}: {error}") from error


async def supervise(
    name: str,
    run: Run,
    health: LinkHealth,
    *,
    clock: Clock,
    transition: Transition,
    longest_s: float = LONGEST_DELAY_S,
) -> None:
    """Run `run` for ever, with full-jitter back-off (1 s to `longest_s`) after each failure.

    `transition(state, reason)` is called once when the link goes down and once when it is back.
    Ends only by cancellation.
    """
    health.on_up = lambda: _change(name, health, clock, transition, LinkState.UP, "")
    loop = asyncio.get_running_loop()
    failures, rival = 0, Rival()
    while True:
        started = loop.time()
        health.beat.turn()
        state, reason = await _once(name, run, health, rival)
        health.beat.turn()
        failures = 1 if loop.time() - started >= STABLE_S else failures + 1
        _change(name, health, clock, transition, state, reason)
        await asyncio.sleep(_delay_s(failures, state, longest_s))


async def _once(name: str, run: Run, health: LinkHealth, rival: Rival) -> tuple[LinkState, str]:
    """One attempt, in a task of its own.

    A TaskGroup inside `run` may, on Python 3.11, swallow a cancellation that comes together with
    an error, or leave a cancellation request behind: here neither reaches the supervisor.
    """
    task = asyncio.get_running_loop().create_task(run(), name=f"{name}:run")
    task.add_done_callback(_seen)
    try:
        await asyncio.wait({task})
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=STOP_S)
    try:
        task.result()
    except TakenOver as error:
        health.counters["taken_over"] += 1
        return rival.judge(error, asyncio.get_running_loop().time())
    except Refused as error:
        return LinkState.REFUSED, str(error)
    except GatewayError as error:
        return LinkState.DOWN, str(error)
    except asyncio.CancelledError:
        return LinkState.DOWN, "internal error: it cancelled itself"
    except Exception as error:
        # The one broad except: a bug in one driver must not reach its neighbours.
        log.exception("%s failed", name, extra={"component": name})
        return LinkState.DOWN, f"internal error: {type(error).__name__}: {error}"
    return LinkState.DOWN, "internal error: it returned"


def _seen(task: asyncio.Task[None]) -> None:
    """While the supervisor itself is cancelled nobody asks how `run` ended; asyncio would complain."""
    if not task.cancelled() and task.exception() is not None:
        log.debug("%s ended: %s", task.get_name(), task.exception())


def _delay_s(failures: int, state: LinkState, longest_s: float = LONGEST_DELAY_S) -> float:
    """Full jitter: uniform between 1 s and a ceiling that doubles with each failure."""
    if state is LinkState.REFUSED:
        return random.uniform(LONGEST_DELAY_S / 2, LONGEST_DELAY_S)
    ceiling = min(longest_s, FIRST_DELAY_S * 2 ** min(failures, 10))
    return random.uniform(FIRST_DELAY_S, ceiling)


def _change(
    name: str, health: LinkHealth, clock: Clock, transition: Transition, state: LinkState, why: str
) -> None:
    before, why = health.state, redact(why)
    health.reason = why
    if before is state:
        log.debug("still %s: %s", state, why, extra={"component": name})
        return
    health.state = state
    health.since_ns = clock.boottime_ns()
    if state is LinkState.UP:
        log.info("up", extra={"component": name})
    elif before in {LinkState.DOWN, LinkState.REFUSED}:
        log.debug("now %s: %s", state, why, extra={"component": name})
        return
    else:
        log.warning("%s: %s", state, why, extra={"component": name})
    transition(state, why)
