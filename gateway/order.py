"""The verb `command` of the control socket: one order of a person at this machine."""

from collections.abc import Mapping

from gateway.clock import Clock
from gateway.commands import Commands
from gateway.control import Handler
from gateway.group import Groups
from gateway.model import Command, CommandResult, uuid7, whole_of
from gateway.snapshot import CommandAnswer

COMMAND_LIFE_S = 60.0  # how long it may wait for its turn


def order(commands: Commands, groups: Groups, clock: Clock) -> Handler:
    """A handler that answers when the command is confirmed or has failed, for every member of a group."""

    async def handle(request: Mapping[str, object], uid: int) -> CommandAnswer:
        device, point, value = (request.get(key) for key in ("device", "point", "value"))
        if not isinstance(device, str) or not isinstance(point, str) or value is None:
            raise ValueError("device, point and value are needed")
        if not isinstance(value, bool | int | float | str):
            raise ValueError(f"{value!r} is no value")  # noqa: TRY004 -- ValueError is how a handler refuses
        command = Command(
            str(uuid7(clock.time_ns())), device, point, value,
            clock.boottime_ns() + int(COMMAND_LIFE_S * 1e9), "cli", by=f"uid {uid}", hold_s=_hold(request),
        )  # fmt: skip
        if device in groups:
            members = await groups.execute(command)
            whole = _answer(whole_of(command, members))
            return {**whole, "device": "", "members": [_answer(one) for one in members]}
        return _answer(await commands.execute(command))

    return handle


def _hold(request: Mapping[str, object]) -> float | None:
    hold = request.get("hold")
    if hold is None or (isinstance(hold, int | float) and not isinstance(hold, bool)):
        return hold
    raise ValueError(f"{hold!r} is no number of seconds to hold a point")


def _answer(result: CommandResult) -> CommandAnswer:
    return {
        "device": result.command.device, "outcome": result.outcome, "reason": result.reason,
        "value": result.value, "attempts": result.attempts, "members": [],
    }  # fmt: skip
