"""How often a peer may ask for something that costs."""


class Allowance:
    """A token bucket: `burst` at once, `rate` a minute in the long run. Times are seconds."""

    def __init__(self, rate: float, burst: int) -> None:
        self._per_s, self._burst = rate / 60, float(burst)
        self._tokens, self._at = self._burst, 0.0

    def take(self, now: float) -> bool:
        """False: used up."""
        if self.wait_s(now):
            return False
        self._tokens -= 1
        return True

    def wait_s(self, now: float) -> float:
        """Until `take` is True again."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        return max(0.0, (1 - self._tokens) / self._per_s)
