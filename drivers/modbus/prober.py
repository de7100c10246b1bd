"""A bus looked at by hand: single reads and writes, who is there, which profile fits a unit.

Uses the driver's own connection, units and poller: what is found here is what the gateway will read.
"""

import statistics
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import NamedTuple

from drivers.modbus.address import Table, Type
from drivers.modbus.answer import Excepted
from drivers.modbus.contact import block_of
from drivers.modbus.guess import other_order
from drivers.modbus.link import BadFrame, Connection, NoAnswer
from drivers.modbus.plan import Block
from drivers.modbus.poller import Poller
from drivers.modbus.settings import ModbusDevice, ModbusLink
from drivers.modbus.unit import Reading, Unit
from drivers.modbus.wire import wire
from gateway.clock import Clock
from gateway.driver import Device
from gateway.errors import GatewayError
from gateway.health import LinkHealth
from gateway.model import Level
from gateway.profile import Profile

_FITS = 0.8  # of the points: a firmware may lack a few that its map lists
_POLLS = 4  # until it is known which registers a unit lacks
_MAINS = ("elec.voltage", "elec.frequency")

ECHO = (
    "the adapter hears what it sends itself (local echo): a RS-485 adapter must switch its receiver"
    " off while it sends: set its jumper or switch, or use one with automatic direction control"
)


class ProbeError(GatewayError):
    """Nothing can be learned from this request; the message says why, and what to look at."""


class Answer(NamedTuple):
    """Registers or bits, or an exception; `took_s` from the request to the end of the answer."""

    data: Sequence[int] | Excepted
    took_s: float

    @property
    def exception(self) -> int | None:
        """Its code; None for data."""
        return self.data.code if isinstance(self.data, Excepted) else None


class Verdict(StrEnum):
    FITS = "fits"
    POSSIBLE = "possible"  # everything can be read, but nothing in the profile tells good from bad
    NO = "no"


class Candidate(NamedTuple):
    """How well one profile fits one unit, and why."""

    profile: Profile
    verdict: Verdict
    why: str
    identified: bool  # an identity register holds what the profile says
    reading: Reading
    orders: tuple[str, ...] = ()  # points that would make sense in another byte order
    variants: tuple[str, ...] = ()

    @property
    def rank(self) -> tuple[int, bool, int]:
        """The best fit has the greatest."""
        return -list(Verdict).index(self.verdict), self.identified, len(self.reading.values)


