"""The books of a metered line."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.sinks.meter import DAYS, UNDATED, Meter, packet_bytes
from tests.harness.clock import FakeClock

ZONE = ZoneInfo("Asia/Shanghai")
EVENING = int(datetime(2026, 3, 1, 15, 59, 59, tzinfo=UTC).timestamp()) * 1_000_000_000


def at(clock: FakeClock, time_ns: int) -> None:
    clock.advance((time_ns - clock.time_ns()) / 1e9)


@pytest.fixture
def clock() -> FakeClock:
    one = FakeClock()
    at(one, EVENING)
    return one


async def test_bytes_count_for_the_day_of_the_site_and_survive_a_restart(
    tmp_path: Path, clock: FakeClock
) -> None:
    meter = Meter(tmp_path, "platform", ZONE, clock)
    await meter.load()
    meter.add(0, 100)
    meter.add(2, 1_000)
    clock.advance(2)  # past midnight in Shanghai
    meter.add(0, 7)
    await meter.save()
    again = Meter(tmp_path, "platform", ZONE, clock)
    await again.load()
    again.add(0, 3)
    assert again.today(0) == 10
    assert again.today(2) == 0
    assert again.by_day(0) == {"2026-03-01": 100, "2026-03-02": 10}
    assert again.by_day(2) == {"2026-03-01": 1_000}


async def test_two_upstreams_keep_books_of_their_own(tmp_path: Path, clock: FakeClock) -> None:
    for name, size in (("one", 5), ("two", 6)):
        meter = Meter(tmp_path, name, ZONE, clock)
        meter.add(1, size)
        await meter.save()
    one = Meter(tmp_path, "one", ZONE, clock)
    await one.load()
    assert one.today(1) == 5


async def test_the_books_go_back_two_months_and_no_further(
    tmp_path: Path, clock: FakeClock
) -> None:
    meter = Meter(tmp_path, "platform", ZONE, clock)
    for _ in range(DAYS + 30):
        meter.add(0, 1)
        clock.advance(86_400)
    assert meter.today(0) == 0
    assert len(meter.by_day(0)) == DAYS
    assert max(meter.by_day(0)) > "2026-05-25"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"2026-03-01": 5}', b"\xff", b'{"a":{"x":1}}'])
async def test_books_that_cannot_be_read_begin_anew(
    tmp_path: Path, clock: FakeClock, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "upstream-platform.json").write_bytes(content)
    meter = Meter(tmp_path, "platform", ZONE, clock)
    await meter.load()
    meter.add(0, 4)
    await meter.save()
    assert meter.by_day(0) == {"2026-03-01": 4}
    assert "counted anew" in caplog.text


async def test_a_clock_that_is_not_right_dates_nothing(tmp_path: Path, clock: FakeClock) -> None:
    clock.ok = False
    meter = Meter(tmp_path, "platform", ZONE, clock)
    meter.add(0, 9)
    assert meter.today(0) == 9
    clock.ok = True
    meter.add(0, 1)
    assert meter.by_day(0) == {"2026-03-01": 1, UNDATED: 9}


@pytest.mark.parametrize(
    ("payload", "expected"), [(0, 14), (115, 129), (116, 131), (16_371, 16_386), (16_372, 16_388)]
)
def test_a_packet_is_as_long_as_the_standard_says(payload: int, expected: int) -> None:
    assert packet_bytes("gw/x/up", b"x" * payload) == expected
