"""A private dbus-daemon: no system bus, no rights and no radio are needed."""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from simulators.broker import LEASH

PROGRAM = "dbus-daemon"
STOP_S = 5.0

# Everybody may own and send everything: the rights of the system bus are not what is simulated.
_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""


class NoBusError(OSError):
    """dbus-daemon is not installed or did not start."""


def installed() -> bool:
    return shutil.which(PROGRAM) is not None


@contextlib.asynccontextmanager
async def private_bus() -> AsyncIterator[str]:
    """The address of a message bus that exists for the time of the block.

    A client finds it through DBUS_SYSTEM_BUS_ADDRESS, which it reads when it connects first.
    """
    if not installed():
        raise NoBusError(
            "dbus-daemon is not installed. Install it with: sudo apt-get install dbus-daemon"
        )
    with tempfile.TemporaryDirectory(prefix="bluez-") as folder:
        config = Path(folder) / "bus.conf"
        config.write_text(_CONFIG.format(socket=f"{folder}/bus"), encoding="utf-8")
        program = shutil.which(PROGRAM) or PROGRAM
        daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-ISc", LEASH, str(os.getpid()), program,
            "--config-file", str(config), "--nofork", "--nopidfile", "--print-address",
            start_new_session=True, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield await _address(daemon)
        finally:
            await _end(daemon)


async def _address(daemon: asyncio.subprocess.Process) -> str:
    if daemon.stdout is None:  # it was asked for, so this does not happen
        raise NoBusError("dbus-daemon has no output")
    address = (await daemon.stdout.readline()).decode().strip()
    if not address:
        raise NoBusError("dbus-daemon ended before it had an address")
    return address


async def _end(daemon: asyncio.subprocess.Process) -> None:
    if daemon.returncode is not None:
        return
    daemon.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await daemon.wait()
    except TimeoutError:
        daemon.kill()
        await daemon.wait()
