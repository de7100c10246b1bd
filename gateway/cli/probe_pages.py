"""What `gateway probe modbus` prints, as lines of text."""

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence

import orjson

from drivers.modbus.address import Order, Type
from drivers.modbus.budget import Budget, Request, worded_s
from drivers.modbus.guess import decodings, mains
from drivers.modbus.plan import Block
from drivers.modbus.settings import ModbusDevice, ModbusLink
from gateway.driver import Device
from gateway.model import Level, Quality, Value
from gateway.profile import Profile

# Application Protocol 1.1b3, 7.
_EXCEPTIONS = {
    1: "illegal function: the device does not know this kind of request",
    2: "illegal data address: it has no such register",
    3: "illegal data value: a count or value that it does not take",
    4: "device failure", 5: "acknowledged, not done yet", 6: "busy", 8: "memory parity error",
    10: "gateway path unavailable", 11: "no answer from the device behind the gateway",
}  # fmt: skip
_SHOWN_POINTS = 4
_LEAST_TEXT = 4  # two registers of letters by chance are rare enough

Rows = Sequence[Sequence[str]]


def print_json(value: object) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def columns(head: Sequence[str], rows: Rows, right: frozenset[str] = frozenset()) -> Iterator[str]:
    """A table; the columns named in `right` are numbers."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def worded_link(link: ModbusLink) -> str:
    if link.transport == "rtu":
        return f"{link.peer}, {link.baud} baud 8{link.parity}{link.stop}"
    return (
        f"{link.peer}, Modbus TCP" if link.transport == "tcp" else f"{link.peer}, {link.baud} baud"
    )


def exception(code: int) -> str:
    return f"exception {code} ({_EXCEPTIONS.get(code, 'of the maker')})"


def ms(seconds: float) -> str:
    milliseconds = 1000 * seconds
    return f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:.1f}"


def round_trips(taken_s: Sequence[float]) -> Iterator[str]:
    if taken_s:
        least, most, middle = map(ms, (min(taken_s), max(taken_s), statistics.median(taken_s)))
        yield f"round trips: {len(taken_s)}, {least} to {most} ms, median {middle} ms"


def plan(name: str, budget: Budget, measured: Mapping[str, float]) -> Iterator[str]:
    """The requests of every device, and what the whole bus needs for them."""
    yield f"{name}: {worded_link(budget.link)}, {counted(len(budget.devices), 'device')}"
    assumed = [device.id for device in budget.devices if device.id not in measured]
    if assumed:
        seconds = budget.answer_s(assumed[0])
        yield f"assumed: a device answers after {ms(seconds)} ms; --live measures it"
    yield from (f"measured: {device} answers after {ms(s)} ms" for device, s in measured.items())
    yield ""
    rows = [row for device in budget.devices for row in _requests(device, budget)]
    head = ("device", "unit", "poll", "function", "address", "count", "ms", "points")
    yield from columns(head, rows, frozenset({"unit", "function", "address", "count", "ms"}))
    yield ""
    yield from columns(
        ("cycle", "requests", "ms", "margin"), list(_windows(budget)), frozenset({"requests", "ms", "margin"})
    )  # fmt: skip
    yield f"the bus is busy for {100 * budget.load:.1f} % of its time"
    requests, cost_s = budget.first
    yield f"everything read once, as after a start: {requests} requests, {ms(cost_s)} ms"


def _windows(budget: Budget) -> Iterator[tuple[str, ...]]:
    for window in budget.windows:
        share = 100 * window.margin_s / window.period_s
        label = " ".join((*window.classes, worded_s(window.period_s)))
        yield label, str(window.requests), ms(window.needed_s), f"{ms(window.margin_s)} ms ({share:.0f} %)"  # fmt: skip


def _requests(device: Device, budget: Budget) -> Iterator[tuple[str, ...]]:
    unit = device.section.unit if isinstance(device.section, ModbusDevice) else 0
    first = True
    for period_s, requests in budget.requests(device.id).items():
        for index, request in enumerate(requests):
            yield (
                device.id if first else "", str(unit) if first else "",
                f"every {worded_s(period_s)}" if index == 0 else "", *_request(request),
            )  # fmt: skip
            first = False


def _request(request: Request) -> tuple[str, ...]:
    block = request.block
    names = [target.point.id for target in block.targets]
    more = f" and {len(names) - _SHOWN_POINTS} more" if len(names) > _SHOWN_POINTS else ""
    points = ", ".join(names[:_SHOWN_POINTS]) + more
    if request.canary:
        points = "none: tells the answers around it apart"
    return (
        str(block.table.read_function), f"{block.addr:#06x}", str(block.size),
        ms(request.cost_s), points,
    )  # fmt: skip


def registers(
    block: Block, data: Sequence[int], type_: Type | None, order: Order | None
) -> Iterator[str]:
    """What was read, as it is, and everything that it may mean."""
    if block.table.bits:
        rows = [(f"{block.addr + i:#06x}", str(bit)) for i, bit in enumerate(data)]
        yield from columns(("address", "bit"), rows)
        return
    yield "hex: " + " ".join(f"{word:04X}" for word in data)
    rows_ = []
    for found in sorted(decodings(data, type_, order), key=lambda d: d.offset):
        shown = found.order if found.type.width > 1 else ""
        rows_.append((f"{block.addr + found.offset:#06x}", found.type, shown, str(found.value)))
    yield from columns(("address", "type", "order", "value"), rows_, frozenset({"value"}))
    text = _text(data)
    if text and type_ is None:
        yield f"text: {text}"
    for decoding, unit in mains(data) if type_ is None else ():
        place = f"{block.addr + decoding.offset:#06x}"
        yield f"hint: {place} looks like {decoding.value} {unit}: type f32, order {decoding.order}"


def _text(data: Sequence[int]) -> str:
    """What maker's names and serial numbers look like; "" for anything else."""
    raw = b"".join(word.to_bytes(2, "big") for word in data).rstrip(b"\0 ")
    text = raw.decode("ascii", errors="replace")
    return text if len(text) >= _LEAST_TEXT and re.fullmatch(r"[\w .:/-]+", text, re.ASCII) else ""


def readings(
    profile: Profile, values: Mapping[str, Value], quality: Mapping[str, Quality]
) -> Iterator[str]:
    rows = []
    for point in profile.points:
        value, reason = values.get(point.id), quality.get(point.id)
        if value is None and reason is None:  # of another variant
            continue
        shown = "-" if value is None else str(value)
        level = "good" if reason is None else f"{Level(reason.level).name.lower()}: {reason.reason}"
        rows.append((point.id, shown, "" if point.unit == "1" else point.unit, level))
    yield from columns(("point", "value", "unit", "quality"), rows, frozenset({"value"}))


def link_line(name: str, link: ModbusLink) -> str:
    """A line for `links:` of a configuration."""
    given = link.model_dump(include=link.model_fields_set)
    return f"  {name}: {{{', '.join(f'{key}: {value}' for key, value in given.items())}}}"
