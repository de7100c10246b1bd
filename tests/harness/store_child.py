"""The work of a child that stores records as fast as it can until it is killed.

It writes "first N epoch E", then the input number of each record that `durable` has promised. The
liar's `durable` promises without waiting: it is there to show that the test would notice. What a
record holds follows from its number, so that whoever reads the store can tell whether it is the one
that was appended.
"""

import asyncio
import os
import random
from pathlib import Path
from uuid import UUID

from gateway.clock import SystemClock
from gateway.model import Event, EventKind, Item, Sample, Severity, Value
from gateway.store.settings import StoreSettings
from gateway.store.store import Store

MARK = b"harness\0"  # in the id of an event, so that it can be found in a page of a database


class Liar(Store):
    async def durable(self, n: int) -> None:
        await asyncio.sleep(0)


def record(n: int) -> Item:
    if n % 4:
        values: dict[str, Value] = {"elec.power.total": n / 7, "mode": f"模式 {n % 5}"}
        return Sample(f"meter-{n % 9}", n * 1_000, n, 1, True, values, source_id=b"%d" % n, n=n)
    severity = (Severity.LIFE, Severity.OPERATIONAL, Severity.TELEMETRY)[n // 4 % 3]
    attributes: dict[str, object] = {"point": "alarm.smoke", "value": n}
    return Event(UUID(bytes=MARK + n.to_bytes(8)), EventKind.POINT_ALARM, severity, "烟感", n * 1_000, n, 1, True, attributes, None, n)  # fmt: skip


async def honest(directory: Path) -> None:
    await _work(directory, Store)


async def liar(directory: Path) -> None:
    await _work(directory, Liar)


async def _work(directory: Path, kind: type[Store]) -> None:
    settings = StoreSettings.model_validate({"group_commit": "1s", "ack_linger": "5ms"})
    store = kind(directory, gateway_id="gw-1", settings=settings, clock=SystemClock())
    await asyncio.to_thread(store.open)
    await store.start()
    n = store.last_n
    say(f"first {n + 1} epoch {store.epoch}")
    while True:
        burst = range(n + 1, n + 1 + random.randrange(1, 60))
        for n in burst:
            store.append(record(n), held=True)
        async with asyncio.TaskGroup() as group:
            for one in burst:
                group.create_task(promise(store, one))


async def promise(store: Store, n: int) -> None:
    await store.durable(n)
    say(str(n))


def say(what: str) -> None:
    os.write(1, f"{what}\n".encode())
