"""What is done about an adapter that fails again and again: one step for every second failure."""

from enum import StrEnum


class Step(StrEnum):
    RETRY = "retry"
    POWER = "power"  # switch the adapter off and on
    RESTART = "restart"  # of bluetooth.service
    REPORT = "report"  # people must come; then the power is cycled again


_STEPS = {2: Step.POWER, 4: Step.RESTART, 6: Step.REPORT}


class Ladder:
    """Counts failures in a row. It outlives the runs of the driver."""

    def __init__(self) -> None:
        self.failures = 0
        self._stuck = False
        self._done = 0

    def failed(self, *, stuck: bool = False) -> None:
        """`stuck`: only a power cycle can help, so it comes next."""
        self.failures += 1
        self._stuck = stuck

    def worked(self) -> None:
        """Something was heard."""
        self.failures = self._done = 0
        self._stuck = False

    def step(self) -> Step:
        """What is to be done before the next attempt; each step once for its number of failures."""
        if self._stuck:
            self._stuck = False
            return Step.POWER
        if self.failures == self._done:
            return Step.RETRY
        self._done = self.failures
        if self.failures > max(_STEPS) and self.failures % 2 == 0:
            return Step.POWER
        return _STEPS.get(self.failures, Step.RETRY)
