"""What a store is to its readers while storage fails. Loop thread only."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from gateway.clock import Clock
from gateway.model import Event, lane_of
from gateway.store.identity import next_epoch, read_epoch
from gateway.store.ring import Ring


class Outage:
    """`generation` rises when positions that a sink holds may be of no use any more: it takes its
    cursors from the store again then.
    """

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.generation = 0
        self._stored = False
        self._shed: Counter[int] = Counter()
        self._losses: list[dict[str, object]] = []

    def begin(self, epoch: int) -> None:
        """Storage fails, or fails on. `epoch` is the highest known one."""
        if self._stored:  # some of it became durable meanwhile, and has real positions
            self._stored = False
            self.generation += 1
            self.ring.begin(epoch)
        elif not self.ring.epoch:
            self.ring.begin(epoch)

    def began_at_start(self, directory: Path, clock: Clock) -> None:
        """As `begin`, before anything is open: the epoch file may tell, or the device fails."""
        try:
            known = read_epoch(directory)
        except OSError:
            known = 0
        self.begin(known or next_epoch(0, clock))

    def stored(self) -> None:
        """Events became durable, though storage may still fail for others."""
        self._stored = bool(self.ring.epoch)

    def end(self) -> None:
        self._stored = False
        if self.ring.epoch:
            self.generation += 1
            self.ring.end()
            for lane, count in sorted(self._shed.items()):
                self.lost({"lane": lane, "count": count, "reason": "storage_failed"})
            self._shed.clear()

    def shed(self, events: Iterable[Event]) -> None:
        self._shed.update(lane_of(event) for event in events)

    def lost(self, what: dict[str, object]) -> None:
        """The attributes of a `data_loss` event to come."""
        self._losses.append(what)

    def take_losses(self) -> list[dict[str, object]]:
        found, self._losses = self._losses, []
        return found
