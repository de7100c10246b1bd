"""Reading committed records back. Every method runs in the reader thread, on `mode=ro` connections."""

import logging
import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.errors import StoreFailed
from gateway.model import LANE_SAMPLE, NO_OFFSETS, Item, Sample
from gateway.store.encode import CHUNK_SAMPLES, ChunkRow, Damaged, EventRow, event_of, samples_of
from gateway.store.evictions import evicted_within
from gateway.store.identity import DAMAGE, damaged
from gateway.store.index import Span
from gateway.store.schema import SEQ_BITS, SEQ_MASK, connect_closed, connect_reader
from gateway.store.seal import good_points
from gateway.store.segment import segment_path

log = logging.getLogger(__name__)

EVENT_BYTES = 200  # of an event besides its body, roughly
SKIP = 50  # seqs that are given up together where a page of core.db cannot be read
MAX_LOGGED = 1_000  # damaged records that are remembered, so that each is logged once

Gap = tuple[int, int, str]


class Slice(NamedTuple):
    """Consecutive records of one epoch and one lane.

    `base` is the first seq of this epoch and lane; `first` .. `last` is what is covered, gaps
    included; a gap is (first seq, last seq, "corrupt", "evicted" or "missing"); items are (seq, item).
    What is not `durable` comes from memory while storage fails: its positions are never stored,
    and it comes again under others. `offsets`: as in `timed`.
    """

    lane: int
    epoch: int
    base: int
    first: int
    last: int
    gaps: tuple[Gap, ...]
    items: tuple[tuple[int, Item], ...]
    durable: bool = True
    offsets: Mapping[int, int] = NO_OFFSETS


class Building:
    """Collects records in order and turns what lies between them into gaps."""

    def __init__(self, span: Span, max_items: int, max_bytes: int) -> None:
        self.next = span.first
        self.span = span
        self._room_items = max(1, max_items)
        self._room_bytes = max(1, max_bytes)
        self._reason = "missing"
        self.gaps: list[Gap] = []
        self.items: list[tuple[int, Item]] = []

    @property
    def full(self) -> bool:
        return self._room_items <= 0 or self._room_bytes <= 0

    def add(self, seq: int, item: Item, size_bytes: int) -> bool:
        """False if the slice is full or the span ends before; a first item always fits."""
        if seq < self.next:  # before the cursor: the first part of a chunk
            return True
        if seq > self.span.last or self.full or (self.items and size_bytes > self._room_bytes):
            return False
        self.skip_to(seq)
        self.items.append((seq, item))
        self.next = seq + 1
        self._room_items -= 1
        self._room_bytes -= size_bytes
        return True

    def damaged(self) -> None:
        """A record at or after `next` cannot be read; where the next good one begins will tell."""
        self._reason = "corrupt"

    def skip_to(self, seq: int) -> None:
        """Nothing before `seq` will come."""
        if seq > self.next:
            first = self.next
            if self.gaps and self.gaps[-1][1:] == (first - 1, self._reason):
                first = self.gaps.pop()[0]
            self.gaps.append((first, seq - 1, self._reason))
            self.next = seq
        self._reason = "missing"

    def slice(self, lane: int) -> Slice:
        span = self.span
        gaps, items = tuple(self.gaps), tuple(self.items)
        return Slice(lane, span.epoch, span.base, span.first, self.next - 1, gaps, items)


class _OpenSegment(NamedTuple):
    first: int
    db: sqlite3.Connection
    points: dict[int, str]


