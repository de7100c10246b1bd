"""A full disk, by us and by a stranger: alarms are kept, samples go first, everything is counted."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import StoreFull
from gateway.store import retention, writer
from gateway.store.ballast import Ballast
from gateway.store.store import Position, Store
from tests.harness import sabotage
from tests.harness.disks import Stranger, free_bytes, small_disk
from tests.harness.stores import event, items, opened, sample, slices
from tests.harness.telemetry import gaps_of, noise, tidy, until

ALARMS = 200
RECOVERY_S = 5.0


@pytest.fixture(params=[6, 16])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", request.param) as path:
        yield path


@pytest.fixture
def disk16(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 16) as path:
        yield path


async def produce(store: Store, first: int, last: int) -> int:
    """Append samples as a poller does; returns how many were refused."""
    refused = 0
    for start in range(first, last + 1, 50):
        end = min(start + 49, last)
        taken = [store.append(sample(n, noise(n))) for n in range(start, end + 1)]
        refused += taken.count(False)
        if any(taken):
            try:
                await store.durable(end)
            except StoreFull:  # they wait for room
                continue
        else:
            await asyncio.sleep(0)
    return refused


async def account(store: Store, lane: int, produced: int, shed: int) -> None:
    """produced = stored + evicted + shed + queued, and every seq is an item or an evicted one."""
    gaps = await gaps_of(store, lane)
    assert {reason for _, _, reason in gaps} <= {"evicted"}
    evicted = sum(last - first + 1 for first, last, _ in gaps)
    counted = sum(n for what, n in store.stats().evicted.items() if what.startswith(f"lane {lane}"))
    assert evicted == counted
    stored = len(await items(store, lane))
    assert store.last(lane) == stored + evicted
    assert produced == stored + evicted + shed


async def test_a_disk_that_we_fill_ourselves_keeps_the_alarms_and_the_newest(disk: Path) -> None:
    async with opened(disk / "s") as store:
        store.sinks({"platform": (0, 1, 2)})
        for n in range(1, ALARMS + 1):
            store.append(event(n))
            await store.durable(n)
        shed = await produce(store, 1_001, 16_000)
        await until(lambda: store.stats().queued == 0)
        await tidy(store)
        assert (shed, store.stats().dropped) == (0, {})
        assert store.stats().state == "ok"
        assert store.stats().evicted.keys() == {"lane 2 space"}
        assert store.stats().undelivered == store.stats().evicted["lane 2 space"] > 2_000
        await account(store, 2, 15_000, 0)
        assert [one.n for one in await items(store, 0)] == list(range(1, ALARMS + 1))
        assert (await items(store, 2))[-1].n == 16_000
        assert free_bytes(disk) > 500_000


async def alarms_go_on_while_the_disk_is_full(disk: Path) -> None:
    stranger = Stranger(disk)
    async with opened(disk / "s") as store:
        store.sinks({"platform": (0, 1, 2)})
        await produce(store, 1_001, 3_000)
        await asyncio.to_thread(stranger.fill)
        for n in range(3_001, 3_001 + ALARMS):
            store.append(event(n))
            await store.durable(n)  # from the reserve
        await asyncio.to_thread(stranger.fill)
        await until(lambda: store.shedding)
        shed = await produce(store, 4_001, 4_500)
        assert shed > 0
        assert store.stats().dropped == {"store_shed": shed}
        assert [one.n for one in await items(store, 0)] == list(range(3_001, 3_001 + ALARMS))
        await deliver(store, 0)
        await deliver(store, 2)
        await asyncio.to_thread(stranger.leave)
        began = time.monotonic()
        await until(lambda: not store.shedding and store.stats().state == "ok")
        assert store.append(sample(5_001))
        await store.durable(5_001)
        assert time.monotonic() - began < RECOVERY_S
        reserve = await asyncio.to_thread(Ballast, disk / "s")
        assert (disk / "s" / "reserve.bin").stat().st_blocks * 512 >= reserve.size
        await until(lambda: store.stats().queued == 0)
        await tidy(store)
        await account(store, 2, 2_501, shed)
        epoch = store.epoch
    async with opened(disk / "s") as store:
        assert store.epoch == epoch
        assert store.stats().damage == {}


async def deliver(store: Store, lane: int) -> None:
    """What a sink does: read, send, advance."""
    for part in await slices(store, lane):
        store.advance("platform", lane, Position(part.epoch, part.last))


async def test_alarms_go_on_while_a_stranger_has_filled_the_disk(disk: Path) -> None:
    await alarms_go_on_while_the_disk_is_full(disk)


async def test_sabotage_without_ballast_alarms_stop(
    disk16: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promise rests on the reserve: without one it must be seen to break."""
    for method in ("restore", "release"):  # put back after the test
        monkeypatch.setattr(Ballast, method, getattr(Ballast, method))
    sabotage.no_ballast()
    monkeypatch.setattr(writer, "RETRY_S", 0.05)
    with pytest.raises((StoreFull, AssertionError, TimeoutError)):
        await alarms_go_on_while_the_disk_is_full(disk16)


async def test_a_store_opens_on_a_full_disk_and_takes_alarms(disk: Path) -> None:
    stranger = Stranger(disk)
    async with opened(disk / "s") as store:
        await produce(store, 1, 500)
        epoch = store.epoch
    await asyncio.to_thread(stranger.fill)
    async with opened(disk / "s") as store:
        assert store.stats().state == "ok"
        assert store.epoch == epoch
        store.append(event(501))
        await store.durable(501)
        assert not (disk / "s" / "reserve.bin").exists()
        assert store.shedding
        assert not store.append(sample(502))
        await asyncio.to_thread(stranger.leave)
        await until(lambda: not store.shedding, RECOVERY_S)
        assert store.append(sample(503))


async def test_a_message_that_its_device_keeps_is_not_acknowledged_while_the_disk_is_full(
    disk16: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LOOK_S", 0.1)
    stranger = Stranger(disk16)
    async with opened(disk16 / "s") as store:
        await produce(store, 1, 100)
        await asyncio.to_thread(stranger.fill)
        await until(lambda: store.shedding)
        assert store.append(sample(101, source_id=b"1"), held=True)
        with pytest.raises(StoreFull, match="samples are not stored"):
            await store.durable(101)
        store.append(event(102))
        await until(lambda: store.last(0) == 1)  # the alarm did not wait for the sample
        await asyncio.to_thread(stranger.leave)
        async with asyncio.timeout(RECOVERY_S):
            await until(lambda: not store.shedding)
            await store.durable(102)
        assert (await items(store, 2))[-1].n == 101
