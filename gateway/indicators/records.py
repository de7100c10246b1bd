"""What raw samples tell that rollups do not: age on arrival, quality, clock; and what was delivered."""

from collections import Counter
from collections.abc import Iterator, Mapping

from gateway.indicators.model import NS, Indicator, Period, percent, target
from gateway.indicators.settings import ReportSection
from gateway.model import LANE_SAMPLE
from gateway.store.readings import Reading


class Arrivals:
    """`offsets`: wall minus boot time in ns, by boot."""

    def __init__(
        self, period: Period, settings: ReportSection, offsets: Mapping[int, int], raw_since: int
    ) -> None:
        self._period = period
        self._settings = settings
        self._offsets = offsets
        self._kept = max(0.0, period.last - max(raw_since, period.first))
        self._samples = self._trusted = self._timed = self._timely = 0
        self._values = self._good = 0
        self._chunks = self._unreadable = 0

    def chunk(self, readings: list[Reading]) -> Iterator[tuple[int, int]]:
        """(place, time in ns) of the readings of a chunk that are of the period. Every chunk holds
        some: none means that it is gone or damaged.
        """
        self._chunks += 1
        self._unreadable += not readings
        for place, reading in enumerate(readings):
            at = self.take(reading)
            if at is not None:
                yield place, at

    def take(self, reading: Reading) -> int | None:
        """Its time in ns if it is in the period, else None."""
        at = reading.wall_ns(self._offsets)
        if at is None or not self._period.holds(at):
            return None
        self._samples += 1
        self._trusted += reading.clock_ok
        self._values += len(reading.values) + reading.bad
        self._good += sum(value is not None for value in reading.values)
        offset = self._offsets.get(reading.boot)
        if offset is not None:
            self._timed += 1
            age_s = (reading.received_ns + offset - at) / NS
            self._timely += age_s < self._settings.timely_within
        return at

    @property
    def coverage(self) -> float:
        """The share of the asked time of which raw samples are there and can be read."""
        whole = 1 - self._unreadable / self._chunks if self._chunks else 1.0
        return self._kept / self._period.passed * whole

    def unreadable(self, events: int) -> Iterator[Indicator]:
        """Chunks of samples that could not be read, and how many `events`; nothing if all were."""
        count = self._unreadable + events
        if count:
            yield Indicator("unreadable", "", count, count, None, self.coverage)

    def indicators(self) -> Iterator[Indicator]:
        settings, coverage = self._settings, self.coverage
        timed = coverage * self._timed / self._samples if self._samples else coverage
        yield percent(
            "validity",
            self._good,
            self._values,
            coverage=coverage,
            target=target(settings, "validity"),
        )
        yield percent(
            "timely", self._timely, self._timed, coverage=timed, target=target(settings, "timely")
        )
        yield percent(
            "clock",
            self._trusted,
            self._samples,
            coverage=coverage,
            target=target(settings, "clock"),
        )


class Delivery:
    """`cursors`: the seq up to which each sink has taken a lane; `dead`: what it refused for good."""

    def __init__(
        self,
        period: Period,
        settings: ReportSection,
        cursors: Mapping[tuple[str, int], int],
        dead: frozenset[tuple[str, int, int]],
    ) -> None:
        self._period = period
        self._settings = settings
        self._cursors = cursors
        self._dead = dead
        self._made: Counter[str] = Counter()
        self._taken: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._oldest: dict[str, int] = {}

    def take(self, lane: int, seq: int, time_ns: int) -> None:
        """A record of the period."""
        for (sink, of), cursor in self._cursors.items():
            if of != lane:
                continue
            self._made[sink] += 1
            if seq > cursor:
                self._oldest[sink] = min(time_ns, self._oldest.get(sink, time_ns))
            elif (sink, lane, seq) in self._dead:
                self._refused[sink] += 1
            else:
                self._taken[sink] += 1

    def indicators(self, now_ns: int, raw: float) -> Iterator[Indicator]:
        """`raw`: the share of the asked time of which samples are there."""
        goal = target(self._settings, "delivered")
        for sink in sorted({sink for sink, _lane in self._cursors}):
            coverage = raw if (sink, LANE_SAMPLE) in self._cursors else self._period.coverage
            made = self._made[sink]
            yield percent(
                "delivered", self._taken[sink], made, coverage=coverage, subject=sink, target=goal
            )
            age = (now_ns - self._oldest[sink]) / NS if sink in self._oldest else 0.0
            waiting = made - self._taken[sink] - self._refused[sink]
            yield Indicator("unsent", "s", age, waiting, made, coverage, sink)
            if self._refused[sink]:
                yield Indicator(
                    "refused", "", self._refused[sink], self._refused[sink], made, coverage, sink
                )
