"""Rewinding a cursor for a sink whose peer is not durable when it acknowledges; retiring a sink."""

import asyncio
from pathlib import Path

import pytest

from gateway.errors import AlreadyRunning, StateRefused
from gateway.store.index import Position
from gateway.store.retire import retire
from gateway.store.rewind import CursorLog
from tests.harness.clock import FakeClock
from tests.harness.stores import opened, sample

LANE = 2


def test_a_cursor_is_known_as_it_was_a_while_ago() -> None:
    log = CursorLog()
    for second in range(300):
        log.moved("vm", LANE, Position(1, second), float(second))
    assert log.before("vm", LANE, 289.0) == Position(1, 289)
    assert log.before("vm", LANE, 289.9) == Position(1, 289)
    assert log.before("vm", LANE, 179.5) == Position(1, 179)
    assert log.before("vm", LANE, 100.0) is None  # forgotten: older than anyone may ask for
    assert log.before("other", LANE, 289.0) is None


def test_moves_that_come_fast_are_never_remembered_earlier_than_they_were() -> None:
    log = CursorLog()
    for tenth in range(100):
        log.moved("vm", LANE, Position(1, tenth), tenth / 10)
    for tenth in range(5, 100):
        found = log.before("vm", LANE, tenth / 10)
        assert found is not None
        assert tenth - 6 <= found.seq <= tenth


async def test_a_rewound_sink_reads_again_what_was_acknowledged_shortly_before(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    async with opened(tmp_path / "s", clock=clock) as store:
        for n in range(1, 31):
            store.append(sample(n), held=True)
        await store.durable(30)
        epoch = store.epoch
        for seq in range(1, 31):
            clock.advance(1)
            store.advance("vm", LANE, Position(epoch, seq))
        assert store.rewind("vm", LANE, 10.0) == Position(epoch, 20)
        assert store.cursor("vm", LANE) == Position(epoch, 20)
        assert store.backlog(LANE, store.cursor("vm", LANE)) == 10
        clock.advance(1)  # no ack in between: a second reconnect takes nothing more back
        assert store.rewind("vm", LANE, 10.0) == Position(epoch, 20)
        store.advance("vm", LANE, Position(epoch, 21))  # going on from there is no step back
        clock.advance(60)
        assert store.rewind("vm", LANE, 10.0) == Position(epoch, 21)
        assert store.rewind("nobody", LANE, 10.0) is None
    async with opened(tmp_path / "s", clock=clock) as store:
        assert store.cursor("vm", LANE) == Position(epoch, 21)


async def test_after_a_restart_the_times_of_the_records_say_how_far_to_go_back(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    async with opened(tmp_path / "s", clock=clock) as store:
        for n in range(1, 101):  # one a second, each in a chunk of its own
            store.append(sample(n * 1000), held=True)
            if n % 10 == 0:
                await store.durable(n * 1000)
        epoch = store.epoch
        store.advance("vm", LANE, Position(epoch, 100))
    async with opened(tmp_path / "s", clock=clock) as store:
        back = store.rewind("vm", LANE, 15.0)
        assert back is not None
        assert 70 <= back.seq <= 85  # at least 15 s, at most one group more


async def test_a_retired_sink_is_forgotten_for_good(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        store.append(sample(1), held=True)
        await store.durable(1)
        for sink in ("old", "new"):
            store.advance(sink, LANE, Position(store.epoch, 1))
            store.dead_letter(sink, LANE, 1, 422, "no", b"{}")
        await store.retire("old")
        assert [sink for sink, _lane in store.cursors()] == ["new"]
        with pytest.raises(AlreadyRunning):
            await asyncio.to_thread(retire, tmp_path / "s", "gw-1", "new")
    with pytest.raises(StateRefused, match="belongs to gateway 'gw-1'"):
        await asyncio.to_thread(retire, tmp_path / "s", "gw-2", "new")
    with pytest.raises(StateRefused, match="no journal there"):
        await asyncio.to_thread(retire, tmp_path, "gw-1", "new")
    async with opened(tmp_path / "s") as store:
        assert [sink for sink, _lane in store.cursors()] == ["new"]
        epoch = store.epoch
    await asyncio.to_thread(retire, tmp_path / "s", "gw-1", "new")
    async with opened(tmp_path / "s") as store:
        assert store.cursors() == {}
        assert store.epoch == epoch  # it was still a stop in order
