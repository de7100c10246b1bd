"""One value of a device, as a profile describes it, and the types that its keys have."""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from gateway.document import suggest
from gateway.expression import Expression, parse
from gateway.model import Severity
from gateway.settings import Duration, Section, wrong
from gateway.strategy import Strategy
from gateway.units import UNITS, code_of
from gateway.words.text import fault, text

_PART = re.compile(r"[a-z][a-z0-9_]*")
_POINT_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\[[0-9]{1,4}\])?")


def _unit(value: str) -> str:
    if value in UNITS:
        return value
    code = code_of(value)
    fix = text("hint.write", example=code) if code else suggest(value, UNITS)
    raise wrong(*fault("profile.ucum", unit=value, fix=fix))


def _decimal(value: object) -> Decimal:
    """Exact: `0.1` in quotes stays one tenth."""
    if not isinstance(value, str):
        raise wrong(*fault("profile.decimal_text", shown=repr(value), value=str(value)))
    try:
        return Decimal(value)
    except InvalidOperation:
        raise wrong(*fault("profile.decimal", value=value)) from None


def _factor(value: object) -> Decimal:
    """The factor of a `scale`; 1 for an expression, which `Point.formula` holds."""
    return Decimal(1) if isinstance(value, str) and _formula(value) else _decimal(value)


def _formula(value: object) -> Expression | None:
    """None for a decimal number."""
    if isinstance(value, Expression):
        return value
    if not isinstance(value, str) or not any(c.isalpha() or c in "*/()" for c in value.strip()):
        return None
    if re.fullmatch(r"[-+]?[0-9.]+[eE][-+]?[0-9]+", value):  # a decimal too
        return None
    try:
        return parse(value)
    except ValueError as error:
        raise wrong(*fault("profile.expression", value=value, why=error)) from None


def _severity(value: object) -> Severity:
    try:
        return Severity[str(value).upper()]
    except KeyError:
        names = [s.name.lower() for s in reversed(Severity)]
        raise wrong(*fault("profile.severity", value=str(value), names=names)) from None


def is_name(text: str) -> bool:
    """It may be one part of a point's name."""
    return _PART.fullmatch(text) is not None


def point_name(value: str) -> str:
    if _POINT_NAME.fullmatch(value):
        return value
    raise wrong(*fault("profile.point_name", value=value))


Unit = Annotated[str, AfterValidator(_unit)]
Exact = Annotated[Decimal, BeforeValidator(_decimal)]
SeverityName = Annotated[Severity, BeforeValidator(_severity)]
PointName = Annotated[str, AfterValidator(point_name)]
Number = int | float
# `at`: an address in the protocol's own terms, parsed by the protocol's driver.
Address = int | float | str | bool | dict[str, Any] | None


class Reading(Section):
    """One way to read a contested point; what is not given is as in the point."""

    scale: Exact | None = None
    offset: Exact | None = None
    sentinels: list[int] | None = None
    at: Address = None


class Point(Section):
    """One value that a device shows."""

    id: PointName
    unit: Unit = "1"
    kind: Literal["gauge", "counter", "state", "event"] = "gauge"
    min: Number | None = None  # outside: BAD with the reason
    max: Number | None = None
    sentinels: list[int] = []  # raw values that mean "no reading": BAD
    scale: Annotated[Decimal, BeforeValidator(_factor)] = Decimal(1)  # value = raw * scale + offset
    formula: Annotated[Expression | None, Field(alias="scale"), PlainValidator(_formula)] = None
    offset: Exact = Decimal(0)
    enum: dict[str, str] | None = None  # raw number -> text; an unknown number is BAD
    integer: bool = False
    poll: Literal["fast", "slow", "once"] | Duration = "fast"
    severity: SeverityName | None = None
    stale_after: Duration | None = None  # default: 3 poll periods
    latched: bool = False
    report: Strategy | None = None
    bits: dict[str, str] | None = None  # number of a bit -> name: a point for each of them
    shared: bool = False  # its registers hold another point, too
    unit_from: str | None = None  # the variable that tells in which of `units` the device counts
    units: dict[str, Unit] = {}  # code -> unit that can be converted to `unit`, or refused
    contested: dict[str, Reading] = {}  # sources disagree: one of these, by decision of the site
    at: Address = None

    @property
    def alarm_severity(self) -> Severity | None:
        """Severity of the event that a change of this point makes; None: it makes none."""
        if self.severity is None and self.id.startswith("alarm."):
            return Severity.SAFETY
        return self.severity

    def misfit(self, report: Strategy) -> tuple[str, str] | None:
        """(what is wrong, fix) with `report` for this point, None if nothing is."""
        if self.alarm_severity is not None:
            return fault("profile.always_told", id=self.id)
        if report.numeric and (self.enum is not None or self.kind in {"state", "event"}):
            return fault("profile.deadband", id=self.id)
        return None
