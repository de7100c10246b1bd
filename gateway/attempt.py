"""One attempt to write: sent, then confirmed by what the device reports."""

import asyncio
from typing import NamedTuple, Protocol

from gateway.clock import Clock
from gateway.errors import LinkDown, Refused
from gateway.model import RETAINED, Command, CommandResult, Outcome, Value
from gateway.profile import CommandSpec
from gateway.state import Reading, State
from gateway.terms import BACKOFF_S, LONGEST_BACKOFF_S, RETRIES, WRITE_TIMEOUT_S, Terms


class Writer(Protocol):
    async def write(self, command: Command) -> CommandResult: ...


class Plan(NamedTuple):
    """How a command is carried out. Times in s; `attempts` in all."""

    feedback: str
    equals: Value
    tolerance: float
    within: float
    attempts: int
    backoff: float
    timeout: float

    def shows(self, value: Value | None) -> bool:
        """A device that reports this does what it should."""
        if isinstance(value, bool) or isinstance(self.equals, bool | str):
            return value == self.equals
        return isinstance(value, int | float) and abs(value - self.equals) <= self.tolerance

    def pause(self, attempt: int) -> float:
        """Before this attempt, the second or a later one."""
        return float(min(self.backoff * 2 ** (attempt - 2), LONGEST_BACKOFF_S))


def plan(value: Value, spec: CommandSpec, terms: Terms, *, repeatable: bool) -> Plan:
    """What the rule says, else the profile, else as always; `repeatable`: it may be tried again."""
    feedback = terms.feedback or spec.feedback
    retry = RETRIES if terms.retry is None else terms.retry
    return Plan(
        feedback,
        value if terms.equals is None else terms.equals,
        spec.confirm.tolerance if feedback == spec.feedback else 0,
        spec.confirm.within if terms.within is None else terms.within,
        1 + retry if repeatable else 1,
        BACKOFF_S if terms.backoff is None else terms.backoff,
        WRITE_TIMEOUT_S if terms.timeout is None else terms.timeout,
    )


async def attempt(
    command: Command, how: Plan, writer: Writer, state: State, clock: Clock
) -> CommandResult:
    """Write once and wait for the device to report the value.

    Feedback counts from the moment the write is sent: a fast device answers before the write
    call has returned.
    """
    sent_ns = clock.boottime_ns()

    def accept(reading: Reading) -> bool:
        live = reading.received_ns >= sent_ns and reading.quality != RETAINED
        return live and how.shows(reading.value)

    with state.watch(command.device, how.feedback, accept) as reported:
        written = await _written(command, how, writer)
        if written.outcome is not Outcome.WRITTEN:
            return written
        try:
            async with asyncio.timeout(how.within):
                reading = await reported
        except TimeoutError:
            now = state.reading(command.device, how.feedback)
            reason = f"{how.feedback} did not become {how.equals} within {how.within:g} s"
            shown = None if now is None else now.value
            return CommandResult(command, Outcome.UNCONFIRMED, reason, shown)
    return CommandResult(command, Outcome.CONFIRMED, "", reading.value)


async def _written(command: Command, how: Plan, writer: Writer) -> CommandResult:
    try:
        async with asyncio.timeout(how.timeout):
            return await writer.write(command)
    except (LinkDown, Refused) as error:
        return CommandResult(command, Outcome.FAILED, str(error))
    except TimeoutError:
        reason = f"no answer to the write within {how.timeout:g} s"
        return CommandResult(command, Outcome.FAILED, reason)
