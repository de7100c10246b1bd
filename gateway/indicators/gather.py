"""The operation report of a compound out of its journal, read-only, beside a running gateway or not."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from gateway.driver import Device
from gateway.indicators.alarms import Alarms, Links
from gateway.indicators.buckets import Buckets, span_of
from gateway.indicators.energy import Energy, households
from gateway.indicators.lights import Lights
from gateway.indicators.model import NS, Chart, Indicator, Period, Sheet
from gateway.indicators.presence import Presence
from gateway.indicators.records import Arrivals, Delivery
from gateway.indicators.settings import ReportSection
from gateway.indicators.water import Water
from gateway.model import LANE_SAMPLE, LANES, Event
from gateway.store.chunks import Head
from gateway.store.export import Export
from gateway.store.index import Position
from gateway.store.readonly import core, read_register
from gateway.store.sweep import Sweep
from gateway.store.window import WINDOW_S, window_of

# Events before the period tell what held when it began: which link was down, which light was on.
EVENTS_LEAD_S = 2 * 86_400
WEEK_DAYS = 7

Advanced = Callable[[int, int], None]


class Asked(NamedTuple):
    """The local day, or the seven local days that end with it. `now_ns` is UTC."""

    day: date
    week: bool
    now_ns: int


class Compound(NamedTuple):
    """What the configuration tells: the inventory, where the journal is, whose local time."""

    gateway: str
    name: str
    zone: ZoneInfo
    directory: Path
    devices: Mapping[str, Device]
    settings: ReportSection
    live: Mapping[tuple[str, int], Position]  # cursors of the running gateway, if it runs


def gather(compound: Compound, asked: Asked, advanced: Advanced) -> Sheet:
    """Raises FileNotFoundError without a journal, StoreFailed or sqlite3.Error if it cannot be read,
    ValueError if the journal knows nothing of the time.
    """
    with core(compound.directory) as db, closing(Sweep(db, compound.directory)) as sweep:
        register = read_register(db, compound.directory)
        cursors = {
            key: place.seq for key, place in (register.cursors | dict(compound.live)).items()
        }
        dead = frozenset((sink, lane, seq) for sink, lane, seq, _reason in register.dead)
        heads = sweep.heads()
        period = _period(compound, asked, sweep.begin, heads)
        delivery = Delivery(period, compound.settings, cursors, dead)
        return _Work(compound, asked, period, delivery).run(sweep, heads, advanced)


def _period(compound: Compound, asked: Asked, begin: int | None, heads: list[Head]) -> Period:
    since, until = span_of(asked.day, WEEK_DAYS if asked.week else 1, compound.zone)
    now = -int(-asked.now_ns // (WINDOW_S * NS)) * WINDOW_S  # the window that is open counts
    first = max(since, since if begin is None else begin)
    if begin is None or first >= min(until, now):
        today = datetime.fromtimestamp(asked.now_ns // NS, compound.zone)
        what = f"the journal in {compound.directory} holds no samples of that time"
        raise ValueError(f"{what}: choose another day, e.g. --day {today:%Y-%m-%d}")
    exact: float = first
    if begin == first and heads and heads[0].clock_ok and window_of(heads[0].first_ns) == first:
        exact = heads[0].first_ns / NS
    return Period(first, min(until, now), since, until, exact, min(until, asked.now_ns / NS))


class _Work:
    def __init__(
        self, compound: Compound, asked: Asked, period: Period, delivery: Delivery
    ) -> None:
        self._compound = compound
        self._asked = asked
        self._period = period
        devices, settings = compound.devices, compound.settings
        at = Buckets(period, compound.zone, week=asked.week)
        self._presence = Presence(devices, period, settings)
        self._energy = Energy(devices, period, settings, at)
        self._lights = Lights(devices, period, settings, at, self._presence)
        self._water = Water(devices, period, settings, at)
        self._alarms = Alarms(period, settings, at, households(devices))
        self._links = Links(period, settings)
        self._delivery = delivery
        self._damaged = 0

    def run(self, sweep: Sweep, heads: list[Head], advanced: Advanced) -> Sheet:
        """Events, then windows, then raw samples; each is a third of the way for who waits."""
        chosen = [head for head in heads if self._overlaps(head)]
        since = self._period.since - self._presence.lead_s
        windows = (self._period.until - since) // WINDOW_S
        total = windows + len(chosen)
        self._events()
        for t, rows in sweep.windows(since, self._period.until):
            for part in (self._presence, self._energy, self._lights, self._water):
                part.take(t, rows)
            advanced(1, total)
        oldest = heads[0].first_ns // NS if heads else self._period.until
        arrivals = Arrivals(self._period, self._compound.settings, sweep.offsets, oldest)
        for head in chosen:
            self._chunk(sweep, head, arrivals)
            advanced(1, total)
        return self._sheet(list(self._indicators(arrivals)))

    def _overlaps(self, head: Head) -> bool:
        """Without a trusted clock its times say nothing: it is looked into."""
        period = self._period
        inside = head.first_ns < period.until * NS and head.last_ns >= period.since * NS
        return inside or not head.clock_ok

    def _events(self) -> None:
        lanes = [lane for lane in LANES if lane != LANE_SAMPLE]
        lead_ns = (self._period.since - EVENTS_LEAD_S) * NS
        export = Export(self._compound.directory, lanes, lead_ns, self._period.until * NS)
        for lane, _epoch, seq, item in export:
            if isinstance(item, Event):
                self._alarms.take(item)
                self._links.take(item)
                self._lights.take_event(item)
                if self._period.holds(item.time_ns):
                    self._delivery.take(lane, seq, item.time_ns)
        self._damaged = export.damaged

    def _chunk(self, sweep: Sweep, head: Head, arrivals: Arrivals) -> None:
        for place, at in arrivals.chunk(sweep.readings(head)):
            self._delivery.take(LANE_SAMPLE, head.first + place, at)

    def _indicators(self, arrivals: Arrivals) -> Iterator[Indicator]:
        yield from self._presence.indicators()
        yield from arrivals.indicators()
        yield from self._alarms.indicators()
        yield from self._energy.indicators()
        yield from self._lights.indicators()
        yield from self._water.indicators()
        yield from self._links.indicators()
        yield from self._delivery.indicators(self._asked.now_ns, arrivals.coverage)
        yield from self._alarms.losses()
        yield from arrivals.unreadable(self._damaged)

    def _charts(self) -> Iterator[Chart]:
        yield from self._energy.charts()
        yield from self._alarms.charts()
        yield from self._lights.charts()

    def _sheet(self, indicators: list[Indicator]) -> Sheet:
        compound = self._compound
        made = datetime.fromtimestamp(self._asked.now_ns // NS, UTC)
        return Sheet(
            compound.gateway, compound.name, compound.zone.key, made, self._period, self._asked.week,
            indicators, list(self._charts()), compound.settings,
        )  # fmt: skip
