"""`make run`: the simulated compound, the real daemon and its status, in one terminal.

Everything lives in one temporary folder and in child processes that end with this one. Speaks to
the gateway only through its command line, as a technician would.
"""

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path

from simulators.home import BUS

GATEWAY = str(Path(sys.executable).with_name("gateway"))
PORTS = (5020, 18830, 18831)  # as in configs/demo/gateway.yaml
HOME = re.compile(r"  home: |.*\blink: home\b")  # the lines of that file that need Bluetooth
KEY = re.compile(r"\$\{file:(keys/[^}]*)\}")
SERIAL_PORT = "/tmp/gateway-demo-bus"  # noqa: S108 -- as in that file, and never used there
TABLE_EVERY_S = 5.0
STOP_S = 8.0
_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m simulators.demo", description=__doc__)
    parser.add_argument(
        "--for", dest="seconds", type=float, metavar="SECONDS", help="end by itself"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as folder:
        return asyncio.run(_demo(Path(folder), options.seconds))


async def _demo(folder: Path, seconds: float | None) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = await asyncio.to_thread(_prepare, folder)
    on_screen = sys.stdout.isatty()
    async with contextlib.AsyncExitStack() as stack:
        address = await _bus(stack)
        logs = [folder / "simulators.log", folder / "gateway.log"]
        jobs = ["simulate", str(config), "--incidents"], ["run", "-c", str(config)]
        children = []
        for arguments, log in zip(jobs, logs, strict=True):
            child = await _spawn(arguments, log, address)
            stack.push_async_callback(_end, child)
            children.append(child)
        watch = _live(config, stop) if on_screen else _tables(config, stop)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch, name="watch")
            guards = [group.create_task(_guard(child, stop), name="guard") for child in children]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await stop.wait()
            code = await _status(config, quiet=on_screen) if seconds else 0
            for task in (watching, *guards):
                task.cancel()
        died = [
            log for child, log in zip(children, logs, strict=True) if child.returncode is not None
        ]
        for log in died:
            print(f"{log.stem} ended by itself:\n{log.read_text()}", file=sys.stderr)
        print("stopping ...", flush=True)
    return 1 if died else code


def _prepare(folder: Path) -> Path:
    """A copy of the shipped demonstration in `folder`: its serial port there, its TCP ports free."""
    with as_file(files("configs")) as shipped:
        for part in ("demo", "rules"):
            shutil.copytree(shipped / part, folder / part)
    config = folder / "demo" / "gateway.yaml"
    text = config.read_text(encoding="utf-8")
    for port in PORTS:
        text = text.replace(str(port), str(_free(port)))
    text = text.replace(SERIAL_PORT, str(folder / "bus"))
    missing = _no_radio()
    if missing:
        print(f"the home alarms are left out: {missing}", flush=True)
        text = "".join(line for line in text.splitlines(keepends=True) if not HOME.match(line))
    for name in KEY.findall(text):
        _make_key(config.parent / name)
    config.write_text(text + _influx(os.environ), encoding="utf-8")
    return config


def _make_key(path: Path) -> None:
    """A bind key for a home alarm and the gateway, which accepts only secrets that others cannot read."""
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(16), encoding="ascii")


def _no_radio() -> str:
    """Why Bluetooth cannot be simulated here, "" if it can."""
    for library in ("bleak", "cryptography"):
        if find_spec(library) is None:
            return f'{library} is not installed; pip install "community-gateway[ble]"'
    if shutil.which("dbus-daemon") is None:
        return "dbus-daemon is not installed; sudo apt-get install dbus-daemon"
    return ""


async def _bus(stack: contextlib.AsyncExitStack) -> str | None:
    """The address of what simulators and gateway take for the system bus, None without Bluetooth."""
    if _no_radio():
        return None
    from simulators.bluez.bus import private_bus  # noqa: PLC0415 -- needs the extra `ble`

    return await stack.enter_async_context(private_bus())


def _influx(environ: Mapping[str, str]) -> str:
    """The section for an InfluxDB that the environment names: INFLUX_URL, _TOKEN, _ORG, _BUCKET."""
    if not environ.get("INFLUX_URL"):
        return ""
    keys = {"url": environ["INFLUX_URL"], "token": "${env:INFLUX_TOKEN}"}
    keys |= {key: environ.get(f"INFLUX_{key.upper()}", "demo") for key in ("org", "bucket")}
    return f"\ninfluxdb: {json.dumps(keys, ensure_ascii=False)}\n"  # JSON is YAML


def _free(port: int) -> int:
    for wanted in (port, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", wanted))
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def _spawn(
    arguments: Sequence[str], log: Path, bus: str | None
) -> asyncio.subprocess.Process:
    """A gateway command of its own session: Ctrl-C reaches only us, and we stop it in order."""
    environ = os.environ | ({BUS: bus} if bus is not None else {})
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            GATEWAY, *arguments, stdout=output, stderr=output, stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True, preexec_fn=_die_with_parent, env=environ,
        )  # fmt: skip


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()


async def _guard(child: asyncio.subprocess.Process, stop: asyncio.Event) -> None:
    await child.wait()
    stop.set()


async def _live(config: Path, stop: asyncio.Event) -> None:
    """The live view on the terminal; when it cannot connect yet it is started again."""
    while not stop.is_set():
        if await _status(config, quiet=True) != 3:  # 3: not running yet
            viewer = await asyncio.create_subprocess_exec(
                GATEWAY, "status", "--watch", "-c", str(config), preexec_fn=_die_with_parent
            )
            try:
                await viewer.wait()
            finally:
                if viewer.returncode is None:
                    viewer.send_signal(signal.SIGINT)
        await asyncio.sleep(0.5)


async def _tables(config: Path, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await asyncio.sleep(TABLE_EVERY_S)
        await _status(config, quiet=False)
        print(flush=True)


async def _status(config: Path, *, quiet: bool) -> int:
    output = asyncio.subprocess.DEVNULL if quiet else None
    child = await asyncio.create_subprocess_exec(
        GATEWAY, "status", "-c", str(config), stdout=output, stderr=output
    )
    try:
        return await child.wait()
    finally:
        if child.returncode is None:
            child.kill()


if __name__ == "__main__":
    sys.exit(main())
