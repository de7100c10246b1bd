"""Who gets the bus: commands, alarms, telemetry, silent units; spread over the period, none twice."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from drivers.modbus import quarantine
from gateway.errors import LinkDown
from gateway.profile import Profile
from tests.harness.line import Parts, at_once, framed, pty_line, serial_link, word
from tests.harness.modbus import device, eventually, running
from tests.harness.recorder import Recorder
from tests.integration.test_modbus_recovery import built


@pytest.fixture(autouse=True)
def short_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "QUIET_S", 0.2)


def profile(name: str, points: list[dict[str, object]]) -> Profile:
    return Profile.model_validate({
        "profile": name, "type": "test", "facility": "utilities", "protocol": "modbus",
        "sources": ["this test"], "status": "code",
        "limits": {"timeout": "200ms", "pause": "1ms", "max_regs": 10},
        "defaults": {"at": {"table": "holding", "type": "u16"}}, "points": points,
    })  # fmt: skip


METER = profile("meter", [{"id": f"v{i}", "at": 100 * i, "poll": "fast"} for i in range(8)])
PANEL = profile("panel", [{"id": "alarm.fire", "at": 5, "poll": "fast"}, {"id": "text", "at": 300}])


def slow(request: bytes, answer: bytes) -> Parts:
    """A line on which a request takes 20 ms."""
    yield 0.02, answer


async def test_alarms_overtake_the_telemetry_of_other_units(tmp_path: Path) -> None:
    bus = Recorder()
    async with pty_line(tmp_path / "port") as line:
        line.script = slow
        meters = [device(f"m{i}", METER, i, "500ms") for i in range(1, 4)]
        driver = built(serial_link(tmp_path / "port"), *meters, device("p", PANEL, 9, "100ms"))
        async with running(driver, bus):
            await bus.sample("p")
            line.requests.clear()
            await eventually(lambda: len([r for r in line.requests if r[0] == 9]) > 8)
    alarms = [i for i, r in enumerate(line.requests) if r[0] == 9 and r[3] == 5]
    # 24 telemetry requests of 20 ms fill the 500 ms; the panel is read every 100 ms all the same.
    assert all(later - earlier <= 8 for earlier, later in pairwise(alarms))
    assert driver.health.counters["missed_polls"] > 0, (
        "the telemetry does not fit, and that is told"
    )


async def test_alarm_points_are_read_and_published_before_the_rest_of_their_unit(
    tmp_path: Path,
) -> None:
    bus = Recorder()
    async with pty_line(tmp_path / "port") as line:
        driver = built(serial_link(tmp_path / "port"), device("p", PANEL, 9, "10s"))
        async with running(driver, bus):
            await eventually(lambda: len(bus.items) == 2)
    assert [set(sample.values) for sample in bus.samples] == [{"alarm.fire"}, {"text"}]
    assert bus.samples[0].values == {"alarm.fire": word(9, 3, 5)}
    assert [r[3] for r in line.requests] == [5, 300 & 0xFF]


async def test_a_bus_that_is_too_slow_polls_every_unit_and_none_twice(tmp_path: Path) -> None:
    bus = Recorder()
    one = profile("one", [{"id": "v", "at": 7}])
    async with pty_line(tmp_path / "port") as line:
        line.script = slow
        devices = [device(f"m{i}", one, i, "100ms") for i in range(1, 11)]  # 200 ms of requests
        driver = built(serial_link(tmp_path / "port"), *devices)
        async with running(driver, bus):
            await eventually(lambda: len(line.requests) >= 60)
            counts = [sum(r[0] == unit for r in line.requests) for unit in range(1, 11)]
    assert max(counts) - min(counts) <= 2
    assert driver.health.counters["missed_polls"] > 20


async def test_a_dead_unit_lets_the_others_go_first(tmp_path: Path) -> None:
    bus = Recorder()
    one = profile("one", [{"id": "v", "at": 7}])
    async with pty_line(tmp_path / "port") as line:
        line.script = lambda r, answer: [] if r[0] == 3 else at_once(r, answer)
        devices = [device(f"m{i}", one, i, "100ms") for i in range(1, 5)]
        driver = built(serial_link(tmp_path / "port"), *devices)
        async with running(driver, bus):
            await eventually(lambda: len(bus.of("m4")) > 8)
            assert line.requests[4][0] != 3, "it backs off"
    assert sum(r[0] == 3 for r in line.requests) <= 2
    assert driver.devices["m3"].errors["timeout"] <= 2


def dead(_request: bytes, _answer: bytes) -> Parts:
    return ()


async def test_the_back_off_of_a_dead_unit_goes_on_when_its_link_was_down(tmp_path: Path) -> None:
    bus = Recorder()
    one = profile("one", [{"id": "v", "at": 7}])
    async with pty_line(tmp_path / "port") as line:
        line.script = dead
        driver = built(serial_link(tmp_path / "port"), device("m1", one, 1, "100ms"))
        for attempt in range(3):
            with pytest.raises(LinkDown, match=r"the unit at .* does not answer"):
                await asyncio.wait_for(driver.run(bus), 9)
            assert len(line.requests) == attempt + 1, "one request for each time it was due"
    assert {s.quality["v"].reason for s in bus.samples} == {"timeout"}


PAIRS = profile("pairs", [{"id": f"v{n}", "at": 100 * (n // 2) + n % 2} for n in range(6)])


async def test_answers_that_look_alike_are_told_apart_where_there_is_no_transaction_id(
    tmp_path: Path,
) -> None:
    """A second copy of each answer comes while the next request is under way."""
    bus = Recorder()
    async with pty_line(tmp_path / "port") as line:
        line.script = lambda _request, answer: [(0.008, answer), (0.012, answer)]
        driver = built(serial_link(tmp_path / "port"), device("m1", PAIRS, 1, "100ms"))
        async with running(driver, bus):
            await eventually(lambda: len(line.requests) > 4 and len(bus.items) > 1)
    for sample in bus.samples:
        for name, value in sample.values.items():
            pair, second = divmod(int(name[1:]), 2)
            assert value == word(1, 3, 100 * pair + second)
    assert 1 in {request[5] for request in line.requests}, "a request of another shape in between"


async def test_after_a_time_out_the_first_request_has_another_shape(tmp_path: Path) -> None:
    bus = Recorder()
    two = profile("two", [{"id": "a", "at": 7}, {"id": "b", "at": 8}])
    async with pty_line(tmp_path / "port") as line:
        line.script = dead
        driver = built(serial_link(tmp_path / "port"), device("m1", two, 1, "100ms"))
        with pytest.raises(LinkDown):
            await asyncio.wait_for(driver.run(bus), 9)
        line.script = at_once
        async with running(driver, bus):
            await bus.sample("m1", lambda s: bool(s.values))
    assert [r[5] for r in line.requests][:3] == [2, 1, 2]


async def test_an_exception_in_a_foreign_name_is_no_answer(tmp_path: Path) -> None:
    bus = Recorder()
    one = profile("one", [{"id": "v", "at": 7}])
    async with pty_line(tmp_path / "port") as line:
        line.script = lambda r, _answer: [(0.0, framed(bytes([r[0] % 2 + 1, 0x83, 2])))]
        devices = [device("m1", one, 1), device("m2", one, 2)]
        driver = built(serial_link(tmp_path / "port"), *devices)
        async with running(driver, bus):
            sample = await bus.sample("m1")
    assert sample.quality["v"].reason == "bad_frame"
    assert driver.health.counters["frame_errors_unit"] >= 1
