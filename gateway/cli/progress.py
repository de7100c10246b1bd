"""A progress bar on standard error, for work that takes longer than a moment."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE_S = 1.0  # work that is done by then shows nothing

Advanced = Callable[[int, int], None]
"""Call it with how much was done since the last call, and how much there is in all."""


@contextmanager
def progress(what: str) -> Iterator[Advanced]:
    """Silent where standard error is no terminal."""
    bar = _Bar(what)
    try:
        yield bar.advanced
    finally:
        bar.end()


class _Bar:
    def __init__(self, what: str) -> None:
        self._what = what
        self._begin = time.monotonic() + PATIENCE_S
        self._done = 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def advanced(self, count: int, total: int) -> None:
        self._done += count
        if self._bar is None and sys.stderr.isatty() and time.monotonic() >= self._begin:
            self._show()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=min(self._done, total), total=total)

    def _show(self) -> None:
        from rich.console import Console  # noqa: PLC0415 -- 60 ms that most runs do not need
        from rich.progress import (  # noqa: PLC0415 -- as above
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())  # fmt: skip
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task(self._what)
        self._bar.start()

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
