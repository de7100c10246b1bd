"""What an expression reads and what comes of it: the result of giving it a meaning."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.profile import Profile
from gateway.site_limit import SiteLimit
from rules.term import Term, Type


class Alias(NamedTuple):
    """What a name stands for: one device, or a group of them; `profiles` are theirs.

    `others` are those of devices that it stands for in other instances.
    """

    profiles: tuple[Profile, ...]
    group: bool = False
    others: tuple[Profile, ...] = ()


class Reading(NamedTuple):
    """The value of a point."""

    alias: str
    point: str


class Windowed(NamedTuple):
    function: str
    alias: str
    point: str
    ns: int


class Stated(NamedTuple):
    """`stale` and `changed` within `ns`; `known`, `good`, `prev`."""

    function: str
    alias: str
    point: str
    ns: int = 0


class Grouped(NamedTuple):
    """Over the members of `alias`; the inputs of `each` are `Reading`s of one member."""

    function: str
    alias: str
    each: "Formula"


class Running(NamedTuple):
    """Whether a rule is active: its instance for the same key, or `anywhere`."""

    rule: str
    anywhere: bool


Source = Reading | Windowed | Stated | Grouped | Running
EVERY = "[*]"  # behind the name of an array: each of its elements, one in each instance


class Formula(NamedTuple):
    """`term` over `inputs`; `text` is what was written."""

    term: Term
    inputs: tuple[Source, ...]
    type: Type
    text: str

    @property
    def readings(self) -> set[tuple[str, str]]:
        """(alias, point) of everything that it reads, inside of functions and groups too."""
        found: set[tuple[str, str]] = set()
        for one in self.inputs:
            match one:
                case Reading(alias, point):
                    found.add((alias, point))
                case Windowed() | Stated():
                    found.add((one.alias, one.point))
                case Grouped():
                    found |= one.each.readings
        return found

    def of(self, element: str) -> "Formula":
        """For one element, `[3]`, of the arrays of which it reads each; itself for none."""
        if not element:
            return self
        inputs = tuple(
            one._replace(point=one.point.replace(EVERY, element))
            if isinstance(one, Reading | Windowed | Stated) else one
            for one in self.inputs
        )  # fmt: skip
        return self._replace(inputs=inputs)

    @property
    def asks(self) -> set[str]:
        """The rules that it asks whether they are active."""
        return {one.rule for one in self.inputs if isinstance(one, Running)}


class Scope(NamedTuple):
    """What an expression may name. `limits` are the numbers behind `limit.<name>`, which only alarms
    of profiles have; one that is not there yet fits everything.
    """

    aliases: Mapping[str, Alias]
    rules: frozenset[str] = frozenset()
    limits: Mapping[str, SiteLimit] | None = None
