"""Taking the state directory over, and letting go of it."""

import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.clock import Clock
from gateway.errors import StoreFailed
from gateway.model import Event
from gateway.store import identity, kept, replay
from gateway.store.ballast import Ballast, is_full
from gateway.store.journal import Chores, Journal, Usage
from gateway.store.migrate import migrate
from gateway.store.points import Descriptions
from gateway.store.quarantine import set_aside
from gateway.store.recover import State, recover
from gateway.store.rescue import Found, look_into, start
from gateway.store.rollup_table import LastValues, last_counted
from gateway.store.schema import CORE, CORE_PAGES, connect_writer

Repair = Callable[[sqlite3.Connection, Path], None]


@dataclass(slots=True)
class OpenFiles:
    """A directory that is ours until `lock` is closed, and what was found in it.

    `alarms`: the newest event of each alarm, alarm-bearing point and counter. `taken`: ids of
    messages whose alarms are stored and whose samples may not be. `counted`: of each counter the
    last value that its rollups know, and the time (seconds) at which that window begins. `replay`: the
    last admitted counter of each device. `rules`: what instances of rules go on with.
    """

    state: State
    journal: Journal
    lock: int
    alarms: list[Event]
    taken: list[bytes]
    usage: Usage
    counted: LastValues
    replay: Mapping[str, int]
    rules: Mapping[str, bytes]


def open_files(
    directory: Path,
    gateway_id: str,
    clock: Clock,
    *,
    lock: int | None = None,
    repair: Repair | None = None,
    infos: Descriptions | None = None,
) -> OpenFiles:
    """Blocks. Raises AlreadyRunning, StateRefused, StoreFailed; what it opened is closed then.

    `lock` is that of an earlier call, for opening the files again; it stays locked in any case. If
    another file system is mounted there by now, the new files have a lock of their own.
    `repair` is done to core.db and the directory before anything is read from them. A core.db that
    is damaged is put aside, and a new one takes over what can be read. `infos`: what the profiles
    say about points.
    """
    held = None
    try:
        identity.prepare(directory)
        held = identity.lock(directory, lock)
        files = _open_on_full_disk(directory, gateway_id, clock, repair, held)
        return _describe(files, infos or {})
    except BaseException as error:
        if held is not None and held != lock:
            os.close(held)
        if isinstance(error, sqlite3.Error | OSError):
            raise StoreFailed(f"{directory}: cannot be opened: {error}") from error
        raise


def _open_on_full_disk(
    directory: Path, gateway_id: str, clock: Clock, repair: Repair | None, lock: int
) -> OpenFiles:
    """As `_open`, with the room of the reserve if there is no other."""
    try:
        return _open(directory, gateway_id, clock, repair, lock)
    except (sqlite3.Error, OSError) as error:
        if not is_full(error) or not Ballast(directory).release():
            raise
    return _open(directory, gateway_id, clock, repair, lock)


def _open(
    directory: Path, gateway_id: str, clock: Clock, repair: Repair | None, lock: int
) -> OpenFiles:
    path = directory / "core.db"
    try:
        return _open_core(directory, gateway_id, clock, repair, lock)
    except identity.DAMAGE as error:
        if not identity.damaged(error):
            raise
        aside = set_aside(directory, path, str(error))
    found = look_into(aside)
    files = _open_core(directory, gateway_id, clock, None, lock, found)
    files.state.damage["core_quarantined"] += 1
    files.alarms = found.alarms
    files.replay = found.replay
    files.journal.commit_core((), Chores(counters=found.replay))
    files.journal.begin_rescue(start(aside, found.cursors))
    return files


def _describe(files: OpenFiles, infos: Descriptions) -> OpenFiles:
    try:
        files.journal.describe(infos)
    except BaseException:
        files.journal.abandon()
        raise
    return files


def _open_core(
    directory: Path,
    gateway_id: str,
    clock: Clock,
    repair: Repair | None,
    lock: int,
    found: Found | None = None,
) -> OpenFiles:
    path = directory / "core.db"
    is_new = not path.exists()
    if not is_new:
        identity.check_database(path, gateway_id)
    db = connect_writer(path, CORE, CORE_PAGES)
    try:
        if is_new:
            identity.sync_directory(directory)
        migrate(db)
        if repair is not None:
            repair(db, directory)
        state = recover(db, directory, gateway_id, clock, found)
        journal = Journal(directory, gateway_id, clock, db, state)
        alarms, taken, usage = journal.alarms(), journal.taken.ids, journal.usage()
        return OpenFiles(
            state,
            journal,
            lock,
            alarms,
            taken,
            usage,
            last_counted(db),
            replay.read(db),
            kept.read(db),
        )
    except BaseException:
        db.close()
        raise
