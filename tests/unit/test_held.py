"""What is held is watched after its write: late confirmations, devices that do not keep it, people."""

import asyncio

import pytest

from gateway.claims import Claim
from gateway.errors import LinkDown
from gateway.model import CommandResult, Outcome, Severity
from gateway.terms import Terms
from tests.harness.virtual import virtual_time
from tests.unit.commands_site import BARRIER, LEVEL, MODE, ON, Rig, claim

SHOWN = "light.shown"


def asked(rig: Rig, value: bool, terms: Terms, *, level: int = 12) -> list[CommandResult]:
    """A claim of `light.on` that wants to know how its write ends."""
    ends: list[CommandResult] = []
    rig.commands.claim("lamp-1", ON, Claim("r", value, level, 0, None, terms, ends.append))
    return ends


def times(rig: Rig) -> list[float]:
    return [round(at, 3) for at, _, _ in rig.lamp.writes]


@virtual_time
async def test_a_rule_says_how_often_and_after_how_long_a_write_is_tried_again() -> None:
    rig = Rig()
    rig.lamp.mute = True
    async with rig.running():
        ends = asked(rig, True, Terms(within=1.0, retry=5, backoff=2.0))
        await asyncio.sleep(59)
    # A second to confirm, then 2 s, 4 s, 8 s, and never more than 10 s.
    assert times(rig) == [0, 3, 8, 17, 28, 39]
    assert [(end.outcome, end.attempts) for end in ends] == [(Outcome.UNCONFIRMED, 6)]


@virtual_time
async def test_a_rule_says_how_long_an_attempt_may_take() -> None:
    rig = Rig()
    rig.lamp.faults = [3600.0]
    async with rig.running():
        ends = asked(rig, True, Terms(retry=0, timeout=1.5))
        await asyncio.sleep(1.6)
    assert [end.reason for end in ends] == ["no answer to the write within 1.5 s"]


@virtual_time
async def test_a_rule_says_which_point_confirms_and_with_what() -> None:
    rig = Rig()
    async with rig.running():
        ends = asked(rig, True, Terms(feedback=MODE, equals="hand", within=2.0, retry=0))
        await asyncio.sleep(1)
        assert ends == [], "its own point has shown it, but another is asked"
        rig.report(MODE, "hand")
        await asyncio.sleep(0.1)
    assert [(end.outcome, end.value) for end in ends] == [(Outcome.CONFIRMED, "hand")]


@virtual_time
async def test_what_a_rule_sets_is_tried_again_though_it_is_not_idempotent() -> None:
    rig = Rig()
    rig.lamp.faults = [LinkDown("cut")]
    async with rig.running():
        rig.commands.claim("lamp-1", BARRIER, claim("r", True))
        await asyncio.sleep(5)
        rig.lamp.faults = [LinkDown("cut")]
        rig.commands.order("lamp-1", BARRIER, claim("r", False))
        await asyncio.sleep(5)
    assert rig.written == [True, True, False], "the command once"
    assert rig.story[:2] == ["write True", "write True"]
    assert rig.story[-2:] == ["intent durable", "write False"]


@virtual_time
async def test_a_confirmation_that_comes_late_is_told() -> None:
    rig = Rig()
    rig.lamp.mute = True
    async with rig.running():
        ends = asked(rig, True, Terms(retry=0))
        await asyncio.sleep(500)
        rig.report(ON, True)
        await asyncio.sleep(1)
    assert [end.outcome for end in ends] == [Outcome.UNCONFIRMED, Outcome.LATE_CONFIRMED]
    assert rig.outcomes() == [Outcome.UNCONFIRMED, Outcome.LATE_CONFIRMED]
    assert rig.events[0].attributes["command"] == rig.events[1].attributes["command"]


@virtual_time
async def test_after_ten_minutes_a_confirmation_is_no_news() -> None:
    rig = Rig()
    rig.lamp.mute = True
    async with rig.running():
        ends = asked(rig, True, Terms(retry=0))
        await asyncio.sleep(603)
        rig.report(ON, True)
        await asyncio.sleep(1)
    assert [end.outcome for end in ends] == [Outcome.UNCONFIRMED]


