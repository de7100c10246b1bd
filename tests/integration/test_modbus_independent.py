"""Servers that others wrote are read correctly and written with confirmation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from drivers.modbus.driver import ModbusDriver
from drivers.modbus.settings import ModbusLink
from drivers.modbus.spec import SPEC
from gateway.allow import CommandsSection
from gateway.commands import Commands
from gateway.model import Item, Outcome, Sample, Value
from gateway.state import State
from tests.harness.clock import FakeClock
from tests.harness.independent import (
    PEER,
    SHOWN,
    UNIT,
    build_libmodbus,
    libmodbus_server,
    needs_libmodbus,
    pymodbustcp_server,
)
from tests.harness.modbus import command, device, running
from tests.harness.ports import free_ports
from tests.harness.pty import cable
from tests.harness.recorder import Recorder
from tests.unit.commands_site import EVERYONE, Rig, Shelf

PEERS = [
    "pymodbustcp",
    pytest.param("libmodbus-tcp", marks=needs_libmodbus),
    pytest.param("libmodbus-rtu", marks=needs_libmodbus),
]


class Stateful(Recorder):
    """A bus that keeps the state that commands are confirmed by."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    async def publish(self, item: Item, *, held: bool = False) -> Item:
        if isinstance(item, Sample):
            self._state.update(item)
        return await super().publish(item, held=held)


@pytest.fixture(scope="module")
def libmodbus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_libmodbus(tmp_path_factory.mktemp("libmodbus"))


@pytest.fixture(params=PEERS)
async def link(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ModbusLink]:
    section: dict[str, object] = {"driver": "modbus"}
    async with AsyncExitStack() as stack:
        if request.param == "libmodbus-rtu":
            ours, theirs = tmp_path / "ours", tmp_path / "theirs"
            await stack.enter_async_context(cable(ours, theirs))
            program: Path = request.getfixturevalue("libmodbus")
            serving = libmodbus_server(program, "rtu", str(theirs), "19200", str(UNIT))
            await stack.enter_async_context(serving)
            section |= {"transport": "rtu", "path": str(ours), "baud": 19200}
        elif request.param == "libmodbus-tcp":
            (port,) = free_ports(1)
            program = request.getfixturevalue("libmodbus")
            await stack.enter_async_context(libmodbus_server(program, "tcp", str(port)))
            section |= {"host": "127.0.0.1", "port": port}
        else:
            port = await stack.enter_async_context(pymodbustcp_server())
            section |= {"host": "127.0.0.1", "port": port}
        yield ModbusLink.model_validate(section)


def built(link: ModbusLink) -> ModbusDriver:
    driver = SPEC.build("l", link, [device("p1", PEER, UNIT, "10m")], FakeClock())
    assert isinstance(driver, ModbusDriver)
    return driver


async def test_a_server_by_others_is_read_correctly(link: ModbusLink) -> None:
    bus, driver = Recorder(), built(link)
    async with running(driver, bus):
        sample = await bus.sample("p1")
    assert sample.values == SHOWN
    assert not sample.quality


@pytest.mark.parametrize(
    ("point", "value"), [("light.level", 66.5), ("heat.target", 19.3), ("door.lock", "unlocked")]
)
async def test_a_server_by_others_is_written_with_confirmation(
    link: ModbusLink, point: str, value: Value
) -> None:
    state, driver = State({"p1": PEER}), built(link)
    bus = Stateful(state)
    commands = Commands(
        CommandsSection.model_validate(EVERYONE),
        devices={"p1": device("p1", PEER, UNIT)}, writers={"meters": driver}, state=state,
        ledger=Shelf([]), clock=FakeClock(), emit=Rig().emit,
    )  # fmt: skip
    async with running(driver, bus):
        await bus.sample("p1")
        async with asyncio.timeout(5):
            ours = command("p1", point, value)._replace(origin="cli")
            result = await commands.execute(ours)
    assert result.outcome is Outcome.CONFIRMED, result
    shown = state.reading("p1", point)
    assert shown is not None
    assert shown.value == value
    others = {name: state.reading("p1", name) for name in SHOWN if name != point}
    assert {n: r.value for n, r in others.items() if r is not None} == {
        n: v for n, v in SHOWN.items() if n != point
    }
