"""One lane of one sink: its window, its turn, and what it tells `status`."""

from collections import deque

from gateway.clock import Clock
from gateway.model import LANE_ALARM, LANE_DIAGNOSTIC, LANE_SAMPLE
from gateway.sinks.encode import MAX_ITEMS
from gateway.sinks.window import Window

# What is known by its time waits this long after the start for a clock that is right.
CLOCK_WAIT_S = 120.0
_SPAN_S = 60
AHEAD = 2  # batches that one look into the journal may fill
WIDE = AHEAD * MAX_ITEMS


class Rate:
    """Items per second over the last 60 s, counted in seconds of CLOCK_BOOTTIME."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: deque[tuple[int, int]] = deque()  # (second, items)

    def add(self, items: int) -> None:
        second = self._second()
        if self._buckets and self._buckets[-1][0] == second:
            items += self._buckets.pop()[1]
        self._buckets.append((second, items))
        self._prune(second)

    def per_s(self) -> float:
        self._prune(self._second())
        return sum(items for _, items in self._buckets) / _SPAN_S

    def _prune(self, second: int) -> None:
        while self._buckets and self._buckets[0][0] <= second - _SPAN_S:
            self._buckets.popleft()

    def _second(self) -> int:
        return self._clock.boottime_ns() // 1_000_000_000


class Lane:
    """`narrow` is how many items may be read at once: fewer while one is looked for that the broker
    does not take. `turn` is the lane's place in the fair queue; the counts are items since the start.
    """

    def __init__(self, window: Window, clock: Clock) -> None:
        self.window = window
        self.turn = 0.0
        self.sent = 0
        self.acked = 0
        self.dead = 0
        self.rate = Rate(clock)
        self.refusals = 0  # of the broker, in a row
        self.parked = ""  # why the broker takes nothing of it, "" if it does
        self.refused: dict[int, str] = {}  # items that the broker takes none of: seq -> reason
        self.alone = 0  # of them, one after the other with nothing taken in between
        self.narrow = WIDE
        self._since: float | None = None

    @property
    def lingers(self) -> bool:
        """Telemetry waits for company; an alarm never does."""
        return self.window.lane in {LANE_SAMPLE, LANE_DIAGNOSTIC}

    def ripe_at(self, now: float, waiting: int, enough: int, linger_s: float) -> float | None:
        """When to read `waiting` records that are not sent: None if there are none.

        At once when there are `enough`, else `linger_s` after the first of them was noticed.
        """
        if not waiting:
            self._since = None
            return None
        if self._since is None:
            self._since = now
        return now if waiting >= enough or not self.lingers else self._since + linger_s

    def picked(self) -> None:
        """What waited is read."""
        self._since = None

    @property
    def urgent(self) -> bool:
        return self.window.lane == LANE_ALARM

    @property
    def rank(self) -> tuple[bool, float]:
        """The smallest goes first: lane 0, then who had the least for its weight."""
        return self.window.lane != 0, self.turn
