"""A process that writes a journal to InfluxDB until it is killed.

`python -m tests.harness.influx_child DIRECTORY PORT`
"""

import asyncio
import sys
from pathlib import Path

from gateway.sinks.influx import Timing
from tests.harness.influx import influx_sink
from tests.harness.site import running, site

TIMING = Timing(linger_s=0.05, event_linger_s=0.05, pause_s=0.005)
LINES = 250  # in one write: many writes, so that a kill finds one under way


async def work(directory: Path, port: int) -> None:
    async with site(directory) as one:
        sink = influx_sink(one.store, one.clock, port, timing=TIMING, max_lines=LINES)
        async with running(sink):
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