class Reader:
    """`corrupt` counts the damaged records that were met, each once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._core: sqlite3.Connection | None = None
        self._segment: _OpenSegment | None = None
        self._chunk: tuple[int, list[tuple[int, Sample]]] | None = None  # the one decoded last
        self._met: set[tuple[int, int]] = set()
        self.corrupt = 0

    def read(
        self, lane: int, span: Span, segments: Sequence[int], max_items: int, max_bytes: int
    ) -> Slice:
        """The beginning of `span`; at least one seq is covered. Raises StoreFailed.

        `segments` are the first seqs of the segment files, oldest first.
        """
        building = Building(span, max_items, max_bytes)
        try:
            if lane == LANE_SAMPLE:
                self._read_samples(building, segments)
            else:
                self._read_events(building, lane, max_items)
            building.gaps = list(self._explained(lane, building.gaps))
        except sqlite3.Error as error:
            self.close()  # the files may be other ones when the device is back
            raise StoreFailed(f"reading lane {lane} at {building.next}: {error}") from error
        return building.slice(lane)

    def forget(self, segment: int) -> None:
        """Let go of a file that was unlinked: its room is free only then."""
        if self._segment is not None and self._segment.first == segment:
            self._close_segment()

    def close(self) -> None:
        self._close_segment()
        if self._core is not None:
            self._core.close()
            self._core = None

    def _explained(self, lane: int, gaps: Sequence[Gap]) -> Iterator[Gap]:
        """What is missing may have been evicted; that is on disk before the records are gone.

        What is told to be corrupt may begin with it: where a damaged record begins, it cannot say.
        """
        for first, last, reason in gaps:
            evicted = evicted_within(self._connection(), lane, first, last)
            parts = [(low, high, "evicted") for low, high in evicted.inside(first, last)]
            parts += [(low, high, reason) for low, high in evicted.missing(first, last)]
            yield from sorted(parts)

    def _connection(self) -> sqlite3.Connection:
        if self._core is None:
            self._core = connect_reader(self._directory / "core.db")
        return self._core

    def _read_events(self, building: Building, lane: int, max_items: int) -> None:
        low, high = lane << SEQ_BITS | building.next, lane << SEQ_BITS | building.span.last
        limit = max(1, max_items)
        query = "SELECT * FROM event WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
        seen = 0
        try:
            for row in self._connection().execute(query, (low, high, limit)):
                seen += 1
                if not self._add_event(building, lane, row):
                    return
        except DAMAGE as error:
            if not damaged(error):
                raise
            self._meet(lane, building.next, str(error))
            building.damaged()
            building.skip_to(min(building.next + SKIP, building.span.last + 1))
            return
        if seen < limit:
            building.skip_to(building.span.last + 1)

    def _add_event(self, building: Building, lane: int, row: EventRow) -> bool:
        try:
            seq, event = event_of(row)
        except Damaged as error:
            seq = row[0] & SEQ_MASK
            self._meet(lane, seq, str(error))
            building.skip_to(seq)
            building.damaged()
            building.skip_to(seq + 1)
            return True
        return building.add(seq, event, EVENT_BYTES + len(row[-1]))

    def _read_samples(self, building: Building, segments: Sequence[int]) -> None:
        start = max(0, bisect_right(segments, building.next) - 1)
        for first in segments[start:]:
            if first > building.span.last:
                break
            following = [*segments, building.span.last + 1][segments.index(first) + 1]
            at, before = building.next, True
            while at < following:
                try:
                    closed = first != segments[-1]
                    for row in self._chunks(first, at, before=before, closed=closed):
                        if not self._add_chunk(building, row):
                            return
                    break
                except DAMAGE as error:
                    if not segment_path(self._directory, first).exists():
                        self._close_segment()  # evicted meanwhile
                        break
                    if not damaged(error):
                        raise
                    self._meet(LANE_SAMPLE, first, str(error))
                    building.damaged()
                    at, before = self._behind(max(at, building.next), following), False
        building.skip_to(building.span.last + 1)

    def _chunks(self, segment: int, seq: int, *, before: bool, closed: bool) -> Iterator[ChunkRow]:
        """The chunks that begin at `seq` or behind it, and the one `before`, which may hold it."""
        if self._segment is None or self._segment.first != segment:
            self._close_segment()
            path = segment_path(self._directory, segment)
            db = connect_closed(path) if closed else connect_reader(path)
            self._segment = _OpenSegment(segment, db, {})
        begin = "(SELECT coalesce(max(first), 0) FROM chunk WHERE first <= ?)" if before else "?"
        query = f"SELECT * FROM chunk WHERE first >= {begin} ORDER BY first"  # noqa: S608 -- constant texts
        yield from self._segment.db.execute(query, (seq,))

    def _behind(self, seq: int, end: int) -> int:
        """The first seq after `seq` from which chunks can be read again, `end` if there is none."""
        bad, step = seq, 1
        while not self._readable(bad + step):
            bad += step
            step = min(2 * step, CHUNK_SAMPLES)
            if bad >= end:
                return end
        good = bad + step
        while good - bad > 1:
            middle = (bad + good) // 2
            bad, good = (bad, middle) if self._readable(middle) else (middle, good)
        return good

    def _readable(self, seq: int) -> bool:
        """Whether the next chunk that begins at `seq` or behind it can be read."""
        if self._segment is None:
            return False
        query = "SELECT * FROM chunk WHERE first >= ? ORDER BY first LIMIT 1"
        try:
            self._segment.db.execute(query, (seq,)).fetchall()
        except DAMAGE as error:
            if not damaged(error):
                raise
            return False
        return True

    def _add_chunk(self, building: Building, row: ChunkRow) -> bool:
        if row[0] > building.span.last:
            building.skip_to(building.span.last + 1)
            return False
        try:
            samples = self._decode(row)
        except Damaged as error:
            self._meet(LANE_SAMPLE, row[0], str(error))
            building.damaged()
            return True
        size = 60 + 3 * len(row[8]) // len(samples)  # zlib shrinks chunks to a third or less
        return all(building.add(seq, sample, size) for seq, sample in samples)

    def _decode(self, row: ChunkRow) -> list[tuple[int, Sample]]:
        if self._chunk is None or self._chunk[0] != row[0]:
            assert self._segment is not None  # noqa: S101 -- `_chunks` has opened it
            points = self._segment.points
            try:
                samples = samples_of(row, points)
            except Damaged:  # or points that came after the last look
                points.update(self._names(self._segment.db))
                samples = samples_of(row, points)
            self._chunk = (row[0], samples)
        return self._chunk[1]

    def _names(self, segment: sqlite3.Connection) -> dict[int, str]:
        """By pid: what the segment says, and core.db where that is damaged."""
        names: dict[int, str] = {}
        try:
            names.update(self._connection().execute("SELECT pid, point FROM point"))
            names.update((pid, name) for pid, _device, name in good_points(segment))
        except DAMAGE as error:
            if not damaged(error):
                raise
        return names

    def _meet(self, lane: int, seq: int, what: str) -> None:
        if (lane, seq) not in self._met and len(self._met) < MAX_LOGGED:
            self._met.add((lane, seq))
            self.corrupt += 1
            extra = {"component": "store"}
            log.error("lane %d: the record at %d is damaged: %s", lane, seq, what, extra=extra)

    def _close_segment(self) -> None:
        if self._segment is not None:
            self._segment.db.close()
            self._segment = None
            self._chunk = None
