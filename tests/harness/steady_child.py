"""The work of a child whose storage fails: it stores a fixed number of records and ends.

It writes "taken N" for every record and "N" when `durable` has promised N, however often it had to
ask. It keeps trying for as long as a fault that comes once may take on a busy machine, or not for
long if the fault is there to stay; then it stops in good order. The exit code is 0 unless there is a
bug: a store that fails is no reason to end.
"""

import asyncio
import contextlib
import resource
from collections.abc import Callable
from pathlib import Path

from gateway.clock import SystemClock
from gateway.errors import StoreFailed, StoreFull
from gateway.store import segment, writer
from gateway.store.settings import StoreSettings
from gateway.store.store import Position, Store
from tests.harness.store_child import Liar, record, say

ROUNDS = 14
BATCH = 6
PATIENCE_S = 10.0
SHORT_S = 0.3
GIVE_UP = 2  # rounds, one after the other, of which nothing could be promised
SINK = "platform"


async def steady(directory: Path) -> None:
    await _work(directory, lambda _number: None)


async def doomed(directory: Path) -> None:
    """As `steady`, for faults that stay."""
    await _work(directory, lambda _number: None, patience_s=SHORT_S)


async def hasty(directory: Path) -> None:
    """As `steady`, but everything is promised at once."""
    await _work(directory, lambda _number: None, kind=Liar)


async def cramped(directory: Path) -> None:
    """As `steady`, but for some rounds no file may grow: writes are cut short, the next one fails."""
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(number: int) -> None:
        size = unlimited[0]
        if number % 4 == 2:  # in the middle of a page of the log
            size = (directory / "core.db-wal").stat().st_size + 1_000 * number % 4_096
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, unlimited[1]))

    await _work(directory, limit, patience_s=1.0)


async def _work(
    directory: Path,
    prepare: Callable[[int], None],
    *,
    kind: type[Store] = Store,
    patience_s: float = PATIENCE_S,
) -> None:
    segment.MAX_BYTES = 80_000
    writer.RETRY_S = 0.02
    store = await _opened(directory, kind)
    if store is None:
        return
    say(f"first {store.last_n + 1} epoch {store.epoch}")
    async with asyncio.TaskGroup() as group:
        group.create_task(store.watch())
        await _rounds(store, prepare, patience_s)
        await store.close()


async def _opened(directory: Path, kind: type[Store]) -> Store | None:
    """None if it cannot be opened for as long as we try."""
    settings = StoreSettings.model_validate({"group_commit": "1s", "ack_linger": "5ms"})
    for _ in range(5):
        store = kind(directory, gateway_id="gw-1", settings=settings, clock=SystemClock())
        with contextlib.suppress(StoreFailed, StoreFull):
            await asyncio.to_thread(store.open)
            await store.start()
            return store
        say("not opened")
    return None


async def _rounds(store: Store, prepare: Callable[[int], None], patience_s: float) -> None:
    n = store.last_n
    failed = 0
    for number in range(ROUNDS):
        prepare(number)
        batch = range(n + 1, n + 1 + BATCH)
        for n in batch:
            store.append(record(n), held=True)
            say(f"taken {n}")
        if not await _promised(store, n, patience_s):
            failed += 1
            if failed == GIVE_UP:
                return
            continue
        failed = 0
        for one in batch:
            say(str(one))
        if number % 5 == 4:
            await _deliver(store)


async def _promised(store: Store, n: int, patience_s: float) -> bool:
    try:
        async with asyncio.timeout(patience_s):
            while True:
                with contextlib.suppress(StoreFailed, StoreFull):
                    await store.durable(n)
                    return True
                await asyncio.sleep(0.01)
    except TimeoutError:
        return False


async def _deliver(store: Store) -> None:
    for lane in (0, 2):
        with contextlib.suppress(StoreFailed):
            part = await store.read(lane, store.cursor(SINK, lane), max_items=9, max_bytes=10_000)
            if part is not None:
                store.advance(SINK, lane, Position(part.epoch, part.last))
