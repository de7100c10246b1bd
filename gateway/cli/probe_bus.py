"""Which bus `gateway probe modbus LINK` means, and whether the running gateway has it."""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from drivers.modbus.settings import ModbusLink
from drivers.modbus.uri import EXAMPLES, is_uri, link_of
from gateway.ask import ask
from gateway.cli.live import config_path
from gateway.config import Config, load_config
from gateway.document import load, mapping_at, suggest
from gateway.driver import Device
from gateway.errors import ConfigError

_ASK_S = 2.0


class UsageError(Exception):
    """The command line asks for something that does not exist."""


class InUseError(Exception):
    """The running gateway has this port."""


@contextmanager
def silent(name: str) -> Iterator[None]:
    """What fails is told in the answer; the driver's log would tell it again."""
    log = logging.getLogger(name)
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


class Bus(NamedTuple):
    """One link with what the configuration knows of it; `name` is "" if it knows nothing."""

    name: str
    link: ModbusLink
    devices: Sequence[Device]
    folders: Sequence[Path]  # of the site's profiles
    state_dir: Path | None

    def claim(self) -> None:
        """Call before anything is sent. Warns of a network peer that the running gateway uses.

        Raises InUseError for a serial port.
        """
        if not self.name or self.state_dir is None or not _runs(self.state_dir):
            return
        if self.link.transport == "rtu":
            raise InUseError(
                f"the gateway runs and reads {self.link.path} as link {self.name}:"
                " stop it first, two masters on one line spoil each other's answers"
            )
        print(
            f"warning: the gateway runs and is connected to {self.link.peer} as link {self.name}:"
            " a device that takes one client only refuses this one, or drops the gateway",
            file=sys.stderr,
        )


def find_bus(options: argparse.Namespace) -> Bus:
    """Raises UsageError, or ConfigError for a configuration that is needed and has faults."""
    path = config_path(options)
    if not is_uri(options.link):
        config = load_config(path)
        return _of_config(options.link, config, folders_of(path))
    try:
        link = link_of(options.link)
    except ValueError as error:
        raise UsageError(str(error)) from None
    config_ = config_beside(path, wanted=options.config is not None)
    if config_ is not None:
        for name, other in config_.links.items():
            if isinstance(other.section, ModbusLink) and other.section.owned[0] == link.owned[0]:
                return _of_config(name, config_, folders_of(path))._replace(link=link)
    return Bus("", link, [], folders_of(path) if config_ is not None else [], None)


def config_beside(path: Path, *, wanted: bool) -> Config | None:
    """The configuration of this place; a bus that is written out can do without."""
    try:
        return load_config(path) if wanted or path.is_file() else None
    except ConfigError:
        if wanted:
            raise
        return None


def _of_config(name: str, config: Config, folders: Sequence[Path]) -> Bus:
    found = config.links.get(name)
    if found is None:
        known = [n for n, link in config.links.items() if isinstance(link.section, ModbusLink)]
        raise UsageError(
            f"no link '{name}' in {config.path}: {suggest(name, known)}, or {EXAMPLES}"
        )
    if not isinstance(found.section, ModbusLink):
        raise UsageError(f"link {name} is no Modbus link, its driver is {found.section.driver}")
    return Bus(name, found.section, config.devices_of(name), folders, config.state_dir)


def folders_of(path: Path) -> list[Path]:
    listed = mapping_at(load(path).value).get("profiles")
    return [path.parent / str(entry) for entry in listed] if isinstance(listed, list) else []


def _runs(state_dir: Path) -> bool:
    try:
        ask(state_dir, {"verb": "status"}, _ASK_S)
    except ConnectionError:
        return False
    except (TimeoutError, ValueError):
        return True  # it does not answer as it should, but it is there
    return True
