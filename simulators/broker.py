"""An MQTT 5 broker on loopback for the demonstration and the tests: Mosquitto, else iotcore."""

import asyncio
import importlib.util
import ipaddress
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

START_S = 10.0  # rumqttd and Mosquitto listen after 0.1 s; a loaded Pi Zero needs a few seconds
STOP_S = 3.0  # Mosquitto saves its queues on SIGTERM; then SIGKILL
_PROBE_S = 0.01
_PROGRAM_FOLDERS = ("/usr/sbin", "/usr/local/sbin")  # not on the PATH of ordinary users

# What the shipped file says about users, certificates and places does not hold on loopback.
_SITE = frozenset({
    "listener", "cafile", "certfile", "keyfile", "tls_version", "allow_anonymous", "password_file",
    "acl_file", "use_username_as_clientid", "persistence_location", "log_dest", "log_type",
})  # fmt: skip

# rumqttd serves MQTT 5 only on listeners of the section `v5`.
_RUMQTTD = """\
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "loopback"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 65536
max_inflight_count = 100
"""

# Dies with its parent, even one killed by SIGKILL: prctl(2) PR_SET_PDEATHSIG is 1, SIGKILL 9, and
# it outlasts exec. The parent may have gone before; then its number is not the expected one.
LEASH = (
    "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9);"
    "os.getppid()==int(sys.argv[1]) or sys.exit(1);os.execv(sys.argv[2],sys.argv[2:])"
)


class BrokerError(Exception):
    """No broker could be started; the text says why and what to install."""


class Broker(NamedTuple):
    """A broker that takes connections."""

    kind: Literal["mosquitto", "iotcore"]
    host: str
    port: int


@asynccontextmanager
async def broker(host: str, port: int, directory: Path) -> AsyncIterator[Broker]:
    """Run a broker, without TLS and users, until the block ends; its files go to `directory`.

    `host` is a loopback address. Raises `BrokerError`; the block ends within `STOP_S`.
    """
    if not ipaddress.ip_address(host).is_loopback:
        raise BrokerError(f"{host} is no loopback address: this broker lets everybody in")
    if await listens(host, port):
        raise BrokerError(f"{host}:{port} is in use: stop the program that listens there")
    kind, command = await asyncio.to_thread(_prepare, host, port, directory)
    process = await spawn(command, directory / "broker.log")
    try:
        await ready(process, host, port, directory / "broker.log")
        yield Broker(kind, host, port)
    finally:
        async with asyncio.timeout(STOP_S + 1):
            await stop(process)


def mosquitto() -> str | None:
    """Path of the Mosquitto program."""
    folders = os.pathsep.join((os.environ.get("PATH", os.defpath), *_PROGRAM_FOLDERS))
    return shutil.which("mosquitto", path=folders)


def loopback_config(host: str, port: int, directory: Path, extra: Sequence[str] = ()) -> str:
    """The shipped Mosquitto file with its limits and persistence, but for one open listener.

    `extra` lines come last, so they win.
    """
    shipped = (files("configs") / "mosquitto.conf").read_text().splitlines()
    kept = [line for line in shipped if line and line.split()[0] not in _SITE and line[0] != "#"]
    # Started by root, Mosquitto becomes another user, who may not write to our folder.
    user = ["user root"] if os.geteuid() == 0 else []
    own = [f"listener {port} {host}", "allow_anonymous true", f"persistence_location {directory}/"]
    return "\n".join([*kept, *own, "log_dest stderr", *user, *extra, ""])


async def spawn(command: Sequence[str], log: Path) -> Process:
    """Start a program that dies with this one; what it says is appended to the file `log`."""
    output = await asyncio.to_thread(log.open, "ab")
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-ISc", LEASH, str(os.getpid()), *command),
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
        )
    finally:
        output.close()


async def ready(process: Process, host: str, port: int, log: Path) -> None:
    """Wait until the program takes connections. Raises `BrokerError` with what it said if not."""
    try:
        async with asyncio.timeout(START_S):
            while not await listens(host, port):
                if process.returncode is not None:
                    said = (await asyncio.to_thread(log.read_text)).splitlines()
                    raise BrokerError(
                        f"broker on {host}:{port} ended at once: {' '.join(said[-2:])}"
                    )
                await asyncio.sleep(_PROBE_S)
    except TimeoutError as error:
        raise BrokerError(f"broker on {host}:{port} takes no connection, see {log}") from error


async def listens(host: str, port: int) -> bool:
    """Somebody takes connections there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def stop(process: Process) -> None:
    """SIGTERM, then SIGKILL after `STOP_S`."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _prepare(
    host: str, port: int, directory: Path
) -> tuple[Literal["mosquitto", "iotcore"], list[str]]:
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "broker.conf"
    if (program := mosquitto()) is not None:
        config.write_text(loopback_config(host, port, directory))
        return "mosquitto", [program, "-c", str(config)]
    if importlib.util.find_spec("iotcore") is not None:
        config = directory / "broker.toml"
        config.write_text(_RUMQTTD.format(host=host, port=port))
        # It calls every packet an error in its log.
        options = ["--config", str(config), "--log-level", "CRITICAL"]
        return "iotcore", [sys.executable, "-m", "iotcore", *options]
    raise BrokerError(
        "no MQTT broker: install Mosquitto (sudo apt-get install mosquitto) "
        "or iotcore (pip install iotcore==0.4.0)"
    )
