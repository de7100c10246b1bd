"""Sets of sequence numbers as runs of consecutive ones: small however many records there are."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import itemgetter

Range = tuple[int, int]  # first and last, both included


class Runs:
    """Ranges may be added in any order and may overlap."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._runs: list[Range] = []
        for first, last in ranges:
            self.add(first, last)

    def __iter__(self) -> Iterator[Range]:
        return iter(self._runs)

    @property
    def last(self) -> int:
        """The highest number, 0 if there is none."""
        return self._runs[-1][1] if self._runs else 0

    def add(self, first: int, last: int) -> None:
        runs = self._runs
        if last < first:
            return
        if not runs or first > runs[-1][1] + 1:  # in order: the usual case
            runs.append((first, last))
            return
        low = bisect_right(runs, first - 2, key=itemgetter(1))  # the first run that it touches
        high = bisect_right(runs, last + 1, key=itemgetter(0))
        if low < high:
            first, last = min(first, runs[low][0]), max(last, runs[high - 1][1])
        runs[low:high] = [(first, last)]

    def inside(self, first: int, last: int) -> Iterator[Range]:
        """The runs within first .. last, cut to it."""
        start = bisect_right(self._runs, first - 1, key=itemgetter(1))
        for index in range(start, len(self._runs)):
            low, high = self._runs[index]
            if low > last:
                return
            yield max(low, first), min(high, last)

    def count(self, first: int, last: int) -> int:
        """How many numbers of first .. last are in the set."""
        return sum(high - low + 1 for low, high in self.inside(first, last))

    def missing(self, first: int, last: int) -> Iterator[Range]:
        """What of first .. last is not in the set."""
        following = first
        for low, high in self.inside(first, last):
            if low > following:
                yield following, low - 1
            following = high + 1
        if following <= last:
            yield following, last
