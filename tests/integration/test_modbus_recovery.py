"""A Modbus link comes back by itself within 5 s of its port or peer, and leaves nothing behind."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from drivers.modbus.driver import ModbusDriver
from drivers.modbus.link import Connection
from drivers.modbus.settings import ModbusLink
from drivers.modbus.spec import SPEC
from gateway.app import LINK_DELAY_S
from gateway.driver import Device
from gateway.health import LinkState
from gateway.profile import Profile
from gateway.supervise import supervise
from tests.harness.clock import FakeClock
from tests.harness.line import block, pty_line, serial_link, words
from tests.harness.modbus import SDM120, device, driver_for, eventually, farm_of
from tests.harness.recorder import Recorder

BACK_S = 5.0

METER = Profile.model_validate({
    "profile": "one-block", "type": "test", "facility": "utilities", "protocol": "modbus",
    "sources": ["this test"], "status": "code", "limits": {"timeout": "200ms", "pause": "5ms"},
    "points": [{"id": "a", "at": {"table": "holding", "addr": 7, "type": "u16"}}],
})  # fmt: skip


def built(link: ModbusLink, *devices: Device) -> ModbusDriver:
    driver = SPEC.build("meters", link, devices, FakeClock())
    assert isinstance(driver, ModbusDriver)
    return driver


@asynccontextmanager
async def supervised(driver: ModbusDriver, bus: Recorder) -> AsyncIterator[None]:
    """As the daemon runs it."""
    task = asyncio.create_task(
        supervise(
            "link meters", partial(driver.run, bus), driver.health, clock=FakeClock(),
            transition=lambda _state, _why: None, longest_s=LINK_DELAY_S,
        )
    )  # fmt: skip
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(fact: Callable[[], bool], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not fact():
            await asyncio.sleep(0.01)


def is_down(driver: ModbusDriver) -> bool:
    return driver.health.state is LinkState.DOWN


async def test_a_serial_adapter_may_be_unplugged_and_come_back_under_another_number(
    tmp_path: Path,
) -> None:
    port, bus = tmp_path / "by-id", Recorder()
    driver = built(serial_link(port), device("m1", METER, 1))
    async with supervised(driver, bus):
        await until(lambda: is_down(driver), 2)
        assert driver.health.reason == f"meters: {port}: no such port: is the adapter plugged in?"
        for _ in range(2):
            seen = len(bus.items)
            async with pty_line(port) as line:
                await until(lambda: len(bus.items) > seen, BACK_S)  # noqa: B023 -- used here only
                assert line.requests
            await until(lambda: is_down(driver), 1)
            assert driver.health.reason == f"meters: {port} is gone"
    assert {sample.values["a"] for sample in bus.samples} == {words(1, block(7, 1))[0]}


async def test_an_adapter_that_is_unplugged_while_a_unit_is_asked_is_gone(tmp_path: Path) -> None:
    port = tmp_path / "by-id"
    driver = built(serial_link(port), device("m1", METER, 1))
    async with supervised(driver, Recorder()):
        async with pty_line(port) as line:
            line.script = lambda _request, _answer: ()
            await until(lambda: bool(line.requests), 2)
        await until(lambda: driver.health.reason == f"meters: {port} is gone", 2)


async def test_a_port_in_use_by_another_program_says_so(tmp_path: Path) -> None:
    port = tmp_path / "by-id"
    async with pty_line(port):
        other = Connection(serial_link(port), lambda: None)
        await other.open()
        driver, bus = built(serial_link(port), device("m1", METER, 1)), Recorder()
        async with supervised(driver, bus):
            await until(lambda: is_down(driver), 2)
            assert driver.health.reason == f"meters: {port}: in use by another program"
            other.close()
            await until(lambda: bool(bus.items), BACK_S)


class OneClient(asyncio.Protocol):
    """A server that takes one client and turns every other away."""

    taken: "OneClient | None" = None
    turned_away = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if OneClient.taken is not None:
            OneClient.turned_away += 1
            transport.close()
        else:
            OneClient.taken = self

    def connection_lost(self, exc: Exception | None) -> None:
        if OneClient.taken is self:
            OneClient.taken = None

    def data_received(self, data: bytes) -> None:
        assert isinstance(self.transport, asyncio.WriteTransport)
        if OneClient.taken is self:
            self.transport.write(data[:4] + b"\0\x05" + data[6:8] + b"\x02\0\x2a")


async def test_a_server_that_takes_one_client_is_read_when_the_other_client_leaves() -> None:
    OneClient.turned_away = 0
    server = await asyncio.get_running_loop().create_server(OneClient, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, foreign = await asyncio.open_connection("127.0.0.1", port)
    driver, bus = driver_for(port, [device("m1", METER, 1)]), Recorder()
    async with supervised(driver, bus):
        await until(lambda: is_down(driver), 2)
        foreign.close()
        await foreign.wait_closed()
        await until(lambda: bool(bus.items), BACK_S)
        before = OneClient.turned_away
        await until(lambda: len(bus.items) > 5, 2)
    assert OneClient.turned_away == before, "it never takes a second connection of its own"
    server.close()
    await eventually(lambda: OneClient.taken is None)
    await server.wait_closed()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def reconnected(times: int, connection: Connection, cut: Callable[[], None]) -> None:
    """`times` times lost in the middle of its life, and read again."""
    for _ in range(times):
        await connection.read(1, block(0), 1.0)
        cut()
        await connection.read(1, block(0), 1.0)


def nothing() -> None:
    return


async def leaves_nothing(times: int) -> None:
    async with farm_of(("m1", SDM120, 1)) as farm:
        link = ModbusLink(driver="modbus", host="127.0.0.1", port=farm.port)
        connection = Connection(link, nothing)
        await reconnected(3, connection, farm.cut)
        await eventually(lambda: len(farm.open) == 1)
        files, tasks = open_files(), len(asyncio.all_tasks())
        gc.collect()
        tracemalloc.start()
        held = tracemalloc.get_traced_memory()[0]
        await reconnected(times, connection, farm.cut)
        await eventually(lambda: len(farm.open) == 1)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - held
        tracemalloc.stop()
        assert (open_files(), len(asyncio.all_tasks())) == (files, tasks)
        assert grown < 50_000 + 20 * times, "bytes"
        connection.close()


async def leaves_no_port(times: int, port: Path) -> None:
    async with pty_line(port):
        connection = Connection(serial_link(port), nothing)
        await connection.open()
        connection.close()
        files, tasks = open_files(), len(asyncio.all_tasks())
        for _ in range(times):
            await connection.open()
            connection.close()
        assert (open_files(), len(asyncio.all_tasks())) == (files, tasks)


@pytest.mark.both_loops
async def test_100_reconnects_leave_no_file_no_task_and_no_memory(tmp_path: Path) -> None:
    await leaves_nothing(100)
    await leaves_no_port(100, tmp_path / "port")


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.both_loops
async def test_1000_reconnects_leave_no_file_no_task_and_no_memory(tmp_path: Path) -> None:
    await leaves_nothing(1000)
    await leaves_no_port(1000, tmp_path / "port")


async def test_a_connect_that_is_cancelled_at_any_moment_leaves_no_port_open(
    tmp_path: Path,
) -> None:
    async with pty_line(tmp_path / "port"):
        files = open_files()
        for turns in range(8):
            connection = Connection(serial_link(tmp_path / "port"), nothing)
            task = asyncio.create_task(connection.open())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            connection.close()
            await asyncio.sleep(0.01)  # pymodbus needs some turns to close it
            assert open_files() == files, turns
