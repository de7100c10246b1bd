"""Opening: decide the epoch and the next sequence numbers, and find out what is stored.

SQLite hands out numbers again after a lost tail, and a platform that has seen (epoch, seq) would
swallow the new record. So seqs are reserved ahead, and a stop that was not clean, or any sign of
a lost tail, makes a new epoch and jumps over everything that may have been used.
"""

import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from gateway.clock import Clock, boot_id
from gateway.model import LANE_SAMPLE, LANES
from gateway.store import orders
from gateway.store.admission import admit, adopted
from gateway.store.encode import Damaged
from gateway.store.evictions import evicted_last, evicted_spans, remove_evicted
from gateway.store.identity import DAMAGE, damaged, next_epoch, read_epoch, write_epoch
from gateway.store.index import LaneIndex, Mark, Position, Span
from gateway.store.mark import Mark as HighWater
from gateway.store.orders import Order
from gateway.store.points import Point
from gateway.store.rescue import Found
from gateway.store.schema import CORE, SCHEMA_VERSION, SEQ_BITS, SEQ_MASK, fits
from gateway.store.seal import (
    epochs_fit,
    good_cursors,
    read_seals,
    seal_cursors,
    seal_epochs,
    seal_identity,
    sealed_uuid,
)
from gateway.store.segment import segment_files, segment_path, transaction
from gateway.store.survey import Known, Survey, Tail, is_whole, read_tail

log = logging.getLogger(__name__)

OFFSETS = "SELECT boot, offset_ns FROM boot WHERE offset_ns IS NOT NULL"
RESERVE = 10_000  # seqs of each lane, ahead of those in use
MAX_IDS = 65_536  # message ids that are remembered
MARKS = 256  # per lane of events
# Damage that does not hide a lost tail.
HARMLESS = {"corrupt", "segment_damaged", "segment_foreign", "cursor_damaged"}
DERIVED = {"rollup", "chunk_window"}  # tables that are made from others


@dataclass(slots=True)
class State:
    """What the journal goes on with. Lists have one entry per lane."""

    epoch: int = 0
    boot: int = 0
    next_seq: list[int] = field(default_factory=lambda: [1] * len(LANES))
    reserved: list[int] = field(default_factory=lambda: [0] * len(LANES))
    bases: list[int] = field(default_factory=lambda: [1] * len(LANES))
    index: list[LaneIndex] = field(default_factory=lambda: [LaneIndex() for _ in LANES])
    segments: dict[int, Survey] = field(default_factory=dict)
    writable: int | None = None  # the segment to go on with
    points: list[Point] = field(default_factory=list)
    cursors: dict[tuple[str, int], Position] = field(default_factory=dict)
    commands: dict[str, Order] = field(default_factory=dict)
    keys: list[bytes] = field(default_factory=list)  # message ids, oldest first
    unsaved_keys: list[tuple[int, bytes]] = field(default_factory=list)
    last_n: int = 0
    offsets: dict[int, int] = field(default_factory=dict)  # wall minus boot time (ns), by boot
    damage: Counter[str] = field(default_factory=Counter)
    store_uuid: str = ""  # of this core.db and its segments
    rescue: str = ""  # notes about a core.db that was put aside and is being taken over

    @property
    def next_pid(self) -> int:
        return max((pid for pid, _device, _point in self.points), default=0) + 1


