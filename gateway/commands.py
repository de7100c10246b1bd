"""Writes to devices: what people and platforms want once or for a while, and what rules hold.

`execute` is for people and platforms, `claim`, `release` and `order` for rules. What is held is
watched after its write: a device that does not keep it is written again.
"""

import asyncio
from functools import partial

from gateway.attempt import Writer, plan
from gateway.claims import LIFE_LEVEL, MANUAL, MANUAL_LEVEL, MAX_HOLD_S, Claim, Place, Told
from gateway.errors import StoreFailed, StoreFull
from gateway.execution import Execution
from gateway.guard import LATE_S, UNDER_WAY, Carried, Flight, Guard
from gateway.model import Command, CommandResult, Outcome, uuid7
from gateway.state import Reading
from gateway.terms import AS_USUAL, Terms

SETTLE_S = 5.0  # who holds a point waits so long for the disk; a commit takes 0.1 s
COMMAND_LIFE_S = 60.0  # a claim that could not be written for so long is old news
# After these nothing is watched: another write took over, or none may be made.
_OVER = frozenset({Outcome.SUPERSEDED, Outcome.REFUSED, Outcome.OVERRIDDEN})


class Commands(Execution):
    """Lives as long as `run`."""

    _group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Owns the tasks of claims; works until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._group:
                await asyncio.Event().wait()
        finally:
            self._holds.stop()

    # -- claims ---------------------------------------------------------------------------------

    def claim(self, device: str, point: str, claim: Claim) -> None:
        """Hold a point; if that changes the value that rules there, its command starts at once."""
        place = (device, point)
        before = self._claims.ruling(place)
        self._claims.hold(place, claim)
        after = self._claims.ruling(place)
        if after is not None and (before is None or before.value != after.value):
            self._start(place, after)
            if after is claim:
                return  # its own write
        if claim.told is not None:
            self._join(place, claim, claim.told)

    def ruling(self, device: str, point: str) -> Claim | None:
        """Whose value rules there now."""
        return self._claims.ruling((device, point))

    def _join(self, place: Place, claim: Claim, told: Told) -> None:
        """The value of a claim ruled before it came, or a stronger one does: tell how its write ends."""
        flight = self._watches.flights.get(place)
        if not self._claims.rules(place, claim.value):
            why = "a claim of higher priority holds it"
            self._answer(told, CommandResult(self._command(place, claim), Outcome.SUPERSEDED, why))
        elif flight is None or (flight.result is not None and not flight.confirmed):
            self._start(place, claim)
        elif flight.result is None:
            flight.told.append(told)
        else:
            self._answer(told, flight.result)

    def release(self, device: str, point: str, holder: str) -> None:
        """Give a point back: the next claim rules, or the profile's `relinquish` value."""
        place = (device, point)
        before = self._claims.ruling(place)
        gone = self._claims.give_back(place, holder)
        if gone is None or before is not gone:
            return
        after = self._claims.ruling(place)
        if after is not None:
            if after.value != gone.value:
                self._start(place, after)
            return
        self._watches.leave(place)
        spec = self._spec(place)
        if spec is not None and spec.relinquish != "leave":
            back = Claim(gone.holder, spec.relinquish, gone.level, gone.rank, gone.cause)
            self._start(place, back, held=False)

    def order(self, device: str, point: str, claim: Claim) -> None:
        """Write a point once for a rule; starts at once."""
        self._start((device, point), claim, held=False)

    async def execute(
        self, command: Command, *, level: int = MANUAL_LEVEL, held: bool = False,
        first: Writer | None = None, terms: Terms = AS_USUAL, before: CommandResult | None = None,
    ) -> CommandResult:  # fmt: skip
        """As `Execution.execute`; what a person or a platform wants to hold is held from now on."""
        if command.hold_s is None or held or not self.takes(command, level):
            return await super().execute(
                command, level=level, held=held, first=first, terms=terms, before=before
            )
        if not 0 < command.hold_s <= MAX_HOLD_S:
            why = f"{command.hold_s:g} s is no time to hold a point: more than 0, at most 24 h"
            return self.refuse(command, Outcome.REFUSED, why)
        return await self._hold(command, command.hold_s)

    async def _hold(self, command: Command, seconds: float) -> CommandResult:
        place = (command.device, command.point)
        ended: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        told = partial(_settle, ended)
        claim = Claim(MANUAL, command.value, MANUAL_LEVEL, 0, command.cause, told=told)
        self._drop_manual(place)
        self._claims.hold(place, claim)
        self._holds.begin(command, seconds, self._give_back_manual)
        self._start(place, claim, command=command)
        result = await ended
        try:
            async with asyncio.timeout(SETTLE_S):
                await self._holds.settle()
        except (StoreFailed, StoreFull, TimeoutError) as error:
            what = str(error) or f"it is not on disk after {SETTLE_S:g} s"
            parts = [result.reason, f"a restart ends it: {what}"]
            why = "; ".join(part for part in parts if part)
            return result._replace(reason=why)
        return result

    def resume(self) -> None:
        """Go on with what people held before a restart; to be called before rules hold anything."""
        for held in self._holds.from_before():
            place, claim = held.place, Claim(MANUAL, held.value, MANUAL_LEVEL, 0, held.cause)
            command = self._command(place, claim)
            why = self._refusal(command)
            if why is not None:
                self._holds.drop(place)
                self.refuse(command, Outcome.REFUSED, why)
                continue
            self._claims.hold(place, claim)
            if self._holds.go_on(held, self._give_back_manual):
                self._resume(place, claim, command)

    def _resume(self, place: Place, claim: Claim, command: Command) -> None:
        """Write it again; what may be written only once is no more than watched."""
        spec = self._spec(place)
        if self._group is None:
            raise RuntimeError("resume before Commands.run")
        if spec is None or spec.idempotent:
            self._start(place, claim, command=command)
            return
        flight = Flight(claim.value, result=CommandResult(command, Outcome.UNKNOWN))
        self._watches.flights[place] = flight
        watching = self._look_after(place, claim, flight)
        self._group.create_task(watching, name=f"watch:{'.'.join(place)}")

    async def _look_after(self, place: Place, claim: Claim, flight: Flight) -> None:
        self._watches.enter(place)
        await self._watch(place, claim, flight, held=True)

    def sooner(self, by_ns: int) -> None:
        """As `Holds.sooner`."""
        self._holds.sooner(by_ns, self._give_back_manual)

    def _give_back_manual(self, place: Place) -> None:
        self.release(*place, MANUAL)
        self._holds.drop(place)

    # -- the write of a claim -------------------------------------------------------------------

    def _start(
        self, place: Place, claim: Claim, *, held: bool = True, command: Command | None = None,
        flight: Flight | None = None,
    ) -> None:  # fmt: skip
        """Write the value of `claim`; if it is `held`, only for as long as that value rules."""
        if self._group is None:
            raise RuntimeError("claim before Commands.run")
        self._watches.leave(place)
        if flight is None:
            flight = Flight(claim.value, [] if claim.told is None else [claim.told])
        if held:
            self._watches.flights[place] = flight
        command = command or self._command(place, claim)
        carry = self._carry(command, claim, flight, held=held)
        task = self._group.create_task(carry, name=f"command:{'.'.join(place)}")
        oldest = self._watches.carry(place, Carried(task, command, claim, flight))
        if oldest is not None:
            self._overtake(oldest)

    def _overtake(self, oldest: Carried) -> None:
        """Too many writes of the point are under way: the oldest ends here."""
        oldest.task.cancel()
        why = f"{UNDER_WAY} newer writes of the point are under way"
        result = CommandResult(oldest.command, Outcome.SUPERSEDED, why)
        self._tell(result, oldest.claim.level)
        for told in oldest.flight.told:
            self._answer(told, result)
        oldest.flight.told.clear()

    def _command(self, place: Place, claim: Claim) -> Command:
        """In the name of whoever holds the point: what rules may write is not what a person may."""
        held = self._holds.of(place) if claim.holder == MANUAL else None
        origin, by = ("rules", claim.holder) if held is None else (held.origin, held.by)
        not_after_ns = self._clock.boottime_ns() + int(COMMAND_LIFE_S * 1e9)
        command_id = str(uuid7(self._clock.time_ns()))
        return Command(command_id, *place, claim.value, not_after_ns, origin, None, claim.cause, by)  # fmt: skip

    async def _carry(self, command: Command, claim: Claim, flight: Flight, *, held: bool) -> None:
        """Its write, and then the watch over what the device shows."""
        before = flight.result
        result = await self.execute(
            command, level=claim.level, held=held, terms=claim.terms, before=before
        )
        flight.result = result
        if before is not None or not flight.confirmed:
            flight.pause(asyncio.get_running_loop().time(), life=claim.level <= LIFE_LEVEL)
        told, flight.told = flight.told, []
        for one in told:
            one(result)
        place = (command.device, command.point)
        if result.outcome in _OVER or self._newest.get(place) != command.id:
            return
        self._watches.enter(place)
        await self._watch(place, claim, flight, held=held)

    async def _watch(self, place: Place, claim: Claim, flight: Flight, *, held: bool) -> None:
        """Until another write of the point begins, which cancels this."""
        spec = self._spec(place)
        if spec is None:
            return
        how = plan(claim.value, spec, claim.terms, repeatable=held)
        late_until = asyncio.get_running_loop().time() + LATE_S
        guard = Guard(self._state, place, how, partial(self._late, flight, claim, late_until))
        if not held:
            if not flight.confirmed:
                await guard.comes(LATE_S)
            return
        again = await guard.lost(flight, life=claim.level <= LIFE_LEVEL)
        ruling = self._claims.ruling(place)
        if ruling is None or ruling.value != flight.value:
            return
        if again:
            flight.again.append(asyncio.get_running_loop().time())
            self._start(place, ruling, flight=flight)
        elif flight.result is not None:
            why = "the device does not keep what the rule wants: others set it too"
            self._tell(CommandResult(flight.result.command, Outcome.OVERRIDDEN, why), claim.level)

    def _late(self, flight: Flight, claim: Claim, until: float, reading: Reading) -> None:
        """The device shows the value after all."""
        if flight.result is None or flight.confirmed:
            return
        result = flight.result._replace(
            outcome=Outcome.LATE_CONFIRMED, reason="", value=reading.value
        )
        flight.result = result
        if asyncio.get_running_loop().time() <= until:
            self._tell(result, claim.level)
            if claim.told is not None:
                self._answer(claim.told, result)

    def _answer(self, told: Told, result: CommandResult) -> None:
        """Soon: who asks is in the middle of a decision."""
        asyncio.get_running_loop().call_soon(told, result)


def _settle(ended: asyncio.Future[CommandResult], result: CommandResult) -> None:
    if not ended.done():
        ended.set_result(result)
