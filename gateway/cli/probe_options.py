"""The arguments of `gateway probe`; cheap to import, for every start of the command line."""

import argparse
from collections.abc import Callable
from typing import Any

TABLES = ("coil", "discrete", "holding", "input")
TYPES = ("bool", "u16", "i16", "u32", "i32", "u64", "f32", "f64")
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


def add(
    commands: Any,
    command: Callable[..., argparse.ArgumentParser],
    config_option: Callable[[argparse.ArgumentParser], None],
) -> None:
    """`gateway probe PROTOCOL`."""
    text = "Look at what is connected: who answers, what it shows, how much the bus can carry."
    probe = command(commands, "probe", "probe:modbus", text, "gateway probe modbus rs485-1 --scan")
    protocols = probe.add_subparsers(metavar="PROTOCOL", required=True, dest="protocol")
    text = "Look at a Modbus bus: its plan, single registers, who answers, which profile fits."
    example = "gateway probe modbus rs485-1 --identify 7"
    modbus = command(protocols, "modbus", "probe:modbus", text, example)
    modbus.add_argument(
        "link", metavar="LINK",
        help="a link of the configuration, or tcp://HOST:PORT, rtu:///dev/ttyUSB0?baud=9600&parity=N,"
        " rtu+tcp://HOST:PORT",
    )  # fmt: skip
    _works(modbus.add_mutually_exclusive_group(required=True))
    modbus.add_argument(
        "--live", action="store_true", help="with --plan: measure how fast the devices answer"
    )
    modbus.add_argument("--type", choices=TYPES, help="with --read and --write: of the value")
    modbus.add_argument(
        "--order", choices=ORDERS, help="with --type: order of its bytes, A the most significant"
    )
    modbus.add_argument(
        "--timeout", metavar="TIME", help="for each answer (default 1s, with --scan 300ms)"
    )
    modbus.add_argument("--yes", action="store_true", help="with --write: do not ask")
    modbus.add_argument("--json", action="store_true")
    config_option(modbus)
    text = "Listen who is in the air: what it shows, which profile reads it, lines to configure it."
    ble = command(protocols, "ble", "probe_ble:ble", text, "gateway probe ble --for 1m")
    ble.add_argument(
        "link", metavar="LINK", nargs="?",
        help="a BLE link of the configuration, or the address of an adapter (default: the only one)",
    )  # fmt: skip
    ble.add_argument("--for", dest="seconds", metavar="TIME", help="how long (default 30s)")
    ble.add_argument(
        "--key", action="append", default=[], metavar="ADDRESS=FILE",
        help="read what this device encrypts; the file holds the 32 hex digits of its key",
    )  # fmt: skip
    ble.add_argument(
        "--all", action="store_true", help="also who sends in formats that we cannot read"
    )
    ble.add_argument("--json", action="store_true")
    config_option(ble)


def _works(works: argparse._MutuallyExclusiveGroup) -> None:
    works.add_argument(
        "--plan", action="store_true",
        help="what would be read, how often, and how much of its time the bus needs for it",
    )  # fmt: skip
    works.add_argument(
        "--read", nargs="+", metavar=("UNIT TABLE ADDR", "COUNT"),
        help=f"registers or bits as they are and what they may mean; TABLE: {', '.join(TABLES)};"
        " ADDR from zero, 0x for hex",
    )  # fmt: skip
    works.add_argument(
        "--scan",
        nargs="?",
        const="1-247",
        metavar="FROM-TO",
        help="which units answer (default 1-247)",
    )
    works.add_argument(
        "--identify", type=int, metavar="UNIT", help="which profile fits, and what it reads"
    )
    works.add_argument(
        "--write", nargs=4, metavar=("UNIT", "TABLE", "ADDR", "VALUE"),
        help="write one value and read it back; asks first",
    )  # fmt: skip
