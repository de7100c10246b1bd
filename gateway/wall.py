"""Tells the rules what the wall clock shows, whenever that changes: a time server set it, or lost it."""

import asyncio
import logging

from gateway.bus import Bus
from gateway.clock import Clock
from gateway.decider import RuleDecider

log = logging.getLogger(__name__)

LOOK_S = 1.0
STEP_NS = 50_000_000  # smaller changes are a time server's gentle corrections


def offset(clock: Clock) -> int | None:
    """UTC minus engine time, ns; None while the wall clock cannot be trusted."""
    return clock.time_ns() - clock.boottime_ns() if clock.ok else None


class Wall:
    def __init__(self, clock: Clock, decider: RuleDecider, bus: Bus) -> None:
        self._clock = clock
        self._decider = decider
        self._bus = bus

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        now, known = offset(self._clock), self._decider.wall_ns
        if now == known or (now is not None and known is not None and abs(now - known) < STEP_NS):
            return
        if known is not None and now is not None:
            log.warning("the wall clock was set by %.3f s", (now - known) / 1e9, extra={"component": "wall"})  # fmt: skip
        self._decider.turn(now, self._clock.boottime_ns(), self._bus)
        self._bus.rearm()
