"""Who holds a point, and whose value rules there."""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from gateway.model import CommandResult, Value
from gateway.terms import AS_USUAL, Terms

LIFE_LEVEL = 2  # claims up to here ignore the shortest write interval
SAFETY_LEVEL = 5
MANUAL_LEVEL = 8  # where a person's command stands among claims
MANUAL = "manual"  # holds what a person or a platform wants for a while
MAX_HOLD_S = 86_400.0  # so long at most

Place = tuple[str, str]  # device, point
Told = Callable[[CommandResult], None]


class Claim(NamedTuple):
    """A rule instance, or a person, wants a point to have a value for as long as it holds.

    `told` hears how its write ended; it must return at once.
    """

    holder: str
    value: Value
    level: int
    rank: int
    cause: UUID | None
    terms: Terms = AS_USUAL
    told: Told | None = None


class Claims:
    """The lowest level rules, then the lowest rank (BACnet priority array, ASHRAE 135-2020, 19.2)."""

    def __init__(self) -> None:
        self._held: dict[Place, dict[str, Claim]] = {}

    def hold(self, place: Place, claim: Claim) -> None:
        """One claim for each holder: a new one takes the place of the one before."""
        self._held.setdefault(place, {})[claim.holder] = claim

    def give_back(self, place: Place, holder: str) -> Claim | None:
        """None if the holder held nothing there."""
        held = self._held.get(place, {})
        gone = held.pop(holder, None)
        if not held:
            self._held.pop(place, None)
        return gone

    def ruling(self, place: Place) -> Claim | None:
        held = self._held.get(place)
        return min(held.values(), key=lambda claim: (claim.level, claim.rank)) if held else None

    def rules(self, place: Place, value: Value) -> bool:
        """That is the value which rules there."""
        ruling = self.ruling(place)
        return ruling is not None and ruling.value == value
