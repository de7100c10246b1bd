"""What a test case of rules is made of, and the keys of the file that it stands in."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field, PlainValidator

from gateway.case_text import SECOND
from gateway.model import Outcome, Value
from gateway.sections import Location, Timezone
from gateway.settings import Duration, Id, Section, Text, wrong
from gateway.site_limit import SiteLimit, read_limit
from gateway.words.text import fault
from rules.model import RuleSet
from rules.outputs import Operation

Kind = Literal["raised", "cleared", "annunciated", "written", "told"]
When = Literal["at", "by", "never"]


class Heard(NamedTuple):
    """A message of a device: `late` ns after it was measured. `bad`: points that could not be read."""

    at: int
    device: str
    values: Mapping[str, Value]
    bad: tuple[str, ...] = ()
    late: int = 0


class Reboot(NamedTuple):
    """Power is off for `down` ns: what devices say meanwhile is lost."""

    at: int
    down: int


class Reloaded(NamedTuple):
    """The gateway goes by other rules from then on."""

    at: int
    rules: RuleSet


class Operated(NamedTuple):
    """A person does something with an alarm."""

    at: int
    operation: Operation


class Ends(NamedTuple):
    """From then on writes of these points (DEVICE.POINT) end so; else they are confirmed at once."""

    at: int
    places: tuple[str, ...]
    outcome: Outcome


class Turn(NamedTuple):
    """The wall clock is set by so many ns; None: it cannot be trusted any more."""

    at: int
    by: int | None


Given = Heard | Reboot | Reloaded | Operated | Ends | Turn


class Expected(NamedTuple):
    """`name`: an instance, a rule, DEVICE.POINT, or a recipient. `path` is where it stands in the file."""

    path: tuple[str | int, ...]
    when: When
    ns: int
    kind: Kind
    name: str
    value: Value | None = None


class Case(NamedTuple):
    """`only`: whatever happens and is not expected is a fault. Times are ns after the start; `start`
    is that of the wall clock, ns since 1970 (UTC).
    """

    name: str
    path: tuple[str | int, ...]
    start: int
    inputs: tuple[Given, ...]
    expected: tuple[Expected, ...]
    only: bool
    end: int


def _start(value: object) -> int:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise wrong(*fault("case.start", value=repr(value))) from None
    if moment.tzinfo is None:
        raise wrong(*fault("case.zone", value=str(value)))
    return round(moment.timestamp()) * SECOND


def _list(value: object) -> object:
    return value if isinstance(value, list) else [value]


Words = Annotated[list[str], BeforeValidator(_list)]


class DevicePart(Section):
    """A device as in the configuration, but for its link."""

    profile: str
    tags: Annotated[dict[str, str], Field(max_length=16)] = {}
    limits: dict[str, Annotated[SiteLimit, PlainValidator(read_limit)]] = {}
    supervise: Duration | None = None


class TestPart(Section):
    name: Text
    start: Annotated[int, PlainValidator(_start)] = 1_767_225_600 * SECOND  # 2026-01-01 UTC
    end: str | None = None
    input: list[object] = []
    expect: list[object] = []
    only: bool = False


class PlacePart(Section):
    """Where and when `during` and `at` mean."""

    timezone: Timezone = "UTC"
    location: Location | None = None


class FilePart(Section):
    """`rules`: the files that are tested, seen from this one; default: NAME.yaml beside it."""

    devices: dict[Id, DevicePart]
    tests: Annotated[list[TestPart], Field(min_length=1)]
    rules: Annotated[list[str], Field(min_length=1)] | None = None
    profiles: list[str] = []
    gateway: PlacePart = PlacePart()
    recipients: list[Id] = []
