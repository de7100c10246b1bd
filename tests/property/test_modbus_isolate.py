"""Whatever registers a device lacks: they are found, and everything else is read."""

from collections.abc import Collection

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.modbus.address import Address, Order, Table, Type
from drivers.modbus.isolate import EXTRA, RETRY_S, Isolation
from drivers.modbus.plan import Block, Planner, Target, whole
from gateway.profile import Limits, Point

TYPES = {1: Type.U16, 2: Type.F32, 4: Type.F64}


def target(addr: int, width: int, table: Table = Table.HOLDING) -> Target:
    name = f"p.{'abcdefghij'[addr // 100]}{addr}"
    return Target(Point(id=name), Address(table, addr, TYPES[width], Order.ABCD))


@st.composite
def maps(draw: st.DrawFn) -> dict[str, Target]:
    """Points that do not overlap, some of them next to each other, some apart."""
    sizes = draw(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([1, 2, 4])), min_size=1, max_size=30))  # fmt: skip
    found, addr = {}, 0
    for gap, width in sizes:
        made = target(addr + gap, width)
        found[made.point.id] = made
        addr = made.address.end
    return found


class Device:
    """A device that knows some registers and takes requests of at most `longest`."""

    def __init__(self, lacks: Collection[int], longest: int = 125) -> None:
        self.lacks, self.longest = lacks, longest
        self.requests = 0

    def code(self, block: Block) -> int:
        """The exception that it answers; 0: none."""
        self.requests += 1
        if block.size > self.longest:
            return 3
        return 2 if any(a in self.lacks for a in range(block.addr, block.span.end)) else 0

    def has(self, wanted: Target) -> bool:
        return self.code(whole([wanted])) == 0


class Reader:
    """Polls a device as the driver does."""

    def __init__(self, wanted: dict[str, Target], device: Device, limits: Limits) -> None:
        self.wanted, self.device = wanted, device
        self.plans: dict[frozenset[str], tuple[Block, ...]] = {}
        self.isolation = Isolation(self.plans.clear)
        self.planner = Planner(wanted, limits, self.isolation.fits)
        self.refused = 0

    def plan(self, names: Collection[str]) -> tuple[Block, ...]:
        asked = frozenset(names)
        if asked not in self.plans:
            self.plans[asked] = self.planner.for_points(asked.difference(self.isolation.missing))
        return self.plans[asked]

    def poll(self, names: Collection[str], now: float = 0.0) -> set[str]:
        """The points that were read; one poll is bounded in its requests."""
        blocks = self.plan(names)
        self.isolation.begin()
        blocks += self.isolation.retries(self.wanted, now)
        before, self.refused = self.device.requests, 0
        good: set[str] = set()
        for block in blocks:
            self.read(block, good, now)
        assert self.device.requests - before <= len(blocks) + EXTRA
        return good

    def read(self, block: Block, good: set[str], now: float) -> None:
        code = self.device.code(block)
        if not code:
            self.isolation.worked(block)
            good.update(t.point.id for t in block.targets)
            return
        self.refused += 1
        for part in self.isolation.refused(block, code, now):
            self.read(part, good, now)


LIMITS = Limits(max_regs=60, max_gap=8)
# A refused request makes known for good one point or one place, or is halved: more polls than this
# would be needed only if something were found out twice.
MOST_POLLS = 20


def settle(reader: Reader) -> int:
    """Poll everything until nothing is refused any more; how many polls that took."""
    for count in range(1, MOST_POLLS):
        planned = reader.plan(reader.wanted)
        good = reader.poll(reader.wanted)
        # What was found out in this poll may let requests be merged again: one more will tell.
        is_same = reader.plan(reader.wanted) == planned
        if not reader.refused and not reader.isolation.searching and is_same:
            assert good == {n for n, t in reader.wanted.items() if reader.device.has(t)}
            assert reader.isolation.missing.keys() == reader.wanted.keys() - good
            return count
    raise AssertionError("it never ends")


@settings(max_examples=300, deadline=None)
@given(maps(), st.sets(st.integers(0, 150)), st.integers(4, 60))
def test_whatever_registers_a_device_lacks_every_other_point_is_read(
    wanted: dict[str, Target], lacks: set[int], longest: int
) -> None:
    reader = Reader(wanted, Device(lacks, longest), LIMITS)
    settle(reader)
    # from then on one poll is exactly its plan, and nothing in it is refused
    before = reader.device.requests
    reader.poll(wanted)
    assert reader.refused == 0
    assert reader.device.requests - before == len(reader.plan(wanted))


@settings(max_examples=200, deadline=None)
@given(maps(), st.sets(st.integers(0, 150), max_size=4), st.data())
def test_polls_of_a_part_of_the_points_in_between_do_no_harm(
    wanted: dict[str, Target], lacks: set[int], data: st.DataObject
) -> None:
    reader = Reader(wanted, Device(lacks), LIMITS)
    some = data.draw(st.sets(st.sampled_from(sorted(wanted))))
    for _ in range(3):
        reader.poll(some)
        reader.poll(wanted)
    settle(reader)


@settings(max_examples=100, deadline=None)
@given(maps(), st.sets(st.integers(0, 150), max_size=4))
def test_what_a_device_learns_later_is_read_again_within_an_hour(
    wanted: dict[str, Target], lacks: set[int]
) -> None:
    reader = Reader(wanted, Device(lacks), LIMITS)
    settle(reader)
    reader.device.lacks = ()
    now = 0.0
    for _ in range(30):  # at most EXTRA points in each poll
        now += RETRY_S[1]
        reader.poll(wanted, now)
    assert reader.poll(wanted, now) == set(wanted)
    assert not reader.isolation.missing


@given(st.integers(0, 29))
def test_one_missing_point_of_thirty_costs_its_first_poll_ten_requests_and_no_point(
    place: int,
) -> None:
    wanted = {t.point.id: t for t in (target(2 * i, 2) for i in range(30))}
    reader = Reader(wanted, Device({2 * place, 2 * place + 1}), LIMITS)
    good = reader.poll(wanted)
    assert len(good) == 29
    assert reader.device.requests <= 11  # the refused one, then two for each of five halvings


def test_a_device_that_refuses_everything_is_asked_ever_less_often() -> None:
    wanted = {t.point.id: t for t in (target(2 * i, 2) for i in range(20))}
    reader = Reader(wanted, Device(range(200)), LIMITS)
    settle(reader)
    before = reader.device.requests
    for second in range(0, 24 * 3600, 10):
        reader.poll(wanted, float(second))
    day = reader.device.requests - before
    assert day <= len(wanted) * 30  # 1, 2, 4, ... 32 minutes, then once an hour


def test_forgotten_findings_are_found_anew() -> None:
    wanted = {t.point.id: t for t in (target(2 * i, 2) for i in range(8))}
    reader = Reader(wanted, Device({4, 5}), LIMITS)
    assert settle(reader) == 2
    reader.device.lacks = {8, 9}
    reader.isolation.forget()
    assert reader.isolation.missing == {}
    settle(reader)
    assert list(reader.isolation.missing) == ["p.a8"]
