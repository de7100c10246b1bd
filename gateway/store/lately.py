"""The newest samples, in the order in which they were stored: what windows of rules are refilled from."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from gateway.model import Sample
from gateway.store.encode import ChunkRow, Damaged, samples_of
from gateway.store.identity import DAMAGE, damaged
from gateway.store.readonly import look_at, points_of
from gateway.store.segment import segment_files, segment_path

log = logging.getLogger(__name__)

_NEWEST = "SELECT first, n, last_ns, clock_ok FROM chunk ORDER BY first DESC"

Place = tuple[Path, list[int]]  # a segment, and the chunks in it


def lately(directory: Path, since_ns: int, most: int) -> Iterator[Sample]:
    """Samples of chunks that reach to `since_ns` (UTC) or later, at most the newest `most` or a chunk
    more. Blocks. What is damaged is left out. Raises sqlite3.Error if the device fails.
    """
    for path, chunks in reversed(_places(directory, since_ns, most)):
        try:
            with closing(look_at(path)) as db:
                points = points_of(db)
                for first in reversed(chunks):
                    row = db.execute("SELECT * FROM chunk WHERE first = ?", (first,)).fetchone()
                    yield from _chunk(row, points)
        except DAMAGE as error:
            _skip(path, error)


def _chunk(row: ChunkRow, points: Mapping[int, str]) -> Iterator[Sample]:
    try:
        yield from (sample for _, sample in samples_of(row, points))
    except Damaged as error:
        log.warning("chunk %d is damaged: %s", row[0], error, extra={"component": "store"})


def _places(directory: Path, since_ns: int, most: int) -> list[Place]:
    """Newest first, chunks too."""
    found: list[Place] = []
    for first in reversed(segment_files(directory)):
        path = segment_path(directory, first)
        chunks: list[int] = []
        found.append((path, chunks))
        try:
            with closing(look_at(path)) as db:
                for chunk, count, last_ns, clock_ok in db.execute(_NEWEST):
                    if most <= 0 or (clock_ok and last_ns < since_ns):
                        return found
                    chunks.append(chunk)
                    most -= count
        except DAMAGE as error:
            _skip(path, error)
    return found


def _skip(path: Path, error: Exception) -> None:
    if not damaged(error):
        raise error
    log.warning("%s: some of it is not read again: %s", path, error, extra={"component": "store"})
