"""Table `rollup` and what belongs to it in core.db: `chunk_window`, `counter`, and three marks in
`meta`.

- `rollup_from`: chunks that begin before this seq are part of the rows of all their windows;
- `rollup_unsynced`: chunks that begin here or later may hold samples without a trusted time;
- `rollup_raw_from`: of windows before this one (seconds) chunks are gone: their rows are all there is.

Nothing here opens a transaction; but for `evict_rollups`.
"""

import sqlite3
from collections.abc import Iterable, Mapping

import orjson

from gateway.store.segment import transaction
from gateway.store.window import HOUR_S, WINDOW_S, Row

KEEP_S = {WINDOW_S: 90 * 86_400, HOUR_S: 730 * 86_400}
# Of core.db: what it may grow to before rollups give way early. Those of 500 points take 1.05 GB
# when rows go by their age alone (6.8 MB a day of 5 min rows, 0.6 MB of 1 h rows).
MAX_BYTES = 1 << 30
BLOCK = 1_000  # rows that are deleted in one transaction
REACH_S = 7 * 86_400  # a counter that was silent for longer begins anew

LastValues = Mapping[tuple[str, str], tuple[float, int]]  # value, begin of its window (seconds)

_LAST = "SELECT pid, la FROM rollup WHERE w=? AND t=? AND pid IN (SELECT value FROM json_each(?))"
_UPSERT = """
INSERT INTO rollup VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(w, t, pid) DO UPDATE
  SET n=excluded.n, mn=excluded.mn, mx=excluded.mx, sm=excluded.sm, la=excluded.la
  WHERE excluded.n >= rollup.n
"""
_INSERT = "INSERT INTO rollup VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(w, t, pid) DO NOTHING"
_HOUR = f"""
INSERT INTO rollup SELECT {HOUR_S}, :t, sums.pid, sums.n, sums.mn, sums.mx, sums.sm, newest.la
  FROM (SELECT pid, sum(n) AS n, min(mn) AS mn, max(mx) AS mx, sum(sm) AS sm, max(t) AS t
    FROM rollup WHERE w={WINDOW_S} AND t >= :t AND t < :t + {HOUR_S} GROUP BY pid) AS sums
  JOIN rollup AS newest ON newest.w={WINDOW_S} AND newest.t=sums.t AND newest.pid=sums.pid
  WHERE true ON CONFLICT(w, t, pid) DO UPDATE
  SET n=excluded.n, mn=excluded.mn, mx=excluded.mx, sm=excluded.sm, la=excluded.la
  WHERE excluded.n >= rollup.n
"""  # noqa: S608 -- numbers


def mark(db: sqlite3.Connection, name: str) -> int | None:
    row = db.execute("SELECT v FROM meta WHERE k=?", (name,)).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def set_mark(db: sqlite3.Connection, name: str, value: int | None) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def boot_offsets(db: sqlite3.Connection) -> dict[int, int]:
    """Wall minus boot time in ns, of the boots that saw a trusted time."""
    return dict(db.execute("SELECT boot, offset_ns FROM boot WHERE offset_ns IS NOT NULL"))


def counters(db: sqlite3.Connection) -> set[int]:
    """Points whose `sm` is a rise."""
    return {pid for (pid,) in db.execute("SELECT pid FROM counter")}


def chunks_of(db: sqlite3.Connection, t: int) -> list[int]:
    """First seqs of the chunks that are known to hold samples of a 5 min window."""
    query = "SELECT first FROM chunk_window WHERE t=? ORDER BY first"
    return [first for (first,) in db.execute(query, (t,))]


def rows_of(db: sqlite3.Connection, t: int) -> dict[int, Row]:
    """The 5 min rows of a window, by pid."""
    query = "SELECT pid, n, mn, mx, sm, la FROM rollup WHERE w=? AND t=?"
    return {pid: Row(*row) for pid, *row in db.execute(query, (WINDOW_S, t))}


def write_rows(
    db: sqlite3.Connection, t: int, rows: Mapping[int, Row], chunks: Iterable[int], *, whole: bool
) -> None:
    """Replace the rows of a 5 min window. Samples only ever come in addition: rows with a smaller
    `n` miss something and replace nothing, and if chunks of the window are gone (not `whole`),
    only rows of points that had none are added.
    """
    values = [(WINDOW_S, t, pid, *row) for pid, row in sorted(rows.items())]
    db.executemany(_UPSERT if whole else _INSERT, values)
    db.executemany(
        "INSERT OR IGNORE INTO chunk_window VALUES (?, ?)", [(t, first) for first in chunks]
    )


def write_hour(db: sqlite3.Connection, t: int) -> None:
    """Make the 1 h rows from the 5 min rows."""
    db.execute(_HOUR, {"t": t})


def newest_hour(db: sqlite3.Connection) -> int | None:
    found: int | None = db.execute("SELECT max(t) FROM rollup WHERE w=?", (HOUR_S,)).fetchone()[0]
    return found