def recover(
    db: sqlite3.Connection,
    directory: Path,
    gateway_id: str,
    clock: Clock,
    found: Found | None = None,
) -> State:
    """Read everything, then make the new start durable before any number is used.

    `db` is the writing connection of core.db, a new one if `found` tells of the one before it.
    Raises Damaged or what else reading a damaged core.db raises, StateRefused for segments of
    another gateway.
    """
    state = State()
    seals = read_seals(db)
    meta: dict[str, Any] = dict(db.execute("SELECT k, v FROM meta"))
    state.store_uuid = sealed_uuid(meta, seals)
    state.rescue = str(meta.get("rescue", ""))
    _check(db, seals)
    remove_evicted(db, directory)
    state.last_n = int(meta.get("last_n", 0))
    _read_segments(db, directory, gateway_id, state)
    _read_core(db, state, found, seals)
    if _behind(db, state, directory) and "epoch" in meta:
        state.damage["tail_lost"] = 1
    _read_keys(db, directory, state, int(meta.get("dedupe_through", 0)))
    clean = _clean(db, directory, meta, state)
    if not clean:
        known = max([read_epoch(directory), int(meta.get("epoch", 0)), *_epochs(db, state)])
        state.epoch = next_epoch(known, clock)
        state.bases = list(state.next_seq)
    write_epoch(directory, state.epoch)
    with transaction(db):
        state.boot = _boot(db, meta)
        state.offsets = dict(db.execute(OFFSETS))
        _begin(db, state, gateway_id, new_epoch=not clean)
        orders.write(db, () if found is None else found.commands)
        orders.sweep(db, clock)
    state.commands = orders.read(db)
    _fill_index(db, state)
    for what, count in state.damage.items():
        log.error("store damage: %s (%d)", what, count, extra={"component": "store"})
    return state


def _check(db: sqlite3.Connection, seals: Mapping[str, int]) -> None:
    """Raises Damaged. What `quick_check` cannot see, the seals can.

    Without the rollups: they may be 1 GB, and can be lost without losing a record.
    """
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
    for table in ("sqlite_master", *tables):
        if table in DERIVED:
            continue
        found = [str(text) for (text,) in db.execute(f"PRAGMA quick_check('{table}')")]
        if found != ["ok"]:
            raise Damaged("; ".join(found[:3]))
    if not fits(db, CORE):
        raise Damaged("a table is not what was made")
    if not epochs_fit(db, seals):
        raise Damaged("an epoch is not what was written")


def _behind(db: sqlite3.Connection, state: State, directory: Path) -> bool:
    """Records are missing at the end of a lane; their numbers are not given out again."""
    mark = HighWater(directory).read() or [0] * len(LANES)
    last = [_last_seq(db, state, lane) for lane in LANES]
    state.next_seq = [max(n, seq + 1) for n, seq in zip(state.next_seq, mark, strict=True)]
    return any(seq > there for seq, there in zip(mark, last, strict=True))


def _read_segments(db: sqlite3.Connection, directory: Path, gateway_id: str, state: State) -> None:
    registered_before = set(segment_files(directory))
    named: list[Point] = db.execute("SELECT pid, device, point FROM point").fetchall()
    epochs = db.execute(
        "SELECT epoch, first_seq FROM epoch WHERE lane=?", (LANE_SAMPLE,)
    ).fetchall()
    known = Known(epochs, tuple(named))
    state.segments = admit(directory, gateway_id, state.store_uuid, state.damage, known)
    state.store_uuid = state.store_uuid or adopted(state.segments) or uuid4().hex
    registered = {first for (first,) in db.execute("SELECT first FROM segment")}
    if missing := registered - registered_before:
        state.damage["segment_missing"] += len(missing)
    if broken := sum(not found.whole for found in state.segments.values()):
        state.damage["segment_damaged"] += broken
    if state.segments:
        newest = max(state.segments)
        if state.segments[newest].whole and is_whole(segment_path(directory, newest)):
            state.writable = newest
    points = {row[0]: row for row in named}
    for found in state.segments.values():
        for row in found.points:
            points.setdefault(row[0], row)
    state.points = list(points.values())


def _read_core(
    db: sqlite3.Connection, state: State, found: Found | None, seals: Mapping[str, int]
) -> None:
    rows = db.execute("SELECT sink, lane, epoch, seq FROM cursor")
    good, bad = good_cursors(rows, seals)
    state.cursors = {(sink, lane): Position(epoch, seq) for sink, lane, epoch, seq in good}
    if bad:  # what that sink has had already it is sent again
        state.damage["cursor_damaged"] += bad
    if found is not None:
        state.cursors = dict(found.cursors)
        state.last_n = found.last_n
    for lane, reserved in db.execute("SELECT lane, reserved_hi FROM lane"):
        state.reserved[lane] = reserved
    for lane in LANES:
        last = _last_seq(db, state, lane)
        sent = max((p.seq for (_, at), p in state.cursors.items() if at == lane), default=0)
        state.next_seq[lane] = max(state.reserved[lane], last, sent) + 1
        if lane != LANE_SAMPLE and last:
            rows = db.execute("SELECT n FROM event WHERE id=?", (lane << SEQ_BITS | last,))
            state.last_n = max([state.last_n, *(n for (n,) in rows)])