@virtual_time
async def test_a_single_write_is_confirmed_late_too() -> None:
    rig = Rig()
    rig.lamp.mute = True
    async with rig.running():
        rig.commands.order("lamp-1", ON, claim("r", True))
        await asyncio.sleep(30)
        rig.report(ON, True)
        await asyncio.sleep(1)
    assert rig.outcomes() == [Outcome.UNCONFIRMED, Outcome.LATE_CONFIRMED]
    assert rig.written == [True] * 3


@virtual_time
async def test_a_value_that_a_device_does_not_keep_is_written_again() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("r", 60))
        await asyncio.sleep(10)
        rig.report(SHOWN, 20)
        await asyncio.sleep(1)
        rig.report(SHOWN, 60)
        await asyncio.sleep(10)
        assert rig.written == [60], "it came back within the time for a confirmation"
        rig.report(SHOWN, 20)
        await asyncio.sleep(1.9)
        assert rig.written == [60]
        await asyncio.sleep(0.2)
    assert rig.written == [60, 60]
    assert rig.outcomes() == [Outcome.CONFIRMED] * 2


@virtual_time
async def test_others_who_set_it_win_after_ten_times_in_an_hour() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("r", 60))
        for _ in range(600):
            await asyncio.sleep(5)
            rig.report(SHOWN, 20)
    assert len(rig.written) == 11
    waits = [b - a for a, b in zip(times(rig)[1:], times(rig)[2:], strict=False)]
    assert min(waits) >= 30
    assert rig.outcomes() == [Outcome.CONFIRMED] * 11 + [Outcome.OVERRIDDEN]
    assert rig.events[-1].severity is Severity.OPERATIONAL


@virtual_time
async def test_what_saves_lives_is_written_again_every_minute_without_end() -> None:
    rig = Rig()
    rig.lamp.mute = True
    async with rig.running():
        ends = asked(rig, True, Terms(retry=0, within=1.0), level=2)
        await asyncio.sleep(3600)
        assert len(rig.written) == 60
        rig.lamp.mute = False
        await asyncio.sleep(120)
    assert len(rig.written) in {60, 61}
    assert [end.outcome for end in ends] == [Outcome.UNCONFIRMED]
    assert rig.outcomes() == [Outcome.UNCONFIRMED, Outcome.CONFIRMED], "the same failure once"
    assert rig.events[0].severity is Severity.LIFE


@virtual_time
async def test_a_claim_that_is_given_back_is_watched_no_more() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", ON, claim("r", True))
        await asyncio.sleep(10)
        rig.commands.release("lamp-1", ON, "r")
        rig.report(ON, False)
        await asyncio.sleep(100)
    assert rig.written == [True]


@virtual_time
async def test_who_asks_for_what_rules_already_is_answered() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", ON, claim("other", True))
        ends = asked(rig, True, Terms())
        await asyncio.sleep(5)
        assert [end.outcome for end in ends] == [Outcome.CONFIRMED], "with the write under way"
        later = asked(rig, True, Terms())
        await asyncio.sleep(5)
    assert [end.outcome for end in later] == [Outcome.CONFIRMED], "with the one that has ended"
    assert rig.written == [True]


@virtual_time
async def test_who_asks_below_a_stronger_claim_is_told_that_it_holds_the_point() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", ON, claim("fire", False, 2))
        ends = asked(rig, True, Terms())
        await asyncio.sleep(5)
    assert [end.outcome for end in ends] == [Outcome.SUPERSEDED]
    assert rig.written == [False]


@virtual_time
async def test_what_failed_is_written_again_for_another_who_asks() -> None:
    rig = Rig()
    rig.lamp.faults = [LinkDown("cut")]
    async with rig.running():
        first = asked(rig, True, Terms(retry=0))
        await asyncio.sleep(5)
        second = asked(rig, True, Terms(retry=0))
        await asyncio.sleep(5)
    assert [end.outcome for end in (*first, *second)] == [Outcome.FAILED, Outcome.CONFIRMED]


