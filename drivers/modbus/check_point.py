"""Checks of what a profile writes under points, arrays and variants, for Modbus. Pure."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import NamedTuple

from drivers.modbus.address import Address, AddressError, Type, parse
from gateway.profile import Address as At
from gateway.profile import Placed, Point, Profile

Path_ = tuple[str | int, ...]
Fault = tuple[Path_, str, str]  # path in the profile, what is wrong, how to mend it

# Below this a poll is a busy loop: a request over TCP to a serial bus takes 20 ms and more.
SHORTEST_POLL_S = 0.1
# What only numbers have.
_OF_NUMBERS = ("scale", "offset", "min", "max", "integer", "unit_from")


class Found(NamedTuple):
    """A point, where it is written, and its address."""

    path: Path_
    point: Point
    address: Address


def address_at(
    path: Path_, at: At, defaults: Mapping[str, object]
) -> Generator[Fault, None, Address | None]:
    """Report what is wrong at `path`; returns the address if nothing is."""
    try:
        return parse(at, defaults)
    except AddressError as error:
        inner = (error.key,) if isinstance(at, dict) and error.key in at else ()
        yield (*path, *inner), error.what, error.fix
        return None


def check_placed(
    placed: Placed, profile: Profile, defaults: Mapping[str, object]
) -> Generator[Fault, None, list[Found]]:
    """Report what is wrong with one written point; returns the points that it makes."""
    found = []
    for point in placed.points:
        address = yield from address_at((*placed.path, "at"), point.at, defaults)
        if address is None:
            return []
        found.append(Found(placed.path, point, address))
    yield from _point(placed.path, placed.written, found[0].address, profile)
    for name, reading in placed.written.contested.items():
        path = (*placed.path, "contested", name)
        if reading.at is not None:
            yield from address_at((*path, "at"), reading.at, defaults)
        if reading.scale == 0:
            yield (*path, "scale"), "scale 0", "write the factor that makes the value"
    return found


def _point(path: Path_, point: Point, address: Address, profile: Profile) -> Iterator[Fault]:
    if address.width > profile.limits.max_regs:
        what = f"{address.width} registers, but max_regs is {profile.limits.max_regs}"
        yield (*path, "at"), what, "raise limits.max_regs or choose another register"
    if profile.limits.even and not address.table.bits and (address.addr % 2 or address.width % 2):
        what = f"{address.width} registers at the {'odd' if address.addr % 2 else 'even'} address {address.addr:#06x}"
        fix = "the device reads even addresses and counts only: check it, or remove limits.even"
        yield (*path, "at"), what, fix
    if isinstance(point.poll, float) and point.poll < SHORTEST_POLL_S:
        yield (*path, "poll"), f"a poll every {point.poll * 1000:g} ms", "write 100ms or more"
    if point.scale == 0:
        fix = "write the factor that makes the value from the raw number"
        yield (*path, "scale"), "scale 0", fix
    if point.enum is not None:
        yield from check_enum((*path, "enum"), point.enum, address)
    yield from _as_type(path, point, address)


def _as_type(path: Path_, point: Point, address: Address) -> Iterator[Fault]:
    """Keys that mean nothing for what the register holds; what the value is a number of."""
    states = point.bits or point.enum or address.is_bit or address.type is Type.STRING
    given = point.model_fields_set
    for key in (*_OF_NUMBERS, "unit") if states else ():
        if key in given:
            kind = "a text" if address.type is Type.STRING else "a state"
            yield (*path, key), f"'{key}' of {kind}", "remove it"
    if address.type is Type.STRING and (point.enum is not None or point.sentinels):
        key = "enum" if point.enum is not None else "sentinels"
        yield (*path, key), f"'{key}' of a text", "remove it"
    if not states and not {"unit", "kind"} & given:
        what = f"a number of what? '{point.id}' has neither unit nor kind"
        yield path, what, 'write its unit ("1" for a plain number), or kind: counter or state'


def check_enum(path: Path_, enum: Mapping[str, str], address: Address) -> Iterator[Fault]:
    if address.type.floating:
        yield path, f"an enum of a {address.type}", "an enum needs a whole number or a bit"
        return
    low, high = address.limits
    for key in enum:
        if not key.removeprefix("-").isdecimal() or str(int(key)) != key:
            yield (*path, key), f"'{key}' is no raw number", "write it in decimal digits"
        elif not low <= int(key) <= high:
            yield (*path, key), f"{key} does not fit a {address.type}", f"write {low} to {high}"


def check_overlaps(found: Sequence[Found]) -> Iterator[Fault]:
    """Of points that one device has. Bits of one register, and what is said to be shared, may overlap."""
    near: list[Found] = []  # that reach beyond the address of `one`
    told: set[Path_] = set()
    for one in sorted(found, key=lambda f: (f.address.table, f.address.addr)):
        table, addr = one.address.table, one.address.addr
        near = [f for f in near if f.address.table is table and f.address.end > addr]
        other = next((f for f in near if not _may_share(f, one)), None)
        near.append(one)
        if other is not None and one.path not in told:
            told.add(one.path)
            more = ", and `step`" if one.path[0] == "arrays" else ""
            what = f"its registers overlap those of '{other.point.id}'"
            yield (*one.path, "at"), what, f"check the addresses and types of both{more}"


def _may_share(one: Found, other: Found) -> bool:
    if one.point.shared or other.point.shared:
        return True
    bits = one.address.bit, other.address.bit
    return None not in bits and (bits[0] != bits[1] or one.address.addr != other.address.addr)
