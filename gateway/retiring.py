"""Devices that a reload removed: what the journal has of them is delivered first, then they are retired."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from gateway.clock import Clock
from gateway.driver import Device
from gateway.model import LANES, EventKind, Severity
from gateway.store.index import Position

MAX_DEVICES = 10_000  # that are remembered; more are retired at once


class Journal(Protocol):
    """What is needed of the store."""

    @property
    def epoch(self) -> int: ...
    def last(self, lane: int) -> int: ...
    def cursors(self) -> dict[tuple[str, int], Position]: ...


class Retiring:
    """`settle_s`: so long after the removal everything that it had said is in the journal."""

    def __init__(
        self, journal: Journal, clock: Clock, settle_s: float,
        tell: Callable[[EventKind, Severity, dict[str, object]], None],
    ) -> None:  # fmt: skip
        self._journal = journal
        self._clock = clock
        self._settle_ns = int(settle_s * 1e9)
        self._tell = tell
        self._removed_ns: dict[str, int] = {}
        self._goals: dict[str, dict[int, Position]] = {}
        self.devices: dict[str, Device] = {}  # for who needs their tags to deliver their records

    def remove(self, devices: Iterable[Device]) -> None:
        for device in list(devices)[: MAX_DEVICES - len(self.devices)]:
            self.devices[device.id] = device
            self._removed_ns[device.id] = self._clock.boottime_ns()

    def keep(self, names: Iterable[str]) -> None:
        """They are configured again."""
        for name in names:
            self._forget(name)

    def look(self, lanes: Mapping[str, Iterable[int]]) -> None:
        """Retire those whose records every sink has; `lanes` are those that the sinks take."""
        now_ns, cursors = self._clock.boottime_ns(), self._journal.cursors()
        for name in list(self.devices):
            if name not in self._goals:
                if now_ns - self._removed_ns[name] >= self._settle_ns:
                    epoch = self._journal.epoch
                    self._goals[name] = {n: Position(epoch, self._journal.last(n)) for n in LANES}
                continue
            goals = self._goals[name]
            wanted = [(sink, lane) for sink, own in lanes.items() for lane in own]
            if all(_reached(cursors.get(key), goals[key[1]]) for key in wanted):
                self._forget(name)
                self._tell(EventKind.DEVICE_RETIRED, Severity.OPERATIONAL, {"device": name})

    def _forget(self, name: str) -> None:
        self.devices.pop(name, None)
        self._removed_ns.pop(name, None)
        self._goals.pop(name, None)


def _reached(cursor: Position | None, goal: Position) -> bool:
    return goal.seq == 0 or (cursor is not None and cursor >= goal)
