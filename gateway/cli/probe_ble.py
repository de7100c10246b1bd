"""`gateway probe ble`: who is in the air, what they show, which profile reads them, lines to paste."""

import argparse
import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from drivers.ble.settings import BleDevice, BleLink
from drivers.ble.survey import Profiles, Survey
from gateway.cli import probe_ble_pages as pages
from gateway.cli.live import config_path
from gateway.cli.main import CONFIG, USAGE
from gateway.cli.probe_arguments import time_s
from gateway.cli.probe_bus import UsageError, config_beside, folders_of, silent
from gateway.cli.say import refuse
from gateway.clock import SystemClock
from gateway.config import Config
from gateway.document import suggest
from gateway.errors import ConfigError, GatewayError, LinkDown
from gateway.profile import readable

DEFAULT_S, LONGEST_S = 30.0, 3600.0  # devices at rest send each 1 to 10 s, some each minute
REDRAW_S = 0.5

_ADDRESS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_KEY = re.compile(r"[0-9A-Fa-f]{32}")


class Air(NamedTuple):
    """What the configuration knows of the air around one adapter."""

    link: str
    adapter: str | None  # address; None: the only one of this machine
    configured: Mapping[str, str]  # address -> id of the device
    keys: Mapping[str, bytes]  # by address; never shown
    key_files: Mapping[str, str]  # by address, as the command line has them
    profiles: Profiles
    taken: frozenset[str]  # ids of devices


def ble(options: argparse.Namespace) -> int:
    """Exit code 0 if anybody was heard, else 1."""
    try:
        air = _air(options)
        seconds = time_s("--for", options.seconds, DEFAULT_S, LONGEST_S)
        survey = Survey(air.keys)
        with silent("drivers.ble"), suppress(KeyboardInterrupt):  # enough was seen
            asyncio.run(_listen(air, survey, seconds, live=_live(options)))
    except ConfigError as error:
        refuse(error)
        return CONFIG
    except UsageError as error:
        print(error, file=sys.stderr)
        return USAGE
    except GatewayError as error:
        print(error, file=sys.stderr)
        return 1
    _print(options, air, survey)
    return 0 if survey.senders else 1


def _live(options: argparse.Namespace) -> bool:
    return not options.json and sys.stdout.isatty()


async def _listen(air: Air, survey: Survey, seconds: float, *, live: bool) -> None:
    """For `seconds` from when the adapter hears. Raises LinkDown, Refused."""
    from drivers.ble.look import looking  # noqa: PLC0415 -- bleak, only here

    clock = await asyncio.to_thread(SystemClock)
    async with looking(air.adapter, survey.take, clock) as adapter:
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                if live:
                    group.create_task(_redraw(air, survey, clock), name="redraw")
                raise LinkDown(await adapter.lost())
        except TimeoutError:
            return
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None


async def _redraw(air: Air, survey: Survey, clock: SystemClock) -> None:
    from rich.live import Live  # noqa: PLC0415 -- only for people who look on

    with Live(auto_refresh=False, screen=True) as screen:
        while True:
            rows = pages.rows(survey, air.profiles, air.configured, clock.boottime_ns())
            screen.update(pages.table(rows, survey.forgotten), refresh=True)
            await asyncio.sleep(REDRAW_S)


def _print(options: argparse.Namespace, air: Air, survey: Survey) -> None:
    rows = pages.rows(survey, air.profiles, air.configured, SystemClock().boottime_ns())
    snippets = pages.snippets(rows, air.link, air.key_files, air.taken)
    if options.json:
        pages.print_json(rows, snippets)
        return
    shown = rows if options.all else [row for row in rows if row.known]
    from rich.console import Console  # noqa: PLC0415 -- 60 ms that `--json` does not need

    width = None if sys.stdout.isatty() else pages.WIDE
    Console(width=width).print(pages.table(shown, survey.forgotten))
    if len(shown) < len(rows):
        print(f"and {len(rows) - len(shown)} in other formats: --all shows them")
    if snippets:
        print("\nTo make devices of them, paste below `devices:`\n")
        print(*(f"  {line}" for line in snippets.values()), sep="\n")
    for row in rows:
        if row.forgeable and row.sender.address in snippets:
            print(f"\n{row.sender.address} sends in plain: anybody can raise and clear its alarms")


def _air(options: argparse.Namespace) -> Air:
    """Raises UsageError, ConfigError."""
    path = config_path(options)
    config = config_beside(path, wanted=options.config is not None)
    link, adapter = _adapter(options.link, config)
    key_files = _key_files(options.key)
    keys = {address: _read_key(file) for address, file in key_files.items()}
    configured = {}
    for device in config.devices.values() if config is not None else ():
        if isinstance(device.section, BleDevice):
            configured[device.section.address] = device.id
            if device.section.secret is not None:
                keys.setdefault(device.section.address, device.section.secret)
    folders = folders_of(path) if config is not None else []
    taken = frozenset(config.devices) if config is not None else frozenset()
    profiles, _broken = readable(folders, "ble")  # a faulty file is for `gateway check` to tell of
    return Air(link, adapter, configured, keys, key_files, Profiles(profiles), taken)


def _adapter(named: str | None, config: Config | None) -> tuple[str, str | None]:
    """(name of the link, address of its adapter)."""
    links = config.links.items() if config is not None else ()
    known = {name: x.section for name, x in links if isinstance(x.section, BleLink)}
    if named is None:
        if len(known) > 1:
            raise UsageError(f"which link? {', '.join(known)}")
        return next(((name, one.adapter) for name, one in known.items()), ("ble", None))
    if _ADDRESS.fullmatch(named):
        address = named.upper()
        return next((n for n, one in known.items() if one.adapter == address), "ble"), address
    if named not in known:
        raise UsageError(
            f"no BLE link '{named}': {suggest(named, known)}, or the address of an adapter"
        )
    return named, known[named].adapter


def _key_files(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        address, _, file = text.partition("=")
        if not _ADDRESS.fullmatch(address) or not file:
            raise UsageError(f"--key {text}: write ADDRESS=FILE, the file with 32 hex digits")
        found[address.upper()] = file
    return found


def _read_key(file: str) -> bytes:
    try:
        text = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--key: {file}: {error}") from None
    if not _KEY.fullmatch(text):
        raise UsageError(f"--key: {file} holds no key: write 32 hex digits into it")
    return bytes.fromhex(text)
