"""A process with a journal whose system calls are traced; what it was promised, it tells.

`python -m tests.harness.cut_child DIRECTORY LIFE SEED SABOTAGE`, LIFE being

- `killed`: everything is awaited, cursors move, commands are noted; then it ends without a word;
- `stopped`: the same, but it ends in good order;
- `polled`: nobody waits for anything, for some seconds; then it ends in good order.

It writes "first N epoch E", "taken N" when everything up to N was appended, "N" when `durable` has
promised N, "command N" when the intent of a command is durable. SABOTAGE is `none`, `normal`
(synchronous=NORMAL) or `early` (`durable` promises without waiting).
"""

import asyncio
import os
import random
import sys
from pathlib import Path

from gateway.clock import SystemClock
from gateway.model import LANES
from gateway.store import schema, segment
from gateway.store.settings import StoreSettings
from gateway.store.store import Position, Store
from tests.harness.store_child import Liar, promise, record, say

SINK = "platform"
GROUP_COMMIT_S = 1.0
POLLED_S = 4.0
BURSTS = 70


async def work(directory: Path, life: str, seed: int, kind: type[Store]) -> None:
    settings = StoreSettings.model_validate(
        {"group_commit": f"{GROUP_COMMIT_S:g}s", "ack_linger": "5ms"}
    )
    store = kind(directory, gateway_id="gw-1", settings=settings, clock=SystemClock())
    await asyncio.to_thread(store.open)
    await store.start()
    say(f"first {store.last_n + 1} epoch {store.epoch}")
    rng = random.Random(seed)
    if life == "polled":
        await poll(store)
    else:
        await serve(store, rng)
    if life == "killed":
        os._exit(0)
    await store.close()


async def serve(store: Store, rng: random.Random) -> None:
    n = store.last_n
    for burst in range(BURSTS):
        numbers = range(n + 1, n + 1 + rng.randrange(1, 25))
        for n in numbers:
            store.append(record(n), held=True)
        say(f"taken {n}")
        async with asyncio.TaskGroup() as group:
            for one in numbers:
                group.create_task(promise(store, one))
            if burst % 7 == 3:
                group.create_task(command(store, n))
        if burst % 3 == 2:
            await deliver(store, rng.choice(LANES))


async def deliver(store: Store, lane: int) -> None:
    part = await store.read(lane, store.cursor(SINK, lane), max_items=9, max_bytes=10_000)
    if part is not None:
        store.advance(SINK, lane, Position(part.epoch, part.last))
        store.dead_letter(SINK, lane, part.first, 400, "refused", b"{}")


async def command(store: Store, n: int) -> None:
    await store.command_intent(str(n), b"{}")
    say(f"command {n}")
    store.command_done(str(n), b"{}")


async def poll(store: Store) -> None:
    n = store.last_n
    for _ in range(int(POLLED_S / 0.02)):
        n += 1
        store.append(record(n))
        say(f"taken {n}")
        await asyncio.sleep(0.02)  # the period of the poll


if __name__ == "__main__":
    place, life, seed, sabotage = sys.argv[1:]
    segment.MAX_BYTES = 120_000  # so that files are changed within the second of a trace
    schema.PRAGMAS["wal_autocheckpoint"] = 30
    if sabotage == "normal":
        schema.PRAGMAS["synchronous"] = 1
    asyncio.run(work(Path(place), life, int(seed), Liar if sabotage == "early" else Store))
