"""Short numbers for points: chunks say `pid` where a sample says device and point name."""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

Point = tuple[int, str, str]  # pid, device, point
PointRow = tuple[int, str, str, str | None, str | None, int | None]  # in the order of table `point`

MAX_CACHED = 10_000  # combinations of points that devices send together; cleared when exceeded


class PointInfo(NamedTuple):
    """What the profile says about a point. `kind`: "gauge", "counter", "state" or "event"."""

    unit: str | None = None
    kind: str = "gauge"
    profile: str | None = None
    revision: int | None = None


Descriptions = Mapping[tuple[str, str], PointInfo]  # by device and point
UNKNOWN = PointInfo()


class Registry:
    """Gives every (device, point) its pid for ever; belongs to the writer thread."""

    def __init__(self, known: Iterable[Point], next_pid: int) -> None:
        self._pids = {(device, point): pid for pid, device, point in known}
        self._rows = {pid: (pid, device, point) for (device, point), pid in self._pids.items()}
        self._next = next_pid
        self._cache: dict[tuple[str, tuple[str, ...]], tuple[int, ...]] = {}
        self.unsaved: list[Point] = []  # not in core.db yet; the journal empties it
        self._infos: Descriptions = {}

    def describe(self, infos: Descriptions) -> None:
        self._infos = infos

    def described(self, points: Iterable[Point]) -> list[PointRow]:
        """Rows of table `point`."""
        infos = ((point, self._infos.get(point[1:], UNKNOWN)) for point in points)
        return [(*point, info.unit, info.profile, info.revision) for point, info in infos]

    def update(self, db: sqlite3.Connection) -> None:
        """Bring tables `point` and `counter` up to date with what is described."""
        kinds = self.counters()
        rows = self.described(self.rows(kinds))
        stored = set(db.execute("SELECT pid, device, point, unit, profile, revision FROM point"))
        change = "UPDATE point SET unit=?, profile=?, revision=? WHERE pid=?"
        db.executemany(change, [(*row[3:], row[0]) for row in rows if row not in stored])
        self.write_counters(db, kinds)

    def write_counters(self, db: sqlite3.Connection, pids: Iterable[int]) -> None:
        """Of those `pids` that are described, as far as something changes."""
        kinds, known = self.counters(), {pid for (pid,) in db.execute("SELECT pid FROM counter")}
        for pid in pids:
            if kinds.get(pid, pid in known) != (pid in known):
                write = (
                    "INSERT INTO counter VALUES (?)"
                    if kinds[pid]
                    else "DELETE FROM counter WHERE pid=?"
                )
                db.execute(write, (pid,))

    def counters(self) -> dict[int, bool]:
        """Of the points that are described: whether they are counters."""
        return {
            pid: self._infos[key].kind == "counter"
            for key, pid in self._pids.items()
            if key in self._infos
        }

    def pids(self, device: str, names: tuple[str, ...]) -> tuple[int, ...]:
        found = self._cache.get((device, names))
        if found is None:
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            found = tuple(self._pid(device, name) for name in names)
            self._cache[device, names] = found
        return found

    def rows(self, pids: Iterable[int]) -> list[Point]:
        return [self._rows[pid] for pid in pids]

    def _pid(self, device: str, name: str) -> int:
        pid = self._pids.get((device, name))
        if pid is None:
            pid = self._pids[device, name] = self._next
            self._next += 1
            row = self._rows[pid] = (pid, device, name)
            self.unsaved.append(row)
        return pid
