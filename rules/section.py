"""The keys of a rule file: the part of the rule language that this version has."""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from gateway.model import Value
from gateway.profile import PointName
from gateway.settings import Duration, Id, Section, Text, wrong
from rules.threshold import Comparison, parse

_STEPS_LATER = ("command", "scene", "wait", "wait_until", "if", "parallel", "notify", "log")

# Keys of the rule language that later versions bring: refused, never ignored.
NOT_YET = frozenset({
    "scenes", "templates",
    "with", "keep_for", "during", "at", "catch_up", "catch_up_max", "on_unknown", "unknown_for",
    "on_clear", "mode", "restart", "digest", "allow_feedback", "max_run", "template", "inputs",
    "each", "same", "except_it",
    "latch", "ack", "cooldown", "realarm", "shelve_max", "flap", "storm", "escalate",
    "suppressed_by", "group_by", "levels",
    "hold", "confirm", "retry", "backoff", "timeout", "on_fail", "await_confirm", *_STEPS_LATER,
})  # fmt: skip


def _title(value: str) -> str:
    """Later `{tag}` in a title shows the tag: until then it must not mean something else."""
    if "{" in value or "}" in value:
        raise wrong("placeholders in a title are not in this version", "write the title without braces")  # fmt: skip
    return value


def _ids(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _it(value: object) -> object:
    if value != "it":
        raise wrong(f"device {value!r} is not in this version", "write it, the device of `for_each`")  # fmt: skip
    return value


def _value(value: object) -> Value:
    if isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise wrong("no value to write", "write a number with its unit (60 %), true, false or a text")


class Selector(Section):
    """Which devices a rule is for: those that fit every key given."""

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


class AlarmSection(Section):
    severity: Literal["life", "safety", "operational"]


class SetSection(Section):
    device: Annotated[Literal["it"], BeforeValidator(_it)]
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


Condition = Annotated[Comparison, PlainValidator(parse)]


class RuleSection(Section):
    """One rule. `when` begins it, `until` ends it (without: `when` false), `for` delays the begin."""

    id: Id
    title: Annotated[Text, AfterValidator(_title)] = ""
    enabled: bool = True
    for_each: Selector
    when: Condition
    until: Condition | None = None
    for_: Annotated[Duration, Field(alias="for")] = 0.0
    priority: Literal["life", "safety", "automation", "schedule"] | None = None
    alarm: AlarmSection | None = None
    do: list[Step] = []

    @property
    def effective_priority(self) -> str:
        """An alarm of life or safety gives its rule that priority, unless one is written."""
        if self.priority is not None:
            return self.priority
        severity = self.alarm.severity if self.alarm else ""
        return severity if severity in {"life", "safety"} else "automation"


class RuleFile(Section):
    rules: list[object]
