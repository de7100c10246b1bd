"""Decides what is deleted, when and in which order. Runs in the writer thread, one small step at a
time, so that an alarm never waits for a clean-up.

Past their age: what every sink has taken, and rollups. Over a quota, or with less free than `low`:
segments that every sink has taken, diagnostics (lane 3), segments that somebody waits for, each
oldest first. Below `hard`: the reserve is given up and
samples are refused; then the open segment, delivered history, undelivered events of lane 1. An
undelivered event of lane 0 is never deleted: when its quota is full of them, it takes no more.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from gateway.clock import Clock
from gateway.errors import StoreFull
from gateway.model import (
    LANE_ALARM,
    LANE_DIAGNOSTIC,
    LANE_EVENT,
    LANE_SAMPLE,
    LANES,
    Event,
    EventKind,
    Severity,
    lane_of,
    uuid7,
)
from gateway.store.access import Access
from gateway.store.ballast import Ballast, Disk
from gateway.store.evictions import Eviction
from gateway.store.index import Position, Span
from gateway.store.journal import Chores, Journal, Written
from gateway.store.limits import Limits
from gateway.store.schema import SEQ_MASK
from gateway.store.shelf import Shelved
from gateway.store.stock import Stock

log = logging.getLogger(__name__)

RAW_S = 7 * 86_400  # samples that every sink has taken; history behind that is in the rollups
SENT_S = 90 * 86_400  # events that every sink has taken
BLOCK = 1_000  # events that are deleted in one transaction: a few ms
WORTH = 10  # fewer events would hardly free more than the word about their loss takes
SPARE = 0.9  # delivered events make room from here on, so that no alarm waits for a clean-up
LOOK_S = 5.0
WATCH_S = 0.5  # between two looks while the reserve is given up: recovery takes less than 5 s
SETTLE_S = 0.2  # until a reader has let go of an unlinked file and its room shows as free
# A clock that was stepped by more than a minute is not believed for an hour: time servers are
# wrong for minutes, and what is deleted for its age is gone.
STEP_NS = 60 * 1_000_000_000
TRUST_NS = 3_600 * 1_000_000_000
ALL = SEQ_MASK

Sinks = Callable[[], Mapping[str, Collection[int]]]  # name -> lanes, of the sinks that exist
Moves = Mapping[tuple[str, int], Position]  # cursors on their way to the disk


class Evicted(NamedTuple):
    """Records are gone; `written` tells of the `data_loss` event, if it was made."""

    evictions: Sequence[Eviction]
    written: Sequence[Written]


class Holding(NamedTuple):
    """What is kept. `reserve`: the ballast is there, samples are stored."""

    reserve: bool
    telemetry_bytes: int
    event_bytes: tuple[int, ...]


class TimeTrust:
    """Whether the wall clock may decide that something is old."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ns: int | None = None
        self._since_ns = 0

    def holds(self) -> bool:
        """The clock has been right, and was not stepped, for an hour."""
        if not self._clock.ok:
            self._offset_ns = None
            return False
        now_ns = self._clock.boottime_ns()
        offset_ns = self._clock.time_ns() - now_ns
        if self._offset_ns is None or abs(offset_ns - self._offset_ns) > STEP_NS:
            self._since_ns = now_ns
            self._offset_ns = offset_ns
        return now_ns - self._since_ns >= TRUST_NS


