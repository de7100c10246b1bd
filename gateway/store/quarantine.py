"""Putting damaged files aside: renamed, kept for whoever wants to look, bounded.

`core.db.corrupt.3` is core.db as it was when the third file was put aside, with its `-wal` and
`-shm` under the same name.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

from gateway.store.identity import sync_directory

log = logging.getLogger(__name__)

MAX_FILES = 8
MAX_BYTES = 256_000_000
SUFFIXES = ("", "-wal", "-shm")
MARK = ".corrupt."


def set_aside(directory: Path, path: Path, reason: str) -> Path:
    """Rename `path`, somewhere in the state `directory`; returns its new name.

    The oldest ones are deleted if there are more than 8 or they take more than 256 MB. Raises
    OSError.
    """
    number = max((n for n, _ in _aside(directory)), default=0) + 1
    new = path.with_name(f"{path.name}{MARK}{number}")
    # The log first: a database without it is an older one, a log alone is nothing.
    for suffix in reversed(SUFFIXES):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(new.with_name(new.name + suffix))
    sync_directory(path.parent)
    extra = {"component": "store"}
    log.error("%s is damaged (%s): kept as %s", path, reason, new.name, extra=extra)
    _trim(directory)
    return new


def _aside(directory: Path) -> Iterator[tuple[int, Path]]:
    for folder in (directory, directory / "ts"):
        for path in folder.glob(f"*{MARK}*"):
            number = path.name.rpartition(MARK)[2]
            if number.isdigit():
                yield int(number), path


def _trim(directory: Path) -> None:
    found = sorted(_aside(directory), reverse=True)
    size = 0
    for count, (_, path) in enumerate(found):
        parts = [part for s in SUFFIXES if (part := path.with_name(path.name + s)).exists()]
        size += sum(part.stat().st_size for part in parts)
        if count and (count >= MAX_FILES or size > MAX_BYTES):
            for part in parts:
                part.unlink()
            log.warning("%s was deleted: too much is put aside", path, extra={"component": "store"})
