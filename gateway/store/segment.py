"""One file of sample chunks: written by appending, never updated, dropped as a whole."""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.store.encode import ChunkRow
from gateway.store.identity import sync_directory
from gateway.store.points import PointRow
from gateway.store.schema import (
    SCHEMA_VERSION,
    SEGMENT,
    SEGMENT_PAGES,
    connect_writer,
    size_on_disk,
)
from gateway.store.seal import seal_epoch, seal_identity, seal_points

MAX_BYTES = 32_000_000
MAX_AGE_S = 86_400.0


def segment_path(directory: Path, first: int) -> Path:
    return directory / "ts" / f"{first:020d}.db"


def segment_files(directory: Path) -> list[int]:
    """First seqs of the segment files, oldest first."""
    return sorted(int(path.stem) for path in (directory / "ts").glob("*.db") if path.stem.isdigit())


class Segment:
    """The segment that is being written; belongs to the writer thread.

    `age_s` is how old the first chunk of an existing file is, None while it has none.
    """

    def __init__(
        self,
        directory: Path,
        first: int,
        gateway_id: str,
        store_uuid: str,
        *,
        age_s: float | None = None,
    ) -> None:
        self.first = first
        self.path = segment_path(directory, first)
        self._db = connect_writer(self.path, SEGMENT, SEGMENT_PAGES)
        self._born = None if age_s is None else time.monotonic() - age_s
        if self._db.execute("SELECT 1 FROM meta").fetchone() is None:
            meta = [
                ("gateway_id", gateway_id), ("schema_version", SCHEMA_VERSION),
                ("store_uuid", store_uuid),
            ]  # fmt: skip
            with transaction(self._db):
                self._db.executemany("INSERT INTO meta VALUES (?, ?)", meta)
                seal_identity(self._db, gateway_id, SCHEMA_VERSION, store_uuid)
            sync_directory(self.path.parent)
        self._pids = {pid for (pid,) in self._db.execute("SELECT pid FROM point")}
        self._epoch = 0  # the newest one that `epoch` is known to hold

    @property
    def bytes(self) -> int:
        return size_on_disk(self.path)

    @property
    def complete(self) -> bool:
        """Large or old enough: the next chunk belongs into a new file."""
        if self._born is None:
            return False
        return self.bytes >= MAX_BYTES or time.monotonic() - self._born >= MAX_AGE_S

    def missing(self, pids: Iterable[int]) -> set[int]:
        """Those of `pids` whose rows the file does not hold yet."""
        return set(pids) - self._pids

    def commit(
        self, chunks: Sequence[ChunkRow], points: Sequence[PointRow], epoch: int, base: int
    ) -> None:
        """Durable on return; on any sqlite3.Error nothing of it is stored."""
        with transaction(self._db) as db:
            db.executemany("INSERT INTO point VALUES (?, ?, ?, ?, ?, ?)", points)
            seal_points(db, points)
            if epoch != self._epoch:
                db.execute("INSERT OR IGNORE INTO epoch VALUES (?, ?)", (epoch, base))
                seal_epoch(db, epoch, base)
            db.executemany("INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", chunks)
        self._pids.update(point[0] for point in points)
        self._epoch = epoch
        if self._born is None:
            self._born = time.monotonic()

    def close(self) -> None:
        """Move everything into the database file and let go of it."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._db.close()

    def abandon(self) -> None:
        """Let go of the file as it is; the committed rest stays in its write-ahead log."""
        self._db.close()


class transaction:  # noqa: N801 -- reads as a statement: `with transaction(db)`
    """BEGIN IMMEDIATE .. COMMIT, or ROLLBACK; the connection must be in autocommit mode."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> sqlite3.Connection:
        self._db.execute("BEGIN IMMEDIATE")
        return self._db

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:  # SQLITE_FULL has rolled back already
                self._db.execute("ROLLBACK")
