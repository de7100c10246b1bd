"""Bytes that left on an upstream, by day and lane: what a metered line will be charged for."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import orjson

from gateway.clock import Clock

log = logging.getLogger(__name__)

SAVE_S = 300.0  # what a power cut takes from the books, against the wear of the card
DAYS = 62  # two months, for whoever compares with a bill
UNDATED = "undated"  # while the clock is not right

Days = dict[str, dict[int, int]]


def packet_bytes(topic: str, payload: bytes) -> int:
    """Length of a PUBLISH with QoS 1 and no properties (MQTT 5, 3.3), without TLS and TCP."""
    length = 2 + len(topic.encode()) + 2 + 1 + len(payload)
    return 1 + sum(length >= 1 << 7 * n for n in range(4)) + length


class Meter:
    """Days are those of `zone`. What is sent again counts again. Kept in one small file.

    Nothing is read before `load`, nothing raised if the file cannot be read or written: the books
    are then of this run only, and the log says so.
    """

    def __init__(self, directory: Path, name: str, zone: ZoneInfo, clock: Clock) -> None:
        self._path = directory / f"upstream-{name}.json"
        self._zone, self._clock = zone, clock
        self._days: Days = {}
        self._day, self._until_ns = UNDATED, 0
        self._loaded = self._changed = False

    def add(self, lane: int, size: int) -> None:
        if not self._clock.time_ns() < self._until_ns:
            self._turn()
        day = self._days.setdefault(self._day, {})
        day[lane] = day.get(lane, 0) + size
        self._changed = True

    def today(self, lane: int) -> int:
        self._turn()
        return self._days.get(self._day, {}).get(lane, 0)

    def by_day(self, lane: int) -> dict[str, int]:
        """Bytes by ISO date, oldest first."""
        return {day: lanes[lane] for day, lanes in sorted(self._days.items()) if lane in lanes}

    async def keep(self) -> None:
        """Save from time to time, until cancelled."""
        while True:
            await asyncio.sleep(SAVE_S)
            await self.save()

    async def load(self) -> None:
        """Read what earlier runs counted; once."""
        if not self._loaded:
            self._loaded = True
            for day, lanes in (await asyncio.to_thread(_read, self._path)).items():
                for lane, size in lanes.items():
                    mine = self._days.setdefault(day, {})
                    mine[lane] = mine.get(lane, 0) + size

    async def save(self) -> None:
        if self._changed:
            self._changed = False
            await asyncio.to_thread(_write, self._path, orjson.dumps(_named(self._days)))

    def _turn(self) -> None:
        """Find out which day it is, and until when."""
        if not self._clock.ok:
            self._day, self._until_ns = UNDATED, 0
            return
        now = datetime.fromtimestamp(self._clock.time_ns() / 1e9, self._zone)
        midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), self._zone)
        self._day, self._until_ns = now.date().isoformat(), int(midnight.timestamp() * 1e9)
        for day in sorted(self._days)[:-DAYS]:
            del self._days[day]


def _named(days: Mapping[str, Mapping[int, int]]) -> dict[str, dict[str, int]]:
    return {day: {str(lane): size for lane, size in lanes.items()} for day, lanes in days.items()}


def _read(path: Path) -> Days:
    try:
        found = orjson.loads(path.read_bytes())
        return {
            str(day): {int(lane): int(size) for lane, size in lanes.items()}
            for day, lanes in found.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        extra = {"component": "upstream"}
        log.warning("%s: %s; bytes are counted anew", path, error, extra=extra)
        return {}


def _write(path: Path, content: bytes) -> None:
    """The old or the new content at a crash; no sync, it is not worth the wear."""
    new = path.with_suffix(".new")
    try:
        new.write_bytes(content)
        new.replace(path)
    except OSError as error:
        log.warning("%s is not written: %s", path, error, extra={"component": "upstream"})
