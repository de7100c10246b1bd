"""Several commands for one point, and the claims of rules: who wins, who gives way."""

import asyncio

import pytest

from gateway.claims import Claim
from gateway.errors import LinkDown
from gateway.model import (
    Outcome,
    uuid7,
)
from tests.harness.virtual import virtual_time
from tests.unit.commands_site import LEVEL, MODE, ON, Rig, claim


@virtual_time
async def test_a_newer_command_supersedes_one_that_is_tried_again() -> None:
    rig = Rig()
    rig.lamp.faults = [LinkDown("cut")]
    async with asyncio.TaskGroup() as group:
        old = group.create_task(rig.commands.execute(rig.command(value=60)))
        await asyncio.sleep(0.2)
        group.create_task(rig.commands.execute(rig.command(value=20)))
    result = old.result()
    assert (result.outcome, result.attempts) == (Outcome.SUPERSEDED, 1)
    assert rig.written == [60, 20]
    assert rig.outcomes() == [Outcome.SUPERSEDED, Outcome.CONFIRMED]


@virtual_time
async def test_writes_keep_the_shortest_interval_and_the_last_value_wins() -> None:
    rig = Rig()
    async with asyncio.TaskGroup() as group:
        for value in (10, 20, 30, 40):
            group.create_task(rig.commands.execute(rig.command(value=value)))
            await asyncio.sleep(0.1)
    assert [(round(at, 3), value) for at, _, value in rig.lamp.writes] == [(0, 10), (1, 40)]
    assert rig.outcomes().count(Outcome.SUPERSEDED) == 2


@virtual_time
async def test_other_points_and_devices_do_not_wait() -> None:
    rig = Rig()
    async with asyncio.TaskGroup() as group:
        group.create_task(rig.commands.execute(rig.command()))
        group.create_task(rig.commands.execute(rig.command(MODE, "auto")))
        group.create_task(rig.commands.execute(rig.command(device="lamp-2")))
    assert [at for at, _, _ in rig.lamp.writes[:3]] == [0, 0, 0]


@virtual_time
async def test_a_claim_needs_its_owner() -> None:
    with pytest.raises(RuntimeError, match="claim before"):
        Rig().commands.claim("lamp-1", LEVEL, claim("r", 60))


@virtual_time
async def test_a_claim_writes_at_once_and_tells_its_cause() -> None:
    rig = Rig()
    cause = uuid7()
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, Claim("r[lamp-1]", 60, 12, 0, cause))
        await asyncio.sleep(1)
    assert rig.written == [60]
    (event,) = rig.events
    assert event.attributes["origin"] == "rules"
    assert event.cause == cause
    assert event.attributes["outcome"] == "confirmed"


@virtual_time
async def test_rules_may_only_what_the_list_allows_them() -> None:
    rig = Rig({"allow": [{"origin": "cli", "devices": "*", "points": "*"}]})
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("r", 60))
        await asyncio.sleep(1)
    assert rig.outcomes() == [Outcome.REFUSED]
    assert rig.written == []


@virtual_time
async def test_the_lowest_level_rules_then_the_lowest_rank() -> None:
    rig = Rig()
    async with rig.running():
        for holder, value, level, rank in (
            ("a", 10, 12, 5), ("weaker", 99, 16, 0), ("same level, later", 98, 12, 6),
            ("same level, earlier", 20, 12, 4), ("stronger", 30, 5, 9),
        ):  # fmt: skip
            rig.commands.claim("lamp-1", LEVEL, claim(holder, value, level, rank))
            await asyncio.sleep(5)
    assert rig.written == [10, 20, 30]


@virtual_time
async def test_a_claim_for_the_value_that_rules_already_writes_nothing() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("a", 60, 12))
        await asyncio.sleep(5)
        rig.commands.claim("lamp-1", LEVEL, claim("b", 60, 5))
        await asyncio.sleep(5)
        rig.commands.release("lamp-1", LEVEL, "b")
        await asyncio.sleep(5)
    assert rig.written == [60]


@virtual_time
async def test_a_released_point_goes_to_the_next_claim_then_to_the_value_of_the_profile() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("weak", 40, 16))
        await asyncio.sleep(5)
        rig.commands.claim("lamp-1", LEVEL, claim("strong", 90, 5))
        await asyncio.sleep(5)
        rig.commands.release("lamp-1", LEVEL, "strong")
        await asyncio.sleep(5)
        rig.commands.release("lamp-1", LEVEL, "nobody")
        rig.commands.release("lamp-1", LEVEL, "weak")
        await asyncio.sleep(5)
        rig.commands.release("lamp-1", LEVEL, "weak")
        await asyncio.sleep(5)
    assert rig.written == [40, 90, 40, 10]


