"""Reading what can still be read from a damaged database, whether core.db or a segment.

SQLite's own recovery gives up where a page of the middle of a tree is gone; asking for windows of
50 keys, and for every key of a window that fails, goes on (measured: 29,650 of 30,000 rows with
five zeroed pages).
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from gateway.model import LANE_SAMPLE, LANES
from gateway.store.encode import ChunkRow, Damaged, EventRow, event_of, samples_of
from gateway.store.identity import DAMAGE
from gateway.store.readonly import Lost, chunks, events, look_at, points_of, unreadable
from gateway.store.record import Record
from gateway.store.schema import SEQ_BITS, SEQ_MASK

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Salvage:
    """`path` is a file, or a folder: then every database below it, quarantined ones too.

    Iterate once. `files` counts what was opened, `lost_windows` windows of 50 keys with rows that
    cannot be read, `damaged` rows whose CRC is wrong, `refused` files that are no database any more,
    with the reason.
    """

    path: Path
    files: int = 0
    lost_windows: int = 0
    damaged: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    _points: dict[int, str] = field(default_factory=dict)
    _epochs: list[dict[int, int]] = field(default_factory=lambda: [{} for _ in LANES])

    def __iter__(self) -> Iterator[tuple[Path, Record]]:
        """(file, record). Raises FileNotFoundError if there is nothing to read."""
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path} does not exist")
        for file in _databases(self.path):
            try:
                with closing(look_at(file)) as db:
                    self.files += 1
                    for record in self._file(db):
                        yield file, record
            except DAMAGE as error:
                self.refused[str(file)] = str(error)

    def _file(self, db: sqlite3.Connection) -> Iterator[Record]:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        if "point" in tables:  # a segment without its names borrows those of core.db, read before
            self._points.update(points_of(db))
        if "epoch" in tables:
            self._read_epochs(db, in_core="event" in tables)
        if "event" in tables:
            for lane in LANES:
                yield from self._events(db, lane)
        if "chunk" in tables:
            yield from self._chunks(db)

    def _read_epochs(self, db: sqlite3.Connection, *, in_core: bool) -> None:
        lane = "lane" if in_core else str(LANE_SAMPLE)
        try:
            rows = db.execute(f"SELECT {lane}, first_seq, epoch FROM epoch").fetchall()  # noqa: S608 -- constant texts
        except DAMAGE as error:
            if not unreadable(error):
                raise
            return
        for at, base, epoch in rows:
            if at in LANES:
                self._epochs[at][base] = epoch

    def _epoch_of(self, lane: int, seq: int) -> int:
        base = max((base for base in self._epochs[lane] if base <= seq), default=None)
        return 0 if base is None else self._epochs[lane][base]

    def _events(self, db: sqlite3.Connection, lane: int) -> Iterator[Record]:
        row: EventRow
        for rows in events().read(db, lane << SEQ_BITS, lane << SEQ_BITS | SEQ_MASK):
            if isinstance(rows, Lost):
                self.lost_windows += rows.windows
                continue
            for row in rows:
                try:
                    seq, event = event_of(row)
                except Damaged:
                    self.damaged += 1
                else:
                    yield Record(lane, self._epoch_of(lane, seq), seq, event)

    def _chunks(self, db: sqlite3.Connection) -> Iterator[Record]:
        row: ChunkRow
        for rows in chunks().read(db, 0, SEQ_MASK):
            if isinstance(rows, Lost):
                self.lost_windows += rows.windows
                continue
            for row in rows:
                try:
                    samples = samples_of(row, self._points)
                except Damaged:
                    self.damaged += 1
                    continue
                for seq, sample in samples:
                    epoch = self._epoch_of(LANE_SAMPLE, seq)
                    yield Record(LANE_SAMPLE, epoch, seq, sample)


def _databases(path: Path) -> list[Path]:
    """core.db and its kind first: they know the names of the points."""
    if path.is_file():
        return [path]
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and ".db" in file.name and not file.name.endswith(("-wal", "-shm", "-journal"))
    ]  # fmt: skip
    return sorted(found, key=lambda file: not file.name.startswith("core"))
