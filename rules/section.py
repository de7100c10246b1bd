"""The keys of a rule file: the part of the rule language that this version has."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from gateway.profile import PointName
from gateway.settings import Duration, Id, Section, Text, wrong
from gateway.words.text import fault
from rules.alarm_section import AlarmSection
from rules.clause import Condition, When
from rules.hours import DAY_MIN, DAYS, At, Day, Hours, Mark, mark
from rules.listing import MOST
from rules.model import RESTART_MODE, Mode
from rules.step_section import SceneEntry, Step

MAX_TOGETHER = 10  # activations that wait, or run together
RESERVED = frozenset({"it", "members"})


def _title(value: str) -> str:
    """Later `{tag}` in a title shows the tag: until then it must not mean something else."""
    if "{" in value or "}" in value:
        raise wrong(*fault("rule.title_braces"))
    return value


def _ids(value: object) -> object:
    return value if isinstance(value, list) else [value]


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
            raise wrong(*fault("rule.selects_nothing"))
        return value


class Each(Selector):
    """`for_each`: one instance for each device, or for each combination of the tags `each`."""

    each: Annotated[list[str], Field(min_length=1)] | None = None


class Group(Selector):
    """A group of `with`: `same` tags as the device of the rule, and without it if `except_it`."""

    same: list[str] = []
    except_it: bool = False


def _at_midnight(value: Mark) -> Mark:
    if value == Mark(None, DAY_MIN):
        raise wrong(*fault("rule.midnight"))
    return value


class DuringSection(Section):
    """[from, to) of each of `days`; `without_clock` is what holds while the time is not known."""

    from_: Annotated[
        Mark, PlainValidator(mark), AfterValidator(_at_midnight), Field(alias="from")
    ] = Mark(None, 0)
    to: Annotated[Mark, PlainValidator(mark)] = Mark(None, DAY_MIN)
    days: Annotated[list[Day], Field(min_length=1)] = list(DAYS)
    without_clock: Literal["inside", "outside"] | None = None

    @property
    def hours(self) -> Hours:
        return Hours(self.from_, self.to, frozenset(map(DAYS.index, self.days)))

    @model_validator(mode="after")
    def _some(self) -> "DuringSection":
        same_sun = self.from_.sun == self.to.sun
        if self.from_ == self.to or (self.from_.sun and same_sun and self.to < self.from_):
            raise wrong(*fault("rule.no_hours", begin=str(self.from_), end=str(self.to)))
        return self


MAX_CATCH_UP_S = 7 * 86_400.0
_SINGLE = frozenset(
    {"until", "for", "keep_for", "restart", "alarm", "on_unknown", "unknown_for", "on_clear"}
)


def _every(value: float) -> float:
    minutes = round(value / 60)
    if minutes < 1 or minutes * 60 != value or 24 * 60 % minutes:
        raise wrong(*fault("rule.every", seconds=value))
    return value


def _catch_up_max(value: float) -> float:
    if value > MAX_CATCH_UP_S:
        raise wrong(*fault("rule.catch_up"))
    return value


class AtSection(Section):
    """Exactly one of `time`, `sun`, `every`, `cron`."""

    time: Annotated[Mark, PlainValidator(mark)] | None = None
    sun: Annotated[Mark, PlainValidator(mark)] | None = None
    every: Annotated[Duration, AfterValidator(_every)] | None = None
    cron: str | None = None
    catch_up: Literal["skip", "last"] = "skip"
    catch_up_max: Annotated[Duration, AfterValidator(_catch_up_max)] = 86_400.0

    @model_validator(mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        value = {"time": value} if isinstance(value, str) else value
        if isinstance(value, dict) and len({"time", "sun", "every", "cron"} & value.keys()) != 1:
            raise wrong(*fault("rule.moment"))
        return value

    @property
    def moments(self) -> At:
        return At(self.time or self.sun, round((self.every or 0) / 60), self.cron or "")

    @property
    def catch_up_ns(self) -> int:
        return round(self.catch_up_max * 1e9) if self.catch_up == "last" else 0


def _mode(value: object) -> Mode:
    if value in ("restart", "single"):
        return Mode(value)
    if isinstance(value, dict) and len(value) == 1:
        ((kind, most),) = value.items()
        if kind in ("queued", "parallel") and type(most) is int and 1 <= most <= MAX_TOGETHER:
            return Mode(kind, most)
    raise wrong(*fault("rule.mode", value=repr(value), most=MAX_TOGETHER))


def _alias(value: str) -> str:
    if value in RESERVED or not value.isidentifier() or value != value.lower():
        id_ = "rule.reserved_alias" if value in RESERVED else "rule.alias"
        raise wrong(*fault(id_, name=value))
    return value


class DigestSection(Section):
    """Which devices of the group `list` a notice tells of: those of which `where` is true."""

    list_: Annotated[str, Field(alias="list")]
    where: When
    columns: Annotated[list[str], Field(max_length=10)] = []
    max: Annotated[int, Field(ge=1, le=MOST)] = MOST


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
    restart: Literal["continue", "pause", "reset"] = "continue"
    on_unknown: Literal["hold", "assume_true", "assume_false"] = "hold"
    unknown_for: Duration = 60.0
    during: DuringSection | None = None
    at: AtSection | None = None
    priority: Literal["life", "safety", "automation", "schedule"] | None = None
    alarm: AlarmSection | None = None
    do: list[Step] = []
    on_clear: list[Step] = []
    digest: DigestSection | None = None
    allow_feedback: bool = False
    mode: Annotated[Mode, PlainValidator(_mode)] = RESTART_MODE
    max_run: Annotated[int, Field(ge=1, le=1000)] = 20

    @model_validator(mode="before")
    @classmethod
    def _moment(cls, value: object) -> object:
        """A rule with `at` has no state: nothing that needs one; `when` is a filter."""
        if not isinstance(value, dict) or "at" not in value:
            return value
        for key in sorted(_SINGLE & value.keys()):
            raise wrong(*fault("rule.with_at", key=key))
        return {"when": "true", **value}

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
    rules: list[object] = []
    scenes: dict[Id, Annotated[list[SceneEntry], Field(min_length=1)]] = {}
    templates: dict[str, object] = {}
