"""What people do with alarms, as a test case writes it."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from gateway.settings import Duration, Section, Text, wrong
from gateway.words.text import fault
from rules.outputs import Operation, OperationKind

USER = "tester"


def _some(value: float) -> float:
    if not value > 0:
        raise wrong(*fault("case.no_time"))
    return value


Span = Annotated[Duration, AfterValidator(_some)]


class OperationPart(Section):
    """One of them; `key` is its name in the file."""

    key: ClassVar[OperationKind]
    at: str
    by: Text = USER

    @property
    def alarm(self) -> str:
        return str(getattr(self, self.key))

    @property
    def operation(self) -> Operation:
        return Operation(self.key, self.alarm, self.by)


class AckPart(OperationPart):
    key = "ack"
    ack: str


class ShelvePart(OperationPart):
    key = "shelve"
    shelve: str
    for_: Annotated[Span, Field(alias="for")]
    one_shot: bool = False

    @property
    def operation(self) -> Operation:
        ns = round(self.for_ * 1e9)
        return super().operation._replace(ns=ns, one_shot=self.one_shot)


class UnshelvePart(OperationPart):
    key = "unshelve"
    unshelve: str


class OutPart(OperationPart):
    key = "out_of_service"
    out_of_service: str
    for_: Annotated[Span, Field(alias="for")]
    reason: Text

    @property
    def operation(self) -> Operation:
        return super().operation._replace(ns=round(self.for_ * 1e9), reason=self.reason)


class BackPart(OperationPart):
    key = "in_service"
    in_service: str


class ResetPart(OperationPart):
    key = "reset"
    reset: str
    force: bool = False

    @property
    def operation(self) -> Operation:
        return super().operation._replace(force=self.force)


OPERATIONS: Mapping[str, type[OperationPart]] = {
    part.key: part for part in (AckPart, ShelvePart, UnshelvePart, OutPart, BackPart, ResetPart)
}
