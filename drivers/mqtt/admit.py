"""How much one device may say: a token bucket for its messages and one of its own for its alarms."""

# What a daemon that has just started grants a device whose messages the broker may have kept: so
# long it may have been away.
UNKNOWN_AWAY_S = 3_600.0


class Bucket:
    """A token bucket: `rate` tokens a second, at most `burst` of them, full at first."""

    __slots__ = ("_at_ns", "_burst", "_per_ns", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self._per_ns = rate / 1e9
        self._burst = self._tokens = float(burst)
        self._at_ns = 0

    def take(self, now_ns: int) -> bool:
        """Take one token; False if there is none. `now_ns` is monotonic."""
        tokens = self._tokens
        if tokens < self._burst:
            tokens = min(self._burst, tokens + (now_ns - self._at_ns) * self._per_ns)
        self._at_ns = now_ns
        self._tokens = tokens - 1 if tokens >= 1 else tokens
        return tokens >= 1

    def credit(self, seconds: float) -> None:
        """Grant what would have come in `seconds`, above the burst; it is not renewed."""
        self._tokens = max(self._tokens, self._burst + seconds * self._per_ns * 1e9)


class Pace:
    """The limit of one device. Telemetry, however much, takes nothing from what alarms may use."""

    __slots__ = ("_alarms", "_rest")

    def __init__(self, rate: float, burst: float) -> None:
        self._alarms = Bucket(rate, burst)
        self._rest = Bucket(rate, burst)

    def admits(self, now_ns: int, *, alarm: bool) -> bool:
        return (self._alarms if alarm else self._rest).take(now_ns)

    def credit(self, seconds: float) -> None:
        """The broker kept messages for so long: their coming all at once is no flood."""
        self._alarms.credit(seconds)
        self._rest.credit(seconds)
