"""Messages that wait for their acknowledgement."""

import asyncio
from typing import NamedTuple

from gateway.model import Item
from gateway.mqtt import Received


class Pending(NamedTuple):
    """A message that waits for its acknowledgement, until `item` (if any) is on disk.

    `source_id` goes into the application acknowledgement on `topic`; None: PUBACK only.
    """

    message: Received
    item: Item | None = None
    topic: str = ""
    source_id: bytes | None = None


class Backlog:
    """Messages in the order of arrival that wait for their acknowledgement."""

    def __init__(self) -> None:
        self._entries: list[Pending] = []
        self._newest: Item | None = None
        self._some = asyncio.Event()

    def add(self, entry: Pending) -> None:
        self._entries.append(entry)
        if entry.item is not None and (self._newest is None or entry.item.n > self._newest.n):
            self._newest = entry.item
        self._some.set()

    async def take(self) -> tuple[list[Pending], Item | None]:
        """All that wait, at least one, and the item whose commit covers them all."""
        await self._some.wait()
        taken = self._entries, self._newest
        self._entries, self._newest = [], None
        self._some.clear()
        return taken
