"""Device profiles: one YAML file per device model, the same `points` whatever the protocol.

A profile says what a device shows and takes, in which units and limits; `at` says where, in the
terms of its protocol, and is read by that protocol's driver. docs/profiles.md is the reference.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.document import Document, load, mapping_at, suggest
from gateway.errors import ConfigError, Problem
from gateway.model import Severity, Value
from gateway.settings import Duration, Section, wrong
from gateway.units import UNITS, code_of
from gateway.validate import validate

FACILITIES = ("access", "lifts", "fire", "video", "pipes", "environment", "utilities", "billboards",
              "parking", "charging", "home", "lights", "buildings")  # fmt: skip
# Keys of the profile format that later versions bring: refused, never ignored.
NOT_YET = frozenset({"vars", "variants", "arrays", "alarms", "firmware", "match", "supervise", "topics",
                     "bits", "unit_from", "units", "labels", "contested", "sensitive"})  # fmt: skip


_POINT_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


def _unit(value: str) -> str:
    if value in UNITS:
        return value
    code = code_of(value)
    raise wrong(f"'{value}' is no UCUM code", f"write {code}" if code else suggest(value, UNITS))


def _decimal(value: object) -> Decimal:
    """Exact: `0.1` in quotes stays one tenth."""
    if not isinstance(value, str):
        raise wrong(f"{value!r} is not a decimal text", f'write "{value}" in quotes, so that it stays exact')  # fmt: skip
    try:
        return Decimal(value)
    except InvalidOperation:
        raise wrong(f"'{value}' is no decimal number", 'write e.g. "0.1"') from None


def _severity(value: object) -> Severity:
    try:
        return Severity[str(value).upper()]
    except KeyError:
        names = ", ".join(s.name.lower() for s in reversed(Severity))
        raise wrong(f"'{value}' is no severity", f"write one of {names}") from None


def _point_name(value: str) -> str:
    if _POINT_NAME.fullmatch(value):
        return value
    raise wrong(f"'{value}' is no point name", "use a-z, 0-9, '_' and dots, e.g. elec.voltage.a")


def _range(value: list[int | float]) -> list[int | float]:
    low, high = value
    if low > high:
        raise wrong(f"no number is in {low} to {high}", f"write [{high}, {low}]")
    return value


Unit = Annotated[str, AfterValidator(_unit)]
Exact = Annotated[Decimal, BeforeValidator(_decimal)]
SeverityName = Annotated[Severity, BeforeValidator(_severity)]
PointName = Annotated[str, AfterValidator(_point_name)]
Number = int | float
# `at`: an address in the protocol's own terms, parsed by the protocol's driver.
Address = int | float | str | bool | dict[str, Any] | None


class Point(Section):
    """One value that a device shows."""

    id: PointName
    unit: Unit = "1"
    kind: Literal["gauge", "counter", "state", "event"] = "gauge"
    min: Number | None = None  # outside: BAD with the reason
    max: Number | None = None
    sentinels: list[int] = []  # raw values that mean "no reading": BAD
    scale: Exact = Decimal(1)  # value = raw * scale + offset
    offset: Exact = Decimal(0)
    enum: dict[str, str] | None = None  # raw number -> text; an unknown number is BAD
    integer: bool = False
    poll: Literal["fast", "slow", "once"] | Duration = "fast"
    severity: SeverityName | None = None
    stale_after: Duration | None = None  # default: 3 poll periods
    latched: bool = False
    at: Address = None

    @property
    def alarm_severity(self) -> Severity | None:
        """Severity of the event that a change of this point makes; None: it makes none."""
        if self.severity is None and self.id.startswith("alarm."):
            return Severity.SAFETY
        return self.severity


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
            return None if value in allowed else f"{value!r} is not one of {', '.join(allowed)}"
        if self.range is not None:
            low, high = self.range
            if isinstance(value, bool) or not isinstance(value, int | float):
                return f"{value!r} is not a number"
            if not low <= value <= high:
                return f"{value} is outside {low} to {high}"
        return None


class Identity(Section):
    """A probe at first contact; one that fails means: another device than the profile says."""

    at: Address
    equals: list[int] | None = None
    in_: Annotated[list[int] | None, Field(alias="in")] = None
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
    response: str
    values: dict[str, Value]


class Limits(Section):
    max_regs: Annotated[int, Field(ge=1, le=125)] = 125  # Modbus Application Protocol 1.1b3, 6.3
    max_gap: Annotated[int, Field(ge=0, le=124)] = 0
    pause: Duration = 0.02
    timeout: Duration = 0.5


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
    sources: Annotated[list[str], Field(min_length=1)]
    status: Literal["manual", "code", "bench", "contested"]
    link: dict[str, Any] = {}
    limits: Limits = Limits()
    defaults: dict[str, Any] = {}
    identity: list[Identity] = []
    plausible: list[Plausible] = []
    points: Annotated[list[Point], Field(min_length=1)]
    commands: list[CommandSpec] = []
    vectors: list[Vector] = []

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
    def plausible_by_id(self) -> Mapping[str, Plausible]:
        return {limit.point: limit for limit in self.plausible}


def shipped_folder() -> Path:
    """The folder of the profiles that come with the gateway."""
    return Path(str(files("configs").joinpath("profiles")))


def find(name: str, folders: Sequence[Path]) -> Path | None:
    """The file of profile `name`: the site's folders first, then the shipped one."""
    for folder in (*folders, shipped_folder()):
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    return None


def names(folders: Iterable[Path]) -> list[str]:
    return sorted({path.stem for folder in (*folders, shipped_folder()) for path in folder.glob("*.yaml")})  # fmt: skip


def load_profile(path: Path) -> tuple[Profile, Document]:
    """Read one profile. Raises ConfigError with every problem found."""
    document = load(path)
    problems: list[Problem] = []
    profile = validate(Profile, document, (), document.value, problems, not_yet=NOT_YET)
    if profile is not None:
        problems += _cross_check(profile, document, path)
    elif not mapping_at(document.value):
        problems = [document.problem((), "not a profile", "begin with `profile: NAME`")]
    if problems or profile is None:
        raise ConfigError(problems)
    return profile, document


def _cross_check(profile: Profile, document: Document, path: Path) -> list[Problem]:
    problems = []
    if profile.profile != path.stem:
        what = f"profile '{profile.profile}' in a file called {path.name}"
        problems.append(document.problem(("profile",), what, f"write {path.stem} or rename the file"))  # fmt: skip
    seen: set[str] = set()
    for index, point in enumerate(profile.points):
        if point.id in seen:
            at = ("points", index, "id")
            problems.append(document.problem(at, f"point '{point.id}' twice", "remove one"))
        seen.add(point.id)
    for index, limit in enumerate(profile.plausible):
        if limit.point not in seen:
            at = ("plausible", index, "point")
            problems.append(document.problem(at, f"unknown point '{limit.point}'", suggest(limit.point, seen)))  # fmt: skip
    return problems + _check_commands(profile, document, seen)


def _check_commands(profile: Profile, document: Document, points: set[str]) -> list[Problem]:
    problems = []
    written: set[str] = set()
    for index, command in enumerate(profile.commands):
        path: tuple[str | int, ...] = ("commands", index)
        for key, name in (("point", command.point), ("confirm", command.confirm.point)):
            if name is not None and name not in points:
                fix = suggest(name, points)
                problems.append(document.problem((*path, key), f"unknown point '{name}'", fix))
        if command.point in written:
            what = f"point '{command.point}' is written by two commands"
            problems.append(document.problem((*path, "point"), what, "remove one"))
        written.add(command.point)
    return problems
