"""What to read: the points of a profile with their addresses, and the fewest requests for them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from drivers.modbus.address import Address, Table, parse
from gateway.profile import Limits, Plausible, Point, Profile


class Span(NamedTuple):
    """Registers (or bits) from `addr` up to, not with, `end`."""

    table: Table
    addr: int
    end: int

    def overlaps(self, other: "Span") -> bool:
        return self.table is other.table and self.addr < other.end and other.addr < self.end

    def holds(self, other: "Span") -> bool:
        return self.table is other.table and self.addr <= other.addr and other.end <= self.end


class Target(NamedTuple):
    """A point, where it is, and the limits that a healthy reading keeps."""

    point: Point
    address: Address
    plausible: Plausible | None = None

    @property
    def span(self) -> Span:
        return Span(self.address.table, self.address.addr, self.address.end)


class Block(NamedTuple):
    """One request: `size` registers (or bits) from `addr`, and the points among them."""

    table: Table
    addr: int
    size: int
    targets: tuple[Target, ...]

    @property
    def span(self) -> Span:
        return Span(self.table, self.addr, self.addr + self.size)

    @property
    def data_bytes(self) -> int:
        """Bytes of data in its answer."""
        return (self.size + 7) // 8 if self.table.bits else 2 * self.size


def address_defaults(profile: Profile) -> Mapping[str, object]:
    """What the profile merges under every `at`."""
    defaults = profile.defaults.get("at", {})
    return defaults if isinstance(defaults, dict) else {}


# Devices of one model share theirs: 3 KB. The profile is kept, so that its id stays its own.
_targets: dict[int, tuple[Profile, Mapping[str, Target]]] = {}
_KEPT = 256


def targets(profile: Profile) -> Mapping[str, Target]:
    """Every point of the profile by its id. Raises AddressError (`gateway check` has said so)."""
    found = _targets.get(id(profile))
    if found is None:
        if len(_targets) >= _KEPT:
            _targets.clear()
        found = _targets[id(profile)] = profile, _parsed(profile)
    return found[1]


def _parsed(profile: Profile) -> Mapping[str, Target]:
    defaults = address_defaults(profile)
    limits = profile.plausible_by_id
    return {
        point.id: Target(point, parse(point.at, defaults), limits.get(point.id))
        for point in profile.points
    }


Fits = Callable[[Span], bool]


def plan(
    wanted: Iterable[Target], limits: Limits, fits: Fits = lambda _span: True
) -> tuple[Block, ...]:
    """Merge points of one table into contiguous requests.

    No request is longer than `limits.max_regs`, and none reads over more than `limits.max_gap`
    registers between two points: over undefined registers a device may answer exception 2. What
    `fits` refuses is not merged either.
    """
    blocks: list[list[Target]] = []
    span: Span | None = None
    for target in sorted(wanted, key=lambda t: t.span):
        near = span is not None and span.table is target.address.table
        if span is not None and near and target.address.addr - span.end <= limits.max_gap:
            merged = span._replace(end=max(span.end, target.address.end))
            if merged.end - merged.addr <= limits.max_regs and fits(merged):
                blocks[-1].append(target)
                span = merged
                continue
        blocks.append([target])
        span = target.span
    return tuple(whole(block) for block in blocks)


def whole(members: Sequence[Target]) -> Block:
    """One request for all `members`, in the order of their addresses."""
    first = members[0].address
    end = max(target.address.end for target in members)
    return Block(first.table, first.addr, end - first.addr, tuple(members))


def clusters(members: Iterable[Target]) -> list[list[Target]]:
    """`members` of one table in the order of their addresses, those that share registers together."""
    found: list[list[Target]] = []
    end = -1
    for target in sorted(members, key=lambda t: t.span):
        if target.address.addr < end:
            found[-1].append(target)
        else:
            found.append([target])
        end = max(end, target.address.end)
    return found


class Planner:
    """Plans for one device."""

    def __init__(
        self, wanted: Mapping[str, Target], limits: Limits, fits: Fits = lambda _span: True
    ) -> None:
        self._wanted = wanted
        self._limits = limits
        self._fits = fits

    def for_points(self, names: frozenset[str]) -> tuple[Block, ...]:
        return plan((self._wanted[name] for name in names), self._limits, self._fits)
