"""What is stored, in memory: ranges of seqs per epoch and when they were written. Loop thread only."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.store.runs import Runs

MAX_MARKS = 65_536  # (seq, time) pairs per lane, 1 MB; then every second one is forgotten


class Position(NamedTuple):
    """A place in one lane: the record (epoch, seq) and everything before it."""

    epoch: int
    seq: int


class Span(NamedTuple):
    """Consecutive seqs `first` .. `last` of one epoch, whose first seq in this lane is `base`."""

    epoch: int
    base: int
    first: int
    last: int


class Mark(NamedTuple):
    """The record with this seq was made at `time_ns` (wall time)."""

    seq: int
    time_ns: int


@dataclass(slots=True)
class LaneIndex:
    """The stored spans of one lane, oldest first; seqs rise over epochs too."""

    spans: list[Span] = field(default_factory=list)
    _seqs: "array[int]" = field(default_factory=lambda: array("q"))
    _times: "array[int]" = field(default_factory=lambda: array("q"))
    _evicted: Runs = field(default_factory=Runs)

    @property
    def last(self) -> int:
        return self.spans[-1].last if self.spans else 0

    def add(self, span: Span, marks: Iterable[Mark]) -> None:
        """`span` continues the newest one or begins a new epoch; `marks` lie inside it."""
        newest = self.spans[-1] if self.spans else None
        if newest is not None and newest.epoch == span.epoch:
            self.spans[-1] = newest._replace(last=max(newest.last, span.last))
        else:
            self.spans.append(span)
        for mark in marks:
            self._seqs.append(mark.seq)
            self._times.append(mark.time_ns)
        if len(self._seqs) > MAX_MARKS:
            self._seqs = self._seqs[::2]
            self._times = self._times[::2]

    def evict(self, span: Span) -> None:
        """These records are gone; the span still covers them, as a gap."""
        self._evicted.add(span.first, span.last)

    def after(self, position: Position | None) -> Span | None:
        """The first span that holds records after `position`, cut to begin with the next one."""
        for span in self.spans:
            if position is None or span.epoch > position.epoch:
                return span
            if span.epoch == position.epoch and span.last > position.seq:
                return span._replace(first=max(span.first, position.seq + 1))
        return None

    def count_after(self, position: Position | None) -> int:
        here = self.after(position)
        if here is None:
            return 0
        later = (span for span in self.spans if span.epoch > here.epoch)
        covered = here.last - here.first + 1 + sum(span.last - span.first + 1 for span in later)
        return covered - self._evicted.count(here.first, self.last)

    def back_from(self, position: Position, by_ns: int) -> Position | None:
        """The place before the records that were made less than `by_ns` before the one at
        `position`, None for the beginning. As accurate as the marks.
        """
        newest = index = bisect_right(self._seqs, position.seq) - 1
        while index >= 0 and self._times[index] > self._times[newest] - by_ns:
            index -= 1
        if index < 0:
            return None
        seq = self._seqs[index] - 1
        epochs = (s.epoch for s in reversed(self.spans) if s.first <= seq + 1 <= s.last)
        epoch = next(epochs, None)
        return None if epoch is None else min(position, Position(epoch, seq))

    def time_after_ns(self, position: Position | None) -> int | None:
        here = self.after(position)
        if here is None or not self._seqs:
            return None
        first = next((a for a, _ in self._evicted.missing(here.first, self.last)), None)
        return None if first is None else self._times[max(0, bisect_right(self._seqs, first) - 1)]