def hours_between(db: sqlite3.Connection, after: int | None, through: int) -> list[int]:
    """Hours in (after, through] that have 5 min rows; seeks, because rows in between are many."""
    found: list[int] = []
    at = 0 if after is None else after + HOUR_S
    query = "SELECT t FROM rollup WHERE w=? AND t >= ? AND t < ? ORDER BY t LIMIT 1"
    while row := db.execute(query, (WINDOW_S, at, through + HOUR_S)).fetchone():
        found.append(row[0] - row[0] % HOUR_S)
        at = found[-1] + HOUR_S
    return found


def last_before(db: sqlite3.Connection, t: int, pids: Iterable[int]) -> dict[int, float]:
    """The last value of each point before a 5 min window, of those that had one within 7 days."""
    found: dict[int, float] = {}
    missing = set(pids)
    step_back = "SELECT max(t) FROM rollup WHERE w=? AND t < ? AND t >= ?"
    at = t
    while missing:
        at = db.execute(step_back, (WINDOW_S, at, t - REACH_S)).fetchone()[0]
        if at is None:
            break
        wanted = orjson.dumps(sorted(missing)).decode()
        found.update(db.execute(_LAST, (WINDOW_S, at, wanted)))
        missing -= found.keys()
    return found


def last_counted(db: sqlite3.Connection) -> LastValues:
    """The last value of each counter that had one within 7 days, by (device, point).

    Of the newest 5 min windows; older ones are looked up in the 1 h windows: at most 200 steps.
    """
    query = "SELECT pid, device, point FROM counter JOIN point USING (pid)"
    names = {pid: (device, point) for pid, device, point in db.execute(query)}
    found: dict[int, tuple[float, int]] = {}
    for width, reach_s in ((WINDOW_S, 2 * HOUR_S), (HOUR_S, REACH_S)):
        newest = db.execute("SELECT max(t) FROM rollup WHERE w=?", (width,)).fetchone()[0]
        at = newest
        while at is not None and at >= newest - reach_s and found.keys() != names.keys():
            missing = orjson.dumps(sorted(names.keys() - found.keys())).decode()
            for pid, value in db.execute(_LAST, (width, at, missing)):
                found[pid] = (value, at)
            step_back = "SELECT max(t) FROM rollup WHERE w=? AND t < ?"
            at = db.execute(step_back, (width, at)).fetchone()[0]
    return {names[pid]: last for pid, last in found.items()}


def next_windows(db: sqlite3.Connection, t: int, pids: Iterable[int]) -> set[int]:
    """The first window after `t`, within 7 days, of each point that has one."""
    found: set[int] = set()
    missing = set(pids)
    step = "SELECT min(t) FROM rollup WHERE w=? AND t > ? AND t <= ?"
    query = "SELECT pid FROM rollup WHERE w=? AND t=? AND pid IN (SELECT value FROM json_each(?))"
    at = t
    while missing:
        at = db.execute(step, (WINDOW_S, at, t + REACH_S)).fetchone()[0]
        if at is None:
            break
        wanted = orjson.dumps(sorted(missing)).decode()
        here = {pid for (pid,) in db.execute(query, (WINDOW_S, at, wanted))}
        if here:
            found.add(at)
            missing -= here
    return found


def forget_chunks(db: sqlite3.Connection, oldest: int) -> None:
    """Drop what is known about windows all of whose chunks begin before `oldest`: they are gone."""
    query = "SELECT t FROM chunk_window WHERE first >= ? ORDER BY t LIMIT 1"
    row = db.execute(query, (oldest,)).fetchone()
    if row is not None and db.execute("DELETE FROM chunk_window WHERE t < ?", row).rowcount:
        set_mark(db, "rollup_raw_from", max(row[0], mark(db, "rollup_raw_from") or 0))


def evict_rollups(db: sqlite3.Connection, now_ns: int) -> int:
    """Delete up to about 1,000 rows past their age (5 min rows 90 days, 1 h rows 2 years), or the
    oldest ones while core.db holds more than 1 GiB, in one transaction on the writing connection.
    Returns how many; 0 when none is left.

    `now_ns` must be a trusted time: nothing is deleted by a wall clock that may be wrong.
    """
    full = _used_bytes(db) > MAX_BYTES
    for width, keep_s in KEEP_S.items():
        limit = now_ns // 1_000_000_000 - (0 if full else keep_s)
        query = "SELECT t FROM rollup WHERE w=? AND t < ? ORDER BY t LIMIT 1 OFFSET ?"
        row = db.execute(query, (width, limit, BLOCK - 1)).fetchone()
        end = (
            limit - 1 if row is None else row[0]
        )  # a window whose rows are in the block goes as a whole
        if db.execute("SELECT 1 FROM rollup WHERE w=? AND t <= ?", (width, end)).fetchone():
            with transaction(db):
                delete = "DELETE FROM rollup WHERE w=? AND t <= ?"
                return db.execute(delete, (width, end)).rowcount
    return 0


def _used_bytes(db: sqlite3.Connection) -> int:
    pages, free, size = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
