"""The Modbus driver reads: against the simulated farm, over real sockets."""

import asyncio
import io
import json
from pathlib import Path

import pytest

from gateway.errors import LinkDown
from gateway.model import Level, Quality, Value
from simulators.modbus import Fault, Misbehaviour
from tests.harness.clock import FakeClock
from tests.harness.modbus import (
    SDM120,
    SDM630,
    device,
    driver_for,
    eventually,
    farm_of,
    running,
)
from tests.harness.recorder import Recorder

TIMEOUT = Quality(Level.BAD, "timeout")


@pytest.mark.both_loops
async def test_every_point_of_both_meters_is_what_the_wire_said() -> None:
    log, bus = io.StringIO(), Recorder()
    async with farm_of(("m1", SDM120, 1), ("m2", SDM630, 2), log=log) as farm:
        driver = driver_for(farm.port, [device("m1", SDM120, 1), device("m2", SDM630, 2)])
        async with running(driver, bus):
            first = await bus.sample("m1"), await bus.sample("m2")
            second = await bus.sample("m1", after=first[1].n)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    for sample, profile in zip(first, (SDM120, SDM630), strict=True):
        assert sample.values.keys() == profile.by_id.keys()
        assert not sample.quality
        told: dict[str, Value] = {}
        for line in (line for line in lines if line["device"] == sample.device):
            told = line["values"] | told  # the first poll: one request for each point
        assert dict(sample.values) == told
    assert second.values.keys() == {p.id for p in SDM120.points if p.poll == "fast"}
    assert driver.health.last_good_ns > 0
    assert driver.devices["m1"].good >= 2
    assert farm.accepted == 1, "one connection for both"


async def test_samples_are_stamped_to_the_millisecond_and_never_twice_the_same() -> None:
    bus, clock = Recorder(), FakeClock(time_ns=1_772_391_600_000_777_777)
    async with farm_of(("m1", SDM120, 1)) as farm:
        driver = driver_for(farm.port, [device("m1", SDM120, 1)], clock)
        async with running(driver, bus):
            await eventually(lambda: len(bus.items) >= 2)
    times = [sample.time_ns for sample in bus.of("m1")[:2]]
    assert times == [1_772_391_600_000_000_000, 1_772_391_600_000_000_001]


async def test_a_dead_unit_is_bad_and_stops_no_other() -> None:
    bus = Recorder()
    devices = [device("m1", SDM120, 1), device("dead", SDM120, 9), device("m2", SDM120, 2)]
    async with farm_of(("m1", SDM120, 1), ("m2", SDM120, 2)) as farm:
        driver = driver_for(farm.port, devices)
        async with running(driver, bus) as task:
            dead = await bus.sample("dead")
            assert not dead.values
            assert dead.quality == dict.fromkeys(SDM120.by_id, TIMEOUT)
            await eventually(lambda: min(len(bus.of("m1")), len(bus.of("m2"))) >= 5)
            assert not task.done()
    assert len(bus.of("dead")) == 1, "it backs off for at least 1 s"
    assert driver.health.counters["timeouts"] == 1
    assert driver.devices["dead"].errors == {"timeout": 1}
    assert farm.accepted == 2, "the connection was closed once, after the timeout"


async def test_a_unit_that_comes_back_is_read_whole_again() -> None:
    bus = Recorder()
    async with farm_of(("m1", SDM120, 1), ("m2", SDM120, 2)) as farm:
        farm.stop("m2")
        driver = driver_for(farm.port, [device("m1", SDM120, 1), device("m2", SDM120, 2)])
        async with running(driver, bus):
            await bus.sample("m2")
            farm.start("m2")
            back = await bus.sample("m2", lambda s: bool(s.values))
    assert back.values.keys() == SDM120.by_id.keys()
    assert driver.devices["m2"].note == ""


