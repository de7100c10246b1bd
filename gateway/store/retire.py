"""Letting go of a sink that is gone: its cursors hold records back, its dead letters wait for nobody."""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from gateway.errors import StateRefused
from gateway.model import LANES
from gateway.store import identity
from gateway.store.schema import CORE, CORE_PAGES, connect_writer
from gateway.store.segment import transaction


def forget(db: sqlite3.Connection, sinks: Iterable[str]) -> None:
    """Within the open transaction."""
    for sink in sinks:
        seals = [(f"cursor {lane} {sink}",) for lane in LANES]
        db.executemany("DELETE FROM seal WHERE k=?", seals)
        db.execute("DELETE FROM cursor WHERE sink=?", (sink,))
        db.execute("DELETE FROM dead WHERE sink=?", (sink,))


def retire(directory: Path, gateway_id: str, sink: str) -> None:
    """Without a running gateway. Durable on return.

    Raises AlreadyRunning, StateRefused (not ours, or no journal there), sqlite3.Error.
    """
    path = directory / "core.db"
    if not path.exists():
        raise StateRefused(f"{directory}: no journal there (core.db is missing)")
    lock = identity.lock(directory)
    try:
        identity.check_database(path, gateway_id)
        with closing(connect_writer(path, CORE, CORE_PAGES)) as db:
            with transaction(db):
                forget(db, [sink])
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        os.close(lock)
