"""The beat of a loop: when it last turned. What the watchdog goes by."""

import time

IDLE_S = 5.0  # a loop that has nothing to do turns so often all the same


class Beat:
    """Any thread may turn it and read it. It counts from its construction."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at = time.monotonic()

    def turn(self) -> None:
        self._at = time.monotonic()

    def age_s(self) -> float:
        """Seconds since the last turn, CLOCK_MONOTONIC."""
        return time.monotonic() - self._at
