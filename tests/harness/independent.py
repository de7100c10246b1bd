"""Modbus servers by others, pyModbusTCP and libmodbus, all with the registers of `PEER`."""

import asyncio
import shutil
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pyModbusTCP.server import DataBank, ModbusServer

from gateway.profile import Profile
from tests.harness.ports import free_ports

_SOURCE = Path(__file__).with_name("libmodbus.c")
_HEADER = Path("/usr/include/modbus/modbus.h")
needs_libmodbus = pytest.mark.skipif(
    shutil.which("gcc") is None or not _HEADER.exists(),
    reason="no C compiler or no libmodbus: apt-get install gcc libmodbus-dev",
)
UNIT = 5

PEER = Profile.model_validate({
    "profile": "peer", "type": "test", "facility": "lights", "protocol": "modbus",
    "sources": ["this test"], "status": "code",
    "limits": {"timeout": "500ms", "max_gap": 4, "pause": "5ms"},
    "defaults": {"at": {"table": "holding", "type": "u16"}},
    "points": [
        {"id": "light.level", "unit": "%", "at": 0, "scale": "0.5", "min": 0, "max": 100},
        {"id": "heat.target", "unit": "Cel", "at": {"addr": 2, "type": "f32", "order": "CDAB"}},
        {"id": "elec.power.total", "unit": "W", "at": {"addr": 10, "type": "i32"}},
        {"id": "door.lock", "kind": "state", "at": {"table": "coil", "addr": 7, "type": "bool"},
         "enum": {"0": "unlocked", "1": "locked"}},
        {"id": "door.open", "kind": "state", "at": {"table": "discrete", "addr": 3, "type": "bool"}},
        {"id": "elec.voltage.a", "unit": "V", "at": {"table": "input", "addr": 100}, "scale": "0.1"},
    ],
    "commands": [
        {"id": "level", "point": "light.level", "at": 0, "range": [0, 100]},
        {"id": "heat", "point": "heat.target", "at": {"addr": 2, "type": "f32", "order": "CDAB"}, "range": [5, 30]},
        {"id": "lock", "point": "door.lock", "at": {"table": "coil", "addr": 7, "type": "bool"},
         "enum": {"0": "unlocked", "1": "locked"}},
    ],
})  # fmt: skip
SHOWN = {
    "light.level": 42.0, "heat.target": 21.5, "elec.power.total": -2468, "door.lock": "locked",
    "door.open": True, "elec.voltage.a": 230.1,
}  # fmt: skip


@asynccontextmanager
async def pymodbustcp_server() -> AsyncIterator[int]:
    """It has threads of its own; yields its port."""
    high, low = struct.unpack(">HH", struct.pack(">f", 21.5))
    bank = DataBank()
    bank.set_holding_registers(0, [84, 0, low, high])
    bank.set_holding_registers(10, [0xFFFF, 0xF65C])
    bank.set_coils(7, [True])
    bank.set_discrete_inputs(3, [True])
    bank.set_input_registers(100, [2301])
    (port,) = free_ports(1)
    server = ModbusServer("127.0.0.1", port, no_block=True, data_bank=bank)
    await asyncio.to_thread(server.start)
    try:
        yield port
    finally:
        await asyncio.to_thread(server.stop)


def build_libmodbus(folder: Path) -> Path:
    """The server of libmodbus, compiled. Blocks."""
    program = folder / "peer"
    flags = ["-Wall", "-Werror", "-I/usr/include/modbus", "-lmodbus"]
    subprocess.run(["gcc", "-o", program, _SOURCE, *flags], check=True, timeout=15)
    return program


@asynccontextmanager
async def libmodbus_server(program: Path, *arguments: str) -> AsyncIterator[None]:
    """Run it until the block ends; it takes requests."""
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(5):
            assert await process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.stdin.close()
        async with asyncio.timeout(5):
            assert await process.wait() == 0
