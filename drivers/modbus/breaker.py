"""The back-off of one unit that does not answer: others share its bus."""

import random

BACKOFF_S = (1.0, 60.0)
# After this long a dead unit takes at most 5 % of the bus: 19 times what an attempt costs between
# two of them. Before, attempts are denser, for units that were only restarted.
PATIENCE_S = 60.0
_TIMES_COST = 19.0


class Breaker:
    """Times are seconds of the loop clock."""

    def __init__(self) -> None:
        self._failures = 0
        self._since = 0.0
        self.retry_at = 0.0

    @property
    def open(self) -> bool:
        """The unit is not asked before `retry_at`."""
        return self._failures > 0

    def failed(self, now: float, cost_s: float, *, longest: bool = False) -> None:
        """Back off from 1 s to 60 s with full jitter, or more if an attempt takes `cost_s` of bus time.

        `longest`: 60 s at once.
        """
        if not self._failures:
            self._since = now
        self._failures += 1
        low, high = BACKOFF_S
        # 2 ** 6 > 60: later failures change nothing
        delay = high if longest else random.uniform(low, min(high, 2.0 ** min(self._failures, 6)))
        if now - self._since >= PATIENCE_S:
            delay = max(delay, _TIMES_COST * cost_s)
        self.retry_at = now + delay

    def worked(self) -> None:
        self._failures = 0
