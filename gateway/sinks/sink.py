"""What the app expects of a destination, and what a destination tells `status`."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from gateway.health import LinkHealth


class LaneStatus(NamedTuple):
    """One lane of one sink. `backlog` and what follows count items; totals since the start.

    `oldest_time_ns` is the time of the oldest item that is not acknowledged, None without a
    backlog. `rate_per_s` counts items acknowledged over the last 60 s. `parked` says why the broker
    takes nothing of the lane, "" if it does. `bytes_today` is what has left since midnight in the
    gateway's time zone, None where it is not metered; `bytes_by_day` goes back two months.
    """

    lane: int
    backlog: int
    oldest_time_ns: int | None
    sent: int
    acked: int
    rate_per_s: float
    dead: int
    parked: str = ""
    bytes_today: int | None = None
    bytes_by_day: Mapping[str, int] = {}


class Sink(Protocol):
    """A reader of the journal with a cursor of its own for each lane. Opens nothing before `run`.

    `run` works until it is cancelled and never returns; it raises LinkDown or Refused when the
    peer fails and has closed everything it opened by then. Sinks never reconnect: the supervisor
    starts `run` again.
    """

    @property
    def name(self) -> str: ...
    @property
    def health(self) -> LinkHealth: ...

    async def run(self) -> None: ...

    def lanes(self) -> tuple[LaneStatus, ...]: ...

    async def drain(self, timeout_s: float) -> bool:
        """A stop: deliver what the journal holds now, lanes 0 and 1 at least; False if time is over first."""
