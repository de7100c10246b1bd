"""Storing and reading back."""

import asyncio
import sqlite3
from pathlib import Path
from uuid import UUID

import pytest

from gateway.model import EventKind, Level, Quality, Severity
from gateway.store import orders
from gateway.store.orders import KNOWN_NS, Order
from gateway.store.store import Position
from tests.harness.clock import FakeClock
from tests.harness.stores import NOW_NS, event, items, opened, sample, slices
from tests.unit.test_store_replay import spoil


@pytest.mark.both_loops
async def test_samples_come_back_as_they_were_appended(tmp_path: Path) -> None:
    wanted = [
        sample(1, {"elec.power.total": 21.0, "elec.energy": 21, "light.on": True}),
        sample(2, {"mode": "自动", "t": -0.0, "big": 2**64 - 1, "low": -(2**63)}, device="灯-7"),
        sample(3, {}, quality={"elec.power.total": Quality(Level.BAD, "timeout")}),
        sample(
            4,
            {"a": 1.5},
            source_id=bytes(range(256)),
            quality={"a": Quality(Level.UNCERTAIN, "旧")},
        ),
        sample(5)._replace(clock_ok=False, boot=7, time_ns=12, received_ns=2**62),
    ]
    async with opened(tmp_path / "s") as store:
        for one in wanted:
            assert store.append(one)
        await store.durable(5)
        found = await items(store, 2)
    assert found == wanted
    assert [type(v) for v in found[0].values.values()] == [float, int, bool]  # type: ignore[union-attr] # it is a Sample


async def test_events_come_back_in_their_lanes(tmp_path: Path) -> None:
    alarm = event(1, Severity.LIFE, {"text": "三号楼 烟感", "nested": {"b": [1, None], "a": 0.5}})
    link = event(2, Severity.OPERATIONAL)._replace(kind=EventKind.LINK_DOWN, cause=alarm.event_id)
    trace = event(3, Severity.TELEMETRY)
    result = event(4, Severity.TELEMETRY)._replace(kind=EventKind.COMMAND_RESULT)
    async with opened(tmp_path / "s") as store:
        for one in (alarm, link, trace, result):
            assert store.append(one)
        await store.durable(4)
        assert await items(store, 0) == [alarm, result]
        assert await items(store, 1) == [link]
        assert await items(store, 3) == [trace]
        assert [store.last(lane) for lane in range(4)] == [2, 1, 0, 1]
        assert store.stats().committed == (2, 1, 0, 1)
        assert store.stats().written == 4


async def test_attributes_that_json_cannot_say_are_stored_as_text(tmp_path: Path) -> None:
    odd = {"id": UUID(int=1), "big": 2**70, "bad": "\ud800", "set": frozenset({1}), "n": None}
    async with opened(tmp_path / "s") as store:
        store.append(event(1, attributes=odd))
        await store.durable(1)
        (found,) = await items(store, 0)
    assert found.attributes == {  # type: ignore[union-attr] # it is an Event
        "id": str(UUID(int=1)), "big": float(2**70), "bad": "?", "set": "frozenset({1})", "n": None
    }  # fmt: skip


