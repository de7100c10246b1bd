"""Everything that is stored, in order, a few records at a time."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from gateway.model import LANE_SAMPLE
from gateway.store.encode import ChunkRow, Damaged, EventRow, event_of, samples_of
from gateway.store.identity import DAMAGE
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
from gateway.store.record import Record
from gateway.store.schema import SEQ_BITS, SEQ_MASK
from gateway.store.segment import segment_files, segment_path

FOREVER_NS = 2**63 - 1


@dataclass(slots=True)
class Export:
    """Iterate over it once. `damaged` then counts records that could not be read.

    `since_ns` <= time of the record < `until_ns`. `advanced` is called with the number of seqs that
    were passed since the last call; `total` is how many there are, once `__iter__` has begun.
    """

    directory: Path
    lanes: Sequence[int]
    since_ns: int = 0
    until_ns: int = FOREVER_NS
    advanced: Callable[[int, int], None] = lambda _count, _total: None
    damaged: int = 0
    total: int = 0
    _register: Register = field(default_factory=Register)

    def __iter__(self) -> Iterator[Record]:
        """Raises FileNotFoundError without a journal, sqlite3.Error if the device fails."""
        with core(self.directory) as db:
            self._register = read_register(db, self.directory)
            self.total = sum(self._span(lane) for lane in self.lanes)
            for lane in self.lanes:
                if lane == LANE_SAMPLE:
                    yield from self._samples()
                else:
                    yield from self._events(db, lane)

    def _span(self, lane: int) -> int:
        """How many seqs the lane has, roughly: jumps between epochs are counted too."""
        spans = self._register.epochs[lane]
        return max(0, self._register.limits[lane] - spans[0].base + 1) if spans else 0

    def _events(self, db: sqlite3.Connection, lane: int) -> Iterator[Record]:
        low, high = lane << SEQ_BITS, lane << SEQ_BITS | self._register.limits[lane]
        table = events("time_ns >= ? AND time_ns < ?", self.since_ns, self.until_ns)
        passed = self._base(lane) - 1
        for rows in table.read(db, low, high):
            if isinstance(rows, Lost):
                self.damaged += 1
                continue
            for row in rows:
                yield from self._event(lane, row)
            last = rows[-1][0] & SEQ_MASK
            self.advanced(last - passed, self.total)
            passed = last
        self.advanced(max(0, self._register.limits[lane] - passed), self.total)

    def _base(self, lane: int) -> int:
        spans = self._register.epochs[lane]
        return spans[0].base if spans else 1

    def _event(self, lane: int, row: EventRow) -> Iterator[Record]:
        try:
            seq, event = event_of(row)
        except Damaged:
            self.damaged += 1
            return
        yield Record(lane, self._register.epoch_of(lane, seq), seq, event)

    def _samples(self) -> Iterator[Record]:
        passed = self._base(LANE_SAMPLE) - 1
        for first in segment_files(self.directory):
            if first > self._register.limits[LANE_SAMPLE]:
                break  # begun meanwhile
            try:
                with closing(look_at(segment_path(self.directory, first))) as db:
                    for record in self._segment(db):
                        yield record
                        if record.seq - passed >= 1000:
                            self.advanced(record.seq - passed, self.total)
                            passed = record.seq
            except DAMAGE as error:
                if segment_path(self.directory, first).exists():  # else it was evicted meanwhile
                    if not unreadable(error):
                        raise
                    self.damaged += 1
        self.advanced(max(0, self._register.limits[LANE_SAMPLE] - passed), self.total)

    def _segment(self, db: sqlite3.Connection) -> Iterator[Record]:
        table = chunks("last_ns >= ? AND first_ns < ?", self.since_ns, self.until_ns)
        points = points_of(db)
        for rows in table.read(db, 0, self._register.limits[LANE_SAMPLE]):
            if isinstance(rows, Lost):
                self.damaged += 1
                continue
            for row in rows:
                yield from self._chunk(row, points)

    def _chunk(self, row: ChunkRow, points: dict[int, str]) -> Iterator[Record]:
        try:
            samples = samples_of(row, points)
        except Damaged:
            self.damaged += 1
            return
        for seq, sample in samples:
            if self.since_ns <= sample.time_ns < self.until_ns:
                epoch = self._register.epoch_of(LANE_SAMPLE, seq)
                yield Record(LANE_SAMPLE, epoch, seq, sample)
