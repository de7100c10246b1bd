"""Water that runs while everybody sleeps: the smallest hour of the night shows a leak."""

from collections.abc import Iterator, Mapping

from gateway.driver import Device
from gateway.indicators.buckets import Buckets
from gateway.indicators.model import Indicator, Period
from gateway.indicators.presence import Rows
from gateway.indicators.settings import ReportSection
from gateway.store.window import HOUR_S, WINDOW_S
from gateway.units import convert

PREFIX = "water."
HOUR_WINDOWS = HOUR_S // WINDOW_S


class Water:
    """Of each counter of volume or gauge of flow below `water.`."""

    def __init__(
        self, devices: Mapping[str, Device], period: Period, settings: ReportSection, at: Buckets
    ) -> None:
        self._period = period
        self._settings = settings
        self._at = at
        self._names = {name: device.section.name or name for name, device in devices.items()}
        self._meters = {
            (name, point.id): (point.unit, point.kind == "counter")
            for name, device in devices.items()
            for point in device.profile.points
            if point.id.startswith(PREFIX) and _measures(point.unit)
        }
        self._m3: dict[tuple[str, str], dict[int, list[float]]] = {}

    def take(self, t: int, rows: Rows) -> None:
        if t < self._period.since or not self._settings.night.holds(self._at.minute(t)):
            return
        for key, (unit, counter) in self._meters.items():
            if (row := rows.get(key)) is None:
                continue
            if counter:
                m3 = convert(row.sm, unit, "m3")
            else:
                m3 = (convert(row.sm / row.n, unit, "m3/h") or 0.0) * WINDOW_S / HOUR_S
            hours = self._m3.setdefault(key, {})
            hours.setdefault(t - t % HOUR_S, []).append(m3 or 0.0)

    def indicators(self) -> Iterator[Indicator]:
        if not self._meters:
            yield Indicator("night_flow", "m3/h", None, why="no_meter")
        for key in self._meters:
            yield self._flow(key)

    def _flow(self, key: tuple[str, str]) -> Indicator:
        """Only hours of which every window is known count: a gap would look like no water."""
        hours = self._m3.get(key, {})
        whole = [sum(parts) for parts in hours.values() if len(parts) == HOUR_WINDOWS]
        night = sum(
            self._settings.night.holds(self._at.minute(t)) for t in self._period.passed_windows
        )
        coverage = len(whole) * HOUR_WINDOWS / night if night else None
        least = min(whole, default=None)
        denominator = None if least is None else 1.0
        why = "no_night" if least is None else ""
        return Indicator(
            "night_flow", "m3/h", least, least, denominator, coverage, self._names[key[0]], why
        )


def _measures(unit: str) -> bool:
    return convert(1.0, unit, "m3") is not None or convert(1.0, unit, "m3/h") is not None
