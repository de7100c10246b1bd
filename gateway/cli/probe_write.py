"""`gateway probe modbus LINK --write`: one value, with a question before and a look after."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from drivers.modbus import codec
from drivers.modbus.address import Address, Order, Table, Type
from drivers.modbus.answer import Excepted
from drivers.modbus.prober import ProbeError, opened
from gateway.cli import probe_pages as pages
from gateway.cli.probe_arguments import Place, place_of, timeout_s, type_of
from gateway.cli.probe_bus import Bus, UsageError
from gateway.cli.probe_live import TIMEOUT_S
from gateway.cli.probe_pages import print_json
from gateway.clock import SystemClock

_BITS = {"1": 1, "0": 0, "on": 1, "off": 0, "true": 1, "false": 0}

Words = Sequence[int]


def write(bus: Bus, options: argparse.Namespace) -> int:
    """Exit code 0 when the device shows the value afterwards."""
    place, value = place_of(options.write), options.write[3]
    address = _address(options, place)
    words = _words(address, value)
    if not options.yes and not sys.stdin.isatty():
        raise UsageError("--write asks first, and here is no terminal to answer: add --yes")
    bus.claim()
    if not options.yes and not _agreed(bus, options, place, value, words):
        print("nothing was written")
        return 1
    refused, after = asyncio.run(_write(bus, options, place, words))
    if options.json:
        shown = list(after) if isinstance(after, Sequence) else None
        print_json({"written": refused is None, "exception": refused, "after": shown})
    elif refused is not None:
        print(f"{place}: not written, {pages.exception(refused)}")
    else:
        print(f"{place}: {_told(after, words)}")
    return 0 if refused is None and after == tuple(words) else 1


def _address(options: argparse.Namespace, place: Place) -> Address:
    if not place.table.writable:
        raise UsageError(f"table {place.table} cannot be written: write coil or holding")
    type_, order = type_of(options, place.table)
    default = Type.BOOL if place.table.bits else Type.U16
    return Address(place.table, place.addr, type_ or default, order or Order.ABCD)


def _words(address: Address, text: str) -> Words:
    if address.table is Table.COIL:
        if text.lower() not in _BITS:
            raise UsageError(f"VALUE {text}: write on or off")
        return (_BITS[text.lower()],)
    try:
        number = float(text) if address.type.floating else int(text, 0)
        return codec.words(address, number)
    except ValueError:
        fix = (
            "--type i16, f32, ... for other numbers"
            if address.type is Type.U16
            else "another type?"
        )
        raise UsageError(f"VALUE {text} is no {address.type}: {fix}") from None


def _agreed(bus: Bus, options: argparse.Namespace, place: Place, value: str, words: Words) -> bool:
    """Show what is there now, and ask."""
    now = asyncio.run(_look(bus, options, place, len(words)))
    print(f"{place} is {_shown(now)}")
    answer = input(f"write {value} ({_shown(tuple(words))})? [y/N] ")
    return answer.strip().lower() in {"y", "yes"}


async def _look(
    bus: Bus, options: argparse.Namespace, place: Place, count: int
) -> Words | Excepted:
    async with opened(bus.link, SystemClock(), timeout_s(options, TIMEOUT_S)) as prober:
        data = (await prober.read(place.unit, place.block(count))).data
        return data if isinstance(data, Excepted) else tuple(data)


async def _write(
    bus: Bus, options: argparse.Namespace, place: Place, words: Words
) -> tuple[int | None, Words | Excepted | None]:
    """(exception code, what the device shows afterwards: None if it does not answer).

    Raises ProbeError if the write was not answered: it may have been obeyed.
    """
    async with opened(bus.link, SystemClock(), timeout_s(options, TIMEOUT_S)) as prober:
        refused = await prober.write(place.unit, place.table, place.addr, words)
        if refused is not None:
            return refused.code, None
        try:
            data = (await prober.read(place.unit, place.block(len(words)))).data
        except ProbeError:
            return None, None
        return None, data if isinstance(data, Excepted) else tuple(data)


def _told(after: Words | Excepted | None, words: Words) -> str:
    if after is None:
        return "written, but the device does not answer when it is read back"
    if isinstance(after, Excepted):
        return f"written, but it cannot be read back: {pages.exception(after.code)}"
    if after == tuple(words):
        return f"written, the device shows {_shown(after)}"
    return f"written, but the device shows {_shown(after)}"


def _shown(words: Words | Excepted) -> str:
    if isinstance(words, Excepted):
        return pages.exception(words.code)
    return " ".join(f"0x{word:04X}" if word > 1 else str(word) for word in words)
