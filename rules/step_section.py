"""The keys of the steps of a rule."""

import math
from typing import Annotated

from pydantic import AfterValidator, Field, PlainValidator, model_validator

from gateway.model import Value
from gateway.profile import PointName
from gateway.settings import Duration, Id, Section, wrong
from gateway.terms import LONGEST_BACKOFF_S
from gateway.words.text import fault
from rules.clause import When, Words

MAX_HOLD_S = 86_400.0  # longer needs somebody who asks for it anew
MAX_WITHIN_S = 600.0
MAX_TIMEOUT_S = 60.0
MAX_RETRY = 20


def _value(value: object) -> Value:
    if isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise wrong(*fault("rule.no_value"))


def _seconds(longest: float) -> AfterValidator:
    """More than nothing, at most `longest` s."""

    def check(value: float) -> float:
        if not 0 < value <= longest:
            raise wrong(*fault("rule.seconds", value=f"{value:g}", longest=f"{longest:g}"))
        return value

    return AfterValidator(check)


class ConfirmSection(Section):
    """The write is confirmed when `point` shows `equals` within this time; the rest says the profile."""

    point: PointName | None = None
    equals: Annotated[Value, PlainValidator(_value)] | None = None
    within: Annotated[Duration, _seconds(MAX_WITHIN_S)] | None = None


class WriteSection(Section):
    """What `command` says: a point is written once."""

    device: str
    point: PointName
    value: Annotated[Value, PlainValidator(_value)]
    confirm: ConfirmSection = ConfirmSection()
    retry: Annotated[int, Field(ge=0, le=MAX_RETRY)] | None = None
    backoff: Annotated[Duration, _seconds(LONGEST_BACKOFF_S)] | None = None
    timeout: Annotated[Duration, _seconds(MAX_TIMEOUT_S)] | None = None
    on_fail: list["Step"] = []
    await_confirm: bool = False


class SetSection(WriteSection):
    """A point is held; `hold`: at most this long."""

    hold: Annotated[Duration, _seconds(MAX_HOLD_S)] | None = None


class SceneEntry(Section):
    """What one device shows in a scene."""

    device: Id
    point: PointName
    value: Annotated[Value, PlainValidator(_value)]


class SceneSection(Section):
    """A scene by its name; `hold`: at most this long."""

    name: Id
    hold: Annotated[Duration, _seconds(MAX_HOLD_S)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


class NotifySection(Section):
    """`digest`: with the list of the rule."""

    to: str
    text: Words | None = None
    digest: bool = False


class UntilSection(Section):
    when: When
    timeout: Duration | None = None
    on_timeout: list["Step"] = []


class IfSection(Section):
    cond: When
    then: list["Step"]
    otherwise: Annotated[list["Step"], Field(alias="else")] = []


class Step(Section):
    """One step: exactly one of the keys."""

    set_: Annotated[SetSection | None, Field(alias="set")] = None
    command: WriteSection | None = None
    scene: SceneSection | None = None
    notify: NotifySection | None = None
    log: Words | None = None
    wait: Duration | None = None
    wait_until: UntilSection | None = None
    if_: Annotated[IfSection | None, Field(alias="if")] = None
    parallel: list["Step"] | None = None

    @property
    def writes(self) -> bool:
        """It writes to devices."""
        return self.set_ is not None or self.command is not None or self.scene is not None

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            raise wrong(*fault("rule.step_keys", count=len(value)))
        return value
