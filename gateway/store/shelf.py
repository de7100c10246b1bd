"""The segment files as retention sees them: which records, how large, how old. Writer thread only."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.clock import RELEASE_TIME_NS
from gateway.store.index import Span
from gateway.store.survey import Survey


@dataclass(slots=True)
class Shelved:
    """One segment file. `begin_ns` is the wall time of its first chunk, None while it has none."""

    first: int
    spans: list[Span] = field(default_factory=list)
    begin_ns: int | None = None
    size_bytes: int = 0

    @property
    def nothing(self) -> Span:
        """Stands for the records of a file that has none, or none that can be read."""
        return Span(0, self.first, self.first, self.first - 1)

    @property
    def last(self) -> int:
        return self.spans[-1].last if self.spans else self.first - 1


class Shelf:
    """All of them, oldest first. The newest one may be open; its size is told when it is closed."""

    def __init__(self, found: Mapping[int, Survey]) -> None:
        self._shelved = {
            first: Shelved(
                first,
                list(survey.spans),
                survey.marks[0].time_ns if survey.marks else None,
                survey.size_bytes,
            )
            for first, survey in sorted(found.items())
        }

    @property
    def bytes(self) -> int:
        return sum(segment.size_bytes for segment in self._shelved.values())

    def segment(self, first: int) -> Shelved:
        return self._shelved.setdefault(first, Shelved(first))

    def wrote(self, first: int, span: Span, time_ns: int) -> None:
        """Records were added to the segment, the first of them made at `time_ns`."""
        segment = self.segment(first)
        if segment.begin_ns is None:
            segment.begin_ns = time_ns
        if segment.spans and segment.spans[-1].epoch == span.epoch:
            span = segment.spans.pop()._replace(last=span.last)
        segment.spans.append(span)

    def closed(self, first: int, size_bytes: int) -> None:
        self.segment(first).size_bytes = size_bytes

    def reopened(self, first: int) -> None:
        """Its size is counted by whoever writes it."""
        self.segment(first).size_bytes = 0

    def remove(self, first: int) -> None:
        del self._shelved[first]

    def oldest(self, without: int | None) -> Shelved | None:
        """The oldest segment but the one that is being written."""
        return next((v for v in self._shelved.values() if v.first != without), None)

    def ended_before_ns(self, segment: Shelved) -> int | None:
        """No record of it was made later than this, None if nobody knows.

        It is when the next segment was begun, or the first after it by a clock that can have been
        right: a gateway that boots in 1970 must not make its records look old.
        """
        begins = (v.begin_ns for v in self._shelved.values() if v.first > segment.first)
        return next((ns for ns in begins if ns is not None and ns >= RELEASE_TIME_NS), None)
