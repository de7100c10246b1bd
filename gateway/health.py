"""What drivers and sinks tell about themselves: plain counters that `status` copies."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.beat import Beat
from gateway.snapshot import HearingPart


class Word(StrEnum):
    """Health in one word; the order is the exit code of `gateway status`."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    CRITICAL = "critical"

    @property
    def code(self) -> int:
        return list(Word).index(self)


class LinkState(StrEnum):
    STARTING = "starting"
    UP = "up"
    DOWN = "down"
    REFUSED = "refused"


@dataclass(slots=True)
class LinkHealth:
    """One link or upstream. The supervisor writes `state`, `since_ns` and `reason`.

    Its owner calls `good` whenever the peer answered and counts in `connects` and `counters`
    (totals since the start, by name). Times are CLOCK_BOOTTIME ns, 0 = never.
    """

    state: LinkState = LinkState.STARTING
    since_ns: int = 0
    reason: str = ""
    last_good_ns: int = 0
    connects: int = 0
    counters: Counter[str] = field(default_factory=Counter)
    note: str = ""  # what is wrong though it works, for the operator
    on_up: Callable[[], None] | None = None  # set by the supervisor
    # Turned by the supervisor at each attempt and by what runs, if it has a loop of its own.
    beat: Beat = field(default_factory=Beat)

    def good(self, now_ns: int) -> None:
        """The peer answered; the first time after a start or a fault the link is up again."""
        self.last_good_ns = now_ns
        if self.state is not LinkState.UP and self.on_up is not None:
            self.on_up()


@dataclass(slots=True)
class DeviceHealth:
    """One device: what came (`good`), what failed by reason (`errors`), how it acknowledges."""

    last_good_ns: int = 0
    good: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    online: bool | None = None  # as the device or its last will says; None: nobody said
    level: str = ""  # how messages are acknowledged: L3 by us, L1 by the broker, "" not at all
    note: str = ""  # a standing remark for the operator, e.g. "no message ids: at least once"
    # How well it is heard, if it comes by radio; takes CLOCK_BOOTTIME.
    hearing: Callable[[int], HearingPart] | None = None
