"""The keys of a rule file: the part of the rule language that this version has."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from gateway.model import Value
from gateway.profile import PointName
from gateway.settings import Duration, Id, Section, Text, wrong
from rules.parse import parse
from rules.tree import Node, RuleError

_STEPS_LATER = ("command", "scene", "wait", "wait_until", "if", "parallel", "notify", "log")

# Keys of the rule language that later versions bring: refused, never ignored.
NOT_YET = frozenset({
    "scenes", "templates",
    "during", "at", "catch_up", "catch_up_max",
    "on_clear", "mode", "restart", "digest", "max_run", "template", "inputs",
    "ack", "cooldown", "realarm", "shelve_max", "flap", "storm", "escalate",
    "suppressed_by", "group_by", "levels",
    "hold", "confirm", "retry", "backoff", "timeout", "on_fail", "await_confirm", *_STEPS_LATER,
})  # fmt: skip
RESERVED = frozenset({"it", "members"})


def _title(value: str) -> str:
    """Later `{tag}` in a title shows the tag: until then it must not mean something else."""
    if "{" in value or "}" in value:
        raise wrong("placeholders in a title are not in this version", "write the title without braces")  # fmt: skip
    return value


def _ids(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _value(value: object) -> Value:
    if isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise wrong("no value to write", "write a number with its unit (60 %), true, false or a text")


class Part(NamedTuple):
    """One expression, and where it stands below its key."""

    path: tuple[str | int, ...]
    text: str
    node: Node


class Condition(NamedTuple):
    """`when` or `until`: one expression, or several that are joined by `and` (`or`)."""

    parts: tuple[Part, ...]
    join: Literal["and", "or"] = "and"


def _expression(value: object, path: tuple[str | int, ...]) -> Part:
    if not isinstance(value, str) or not value.strip():
        raise wrong(f"{value!r} is no condition", "write e.g. it.elec.voltage.a > 253 V")
    try:
        return Part(path, value, parse(value))
    except RuleError as error:
        place = {"text": value, "start": error.start, "end": error.end, "path": path}
        raise wrong(error.what, error.fix, **place) from None


def _condition(value: object) -> Condition:
    if isinstance(value, bool):  # YAML reads `true` so
        return Condition((_expression(str(value).lower(), ()),))
    if not isinstance(value, dict):
        return Condition((_expression(value, ()),))
    key = next(iter(value), "")
    parts = value.get(key)
    if len(value) != 1 or key not in {"all", "any"} or not isinstance(parts, list) or not parts:
        raise wrong("a condition is a text, or a list under all: or any:", "write e.g. all: [a, b]")
    found = tuple(_expression(part, (key, index)) for index, part in enumerate(parts))
    return Condition(found, "and" if key == "all" else "or")


class Selector(Section):
    """Which devices: those that fit every key given."""

    type: str | None = None
    has: PointName | None = None
    profile: str | None = None
    tags: dict[str, str] | None = None
    id: Annotated[list[str], BeforeValidator(_ids)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _something(cls, value: object) -> object:
        if isinstance(value, dict) and not any(value.values()):
            raise wrong("selects nothing in particular", "give type, has, profile, tags or id")
        return value


class Each(Selector):
    """`for_each`: one instance for each device, or for each combination of the tags `each`."""

    each: Annotated[list[str], Field(min_length=1)] | None = None


class Group(Selector):
    """A group of `with`: `same` tags as the device of the rule, and without it if `except_it`."""

    same: list[str] = []
    except_it: bool = False


class AlarmSection(Section):
    severity: Literal["life", "safety", "operational"]
    latch: bool = False


class SetSection(Section):
    device: str
    point: PointName
    value: Annotated[Value, PlainValidator(_value)]


class Step(Section):
    set_: Annotated[SetSection, Field(alias="set")]

    @model_validator(mode="before")
    @classmethod
    def _later(cls, value: object) -> object:
        for key in _STEPS_LATER:
            if isinstance(value, dict) and key in value:
                raise wrong(f"'{key}' is not in this version", "remove it")
        return value


def _alias(value: str) -> str:
    if value in RESERVED or not value.isidentifier() or value != value.lower():
        fix = "use a-z, 0-9 and '_'" if value not in RESERVED else "choose another name"
        raise wrong(f"'{value}' is no name for a device or group", fix)
    return value


When = Annotated[Condition, PlainValidator(_condition)]


class RuleSection(Section):
    """One rule. `when` begins it, `until` ends it (without: `when` false), `for` delays the begin,
    `keep_for` the end.
    """

    id: Id
    title: Annotated[Text, AfterValidator(_title)] = ""
    enabled: bool = True
    for_each: Each | None = None
    with_: Annotated[
        dict[Annotated[str, AfterValidator(_alias)], str | Group], Field(alias="with")
    ] = {}
    when: When
    until: When | None = None
    for_: Annotated[Duration, Field(alias="for")] = 0.0
    keep_for: Duration = 0.0
    on_unknown: Literal["hold", "assume_true", "assume_false"] = "hold"
    unknown_for: Duration = 60.0
    priority: Literal["life", "safety", "automation", "schedule"] | None = None
    alarm: AlarmSection | None = None
    do: list[Step] = []
    allow_feedback: bool = False

    @property
    def effective_priority(self) -> str:
        """An alarm of life or safety gives its rule that priority, unless one is written."""
        if self.priority is not None:
            return self.priority
        severity = self.alarm.severity if self.alarm else ""
        return severity if severity in {"life", "safety"} else "automation"

    @property
    def conditions(self) -> Iterator[tuple[str, Condition]]:
        yield "when", self.when
        if self.until is not None:
            yield "until", self.until


class RuleFile(Section):
    rules: list[object]
