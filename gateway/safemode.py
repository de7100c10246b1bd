"""A crash loop must not take the fire alarm with it: after five crashes in a minute only what
protects people runs.

Safe mode keeps the drivers, the rules of priority or alarm severity life and safety, commands, the
journal, and lane 0 to the platforms. It ends after ten minutes without a crash, and at the first start after a stop
in order.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from gateway.clock import Clock, boot_id
from gateway.config import Config
from gateway.model import LANE_ALARM
from gateway.store.identity import sync_directory
from rules.slots import protective

log = logging.getLogger(__name__)

FILE = "starts"  # in the state directory
CRASHES = 5
SPAN_S = 60.0
STABLE_S = 600.0


@dataclass(frozen=True, slots=True)
class _Starts:
    """Starts since the last stop in order, and whether the last of them was in safe mode.

    Times are CLOCK_BOOTTIME of the boot `boot`: the wall clock may be wrong or step. `release` is the
    environment that ran: after going back from a release that crashed, its crashes do not count.
    """

    boot: str = ""
    release: str = ""
    at_ns: Sequence[int] = ()
    safe: bool = False


class SafeMode:
    """Blocking, but for `over`. `reason` is "" in normal operation."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self.reason = ""

    def begin(self) -> None:
        """Note a start; the state directory is ours already. Decides whether this one is safe."""
        now_ns, boot = self._clock.boottime_ns(), boot_id()
        try:
            before = _read(self._directory)
            if before.release != sys.prefix:
                before = _Starts()
            crashed = _recent(before, boot, now_ns)
            if before.safe or len(crashed) >= CRASHES:
                self.reason = _words(len(crashed))
                log.error("%s", self.reason, extra={"component": "app"})
            _write(
                self._directory, _Starts(boot, sys.prefix, (*crashed, now_ns), bool(self.reason))
            )
        except OSError as error:
            extra = {"component": "app"}
            log.warning("this start is not noted, a crash loop would not be seen: %s", error, extra=extra)  # fmt: skip

    def end(self) -> None:
        """The stop was in order."""
        try:
            _write(self._directory, _Starts())
        except OSError as error:
            log.warning("this stop is not noted: %s", error, extra={"component": "app"})

    async def over(self, stop: asyncio.Event) -> None:
        """Returns at `stop`; in safe mode also when it has lasted long enough."""
        try:
            async with asyncio.timeout(STABLE_S if self.reason else None):
                await stop.wait()
        except TimeoutError:
            extra = {"component": "app"}
            log.info(
                "no crash for %g min: starting again with everything", STABLE_S / 60, extra=extra
            )


def reduced(config: Config) -> Config:
    """What of a configuration safe mode keeps."""
    upstream = {
        name: section.model_copy(update={"lanes": [LANE_ALARM]})
        for name, section in config.upstream.items()
        if LANE_ALARM in section.lanes
    }
    rules = protective(config.rules)
    return replace(config, rules=rules, upstream=upstream, influxdb=None)


def _words(crashes: int) -> str:
    why = f"{crashes} crashes in {SPAN_S:g} s" if crashes >= CRASHES else "a crash in safe mode"
    return (
        f"safe mode after {why}: only life and safety rules, drivers, commands and lane 0 work; "
        f"it ends after {STABLE_S / 60:g} min without a crash, or stop and start the gateway"
    )


def _recent(before: _Starts, boot: str, now_ns: int) -> list[int]:
    """Starts of the last minute. A machine does not boot five times in one."""
    if before.boot != boot:
        return []
    return [at for at in before.at_ns if 0 <= now_ns - at <= SPAN_S * 1e9]


def _read(directory: Path) -> _Starts:
    """None of them if there is no file, or one that is not ours to understand."""
    try:
        found = orjson.loads((directory / FILE).read_bytes())
        return _Starts(
            str(found["boot"]),
            str(found["release"]),
            [int(at) for at in found["at_ns"]],
            found["safe"] is True,
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return _Starts()


def _write(directory: Path, starts: _Starts) -> None:
    """Durable on return, old or new content at any power cut."""
    new = directory / f"{FILE}.new"
    with new.open("wb") as file:
        content = {
            "boot": starts.boot,
            "release": starts.release,
            "at_ns": list(starts.at_ns),
            "safe": starts.safe,
        }
        file.write(orjson.dumps(content))
        file.flush()
        os.fsync(file.fileno())
    new.replace(directory / FILE)
    sync_directory(directory)
