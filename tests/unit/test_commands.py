"""One command: who may, how it ends, how often it is written; the lamp behaves as devices do."""

import asyncio
import logging
from typing import Any

import pytest

from gateway.allow import CommandsSection
from gateway.errors import GatewayError, LinkDown, Refused, StoreFailed, StoreFull
from gateway.model import (
    RETAINED,
    Command,
    CommandResult,
    EventKind,
    Outcome,
    Precondition,
    Sample,
    Severity,
    Value,
    lane_of,
    uuid7,
)
from tests.harness.virtual import virtual_time
from tests.unit.commands_site import BARRIER, LEVEL, MODE, ON, Rig


async def refusal(rig: Rig, command: Command) -> str:
    result = await rig.commands.execute(command)
    assert result.outcome is Outcome.REFUSED
    assert rig.lamp.writes == []
    assert rig.shelf.known == set()
    assert rig.outcomes() == [Outcome.REFUSED]
    return result.reason


@virtual_time
async def test_nobody_may_write_anything_that_no_line_allows() -> None:
    rig = Rig({})
    assert "commands.allow has no such line" in await refusal(rig, rig.command())


ALLOWED: list[tuple[dict[str, Any], bool]] = [
    ({"origin": "cli", "devices": "*", "points": "*"}, True),
    ({"origin": "rules", "devices": "*", "points": "*"}, False),
    ({"origin": "cli", "devices": "*", "points": [LEVEL]}, True),
    ({"origin": "cli", "devices": "*", "points": [MODE]}, False),
    ({"origin": "cli", "devices": ["lamp-1"], "points": "*"}, True),
    ({"origin": "cli", "devices": ["lamp-2"], "points": "*"}, False),
    ({"origin": "cli", "devices": {"type": "light"}, "points": "*"}, True),
    ({"origin": "cli", "devices": {"type": "meter"}, "points": "*"}, False),
    ({"origin": "cli", "devices": {"profile": "test-light"}, "points": "*"}, True),
    ({"origin": "cli", "devices": {"profile": "other"}, "points": "*"}, False),
    ({"origin": "cli", "devices": {"tags": {"use": "street"}}, "points": "*"}, True),
    ({"origin": "cli", "devices": {"tags": {"use": "hall"}}, "points": "*"}, False),
    ({"origin": "cli", "devices": {"tags": {"room": "1"}}, "points": "*"}, False),
    ({"origin": "cli", "devices": {"id": "lamp-1"}, "points": "*"}, True),
    ({"origin": "cli", "devices": {"id": ["lamp-2"]}, "points": "*"}, False),
    ({"origin": "cli", "devices": {"type": "light", "id": "lamp-2"}, "points": "*"}, False),
]


@pytest.mark.parametrize(("line", "allowed"), ALLOWED)
def test_a_line_of_the_allow_list_holds_for_what_it_selects(
    line: dict[str, Any], allowed: bool
) -> None:
    rig = Rig()
    section = CommandsSection.model_validate({"allow": [line]})
    assert section.allows("cli", rig.devices["lamp-1"], LEVEL) is allowed


def test_an_allow_line_tells_which_devices_it_names() -> None:
    named = [["lamp-1", "lamp-2"], {"id": "lamp-1"}, {"type": "light"}, "*"]
    lines = [{"origin": "cli", "devices": devices, "points": "*"} for devices in named]
    section = CommandsSection.model_validate({"allow": lines})
    assert [line.ids() for line in section.allow] == [["lamp-1", "lamp-2"], ["lamp-1"], [], []]


@pytest.mark.parametrize("points", ["light.level", [], None, {}])
def test_an_allow_line_without_points_is_no_allow_line(points: object) -> None:
    with pytest.raises(ValueError, match="points"):
        CommandsSection.model_validate({"allow": [{"origin": "cli", "devices": "*", "points": points}]})  # fmt: skip


@virtual_time
async def test_an_unknown_device_or_point_is_refused_with_what_there_is() -> None:
    rig = Rig()
    assert "unknown device nobody" in await refusal(rig, rig.command(device="nobody"))
    rig = Rig()
    reason = await refusal(rig, rig.command("light.shown"))
    assert "cannot be written" in reason
    assert LEVEL in reason


