"""What a device shows after a write has ended: whether it comes late, and whether it stays."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.attempt import Plan
from gateway.claims import Claim, Place, Told
from gateway.model import RETAINED, Command, CommandResult, Outcome, Value
from gateway.state import Reading, State

LATE_S = 600.0  # so long after its end a write that was not confirmed may still be
REWRITE_S = 30.0  # at least between two writes of a held value that the device does not keep
REWRITES = 10  # of them in an hour; then somebody else wants another value, and wins
HOUR_S = 3600.0
UNDER_WAY = (
    8  # writes of one point; a device that is slow, and a rule that flaps, could pile them up
)
LIFE_S = 60.0  # what saves lives is written again so often, without end


@dataclass(slots=True, eq=False)
class Flight:
    """The write of the value that rules a point, from its first attempt until another one rules.

    `told` hear of its end. `again` are the loop times at which it was written again, `not_before` that
    before which it is not.
    """

    value: Value
    told: list[Told] = field(default_factory=list)
    again: deque[float] = field(default_factory=lambda: deque(maxlen=REWRITES))
    result: CommandResult | None = None
    not_before: float = 0.0

    @property
    def confirmed(self) -> bool:
        return self.result is not None and self.result.outcome in {
            Outcome.CONFIRMED,
            Outcome.LATE_CONFIRMED,
        }

    def pause(self, now: float, *, life: bool) -> None:
        """It is not written again for a while."""
        self.not_before = now + (LIFE_S if life else REWRITE_S)

    def spent(self, now: float) -> bool:
        """It was written again as often as it may be in an hour."""
        return len(self.again) == REWRITES and self.again[0] > now - HOUR_S


class Carried(NamedTuple):
    """A write of a rule that is under way, and the task that carries it out."""

    task: asyncio.Task[None]
    command: Command
    claim: Claim
    flight: Flight


class Watches:
    """Who watches a point after its write, and the writes of the values that rule."""

    def __init__(self) -> None:
        self.flights: dict[Place, Flight] = {}
        self._carried: dict[Place, list[Carried]] = {}
        self._tasks: dict[Place, asyncio.Task[object]] = {}

    def carry(self, place: Place, one: Carried) -> Carried | None:
        """Until its task ends it is under way; the oldest, if there are too many of the point."""
        line = self._carried.setdefault(place, [])
        line.append(one)
        one.task.add_done_callback(lambda _task: self._carried_out(place, one))
        return line.pop(0) if len(line) > UNDER_WAY else None

    def _carried_out(self, place: Place, one: Carried) -> None:
        line = [other for other in self._carried.get(place, ()) if other.task is not one.task]
        if line:
            self._carried[place] = line
        else:
            self._carried.pop(place, None)

    def enter(self, place: Place) -> None:
        """The current task watches the point from now on; `leave` cancels it."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks[place] = task

    def leave(self, place: Place) -> None:
        """Another write of the point begins, or nobody holds it any more."""
        self.flights.pop(place, None)
        task = self._tasks.pop(place, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()


class Guard:
    """Watches the feedback of one point; `late` is told of a confirmation that was missing."""

    def __init__(
        self, state: State, place: Place, how: Plan, late: Callable[[Reading], None]
    ) -> None:
        self._state = state
        self._device = place[0]
        self._how = how
        self._late = late

    async def comes(self, within: float | None) -> bool:
        """The device shows the value within this time (s)."""
        reading = await self._seen(lambda reading: self._how.shows(reading.value), within)
        if reading is not None:
            self._late(reading)
        return reading is not None

    async def lost(self, flight: Flight, *, life: bool) -> bool:
        """Returns when the value is to be written again; False: it was too often."""
        now = asyncio.get_running_loop().time
        while True:
            if life and not flight.confirmed:
                if not await self.comes(LIFE_S):
                    return True
                continue
            await self._seen(lambda reading: self._news(reading, flight), None)
            if await self.comes(self._how.within):
                continue
            if not life and flight.spent(now()):
                return False
            wait_s = flight.not_before - now()
            if wait_s <= 0 or not await self.comes(wait_s):
                return True

    def _news(self, reading: Reading, flight: Flight) -> bool:
        """The device shows another value, or at last the one that it should."""
        if reading.value is None:
            return False
        if not self._how.shows(reading.value):
            return True
        if not flight.confirmed:
            self._late(reading)
        return False

    async def _seen(
        self, accept: Callable[[Reading], bool], within: float | None
    ) -> Reading | None:
        def live(reading: Reading) -> bool:
            return reading.quality != RETAINED and accept(reading)

        with self._state.watch(self._device, self._how.feedback, live) as seen:
            try:
                async with asyncio.timeout(within):
                    return await seen
            except TimeoutError:
                return None
