"""What to read: the points of a profile with their addresses, and the fewest requests for them."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from drivers.modbus.address import Address, Table, parse
from gateway.profile import Limits, Plausible, Point, Profile


class Target(NamedTuple):
    """A point, where it is, and the limits that a healthy reading keeps."""

    point: Point
    address: Address
    plausible: Plausible | None = None


class Block(NamedTuple):
    """One request: `size` registers (or bits) from `addr`, and the points among them."""

    table: Table
    addr: int
    size: int
    targets: tuple[Target, ...]


def address_defaults(profile: Profile) -> Mapping[str, object]:
    """What the profile merges under every `at`."""
    defaults = profile.defaults.get("at", {})
    return defaults if isinstance(defaults, dict) else {}


def targets(profile: Profile) -> dict[str, Target]:
    """Every point of the profile by its id. Raises AddressError (`gateway check` has said so)."""
    defaults = address_defaults(profile)
    limits = profile.plausible_by_id
    return {
        point.id: Target(point, parse(point.at, defaults), limits.get(point.id))
        for point in profile.points
    }


def plan(wanted: Iterable[Target], limits: Limits) -> tuple[Block, ...]:
    """Merge points of one table into contiguous requests.

    No request is longer than `limits.max_regs`, and none reads over more than `limits.max_gap`
    registers between two points: over undefined registers a device may answer exception 2.
    """
    blocks: list[list[Target]] = []
    end = 0
    for target in sorted(wanted, key=lambda t: (t.address.table, t.address.addr)):
        address = target.address
        first = blocks[-1][0].address if blocks else None
        if (
            first is not None
            and first.table is address.table
            and address.addr - end <= limits.max_gap
            and max(end, address.end) - first.addr <= limits.max_regs
        ):
            blocks[-1].append(target)
            end = max(end, address.end)
        else:
            blocks.append([target])
            end = address.end
    return tuple(_block(block) for block in blocks)


def _block(members: list[Target]) -> Block:
    first = members[0].address
    end = max(target.address.end for target in members)
    return Block(first.table, first.addr, end - first.addr, tuple(members))


class Planner:
    """Plans for one device, each made once: at most one per combination of due periods."""

    def __init__(self, wanted: Mapping[str, Target], limits: Limits) -> None:
        self._wanted = wanted
        self._limits = limits
        self.for_points = lru_cache(maxsize=64)(self._plan)

    def _plan(self, names: frozenset[str]) -> tuple[Block, ...]:
        return plan((self._wanted[name] for name in names), self._limits)
