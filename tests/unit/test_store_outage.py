"""A device that fails: what is promised, what is kept in memory, what sinks read meanwhile."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest

from gateway.errors import StoreFailed, StoreFull
from gateway.model import Event, Severity
from gateway.store import ring, writer
from gateway.store.access import Access
from gateway.store.files import OpenFiles
from gateway.store.ring import Ring, excess
from gateway.store.store import Position, Slice, Store
from tests.harness.clock import FakeClock
from tests.harness.faulty import FULL, SYNC_LEFT, SYNC_LOST, Device, device
from tests.harness.stores import event, items, make_store, opened, sample, slices


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.03)


async def until_ok(store: Store) -> None:
    async with asyncio.timeout(5):
        while store.stats().state != "ok" or store.stats().queued:
            await asyncio.sleep(0.01)


async def until_failed(store: Store) -> None:
    async with asyncio.timeout(5):
        while store.stats().state != "failed":
            await asyncio.sleep(0.01)


def for_ever(card: Device) -> None:
    card.fail(*[SYNC_LOST] * 10_000)


@pytest.mark.parametrize("left", [SYNC_LOST, SYNC_LEFT])
async def test_after_one_failed_fsync_everything_is_written_again_in_new_files(
    tmp_path: Path, left: str
) -> None:
    with device() as card:
        async with opened(tmp_path / "s") as store:
            store.append(event(1))
            await store.durable(1)
            epoch = store.epoch
            card.fail(left)
            store.append(sample(2, source_id=b"2"), held=True)
            store.append(event(2))
            await store.durable(2)  # nobody is told of the first failure
            assert store.stats().state == "ok"
            assert store.epoch == epoch + 1
            assert [item.n for item in await items(store, 0)] == [1, 2]
            assert [item.n for item in await items(store, 2)] == [2]
            old, new = await slices(store, 0)
            assert (old.epoch, new.epoch, new.first) == (epoch, epoch + 1, 10_001)
    async with opened(tmp_path / "s") as store:
        assert [item.n for item in await items(store, 0)] == [1, 2]


@pytest.mark.parametrize("left", [SYNC_LOST, SYNC_LEFT])
async def test_a_failed_chunk_is_written_again_once(tmp_path: Path, left: str) -> None:
    with device() as card:
        async with opened(tmp_path / "s") as store:
            store.append(sample(1, source_id=b"1"), held=True)
            await store.durable(1)
            card.fail(left)
            store.append(sample(2, source_id=b"2"), held=True)
            await store.durable(2)
            assert [item.n for item in await items(store, 2)] == [1, 2]
    async with opened(tmp_path / "s") as store:
        assert [item.n for item in await items(store, 2)] == [1, 2]
        assert store.stats().damage == {}


async def test_a_second_failure_is_told_and_everything_is_stored_when_it_works(
    tmp_path: Path,
) -> None:
    with device() as card:
        async with opened(tmp_path / "s") as store:
            for_ever(card)
            store.append(sample(1, source_id=b"1"), held=True)
            store.append(event(1))
            with pytest.raises(StoreFailed, match="injected"):
                await store.durable(1)
            assert store.stats().state == "failed"
            assert not store.append(sample(2)), "polled samples are dropped"
            assert store.stats().dropped == {"storage_failed": 1}
            with pytest.raises(StoreFailed):
                await store.command_intent("c-1", b"{}")
            assert store.command_outcome("c-1") is None
            card.fail()
            await until_ok(store)
            await store.durable(1)
            assert store.command_outcome("c-1") is None
            await store.command_intent("c-1", b"{}")
            assert [item.n for item in await items(store, 0)] == [1]
            assert [item.n for item in await items(store, 2)] == [1]


async def everything(store: Store, lane: int, after: Position | None = None) -> list[Slice]:
    found: list[Slice] = []
    while part := await store.read(lane, after, max_items=2, max_bytes=10**6):
        found.append(part)
        after = Position(part.epoch, part.last)
    return found


async def test_sinks_read_on_from_memory_while_storage_fails(tmp_path: Path) -> None:
    with device() as card:
        async with opened(tmp_path / "s") as store:
            store.append(event(1))
            await store.durable(1)
            for_ever(card)
            for n in (2, 3, 4):
                store.append(event(n))
            store.append(event(5, Severity.OPERATIONAL))
            await until_failed(store)
            generation = store.generation
            stored, *unsaved = await everything(store, 0)
            assert stored.durable
            assert [item.n for part in unsaved for _, item in part.items] == [2, 3, 4]
            assert not any(part.durable for part in unsaved)
            assert {part.base for part in unsaved} == {1}
            assert unsaved[0].epoch > stored.epoch
            assert [part.items[0][1].n for part in await everything(store, 1)] == [5]
            assert store.backlog(0, None) == 4
            assert store.oldest_time_ns(0, Position(stored.epoch, 1)) == event(2).time_ns
            store.append(event(6))
            end = Position(unsaved[-1].epoch, unsaved[-1].last)
            (more,) = await everything(store, 0, end)
            assert [item.n for _, item in more.items] == [6]
            store.advance("p", 0, Position(more.epoch, more.last))
            assert store.cursor("p", 0) is None, "a place in memory is no cursor"
            card.fail()
            await until_ok(store)
            assert store.generation > generation
            store.advance("p", 0, Position(more.epoch, more.last))  # too late: void
            assert store.cursor("p", 0) is None
            parts = await everything(store, 0)
            assert [item.n for part in parts for _, item in part.items] == [1, 2, 3, 4, 6]
            assert all(part.durable for part in parts)


async def test_too_many_events_in_memory_are_given_up_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "MAX_EVENTS", 4)
    with device() as card:
        async with opened(tmp_path / "s") as store:
            for_ever(card)
            store.append(event(1, Severity.LIFE))
            await until_failed(store)
            for n in range(2, 5):
                store.append(event(n, Severity.SAFETY))
            for n in range(5, 8):
                store.append(event(n, Severity.LIFE))
            async with asyncio.timeout(5):
                while store.stats().queued > 4:
                    await asyncio.sleep(0.01)
            parts = await everything(store, 0)
            assert [item.n for part in parts for _, item in part.items] == [1, 5, 6, 7]
            assert [gap for part in parts for gap in part.gaps] == [(2, 4, "dropped")]
            assert store.stats().dropped == {"events_storage_failed": 3}
            assert store.take_losses() == [], "it would only push out another alarm"
            card.fail()
            await until_ok(store)
            await store.durable(7)
            assert [item.n for item in await items(store, 0)] == [1, 5, 6, 7]
            assert store.take_losses() == [{"lane": 0, "count": 3, "reason": "storage_failed"}]


def test_the_least_severe_go_first_and_of_them_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "MAX_EVENTS", 2)
    severities = [Severity.LIFE, Severity.SAFETY, Severity.OPERATIONAL, Severity.SAFETY, Severity.LIFE]  # fmt: skip
    events = [event(n, severity) for n, severity in enumerate(severities)]
    assert [one.n for one in excess(events)] == [1, 3]


def test_a_ring_gives_each_failure_an_epoch_of_its_own() -> None:
    waiting = Ring()
    waiting.append(event(1))
    assert waiting.read(0, None, max_items=9, max_bytes=999) is None
    epochs = []
    for _ in range(2):
        waiting.begin(7)
        epochs.append(waiting.epoch)
        part = waiting.read(0, None, max_items=9, max_bytes=999)
        assert part is not None
        assert (part.first, part.last) == (1, 1)
    assert len(set(epochs)) == 2
    assert all(7 < epoch < 2**53 for epoch in epochs)


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), OSError(30, "Read-only file system")]
)
async def test_a_device_that_fails_at_the_start_is_used_when_it_works(
    tmp_path: Path, error: OSError
) -> None:
    async with opened(tmp_path / "s") as store:
        for n in (1, 2):
            store.append(event(n))
            store.append(sample(n, source_id=b"%d" % n), held=True)
        await store.durable(2)
        store.advance("p", 0, Position(store.epoch, 1))
        epoch = store.epoch
    clock = FakeClock()
    store = make_store(tmp_path / "s", clock=clock)
    with mock.patch("gateway.store.identity.prepare", side_effect=error):
        await asyncio.to_thread(store.open)
        assert store.stats().state == "failed"
        assert str(error) in store.stats().reason
        reopened = asyncio.Event()
        store.on_reopen(reopened.set)
        await store.start()
        store.append(event(1))
        store.append(sample(1, source_id=b"new"), held=True)
        with pytest.raises(StoreFailed):
            await store.durable(1)
        (part,) = await everything(store, 0)
        assert part.items[0][1].n == 1
        assert not part.durable
        assert part.epoch > epoch
        assert store.cursor("p", 0) is None
    await until_ok(store)
    await reopened.wait()
    assert store.cursor("p", 0) == Position(epoch, 1)
    assert (store.last_n, clock.boot) == (2, 1)
    assert len(await items(store, 0)) == 3
    assert [one.n for one in await items(store, 2)] == [1, 2, 1]
    await store.close()
    async with opened(tmp_path / "s") as store:
        assert len(await items(store, 0)) == 3


async def test_a_store_whose_device_never_works_can_be_closed(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s")
    with mock.patch("gateway.store.identity.prepare", side_effect=OSError(5, "EIO")):
        await asyncio.to_thread(store.open)
        await store.start()
        store.append(event(1))
        await store.close()
        await store.close()


async def test_a_card_of_another_gateway_that_appears_late_is_not_touched(tmp_path: Path) -> None:
    async with opened(tmp_path / "s", gateway_id="gw-2") as store:
        store.append(event(1))
    before = (tmp_path / "s" / "core.db").read_bytes()
    store = make_store(tmp_path / "s")
    with mock.patch("gateway.store.identity.prepare", side_effect=OSError(5, "EIO")):
        await asyncio.to_thread(store.open)
    await store.start()
    async with asyncio.timeout(5):
        while "belongs to gateway 'gw-2'" not in store.stats().reason:
            await asyncio.sleep(0.01)
    await store.close()
    assert (tmp_path / "s" / "core.db").read_bytes() == before


async def test_a_full_disk_is_no_reason_for_new_files(tmp_path: Path) -> None:
    with device() as card:
        async with opened(tmp_path / "s") as store:
            epoch = store.epoch
            card.fail(*[FULL] * 3)
            store.append(event(1))
            with pytest.raises(StoreFull):
                await store.durable(1)
            await until_ok(store)
            await store.durable(1)
            assert store.epoch == epoch


async def test_a_failed_fsync_that_is_only_repeated_is_noticed(tmp_path: Path) -> None:
    """Teeth: the files stay open, so what the failed commit has left is met again."""
    with device() as card:
        async with opened(tmp_path / "s") as store:

            def keep(access: Access, _commands: object) -> OpenFiles:
                access.broken = False
                assert store._files is not None
                return store._files

            with mock.patch.object(Access, "renew", keep):
                card.fail(SYNC_LEFT)
                store.append(event(1))
                with pytest.raises(sqlite3.IntegrityError):
                    await store.durable(1)


async def test_alarms_of_a_damaged_index_of_alarms_do_not_stop_the_start(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        for n in range(1, 4):
            store.append(event(n, attributes={"point": f"alarm.{n}", "value": True}))
        await store.durable(3)
    with closing(sqlite3.connect(tmp_path / "s" / "core.db")) as db:
        db.execute("UPDATE alarm SET id='nonsense' WHERE subject LIKE '%alarm.2'")
        db.execute("UPDATE event SET body=x'00' WHERE id=3")
        db.commit()
    async with opened(tmp_path / "s") as store:
        assert [isinstance(one, Event) and one.n for one in store.alarms] == [1]
