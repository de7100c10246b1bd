"""What events tell: alarms and how they ended, commands, links, losses."""

from collections import Counter, deque
from collections.abc import Iterator
from uuid import UUID

from gateway.indicators.buckets import Buckets
from gateway.indicators.model import NS, Chart, Indicator, Period, percent, spread, target
from gateway.indicators.notices import Notices
from gateway.indicators.settings import ReportSection
from gateway.model import Event, EventKind, Severity

FLOOD_S = 600  # alarms within 10 min, as EEMUA 191 and ISA-18.2 count floods
SEVERITIES = (Severity.LIFE, Severity.SAFETY, Severity.OPERATIONAL)
VOID = frozenset({"superseded", "overridden"})  # another command took the point
DONE = frozenset({"confirmed"})


class Alarms:
    """Takes events of a lane in their order. An alarm is a change of an alarm-bearing point away
    from rest, or the raise of a rule.
    """

    def __init__(
        self, period: Period, settings: ReportSection, at: Buckets, households: int
    ) -> None:
        self._period = period
        self._settings = settings
        self._at = at
        self._households = households
        self._notices = Notices(period)
        self._counts: Counter[Severity] = Counter()
        self._subjects: Counter[str] = Counter()
        self._times: list[int] = []
        self._open: dict[str, int] = {}  # by subject: time in ns
        self._closed_s: list[float] = []
        self._raised: dict[UUID, tuple[int, int]] = {}  # boot and CLOCK_BOOTTIME
        self._reacted: list[tuple[UUID, int, int]] = []
        self._seen: dict[UUID, tuple[int, int]] = {}  # the first acknowledgement of each raise
        self._rule_alarms = 0
        self._outcomes: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()
        names = (severity.name.lower() for severity in SEVERITIES)
        self._bars = {name: [0.0] * len(at.starts) for name in names}

    def take(self, event: Event) -> None:
        self._notices.take(event)
        match event.kind:
            case EventKind.POINT_ALARM:
                subject = f"{event.device} {event.attributes.get('point')}"
                self._change(event, subject, active=event.attributes.get("value") not in (False, 0))
            case EventKind.ALARM_RAISED | EventKind.ALARM_CLEARED:
                subject = str(event.attributes.get("instance"))
                self._change(event, subject, active=event.kind is EventKind.ALARM_RAISED)
            case EventKind.ALARM_ACKED if event.cause is not None and self._period.holds(
                event.time_ns
            ):
                self._seen.setdefault(event.cause, (event.boot, event.received_ns))
            case EventKind.COMMAND_RESULT if self._period.holds(event.time_ns):
                self._outcomes[str(event.attributes.get("outcome"))] += 1
                if event.cause is not None:
                    self._reacted.append((event.cause, event.boot, event.received_ns))
            case EventKind.DATA_LOSS if self._period.holds(event.time_ns):
                count = event.attributes.get("count")
                reason = str(event.attributes.get("reason"))
                self._losses[reason] += count if isinstance(count, int) else 1
            case _:
                return

    def _change(self, event: Event, subject: str, *, active: bool) -> None:
        inside = self._period.holds(event.time_ns)
        if not active:
            begun = self._open.pop(subject, None)
            if inside and begun is not None:
                self._closed_s.append((event.time_ns - begun) / NS)
            return
        self._open.setdefault(subject, event.time_ns)
        self._raised[event.event_id] = (event.boot, event.received_ns)
        if inside:
            self._rule_alarms += event.kind is EventKind.ALARM_RAISED
            self._counts[event.severity] += 1
            self._subjects[subject] += 1
            self._times.append(event.time_ns // NS)
            bar = self._bars.get(event.severity.name.lower())
            if bar is not None:
                bar[self._at.index(event.time_ns // NS)] += 1

    def indicators(self) -> Iterator[Indicator]:
        coverage = self._period.coverage
        for severity in SEVERITIES:
            count = self._counts[severity]
            yield Indicator("alarms", "", count, count, None, coverage, severity.name.lower())
        total = len(self._times)
        homes = self._households
        per_100 = 100 * total / homes if homes else None
        why = "" if homes else "no_households"
        yield Indicator("alarms_per_100", "", per_100, total, homes, coverage, "", why)
        repeats = total - len(self._subjects)
        yield percent("repeats", repeats, total, coverage=coverage, why="no_alarm")
        most = _most(self._times)
        yield Indicator("flood", "", most, most, None, coverage)
        yield from self._notices.indicators()
        acked = self._since_raise([(cause, *when) for cause, when in self._seen.items()])
        yield from spread("acknowledge", acked, self._rule_alarms, "none_seen")
        yield from spread("close", self._closed_s, total, "no_end")
        yield from self._commands(coverage)

    def _commands(self, coverage: float) -> Iterator[Indicator]:
        counted = {k: n for k, n in self._outcomes.items() if k not in VOID}
        good = sum(n for k, n in counted.items() if k in DONE)
        goal = target(self._settings, "commands")
        yield percent(
            "commands",
            good,
            sum(counted.values()),
            coverage=coverage,
            target=goal,
            why="no_command",
        )
        reactions = self._since_raise(self._reacted)
        yield from spread("reaction", reactions, len(self._reacted), "no_reaction")

    def _since_raise(self, found: list[tuple[UUID, int, int]]) -> list[float]:
        """Seconds from the raise that each is about, of the same boot: else no clock is known to fit."""
        return [
            (received - self._raised[cause][1]) / NS
            for cause, boot, received in found
            if cause in self._raised and self._raised[cause][0] == boot
        ]

    def losses(self) -> Iterator[Indicator]:
        total = sum(self._losses.values())
        yield Indicator("losses", "", total, total, None, self._period.coverage)
        for reason, count in sorted(self._losses.items()):
            yield Indicator("loss", "", count, count, total, self._period.coverage, reason)

    def charts(self) -> Iterator[Chart]:
        yield Chart("alarms", "", self._at.starts, self._bars)


def _most(times: list[int]) -> int:
    """The largest number of alarms within 10 min."""
    most, recent = 0, deque[int]()
    for at in sorted(times):
        recent.append(at)
        while recent[0] <= at - FLOOD_S:
            recent.popleft()
        most = max(most, len(recent))
    return most


class Links:
    """Down times of links and recipients, as their events tell; those that told nothing are left out."""

    def __init__(self, period: Period, settings: ReportSection) -> None:
        self._period = period
        self._settings = settings
        self._changes: dict[str, list[tuple[int, bool]]] = {}

    def take(self, event: Event) -> None:
        if event.kind not in {EventKind.LINK_UP, EventKind.LINK_DOWN}:
            return
        name = event.attributes.get("link") or event.attributes.get("upstream")
        if isinstance(name, str):
            change = (event.time_ns // NS, event.kind is EventKind.LINK_UP)
            self._changes.setdefault(name, []).append(change)

    def indicators(self) -> Iterator[Indicator]:
        length = self._period.seconds
        goal = target(self._settings, "links")
        for name, changes in sorted(self._changes.items()):
            down, outages = self._down(sorted(changes))
            yield percent(
                "link",
                length - down,
                length,
                coverage=self._period.coverage,
                subject=name,
                target=goal,
            )
            value = down / outages if outages else None
            yield Indicator(
                "repair",
                "s",
                value,
                down,
                outages,
                self._period.coverage,
                name,
                "" if outages else "no_outage",
            )

    def _down(self, changes: list[tuple[int, bool]]) -> tuple[float, int]:
        """(seconds down, outages) within the period."""
        changes = [
            change for i, change in enumerate(changes) if not i or change[1] != changes[i - 1][1]
        ]
        down, outages = 0.0, 0
        ends = [*(at for at, _up in changes[1:]), self._period.last]
        for (at, up), end in zip(changes, ends, strict=True):
            part = min(end, self._period.last) - max(at, self._period.first)
            if not up and part > 0:
                down += part
                outages += 1
        return down, outages
