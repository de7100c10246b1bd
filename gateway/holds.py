"""What people and platforms hold for a while: until when, also over restarts.

Each hold is a row beside those of the rules (`gateway.store.kept`), in their time (`gateway.timeline`):
CLOCK_BOOTTIME plus a base, which goes on over reboots.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol
from uuid import UUID

import orjson

from gateway.claims import MAX_HOLD_S, Place
from gateway.clock import Clock
from gateway.model import Command, Value
from gateway.store.kept import Rows

log = logging.getLogger(__name__)

HOLD = "hold "  # how the names of the rows begin; ids of rules, and so of instances, have no space


class Shelf(Protocol):
    """What holds need of the store; `gateway.bus` implements it."""

    def keep(self, rows: Rows) -> None: ...
    def settle(self) -> Awaitable[None]: ...


class Held(NamedTuple):
    """Somebody wants a point to have a value until `ends` (engine time, ns)."""

    device: str
    point: str
    value: Value
    origin: str
    by: str
    ends: int
    cause: UUID | None = None

    @property
    def place(self) -> Place:
        return self.device, self.point


End = Callable[[Place], None]


class Holds:
    """One for each point. Without a `shelf` nothing outlives the process."""

    def __init__(self, clock: Clock, shelf: Shelf | None = None) -> None:
        self._clock = clock
        self._base = 0
        self._held: dict[Place, Held] = {}
        self._timers: dict[Place, asyncio.TimerHandle] = {}
        self._before: set[Place] = set()  # those from before the restart
        self.shelf = shelf

    def recall(self, rows: Mapping[str, bytes], base: int) -> None:
        """After a restart, before anything is held. `base`: engine time minus CLOCK_BOOTTIME, ns."""
        self._base = base
        latest = self._now() + round(MAX_HOLD_S * 1e9)
        for name, body in rows.items():
            if not name.startswith(HOLD):
                continue
            held = held_of(body)
            if held is None:
                what = "what is held of %s is not understood"
                log.error(what, name.removeprefix(HOLD), extra={"component": "commands"})
            else:
                self._held[held.place] = held._replace(ends=min(held.ends, latest))
        self._before = set(self._held)

    def from_before(self) -> list[Held]:
        """What was held when the gateway went off; each is to `go_on` or to be dropped."""
        return [self._held[place] for place in sorted(self._before)]

    def of(self, place: Place) -> Held | None:
        """What is held there."""
        return self._held.get(place)

    def begin(self, command: Command, seconds: float, end: End) -> None:
        """Hold from now on; `end` is called when the time is over, unless it is dropped before."""
        ends = self._now() + round(seconds * 1e9)
        self._set(
            Held(
                command.device, command.point, command.value, command.origin, command.by, ends,
                command.cause,
            ),
            end,
        )  # fmt: skip

    def go_on(self, held: Held, end: End) -> bool:
        """As `begin`, for one from before the restart. False: its time is over, `end` comes at once."""
        self._arm(held, end)
        return held.ends > self._now()

    def drop(self, place: Place) -> bool:
        """It is held no more; False if it was not."""
        held = self._held.pop(place, None)
        timer = self._timers.pop(place, None)
        self._before.discard(place)
        if timer is not None:
            timer.cancel()
        if held is not None and self.shelf is not None:
            self.shelf.keep({_name(place): None})
        return held is not None

    def sooner(self, by_ns: int, end: End) -> None:
        """The gateway was off for longer than it could know: what it went on with ends earlier."""
        for place in sorted(self._before):
            held = self._held[place]
            self._set(held._replace(ends=held.ends - by_ns), end)
        self._before.clear()

    def stop(self) -> None:
        """Nothing ends any more; the rows stay for the next start."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def settle(self) -> None:
        """Wait until what is held is on disk. Raises StoreFailed or StoreFull: a restart may end it."""
        if self.shelf is not None:
            await self.shelf.settle()

    def _set(self, held: Held, end: End) -> None:
        self._held[held.place] = held
        self._arm(held, end)
        if self.shelf is not None:
            self.shelf.keep({_name(held.place): _body(held)})

    def _arm(self, held: Held, end: End) -> None:
        old = self._timers.pop(held.place, None)
        if old is not None:
            old.cancel()
        left_s = max(0, held.ends - self._now()) / 1e9
        loop = asyncio.get_running_loop()
        self._timers[held.place] = loop.call_later(left_s, end, held.place)

    def _now(self) -> int:
        return self._clock.boottime_ns() + self._base


def _name(place: Place) -> str:
    return HOLD + ".".join(place)


def _body(held: Held) -> bytes:
    return orjson.dumps(held._asdict())


def held_of(body: bytes) -> Held | None:
    """None for a row that is not understood."""
    try:
        row = orjson.loads(body)
        cause = row["cause"]
        device, point, origin, by = (str(row[key]) for key in ("device", "point", "origin", "by"))
        ends, value = int(row["ends"]), row["value"]
        known = None if cause is None else UUID(cause)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    if not isinstance(value, bool | int | float | str):
        return None
    return Held(device, point, value, origin, by, ends, known)
