"""Where the points of a profile are in the frames of a device, and what a frame says of them. Pure.

`at: 0x29` is an object of the profile's dialect; `at: {bthome: 0x3a, index: 2, is: [1, 2]}` is the
second object 3A of a frame, true if it is 1 or 2. Beacons have names: `at: {eddystone: voltage}`.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from pydantic import Field, ValidationError

from drivers.ble import mibeacon
from drivers.ble.bthome_objects import OBJECTS, Kind
from drivers.ble.frame import Frame, Wire
from gateway.model import Level, Quality, Severity, Value
from gateway.point import Point
from gateway.profile import Profile
from gateway.settings import Duration, Section, describe
from gateway.words.text import fault, text

DIALECTS = tuple(Wire)
SILENT_POINT, ONLINE = "alarm.silent", "device.online"
TOLD = frozenset({SILENT_POINT, ONLINE})  # by the gateway: no frame says so
FIELDS = {
    Wire.IBEACON: ("uuid", "major", "minor", "power"),
    Wire.EDDYSTONE: ("namespace", "instance", "power", "voltage", "temperature", "adverts", "uptime"),
}  # fmt: skip

REST = "none"  # the text of an event that did not happen

OUT_OF_RANGE = Quality(Level.BAD, "out_of_range")
NO_READING = Quality(Level.BAD, "no_reading")
UNKNOWN_TEXT = Quality(Level.BAD, "unknown_text")
WRONG_TYPE = Quality(Level.BAD, "wrong_type")


class Terms(Section):
    """`link:` of a profile: what the model is known to do.

    `interval`: a device at rest is heard this often. `product`: the number of a MiBeacon model.
    """

    interval: Duration | None = None
    product: int | None = None


class _At(Section):
    """The mapping that an `at` may be."""

    bthome: int | None = None
    mibeacon: int | None = None
    ibeacon: str | None = None
    eddystone: str | None = None
    index: int = Field(default=1, ge=1, le=64)
    is_: list[int] | None = Field(default=None, alias="is")


class Place(NamedTuple):
    """`true_if`: the point is a state that is true for these raw values."""

    wire: Wire
    id: int | str
    nth: int = 1
    true_if: frozenset[int] | None = None


class AtError(ValueError):
    """An `at` that cannot be used: `what` is wrong with it, and the `fix`."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}: {fix}")
        self.what, self.fix = what, fix


class Reading(NamedTuple):
    """What a frame says. `pulses`: the points that are an event, with the value that they rest at."""

    values: dict[str, Value]
    quality: dict[str, Quality]
    pulses: dict[str, Value]


class Places:
    """The points of one profile by where they are. Raises AtError."""

    def __init__(self, profile: Profile) -> None:
        self._points: dict[tuple[Wire, int | str, int], list[tuple[Point, Place]]] = {}
        for point in profile.points:
            if point.at is not None:
                place = place_of(point.at, profile.dialect)
                key = (place.wire, place.id, place.nth)
                self._points.setdefault(key, []).append((point, place))

    def names(self, frame: Frame) -> list[str]:
        """The points that the frame speaks of."""
        return [
            point.id
            for one in frame.objects
            for point, _ in self._points.get((frame.wire, one.id, one.nth), ())
        ]

    def read(self, frame: Frame) -> Reading:
        """Never raises: a value that its point cannot have is BAD, with the reason."""
        found = Reading({}, {}, {})
        for one in frame.objects:
            for point, place in self._points.get((frame.wire, one.id, one.nth), ()):
                _take(found, point, place, one.value)
        return found


def place_of(at: object, dialect: str | None) -> Place:
    """Raises AtError."""
    if isinstance(at, dict):
        return _from_mapping(at)
    if dialect not in DIALECTS:
        raise AtError(*fault("ble.at_dialect", at=repr(at)))
    return _checked(Place(Wire(dialect), _number_or_name(at)))


def terms_of(profile: Profile) -> Terms:
    """Raises AtError."""
    try:
        return Terms.model_validate(profile.link)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            unused = fault("ble.term", key=where, known=list(Terms.model_fields))
            raise AtError(*unused) from None
        what, fix = describe(dict(first))
        raise AtError(*fault("ble.within", where=where, what=what, fix=fix)) from None


def is_life(profile: Profile) -> bool:
    return Severity.LIFE in profile.alarms.values()


def _from_mapping(at: Mapping[str, object]) -> Place:
    try:
        given = _At.model_validate(at)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AtError(*fault("ble.at", where=where)) from None
    named = {wire: value for wire in Wire if (value := getattr(given, wire.value)) is not None}
    if len(named) != 1:
        raise AtError(*fault("ble.formats", count=len(named), known=[*map(str, Wire)]))
    ((wire, number),) = named.items()
    true_if = None if given.is_ is None else frozenset(given.is_)
    return _checked(Place(wire, number, given.index, true_if))


def _number_or_name(at: object) -> int | str:
    if isinstance(at, bool) or not isinstance(at, int | str):
        raise AtError(*fault("ble.object", at=repr(at)))
    return at


def _checked(place: Place) -> Place:
    known: Sequence[int | str]
    if place.wire is Wire.BTHOME:
        known = [n for n, kind in OBJECTS.items() if n and kind.kind is not Kind.COMMAND]
    elif place.wire is Wire.MIBEACON:
        known = list(mibeacon.NUMBERS)
    else:
        known = FIELDS[place.wire]
    if place.id in known:
        return place
    if isinstance(place.id, int) and place.wire in {Wire.BTHOME, Wire.MIBEACON}:
        raise AtError(*fault("ble.no_object", wire=place.wire, id=place.id))
    names = [*map(str, known)] if place.wire in FIELDS else text("ble.a_number")
    raise AtError(*fault("ble.no_field", wire=place.wire, id=place.id, names=names))


def _take(found: Reading, point: Point, place: Place, raw: Value) -> None:
    value = _value(point, place, raw)
    if isinstance(value, Quality):
        found.quality[point.id] = value
        return
    if point.kind == "event":
        rest: Value = False if point.enum is None else REST
        if value == rest:
            return  # nothing happened
        found.pulses[point.id] = rest
    found.values[point.id] = value


def _value(point: Point, place: Place, raw: Value) -> Value | Quality:
    if place.true_if is not None:
        return raw in place.true_if
    if point.enum is not None:
        text = point.enum.get(str(int(raw))) if not isinstance(raw, str) else None
        return UNKNOWN_TEXT if text is None else text
    if point.kind in {"state", "event"}:
        return raw if isinstance(raw, str) else raw != 0
    if isinstance(raw, bool | str):
        return WRONG_TYPE
    return _scaled(point, raw)


def _scaled(point: Point, raw: float) -> Value | Quality:
    if raw in point.sentinels:
        return NO_READING
    value = raw
    if point.scale != 1 or point.offset != 0:
        exact = Decimal(str(raw)) * point.scale + point.offset
        value = int(exact) if exact == int(exact) else float(exact)
    if (point.min is not None and value < point.min) or (
        point.max is not None and value > point.max
    ):
        return OUT_OF_RANGE
    return round(value) if point.integer else value
