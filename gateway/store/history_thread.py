"""The thread that reads history: the sinks' reader must not wait for a query over years."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.store.history import Historian, History, Query


class HistoryThread:
    """Belongs to the event loop. One query at a time; others wait for their turn."""

    def __init__(self, directory: Path) -> None:
        self._historian = Historian(directory)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="store-history")

    async def read(self, query: Query) -> History:
        """Raises what `Historian.read` raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._historian.read, query)

    async def close(self) -> None:
        """End the query that runs and wait until it has let go of the files."""
        self._historian.stop()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, self._historian.stop)  # behind all others
        self._pool.shutdown(wait=False)