@pytest.mark.parametrize(
    ("point", "value", "why"),
    [
        (LEVEL, 101, "outside 0 to 100"),
        (LEVEL, -0.5, "outside"),
        (LEVEL, float("nan"), "outside"),
        (LEVEL, True, "not a number"),
        (LEVEL, "60", "not a number"),
        (MODE, "off", "not one of auto, hand"),
        (MODE, 0, "not one of"),
    ],
)
@virtual_time
async def test_a_value_that_the_profile_does_not_allow_is_refused(
    point: str, value: Value, why: str
) -> None:
    rig = Rig()
    assert why in await refusal(rig, rig.command(point, value))


@virtual_time
async def test_a_precondition_must_hold_when_the_command_starts() -> None:
    rig = Rig()
    wish = Precondition(ON, True)
    assert "light.on is None, not True" in await refusal(rig, rig.command(precondition=wish))
    rig = Rig()
    rig.report(ON, False)
    assert "light.on is False, not True" in await refusal(rig, rig.command(precondition=wish))
    rig.report(ON, True)
    assert (await rig.commands.execute(rig.command(precondition=wish))).outcome is Outcome.CONFIRMED


@virtual_time
async def test_an_expired_command_is_not_written() -> None:
    rig = Rig()
    result = await rig.commands.execute(rig.command(life_s=-0.001))
    assert (result.outcome, result.attempts, rig.written) == (Outcome.EXPIRED, 0, [])


@virtual_time
async def test_a_command_that_expires_while_it_waits_for_its_turn_is_not_written() -> None:
    rig = Rig()
    await rig.commands.execute(rig.command(value=10))
    result = await rig.commands.execute(rig.command(value=20, life_s=0.5))
    assert (result.outcome, rig.written) == (Outcome.EXPIRED, [10])


@virtual_time
async def test_a_command_that_expires_between_attempts_tells_why_it_was_not_written_before() -> (
    None
):
    rig = Rig()
    rig.lamp.faults = [LinkDown("lamps: cut")]
    result = await rig.commands.execute(rig.command(life_s=0.4))
    assert (result.outcome, result.reason, result.attempts) == (Outcome.EXPIRED, "lamps: cut", 1)


@virtual_time
async def test_a_command_is_confirmed_by_the_feedback_of_the_device() -> None:
    rig = Rig()
    cause = uuid7()
    command = rig.command(cause=cause)
    result = await rig.commands.execute(command)
    assert result == CommandResult(command, Outcome.CONFIRMED, "", 60, 1)
    (event,) = rig.events
    assert (event.kind, event.severity, event.device) == (EventKind.COMMAND_RESULT, Severity.TELEMETRY, "lamp-1")  # fmt: skip
    assert (lane_of(event), event.cause) == (0, cause)
    assert event.attributes == {
        "command": command.id, "point": LEVEL, "value": 60, "origin": "cli",
        "outcome": "confirmed", "reason": "", "reported": 60, "attempts": 1,
    }  # fmt: skip
    assert rig.commands.counters == {Outcome.CONFIRMED: 1}


@virtual_time
async def test_feedback_that_comes_before_the_write_returns_confirms() -> None:
    rig = Rig()
    rig.lamp.early = True
    rig.lamp.faults = [1.0]
    assert (await rig.commands.execute(rig.command())).outcome is Outcome.CONFIRMED


@virtual_time
async def test_a_value_reported_before_the_write_does_not_confirm() -> None:
    rig = Rig()
    rig.report("light.shown", 60)
    rig.lamp.mute = True
    before_ns = rig.clock.boottime_ns() - 1  # read before the write, delivered after it
    late = Sample("lamp-1", 0, before_ns, 1, True, {"light.shown": 60})
    asyncio.get_running_loop().call_later(0.1, rig.state.update, late)
    result = await rig.commands.execute(rig.command())
    assert (result.outcome, result.value) == (Outcome.UNCONFIRMED, 60)


@virtual_time
async def test_a_value_that_the_broker_kept_does_not_confirm() -> None:
    rig = Rig()
    rig.lamp.mute = True
    asyncio.get_running_loop().call_later(0.1, rig.report, "light.shown", 60, RETAINED)
    result = await rig.commands.execute(rig.command())
    assert result.outcome is Outcome.UNCONFIRMED


@pytest.mark.parametrize(
    ("offset", "outcome"),
    [(1, Outcome.CONFIRMED), (-1, Outcome.CONFIRMED), (2, Outcome.UNCONFIRMED)],
)
@virtual_time
async def test_feedback_within_the_tolerance_confirms(offset: int, outcome: Outcome) -> None:
    rig = Rig()
    rig.lamp.offset = offset
    assert (await rig.commands.execute(rig.command())).outcome is outcome


