import asyncio
import time

from gateway.lag import Lag


async def test_a_loop_that_was_blocked_shows_it() -> None:
    lag = Lag()
    assert (lag.p99_ms(), lag.worst_ms()) == (0.0, 0.0)
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0.05)
    time.sleep(0.08)
    await asyncio.sleep(0.05)
    task.cancel()
    assert lag.worst_ms() >= 40
    assert lag.p99_ms() >= 40
