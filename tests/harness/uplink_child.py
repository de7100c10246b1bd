"""A gateway's journal and upstream that make 500 samples and some alarms a second, until killed.

`python -m tests.harness.uplink_child DIRECTORY URL SAMPLES ALARMS_PER_S`: stores SAMPLES and, for
each 500 of them, an alarm; says "ready" and its memory, then goes on in real time. Each alarm is
told as "alarm ID SECONDS" (CLOCK_MONOTONIC) when it is raised, its memory as "rss BYTES".
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from gateway.sinks.window import Timing
from tests.harness.site import Site, running, site

PER_S = 500
TICKS = 10  # in a second
_PAGE = os.sysconf("SC_PAGE_SIZE")


def say(*words: object) -> None:
    print(*words, flush=True)


def rss_bytes() -> int:
    """Resident memory of this process, as proc(5) counts it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


async def backlog(one: Site, samples: int) -> None:
    for number in range(samples // PER_S):
        await one.samples(PER_S)
        one.event(number=number)
        one.items.clear()
    await one.durable()


async def live(one: Site, alarms_per_s: int, number: int) -> None:
    """Each tick its share of samples; the alarms spread over the second."""
    every = TICKS // alarms_per_s
    due = time.monotonic()
    for tick in range(sys.maxsize):
        await one.samples(PER_S // TICKS)
        if tick % every == 0:
            event = one.event(number=number + tick // every)
            say("alarm", event.event_id, time.monotonic())
        if tick % TICKS == 0:
            say("rss", await asyncio.to_thread(rss_bytes))
        one.items.clear()
        due += 1 / TICKS
        await asyncio.sleep(max(0, due - time.monotonic()))


async def work(directory: Path, url: str, samples: int, alarms_per_s: int) -> None:
    async with site(directory) as one:
        sink = one.sink(url, Timing(), lanes=[0, 2], linger="50ms")
        await backlog(one, samples)
        async with running(sink):
            say("rss", await asyncio.to_thread(rss_bytes))
            say("ready")
            await live(one, alarms_per_s, samples // PER_S)


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
