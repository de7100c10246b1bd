"""What `gateway store info` tells: sizes, lanes, cursors, backlog, what is written each day."""

import os
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict

from gateway.model import LANE_SAMPLE, LANES
from gateway.store.identity import DAMAGE
from gateway.store.index import Position
from gateway.store.readonly import Register, core, look_at, read_register, unreadable
from gateway.store.runs import Runs
from gateway.store.schema import SEQ_BITS, SEQ_MASK, size_on_disk
from gateway.store.segment import segment_files, segment_path

DAYS = 7  # of write volume that are told one by one


class FilePart(TypedDict):
    name: str
    bytes: int


class LanePart(TypedDict):
    """`records` is exact where nothing was evicted or lost from the middle. Times: decimal ns."""

    lane: int
    records: int
    oldest_ns: str | None
    newest_ns: str | None
    epochs: int


class CursorPart(TypedDict):
    sink: str
    lane: int
    epoch: int
    seq: int
    backlog: int
    oldest_unsent_ns: str | None
    dead: dict[str, int]  # by reason


class VolumePart(TypedDict):
    """Bytes that the gateway wrote; `day` is a date, or "unknown" while the clock was not right."""

    day: str
    bytes: int


class Info(TypedDict):
    directory: str
    gateway: str
    epoch: int
    clean_stop: bool  # the last stop was in order; false while the gateway runs
    running: bool
    bytes: int
    free_bytes: int
    files: list[FilePart]
    quarantined: list[FilePart]
    lanes: list[LanePart]
    cursors: list[CursorPart]
    written: list[VolumePart]
    written_per_day: int | None  # mean of the last full days, None if there is none


def info(directory: Path, live: Mapping[tuple[str, int], Position] | None, today: datetime) -> Info:
    """`live`: the cursors of the running gateway, which are newer than those on disk; None if it
    does not run. Raises FileNotFoundError without a journal, sqlite3.Error if it cannot be read.
    """
    with core(directory) as db:
        register = read_register(db, directory)
        for key, position in (live or {}).items():
            # While storage fails they may be in an epoch that no journal has.
            if any(span.epoch == position.epoch for span in register.epochs[key[1]]):
                register.cursors[key] = position
        lanes = _Lanes(directory, db, register)
        written = _written(db)
        cursors = [_cursor(register, lanes, *key) for key in sorted(register.cursors)]
        parts = [lanes.part(lane) for lane in LANES]
    files = [_file(directory, path) for path in _databases(directory)]
    statistics = os.statvfs(directory)
    return {
        "directory": str(directory), "gateway": str(register.meta.get("gateway_id", "")),
        "epoch": int(register.meta.get("epoch", 0)),
        "clean_stop": bool(register.meta.get("clean_shutdown")), "running": live is not None,
        "bytes": sum(file["bytes"] for file in files),
        "free_bytes": statistics.f_bavail * statistics.f_frsize,
        "files": files, "quarantined": _quarantined(directory), "lanes": parts, "cursors": cursors,
        "written": written[-DAYS:], "written_per_day": _per_day(written, today),
    }  # fmt: skip


def _databases(directory: Path) -> list[Path]:
    return [directory / "core.db", *(segment_path(directory, f) for f in segment_files(directory))]


def _file(directory: Path, path: Path) -> FilePart:
    return {"name": str(path.relative_to(directory)), "bytes": size_on_disk(path)}


def _quarantined(directory: Path) -> list[FilePart]:
    """Files that were damaged and put aside; `gateway store salvage` reads them."""
    return [
        {"name": str(path.relative_to(directory)), "bytes": path.stat().st_size}
        for path in sorted(directory.rglob("*.corrupt.*"))
        if not path.name.endswith(("-wal", "-shm"))
    ]


