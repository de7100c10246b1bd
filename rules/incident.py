"""An incident: what has become of an alarm since it was raised, and who has put it aside. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gateway.model import Severity

# Times of the engine, which a restart may count from another beginning.
_TIMES = frozenset({"opened", "acked_ns", "told_ns", "shelved_ns", "out_ns", "remind_ns"})
_LISTS = frozenset({"raises", "levels"})


@dataclass(slots=True)
class Incident:
    """Of one instance. It is open from the raise until the alarm is not active, reset if it latches and
    acknowledged if that is required. What puts it aside (shelved, out of service) is independent of that.

    All times are engine times, ns; None: not so.
    """

    open: bool = False
    opened: int | None = None  # of the first raise, also of an incident that is closed by now
    count: int = 0  # raises
    severity: Severity = Severity.OPERATIONAL  # the effective one
    said: bool = False  # the raise was told, and no end since
    quiet: bool = False  # raised again within `cooldown`
    acked_ns: int | None = None
    acked_by: str = ""
    told: int = 0  # annunciations
    told_ns: int | None = None  # the last annunciation, unless it was muted since
    suppressed: bool = False
    shelved_ns: int | None = None  # until then
    shelved_by: str = ""
    one_shot: bool = False  # or until the next end
    out_ns: int | None = None  # out of service until then
    out_by: str = ""
    out_reason: str = ""
    remind_ns: int | None = None
    stage: int = 0  # of the escalation that comes next
    levels: list[int | None] = field(default_factory=list)  # when each counts; None: it does not
    raises: list[int] = field(default_factory=list)  # the last ones; of the members of a storm
    flapping: bool = False
    stormed: bool = False  # raised as one of many

    @property
    def unacked(self) -> bool:
        return self.open and self.acked_ns is None

    @property
    def blank(self) -> bool:
        """Nothing is worth keeping."""
        return self.opened is None and self == Incident()

    def dump(self) -> dict[str, object]:
        """JSON values; only what is not as at the beginning."""
        blank = Incident()
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {k: _plain(v) for k, v in found.items() if v != getattr(blank, k)}

    @classmethod
    def load(cls, dumped: Mapping[str, Any], shift_ns: int = 0) -> "Incident":
        """From `dump`; its times are `shift_ns` later now. Keys of other versions are left out."""
        known = {one.name for one in fields(cls)}
        values = {key: value for key, value in dumped.items() if key in known}
        for key in _TIMES & values.keys():
            values[key] += shift_ns
        for key in _LISTS & values.keys():
            values[key] = [None if at is None else at + shift_ns for at in values[key]]
        if "severity" in values:
            values["severity"] = Severity(values["severity"])
        return cls(**values)


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [*value]
    return int(value) if isinstance(value, Severity) else value
