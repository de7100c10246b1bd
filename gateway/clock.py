"""The only place that asks the machine what time it is."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

# A clock that shows an earlier time than this release cannot be right (a Pi without RTC boots in 1970).
RELEASE_TIME_NS = 1_764_028_800_000_000_000  # 2025-11-25T00:00:00Z

_SYSTEMD = Path("/run/systemd/system")  # exists when systemd runs (sd_booted(3))
_SYNCHRONIZED = Path("/run/systemd/timesync/synchronized")  # touched by systemd-timesyncd(8)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # random(4)

ASK_S = 60.0
_NOTE_NS = 600 * 10**9
# A clock that ran ahead for a while must not make us doubt it for ever: what is later than this is
# not remembered.
_LATEST_NS = RELEASE_TIME_NS + 20 * 365 * 86_400 * 10**9


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
    sync. Where it does not run (a container) the host keeps the clock and no one can be asked: then
    the time must not be before the last good one that `remember` names.
    """

    def __init__(self) -> None:
        self.boot = 0
        self.ok = False
        self._asked = float("-inf")
        self._answer = False
        self._last_good: LastGood | None = None
        self.refresh(ask=False)

    def remember(self, directory: Path) -> None:
        """Keep the last good time in this folder, which is ours. Blocks."""
        self._last_good = LastGood(directory / "clock")
        self.refresh()

    def refresh(self, *, ask: bool = True) -> None:
        """Look again whether the clock is in sync; if it has to `ask` for it that takes up to 5 s, so not
        on the event loop.
        """
        now_ns = self.time_ns()
        if _SYSTEMD.exists():
            good = _SYNCHRONIZED.exists() or (ask and self._timedatectl())
        else:
            good = self._last_good is None or now_ns >= self._last_good.time_ns
        self.ok = good and now_ns >= RELEASE_TIME_NS
        if self.ok and self._last_good is not None:
            self._last_good.note(now_ns)

    def _timedatectl(self) -> bool:
        """NTP by chrony or ntpd makes no file; systemd-timedated(8) knows of them. Asked once a minute."""
        now = time.monotonic()
        if now - self._asked >= ASK_S:
            self._asked, self._answer = now, _synchronized()
        return self._answer

    def time_ns(self) -> int:
        return time.time_ns()

    def boottime_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class LastGood:
    """The latest time at which the clock was trusted, in a file; a lost or odd one is as none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.time_ns = 0
        with suppress(OSError, ValueError):
            self.time_ns = min(int(path.read_text()), _LATEST_NS)

    def note(self, now_ns: int) -> None:
        """At most every 10 min; a disk that fails costs this memory only."""
        if now_ns - self.time_ns < _NOTE_NS:
            return
        self.time_ns = min(now_ns, _LATEST_NS)
        new = self._path.with_suffix(".new")
        with suppress(OSError):
            new.write_text(str(self.time_ns))
            new.replace(self._path)


def _synchronized() -> bool:
    import subprocess  # noqa: PLC0415 -- commands that have no clock to ask start without it

    command = ["timedatectl", "show", "-p", "NTPSynchronized", "--value"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=False)  # noqa: S603 -- a fixed command
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == b"yes"


def offset_of(clock: Clock) -> int:
    """Wall minus boot time, in whole ms (as ns): two looks at one clock give the same."""
    return round(clock.time_ns() - clock.boottime_ns(), -6)


def boot_id() -> str:
    """The kernel's id of this boot, or "" where it is hidden: then every start counts as a boot."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