class _Lanes:
    """What index look-ups tell about the lanes, without reading every record."""

    def __init__(self, directory: Path, db: sqlite3.Connection, register: Register) -> None:
        self._directory = directory
        self._db = db
        self._register = register
        self._stored = [Runs() for _ in LANES]
        for lane in LANES:
            self._stored[lane] = self._samples() if lane == LANE_SAMPLE else self._events(lane)

    def _events(self, lane: int) -> Runs:
        runs = Runs()
        for span in self._register.epochs[lane]:
            low, high = lane << SEQ_BITS | span.base, lane << SEQ_BITS | span.end
            ends = [
                self._one(self._db, f"SELECT id FROM event WHERE id BETWEEN ? AND ? ORDER BY id {way} LIMIT 1", low, high)  # noqa: S608 -- constant texts
                for way in ("ASC", "DESC")
            ]  # fmt: skip
            if ends[0] is not None and ends[1] is not None:
                runs.add(ends[0] & SEQ_MASK, ends[1] & SEQ_MASK)
        for first, last in self._gone(lane):
            runs = Runs(part for run in runs for part in Runs([(first, last)]).missing(*run))
        return runs

    def _gone(self, lane: int) -> list[tuple[int, int]]:
        return [(first, last) for at, first, last, _why in self._register.evicted if at == lane]

    def _samples(self) -> Runs:
        runs = Runs()
        for first in segment_files(self._directory):
            try:
                with closing(look_at(segment_path(self._directory, first))) as db:
                    for span in self._register.epochs[LANE_SAMPLE]:
                        inside = "FROM chunk WHERE first BETWEEN ? AND ? ORDER BY first"
                        low = self._one(db, f"SELECT first {inside} LIMIT 1", span.base, span.end)
                        high = self._one(db, f"SELECT first + n - 1 {inside} DESC LIMIT 1", span.base, span.end)  # fmt: skip
                        if low is not None and high is not None:
                            runs.add(low, high)
            except DAMAGE as error:
                if segment_path(self._directory, first).exists() and not unreadable(error):
                    raise
        return runs

    @staticmethod
    def _one(db: sqlite3.Connection, query: str, *parameters: int) -> int | None:
        row = db.execute(query, parameters).fetchone()
        return None if row is None else int(row[0])

    def part(self, lane: int) -> LanePart:
        runs = list(self._stored[lane])
        return {
            "lane": lane, "records": self._stored[lane].count(1, SEQ_MASK),
            "oldest_ns": self.time_ns(lane, runs[0][0]) if runs else None,
            "newest_ns": self.time_ns(lane, runs[-1][1]) if runs else None,
            "epochs": sum(any(self._stored[lane].inside(s.base, s.end)) for s in self._register.epochs[lane]),
        }  # fmt: skip

    def count_after(self, lane: int, seq: int) -> int:
        return self._stored[lane].count(seq + 1, SEQ_MASK)

    def next_after(self, lane: int, seq: int) -> int | None:
        return next((first for first, _last in self._stored[lane].inside(seq + 1, SEQ_MASK)), None)

    def time_ns(self, lane: int, seq: int) -> str | None:
        """Of a record; of its chunk for a sample."""
        if lane != LANE_SAMPLE:
            found = self._one(self._db, "SELECT time_ns FROM event WHERE id=?", lane << SEQ_BITS | seq)  # fmt: skip
            return None if found is None else str(found)
        holding = max((f for f in segment_files(self._directory) if f <= seq), default=None)
        if holding is None:
            return None
        try:
            with closing(look_at(segment_path(self._directory, holding))) as db:
                query = "SELECT first_ns FROM chunk WHERE first <= ? ORDER BY first DESC LIMIT 1"
                found = self._one(db, query, seq)
        except DAMAGE:
            return None  # evicted meanwhile or damaged: `store verify` tells
        return None if found is None else str(found)


def _cursor(register: Register, lanes: _Lanes, sink: str, lane: int) -> CursorPart:
    position = register.cursors[sink, lane]
    unsent = lanes.next_after(lane, position.seq)
    reasons = (reason for at, of, _seq, reason in register.dead if (at, of) == (sink, lane))
    return {
        "sink": sink, "lane": lane, "epoch": position.epoch, "seq": position.seq,
        "backlog": lanes.count_after(lane, position.seq),
        "oldest_unsent_ns": None if unsent is None else lanes.time_ns(lane, unsent),
        "dead": dict(Counter(reasons)),
    }  # fmt: skip


def _written(db: sqlite3.Connection) -> list[VolumePart]:
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name='volume'").fetchall():
        return []
    rows = db.execute("SELECT day, bytes FROM volume ORDER BY day").fetchall()
    return [{"day": _date(day), "bytes": count} for day, count in rows]


def _date(day: int) -> str:
    return (
        f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day):%Y-%m-%d}" if day else "unknown"
    )


def _per_day(written: list[VolumePart], today: datetime) -> int | None:
    """The first day is left out too: it began somewhere in its middle."""
    days = [part["bytes"] for part in written if part["day"] != "unknown"][1:]
    if written and written[-1]["day"] == f"{today:%Y-%m-%d}":
        days = days[:-1]
    return sum(days[-DAYS:]) // len(days[-DAYS:]) if days else None
