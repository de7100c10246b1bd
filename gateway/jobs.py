"""Tasks by name, each of which may be ended and begun again while the others run."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


class Jobs:
    """The tasks live in a TaskGroup of the caller, who is told when one of them fails."""

    def __init__(self, what: str) -> None:
        self._what = what  # for the names of tasks
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def open(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        if self._group is None:
            raise RuntimeError("start before open")
        self._tasks[name] = self._group.create_task(work, name=f"{self._what}:{name}")

    async def stop(self, names: Iterable[str]) -> None:
        """Returns when they have ended and closed what they had opened."""
        tasks = [self._tasks.pop(name) for name in names if name in self._tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def cancel(self) -> None:
        """All of them; the group waits for their end."""
        for task in self._tasks.values():
            task.cancel()
