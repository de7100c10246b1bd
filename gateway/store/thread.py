"""The writer thread as the event loop sees it: start, what it reports, how it ended."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class WorkerThread:
    """Runs `work` in a thread of its own and tells the running loop how it ended.

    `on_end` is called in the loop. The thread is a daemon thread: one that hangs in a dead SD
    card must not keep the process from exiting.
    """

    def __init__(self, work: Callable[[], None], name: str, on_end: Callable[[], None]) -> None:
        self._work = work
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.error: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def post(self, callback: Callable[[T], None], argument: T) -> None:
        """Call `callback(argument)` in the loop; from the thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody is interested any more
            self._loop.call_soon_threadsafe(callback, argument)

    async def ended(self) -> None:
        await self._ended.wait()

    async def watch(self) -> None:
        """Wait for the end of the thread; raises what ended it."""
        await self._ended.wait()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 -- not swallowed: `watch` raises it in the loop
            self.error = error
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._ended.set()
        self._on_end()