@virtual_time
async def test_an_unconfirmed_command_is_written_three_times_with_growing_pauses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    rig.lamp.mute = True
    rig.report("light.shown", 5)
    result = await rig.commands.execute(rig.command())
    assert result.outcome is Outcome.UNCONFIRMED
    assert result.reason == "light.shown did not become 60 within 2 s"
    assert (result.value, result.attempts) == (5, 3)
    assert [at for at, _, _ in rig.lamp.writes] == pytest.approx([0, 2.5, 5.5])
    assert rig.events[0].severity is Severity.OPERATIONAL
    assert lane_of(rig.events[0]) == 0
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("error", [LinkDown("lamps: no answer"), Refused("lamps: exception 2")])
@virtual_time
async def test_a_write_that_fails_is_tried_again_and_its_error_is_told(error: GatewayError) -> None:
    rig = Rig()
    rig.lamp.faults = [error]
    result = await rig.commands.execute(rig.command())
    assert (result.outcome, result.attempts) == (Outcome.CONFIRMED, 2)
    rig.lamp.faults = [error, error, error]
    result = await rig.commands.execute(rig.command(value=20))
    assert (result.outcome, result.reason, result.attempts) == (Outcome.FAILED, str(error), 3)


@virtual_time
async def test_a_write_that_hangs_fails_after_five_seconds() -> None:
    rig = Rig()
    rig.lamp.faults = [3600.0, 3600.0, 3600.0]
    result = await rig.commands.execute(rig.command())
    assert (result.outcome, result.reason) == (Outcome.FAILED, "no answer to the write within 5 s")
    assert [at for at, _, _ in rig.lamp.writes] == pytest.approx([0, 5.5, 11.5])


@virtual_time
async def test_the_intent_of_what_must_not_happen_twice_is_durable_before_the_write() -> None:
    rig = Rig()
    command = rig.command(BARRIER, True)
    assert (await rig.commands.execute(command)).outcome is Outcome.CONFIRMED
    assert rig.story == ["intent durable", "write True"]
    assert rig.shelf.done == {command.id: b"confirmed"}


@pytest.mark.parametrize(
    ("fault", "mute", "outcome"),
    [(LinkDown("cut"), False, Outcome.FAILED), (None, True, Outcome.UNCONFIRMED)],
)
@virtual_time
async def test_what_must_not_happen_twice_is_written_once_whatever_comes_back(
    fault: GatewayError | None, mute: bool, outcome: Outcome
) -> None:
    rig = Rig()
    rig.lamp.faults, rig.lamp.mute = [fault], mute
    result = await rig.commands.execute(rig.command(BARRIER, True))
    assert (result.outcome, rig.written) == (outcome, [True])


@virtual_time
async def test_the_same_command_is_executed_once() -> None:
    rig = Rig()
    command = rig.command(BARRIER, True)
    async with asyncio.TaskGroup() as group:
        both = [group.create_task(rig.commands.execute(command)) for _ in range(2)]
    results = [task.result() for task in both]
    assert {result.outcome for result in results} == {Outcome.CONFIRMED, Outcome.REFUSED}
    again = await rig.commands.execute(command)
    assert again.reason == f"command {command.id} was executed before: confirmed"
    assert rig.written == [True]


@pytest.mark.parametrize("failure", [StoreFull("no room"), StoreFailed("EIO")])
@virtual_time
async def test_without_a_stored_intent_nothing_is_written(failure: GatewayError) -> None:
    rig = Rig()
    rig.shelf.failure = failure
    result = await rig.commands.execute(rig.command(BARRIER, True))
    assert (result.outcome, rig.written) == (Outcome.REFUSED, [])
    assert "the intent cannot be stored" in result.reason
    assert (await rig.commands.execute(rig.command())).outcome is Outcome.CONFIRMED


@virtual_time
async def test_an_intent_that_came_to_nothing_is_closed() -> None:
    rig = Rig()
    await rig.commands.execute(rig.command(BARRIER, True))
    late = rig.command(BARRIER, False, life_s=0.5)
    assert (await rig.commands.execute(late)).outcome is Outcome.EXPIRED
    assert rig.shelf.done[late.id] == b"expired"
