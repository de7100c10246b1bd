"""Electric energy of the meters, by hours of the day; never of a single household."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from statistics import median

from gateway.driver import Device
from gateway.indicators.buckets import Buckets
from gateway.indicators.model import Chart, Indicator, Period, percent
from gateway.indicators.presence import Rows
from gateway.indicators.settings import ReportSection
from gateway.store.window import HOUR_S, WINDOW_S
from gateway.units import convert

COUNTERS = ("elec.energy.import", "elec.energy.total")  # the first that a meter has
# A rise after a longer silence has happened somewhere in it: it is energy, but of no known hour.
SILENCE_S = 900
HOME = "room"  # tag of what belongs to a household
RATES = ("peak", "flat", "valley")


class Energy:
    def __init__(
        self, devices: Mapping[str, Device], period: Period, settings: ReportSection, at: Buckets
    ) -> None:
        self._period = period
        self._settings = settings
        self._at = at
        self._units = {name: unit for name, device in devices.items() if (unit := _unit(device))}
        self._names = {name: devices[name].section.name or name for name in self._units}
        self._homes = [name for name in self._units if HOME in devices[name].section.tags]
        self._seen: dict[str, int] = {}
        self._kwh: defaultdict[str, float] = defaultdict(float)
        self._rated: defaultdict[tuple[bool, str], float] = defaultdict(float)
        self._night: defaultdict[bool, float] = defaultdict(float)
        self._nights: Counter[bool] = Counter()  # windows of meters
        self._bars = {rate: [0.0] * len(at.starts) for rate in RATES}

    def take(self, t: int, rows: Rows) -> None:
        for name, (point, unit) in self._units.items():
            row = rows.get((name, point))
            if row is None:
                continue
            before, self._seen[name] = self._seen.get(name), t
            if t >= self._period.since:
                kwh = convert(row.sm, unit, "kW.h") or 0.0
                self._add(name, t, kwh, known=before is None or t - before <= SILENCE_S)

    def _add(self, name: str, t: int, kwh: float, *, known: bool) -> None:
        home, minute = name in self._homes, self._at.minute(t)
        self._kwh[name] += kwh
        if not known:
            self._rated[home, "unknown"] += kwh
            return
        rate = self._settings.rate(minute)
        self._rated[home, rate] += kwh
        if self._settings.night.holds(minute):
            self._night[home] += kwh
            self._nights[home] += 1
        if home or not self._homes:
            self._bars[rate][self._at.index(t)] += kwh

    def indicators(self) -> Iterator[Indicator]:
        for home in (True, False):
            names = [name for name in self._units if (name in self._homes) == home]
            if names:
                yield from self._group(names, home=home)
        for name in self._units:
            if name not in self._homes:
                coverage = self._known((name,))
                kwh = self._kwh[name]
                yield Indicator("energy_meter", "kWh", kwh, kwh, None, coverage, self._names[name])
        yield self._household()

    def _known(self, names: tuple[str, ...]) -> float:
        """The share of what the meters should have told: of meters, and of time."""
        return sum(name in self._seen for name in names) / len(names) * self._period.coverage

    def _group(self, names: list[str], *, home: bool) -> Iterator[Indicator]:
        subject = "homes" if home else "others"
        if home and len(names) < self._settings.min_households:
            yield Indicator("energy", "kWh", None, None, len(names), None, subject, "too_few")
            return
        total = sum(self._kwh[name] for name in names)
        coverage = self._known(tuple(names))
        yield Indicator("energy", "kWh", total, total, None, coverage, subject)
        rated = sum(self._rated[home, rate] for rate in RATES)
        known = rated / total if total else None
        for rate in ("peak", "valley"):
            yield percent(rate, self._rated[home, rate], rated, coverage=known, subject=subject)
        yield self._base(names, subject, home=home)

    def _base(self, names: list[str], subject: str, *, home: bool) -> Indicator:
        kwh, windows = self._night[home], self._nights[home]
        night = sum(
            self._settings.night.holds(self._at.minute(t)) for t in self._period.passed_windows
        )
        due, hours = night * len(names), windows * WINDOW_S / HOUR_S
        coverage = windows / due if due else None
        value = kwh / hours if hours else None
        return Indicator(
            "night_load", "kW", value, kwh, hours, coverage, subject, "" if hours else "no_night"
        )

    def _household(self) -> Indicator:
        count, least = len(self._homes), self._settings.min_households
        if count < least:
            return Indicator("energy_household", "kWh", None, None, count, None, "", "too_few")
        middle = median(self._kwh[name] for name in self._homes)
        seen = sum(name in self._seen for name in self._homes)
        return Indicator(
            "energy_household", "kWh", middle, seen, count, self._known(tuple(self._homes))
        )

    def charts(self) -> Iterator[Chart]:
        """Of the households, where there are enough; else of the other meters."""
        if 0 < len(self._homes) < self._settings.min_households or not self._units:
            return
        bars = {rate: bar for rate, bar in self._bars.items() if rate != "flat" or any(bar)}
        yield Chart("energy", "kWh", self._at.starts, bars)


def households(devices: Mapping[str, Device]) -> int:
    """That have a device of any kind: by the tags `building` and `room`."""
    tags = (device.section.tags for device in devices.values())
    return len({(tag.get("building"), tag[HOME]) for tag in tags if HOME in tag})


def _unit(device: Device) -> tuple[str, str] | None:
    """(point, unit) of the counter of a meter."""
    if device.profile.type != "meter":
        return None
    points = (device.profile.by_id.get(name) for name in COUNTERS)
    found = next((p for p in points if p is not None and p.kind == "counter"), None)
    if found is None or convert(1.0, found.unit, "kW.h") is None:
        return None
    return found.id, found.unit
