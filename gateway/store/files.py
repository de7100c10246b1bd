"""Taking the state directory over, and letting go of it."""

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from gateway.clock import Clock
from gateway.errors import StoreFailed
from gateway.store import identity
from gateway.store.journal import Journal
from gateway.store.recover import State, recover
from gateway.store.schema import CORE, CORE_PAGES, connect_writer


@dataclass(slots=True)
class OpenFiles:
    """A directory that is ours until `unlock`. `state` is what was found in it."""

    state: State
    journal: Journal
    lock: int

    def unlock(self) -> None:
        os.close(self.lock)


def open_files(directory: Path, gateway_id: str, clock: Clock) -> OpenFiles:
    """Blocks. Raises AlreadyRunning, StateRefused, StoreFailed; nothing stays open then."""
    identity.prepare(directory)
    lock = identity.lock(directory)
    try:
        state, journal = _open(directory, gateway_id, clock)
    except (sqlite3.Error, OSError) as error:
        os.close(lock)
        raise StoreFailed(f"{directory}: cannot be opened: {error}") from error
    except BaseException:
        os.close(lock)
        raise
    return OpenFiles(state, journal, lock)


def _open(directory: Path, gateway_id: str, clock: Clock) -> tuple[State, Journal]:
    path = directory / "core.db"
    is_new = not path.exists()
    if not is_new:
        identity.check_database(path, gateway_id)
    db = connect_writer(path, CORE, CORE_PAGES)
    try:
        if is_new:
            identity.sync_directory(directory)
        state = recover(db, directory, gateway_id, clock)
        return state, Journal(directory, gateway_id, clock, db, state)
    except BaseException:
        db.close()
        raise
