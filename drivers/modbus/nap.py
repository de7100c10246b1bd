"""Sleep until a time or until woken. Cheaper than an event and a timeout around it: it runs per poll."""

import asyncio
import math


class Nap:
    """One task sleeps, others wake it; a wake-up while nobody sleeps counts for the next sleep."""

    def __init__(self) -> None:
        self._woken = False
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def until(self, due: float) -> None:
        """`due` is a time of the loop's clock; infinity: only `wake` ends it."""
        loop = asyncio.get_running_loop()
        if not self._woken and due > loop.time():
            self._waiter = loop.create_future()
            timer = loop.call_at(due, self.wake) if math.isfinite(due) else None
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        self._woken = False
