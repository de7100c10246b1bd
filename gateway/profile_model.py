"""What the file of a device model may say. `gateway.profile` reads it and names its parts."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field

from gateway.model import Severity, Value
from gateway.point import Address, Exact, Number, Point, PointName, point_name
from gateway.profile_alarm import AlarmRule
from gateway.settings import Duration, Section, wrong
from gateway.words.text import fault
from gateway.words.text import text as text_

_ELEMENT = "[{n}]"  # at the end of an array's id
_VARIABLE = re.compile(r"[a-z][a-z0-9_]*")
_VARIANT = re.compile(r"[a-z0-9][a-z0-9_-]*")
_FIRMWARE = re.compile(
    r"(>=|<=|>|<|==)\s*v?[0-9]+(\.[0-9]+)*(\s*,\s*(>=|<=|>|<|==)\s*v?[0-9]+(\.[0-9]+)*)?"
)


def _variable_name(value: str) -> str:
    if _VARIABLE.fullmatch(value):
        return value
    raise wrong(*fault("profile.variable", value=value))


VariableName = Annotated[str, AfterValidator(_variable_name)]


def _variant_name(value: str) -> str:
    if _VARIANT.fullmatch(value):
        return value
    raise wrong(*fault("profile.variant", value=value))


def _firmware(value: str) -> str:
    if _FIRMWARE.fullmatch(value):
        return value
    raise wrong(*fault("profile.versions", value=value))


def _array_name(value: str) -> str:
    if value.endswith(_ELEMENT):
        point_name(value.removesuffix(_ELEMENT))
        return value
    raise wrong(*fault("profile.array", value=value, end=_ELEMENT))


def _range(value: list[int | float]) -> list[int | float]:
    low, high = value
    if low > high:
        raise wrong(*fault("profile.range", low=low, high=high))
    return value


class Confirm(Section):
    """How a write is confirmed: the device reports the value at `point` within `within` seconds."""

    point: PointName | None = None
    within: Duration = 5.0
    tolerance: Number = 0


class CommandSpec(Section):
    """One point that may be written."""

    id: PointName
    point: PointName
    at: Address = None
    range: (
        Annotated[list[Number], Field(min_length=2, max_length=2), AfterValidator(_range)] | None
    ) = None
    enum: dict[str, str] | None = None
    idempotent: bool = False
    relinquish: Literal["leave"] | bool | Number | str = "leave"
    min_write_interval: Duration = 1.0
    confirm: Confirm = Confirm()

    @property
    def feedback(self) -> str:
        return self.confirm.point or self.point

    def refuse(self, value: Value) -> str | None:
        """Why `value` cannot be written, None if it can."""
        if self.enum is not None:
            allowed = list(self.enum.values())
            not_one = text_("value.not_one", value=repr(value), allowed=allowed)
            return None if value in allowed else not_one
        if self.range is not None:
            low, high = self.range
            if isinstance(value, bool) or not isinstance(value, int | float):
                return text_("value.no_number", value=repr(value))
            if not low <= value <= high:
                return text_("value.outside", value=value, low=low, high=high)
            return None
        return text_("value.not_plain", value=repr(value)) if isinstance(value, str) else None


class Identity(Section):
    """A probe at first contact; one that fails means: another device than the profile says."""

    at: Address
    equals: list[int | str] | None = None
    in_: Annotated[list[int | str] | None, Field(alias="in")] = None
    optional: bool = False  # the device may refuse to answer


class Plausible(Section):
    """Limits that a healthy reading keeps; outside, the point is UNCERTAIN."""

    point: PointName
    min: Number
    max: Number


class Vector(Section):
    """A golden exchange (hex bytes) and what it must decode to; run by `gateway check` and the tests."""

    name: str
    request: str | None = None
    response: str = ""
    topic: str = "main"  # MQTT: which of `topics` it came on
    text: str | None = None  # MQTT: the payload as text, instead of `response`
    command: PointName | None = None  # MQTT: `values` are written, and this is what is published
    values: dict[str, Value]
    variant: str | list[str] = []  # of which variants; none: of what all of them have
    variables: Annotated[
        dict[str, Number], Field(alias="vars")
    ] = {}  # that the response does not hold
    decisions: dict[str, str] = {}  # of contested points
    exception: int | None = None  # the code of the exception that the response is
    refused: bool = False  # a response that must not be accepted as an answer

    @property
    def variants(self) -> list[str]:
        return [self.variant] if isinstance(self.variant, str) else self.variant


class Limits(Section):
    max_regs: Annotated[int, Field(ge=1, le=125)] = 125  # Modbus Application Protocol 1.1b3, 6.3
    max_gap: Annotated[int, Field(ge=0, le=124)] = 0
    pause: Duration = 0.02
    timeout: Duration = 0.5
    even: bool = False  # where its points are, the device refuses an odd address or count


class Variable(Section):
    """A register that scales depend on: read at first contact and after each reconnect.

    `default` when the device does not have it. Outside `min` and `max` the device is not read.
    """

    at: Address
    scale: Exact = Decimal(1)
    default: Number | None = None
    min: Number | None = None
    max: Number | None = None


class Array(Point):
    """Points `name[1]`, `name[2]` ... on registers one after the other."""

    id: Annotated[str, AfterValidator(_array_name)]
    n_from: Annotated[int, Field(ge=0, le=9999)] = 1
    count: Annotated[int, Field(ge=1, le=2000)]
    step: Annotated[int, Field(ge=1, le=2000)] = 1  # addresses from one element to the next
    labels: Literal["site"] | None = None  # the device's section says what each element is

    @property
    def name(self) -> str:
        return self.id.removesuffix(_ELEMENT)


class Variant(Section):
    """One of several maps of the same model; `identity`, then `plausible`, tell which it is.

    One variant of each `part` is right: parts of a map may come from different generations.
    """

    name: Annotated[str, AfterValidator(_variant_name)]
    part: str = ""
    identity: list[Identity] = []
    plausible: list[Plausible] = []
    points: Annotated[list[Point], Field(min_length=1)]


class Placed(NamedTuple):
    """What is written at `path`, and the points that it stands for."""

    path: tuple[str | int, ...]
    written: Point
    points: tuple[Point, ...]
    variant: Variant | None = None


class Profile(Section):
    profile: str
    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    revision: int = 1
    vendor: str = ""
    model: str = ""
    type: str
    facility: Literal["access", "lifts", "fire", "video", "pipes", "environment", "utilities",
                      "billboards", "parking", "charging", "home", "lights", "buildings"]  # fmt: skip
    protocol: str
    dialect: str | None = None
    firmware: Annotated[str, AfterValidator(_firmware)] = (
        ""  # for people: the map is right for these
    )
    sources: Annotated[list[str], Field(min_length=1)]
    status: Literal["manual", "code", "bench", "contested"]
    link: dict[str, Any] = {}
    topics: dict[str, Any] = {}  # MQTT, by name; read by the driver
    captures: dict[
        str, str
    ] = {}  # parts of topics that a device may give, and what they usually are
    supervise: Duration | None = None  # a device that is silent for longer is missing
    limits: Limits = Limits()
    defaults: dict[str, Any] = {}
    identity: list[Identity] = []
    plausible: list[Plausible] = []
    variables: Annotated[dict[VariableName, Variable], Field(alias="vars")] = {}
    own_points: Annotated[list[Point], Field(alias="points")] = []
    arrays: list[Array] = []
    variants: list[Variant] = []
    alarm_rules: Annotated[list[AlarmRule], Field(alias="alarms")] = []
    commands: list[CommandSpec] = []
    vectors: list[Vector] = []

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As usual, but what was worked out of the fields is worked out anew."""
        copied = super().model_copy(update=update, deep=deep)
        for name, value in vars(Profile).items():
            if isinstance(value, cached_property) and name not in (update or {}):
                copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def placed(self) -> list[Placed]:
        """Everything that is written as a point, where it stands, and the points that it makes."""
        found = [Placed(("points", i), p, tuple(bits(p))) for i, p in enumerate(self.own_points)]
        found += [Placed(("arrays", i), a, tuple(elements(a))) for i, a in enumerate(self.arrays)]
        for number, variant in enumerate(self.variants):
            found += [
                Placed(("variants", number, "points", i), p, tuple(bits(p)), variant)
                for i, p in enumerate(variant.points)
            ]
        return found

    @cached_property
    def points(self) -> list[Point]:
        """All that a device of this model may show: its own, elements of arrays, of variants.

        A point of several variants is there once, as in the first.
        """
        found: dict[str, Point] = {}
        for placed in self.placed:
            for point in placed.points:
                found.setdefault(point.id, point)
        return list(found.values())

    @cached_property
    def by_id(self) -> Mapping[str, Point]:
        return {point.id: point for point in self.points}

    @cached_property
    def by_command(self) -> Mapping[str, CommandSpec]:
        return {command.point: command for command in self.commands}

    @cached_property
    def alarms(self) -> Mapping[str, Severity]:
        """Alarm-bearing points and the severity of their events."""
        found = {point.id: point.alarm_severity for point in self.points}
        return {name: severity for name, severity in found.items() if severity is not None}

    @cached_property
    def momentary(self) -> frozenset[str]:
        """Alarm-bearing points of which each value is an event of its own: presses of a button."""
        return frozenset(name for name in self.alarms if self.by_id[name].kind == "event")

    @cached_property
    def plausible_by_id(self) -> Mapping[str, Plausible]:
        return {limit.point: limit for limit in self.plausible}


def elements(array: Array) -> Iterator[Point]:
    """The points of an array, in the order of their addresses."""
    own = {name for name in array.model_fields_set if name in Point.model_fields}
    values = {name: getattr(array, name) for name in Point.model_fields}
    point = Point.model_construct(own, **values)
    for number in range(array.count):
        name = array.id.replace(_ELEMENT, f"[{array.n_from + number}]")
        at = _mapping(array.at)
        if isinstance(addr := at.get("addr"), int):  # what is no number, the driver's check tells
            at = {**at, "addr": addr + number * array.step}
        yield point.model_copy(update={"id": name, "at": at})


def bits(point: Point) -> Iterator[Point]:
    """One point for each bit that has a name; `point` itself if it has none."""
    if not point.bits:
        yield point
        return
    for number, name in point.bits.items():
        bit = int(number) if number.isdecimal() else number
        kind = point.kind if "kind" in point.model_fields_set else "state"
        at = {**_mapping(point.at), "bit": bit}
        yield point.model_copy(
            update={"id": f"{point.id}.{name}", "kind": kind, "at": at, "bits": None}
        )


def _mapping(at: Address) -> dict[str, Any]:
    return at if isinstance(at, dict) else {} if at is None else {"addr": at}
