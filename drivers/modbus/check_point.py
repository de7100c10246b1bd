"""Checks of what a profile writes under points, arrays and variants, for Modbus. Pure."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import NamedTuple

from drivers.modbus.address import Address, AddressError, Type, parse
from gateway.profile import Address as At
from gateway.profile import Placed, Point, Profile
from gateway.words.text import fault

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
            yield (*path, "scale"), *fault("modbus.scale")
    return found


def _point(path: Path_, point: Point, address: Address, profile: Profile) -> Iterator[Fault]:
    if address.width > profile.limits.max_regs:
        most = profile.limits.max_regs
        yield (*path, "at"), *fault("modbus.max_regs", count=address.width, most=most)
    if profile.limits.even and not address.table.bits and (address.addr % 2 or address.width % 2):
        which = "modbus.odd" if address.addr % 2 else "modbus.even"
        yield (*path, "at"), *fault(which, count=address.width, addr=address.addr)
    if isinstance(point.poll, float) and point.poll < SHORTEST_POLL_S:
        yield (*path, "poll"), *fault("modbus.often", ms=point.poll * 1000)
    if point.scale == 0:
        yield (*path, "scale"), *fault("modbus.raw_scale")
    if point.enum is not None:
        yield from check_enum((*path, "enum"), point.enum, address)
    yield from _as_type(path, point, address)


def _as_type(path: Path_, point: Point, address: Address) -> Iterator[Fault]:
    """Keys that mean nothing for what the register holds; what the value is a number of."""
    states = point.bits or point.enum or address.is_bit or address.type is Type.STRING
    given = point.model_fields_set
    for key in (*_OF_NUMBERS, "unit") if states else ():
        if key in given:
            kind = "modbus.of_text" if address.type is Type.STRING else "modbus.of_state"
            yield (*path, key), *fault(kind, key=key)
    if address.type is Type.STRING and (point.enum is not None or point.sentinels):
        key = "enum" if point.enum is not None else "sentinels"
        yield (*path, key), *fault("modbus.of_text", key=key)
    if not states and not {"unit", "kind"} & given:
        yield path, *fault("modbus.of_what", id=point.id)


def check_enum(path: Path_, enum: Mapping[str, str], address: Address) -> Iterator[Fault]:
    if address.type.floating:
        yield path, *fault("modbus.enum_type", type=address.type)
        return
    low, high = address.limits
    for key in enum:
        if not key.removeprefix("-").isdecimal() or str(int(key)) != key:
            yield (*path, key), *fault("modbus.enum_key", key=key)
        elif not low <= int(key) <= high:
            misfit = fault("modbus.enum_range", key=key, type=address.type, low=low, high=high)
            yield (*path, key), *misfit


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
            kind = "modbus.array_overlap" if one.path[0] == "arrays" else "modbus.overlap"
            yield (*one.path, "at"), *fault(kind, other=other.point.id)


def _may_share(one: Found, other: Found) -> bool:
    if one.point.shared or other.point.shared:
        return True
    bits = one.address.bit, other.address.bit
    return None not in bits and (bits[0] != bits[1] or one.address.addr != other.address.addr)