def _last_seq(db: sqlite3.Connection, state: State, lane: int) -> int:
    """Highest seq of a lane that is stored or was evicted, 0 if there is none."""
    gone = evicted_last(db, lane)
    if lane == LANE_SAMPLE:
        return max([gone, *(found.last for found in state.segments.values())])
    low, high = lane << SEQ_BITS, lane << SEQ_BITS | SEQ_MASK
    query = "SELECT id FROM event WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
    row = db.execute(query, (low, high)).fetchone()
    return gone if row is None else max(gone, int(row[0]) & SEQ_MASK)


def _read_keys(db: sqlite3.Connection, directory: Path, state: State, through: int) -> None:
    rows = db.execute("SELECT key FROM dedupe ORDER BY seen").fetchall()
    state.keys = [bytes(key) for (key,) in rows]
    filled = [first for first, found in state.segments.items() if found.spans]
    if filled:
        newest = max(filled)
        found = state.segments[newest]
        tail = _tail(segment_path(directory, newest), found, through)
        state.unsaved_keys = tail.keys
        state.keys += [key for _seq, key in tail.keys]
        state.last_n = max(state.last_n, tail.last_n)
        state.segments[newest] = found._replace(marks=tail.marks or found.marks)
        if tail.corrupt:
            state.damage["corrupt"] += tail.corrupt
    state.keys = state.keys[-MAX_IDS:]


def _tail(path: Path, found: Survey, through: int) -> Tail:
    try:
        return read_tail(path, found.points, through)
    except DAMAGE as error:
        if not damaged(error):
            raise
        log.error("%s cannot be read on: %s", path, error, extra={"component": "store"})  # noqa: TRY400 -- the traceback tells no more
        return Tail([], (), 0, 1)


def _clean(db: sqlite3.Connection, directory: Path, meta: dict[str, Any], state: State) -> bool:
    """The last stop was clean and nothing is missing since; then take its numbers over."""
    if "epoch" not in meta:
        if state.segments:
            state.damage["core_missing"] += 1
        return False
    state.epoch = int(meta["epoch"])
    if not meta.get("clean_shutdown"):
        return False
    final = orjson.loads(meta["final"])
    last = [_last_seq(db, state, lane) for lane in LANES]
    if last != final["last"]:
        state.damage["tail_lost"] = 1
    if any(p.epoch == state.epoch and p.seq > last[lane] for (_, lane), p in state.cursors.items()):
        state.damage["cursor_ahead"] += 1
    if max(read_epoch(directory), *_epochs(db, state)) > state.epoch:
        state.damage["core_outdated"] += 1
    if state.damage.keys() - HARMLESS:
        return False
    state.next_seq = list(final["next"])
    query = "SELECT lane, first_seq FROM epoch WHERE epoch=?"
    for lane, base in db.execute(query, (state.epoch,)):
        state.bases[lane] = base
    return True


def _epochs(db: sqlite3.Connection, state: State) -> Iterator[int]:
    yield db.execute("SELECT coalesce(max(epoch), 0) FROM epoch").fetchone()[0]
    for found in state.segments.values():
        yield from (span.epoch for span in found.spans)


def _boot(db: sqlite3.Connection, meta: dict[str, Any]) -> int:
    """Number of this boot; a hidden boot id makes every start a boot."""
    boot: int = db.execute("SELECT coalesce(max(boot), 0) FROM boot").fetchone()[0]
    here = boot_id()
    if boot and here and meta.get("boot_id") == here:
        return boot
    db.execute("INSERT INTO boot(boot) VALUES (?)", (boot + 1,))
    db.execute("INSERT OR REPLACE INTO meta VALUES ('boot_id', ?)", (here,))
    return boot + 1


