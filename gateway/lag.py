"""How late the event loop is: what a task waits for its turn, everything waits for."""

import asyncio
import math
import time
from collections import deque

from gateway.stuck import watching

TICK_S = 0.02
KEPT = 3_000  # the last minute


class Lag:
    """The lateness of ticks of 20 ms over the last minute, in ms; 0 before the first."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=KEPT)
        self._worst = 0.0
        self._turned_at: float | None = None

    def age_s(self) -> float:
        """Since the last tick; 0 before the first. From any thread."""
        at = self._turned_at
        return 0.0 if at is None else time.monotonic() - at

    async def run(self) -> None:
        with watching(self.age_s):
            try:
                await self._tick()
            finally:
                self._turned_at = None

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._turned_at = time.monotonic()
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            late = max(0.0, loop.time() - due) * 1e3
            self._late.append(late)
            self._worst = max(self._worst, late)

    def p99_ms(self) -> float:
        """99 of 100 ticks were at most so late."""
        late = sorted(self._late)
        return late[math.ceil(len(late) * 0.99) - 1] if late else 0.0

    def worst_ms(self) -> float:
        return max(self._late, default=0.0)

    def take_worst_ms(self) -> float:
        """The worst since the last call, of however long ago that was."""
        worst, self._worst = self._worst, 0.0
        return worst
