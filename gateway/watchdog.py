"""Feeds systemd's watchdog as long as every stage gets on, whether it succeeds or not.

A stage whose peer is away turns all the same: it tries, waits, tries again. So an offline gateway is
not restarted, and one whose loop hangs is.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from gateway.beat import Beat
from gateway.lag import Lag
from gateway.systemd import Systemd

log = logging.getLogger(__name__)

# Each must exceed the longest wait of its loop. The disk may keep the last two waiting: a card that
# stalls must not stop local reactions, and a restart would hang in opening the journal. Back-off
# (60 s) and the time-outs of connecting are shorter.
INGEST_S, COMMIT_S, FORWARD_S = 15.0, 300.0, 300.0
SANE_LAG_S = 5.0  # a loop that answers nobody for so long counts as one that hangs
FEEDS = 3  # in the time that systemd waits: two may get lost


class Stage(NamedTuple):
    """`deadline_s`: how old its beat may be."""

    name: str
    beat: Beat
    deadline_s: float


class Watchdog:
    """Runs as a task; `stages` is asked each time, as sinks come and go with the configuration."""

    def __init__(self, systemd: Systemd, lag: Lag, stages: Callable[[], Iterable[Stage]]) -> None:
        self._systemd, self._lag, self._stages = systemd, lag, stages
        self._told = ""

    async def run(self) -> None:
        """Until cancelled; ends at once where systemd does not ask for it."""
        if self._systemd.watchdog_s is None:
            return
        every_s, loop = self._systemd.watchdog_s / FEEDS, asyncio.get_running_loop()
        while True:
            due = loop.time() + every_s
            await asyncio.sleep(every_s)
            self._feed(self.complaint(loop.time() - due))

    def complaint(self, late_s: float) -> str:
        """What does not get on, "" if all does; `late_s` is how late the caller's own turn came."""
        worst_s = max(late_s, self._lag.take_worst_ms() / 1e3)
        if worst_s >= SANE_LAG_S:
            return f"the event loop was blocked for {worst_s:.0f} s"
        late = (
            f"{stage.name} has not turned for {stage.beat.age_s():.0f} s"
            for stage in self._stages() if stage.beat.age_s() > stage.deadline_s
        )  # fmt: skip
        return "; ".join(late)

    def _feed(self, complaint: str) -> None:
        if not complaint:
            self._systemd.alive()
        if complaint != self._told:
            if complaint:
                log.error("watchdog not fed: %s", complaint, extra={"component": "watchdog"})
            self._systemd.status(f"not fed: {complaint}" if complaint else "running")
        self._told = complaint
