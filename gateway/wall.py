"""Tells the rules what the wall clock shows, whenever that changes: a time server set it, or lost it."""

import asyncio
import logging

from gateway.bus import Bus
from gateway.clock import Clock, offset_of
from gateway.decider import RuleDecider
from gateway.model import EventKind, Severity
from gateway.moments import Moments
from gateway.timeline import offset

log = logging.getLogger(__name__)

LOOK_S = 1.0
BEAT_S = 60.0  # without a right wall clock a crash takes so much of the delays that are running
STEP_NS = 50_000_000  # smaller changes are a time server's gentle corrections
TOLD_NS = 500_000_000  # steps from here on are events


class Wall:
    def __init__(self, clock: Clock, decider: RuleDecider, bus: Bus, moments: Moments) -> None:
        self._clock = clock
        self._decider = decider
        self._bus = bus
        self._moments = moments
        self._failing = False
        self._beat_ns = clock.boottime_ns()
        self._shown = offset_of(clock)  # wall minus boot time, whether it can be trusted or not
        self._trusted = clock.ok

    async def run(self) -> None:
        """Works until cancelled."""
        self._decider.beat(self._beat_ns, self._bus)  # else nothing to count from after a reboot
        try:
            while True:
                self.look()
                self._beat()
                await self._save()
                await asyncio.sleep(LOOK_S)
        finally:
            self._decider.beat(self._clock.boottime_ns(), self._bus)
            await self._save()

    def _beat(self) -> None:
        now = self._clock.boottime_ns()
        if now - self._beat_ns >= BEAT_S * 1e9:
            self._beat_ns = now
            self._decider.beat(now, self._bus)

    async def _save(self) -> None:
        """What has occurred; a disk that fails costs this memory, not the rules."""
        try:
            await asyncio.to_thread(self._moments.save, self._decider.occurred())
        except OSError as error:
            if not self._failing:
                log.warning("the moments of rules cannot be kept: %s", error, extra={"component": "wall"})  # fmt: skip
            self._failing = True
        else:
            self._failing = False

    def look(self) -> None:
        self._tell()
        now, known = offset(self._clock), self._decider.wall_ns
        if now == known or (now is not None and known is not None and abs(now - known) < STEP_NS):
            return
        self._decider.turn(now, self._clock.boottime_ns(), self._bus)
        self._bus.rearm()

    def _tell(self) -> None:
        """An event for a clock that was set, or that can be trusted now, or no longer."""
        shown, trusted = offset_of(self._clock), self._clock.ok
        step_ns = shown - self._shown
        self._shown = shown
        if abs(step_ns) <= TOLD_NS and trusted == self._trusted:
            return
        self._trusted = trusted
        what: dict[str, object] = {"seconds": round(step_ns / 1e9, 3), "trusted": trusted}
        log.warning(
            "the wall clock was set by %.3f s and is %s", step_ns / 1e9,
            "trusted" if trusted else "not trusted", extra={"component": "wall"},
        )  # fmt: skip
        self._bus.emit(EventKind.CLOCK_STEP, Severity.OPERATIONAL, "gateway", what)