async def test_when_no_unit_answers_the_link_is_down() -> None:
    bus = Recorder()
    async with farm_of(("m1", SDM630, 1), ("m2", SDM630, 2)) as farm:
        farm.stop("m1")
        farm.stop("m2")
        driver = driver_for(farm.port, [device("m1", SDM630, 1), device("m2", SDM630, 2)])
        with pytest.raises(LinkDown, match=r"meters: none of 2 units at 127.0.0.1:\d+ answers"):
            await asyncio.wait_for(driver.run(bus), 5)
    assert {s.device for s in bus.samples} == {"m1", "m2"}
    assert driver.health.last_good_ns == 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.WRONG_COUNT, "count"),
        (Fault.WRONG_FUNCTION, "function"),
        (Fault.FOREIGN, "unit"),
        (Fault.GARBAGE, "protocol"),
    ],
)
async def test_an_answer_that_does_not_fit_is_refused(fault: Fault, kind: str) -> None:
    bus = Recorder()
    async with farm_of(("m1", SDM630, 1), ("m2", SDM630, 2)) as farm:
        farm.misbehave("m1", Misbehaviour(fault))
        driver = driver_for(farm.port, [device("m1", SDM630, 1), device("m2", SDM630, 2)])
        async with running(driver, bus):
            bad = await bus.sample("m1")
            good = await bus.sample("m2")
    assert bad.quality == dict.fromkeys(SDM630.by_id, Quality(Level.BAD, "bad_frame"))
    assert good.values
    assert not good.quality
    assert driver.health.counters[f"frame_errors_{kind}"] == 1


async def test_a_late_answer_never_reaches_the_next_request() -> None:
    bus = Recorder()
    async with farm_of(("m1", SDM120, 1), ("m2", SDM120, 2)) as farm:
        farm.set_value("m1", "elec.voltage.a", 201.5)
        farm.set_value("m2", "elec.voltage.a", 202.5)
        farm.misbehave("m1", Misbehaviour(Fault.LATE, delay_s=0.65))  # 50 ms after the timeout
        driver = driver_for(farm.port, [device("m1", SDM120, 1), device("m2", SDM120, 2)])
        async with running(driver, bus):
            late = await bus.sample("m1")
            await eventually(lambda: len(bus.of("m2")) >= 3)
    assert late.quality["elec.voltage.a"] == TIMEOUT
    assert {s.values["elec.voltage.a"] for s in bus.of("m2")} == {202.5}


async def test_an_exception_is_an_answer_and_its_points_are_bad() -> None:
    bus = Recorder()
    async with farm_of(("m1", SDM630, 1)) as farm:
        farm.misbehave("m1", Misbehaviour(Fault.EXCEPTION, code=2))
        driver = driver_for(farm.port, [device("m1", SDM630, 1)])
        async with running(driver, bus) as task:
            await eventually(lambda: len(bus.of("m1")) >= 3)
            assert not task.done()
    assert bus.of("m1")[0].quality == dict.fromkeys(SDM630.by_id, Quality(Level.BAD, "exception_2"))
    assert driver.health.last_good_ns > 0
    assert driver.devices["m1"].good == 0
    assert driver.devices["m1"].errors["exception_2"] >= 3


async def test_a_unit_that_its_gateway_cannot_reach_backs_off() -> None:
    bus = Recorder()
    async with farm_of(("m1", SDM630, 1), ("m2", SDM630, 2)) as farm:
        farm.misbehave("m1", Misbehaviour(Fault.EXCEPTION, code=11))
        driver = driver_for(farm.port, [device("m1", SDM630, 1), device("m2", SDM630, 2)])
        async with running(driver, bus):
            await eventually(lambda: len(bus.of("m2")) >= 4)
    assert farm.requests["m1"] == 1
    assert bus.of("m1")[0].quality["elec.voltage.a"] == Quality(Level.BAD, "exception_11")


async def test_another_device_than_the_profile_says_is_refused_alone() -> None:
    other = SDM120.model_copy(update={"identity": [SDM120.identity[0].model_copy(update={"equals": [0x70]})]})  # fmt: skip
    bus = Recorder()
    async with farm_of(("m1", other, 1), ("m2", SDM120, 2)) as farm:
        driver = driver_for(farm.port, [device("m1", SDM120, 1), device("m2", SDM120, 2)])
        async with running(driver, bus):
            wrong = await bus.sample("m1")
            await eventually(lambda: len(bus.of("m2")) >= 3)
    assert wrong.quality == dict.fromkeys(SDM120.by_id, Quality(Level.BAD, "wrong_device"))
    assert driver.devices["m1"].note == "unit 1: identity register 0xfc02 is 112: not a eastron-sdm120"  # fmt: skip
    assert len(bus.of("m1")) == 1


