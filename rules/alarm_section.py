"""The keys of `alarm`: the life of an alarm after its raise."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway.model import Severity
from gateway.settings import Duration, Id, Section, wrong
from gateway.words.text import fault
from rules.clause import When
from rules.step_section import NotifySection, Step
from rules.terms import SHELVE_MAX_NS, Ack, Flap, Storm, Terms

MOST = 100  # raises that are counted
Word = Literal["life", "safety", "operational"]


def _shelve_max(value: float) -> float:
    if not 0 < value <= SHELVE_MAX_NS / 1e9:
        raise wrong(*fault("life.shelve_max", seconds=value))
    return value


Some = Annotated[Duration, Field(gt=0)]
Times = Annotated[int, Field(ge=1, le=MOST)]


class LevelSection(Section):
    severity: Word
    when: When
    until: When | None = None
    for_: Annotated[Duration, Field(alias="for")] = 0.0


class FlapSection(Section):
    raises: Times
    in_: Annotated[Some, Field(alias="in")]

    @property
    def flap(self) -> Flap:
        return Flap(self.raises, round(self.in_ * 1e9))


class StormSection(Section):
    as_: Annotated[Id, Field(alias="as")]
    more_than: Times
    in_: Annotated[Some, Field(alias="in")]
    group_by: list[str] = []

    @property
    def storm(self) -> Storm:
        return Storm(self.as_, tuple(self.group_by), self.more_than, round(self.in_ * 1e9))


class StageSection(Section):
    """One of `escalate`: `notify` or `do`."""

    after: Some
    only: Annotated[Literal["unacked", "active"], Field(alias="if")]
    notify: NotifySection | None = None
    do: list[Step] = []

    @model_validator(mode="after")
    def _one(self) -> "StageSection":
        if (self.notify is None) is (not self.do):
            raise wrong(*fault("life.stage"))
        return self

    @property
    def step(self) -> Step | None:
        """`notify` as a step."""
        return None if self.notify is None else Step.model_construct(notify=self.notify)


class AlarmSection(Section):
    """`rules.terms` says what the keys mean."""

    severity: Word
    latch: bool = False
    ack: Ack = "optional"
    cooldown: Duration = 0.0
    realarm: Duration = 0.0
    shelve_max: Annotated[Duration, AfterValidator(_shelve_max)] = SHELVE_MAX_NS / 1e9
    suppressed_by: list[str] = []
    group_by: list[str] = []
    levels: list[LevelSection] = []
    flap: FlapSection | None = None
    storm: StormSection | None = None
    escalate: list[StageSection] = []

    @model_validator(mode="after")
    def _sound(self) -> "AlarmSection":
        if self.realarm and self.ack == "none":
            raise wrong(*fault("life.realarm"))
        ranks = [
            Severity[word.upper()] for word in (self.severity, *(x.severity for x in self.levels))
        ]
        if any(a >= b for a, b in pairwise(ranks)):
            raise wrong(*fault("life.levels"))
        afters = [stage.after for stage in self.escalate]
        if afters != sorted(afters):
            raise wrong(*fault("life.stages"))
        return self

    @property
    def terms(self) -> Terms:
        return Terms(
            self.ack, round(self.cooldown * 1e9), round(self.realarm * 1e9),
            round(self.shelve_max * 1e9), tuple(self.suppressed_by), tuple(self.group_by),
            self.flap.flap if self.flap else None, self.storm.storm if self.storm else None,
        )  # fmt: skip
