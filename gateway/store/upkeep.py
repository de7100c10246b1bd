"""The clean-up as the writer thread runs it: between two commits, and when the disk is full."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.clock import Clock
from gateway.errors import StoreFull
from gateway.model import Event
from gateway.store.access import Access
from gateway.store.ballast import Ballast, Disk, is_full
from gateway.store.limits import limits_of
from gateway.store.retention import Evicted, Holding, Keeper, Moves, Sinks
from gateway.store.settings import StoreSettings

SHEDDING = "storage: disk full: samples are not stored"


class Upkeep:
    """`due` is when `turn` is wanted (time.monotonic); `report` gets what the event loop must know."""

    def __init__(
        self,
        directory: Path,
        settings: StoreSettings,
        clock: Clock,
        *,
        sinks: Sinks,
        report: Callable[[Evicted | Holding], None],
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._sinks = sinks
        self._report = report
        self._keeper: Keeper | None = None
        self._held: Holding | None = None
        self._segment: int | None = None
        self.due = 0.0

    @property
    def shedding(self) -> StoreFull | None:
        """Why samples are not stored just now: the reserve is given up."""
        if self._keeper is None or self._keeper.reserve:
            return None
        return StoreFull(SHEDDING)

    def turn(self, access: Access, moves: Moves) -> None:
        """One step if it is time, or if a new segment was begun. Raises sqlite3.Error, OSError.

        `moves` are cursors that are not on disk yet.
        """
        newest = access.journal.newest_segment
        if time.monotonic() < self.due and newest == self._segment:
            return
        keeper = self._keeper_of(access)
        try:
            self.due = time.monotonic() + keeper.turn(moves)
        finally:
            self._tell(keeper)
        self._segment = newest

    def relieve(self, access: Access, error: Exception, moves: Moves) -> bool:
        """A write has failed; True if the disk was full and something was freed for another try."""
        if not is_full(error) or access.broken:
            return False
        keeper = self._keeper_of(access)
        try:
            return keeper.relieve(moves)
        finally:
            self._tell(keeper)

    def refusal(self, events: Sequence[Event], moves: Moves) -> StoreFull | None:
        """Why these events cannot be stored: their quota is full of undelivered ones."""
        if self._keeper is None:
            return None
        try:
            return self._keeper.refusal(events, moves)
        finally:
            self._tell(self._keeper)

    def _keeper_of(self, access: Access) -> Keeper:
        if self._keeper is None:
            disk, ballast = Disk(self._directory), Ballast(self._directory)
            limits = limits_of(self._settings, disk, ballast)
            self._keeper = Keeper(
                access, limits, disk, ballast, sinks=self._sinks, clock=self._clock
            )
        return self._keeper

    def _tell(self, keeper: Keeper) -> None:
        for evicted in keeper.evicted():
            self._report(evicted)
        holding = keeper.holding
        if holding != self._held:
            self._held = holding
            self._report(holding)