class Keeper:
    """Every method may raise sqlite3.Error or OSError, as the journal does."""

    def __init__(
        self,
        access: Access,
        limits: Limits,
        disk: Disk,
        ballast: Ballast,
        *,
        sinks: Sinks,
        clock: Clock,
    ) -> None:
        self._access = access
        self._limits = limits
        self._disk = disk
        self._ballast = ballast
        self._sinks = sinks
        self._clock = clock
        self._trust = TimeTrust(clock)
        self._taken = [ALL for _ in LANES]
        self._moves: Moves = {}
        self._evicted: list[Evicted] = []
        self._flushed = 0  # pages of the write-ahead log when it was moved into core.db last
        self.reserve = ballast.restore()

    @property
    def _journal(self) -> Journal:
        return self._access.journal

    @property
    def _stock(self) -> Stock:
        return self._access.journal.stock

    @property
    def holding(self) -> Holding:
        journal = self._journal
        return Holding(self.reserve, journal.telemetry_bytes, tuple(self._stock.event_bytes))

    def evicted(self) -> list[Evicted]:
        """What was deleted since the last call."""
        found, self._evicted = self._evicted, []
        return found

    def turn(self, moves: Moves) -> float:
        """Take one step if there is cause; returns when to call again (s)."""
        self._look(moves)
        self._settle()
        self._stock.unlink()
        if self._over_quota() or self._by_age():
            return 0.0
        if self._disk.free < self._limits.low and self._for_room():
            return SETTLE_S
        if self._disk.free < self._limits.hard and (self._give_up_reserve() or self._last_resort()):
            return SETTLE_S
        self._restore()
        return LOOK_S if self.reserve else WATCH_S

    def relieve(self, moves: Moves) -> bool:
        """The disk is full and a write has failed; True if something was freed for another try."""
        if self._disk.free >= self._limits.hard:
            return False  # a file has reached its own limit
        self._look(moves)
        return self._give_up_reserve() or self._flush() or self._last_resort()

    def refusal(self, events: Sequence[Event], moves: Moves) -> StoreFull | None:
        """Why lane 0 takes no more; delivered events make room first."""
        limit, bytes_ = self._limits.events, self._stock.event_bytes
        if bytes_[LANE_ALARM] < limit or all(lane_of(event) != LANE_ALARM for event in events):
            return None
        self._look(moves)
        while bytes_[LANE_ALARM] >= limit:
            if not self._drop_sent(LANE_ALARM, "quota"):
                return StoreFull("storage: alarm_quota is full of undelivered alarms")
        return None

    def _settle(self) -> None:
        """Sizes of the files; the journal does not keep them when it is opened anew."""
        self._journal.segment_bytes = self._limits.segment
        # The log would take a large part of a small reserve.
        self._stock.checkpoint_after(None if self.reserve else self._limits.hard // 4)

    def _look(self, moves: Moves) -> None:
        """How far every sink has come, in each lane. A cursor that is not retired counts too."""
        self._moves = moves
        cursors = {**self._stock.cursors(), **moves}
        reached: list[list[int]] = [[] for _ in LANES]
        for (_sink, lane), position in cursors.items():
            reached[lane].append(position.seq)
        for sink, lanes in self._sinks().items():
            for lane in lanes:
                if (sink, lane) not in cursors:
                    reached[lane].append(0)
        self._taken = [min(seqs, default=ALL) for seqs in reached]

    # -- what to delete -------------------------------------------------------------------------

    def _over_quota(self) -> bool:
        journal, limits = self._journal, self._limits
        bytes_ = self._stock.event_bytes
        if journal.telemetry_bytes > limits.telemetry and self._drop_segment("quota"):
            return True
        if bytes_[LANE_ALARM] > SPARE * limits.events and self._drop_sent(LANE_ALARM, "quota"):
            return True
        return bytes_[LANE_EVENT] + bytes_[LANE_DIAGNOSTIC] > limits.events and (
            self._drop_sent(LANE_EVENT, "quota")
            or self._drop_events(LANE_DIAGNOSTIC, "quota")
            or self._drop_events(LANE_EVENT, "quota")
        )

    def _by_age(self) -> bool:
        if not self._trust.holds():
            return False
        now_ns = self._clock.time_ns()
        oldest = self._oldest_segment()
        if oldest is not None and oldest.last <= self._taken[LANE_SAMPLE]:
            end_ns = self._stock.shelf.ended_before_ns(oldest)
            if end_ns is not None and end_ns < now_ns - RAW_S * 10**9:
                self._drop_shelved(oldest, "age")
                return True
        events = (LANE_ALARM, LANE_EVENT, LANE_DIAGNOSTIC)
        if any(self._drop_old(lane, now_ns - SENT_S * 10**9) for lane in events):
            return True
        return self._stock.evict_rollups(now_ns)

    def _drop_old(self, lane: int, before_ns: int) -> bool:
        through = self._stock.old(lane, before_ns)
        return self._drop_block(lane, min(through, self._taken[lane]), "age")

    def _for_room(self) -> bool:
        oldest = self._oldest_segment()
        if oldest is not None and oldest.last <= self._taken[LANE_SAMPLE]:
            self._drop_shelved(oldest, "space")
            return True
        if self._drop_events(LANE_DIAGNOSTIC, "space"):
            self._stock.shrink()
            return True
        return self._drop_segment("space")

    def _last_resort(self) -> bool:
        """The reserve is given up and not enough."""
        if (newest := self._journal.seal()) is not None:
            self._drop_shelved(newest, "space")
            return True
        gone = (
            self._drop_sent(LANE_EVENT, "space")
            or self._drop_sent(LANE_ALARM, "space")
            or self._drop_events(LANE_EVENT, "space", worth=WORTH)
        )
        if gone:
            self._stock.shrink()
        return gone

    # -- how --------------------------------------------------------------------------------------

    def _oldest_segment(self) -> Shelved | None:
        """The oldest that is not being written."""
        return self._stock.shelf.oldest(without=self._journal.newest_segment)

    def _drop_segment(self, reason: str) -> bool:
        oldest = self._oldest_segment()
        if oldest is None:
            return False
        self._drop_shelved(oldest, reason)
        return True

    def _drop_shelved(self, segment: Shelved, reason: str) -> None:
        taken = self._taken[LANE_SAMPLE]
        evictions = [
            Eviction(LANE_SAMPLE, span, _lost(span, taken), reason, segment.first)
            for span in segment.spans
        ]
        self._evict(evictions or [Eviction(LANE_SAMPLE, segment.nothing, 0, reason, segment.first)])

    def _drop_sent(self, lane: int, reason: str) -> bool:
        return self._drop_block(lane, self._taken[lane], reason)

    def _drop_events(self, lane: int, reason: str, *, worth: int = 1) -> bool:
        return self._drop_block(lane, ALL, reason, worth=worth)

    def _drop_block(self, lane: int, through: int, reason: str, *, worth: int = 1) -> bool:
        spans = self._stock.oldest(lane, through, BLOCK)
        taken = self._taken[lane]
        evictions = [Eviction(lane, span, _lost(span, taken), reason) for span in spans]
        if sum(eviction.records for eviction in evictions) < worth:
            return False
        self._evict(evictions)
        return True

    def _evict(self, evictions: Sequence[Eviction]) -> None:
        """One transaction: the cursors that prove delivery, the deletion, the word about a loss."""
        losses = [self._data_loss(eviction) for eviction in evictions if eviction.lost]
        chores = Chores(cursors=dict(self._moves), evictions=list(evictions))
        written = self._journal.commit_core(losses, chores)
        self._evicted.append(Evicted(evictions, written))
        for lane, span, lost, reason, _segment in evictions:
            log.log(
                logging.ERROR if lost else logging.INFO,
                "lane %d: %d records deleted (%s), %d of them undelivered",
                lane, span.last - span.first + 1, reason, lost, extra={"component": "store"},
            )  # fmt: skip
        self._stock.unlink()

    def _data_loss(self, eviction: Eviction) -> Event:
        """The event about an eviction; it goes into lane 1, or 0 if it is about lane 0."""
        lane, span, lost, reason, _segment = eviction
        severity = Severity.SAFETY if lane == LANE_ALARM else Severity.OPERATIONAL
        now_ns = self._clock.time_ns()
        attributes: dict[str, object] = {
            "lane": lane, "epoch": span.epoch, "first": span.last - lost + 1, "last": span.last,
            "count": lost, "reason": reason,
        }  # fmt: skip
        return Event(
            uuid7(now_ns), EventKind.DATA_LOSS, severity, "gateway", now_ns,
            self._clock.boottime_ns(), self._clock.boot, self._clock.ok, attributes, None,
            self._stock.last_n,
        )  # fmt: skip

    def _give_up_reserve(self) -> bool:
        released = self._ballast.release()
        if self.reserve:
            self.reserve = False
            self._settle()
            log.error("disk full: samples are not stored", extra={"component": "store"})
        if released:
            self._stock.shrink()
        return released

    def _flush(self) -> bool:
        """Make room in the write-ahead log; True if that is worth another try."""
        before, self._flushed = self._flushed, self._stock.checkpoint()
        return self._flushed != before

    def _restore(self) -> None:
        there = self._ballast.restore()
        if there and not self.reserve:
            log.info("disk has room again: samples are stored", extra={"component": "store"})
        self.reserve = there


def _lost(span: Span, taken: int) -> int:
    """How many records of `span` are above `taken`."""
    return span.last - max(span.first - 1, min(span.last, taken))
