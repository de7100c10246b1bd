"""Whose state directory this is: owner, lock, gateway, epoch file."""

import fcntl
import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.errors import AlreadyRunning, StateRefused
from gateway.store.schema import SCHEMA_VERSION, connect_owner, connect_reader
from gateway.store.seal import identity_fits, read_seals


def prepare(directory: Path) -> None:
    """Make the directory and `ts/` below it if they are missing. Raises StateRefused."""
    try:
        made = not directory.exists()
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        owner = directory.stat().st_uid
        if owner != os.geteuid():
            who = f"user {owner}, this process is user {os.geteuid()}"
            raise StateRefused(f"{directory}: the directory belongs to {who}")
        (directory / "ts").mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory)
        if made:
            sync_directory(directory.parent)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise StateRefused(f"{directory}: not a directory of ours: {error.strerror}") from error


def lock(directory: Path, held: int | None = None) -> int:
    """File descriptor that holds the lock until it is closed. Raises AlreadyRunning.

    `held` is returned if it holds this lock already.
    """
    path = directory / "lock"
    if held is not None and path.exists() and os.path.samestat(os.fstat(held), path.stat()):
        return held
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise StateRefused(f"{directory}: not a directory of ours: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise AlreadyRunning(f"{directory}: another gateway is running on it") from error
    return fd


def check_database(path: Path, gateway_id: str) -> None:
    """Raises StateRefused if `path` is a store of another gateway or of a newer version.

    Opens for reading only, so that a store that is not ours stays as it is.
    """
    try:
        meta, seals = _meta(connect_reader(path))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise
        meta, seals = _meta(connect_owner(path))
    if not identity_fits(meta, seals):  # a flipped bit; what another gateway or version wrote fits
        return
    owner = meta.get("gateway_id", gateway_id)
    if owner != gateway_id:
        raise StateRefused(f"{path}: belongs to gateway '{owner}', this one is '{gateway_id}'")
    version = int(meta.get("schema_version", SCHEMA_VERSION))
    if version > SCHEMA_VERSION:
        newest = f"this version knows formats up to {SCHEMA_VERSION}"
        raise StateRefused(f"{path}: written by a newer version (format {version}; {newest})")


def _meta(connection: sqlite3.Connection) -> tuple[dict[str, Any], dict[str, int]]:
    with closing(connection) as db:
        tables = db.execute("SELECT 1 FROM sqlite_master WHERE name='meta'").fetchall()
        return dict(db.execute("SELECT k, v FROM meta")) if tables else {}, read_seals(db)


def read_epoch(directory: Path) -> int:
    """The epoch in the `epoch` file, 0 if there is none that can be read."""
    try:
        return int((directory / "epoch").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return 0


def write_epoch(directory: Path, epoch: int) -> None:
    """Durable on return, old or new content at any power cut."""
    new = directory / "epoch.new"
    with new.open("w", encoding="ascii") as file:
        file.write(f"{epoch}\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(directory / "epoch")
    sync_directory(directory)


def next_epoch(known: int, clock: Clock) -> int:
    """One above the highest known; without any, one that cannot meet that of a lost store.

    Seconds << 16 | 16 random bits fits the 53 bits of a JSON number until the year 6325.
    """
    if known:
        return known + 1
    return clock.time_ns() // 1_000_000_000 << 16 | secrets.randbits(16)


def sync_directory(directory: Path) -> None:
    """fsync, so that files made or removed in it stay so after a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# What reading a damaged file raises: a flipped bit may as well be in the type of a value, in the
# name of a column (UnicodeDecodeError) or in the statement that made a table.
DAMAGE = (sqlite3.DatabaseError, TypeError, ValueError, LookupError, OverflowError)
DAMAGE_CODES = {
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_FORMAT,
}  # fmt: skip


def damaged(error: Exception) -> bool:
    """The database file is not what was written, as opposed to a device that fails.

    For errors that are one of `DAMAGE`.
    """
    if not isinstance(error, sqlite3.Error):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # a text that is not UTF-8; others are a wrong use of the module
        return isinstance(error, sqlite3.OperationalError)
    return code & 0xFF in DAMAGE_CODES
