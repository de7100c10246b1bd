"""What is queued and not durable yet, and who waits for it. Loop thread only."""

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Iterable
from itertools import count
from typing import NamedTuple


class Waiter(NamedTuple):
    n: int
    order: int  # of calling; makes waiters for the same `n` comparable
    done: "asyncio.Future[None]"


class Ledger:
    """Input numbers in the order of appending, one queue for events and one for samples.

    Within a queue commits happen in order, so everything up to the input number before the
    smaller of the two heads is durable.
    """

    def __init__(self) -> None:
        self.events: deque[int] = deque()
        self.samples: deque[int] = deque()
        self._waiters: list[Waiter] = []
        self._order = count()

    @property
    def first_awaited(self) -> int | None:
        return self._waiters[0].n if self._waiters else None

    def blocks(self, n: int) -> bool:
        """Something up to `n` is not durable."""
        return self.events_block(n) or self.samples_block(n)

    def events_block(self, n: int) -> bool:
        return bool(self.events) and self.events[0] <= n

    def samples_block(self, n: int) -> bool:
        return bool(self.samples) and self.samples[0] <= n

    def wait(self, n: int) -> "asyncio.Future[None]":
        """Resolved when everything up to `n` is durable, or with the error of a failed commit."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, Waiter(n, next(self._order), done))
        return done

    def settle(self, *, events: int = 0, samples: int = 0) -> None:
        """The oldest `events` events and `samples` samples are durable."""
        for _ in range(events):
            self.events.popleft()
        for _ in range(samples):
            self.samples.popleft()
        self._release()

    def fail(self, error: BaseException) -> None:
        """Every waiter gets `error`; what they wait for stays queued."""
        for waiter in self._waiters:
            if not waiter.done.done():
                waiter.done.set_exception(error)
        self._waiters.clear()

    def shed(self, numbers: Iterable[int]) -> None:
        """Events with these input numbers were given up."""
        gone = Counter(numbers)
        kept: deque[int] = deque()
        for n in self.events:
            if gone[n]:
                gone[n] -= 1
            else:
                kept.append(n)
        self.events = kept

    def _release(self) -> None:
        while self._waiters:
            n = self._waiters[0].n
            if self.events_block(n) or self.samples_block(n):
                return
            done = heapq.heappop(self._waiters).done
            if not done.done():
                done.set_result(None)
