"""Who was there, and how much of what was due came: online rate, completeness, coverage of facilities."""

from collections import Counter
from collections.abc import Iterator, Mapping

from gateway.driver import Device, stale_after_s
from gateway.indicators.model import Indicator, Period, percent, target
from gateway.indicators.settings import ReportSection
from gateway.point import Point
from gateway.store.window import WINDOW_S, Row

FACILITIES = 13  # systems of a compound that a gateway may have to serve
LEAD_S = 2 * 86_400  # how far back a device that is allowed to be silent is looked for
ONLINE, SILENT = "device.online", "alarm.silent"  # said about a device, not by it
POLLED = "modbus"  # the protocol whose points have a period

Rows = Mapping[tuple[str, str], Row]


class Presence:
    """A device is online in a window in which it gave a value, and after that for as long as it may
    be silent; not while its last word about itself is that it is gone.
    """

    def __init__(
        self, devices: Mapping[str, Device], period: Period, settings: ReportSection
    ) -> None:
        self._devices = devices
        self._period = period
        self._settings = settings
        self._grace = {name: stale_after_s(device) for name, device in devices.items()}
        self._heard: dict[str, int] = {}
        self._gone: dict[str, bool] = {}
        self._online: Counter[str] = Counter()
        self._due = dict(_due(devices, period))
        self._stored: Counter[tuple[str, str]] = Counter()
        self._seen: set[str] = set()

    @property
    def lead_s(self) -> int:
        """How long before the period windows must begin."""
        longest = min(LEAD_S, max(self._grace.values(), default=0))
        return -int(-longest // WINDOW_S) * WINDOW_S

    def take(self, t: int, rows: Rows) -> None:
        for (device, point), row in rows.items():
            if point in {ONLINE, SILENT}:
                self._gone[device] = (row.la == 0) == (point == ONLINE)
            else:
                self._heard[device] = t
        if t < self._period.since:
            return
        for name in self._devices:
            if self.online(name, t):
                self._online[name] += 1
        for key, row in rows.items():
            if key in self._due:
                self._stored[key] += row.n
            self._seen.add(key[0])

    def online(self, device: str, t: int) -> bool:
        """In the window that was taken last."""
        heard = self._heard.get(device)
        if heard is None or (self._gone.get(device, False) and heard != t):
            return False
        return heard == t or t - heard < self._grace[device]

    def indicators(self) -> Iterator[Indicator]:
        names = list(self._devices)
        facilities = {name: self._devices[name].profile.facility for name in names}
        served = {facilities[name] for name in names if name in self._seen}
        yield percent("facilities", len(served), FACILITIES)
        windows, coverage = len(self._period.windows), self._period.coverage
        goal = target(self._settings, "online")
        for facility in sorted(set(facilities.values())):
            mine = [name for name in names if facilities[name] == facility]
            online = sum(self._online[name] for name in mine)
            yield percent(
                "online",
                online,
                windows * len(mine),
                coverage=coverage,
                subject=facility,
                target=goal,
            )
        yield self._completeness(coverage)

    def _completeness(self, coverage: float) -> Indicator:
        due = sum(self._due.values())
        stored = sum(min(self._stored[key], count) for key, count in self._due.items())
        goal = target(self._settings, "completeness")
        return percent(
            "completeness", stored, due, coverage=coverage, target=goal, why="not_polled"
        )


def _due(devices: Mapping[str, Device], period: Period) -> Iterator[tuple[tuple[str, str], float]]:
    """Values that are due in the period, of numbers that are polled and reported without a strategy."""
    for device in devices.values():
        if device.profile.protocol != POLLED:
            continue
        for point in device.profile.points:
            every = _every_s(device, point)
            if every is not None and point.enum is None and point.report is None:
                yield (device.id, point.id), period.seconds // every


def _every_s(device: Device, point: Point) -> float | None:
    """None: it is not read again and again, or not every reading is kept."""
    if device.section.report or point.poll == "once" or device.profile.variants:
        return None
    if point.poll == "fast":
        return device.section.poll.fast
    return device.section.poll.slow if point.poll == "slow" else point.poll
