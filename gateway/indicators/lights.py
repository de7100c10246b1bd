"""Street lights: do they burn when they should, and what do they take."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping

from gateway.driver import Device
from gateway.indicators.buckets import Buckets
from gateway.indicators.model import NS, Chart, Indicator, Period, percent, target
from gateway.indicators.presence import Presence, Rows
from gateway.indicators.settings import ReportSection
from gateway.model import Event, EventKind
from gateway.store.window import WINDOW_S
from gateway.units import convert

LIT = ("light.level", "light.on")  # the first that a light shows
ENERGY = "elec.energy.total"
FAILURES = frozenset({"alarm.lamp_failure", "alarm.lamp_failed"})
VOID = frozenset({"refused", "expired", "superseded", "overridden"})  # nobody told the light


class Lights:
    """`take_event` of everything first, then `take` in the order of time."""

    def __init__(
        self,
        devices: Mapping[str, Device],
        period: Period,
        settings: ReportSection,
        at: Buckets,
        presence: Presence,
    ) -> None:
        self._lights = {n: d for n, d in devices.items() if d.profile.type == "light"}
        self._period = period
        self._settings = settings
        self._at = at
        self._presence = presence
        self._orders: dict[str, list[tuple[int, bool]]] = {}
        self._failed: set[str] = set()
        self._lit: dict[str, bool] = {}
        self._hits: Counter[str] = Counter()
        self._kwh = 0.0
        self._bars = {name: [0.0] * len(at.starts) for name in ("lit", "commanded")}

    def take_event(self, event: Event) -> None:
        point, value = event.attributes.get("point"), event.attributes.get("value")
        if event.device not in self._lights:
            return
        if event.kind is EventKind.COMMAND_RESULT:
            if point in LIT and event.attributes.get("outcome") not in VOID:
                order = (event.time_ns // NS, bool(value))
                self._orders.setdefault(event.device, []).append(order)
        elif event.kind is EventKind.POINT_ALARM and point in FAILURES:
            if value:
                self._failed.add(event.device)
            elif event.time_ns < self._period.since * NS:
                self._failed.discard(event.device)  # mended before the period

    def take(self, t: int, rows: Rows) -> None:
        if t <= self._period.since:
            for orders in self._orders.values():
                orders.sort()
        for name, device in self._lights.items():
            row = next((r for point in LIT if (r := rows.get((name, point)))), None)
            if row is not None:
                self._lit[name] = row.mn > 0
            energy = rows.get((name, ENERGY))
            if t < self._period.since:
                continue
            if energy is not None and ENERGY in device.profile.by_id:
                self._kwh += convert(energy.sm, device.profile.by_id[ENERGY].unit, "kW.h") or 0.0
            self._judge(name, t)

    def _judge(self, name: str, t: int) -> None:
        known = name in self._lit and self._presence.online(name, t)
        lit, wanted = known and self._lit[name], self._wanted(name, t)
        self._hits["lit"] += lit
        if lit:
            self._bars["lit"][self._at.index(t)] += WINDOW_S / 3600
        if wanted:
            self._hits["wanted"] += 1
            self._hits["known"] += known
            self._hits["good"] += lit
            self._bars["commanded"][self._at.index(t)] += WINDOW_S / 3600

    def _wanted(self, name: str, t: int) -> bool:
        """It was told to burn before the window, and nothing else within it."""
        orders = self._orders.get(name, [])
        before = bisect_right(orders, (t, True))
        return bisect_right(orders, (t + WINDOW_S, True)) == before > 0 and orders[before - 1][1]

    def indicators(self) -> Iterator[Indicator]:
        if not self._lights:
            return
        hits, coverage = self._hits, self._period.coverage
        seen = hits["known"] / hits["wanted"] if hits["wanted"] else None
        goal = target(self._settings, "lit")
        yield percent(
            "lit", hits["good"], hits["known"], coverage=seen, target=goal, why="no_command"
        )
        goal = target(self._settings, "lamp_failures", at_least=False)
        yield percent(
            "lamp_failures", len(self._failed), len(self._lights), coverage=coverage, target=goal
        )
        hours = hits["lit"] * WINDOW_S / 3600
        value = self._kwh / hours if hours else None
        yield Indicator(
            "lamp_energy", "kWh/h", value, self._kwh, hours, coverage, "", "" if hours else "dark"
        )

    def charts(self) -> Iterator[Chart]:
        if self._lights:
            yield Chart("lights", "h", self._at.starts, self._bars)
