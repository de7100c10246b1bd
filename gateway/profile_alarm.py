"""`alarms:` of a profile: the alarms that every device of this model has."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.model import Severity
from gateway.settings import Duration, Section, Text, wrong
from gateway.words.text import fault

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


def _name(value: str) -> str:
    if _NAME.fullmatch(value):
        return value
    raise wrong(*fault("profile.alarm_name", value=value))


def _condition(value: object) -> object:
    if isinstance(value, str) and value.strip():
        return value
    raise wrong(*fault("profile.alarm_condition", value=repr(value)))


def _severity(value: object) -> Severity:
    if value in {"life", "safety", "operational"}:
        return Severity[str(value).upper()]
    raise wrong(*fault("profile.alarm_severity", value=repr(value)))


Condition = Annotated[
    str, BeforeValidator(_condition), Field(max_length=2_000)
]  # as `rules.tokens`


class AlarmRule(Section):
    """One alarm. `when` begins it after it held for `hold` seconds, `clear` ends it (without:
    `when` no longer true). With `latch` it stays until somebody resets it. What the conditions
    mean, as a rule for each device, says `rules.alarms`.
    """

    id: Annotated[str, AfterValidator(_name)]
    title: Text = ""
    when: Condition
    severity: Annotated[Severity, BeforeValidator(_severity)]
    hold: Duration = 0.0
    clear: Condition | None = None
    latch: bool = False
