"""How much may be under way: what the line carries, and what the platform takes. Pure.

Two figures say it. The time to a PUBACK is the line's: it sets the size of a batch and how many
travel at once. The time to the platform's ack adds the platform: it sets the rate of a token
bucket, for the lanes behind the alarms. Both count what comes on top of the shortest time, so that
a satellite's second is not taken for a queue.
"""

from gateway.sinks.encode import MAX_PAYLOAD

SLOW_S = 1.0  # more than this on top of the shortest time is a queue in which an alarm would wait
FIRST = 8_000  # bytes: on a line of 1 KB/s its PUBACK comes within the 10 s that end a connection
SMALLEST = 1_000  # bytes: a second on such a line; below that the headers are most of it
WIDEST = 7  # batches: with one slot for alarms as many as the smallest usual receive maximum, 8

BACK_OFF_S = 0.5  # the platform's queue that the drain tolerates, half of what an alarm may take
BASE_S = 1.0  # a shortest time above this is a queue too
AGE_S = 30.0  # the shortest of the last one or two such times counts: ways and platforms change
LEAST = 16_000.0  # bytes/s: a full batch in 4 s, so that a platform that is well again is noticed
START = 256_000.0
MOST = 16_000_000.0  # several times what one core can encode
MOST_IN_DOUBT = (
    8 * MAX_PAYLOAD
)  # a platform that slows down all at once has no more than this to do


class Line:
    """`size`: largest batch in bytes. `width`: how many batches behind lane 0 travel at once."""

    def __init__(self, largest: int = MAX_PAYLOAD) -> None:
        self.size = min(FIRST, largest)
        self.width = 1
        self._largest = largest
        self._base = 0.0

    def begin(self, seconds: float) -> None:
        """A new connection, whose first PUBACK, for a few bytes, came after `seconds`."""
        self._base = seconds

    def took(self, seconds: float) -> None:
        """A PUBACK came after `seconds`."""
        self._base = min(self._base, seconds)
        beyond = seconds - self._base
        if beyond > SLOW_S:
            self._less()
        elif beyond < SLOW_S / 4:
            if self.size < self._largest:
                self.size = min(self._largest, self.size * 2)
            else:
                self.width = min(WIDEST, self.width + 1)

    def failed(self) -> None:
        """The connection broke under a batch: perhaps it was too much for the line."""
        self.width = 1
        self.size = max(SMALLEST, self.size // 2)

    def _less(self) -> None:
        if self.width > 1:
            self.width = 1
        else:
            self.size = max(SMALLEST, self.size // 2)


class _Base:
    """The shortest time of late."""

    def __init__(self) -> None:
        self._now, self._before, self._since = BASE_S, BASE_S, 0.0

    def beyond(self, now: float, seconds: float) -> float:
        """What `seconds` are more than that."""
        if now - self._since > AGE_S:
            self._before, self._now, self._since = self._now, BASE_S, now
        self._now = min(self._now, seconds)
        return seconds - self.s

    @property
    def s(self) -> float:
        return min(self._now, self._before)


class Drain:
    """A token bucket in bytes whose rate follows the acks, and a bound for what waits for one.

    `rate` (bytes/s) rises while it is what holds us back, at most by half and to a quarter or one
    batch more than was taken, once each round trip. It falls below what was taken when the acks come
    late. `now` is seconds.
    """

    def __init__(self) -> None:
        self.rate = START
        self.acked = 0  # bytes so far: the mark that `measure` gets back
        self._tokens = START / 8
        self._at: float | None = None
        self._base = _Base()
        self._changed = 0.0
        self._held = False

    def may(self, now: float, in_doubt: int, size: int) -> bool:
        """A batch of up to `size` bytes may leave while `in_doubt` bytes wait for their ack.

        One batch may always wait: its ack is what tells how the platform is.
        """
        self._refill(now)
        bound = min(self.rate * (self._base.s + BACK_OFF_S), MOST_IN_DOUBT)
        free = self._tokens > 0 and (in_doubt == 0 or in_doubt + size <= bound)
        self._held = self._held or not free
        return free

    def due(self, now: float) -> float | None:
        """When there will be tokens; None: there are."""
        self._refill(now)
        return None if self._tokens > 0 else now - self._tokens / self.rate + 0.001

    def spend(self, size: int) -> None:
        self._tokens -= size

    def measure(self, now: float, size: int, seconds: float, mark: int) -> None:
        """`size` bytes were acknowledged, the newest `seconds` after it left, when `acked` was `mark`."""
        self.acked += size
        beyond = self._base.beyond(now, seconds)
        taken = (self.acked - mark) / max(seconds, 0.001)
        if beyond > BACK_OFF_S:
            self.rate = max(LEAST, min(self.rate, 0.8 * taken))
            self._changed = now
        elif self._held and beyond < BACK_OFF_S / 2 and now - self._changed >= seconds:
            more = max(taken * 1.25, taken + MAX_PAYLOAD / max(seconds, 0.001))
            self.rate = min(MOST, max(self.rate, min(self.rate * 1.5, more)))
            self._changed, self._held = now, False

    def _refill(self, now: float) -> None:
        if self._at is not None:
            burst = max(MAX_PAYLOAD, self.rate / 8)
            self._tokens = min(burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