@virtual_time
async def test_a_claim_that_does_not_rule_is_released_in_silence() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("strong", 90, 5))
        rig.commands.claim("lamp-1", LEVEL, claim("weak", 40, 16))
        rig.commands.release("lamp-1", LEVEL, "weak")
        await asyncio.sleep(5)
    assert rig.written == [90]


@virtual_time
async def test_a_point_that_the_profile_leaves_is_left() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", ON, claim("r", True))
        await asyncio.sleep(5)
        rig.commands.release("lamp-1", ON, "r")
        await asyncio.sleep(5)
    assert rig.written == [True]


@virtual_time
async def test_a_claim_that_grows_weaker_gives_the_point_to_the_one_that_is_stronger_now() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("a", 90, 5))
        rig.commands.claim("lamp-1", LEVEL, claim("b", 40, 12))
        await asyncio.sleep(5)
        rig.commands.claim("lamp-1", LEVEL, claim("a", 20, 16))
        await asyncio.sleep(5)
    assert rig.written == [90, 40]


@virtual_time
async def test_a_released_claim_is_not_tried_again() -> None:
    rig = Rig()
    rig.lamp.faults = [LinkDown("cut")]
    async with rig.running():
        rig.commands.claim("lamp-1", ON, claim("r", True))
        await asyncio.sleep(0.2)
        rig.commands.release("lamp-1", ON, "r")
        await asyncio.sleep(5)
    assert rig.written == [True]
    assert rig.outcomes() == [Outcome.SUPERSEDED]


@virtual_time
async def test_a_claim_released_in_the_same_step_writes_nothing() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", ON, claim("r", True))
        rig.commands.release("lamp-1", ON, "r")
        await asyncio.sleep(5)
    assert rig.written == []


@virtual_time
async def test_releasing_a_claim_does_not_end_the_command_of_a_person() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", ON, claim("r", True, 12))
        await asyncio.sleep(5)
        rig.lamp.faults = [LinkDown("cut")]
        async with asyncio.TaskGroup() as group:
            manual = group.create_task(rig.commands.execute(rig.command(ON, False)))
            await asyncio.sleep(0.2)
            rig.commands.release("lamp-1", ON, "r")
    assert manual.result().outcome is Outcome.CONFIRMED


@virtual_time
async def test_a_command_below_a_stronger_claim_is_overridden() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("fire", 100, 2))
        await asyncio.sleep(5)
        result = await rig.commands.execute(rig.command(value=0))
        same = await rig.commands.execute(rig.command(value=100))
    assert result.outcome is Outcome.OVERRIDDEN
    assert same.outcome is Outcome.CONFIRMED
    assert rig.written == [100, 100]


@virtual_time
async def test_a_command_of_a_person_goes_before_a_weaker_claim() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("dusk", 60, 16))
        await asyncio.sleep(5)
        assert (await rig.commands.execute(rig.command(value=0))).outcome is Outcome.CONFIRMED


@virtual_time
async def test_a_stronger_claim_supersedes_a_command_that_is_tried_again() -> None:
    rig = Rig()
    rig.lamp.faults = [LinkDown("cut")]
    async with rig.running(), asyncio.TaskGroup() as group:
        manual = group.create_task(rig.commands.execute(rig.command(value=0)))
        await asyncio.sleep(0.2)
        rig.commands.claim("lamp-1", LEVEL, claim("fire", 100, 2))
        await asyncio.sleep(5)
    assert manual.result().outcome is Outcome.SUPERSEDED
    assert rig.written == [0, 100]


@virtual_time
async def test_a_claim_of_life_does_not_wait_for_the_shortest_interval() -> None:
    rig = Rig()
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("dusk", 60, 16))
        await asyncio.sleep(0.3)
        rig.commands.claim("lamp-1", LEVEL, claim("safety", 80, 5))
        await asyncio.sleep(0.1)
        rig.commands.claim("lamp-1", LEVEL, claim("life", 100, 2))
        await asyncio.sleep(5)
    assert [(round(at, 3), value) for at, _, value in rig.lamp.writes] == [(0, 60), (0.4, 100)]


@virtual_time
async def test_the_end_of_the_daemon_ends_the_writes() -> None:
    rig = Rig()
    rig.lamp.faults = [3600.0]
    async with rig.running():
        rig.commands.claim("lamp-1", LEVEL, claim("r", 60))
        await asyncio.sleep(0.1)
    assert rig.outcomes() == []
