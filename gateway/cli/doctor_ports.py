"""The doctor looks at what is plugged in: serial ports and the Bluetooth adapter."""

import asyncio
import grp
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from drivers.ble.settings import BleLink
from drivers.modbus.settings import ModbusLink
from gateway.cli.doctor_host import FAIL, OK, WARN, Finding, Host
from gateway.config import Config
from gateway.errors import LinkDown, Refused
from gateway.words.text import text

# Given out in the order of plugging in: another one after a restart.
UNSTABLE = re.compile(r"/dev/tty(USB|ACM)\d+")
FOLDERS = ("/dev/serial/by-path", "/dev/serial/by-id")  # by-id is the same for two cheap adapters
RADIO_S = 3.0
RADIO = text("doctor.check.bluetooth")
MAIN_CONF = "/etc/bluetooth/main.conf"


def ports(host: Host, config: Config) -> Iterator[Finding]:
    for name, link in config.links.items():
        if not config.uses(name):
            continue
        if isinstance(link.section, ModbusLink) and link.section.transport == "rtu":
            yield from serial(host, name, link.section.path, config.path)
        elif isinstance(link.section, BleLink):
            yield from radio(host, link.section.adapter)


def serial(host: Host, link: str, port: str, config: Path) -> Iterator[Finding]:
    path, check = host.path(port), text("doctor.check.serial", link=link)
    if not path.exists():
        there = [n for n in named(host) if host.path(n).exists()]
        fix = (
            _rename(port, there[0], config)
            if len(there) == 1
            else "ls -l /dev/serial/by-path/; dmesg | tail"
        )
        none = text("doctor.no_ports", port=port)
        said = text("doctor.no_port", port=port, others=there) if there else none
        yield Finding(check, FAIL, said, fix)
        return
    if not stat.S_ISCHR(path.stat().st_mode):
        yield Finding(
            check, FAIL, text("doctor.no_device", port=port), "ls -l /dev/serial/by-path/"
        )
        return
    if not (host.user.may("r", path) and host.user.may("w", path)):
        group = _group(path.stat().st_gid)
        fix = f"sudo usermod --append --groups {group} {host.user.name} && sudo systemctl restart community-gateway"
        said = text("doctor.may_not", user=host.user.name, port=port)
        yield Finding(check, FAIL, said, fix)
    if f"console={Path(port).resolve().name}" in host.read("/proc/cmdline"):
        fix = "sudo raspi-config nonint do_serial_cons 1 && sudo reboot"
        yield Finding(check, FAIL, text("doctor.console", port=port), fix)
    yield _stable(host, check, port, config)


def _stable(host: Host, check: str, port: str, config: Path) -> Finding:
    if not UNSTABLE.fullmatch(port):
        return Finding(check, OK, text("doctor.port_ok", port=port))
    real = host.path(port).resolve()
    better = next((n for n in named(host) if host.path(n).resolve() == real), None)
    if better is None:
        return Finding(
            check, WARN, text("doctor.unstable", port=port), "ls -l /dev/serial/by-path/"
        )
    said = text("doctor.unstable_write", port=port, better=better)
    return Finding(check, WARN, said, _rename(port, better, config))


def named(host: Host) -> list[str]:
    """The lasting names of serial ports, those by place first."""
    folders = [(name, host.path(name)) for name in FOLDERS]
    return [
        f"{n}/{p.name}"
        for n, folder in folders
        if folder.is_dir()
        for p in sorted(folder.iterdir())
    ]


def _rename(port: str, better: str, config: Path) -> str:
    return f"sudo sed -i 's#{port}\\b#{better}#' {config}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def radio(host: Host, address: str | None) -> Iterator[Finding]:
    for switch in sorted(host.path("/sys/class/rfkill").glob("rfkill*")):
        if (switch / "type").read_text().strip() != "bluetooth":
            continue
        if (switch / "soft").read_text().strip() == "1":
            yield Finding(RADIO, FAIL, text("doctor.radio_off"), "sudo rfkill unblock bluetooth")
            return
    yield asyncio.run(_adapter(address))


async def _adapter(address: str | None) -> Finding:
    from drivers.ble.adapter import watching  # noqa: PLC0415 -- loads D-Bus: for those who use it
    from drivers.ble.monitor import MANAGER  # noqa: PLC0415 -- as above

    try:
        async with watching(address) as adapter:
            await adapter.ready(keep_on=False, within_s=RADIO_S)
            interfaces = await adapter.interfaces()
    except Refused as error:
        fix = "sudo usermod --append --groups bluetooth gateway && sudo systemctl restart community-gateway"
        return Finding(RADIO, FAIL, text("doctor.failed", why=error), fix)
    except LinkDown as error:
        fix = "sudo apt install bluez && sudo systemctl enable --now bluetooth && bluetoothctl power on"
        return Finding(RADIO, FAIL, text("doctor.failed", why=error), fix)
    if MANAGER not in interfaces:
        fix = f"sudo sed -i 's/^#* *Experimental *=.*/Experimental = true/' {MAIN_CONF} && sudo systemctl restart bluetooth"
        return Finding(RADIO, WARN, text("doctor.radio_slow"), fix)
    return Finding(RADIO, OK, text("doctor.radio_ok", name=adapter.name))
