"""Which windows the rollups may lack still, and the chunks that hold what they lack."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping

from gateway.store.chunks import ChunkFiles
from gateway.store.readings import Reading
from gateway.store.rollup_table import next_windows
from gateway.store.window import window_of


def pending_windows(
    files: ChunkFiles,
    start: int,
    offsets: Mapping[int, int],
    readings: Callable[[int], Iterable[Reading] | None],
    check: Callable[[], None],
) -> dict[int, list[int]]:
    """Windows by the chunks from `start` on that their rows may lack.

    `readings` reads a chunk whose head does not tell its window; `check` is called for each chunk
    and may raise.
    """
    found: dict[int, list[int]] = {}
    for heads in files.heads(start):
        for head in heads:
            check()
            windows = {window_of(head.first_ns)}
            if not head.clock_ok or window_of(head.last_ns) not in windows:
                times = [one.wall_ns(offsets) for one in readings(head.first) or ()]
                windows = {window_of(at) for at in times if at is not None}
            for t in windows:
                found.setdefault(t, []).append(head.first)
    return found


def with_next(
    pending: dict[int, list[int]], core: sqlite3.Connection, counters: Iterable[int]
) -> dict[int, list[int]]:
    """With the windows in which the rise of a counter begins in a pending one."""
    pids = list(counters)
    for t in list(pending):
        for later in next_windows(core, t, pids):
            pending.setdefault(later, [])
    return pending