@pytest.mark.parametrize(
    ("optional", "code", "reason"),
    [(True, 2, None), (False, 2, "wrong_device"), (True, 6, "exception_6")],
)
async def test_an_identity_probe_may_be_refused_only_if_it_is_optional(
    optional: bool, code: int, reason: str | None
) -> None:
    probe = SDM120.identity[0].model_copy(update={"optional": optional})
    asked = SDM120.model_copy(update={"identity": [probe]})
    served = SDM120.model_copy(update={"identity": []})
    bus = Recorder()
    async with farm_of(("m1", served, 1)) as farm:
        if code != 2:  # what the farm says of a register that does not exist
            farm.misbehave("m1", Misbehaviour(Fault.EXCEPTION, code=code))
        async with running(driver_for(farm.port, [device("m1", asked, 1)]), bus):
            first = await bus.sample("m1")
    expected = {} if reason is None else dict.fromkeys(SDM120.by_id, Quality(Level.BAD, reason))
    assert first.quality == expected


async def test_an_over_voltage_is_read_and_marked_once_it_is_implausible() -> None:
    bus = Recorder()
    async with farm_of(("m1", SDM120, 1)) as farm:
        driver = driver_for(farm.port, [device("m1", SDM120, 1)])
        async with running(driver, bus):
            await bus.sample("m1")
            farm.set_voltage("m1", 265.0)
            high = await bus.sample("m1", lambda s: s.values["elec.voltage.a"] == 265.0)
            farm.set_voltage("m1", 300.0)
            odd = await bus.sample("m1", lambda s: s.values["elec.voltage.a"] == 300.0)
    assert not high.quality
    assert odd.quality["elec.voltage.a"] == Quality(Level.UNCERTAIN, "implausible")


async def test_a_server_that_goes_away_is_a_link_that_is_down() -> None:
    bus = Recorder()
    async with farm_of(("m1", SDM120, 1)) as farm:
        task = asyncio.create_task(driver_for(farm.port, [device("m1", SDM120, 1)]).run(bus))
        await bus.sample("m1")
    with pytest.raises(LinkDown, match=r"meters: .* does not accept connections"):
        await asyncio.wait_for(task, 2)
    with pytest.raises(LinkDown, match=r"meters: .* does not accept connections"):
        await driver_for(farm.port, [device("m1", SDM120, 1)]).run(bus)


@pytest.mark.both_loops
async def test_a_server_that_closes_idle_connections_is_no_link_that_is_down() -> None:
    bus = Recorder()
    async with farm_of(("m1", SDM120, 1)) as farm:
        driver = driver_for(farm.port, [device("m1", SDM120, 1)])
        async with running(driver, bus) as task:
            for _ in range(3):
                await bus.sample("m1", after=len(bus.items))
                farm.cut()
            await bus.sample("m1", after=len(bus.items))
            assert not task.done()
    assert not any(sample.quality for sample in bus.samples)
    assert 3 <= driver.health.counters["reopened"] <= 4
    assert driver.health.connects == 1


async def test_a_connection_cut_in_the_middle_of_a_request_is_a_link_that_is_down() -> None:
    async with farm_of(("m1", SDM120, 1)) as farm:
        farm.misbehave("m1", Misbehaviour(Fault.CUT))
        with pytest.raises(LinkDown, match="closed the connection"):
            await asyncio.wait_for(driver_for(farm.port, [device("m1", SDM120, 1)]).run(Recorder()), 3)  # fmt: skip


def sockets() -> int:
    return sum("socket" in str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink())  # fmt: skip


@pytest.mark.both_loops
@pytest.mark.parametrize("busy", [False, True])
async def test_cancelling_ends_within_100_ms_and_leaves_no_socket(busy: bool) -> None:
    bus = Recorder()
    async with farm_of(("m1", SDM120, 1), ("m2", SDM120, 2)) as farm:
        before = sockets()
        if busy:
            farm.stop("m2")  # the driver waits for its answer when it is cancelled
        driver = driver_for(farm.port, [device("m1", SDM120, 1), device("m2", SDM120, 2)])
        task = asyncio.create_task(driver.run(bus))
        await bus.sample("m1")
        loop = asyncio.get_running_loop()
        start = loop.time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop.time() - start < 0.1
        await eventually(lambda: not farm.open and sockets() == before)
