"""How much of its time a bus needs for its polls, before anything runs. Pure.

Characters times bits over the baud rate, the silence between frames, and what a device takes to
answer, which is assumed unless `gateway probe modbus LINK --plan --live` has measured it.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from drivers.modbus.address import AddressError
from drivers.modbus.canary import canary, shape
from drivers.modbus.contact import expected
from drivers.modbus.plan import Block
from drivers.modbus.settings import ModbusDevice, ModbusLink
from drivers.modbus.unit import Unit, period
from drivers.modbus.wire import wire
from gateway.driver import Device, Finding
from gateway.profile import Point
from gateway.words.text import fault, text

# From the end of a request to the begin of its answer: meters take 5 to 60 ms, an USB adapter adds
# up to 16 ms (the latency timer of an FTDI chip, AN232B-04), a serial server its network.
ANSWER_S = {"rtu": 0.03, "rtu_over_tcp": 0.04, "tcp": 0.02}
# Periods that people write.
_ROUND_S = (0.5, 1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1800, 3600)


# Above it a fixed silence between frames takes most of the time, and long cables fail.
_FAST_BAUD = 19_200


class Request(NamedTuple):
    """One request of a poll; `canary`: it is there to tell two answers of one shape apart."""

    block: Block
    cost_s: float
    canary: bool = False


class Cost(NamedTuple):
    """Requests, and the seconds that they take on the bus."""

    requests: int
    cost_s: float


class Share(NamedTuple):
    """What one device adds to its poll when the points of one more period are due in it."""

    device: str
    period_s: float
    requests: int
    cost_s: float


class Window(NamedTuple):
    """The fullest `period_s` seconds of the bus; `classes` are the poll classes of that period."""

    period_s: float
    classes: tuple[str, ...]
    requests: int
    needed_s: float

    @property
    def margin_s(self) -> float:
        """What is left of the period; below 0 it cannot be kept."""
        return self.period_s - self.needed_s


class Budget:
    """The polls of one link. `answer_s`: what a device was measured to take; others are assumed."""

    def __init__(
        self,
        link: ModbusLink,
        devices: Sequence[Device],
        answer_s: Mapping[str, float] | None = None,
    ) -> None:
        self.link = link
        self.devices = devices
        self._wire = wire(link)
        self._answer_s = answer_s or {}
        self._polls = {device.id: self._of(device) for device in devices}
        self.shares = [share for device in devices for share in self._shares(device)]

    def answer_s(self, device: str) -> float:
        return self._answer_s.get(device, ANSWER_S[self.link.transport])

    def requests(self, device: str) -> Mapping[float, Sequence[Request]]:
        """By period (seconds), ascending: the poll in which the points up to that period are due."""
        return self._polls[device]

    @property
    def first(self) -> Cost:
        """Everything read once: the first poll of all devices."""
        polls = [self._costed(device, frozenset(_periods(device))) for device in self.devices]
        return Cost(sum(map(len, polls)), sum(r.cost_s for poll in polls for r in poll))

    @property
    def load(self) -> float:
        """The part of its time that the bus is busy, on average; above 1 it is too slow."""
        return sum(share.cost_s / share.period_s for share in self.shares)

    @property
    def windows(self) -> list[Window]:
        """One for each period, ascending."""
        named = _classes(self.devices)
        return [_window(self.shares, p, tuple(sorted(named[p]))) for p in sorted(named)]

    @property
    def short(self) -> Window | None:
        """The shortest period that cannot be kept."""
        return next((window for window in self.windows if window.margin_s < 0), None)

    def kept(self) -> float | None:
        """The shortest usual period (seconds) that the bus can keep; longer periods stay as they are."""
        for least in _ROUND_S:
            shares = [s._replace(period_s=max(s.period_s, least)) for s in self.shares]
            periods = {share.period_s for share in shares}
            if all(_window(shares, p, ()).margin_s >= 0 for p in periods):
                return least
        return None

    def _of(self, device: Device) -> dict[float, list[Request]]:
        periods = _periods(device)
        found = {}
        for limit in sorted({p for p in periods.values() if p is not None}):
            due = frozenset(n for n, p in periods.items() if p is not None and p <= limit)
            found[limit] = self._costed(device, due)
        return found

    def _costed(self, device: Device, names: frozenset[str]) -> list[Request]:
        unit = Unit(device)
        blocks = [block for group in unit.groups(names, 0.0) for block in group]
        requests = _with_canaries(blocks) if self.link.framed else ((b, False) for b in blocks)
        answer_s = self.answer_s(device.id)
        return [
            Request(block, self._cost_s(block, answer_s, unit.pause_s), extra)
            for block, extra in requests
        ]

    def _cost_s(self, block: Block, answer_s: float, pause_s: float) -> float:
        if not self.link.framed:
            return answer_s
        silence_s = max(self._wire.gap_s, pause_s)
        return self._wire.read_s(block.data_bytes) + answer_s + silence_s

    def _shares(self, device: Device) -> Iterator[Share]:
        requests, cost_s = 0, 0.0
        for limit, poll in self._polls[device.id].items():
            now_s = sum(request.cost_s for request in poll)
            yield Share(device.id, limit, len(poll) - requests, now_s - cost_s)
            requests, cost_s = len(poll), now_s


def _periods(device: Device) -> dict[str, float | None]:
    return {point.id: period(point, device.section.poll) for point in _points(device)}


def _points(device: Device) -> list[Point]:
    """Those of the map that the device most likely has."""
    section = device.section
    whole = device.profile
    return (expected(whole, section) if isinstance(section, ModbusDevice) else whole).points


def _classes(devices: Iterable[Device]) -> dict[float, set[str]]:
    """The names of the poll classes by their period; a point's own period has no name."""
    found: dict[float, set[str]] = {}
    for device in devices:
        for point in _points(device):
            seconds = period(point, device.section.poll)
            if seconds is not None:
                names = found.setdefault(seconds, set())
                names |= set() if isinstance(point.poll, float) else {point.poll}
    return found


