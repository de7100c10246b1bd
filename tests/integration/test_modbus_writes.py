"""The Modbus driver writes: to the simulated farm, and to pymodbus' own server."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway.errors import LinkDown, Refused
from gateway.model import Outcome, Value
from gateway.profile import Identity
from simulators.modbus import Fault, Misbehaviour
from tests.harness.modbus import (
    ACTUATORS,
    SDM120,
    command,
    device,
    driver_for,
    eventually,
    farm_of,
    running,
)
from tests.harness.recorder import Recorder


async def test_a_write_to_another_device_than_the_profile_says_is_refused() -> None:
    at = {"table": "coil", "addr": 7, "type": "bool"}
    locked = ACTUATORS.model_copy(update={"identity": [Identity(at=at, equals=[1])]})
    bus = Recorder()
    async with farm_of(("a1", ACTUATORS, 3)) as farm:
        driver = driver_for(farm.port, [device("a1", locked, 3, "10m")])
        async with running(driver, bus):
            await bus.sample("a1", lambda s: not s.values)
            with pytest.raises(Refused, match="identity register 0x0007 is 0"):
                await driver.write(command("a1", "pump.on", True))


async def test_a_poll_under_way_does_not_undo_what_a_write_has_shown() -> None:
    bus = Recorder()
    async with farm_of(("a1", ACTUATORS, 3)) as farm:
        farm.misbehave("a1", Misbehaviour(Fault.LATE, delay_s=0.05))
        driver = driver_for(farm.port, [device("a1", ACTUATORS, 3, "10m")])
        async with running(driver, bus):
            await eventually(lambda: farm.requests["a1"] == 1)  # the coils are being read
            await driver.write(command("a1", "pump.on", True))
            await eventually(lambda: len(bus.items) == 2)
    shown, polled = bus.samples
    assert shown.values == {"pump.on": True}
    assert polled.values.keys() == {"light.level", "heat.target", "door.lock"}
    assert polled.time_ns > shown.time_ns


@pytest.mark.parametrize(
    ("point", "value"),
    [("light.level", 42.5), ("heat.target", 21.3), ("door.lock", "locked"), ("pump.on", True)],
)
async def test_a_write_is_done_and_read_back_at_once(point: str, value: Value) -> None:
    bus = Recorder()
    async with farm_of(("a1", ACTUATORS, 3)) as farm:
        driver = driver_for(farm.port, [device("a1", ACTUATORS, 3, "10m")])
        async with running(driver, bus):
            first = await bus.sample("a1")
            result = await driver.write(command("a1", point, value))
            after = await bus.sample("a1", after=first.n)
    assert first.values[point] != value
    assert (result.outcome, result.attempts) == (Outcome.WRITTEN, 1)
    assert after.values == {point: value}


async def test_a_write_overtakes_the_polls_of_a_slow_bus() -> None:
    bus = Recorder()
    meters = [(f"m{i}", SDM120, i) for i in range(1, 9)]
    async with farm_of(("a1", ACTUATORS, 100), *meters) as farm:
        for name, _, _ in meters:
            farm.misbehave(name, Misbehaviour(Fault.LATE, delay_s=0.05))
        driver = driver_for(farm.port, [device("a1", ACTUATORS, 100, "10m"), *(device(*m) for m in meters)])  # fmt: skip
        async with running(driver, bus):
            await bus.sample("m1")
            start = asyncio.get_running_loop().time()
            await driver.write(command("a1", "pump.on", True))
            took = asyncio.get_running_loop().time() - start
    assert took < 0.15, "at most the request that was under way"


async def test_writes_that_cannot_be_done_are_refused_with_the_reason() -> None:
    bus = Recorder()
    async with farm_of(("a1", ACTUATORS, 3)) as farm:
        driver = driver_for(farm.port, [device("a1", ACTUATORS, 3, "10m")])
        with pytest.raises(LinkDown, match="not connected"):
            await driver.write(command("a1", "pump.on", True))
        async with running(driver, bus):
            await bus.sample("a1")
            refusals: list[tuple[str, Value, str]] = [
                ("light.level", 101, "101 is outside 0 to 100"),
                ("light.level", 0.3, "0.3 is finer than the device's step of 0.5"),
                ("door.lock", "ajar", "'ajar' is not one of unlocked, locked"),
                ("pump.on", 2, "2 does not fit a bool"),
                ("pump.speed", 1, "no command for pump.speed"),
            ]
            for point, value, why in refusals:
                with pytest.raises(Refused, match=why):
                    await driver.write(command("a1", point, value))
            assert farm.requests["a1"] == 2
            late = await driver.write(command("a1", "pump.on", True, not_after_ns=1))
            assert late.outcome is Outcome.EXPIRED
            farm.misbehave("a1", Misbehaviour(Fault.EXCEPTION, code=4))
            with pytest.raises(Refused, match=r"a1: pump\.on: exception 4"):
                await driver.write(command("a1", "pump.on", True))
            farm.misbehave("a1", Misbehaviour(Fault.FOREIGN))
            with pytest.raises(LinkDown, match=r"bad frame \(unit\)"):
                await driver.write(command("a1", "pump.on", True))
            farm.stop("a1")
            with pytest.raises(LinkDown, match=r"no answer within 0\.2 s"):
                await driver.write(command("a1", "pump.on", True))


async def test_a_write_waiting_when_the_link_goes_down_fails() -> None:
    bus = Recorder()
    async with farm_of(("a1", ACTUATORS, 3)) as farm:
        driver = driver_for(farm.port, [device("a1", ACTUATORS, 3, "10m")])
        async with running(driver, bus) as task:
            await bus.sample("a1")
            farm.stop("a1")
            writes = [asyncio.create_task(driver.write(command("a1", "pump.on", True))) for _ in range(2)]  # fmt: skip
            await eventually(lambda: farm.requests["a1"] == 3)
            task.cancel()
            results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results] == [LinkDown, LinkDown]


async def with_pymodbus_server(
    unit: int, registers: Sequence[int], body: Callable[[int], Awaitable[None]]
) -> None:
    block = SimData(0, values=list(registers), datatype=DataType.REGISTERS)
    server = ModbusTcpServer(SimDevice(unit, simdata=[block]), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    try:
        assert isinstance(server.transport, asyncio.Server)
        await body(server.transport.sockets[0].getsockname()[1])
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus has no type there


async def test_a_server_that_is_not_ours_is_read_and_written_as_well() -> None:
    bus = Recorder()

    async def body(port: int) -> None:
        profile = ACTUATORS.model_copy(
            update={"points": ACTUATORS.points[:2], "commands": ACTUATORS.commands[:2]}
        )
        driver = driver_for(port, [device("a1", profile, 3, "10m")])
        async with running(driver, bus):
            first = await bus.sample("a1")
            assert first.values == {"light.level": 30.5, "heat.target": 21.5}
            await driver.write(command("a1", "heat.target", 22.25))
            assert (await bus.sample("a1", after=first.n)).values == {"heat.target": 22.25}
            await driver.write(command("a1", "light.level", 7.5))
            assert (await bus.sample("a1", after=first.n + 1)).values == {"light.level": 7.5}

    await with_pymodbus_server(3, [61, 0, 0x0000, 0x41AC, 0], body)