class Prober:
    """One open bus. `timeout_s` and `pause_s` hold for every request but those of profiles."""

    def __init__(
        self,
        link: ModbusLink,
        connection: Connection,
        clock: Clock,
        timeout_s: float,
        pause_s: float,
    ) -> None:
        self.link = link
        self._connection = connection
        self.timeout_s = timeout_s
        self._pause_s = pause_s
        self._clock = clock
        self.round_trips_s: list[float] = []

    async def read(self, unit: int, block: Block, timeout_s: float | None = None) -> Answer:
        """One read. Raises ProbeError (no answer, or one that does not fit) or LinkDown."""
        limit_s = timeout_s or self.timeout_s
        try:
            data = await self._connection.read(unit, block, limit_s, self._pause_s)
        except (NoAnswer, BadFrame) as error:
            raise _explained(error) from error
        return self._timed(data)

    async def write(
        self, unit: int, table: Table, addr: int, words: Sequence[int]
    ) -> Excepted | None:
        """One write, never repeated. Raises as `read` does; then it may have been obeyed."""
        try:
            return await self._connection.write(
                unit, table, addr, words, self.timeout_s, self._pause_s
            )
        except (NoAnswer, BadFrame) as error:
            raise _explained(error) from error

    async def scan(
        self, units: Iterable[int], timeout_s: float
    ) -> AsyncIterator[tuple[int, Answer | None]]:
        """Ask each unit for its first holding register: any answer, an exception too, is a device.

        Raises LinkDown, and ProbeError when the line itself cannot be trusted.
        """
        one = Block(Table.HOLDING, 0, 1, ())
        for unit in units:
            try:
                data = await self._connection.read(unit, one, timeout_s, self._pause_s)
            except NoAnswer:
                yield unit, None
            except BadFrame as error:
                if error.kind == "local_echo":
                    raise _explained(error) from error
                yield unit, None
            else:
                yield unit, self._timed(data)

    async def try_profile(self, unit: int, profile: Profile) -> Candidate:
        """Read `unit` as the driver would if it had `profile`. Raises LinkDown."""
        state = Unit(_device(profile, unit))
        poller = Poller("probe", self._connection, LinkHealth(), self._clock)
        reading = Reading(frozenset(state.targets))
        good = await poller.read(state, (), reading)
        names = frozenset(state.targets)
        for _ in range(_POLLS if good else 0):
            blocks = [block for group in state.groups(names, 0.0) for block in group]
            reading = Reading(names)
            good = await poller.read(state, blocks, reading)
            if not good or not state.isolation.searching:
                break
        found = state.found
        identified = found is not None and found.identified
        if not good:
            return Candidate(profile, Verdict.NO, state.health.note, identified, reading)
        verdict, why = _judged(state.map, reading, identified=identified)
        orders = [hint async for hint in self._orders(state, reading)]
        chosen = found.variants if found is not None else ()
        why = "; ".join((why, *(f"variant {text}" for text in (found.why if found else ()))))
        return Candidate(profile, verdict, why, identified, reading, tuple(orders), chosen)

    async def _orders(self, unit: Unit, reading: Reading) -> AsyncIterator[str]:
        """Points without a good value that are mains voltage or frequency in another byte order."""
        for name in sorted(reading.quality):
            address = unit.targets[name].address
            if not name.startswith(_MAINS) or address.type is not Type.F32:
                continue
            answer = await self.read(unit.number, block_of(address), unit.timeout_s)
            other = None if isinstance(answer.data, Excepted) else other_order(address, answer.data)
            if other is not None:
                order, value, in_unit = other
                yield f"{name} is {value:g} {in_unit} in order {order}, not {address.order}"

    async def answer_s(self, device: Device, times: int) -> float:
        """What `device` takes to answer, less the time on the line: the median of some requests.

        Raises ProbeError or LinkDown.
        """
        unit = Unit(device)
        blocks = [block for group in unit.groups(frozenset(unit.targets), 0.0) for block in group]
        line = wire(self.link)
        taken = []
        for index in range(times):
            block = blocks[index % len(blocks)]
            answer = await self.read(unit.number, block, unit.timeout_s)
            taken.append(max(0.0, answer.took_s - line.read_s(block.data_bytes)))
        return statistics.median(taken)

    def _timed(self, data: Sequence[int] | Excepted) -> Answer:
        took_s = self._connection.cost_s()
        self.round_trips_s.append(took_s)
        return Answer(data, took_s)


@asynccontextmanager
async def opened(
    link: ModbusLink, clock: Clock, timeout_s: float, pause_s: float = 0.02
) -> AsyncIterator[Prober]:
    """A prober on the bus of `link`, closed at the end. Raises LinkDown."""
    connection = Connection(link, lambda: None)
    await connection.open()
    try:
        yield Prober(link, connection, clock, timeout_s, pause_s)
    finally:
        connection.close()


def _device(profile: Profile, unit: int) -> Device:
    section = {"profile": profile.profile, "link": "probe", "unit": unit}
    return Device(f"unit-{unit}", profile, ModbusDevice.model_validate(section))


def _explained(error: NoAnswer | BadFrame) -> ProbeError:
    if isinstance(error, BadFrame) and error.kind == "local_echo":
        return ProbeError(ECHO)
    return ProbeError(str(error))


def _judged(profile: Profile, reading: Reading, *, identified: bool) -> tuple[Verdict, str]:
    total = len(profile.points)
    unread = {name for name, quality in reading.quality.items() if quality.level is Level.BAD}
    for limit in profile.plausible:
        value = reading.values.get(limit.point)
        if value is None or limit.point in reading.quality:
            shown = reading.quality[limit.point].reason if value is None else f"{value:g}"
            return Verdict.NO, f"{limit.point} is {shown}, expected {limit.min:g} to {limit.max:g}"
    share = f"{total - len(unread)} of {total} points can be read"
    if total - len(unread) < _FITS * total:
        reasons = Counter(reading.quality[name].reason for name in unread)
        return Verdict.NO, f"{share} ({', '.join(f'{n} {r}' for r, n in reasons.most_common(3))})"
    if identified:
        return Verdict.FITS, f"its identity register says so; {share}"
    if profile.plausible:
        return (
            Verdict.FITS,
            f"{' and '.join(p.point for p in profile.plausible)} plausible; {share}",
        )
    return Verdict.POSSIBLE, f"{share}, but the profile says nothing to tell it by"
