"""What `gateway check` asks of this driver: links with their devices, and profiles. Pure."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

from drivers.modbus import decode, vectors
from drivers.modbus.address import Address, AddressError, parse
from drivers.modbus.plan import address_defaults
from drivers.modbus.settings import ModbusDevice
from gateway.document import suggest
from gateway.driver import Device, Finding, LinkSection
from gateway.profile import Address as At
from gateway.profile import CommandSpec, Identity, Point, Profile

Fault = tuple[tuple[str | int, ...], str, str]  # path in the profile, what is wrong, how to mend it

# Below this a poll is a busy loop: a request over TCP to a serial bus takes 20 ms and more.
SHORTEST_POLL_S = 0.1
_LINK_KEYS = ("baud", "parity", "stop", "unit")


def check(link: str, section: LinkSection, devices: Sequence[Device]) -> Iterable[Finding]:
    """One unit address is one device; poll periods that can be kept."""
    del link, section
    taken: dict[int, str] = {}
    for device in devices:
        settings = device.section
        for name, period in (("fast", settings.poll.fast), ("slow", settings.poll.slow)):
            if period < SHORTEST_POLL_S:
                what = f"a poll every {period * 1000:g} ms"
                yield Finding("devices", device.id, ("poll", name), what, "write 100ms or more")
        if not isinstance(settings, ModbusDevice):
            continue
        first = taken.setdefault(settings.unit, device.id)
        if first != device.id:
            what = f"unit {settings.unit} is {first} already"
            yield Finding("devices", device.id, ("unit",), what, "give each device its own unit")


def check_profile(profile: Profile) -> Iterable[Fault]:
    """Every address, every vector; no overlap; nothing that this driver would silently ignore."""
    yield from _sections(profile)
    defaults = address_defaults(profile)
    found: dict[str, Address] = {}
    for index, point in enumerate(profile.points):
        address = yield from _address(("points", index, "at"), point.at, defaults)
        if address is not None:
            found[point.id] = address
            yield from _point(index, point, address, profile)
    yield from _overlaps(profile, found)
    for index, probe in enumerate(profile.identity):
        address = yield from _address(("identity", index, "at"), probe.at, defaults)
        if address is not None:
            yield from _identity(index, probe, address)
    for index, command in enumerate(profile.commands):
        address = yield from _address(("commands", index, "at"), command.at, defaults)
        if address is not None:
            yield from _command(index, command, address, profile)
    if len(found) == len(profile.points):
        yield from vectors.check(profile)


def _sections(profile: Profile) -> Iterator[Fault]:
    if profile.dialect is not None:
        yield ("dialect",), "Modbus has no dialects", "remove it"
    for key in profile.link:
        if key not in _LINK_KEYS:
            yield ("link", key), f"unknown key '{key}'", suggest(key, _LINK_KEYS)
    for key, value in profile.defaults.items():
        if key != "at":
            yield ("defaults", key), f"unknown key '{key}'", "write at"
        elif not isinstance(value, dict):
            yield ("defaults", key), "not a mapping", "write e.g. {table: input, type: f32}"
    if not profile.vectors:
        yield (), "no vectors", "add `vectors:` with a request, its response and the values"


def _address(
    path: tuple[str | int, ...], at: At, defaults: Mapping[str, object]
) -> Generator[Fault, None, Address | None]:
    """Report what is wrong at `path`; returns the address if nothing is."""
    try:
        return parse(at, defaults)
    except AddressError as error:
        inner = (error.key,) if isinstance(at, dict) and error.key in at else ()
        yield (*path, *inner), error.what, error.fix
        return None


def _point(index: int, point: Point, address: Address, profile: Profile) -> Iterator[Fault]:
    path = ("points", index)
    if address.type.width > profile.limits.max_regs:
        what = f"{address.type.width} registers, but max_regs is {profile.limits.max_regs}"
        yield (*path, "at"), what, "raise limits.max_regs or choose another register"
    if isinstance(point.poll, float) and point.poll < SHORTEST_POLL_S:
        yield (*path, "poll"), f"a poll every {point.poll * 1000:g} ms", "write 100ms or more"
    if point.scale == 0:
        yield (
            (*path, "scale"),
            "scale 0",
            "write the factor that makes the value from the raw number",
        )
    if point.enum is not None:
        yield from _enum((*path, "enum"), point.enum, address)


def _enum(
    path: tuple[str | int, ...], enum: Mapping[str, str], address: Address
) -> Iterator[Fault]:
    if address.type.floating:
        yield path, f"an enum of a {address.type}", "an enum needs a whole number or a bit"
        return
    low, high = address.type.limits
    for key in enum:
        if not key.removeprefix("-").isdecimal() or str(int(key)) != key:
            yield (*path, key), f"'{key}' is no raw number", "write it in decimal digits"
        elif not low <= int(key) <= high:
            yield (*path, key), f"{key} does not fit a {address.type}", f"write {low} to {high}"


def _overlaps(profile: Profile, found: Mapping[str, Address]) -> Iterator[Fault]:
    last: tuple[str, Address] | None = None
    places = {point.id: index for index, point in enumerate(profile.points)}
    for name, address in sorted(found.items(), key=lambda item: (item[1].table, item[1].addr)):
        if last is not None and last[1].table is address.table and address.addr < last[1].end:
            what = f"its registers overlap those of '{last[0]}'"
            yield ("points", places[name], "at"), what, "check the addresses and types of both"
        if last is None or last[1].table is not address.table or address.end > last[1].end:
            last = (name, address)


def _identity(index: int, probe: Identity, address: Address) -> Iterator[Fault]:
    if address.type.floating:
        yield ("identity", index, "at"), f"a probe of a {address.type}", "probe a whole number"
    if not probe.equals and not probe.in_:
        yield ("identity", index), "nothing to compare with", "add `equals: [...]` or `in: [...]`"


def _command(
    index: int, command: CommandSpec, address: Address, profile: Profile
) -> Iterator[Fault]:
    path = ("commands", index)
    if not address.table.writable:
        yield (*path, "at"), f"table {address.table} cannot be written", "write coil or holding"
    if command.enum is not None:
        yield from _enum((*path, "enum"), command.enum, address)
    point = profile.by_id.get(command.point)
    if point is None or command.range is None or command.enum is not None or point.scale == 0:
        return
    for value in command.range:
        try:
            decode.encode(command, point, address, value)
        except ValueError as error:
            yield (*path, "range"), str(error), "write limits that the register can hold"
            return
