"""A clock that stands still until a test moves it."""


class FakeClock:
    def __init__(self, *, time_ns: int = 1_772_391_600_000_000_000, ok: bool = True) -> None:
        self.boot = 1
        self.ok = ok
        self._time_ns = time_ns
        self._boottime_ns = 1_000_000_000

    def time_ns(self) -> int:
        return self._time_ns

    def boottime_ns(self) -> int:
        return self._boottime_ns

    def advance(self, seconds: float) -> None:
        step = round(seconds * 1e9)
        self._time_ns += step
        self._boottime_ns += step

    def step(self, seconds: float) -> None:
        """Wall time alone, as a time server sets it."""
        self._time_ns += round(seconds * 1e9)
