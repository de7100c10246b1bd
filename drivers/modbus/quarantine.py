"""When a line may be used again after an answer that did not come, or did not fit. Pure.

Without transaction ids a late answer looks like the answer to the next request, and then every
answer is one request too late (pymodbus#538, #1509, #2777). So nothing is sent until the line has
been silent for longer than any answer has taken.
"""

QUIET_S = 1.0  # measured: enough for the meters that answer within their time-out at all
_TIMES_WORST = 2.0
LONGEST_QUIET_S = 5.0  # more silence than this helps nobody: such a unit needs a longer time-out
MOST_NOISE_S = 10.0  # a line that never falls silent: open the port anew
MOST_DESYNCS = 2  # in a row: the port itself may hold old answers, open it anew


class Quarantine:
    """Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.worst_s = 0.0  # the longest that an answer has taken
        self.desyncs = 0  # answers in a row that did not fit
        self._asked = 0.0
        self._heard = 0.0
        self._since: float | None = None

    @property
    def active(self) -> bool:
        return self._since is not None

    def asked(self, now: float) -> None:
        """A request goes out."""
        self._asked = now

    def answered(self, now: float) -> None:
        """The answer to it came, and fits."""
        self.worst_s = max(self.worst_s, now - self._asked)
        self.desyncs = 0

    def heard(self, now: float) -> None:
        """Something came during the quarantine: an answer may take as long as this."""
        self._heard = now
        self.worst_s = max(self.worst_s, min(now - self._asked, LONGEST_QUIET_S))

    def distrust(self, now: float, *, desync: bool = False) -> None:
        """From here on nothing that comes can be told from a late answer."""
        self._heard = now
        self._since = now if self._since is None else self._since
        self.desyncs += desync

    def rest_s(self, now: float) -> float:
        """Seconds of silence that are still needed; 0: the line is free."""
        quiet_s = min(max(QUIET_S, _TIMES_WORST * self.worst_s), LONGEST_QUIET_S)
        return max(0.0, self._heard + quiet_s - now) if self.active else 0.0

    def cost_s(self, now: float) -> float:
        """Seconds from the latest request to the end of the silence that follows it."""
        return now - self._asked + self.rest_s(now)

    def noisy(self, now: float) -> bool:
        """It has lasted so long that only opening the port anew may help."""
        return self._since is not None and now - self._since > MOST_NOISE_S

    def over(self) -> None:
        self._since = None