@virtual_time
async def test_writes_of_a_slow_device_do_not_pile_up() -> None:
    rig = Rig()
    rig.lamp.faults = [3600.0] * 50
    ends: list[CommandResult] = []
    async with rig.running():
        for number in range(40):
            terms = Terms(timeout=60.0)
            rig.commands.order("lamp-1", ON, Claim("r", number % 2 == 0, 2, 0, None, terms, ends.append))  # fmt: skip
            await asyncio.sleep(0.1)
        assert len(rig.written) == 40
        assert len([t for t in asyncio.all_tasks() if t.get_name() == f"command:lamp-1.{ON}"]) == 8
        assert [end.outcome for end in ends] == [Outcome.SUPERSEDED] * 32
        assert rig.outcomes() == [Outcome.SUPERSEDED] * 32


@virtual_time
async def test_a_device_that_is_configured_no_more_is_given_back_and_left() -> None:
    rig = Rig()
    rig.lamp.mute = True
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("r", 60))
        await asyncio.sleep(1)
        del rig.devices["lamp-1"]
        await asyncio.sleep(30)
        rig.commands.release("lamp-1", LEVEL, "r")
        await asyncio.sleep(30)
    assert rig.written == [60]
    assert rig.outcomes() == [Outcome.SUPERSEDED]


# People


@virtual_time
async def test_a_person_holds_a_point_for_a_while_and_then_the_rule_has_it_back() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("dusk", 60, 16))
        await asyncio.sleep(5)
        result = await rig.commands.execute(rig.command(value=20, hold_s=600))
        assert result.outcome is Outcome.CONFIRMED
        rig.commands.claim("lamp-1", LEVEL, claim("dusk", 70, 16))
        await asyncio.sleep(590)
        assert rig.written == [60, 20]
        await asyncio.sleep(20)
    assert rig.written == [60, 20, 70]
    assert rig.events[1].attributes["origin"] == "cli"


@virtual_time
async def test_what_a_person_holds_gives_way_to_safety() -> None:
    rig = Rig()
    async with rig.running():
        await rig.commands.execute(rig.command(value=20, hold_s=600))
        rig.commands.claim("lamp-1", LEVEL, claim("gas", 100, 5))
        await asyncio.sleep(5)
        below = await rig.commands.execute(rig.command(value=30, hold_s=600))
        rig.commands.release("lamp-1", LEVEL, "gas")
        await asyncio.sleep(5)
    assert below.outcome is Outcome.OVERRIDDEN
    assert rig.written == [20, 100, 20]


@virtual_time
async def test_a_later_command_by_hand_ends_what_was_held_by_hand() -> None:
    rig = Rig()
    async with rig.running():
        await rig.commands.execute(rig.command(value=20, hold_s=60))
        await rig.commands.execute(rig.command(value=40))
        await asyncio.sleep(100)
    assert rig.written == [20, 40]


@pytest.mark.parametrize("seconds", [0, -1, 86_401])
@virtual_time
async def test_nobody_holds_a_point_for_ever(seconds: float) -> None:
    rig = Rig()
    async with rig.running():
        result = await rig.commands.execute(rig.command(value=20, hold_s=seconds))
    assert (result.outcome, rig.written) == (Outcome.REFUSED, [])


@virtual_time
async def test_a_single_command_by_hand_stays_until_the_rule_wants_something_new() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("dusk", 60, 16))
        await asyncio.sleep(5)
        await rig.commands.execute(rig.command(value=20))
        for _ in range(20):
            await asyncio.sleep(5)
            rig.report(SHOWN, 20)
        assert rig.written == [60, 20]
        rig.commands.claim("lamp-1", LEVEL, claim("dusk", 70, 16))
        await asyncio.sleep(5)
    assert rig.written == [60, 20, 70]
