"""The other process of a backlog: `python -m bench.backlog fill|drain DIRECTORY`.

`fill` stores a million samples. `drain` opens the journal and takes all of them as a sink does: read,
encode, advance; half-way an alarm comes. It prints JSON: seconds to open and to drain, seconds from
the alarm to its batch, and the most memory that the process ever took.
"""

import asyncio
import sys
import time
from pathlib import Path

import orjson

from gateway.clock import SystemClock
from gateway.model import LANE_ALARM, LANE_SAMPLE, Event, EventKind, Sample, Severity, uuid7
from gateway.sinks.encode import batches
from gateway.store.settings import StoreSettings
from gateway.store.store import Position, Store

ROWS = 1_000_000
BATCH = 2_000
SLICE_ITEMS, SLICE_BYTES = 1_000, 200_000
SINK, GATEWAY = "platform", "gw-bench"


async def fill(store: Store, clock: SystemClock) -> None:
    now_ns = clock.time_ns() - ROWS * 1_000_000
    for n in range(1, ROWS + 1):
        at_ns = now_ns + n * 1_000_000
        values = {
            "elec.power.total": n % 977 / 7,
            "elec.energy.total": n / 10,
            "light.on": n % 3 == 0,
        }
        store.append(Sample(f"meter-{n % 100}", at_ns, n, 1, True, values, n=n), held=True)
        if n % BATCH == 0:
            await asyncio.sleep(0)
            await store.room()
    await store.durable(ROWS)


async def drain(store: Store, clock: SystemClock) -> dict[str, float]:
    began = time.perf_counter()
    alarm_s, taken = 0.0, 0
    while taken < ROWS:
        taken += await _send(store, LANE_SAMPLE)
        if not alarm_s and taken >= ROWS // 2:
            alarm_s = await _alarm(store, clock)
    return {"drain_s": time.perf_counter() - began, "alarm_s": alarm_s, "peak_mb": _peak_mb()}


async def _send(store: Store, lane: int) -> int:
    part = await store.read(
        lane, store.cursor(SINK, lane), max_items=SLICE_ITEMS, max_bytes=SLICE_BYTES
    )
    if part is None:
        return 0
    sent = sum(batch.items for batch in batches(part, gateway_id=GATEWAY, acked=part.first - 1))
    store.advance(SINK, lane, Position(part.epoch, part.last))
    return sent


async def _alarm(store: Store, clock: SystemClock) -> float:
    """Seconds until a new alarm is in a batch."""
    began, now_ns = time.perf_counter(), clock.time_ns()
    news = store.subscribe()
    store.append(Event(uuid7(now_ns), EventKind.POINT_ALARM, Severity.LIFE, "smoke-1", now_ns, clock.boottime_ns(), 1, True, {"point": "alarm.smoke", "value": True}, None, ROWS + 1))  # fmt: skip
    while not await _send(store, LANE_ALARM):
        await news.wait()
        news.clear()
    return time.perf_counter() - began


def _peak_mb() -> float:
    """proc(5): VmHWM counts from the start of the program, unlike getrusage(2) across a fork."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1_000


async def main(role: str, directory: Path) -> None:
    clock = await asyncio.to_thread(SystemClock)
    settings = StoreSettings.model_validate({"group_commit": "1s"})
    store = Store(directory, gateway_id=GATEWAY, settings=settings, clock=clock)
    store.sinks({SINK: (LANE_ALARM, LANE_SAMPLE)})
    began = time.perf_counter()
    await asyncio.to_thread(store.open)
    figures = {"open_s": time.perf_counter() - began}
    await store.start()
    if role == "fill":
        await fill(store, clock)
    else:
        figures |= await drain(store, clock)
    await store.close()
    sys.stdout.write(orjson.dumps(figures).decode())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
