"""What `gateway check` asks of this driver: links with their devices, and profiles. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec

from drivers.ble import beacons, bthome, mibeacon
from drivers.ble import characteristic as gatt
from drivers.ble.frame import Frame, Wire
from drivers.ble.place import (
    DIALECTS,
    REST,
    SILENT_POINT,
    TOLD,
    AtError,
    Places,
    is_life,
    place_of,
    terms_of,
)
from drivers.ble.settings import KEY_BYTES, BleDevice
from gateway.driver import Device, Finding, LinkSection
from gateway.model import Severity
from gateway.point import Point
from gateway.profile import Profile, Vector
from gateway.words.text import fault

Fault = tuple[tuple[str | int, ...], str, str]  # (path, what, fix)

ANYBODY = "00:00:00:00:00:00"  # sender of a vector
SEALING = {Wire.BTHOME, Wire.MIBEACON}
_UNUSED_KEYS = ("bits", "unit_from", "units", "contested", "shared", "formula")


def check(name: str, link: LinkSection, devices: Sequence[Device]) -> Iterable[Finding]:
    """Libraries that are missing, two devices with one address, keys, what anybody could forge."""
    for library in ("bleak", "cryptography"):
        if find_spec(library) is None:
            yield Finding("links", name, ("driver",), *fault("ble.library", name=library))
    owners: dict[str, str] = {}
    for device in devices:
        section = device.section
        if not isinstance(section, BleDevice):
            continue
        owner = owners.setdefault(section.address, device.id)
        if owner != device.id:
            same = fault("ble.address", address=section.address, device=owner)
            yield Finding("devices", device.id, ("address",), *same)
        for path, what, fix in _device(device, section):
            yield Finding("devices", device.id, path, what, fix)
        yield from _notes(device, section)


def _device(device: Device, section: BleDevice) -> Iterator[Fault]:
    dialect = device.profile.dialect
    given = section.model_fields_set
    if dialect == gatt.DIALECT:
        for key in given & {"key", "require_encryption", "supervise"}:
            yield (key,), *fault("ble.connected_key", key=key)
        return
    for key in given & {"heartbeat", "grace"}:
        yield (key,), *fault("ble.advertising_key", key=key)
    if section.key is not None and section.secret is None:
        yield ("key",), *fault("ble.key", bytes=KEY_BYTES, digits=2 * KEY_BYTES)
    sealable = dialect in SEALING
    if section.key is not None and not sealable:
        yield ("key",), *fault("ble.plain_dialect", dialect=dialect)
    if section.key is None and section.sealed(life=is_life(device.profile)):
        where = ("require_encryption",) if "require_encryption" in given else ()
        yield where, *fault("ble.no_key")


def _notes(device: Device, section: BleDevice) -> Iterator[Finding]:
    profile = device.profile
    alarms = [one for one in profile.alarms.values() if one >= Severity.SAFETY]
    if profile.dialect == gatt.DIALECT or not alarms:
        return
    if not section.sealed(life=is_life(profile)):
        yield Finding(
            "devices", device.id, (), *fault("ble.sends_plain", device=device.id), note=True
        )
    if SILENT_POINT in profile.by_id and device.supervise is None:
        yield Finding("devices", device.id, (), *fault("ble.silent", device=device.id), note=True)


def forgeable(device: Device) -> str | None:
    """Why nothing that protects people may act on this device alone, None if it may."""
    section = device.section
    if not isinstance(section, BleDevice) or section.act_on_plain:
        return None
    if device.profile.dialect == gatt.DIALECT or section.sealed(life=is_life(device.profile)):
        return None
    return f"the adverts of {device.id} are not encrypted: anybody could send them"


def marks(device: Device) -> Mapping[str, str]:
    """Its address and its key."""
    section = device.section
    if not isinstance(section, BleDevice):
        return {}
    key = {} if section.secret is None else {"key": section.secret.hex()}
    return {"address": section.address, **key}


def check_profile(profile: Profile) -> Iterable[Fault]:
    """Dialect, every `at`, keys that would be ignored, and the vectors."""
    if profile.dialect == gatt.DIALECT:
        yield from gatt.check_profile(profile)
        return
    if profile.dialect not in DIALECTS:
        known = [*map(str, DIALECTS), gatt.DIALECT]
        none = profile.dialect is None
        other = {} if none else {"dialect": profile.dialect}
        yield (
            ("dialect",),
            *fault("ble.no_dialect" if none else "ble.dialect", known=known, **other),
        )
        return
    yield from _sections(profile)
    try:
        terms_of(profile)
    except AtError as error:
        yield ("link",), error.what, error.fix
    faults = [fault for i, point in enumerate(profile.own_points) for fault in _point(i, point, profile)]  # fmt: skip
    yield from faults
    if faults:
        return
    places = Places(profile)
    if not profile.vectors:
        yield ("vectors",), *fault("vector.none_frame")
    for index, vector in enumerate(profile.vectors):
        yield from _run(profile, places, index, vector)


def _sections(profile: Profile) -> Iterator[Fault]:
    present = {
        "defaults": profile.defaults, "identity": profile.identity, "vars": profile.variables,
        "arrays": profile.arrays, "variants": profile.variants, "commands": profile.commands,
        "topics": profile.topics, "captures": profile.captures,
    }  # fmt: skip
    for key, value in present.items():
        if value:
            yield (key,), *fault("ble.no_use", key=key)


def _point(index: int, point: Point, profile: Profile) -> Iterator[Fault]:
    at = ("points", index)
    for key in _UNUSED_KEYS:
        if getattr(point, key):
            named = "scale" if key == "formula" else key
            yield (*at, named), *fault("ble.no_use_this", key=named)
    if point.kind == "event" and point.enum is not None and REST not in point.enum.values():
        yield (*at, "enum"), *fault("ble.rest", text=REST)
    if point.at is None:
        if point.id not in TOLD:
            yield (*at, "at"), *fault("ble.no_at")
        return
    if point.id in TOLD:
        yield (*at, "at"), *fault("ble.told", id=point.id)
    try:
        place_of(point.at, profile.dialect)
    except AtError as error:
        yield (*at, "at"), error.what, error.fix


def _run(profile: Profile, places: Places, index: int, vector: Vector) -> Iterator[Fault]:
    at = ("vectors", index)
    for key in sorted(vector.model_fields_set - {"name", "response", "values"}):
        yield at, *fault("ble.no_use", key=key)
    try:
        data = bytes.fromhex(vector.response)
    except ValueError:
        yield (*at, "response"), *fault("vector.hex")
        return
    frame = parse_plain(profile.dialect, data)
    values = places.read(frame).values
    if not frame.usable or values != vector.values:
        more = {} if frame.refused is None else {"why": frame.refused}
        wrong = "vector.refused" if more else "vector.decodes"
        said = fault(wrong, name=vector.name, values=values, wanted=vector.values, **more)
        yield (*at, "values"), *said


def parse_plain(dialect: str | None, data: bytes) -> Frame:
    """A frame as the dialect has it, from anybody and without a key."""
    match dialect:
        case Wire.BTHOME:
            return bthome.parse(ANYBODY, data, None)
        case Wire.MIBEACON:
            return mibeacon.parse(ANYBODY, data, None)
        case Wire.EDDYSTONE:
            return beacons.parse_eddystone(data)
        case _:
            return beacons.parse_ibeacon(data)