def _with_canaries(blocks: Sequence[Block]) -> Iterator[tuple[Block, bool]]:
    """What is asked on a line without transaction ids: two alike have another between them."""
    latest: Block | None = None
    for block in blocks:
        if latest is not None and shape(latest) == shape(block) and latest.addr != block.addr:
            other = canary((block, *blocks), {shape(block)})
            if other is not None:
                yield other, True
        yield block, False
        latest = block


def _window(shares: Iterable[Share], length_s: float, classes: tuple[str, ...]) -> Window:
    """The fullest `length_s`. Longer periods begin spread over the devices, so few fall into it."""
    requests, needed_s = 0.0, 0.0
    longer: dict[float, list[Share]] = {}
    for share in shares:
        if share.period_s > length_s:
            longer.setdefault(share.period_s, []).append(share)
        else:
            times = length_s / share.period_s
            requests += share.requests * times
            needed_s += share.cost_s * times
    for period_s, several in longer.items():
        count = math.ceil(len(several) * length_s / period_s)
        for share in sorted(several, key=lambda s: -s.cost_s)[:count]:
            requests += share.requests
            needed_s += share.cost_s
    return Window(length_s, classes, math.ceil(requests - 1e-9), needed_s)


def check_time(
    name: str,
    link: ModbusLink,
    devices: Sequence[Device],
    answer_s: Mapping[str, float] | None = None,
) -> Iterator[Finding]:
    """Warn of a bus that cannot keep its poll periods; `answer_s` as in `Budget`."""
    active = [device for device in devices if device.section.enabled]
    try:
        budget = Budget(link, active, answer_s)
    except AddressError:  # reported where it stands in the profile
        return
    short = budget.short
    if short is None:
        return
    kept_s = budget.kept()
    slower = text("modbus.slower", period=worded_s(kept_s)) if kept_s else text("modbus.seldom")
    faster = text("modbus.faster") if link.framed and link.baud < _FAST_BAUD else ""
    crowded = fault(
        "modbus.crowded", count=len(active), plural="" if len(active) == 1 else "s",
        needed=f"{short.needed_s:.3g}", period=worded_s(short.period_s), requests=short.requests,
        each=f"{1000 * short.needed_s / short.requests:.0f}",
        line=text("modbus.line", baud=link.baud) if link.framed else "", slower=slower, faster=faster,
    )  # fmt: skip
    yield Finding("links", name, (), *crowded, note=True)


def worded_s(seconds: float) -> str:
    """A duration as it is written in a configuration."""
    for unit, size in (("h", 3600.0), ("m", 60.0), ("s", 1.0)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"
