"""SQLite connections that fail when a test says so: what the store sees of a full or failing device."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

# How a commit may fail: SQLite rolls back when the disk is full; after a failed fsync the
# transaction may be in the write-ahead log or not.
FULL, SYNC_LOST, SYNC_LEFT = "full", "sync, nothing is left", "sync, all of it is left"
COMMITS = (FULL, SYNC_LOST, SYNC_LEFT)


class Device:
    """`fail`: as many of the next commits fail, in the given way. Who holds `still` keeps other
    threads from beginning a transaction.
    """

    def __init__(self) -> None:
        self.still = threading.RLock()
        self._how: list[str] = []

    def fail(self, *how: str) -> None:
        self._how = list(how)

    @property
    def failing(self) -> bool:
        return bool(self._how)

    def take(self) -> str | None:
        return self._how.pop(0) if self._how else None


class Connection(sqlite3.Connection):
    def __init__(self, device: Device, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._device = device

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "BEGIN IMMEDIATE":
            self._device.still.acquire()
        try:
            return self._execute(sql, *parameters)
        finally:
            if sql in {"COMMIT", "ROLLBACK"} and not self.in_transaction:
                self._device.still.release()

    def _execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        how = self._device.take() if sql == "COMMIT" else None
        if how is None:
            return super().execute(sql, *parameters)
        super().execute("COMMIT" if how == SYNC_LEFT else "ROLLBACK")
        code = sqlite3.SQLITE_FULL if how == FULL else sqlite3.SQLITE_IOERR_FSYNC
        error = sqlite3.OperationalError("injected")
        error.sqlite_errorcode = code
        error.sqlite_errorname = "SQLITE_FULL" if how == FULL else "SQLITE_IOERR_FSYNC"
        raise error


@contextmanager
def device() -> Iterator[Device]:
    """Connections that are made inside fail as the device says."""
    one = Device()
    connect = partial(sqlite3.connect, factory=partial(Connection, one))
    with mock.patch.object(sqlite3, "connect", connect):
        yield one
