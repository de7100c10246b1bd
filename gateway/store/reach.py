"""For how long the sample files will go back, by what they have taken so far."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from gateway.store.readonly import look_at
from gateway.store.segment import segment_files, segment_path

LEAST_S = 3600.0  # of samples; less says too little of the rate
_SPAN = "SELECT min(first_ns), max(last_ns) FROM chunk WHERE clock_ok"


def reach_s(directory: Path, quota: int) -> float | None:
    """When `quota` (bytes) is used up at the present rate, samples go back so many seconds. None: that is
    not known, since there is less than an hour of them, or nobody may read them. Blocks.
    """
    try:
        files = [segment_path(directory, first) for first in segment_files(directory)]
        spans = [span for path in (*files[:1], *files[-1:]) for span in _span(path)]
        used = sum(path.stat().st_size for path in files)
    except (OSError, sqlite3.Error):
        return None
    if not spans or not used:
        return None
    seconds = (max(last for _, last in spans) - min(first for first, _ in spans)) / 1e9
    return None if seconds < LEAST_S else seconds * max(1.0, quota / used)


def _span(path: Path) -> Iterator[tuple[int, int]]:
    """First and last time (UTC, ns) of what has a known time."""
    with closing(look_at(path)) as db:
        first, last = db.execute(_SPAN).fetchone()
    if first is not None:
        yield first, last
