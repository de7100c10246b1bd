"""What `gateway check` asks of this driver: links with their devices, and profiles. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from drivers.modbus import decode, vectors
from drivers.modbus.address import Address, Type
from drivers.modbus.budget import check_time
from drivers.modbus.check_point import (
    SHORTEST_POLL_S,
    Fault,
    Found,
    Path_,
    address_at,
    check_enum,
    check_overlaps,
    check_placed,
)
from drivers.modbus.line import check_line
from drivers.modbus.plan import address_defaults
from drivers.modbus.settings import ModbusDevice, ModbusLink
from gateway.document import suggest
from gateway.driver import Device, Finding, LinkSection
from gateway.profile import CommandSpec, Identity, Profile
from gateway.profile_choice import parts
from gateway.words.text import fault

_LINK_KEYS = ("baud", "parity", "stop", "unit")


def check(link: str, section: LinkSection, devices: Sequence[Device]) -> Iterable[Finding]:
    """One unit address is one device; poll periods that can be kept; choices that there are."""
    if isinstance(section, ModbusLink):
        yield from check_line(link, section, devices)
        yield from check_time(link, section, devices)
    taken: dict[int, str] = {}
    for device in devices:
        settings = device.section
        if settings.supervise is not None:
            yield Finding("devices", device.id, ("supervise",), *fault("modbus.supervise"))
        for name, period in (("fast", settings.poll.fast), ("slow", settings.poll.slow)):
            if period < SHORTEST_POLL_S:
                often = fault("modbus.poll", ms=period * 1000)
                yield Finding("devices", device.id, ("poll", name), *often)
        if not isinstance(settings, ModbusDevice):
            continue
        first = taken.setdefault(settings.unit, device.id)
        if first != device.id:
            taken_by = fault("modbus.unit_taken", unit=settings.unit, device=first)
            yield Finding("devices", device.id, ("unit",), *taken_by)
        for path, what, fix in _choices(settings, device.profile):
            yield Finding("devices", device.id, path, what, fix)


def _choices(section: ModbusDevice, profile: Profile) -> Iterator[tuple[tuple[str, ...], str, str]]:
    names = [variant.name for variant in profile.variants]
    for name in section.variants:
        if name not in names:
            fix = suggest(name, names)
            none = fault("modbus.variant", profile=profile.profile, name=name, fix=fix)
            yield ("variant",), *none
    for part in parts(profile):
        both = [v.name for v in part.variants if v.name in section.variants]
        if len(both) > 1:
            yield ("variant",), *fault("modbus.exclude", both=" and ".join(both))
    for name, number in section.vars.items():
        variable = profile.variables.get(name)
        if variable is None:
            fix = suggest(name, profile.variables)
            none = fault("modbus.variable", profile=profile.profile, name=name, fix=fix)
            yield ("vars", name), *none
            continue
        low, high = variable.min, variable.max
        if (low is not None and number < low) or (high is not None and number > high):
            limits = f"{'' if low is None else f'{low:g}'} to {'' if high is None else f'{high:g}'}"
            yield ("vars", name), *fault("modbus.outside", number=number, limits=limits)


def check_profile(profile: Profile) -> Iterable[Fault]:
    """Every address, every vector; no overlap; nothing that this driver would silently ignore."""
    yield from _sections(profile)
    defaults = address_defaults(profile)
    found: dict[str | None, list[Found]] = {}
    whole = True
    for placed in profile.placed:
        name = placed.variant.name if placed.variant is not None else None
        made = yield from check_placed(placed, profile, defaults)
        found.setdefault(name, []).extend(made)
        whole = whole and bool(made)
    yield from _overlaps(found)
    yield from _probes(profile, defaults)
    yield from _variables(profile, defaults)
    for index, command in enumerate(profile.commands):
        address = yield from address_at(("commands", index, "at"), command.at, defaults)
        if address is not None:
            yield from _command(index, command, address, profile)
    if whole:
        yield from vectors.check(profile)


def _sections(profile: Profile) -> Iterator[Fault]:
    if profile.dialect is not None:
        yield ("dialect",), *fault("modbus.dialect")
    for key in ("topics", "captures", "supervise"):
        if getattr(profile, key):
            yield (key,), *fault("modbus.no_use", key=key)
    for key in profile.link:
        if key not in _LINK_KEYS:
            unknown = fault("at.key", key=key, fix=suggest(key, _LINK_KEYS))
            yield ("link", key), *unknown
    for key, value in profile.defaults.items():
        if key != "at":
            yield ("defaults", key), *fault("modbus.default", key=key)
        elif not isinstance(value, dict):
            yield ("defaults", key), *fault("modbus.default_at")
    if not profile.vectors:
        yield (), *fault("modbus.no_vectors")


def _overlaps(found: Mapping[str | None, Sequence[Found]]) -> Iterator[Fault]:
    """Within each variant, with what all of them have; what all have overlaps once."""
    own = found.get(None, [])
    told = list(check_overlaps(own))
    yield from told
    for name, members in found.items():
        if name is not None:
            yield from (f for f in check_overlaps([*own, *members]) if f not in told)


def _probes(profile: Profile, defaults: Mapping[str, object]) -> Iterator[Fault]:
    places: list[tuple[Path_, Identity]] = [
        (("identity", index), probe) for index, probe in enumerate(profile.identity)
    ]
    for number, variant in enumerate(profile.variants):
        path: Path_ = ("variants", number, "identity")
        places += [((*path, index), probe) for index, probe in enumerate(variant.identity)]
    for path, probe in places:
        address = yield from address_at((*path, "at"), probe.at, defaults)
        if address is not None:
            yield from _identity(path, probe, address)


def _identity(path: Path_, probe: Identity, address: Address) -> Iterator[Fault]:
    if address.type.floating:
        yield (*path, "at"), *fault("modbus.probe_float", type=address.type)
    if not probe.equals and not probe.in_:
        yield path, *fault("modbus.probe_nothing")
    of_text = address.type is Type.STRING
    for key, values in (("equals", probe.equals), ("in", probe.in_)):
        if any(isinstance(value, str) is not of_text for value in values or ()):
            wanted = "modbus.probe_text" if of_text else "modbus.probe_number"
            yield (*path, key), *fault(wanted, type=address.type)


def _variables(profile: Profile, defaults: Mapping[str, object]) -> Iterator[Fault]:
    for name, variable in profile.variables.items():
        path = ("vars", name)
        address = yield from address_at((*path, "at"), variable.at, defaults)
        if address is not None and (address.is_bit or address.type is Type.STRING):
            yield (*path, "at"), *fault("modbus.variable_type")
        if variable.scale == 0:
            yield (*path, "scale"), *fault("modbus.scale")


def _command(
    index: int, command: CommandSpec, address: Address, profile: Profile
) -> Iterator[Fault]:
    path = ("commands", index)
    if not address.table.writable:
        yield (*path, "at"), *fault("modbus.read_only", table=address.table)
    if address.bit is not None:
        yield (*path, "at"), *fault("modbus.one_bit")
    if address.type is Type.STRING:
        yield (*path, "at"), *fault("modbus.write_text")
        return
    if command.enum is not None:
        yield from check_enum((*path, "enum"), command.enum, address)
    point = profile.by_id.get(command.point)
    if point is None or command.range is None or command.enum is not None or point.scale == 0:
        return
    for value in command.range:
        try:
            decode.encode(command, point, address, value)
        except ValueError as error:
            yield (*path, "range"), *fault("modbus.range", why=error)
            return