async def test_a_value_that_is_no_number_comes_back_as_bad(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        store.append(sample(1, {"a": float("nan"), "b": 1.0}))
        await store.durable(1)
        (found,) = await items(store, 2)
    assert found == sample(1, {"b": 1.0}, quality={"a": Quality(Level.BAD, "not_a_number")})


async def test_a_reader_can_go_on_inside_a_chunk(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        for n in range(1, 101):
            store.append(sample(n))
        await store.durable(100)
        assert store.stats().commits == 1
        part = await store.read(2, Position(store.epoch, 37), max_items=5, max_bytes=10**6)
        assert part is not None
        assert (part.base, part.first, part.last, part.gaps) == (1, 38, 42, ())
        assert [seq for seq, _ in part.items] == [38, 39, 40, 41, 42]
        small = await store.read(2, None, max_items=100, max_bytes=1)
        assert small is not None
        assert len(small.items) == 1
        assert await store.read(2, Position(store.epoch, 100), max_items=5, max_bytes=10**6) is None


async def test_events_are_read_in_pieces_of_the_asked_size(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        for n in range(1, 8):
            store.append(event(n))
        await store.durable(7)
        assert [(p.first, p.last) for p in await slices(store, 0, max_items=3)] == [
            (1, 3), (4, 6), (7, 7)
        ]  # fmt: skip
        part = await store.read(0, None, max_items=100, max_bytes=600)
        assert part is not None
        assert len(part.items) == 2


async def test_nothing_is_readable_before_it_is_durable(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        store.append(sample(1))
        assert await store.read(2, None, max_items=9, max_bytes=999) is None
        assert store.backlog(2, None) == 0
        assert store.stats().queued == 1
    async with opened(tmp_path / "s") as store:  # closing stored it
        assert await items(store, 2) == [sample(1)]


async def test_durable_returns_at_once_when_nothing_waits(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        await store.durable(0)
        store.append(sample(7))  # not awaited: stays in the open chunk for 60 s
        async with asyncio.timeout(0.05):
            await store.durable(6)


async def test_an_awaited_alarm_does_not_wait_for_the_chunk_to_fill(tmp_path: Path) -> None:
    async with opened(tmp_path / "s", group="60s", linger="30s") as store:
        store.append(sample(1, source_id=b"1"), held=True)
        store.append(event(1))
        async with asyncio.timeout(5):
            await store.durable(1)
        assert (store.last(0), store.last(2)) == (1, 1)


async def test_500_samples_flush_the_chunk_at_once_when_one_is_awaited(tmp_path: Path) -> None:
    async with opened(tmp_path / "s", linger="30s") as store, asyncio.timeout(5):
        store.append(sample(1), held=True)
        first = asyncio.create_task(store.durable(1))
        await asyncio.sleep(0)
        for n in range(2, 501):
            store.append(sample(n), held=True)
        await first
        assert store.last(2) == 500


async def test_cancelling_a_waiter_loses_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        store.append(sample(1))
        task = asyncio.create_task(store.durable(1))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await store.durable(1)
        assert await items(store, 2) == [sample(1)]


async def test_diagnostics_go_along_with_the_next_commit(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        committed = store.subscribe()
        store.append(event(1, Severity.TELEMETRY))
        store.append(event(2, Severity.LIFE))
        async with asyncio.timeout(5):
            while store.last(0) == 0:
                await committed.wait()
                committed.clear()
        assert store.last(3) == 1


async def test_a_full_chunk_is_committed_without_being_asked(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        committed = store.subscribe()
        for n in range(1, 2_501):
            store.append(sample(n))
        # How many the thread finds at once is chance; fewer than 1,000 wait for their time.
        async with asyncio.timeout(5):
            while store.last(2) < 1_501:
                await committed.wait()
                committed.clear()


async def test_backlog_and_its_age_are_known_without_reading(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        for n in (1, 2, 3):
            store.append(event(n))
            await store.durable(n)
        assert store.backlog(0, None) == 3
        assert store.oldest_time_ns(0, None) == NOW_NS + 1_000_000
        here = Position(store.epoch, 2)
        assert store.backlog(0, here) == 1
        assert store.oldest_time_ns(0, here) == NOW_NS + 3_000_000
        done = Position(store.epoch, 3)
        assert (store.backlog(0, done), store.oldest_time_ns(0, done)) == (0, None)


async def test_a_cursor_survives_a_restart_and_never_moves_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        for n in (1, 2, 3):
            store.append(event(n))
        await store.durable(3)
        assert store.cursor("platform", 0) is None
        store.advance("platform", 0, Position(store.epoch, 2))
        store.advance("platform", 0, Position(store.epoch, 2))
        with pytest.raises(ValueError, match="cannot move back"):
            store.advance("platform", 0, Position(store.epoch, 1))
        here = Position(store.epoch, 2)
    async with opened(tmp_path / "s") as store:
        assert store.cursor("platform", 0) == here
        assert store.backlog(0, here) == 1


async def test_a_command_id_is_known_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        assert store.command_outcome("c-1") is None
        await store.command_intent("c-1", b"{}")
        assert store.command_outcome("c-1") is not None
        store.command_done("c-1", b'{"outcome":"confirmed"}')
    async with opened(tmp_path / "s") as store:
        assert store.command_outcome("c-1") is not None
    rows = sqlite3.connect(tmp_path / "s" / "core.db").execute("SELECT id, state FROM command")
    assert rows.fetchall() == [(b"c-1", "done")]


async def test_command_ids_are_forgotten_after_seven_days(tmp_path: Path) -> None:
    clock = FakeClock()
    async with opened(tmp_path / "s", clock=clock) as store:
        await store.command_intent("old", b"{}")
    clock.advance(8 * 86_400)
    async with opened(tmp_path / "s", clock=clock) as store:
        assert store.command_outcome("old") is None


async def test_dead_letters_are_kept(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        store.dead_letter("influx", 2, 17, 400, "bad line", b"x=1")
    rows = sqlite3.connect(tmp_path / "s" / "core.db").execute("SELECT * FROM dead").fetchall()
    assert rows == [("influx", 2, 17, 400, "bad line", b"x=1", NOW_NS)]


async def test_a_command_whose_end_is_not_known_is_told_once_after_a_restart(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "s") as store:
        await store.command_intent("c-1", b'{"device":"lamp-1"}')
        await store.command_intent("c-2", b'{"device":"lamp-2"}')
        assert store.command_outcome("c-1") == ""
        store.command_done("c-2", b"confirmed")
    async with opened(tmp_path / "s") as store:
        assert store.interrupted() == [("c-1", b'{"device":"lamp-1"}')]
        assert store.command_outcome("c-1") == "unknown"
        assert store.command_outcome("c-2") == "confirmed"
        store.command_done("c-1", b"unknown")
    async with opened(tmp_path / "s") as store:
        assert (store.interrupted(), store.command_outcome("c-1")) == ([], "unknown")


async def test_commands_are_known_after_core_db_was_put_aside(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        await store.command_intent("c-1", b"{}")
        store.command_done("c-1", b"confirmed")
    await asyncio.to_thread(spoil, tmp_path / "s" / "core.db", "epoch")
    async with opened(tmp_path / "s") as store:
        assert store.stats().damage["core_quarantined"] == 1
        assert store.command_outcome("c-1") == "confirmed"


def test_old_commands_are_forgotten_in_memory_too() -> None:
    known = {"old": Order("confirmed", 0), "new": Order("confirmed", KNOWN_NS)}
    orders.forget(known, KNOWN_NS + 1)
    assert list(known) == ["new"]
