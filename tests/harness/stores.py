"""Stores on real files, and items to put into them."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.clock import Clock
from gateway.model import Event, EventKind, Item, Quality, Sample, Severity, Value, uuid7
from gateway.store.settings import StoreSettings
from gateway.store.store import Position, Slice, Store
from tests.harness.clock import FakeClock

NOW_NS = 1_772_391_600_000_000_000


def make_store(
    directory: Path,
    *,
    gateway_id: str = "gw-1",
    clock: Clock | None = None,
    group: str = "60s",
    linger: str = "5ms",
    **quotas: str,
) -> Store:
    settings = StoreSettings.model_validate({"group_commit": group, "ack_linger": linger, **quotas})
    return Store(directory, gateway_id=gateway_id, settings=settings, clock=clock or FakeClock())


@asynccontextmanager
async def opened(
    directory: Path,
    *,
    gateway_id: str = "gw-1",
    clock: Clock | None = None,
    group: str = "60s",
    linger: str = "5ms",
    **quotas: str,
) -> AsyncIterator[Store]:
    store = make_store(
        directory, gateway_id=gateway_id, clock=clock, group=group, linger=linger, **quotas
    )
    await asyncio.to_thread(store.open)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


def sample(
    n: int,
    values: dict[str, Value] | None = None,
    *,
    device: str = "meter-1",
    source_id: bytes | None = None,
    quality: dict[str, Quality] | None = None,
) -> Sample:
    values = {"elec.power.total": float(n)} if values is None else values
    return Sample(
        device, NOW_NS + n * 1_000_000, n * 1_000, 1, True, values, quality or {}, source_id, n
    )


def event(
    n: int, severity: Severity = Severity.LIFE, attributes: dict[str, object] | None = None
) -> Event:
    return Event(
        uuid7(NOW_NS + n), EventKind.POINT_ALARM, severity, "smoke-3-101", NOW_NS + n * 1_000_000,
        n * 1_000, 1, True, attributes or {"point": "alarm.smoke", "value": True}, None, n,
    )  # fmt: skip


async def slices(store: Store, lane: int, *, max_items: int = 1000) -> list[Slice]:
    """Everything in a lane, read as a sink does."""
    found: list[Slice] = []
    after: Position | None = None
    while part := await store.read(lane, after, max_items=max_items, max_bytes=1_000_000):
        found.append(part)
        after = Position(part.epoch, part.last)
    return found


async def items(store: Store, lane: int) -> list[Item]:
    return [item for part in await slices(store, lane) for _seq, item in part.items]


def photograph(directory: Path, copy: Path) -> Path:
    """What a power cut would leave: the files as they are, without the shared memory of a WAL."""
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("*-shm", "reserve.*"))
    return copy
