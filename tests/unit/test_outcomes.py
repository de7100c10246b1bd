"""How a write ends, for every way in which a device may take it: a generated table against a naive account."""

import asyncio
from itertools import product
from typing import NamedTuple

import pytest

from gateway.claims import Claim
from gateway.errors import LinkDown, Refused
from gateway.model import CommandResult, Outcome
from gateway.terms import Terms
from tests.harness.virtual import virtual_time
from tests.unit.commands_site import BARRIER, ON, Rig

WITHIN, TIMEOUT, INTERVAL, LIFE = 2.0, 5.0, 1.0, 60.0  # s
KINDS = ("set", "set once", "command", "command once")  # once: the profile calls it not idempotent
DEVICES = ("obeys", "cut off once", "cut off", "refuses", "says nothing", "takes long")
RETRIES = (0, 1, 3, 20)
INTERRUPTS = ("nothing", "given back", "stronger", "newer")
AT = 4.3  # s: when the interruption comes


class Case(NamedTuple):
    kind: str
    device: str
    retry: int
    interrupt: str

    @property
    def held(self) -> bool:
        return self.kind.startswith("set")

    @property
    def attempts(self) -> int:
        """A command that must not be done twice is written once; a state is written again."""
        return 1 if self.kind == "command once" else 1 + self.retry


def took(case: Case, attempt: int) -> tuple[float, Outcome]:
    """How long an attempt takes, and how it ends."""
    match case.device:
        case "obeys":
            return 0.1, Outcome.CONFIRMED
        case "cut off once":
            return (0.0, Outcome.FAILED) if attempt == 1 else (0.1, Outcome.CONFIRMED)
        case "says nothing":
            return WITHIN, Outcome.UNCONFIRMED
        case "takes long":
            return TIMEOUT, Outcome.FAILED
    return 0.0, Outcome.FAILED


def account(case: Case) -> tuple[Outcome, int]:
    """The naive account: attempt after attempt on a clock of its own."""
    now, written, outcome = 0.0, -INTERVAL, Outcome.FAILED
    for attempt in range(1, case.attempts + 1):
        if attempt > 1:
            now += min(0.5 * 2 ** (attempt - 2), 10.0)
        now = max(now, written + INTERVAL)
        if now > AT and gives_way(case):
            return Outcome.SUPERSEDED, attempt - 1
        if now > LIFE:
            return Outcome.EXPIRED, attempt - 1
        written = now
        seconds, outcome = took(case, attempt)
        now += seconds
        if outcome is Outcome.CONFIRMED:
            break
    return outcome, attempt


def gives_way(case: Case) -> bool:
    if case.interrupt == "given back":
        return case.held
    if case.interrupt == "stronger":
        return True
    return case.interrupt == "newer"


def prepare(rig: Rig, case: Case) -> None:
    match case.device:
        case "cut off once":
            rig.lamp.faults = [LinkDown("cut")]
        case "cut off":
            rig.lamp.faults = [LinkDown("cut") for _ in range(50)]
        case "refuses":
            rig.lamp.faults = [Refused("no") for _ in range(50)]
        case "says nothing":
            rig.lamp.mute = True
        case "takes long":
            rig.lamp.faults = [3600.0] * 50


def interrupt(rig: Rig, case: Case, point: str) -> None:
    match case.interrupt:
        case "given back":
            rig.commands.release("lamp-1", point, "r")
        case "stronger":
            rig.commands.claim("lamp-1", point, Claim("fire", False, 2, 0, None))
        case "newer":
            rig.commands.order("lamp-1", point, Claim("other", False, 12, 0, None))


async def done(case: Case) -> tuple[Outcome, int]:
    rig = Rig()
    prepare(rig, case)
    ends: list[CommandResult] = []
    point = BARRIER if case.kind.endswith("once") else ON
    terms = Terms(within=WITHIN, retry=case.retry)
    async with rig.running():
        start = rig.commands.claim if case.held else rig.commands.order
        start("lamp-1", point, Claim("r", True, 12, 0, None, terms, ends.append))
        await asyncio.sleep(AT)
        interrupt(rig, case, point)
        await asyncio.sleep(2 * LIFE)
    first = ends[0]
    told = [e for e in rig.events if e.attributes["command"] == first.command.id]
    assert [e.attributes["outcome"] for e in told][:1] == [first.outcome], "told as it was answered"
    return first.outcome, first.attempts


CASES = [Case(*case) for case in product(KINDS, DEVICES, RETRIES, INTERRUPTS)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
@virtual_time
async def test_a_write_ends_as_a_naive_account_says(case: Case) -> None:
    assert await done(case) == account(case)
