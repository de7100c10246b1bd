"""A journal in memory, for tests of the bus alone: what is durable is decided by the test."""

import asyncio
from collections.abc import Sequence

from gateway.counters import ReplayCounters
from gateway.errors import GatewayError
from gateway.model import Event, Item, Sample
from gateway.store.kept import NO_ROWS, Rows


class MemoryJournal:
    """Implements `gateway.bus.Journal`.

    While `full`, samples that their source does not hold are refused. `durable` waits for `gate`
    (set unless a test clears it) and raises `failure` if a test gave one.
    """

    def __init__(
        self, *, last_n: int = 0, ids: Sequence[bytes] = (), taken: Sequence[bytes] = ()
    ) -> None:
        self.last_n = last_n
        self.taken_ids = list(taken)
        self.items: list[Item] = []
        self.replay = ReplayCounters(lambda: None)
        self.awaited: list[int] = []
        self.full = False
        self.shedding = False
        self.failure: GatewayError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.roomy = asyncio.Event()
        self.roomy.set()
        self.ids = list(ids)
        self.rules: dict[str, bytes] = {}

    @property
    def events(self) -> list[Event]:
        return [item for item in self.items if isinstance(item, Event)]

    @property
    def samples(self) -> list[Sample]:
        return [item for item in self.items if isinstance(item, Sample)]

    def append(self, item: Item, *, held: bool = False, rows: Rows = NO_ROWS) -> bool:
        if self.full and isinstance(item, Sample) and not held:
            return False
        self.items.append(item)
        self.keep(rows)
        return True

    def keep(self, rows: Rows) -> None:
        for name, body in rows.items():
            if body is None:
                self.rules.pop(name, None)
            else:
                self.rules[name] = body

    async def durable(self, n: int) -> None:
        self.awaited.append(n)
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure

    async def room(self) -> None:
        await self.roomy.wait()

    def recent_ids(self) -> list[bytes]:
        return self.ids
