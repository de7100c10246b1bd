"""Does the journal hold what it says? Every number that was given out is looked for.

Per lane: produced = stored + damaged + evicted + missing. Per sink and lane: stored = delivered +
pending + dead. The audit reads beside a running gateway: what is appended after it began does not
count, and what was evicted meanwhile is looked up at its end.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gateway.model import LANE_SAMPLE, LANES, Event, EventKind
from gateway.store.encode import CHUNK_SAMPLES, ChunkRow, Damaged, EventRow, event_of, samples_of
from gateway.store.identity import DAMAGE
from gateway.store.index import Position
from gateway.store.readonly import (
    Lost,
    Register,
    chunks,
    core,
    events,
    look_at,
    points_of,
    read_register,
    unreadable,
)
from gateway.store.runs import Runs
from gateway.store.schema import SEQ_BITS, SEQ_MASK
from gateway.store.segment import segment_files, segment_path

MAX_FINDINGS = 100  # that are told one by one


class LaneBalance(NamedTuple):
    """`evicted` counts by reason; `missing` numbers are neither stored nor accounted for."""

    lane: int
    produced: int
    stored: int
    damaged: int
    evicted: dict[str, int]
    missing: int


class SinkBalance(NamedTuple):
    sink: str
    lane: int
    delivered: int
    pending: int
    dead: int


class Finding(NamedTuple):
    """`what` is one word: damaged, missing, file, cursor or dead_letter."""

    what: str
    where: str
    detail: str


@dataclass(slots=True)
class Audit:
    """What `run` found. `findings` are the first 100, `faults` counts them all."""

    lanes: list[LaneBalance] = field(default_factory=list)
    sinks: list[SinkBalance] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    faults: int = 0
    records: int = 0

    def tell(self, what: str, where: str, detail: str) -> None:
        self.faults += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(what, where, detail))


class _Lane:
    """The numbers of one lane, by what became of them."""

    def __init__(self) -> None:
        self.stored = Runs()
        self.damaged = Runs()
        self.evicted: dict[str, Runs] = {}

    def explain(self, first: int, last: int, reason: str) -> None:
        self.evicted.setdefault(reason, Runs()).add(first, last)


class Auditor:
    """`advanced(count, total)` is called as records are passed."""

    def __init__(self, directory: Path, advanced: Callable[[int, int], None]) -> None:
        self._directory = directory
        self._advanced = advanced
        self._register = Register()
        self._lanes = [_Lane() for _ in LANES]
        self._audit = Audit()
        self._total = 0

    def run(self) -> Audit:
        """Raises FileNotFoundError without a journal, sqlite3.Error if it cannot be opened."""
        with core(self._directory) as db:
            self._quick_check(db, "core.db")
            self._register = register = read_register(db, self._directory)
            for what in register.unsealed:
                self._audit.tell("file", "core.db", f"{what} is not as it was written")
            self._total = sum(self._span(lane) for lane in LANES)
            for lane in LANES:
                if lane == LANE_SAMPLE:
                    self._read_segments()
                else:
                    self._read_events(db, lane)
            files = set(segment_files(self._directory))  # before: an eviction is told, then done
            self._explain(read_register(db, self._directory), files)
        for lane in LANES:
            self._audit.lanes.append(self._balance(lane))
        for (sink, lane), cursor in sorted(register.cursors.items()):
            self._audit.sinks.append(self._sink(sink, lane, cursor))
        self._check_dead()
        return self._audit

    def _span(self, lane: int) -> int:
        spans = self._register.epochs[lane]
        return max(0, self._register.limits[lane] - spans[0].base + 1) if spans else 0

    def _quick_check(self, db: sqlite3.Connection, name: str) -> None:
        try:
            found = [text for (text,) in db.execute("PRAGMA quick_check(20)")]
        except DAMAGE as error:
            if not unreadable(error):
                raise
            found = [str(error)]
        for text in found:
            if text != "ok":
                self._audit.tell("file", name, text)

    # -- reading ----------------------------------------------------------------------------------

    def _read_events(self, db: sqlite3.Connection, lane: int) -> None:
        low, high = lane << SEQ_BITS, lane << SEQ_BITS | self._register.limits[lane]
        for rows in events().read(db, low, high):
            if isinstance(rows, Lost):
                self._lost(lane, rows)
                continue
            for row in rows:
                self._event(lane, row)
            self._passed(len(rows))

    def _event(self, lane: int, row: EventRow) -> None:
        seq = row[0] & SEQ_MASK
        try:
            event = event_of(row)[1]
        except Damaged as error:
            self._damaged(lane, seq, seq, str(error))
            return
        self._lanes[lane].stored.add(seq, seq)
        if event.kind is EventKind.DATA_LOSS:
            self._explained_by(event)

    def _explained_by(self, event: Event) -> None:
        """A `data_loss` event that names the numbers it is about accounts for them."""
        told = [event.attributes.get(key) for key in ("lane", "first", "last")]
        lane, first, last = (value if isinstance(value, int) else None for value in told)
        if lane in LANES and first is not None and last is not None:
            self._lanes[lane].explain(first, last, str(event.attributes.get("reason")))

    def _read_segments(self) -> None:
        for first in segment_files(self._directory):
            if first > self._register.limits[LANE_SAMPLE]:
                break  # begun meanwhile
            name = f"ts/{first:020d}.db"
            try:
                with closing(look_at(segment_path(self._directory, first))) as db:
                    self._quick_check(db, name)
                    self._read_chunks(db)
            except DAMAGE as error:
                if not segment_path(self._directory, first).exists():
                    continue  # evicted meanwhile
                if not unreadable(error):
                    raise
                self._audit.tell("file", name, str(error))

    def _read_chunks(self, db: sqlite3.Connection) -> None:
        points = points_of(db)
        for rows in chunks().read(db, 0, self._register.limits[LANE_SAMPLE]):
            if isinstance(rows, Lost):
                self._lost(LANE_SAMPLE, rows)
                continue
            for row in rows:
                self._chunk(row, points)

    def _chunk(self, row: ChunkRow, points: dict[int, str]) -> None:
        first, n = row[0], row[1] if 1 <= row[1] <= CHUNK_SAMPLES else 1
        try:
            samples = samples_of(row, points)
        except Damaged as error:
            self._damaged(LANE_SAMPLE, first, first + n - 1, str(error))
        else:
            if len(samples) == n:
                self._lanes[LANE_SAMPLE].stored.add(first, first + n - 1)
            else:
                detail = f"{len(samples)} samples instead of {n}"
                self._damaged(LANE_SAMPLE, first, first + n - 1, detail)
        self._passed(n)

    def _damaged(self, lane: int, first: int, last: int, detail: str) -> None:
        self._lanes[lane].damaged.add(first, last)
        self._audit.tell("damaged", _where(lane, first, last), detail)

    def _lost(self, lane: int, lost: Lost) -> None:
        first, last = lost.first & SEQ_MASK, lost.last & SEQ_MASK
        self._audit.tell("damaged", _where(lane, first, last), lost.reason)

    def _passed(self, count: int) -> None:
        self._audit.records += count
        self._advanced(count, self._total)

    def _explain(self, now: Register, files: set[int]) -> None:
        """What went on purpose, up to what there was when the audit began."""
        begin = self._register
        ends = [max([begin.limits[lane], *(e[2] for e in begin.evicted if e[0] == lane)]) for lane in LANES]  # fmt: skip
        for lane, first, last, reason in now.evicted:
            self._lanes[lane].explain(first, min(last, ends[lane]), reason)
        registered = begin.segments.keys() & now.segments.keys()
        for first in sorted(registered - files):
            self._audit.tell("file", f"ts/{first:020d}.db", "the file is gone")

    # -- adding up --------------------------------------------------------------------------------

    def _produced(self, lane: int) -> Iterator[tuple[int, int]]:
        """(first, last) of every epoch: the highest number that anything speaks of."""
        register, mine = self._register, self._lanes[lane]
        final = register.final_seqs
        spans = register.epochs[lane]
        for span in spans:
            inside = [mine.stored, mine.damaged, *mine.evicted.values()]
            tops = [high for runs in inside for _low, high in runs.inside(span.base, span.end)]
            tops += [
                position.seq
                for (_sink, at), position in register.cursors.items()
                if at == lane and position.epoch == span.epoch
            ]
            if lane == LANE_SAMPLE:
                lasts = (last or 0 for last in register.segments.values())
                tops += [last for last in lasts if span.base <= last <= span.end]
            if final is not None and span is spans[-1]:
                tops.append(final[lane])
            last = max(tops, default=span.base - 1)
            if last >= span.base:
                yield span.base, min(last, span.end)

    def _balance(self, lane: int) -> LaneBalance:
        mine = self._lanes[lane]
        gone = Runs(mine.damaged)
        counts: Counter[str] = Counter()
        produced = stored = damaged = missing = 0
        for first, last in self._produced(lane):
            produced += last - first + 1
            stored += mine.stored.count(first, last)
            known = Runs(mine.stored)
            for low, high in gone.inside(first, last):
                fresh = sum(b - a + 1 for a, b in known.missing(low, high))
                damaged += fresh
                known.add(low, high)
            for reason, runs in mine.evicted.items():
                for low, high in runs.inside(first, last):
                    counts[reason] += sum(b - a + 1 for a, b in known.missing(low, high))
                    known.add(low, high)
            for low, high in known.missing(first, last):
                missing += high - low + 1
                self._audit.tell("missing", _where(lane, low, high), "not stored, no eviction")
        return LaneBalance(lane, produced, stored, damaged, dict(+counts), missing)

    def _sink(self, sink: str, lane: int, cursor: Position) -> SinkBalance:
        register, stored = self._register, self._lanes[lane].stored
        known = max((span.epoch for span in register.epochs[lane]), default=0)
        if cursor.epoch > known:  # an older one may be that of a core.db that was put aside
            detail = f"epoch {cursor.epoch} has not begun yet"
            self._audit.tell("cursor", f"{sink} lane {lane}", detail)
        delivered = stored.count(1, cursor.seq)
        dead = Runs((seq, seq) for at, of, seq, _ in register.dead if (at, of) == (sink, lane))
        kept = sum(stored.count(low, high) for low, high in dead)
        early = sum(stored.count(low, high) for low, high in dead.inside(1, cursor.seq))
        pending = stored.count(cursor.seq + 1, SEQ_MASK) - (kept - early)
        return SinkBalance(sink, lane, delivered - early, pending, kept)

    def _check_dead(self) -> None:
        """A dead letter was a record: its number has been given out."""
        for sink, lane, seq, _reason in self._register.dead:
            if not any(first <= seq <= last for first, last in self._produced(lane)):
                detail = "a dead letter of a number that was never given out"
                self._audit.tell("dead_letter", f"{sink} {_where(lane, seq, seq)}", detail)


def _where(lane: int, first: int, last: int) -> str:
    return f"lane {lane} {first}" if first == last else f"lane {lane} {first} to {last}"