def _begin(db: sqlite3.Connection, state: State, gateway_id: str, *, new_epoch: bool) -> None:
    """Everything that must be on disk before the first number is used."""
    meta = [
        ("gateway_id", gateway_id), ("schema_version", SCHEMA_VERSION),
        ("store_uuid", state.store_uuid), ("epoch", state.epoch), ("clean_shutdown", 0),
    ]  # fmt: skip
    db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta)
    seal_identity(db, gateway_id, SCHEMA_VERSION, state.store_uuid)
    cursors = [(*key, *position) for key, position in state.cursors.items()]
    db.execute("DELETE FROM cursor")
    db.executemany("INSERT INTO cursor VALUES (?, ?, ?, ?)", cursors)
    seal_cursors(db, cursors)
    state.reserved = [seq - 1 + RESERVE for seq in state.next_seq]
    db.executemany("INSERT OR REPLACE INTO lane VALUES (?, ?)", enumerate(state.reserved))
    insert = "INSERT OR IGNORE INTO epoch VALUES (?, ?, ?)"
    for found in state.segments.values():
        db.executemany(insert, [(s.epoch, LANE_SAMPLE, s.base) for s in found.spans])
    if new_epoch:
        rows = [(state.epoch, lane, base) for lane, base in enumerate(state.bases)]
        db.executemany(insert, rows)
    seal_epochs(db)
    db.execute("DELETE FROM segment")
    segments = [
        (first, found.last or None, found.size_bytes, int(found.whole), _word(state, first))
        for first, found in state.segments.items()
    ]
    db.executemany("INSERT INTO segment VALUES (?, ?, ?, ?, ?)", segments)
    points = "INSERT OR IGNORE INTO point(pid, device, point) VALUES (?, ?, ?)"
    db.executemany(points, state.points)


def _word(state: State, first: int) -> str:
    if not state.segments[first].whole:
        return "damaged"
    return "open" if first == state.writable else "closed"


def _fill_index(db: sqlite3.Connection, state: State) -> None:
    for lane in LANES:
        index = state.index[lane]
        stored = _sample_spans(state) if lane == LANE_SAMPLE else _marked_spans(db, lane)
        evicted = list(evicted_spans(db, lane))
        # What was evicted is covered too: whoever reads there is told of the gap.
        for span, marks in sorted([*stored, *((span, ()) for span in evicted)], key=_first_seq):
            index.add(span, marks)
        for span in evicted:
            index.evict(span)


def _first_seq(marked: tuple[Span, Sequence[Mark]]) -> int:
    return marked[0].first


def _sample_spans(state: State) -> Iterator[tuple[Span, Sequence[Mark]]]:
    for found in state.segments.values():
        for number, span in enumerate(found.spans):
            yield span, found.marks if number == 0 else ()


def _marked_spans(db: sqlite3.Connection, lane: int) -> Iterator[tuple[Span, Sequence[Mark]]]:
    for span in _event_spans(db, lane):
        yield span, tuple(_event_marks(db, lane, span))


def _event_spans(db: sqlite3.Connection, lane: int) -> Iterator[Span]:
    query = "SELECT epoch, first_seq FROM epoch WHERE lane=? ORDER BY first_seq, epoch"
    epochs = db.execute(query, (lane,)).fetchall()
    ends = [base for _epoch, base in epochs[1:]] + [SEQ_MASK]
    for (epoch, base), end in zip(epochs, ends, strict=False):
        inside = (lane << SEQ_BITS | base, lane << SEQ_BITS | end)
        # Two queries of one step each: min and max in one would read every row between them.
        query = "SELECT id FROM event WHERE id >= ? AND id < ? ORDER BY id LIMIT 1"
        first = db.execute(query, inside).fetchone()
        query = "SELECT id FROM event WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"
        last = db.execute(query, inside).fetchone()
        if first is not None:
            yield Span(epoch, base, first[0] & SEQ_MASK, last[0] & SEQ_MASK)


def _event_marks(db: sqlite3.Connection, lane: int, span: Span) -> Iterator[Mark]:
    step = max(1, (span.last - span.first) // MARKS)
    query = "SELECT time_ns FROM event WHERE id=?"
    for seq in range(span.first, span.last + 1, step):
        try:
            row = db.execute(query, (lane << SEQ_BITS | seq,)).fetchone()
        except DAMAGE as error:
            if not damaged(error):
                raise
            continue  # `_check` has reported it
        if row is not None and isinstance(row[0], int):  # a flipped bit may be in the type
            yield Mark(seq, row[0])
