"""What a person holds, from one life of the gateway to the next."""

import asyncio
from collections.abc import Mapping

import orjson
import pytest

from gateway.commands import Commands
from gateway.errors import StoreFailed
from gateway.holds import HOLD, Holds, held_of
from gateway.model import Outcome
from gateway.store.kept import Rows
from tests.harness.virtual import virtual_time
from tests.unit.commands_site import BARRIER, LEVEL, ON, Rig, claim

ROW = f"{HOLD}lamp-1.{LEVEL}"


class Kept:
    """The rows that the journal would have, and whether it can write."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.failure: StoreFailed | None = None
        self.hangs = False

    def keep(self, rows: Rows) -> None:
        for name, body in rows.items():
            if body is None:
                self.rows.pop(name, None)
            else:
                self.rows[name] = body

    async def settle(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self.hangs:
            await asyncio.Event().wait()


def born(rows: Mapping[str, bytes] | None = None, base: int = 0) -> tuple[Rig, Kept]:
    """A gateway that has started with these rows; `base`: ns of its life before this boot."""
    rig, shelf = Rig(), Kept()
    holds = Holds(rig.clock, shelf)
    shelf.rows.update(rows or {})
    holds.recall(shelf.rows, base)
    rig.commands = Commands(
        rig.commands._section, devices=rig.devices, writers={"l": rig.lamp}, state=rig.state,
        ledger=rig.shelf, clock=rig.clock, emit=rig.emit, holds=holds,
    )  # fmt: skip
    return rig, shelf


async def held_for(seconds: float, point: str = LEVEL, value: float | bool = 20) -> dict[str, bytes]:  # fmt: skip
    """The rows of a gateway on which somebody has just begun to hold the point."""
    rig, shelf = born()
    async with rig.running():
        result = await rig.commands.execute(rig.command(point, value, hold_s=seconds, by="uid 7"))
        assert result.outcome is Outcome.CONFIRMED
        return dict(shelf.rows)


@virtual_time
async def test_a_hold_goes_on_after_a_restart_and_ends_when_it_would_have_ended() -> None:
    rows = await held_for(600)
    rig, shelf = born(rows)
    async with rig.running():
        rig.commands.resume()
        rig.commands.claim("lamp-1", LEVEL, claim("dusk", 60, 16))
        await asyncio.sleep(590)
        assert rig.written == [20]
        await asyncio.sleep(20)
    assert rig.written == [20, 60]
    assert shelf.rows == {}
    attributes = rig.events[0].attributes
    assert (attributes["origin"], attributes["by"]) == ("cli", "uid 7")


@virtual_time
async def test_a_hold_that_ended_while_the_gateway_was_off_gives_the_point_back() -> None:
    rows = await held_for(600)
    rig, shelf = born(rows, base=700 * 10**9)
    async with rig.running():
        rig.commands.resume()
        rig.commands.claim("lamp-1", LEVEL, claim("dusk", 60, 16))
        await asyncio.sleep(5)
    assert rig.written == [60]
    assert shelf.rows == {}


@virtual_time
async def test_a_hold_that_ended_meanwhile_leaves_the_point_as_its_profile_says() -> None:
    rows = await held_for(600)
    rig, _ = born(rows, base=700 * 10**9)
    async with rig.running():
        rig.commands.resume()
        await asyncio.sleep(5)
    assert rig.written == [10]


@virtual_time
async def test_a_hold_ends_earlier_when_the_time_off_is_known_at_last() -> None:
    rows = await held_for(600)
    rig, _ = born(rows)
    async with rig.running():
        rig.commands.resume()
        rig.commands.claim("lamp-1", LEVEL, claim("dusk", 60, 16))
        await asyncio.sleep(5)
        await rig.commands.execute(rig.command(value=30, device="lamp-2", hold_s=600))
        rig.commands.sooner(590 * 10**9)
        await asyncio.sleep(20)
        assert rig.commands.ruling("lamp-2", LEVEL) is not None, "it began after the restart"
    assert rig.written[-1] == 60


@virtual_time
async def test_what_may_be_written_only_once_is_held_on_and_only_watched() -> None:
    rows = await held_for(600, BARRIER, value=True)
    rig, _ = born(rows)
    async with rig.running():
        rig.commands.resume()
        rig.report(BARRIER, value=True)
        await asyncio.sleep(60)
        assert rig.written == []
        ruling = rig.commands.ruling("lamp-1", BARRIER)
        assert ruling is not None
        rig.report(BARRIER, value=False)
        await asyncio.sleep(60)
    assert rig.written == [True]


@virtual_time
async def test_a_hold_that_is_allowed_no_longer_is_refused_and_forgotten() -> None:
    rows = await held_for(600)
    rig, shelf = born(rows)
    del rig.devices["lamp-1"]
    async with rig.running():
        rig.commands.resume()
        await asyncio.sleep(5)
    assert (rig.outcomes(), shelf.rows) == ([Outcome.REFUSED], {})


@virtual_time
async def test_a_later_command_by_hand_forgets_the_hold() -> None:
    rig, shelf = born()
    async with rig.running():
        await rig.commands.execute(rig.command(value=20, hold_s=60))
        assert list(shelf.rows) == [ROW]
        await rig.commands.execute(rig.command(value=40))
    assert shelf.rows == {}


@virtual_time
async def test_who_holds_a_point_is_told_that_the_disk_does_not_know_it() -> None:
    rig, shelf = born()
    shelf.failure = StoreFailed("I/O error")
    async with rig.running():
        result = await rig.commands.execute(rig.command(value=20, hold_s=60))
    assert result.outcome is Outcome.CONFIRMED
    assert result.reason == "a restart ends it: I/O error"


@virtual_time
async def test_who_holds_a_point_is_answered_though_the_disk_hangs() -> None:
    rig, shelf = born()
    shelf.hangs = True
    async with rig.running():
        result = await rig.commands.execute(rig.command(value=20, hold_s=60))
    assert result.reason == "a restart ends it: it is not on disk after 5 s"


@virtual_time
async def test_what_only_a_person_may_write_is_kept_as_held_in_his_name() -> None:
    rig = Rig({"allow": [{"origin": "cli", "devices": "*", "points": "*"}]})
    async with rig.running():
        await rig.commands.execute(rig.command(ON, value=True, hold_s=600, by="uid 7"))
        rig.report(ON, value=False)
        await asyncio.sleep(60)
        await rig.commands.execute(rig.command(LEVEL, value=20, hold_s=60, by="uid 7"))
        await asyncio.sleep(70)
    assert rig.written == [True, True, 20, 10]
    assert {event.attributes["outcome"] for event in rig.events} == {Outcome.CONFIRMED}
    assert {event.attributes["by"] for event in rig.events} == {"uid 7"}


@virtual_time
async def test_no_row_holds_a_point_for_more_than_a_day() -> None:
    (body,) = (await held_for(600)).values()
    row = {**orjson.loads(body), "ends": 10**18}
    rig, _ = born({ROW: orjson.dumps(row)})
    async with rig.running():
        rig.commands.resume()
        await asyncio.sleep(86_410)
    assert rig.commands.ruling("lamp-1", LEVEL) is None


@pytest.mark.parametrize("body", [b"", b"7", b"{}", b'{"cause": null}', b'{"cause": 3}'])
@virtual_time
async def test_a_row_that_is_not_understood_holds_nothing(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert held_of(body) is None
    rig, _ = born({ROW: body})
    async with rig.running():
        rig.commands.resume()
    assert rig.commands.ruling("lamp-1", LEVEL) is None
    assert "what is held of lamp-1.light.level is not understood" in caplog.text
