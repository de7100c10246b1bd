"""The way to the journal's files, and back to them after an I/O error. Writer thread only.

After an fsync that failed the kernel may have dropped the pages it could not write, and calls them
clean: a second fsync that succeeds proves nothing (Rebello et al., "Can Applications Recover from
fsync Failures?", USENIX ATC 2020). So the files are closed, opened and checked anew, what the
failed transaction may have left is deleted, and everything that nobody was promised is written
again.
"""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from gateway.errors import StoreFailed
from gateway.model import LANE_SAMPLE, LANES
from gateway.store.files import OpenFiles
from gateway.store.journal import Journal
from gateway.store.schema import SEQ_BITS, SEQ_MASK, connect_owner
from gateway.store.segment import segment_files, segment_path, transaction

log = logging.getLogger(__name__)


class Undo(NamedTuple):
    """What was promised: seqs up to `last` of each lane, and none of the `commands`."""

    last: tuple[int, ...]
    commands: Sequence[bytes] = ()


class Access:
    """`reopen` opens the files anew. Without `files` there is no journal before it has worked."""

    def __init__(self, files: OpenFiles | None, reopen: Callable[[Undo | None], OpenFiles]) -> None:
        self._journal = None if files is None else files.journal
        self._reopen = reopen
        self._undo: Undo | None = None
        self.broken = files is None  # the files must be opened before they are written again

    @property
    def journal(self) -> Journal:
        """Raises StoreFailed while there is none."""
        if self._journal is None:
            raise StoreFailed("storage: not open")
        return self._journal

    def renew(self, commands: Sequence[bytes]) -> OpenFiles:
        """Close, open, check. `commands`: ids of intents that nobody was promised.

        Raises sqlite3.Error, OSError, StoreFailed, or what else says that these files cannot be
        used now (StateRefused, AlreadyRunning).
        """
        if self._journal is not None:
            self._undo = Undo(self._journal.committed, commands)
            self.abandon()
        files = self._reopen(self._undo)
        self._journal, self._undo, self.broken = files.journal, None, False
        return files

    def abandon(self) -> None:
        """Close the files as they are; nothing that fails then matters any more."""
        self.broken = True
        journal, self._journal = self._journal, None
        if journal is not None:
            with suppress(sqlite3.Error, OSError):
                journal.abandon()


def undo(db: sqlite3.Connection, directory: Path, promised: Undo) -> None:
    """Delete what a failed transaction has left behind: it is written again under other numbers.

    No reader can have seen it: they read what was committed.
    """
    with transaction(db):
        for lane in LANES:
            if lane != LANE_SAMPLE:
                low, high = lane << SEQ_BITS | promised.last[lane], lane << SEQ_BITS | SEQ_MASK
                db.execute("DELETE FROM event WHERE id > ? AND id <= ?", (low, high))
        ids = [(id_,) for id_ in promised.commands]
        db.executemany("DELETE FROM command WHERE id=? AND state='intent'", ids)
    last = promised.last[LANE_SAMPLE]
    newest = segment_files(directory)[-2:]  # a new one and the one before it
    for path in (segment_path(directory, first) for first in newest):
        with closing(connect_owner(path)) as segment, suppress(sqlite3.OperationalError):
            segment.execute("DELETE FROM chunk WHERE first > ?", (last,))
