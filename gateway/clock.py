"""The only place that asks the machine what time it is."""

import time
from pathlib import Path
from typing import Protocol

# A clock that shows an earlier time than this release cannot be right (a Pi without RTC boots in 1970).
RELEASE_TIME_NS = 1_764_028_800_000_000_000  # 2025-11-25T00:00:00Z

_SYSTEMD = Path("/run/systemd/system")  # exists when systemd runs (sd_booted(3))
_SYNCHRONIZED = Path("/run/systemd/timesync/synchronized")  # touched by systemd-timesyncd(8)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # random(4)


class Clock(Protocol):
    """Wall time for time stamps; the monotonic clocks for everything that waits or ages."""

    boot: int  # number of this boot, given by the store; 0 until it is open

    @property
    def ok(self) -> bool:
        """The wall clock can be trusted."""

    def time_ns(self) -> int:
        """UTC, ns since 1970."""

    def boottime_ns(self) -> int:
        """CLOCK_BOOTTIME: ns since boot, sleep included, never stepped."""


class SystemClock:
    """The machine's own clocks.

    `ok` needs a time later than this release, and, where systemd runs, its word that NTP is in
    sync. Where it does not run (a container) the host keeps the clock and no one can be asked.
    """

    def __init__(self) -> None:
        self.boot = 0
        self.ok = False
        self.refresh()

    def refresh(self) -> None:
        """Ask again whether the clock is in sync: two stat calls, so not on the event loop."""
        self.ok = self.time_ns() >= RELEASE_TIME_NS and (
            _SYNCHRONIZED.exists() or not _SYSTEMD.exists()
        )

    def time_ns(self) -> int:
        return time.time_ns()

    def boottime_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """The kernel's id of this boot, or "" where it is hidden: then every start counts as a boot."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
