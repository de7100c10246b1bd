"""A machine whose wall clock a test steers, for the real daemon: `Steered` writes the file, the sabotage
`steered_clock` reads it. The monotonic clocks are those of the machine.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

from gateway import app
from gateway.clock import RELEASE_TIME_NS, SystemClock
from gateway.store import recover

NAME = "steered-clock.json"  # in the folder of the configuration
SECOND = 1_000_000_000
YEAR_S = 365.25 * 86_400


class Steered:
    """`shown_ns` is what the wall shows; `drift_ppm` how much faster it runs than time does."""

    def __init__(self, folder: Path, shown_ns: int = 0, *, synced: bool = False) -> None:
        self._path = folder / NAME
        self._shown_ns, self._at_ns = shown_ns, _now_ns()
        self._synced, self._drift_ppm, self._boot = synced, 0.0, 1
        self._write()

    def shown_ns(self) -> int:
        return shown(json.loads(self._path.read_text()))

    def set(self, shown_ns: int, *, synced: bool, drift_ppm: float = 0.0) -> None:
        self._shown_ns, self._at_ns = shown_ns, _now_ns()
        self._synced, self._drift_ppm = synced, drift_ppm
        self._write()

    def step(self, seconds: float) -> None:
        self.set(self.shown_ns() + round(seconds * SECOND), synced=self._synced)

    def boot(self, shown_ns: int = 0) -> None:
        """The machine was off; it has no battery for its clock."""
        self._boot += 1
        self.set(shown_ns, synced=False)

    def right(self) -> None:
        """A time server has set it."""
        self.set(time.time_ns(), synced=True)

    def _write(self) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({
            "shown_ns": self._shown_ns, "at_ns": self._at_ns, "synced": self._synced,
            "drift_ppm": self._drift_ppm, "boot": self._boot,
        }))  # fmt: skip
        new.replace(self._path)


def shown(told: dict[str, float]) -> int:
    gone_ns = _now_ns() - told["at_ns"]
    return int(told["shown_ns"] + gone_ns + gone_ns * told["drift_ppm"] / 1e6)


def steer(path: Callable[[], Path]) -> None:
    """Replace the clock of this process by the one of the file."""

    def told() -> dict[str, float]:
        found: dict[str, float] = json.loads(path().read_text())
        return found

    def refresh(self: SystemClock, *, ask: bool = True) -> None:
        self.ok = bool(told()["synced"]) and self.time_ns() >= RELEASE_TIME_NS

    setattr(SystemClock, "time_ns", lambda _self: shown(told()))  # noqa: B010 -- replaced on purpose
    setattr(SystemClock, "refresh", refresh)  # noqa: B010 -- as above
    setattr(recover, "boot_id", lambda: f"boot-{told()['boot']}")  # noqa: B010 -- as above
    app.HOUSEKEEPING_S = 0.5


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
