"""A bus for tests: keeps what a driver publishes, in order."""

import asyncio
from collections.abc import Callable

from gateway.errors import GatewayError
from gateway.model import Item, Sample


class Recorder:
    """A `gateway.driver.Publisher` that numbers items, drops repeats of a source id, and remembers.

    `commit` waits for `durable` (set unless a test clears it) and raises `commit_error` if a test
    gave one; `room` waits for `roomy`.
    """

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.held: list[bool] = []  # for each item, whether its source keeps it
        self.committed: list[Item] = []
        self.repeats: list[Item] = []
        self.counters: dict[str, int] = {}  # of each device the counter of its last sample
        self.commit_error: GatewayError | None = None
        self.durable = asyncio.Event()
        self.durable.set()
        self.roomy = asyncio.Event()
        self.roomy.set()
        self._news = asyncio.Event()
        self._seen: dict[tuple[str, bytes], int] = {}

    @property
    def samples(self) -> list[Sample]:
        return [item for item in self.items if isinstance(item, Sample)]

    def of(self, device: str) -> list[Sample]:
        return [sample for sample in self.samples if sample.device == device]

    async def publish(self, item: Item, *, held: bool = False) -> Item:
        key = _key(item)
        if key is not None and key in self._seen:
            self.repeats.append(item)
            return item.numbered(self._seen[key])
        numbered = item.numbered(len(self.items) + 1)
        if isinstance(item, Sample) and item.counter is not None:
            self.counters[item.device] = item.counter
        if key is not None:
            self._seen[key] = numbered.n
        self.items.append(numbered)
        self.held.append(held)
        self._news.set()
        self._news = asyncio.Event()
        return numbered

    async def commit(self, item: Item) -> None:
        await self.durable.wait()
        if self.commit_error is not None:
            raise self.commit_error
        self.committed.append(item)

    async def room(self) -> None:
        await self.roomy.wait()

    def remembers(self, device: str) -> bool:
        return any(device == known for known, _ in self._seen)

    def last_counter(self, device: str) -> int | None:
        return self.counters.get(device)

    async def until(
        self, predicate: Callable[[Item], bool], *, after: int = 0, timeout: float = 15
    ) -> Item:
        """The first item with a number above `after` for which `predicate` holds, come or to come."""
        async with asyncio.timeout(timeout):
            while True:
                news = self._news
                for item in self.items[after:]:
                    if predicate(item):
                        return item
                after = len(self.items)
                await news.wait()

    async def sample(
        self, device: str, predicate: Callable[[Sample], bool] = lambda _: True, *, after: int = 0
    ) -> Sample:
        """The first sample of `device` with a number above `after` for which `predicate` holds."""

        def fits(item: Item) -> bool:
            return isinstance(item, Sample) and item.device == device and predicate(item)

        found = await self.until(fits, after=after)
        assert isinstance(found, Sample)
        return found


def _key(item: Item) -> tuple[str, bytes] | None:
    if isinstance(item, Sample) and item.source_id is not None:
        return item.device, item.source_id
    return None
