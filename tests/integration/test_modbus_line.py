"""The Modbus link on serial lines and serial servers: nothing that comes late, twice or from elsewhere is a value."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from drivers.modbus import quarantine
from drivers.modbus.address import Table
from drivers.modbus.answer import Excepted
from drivers.modbus.link import BadFrame, Connection, NoAnswer
from gateway.errors import LinkDown
from tests.harness import sabotage
from tests.harness.line import (
    Line,
    Parts,
    at_once,
    block,
    connected,
    framed,
    pty_line,
    serial_link,
    server_link,
    tcp_line,
    words,
)
from tests.harness.modbus import eventually

QUIET_S = 0.3


class Site(NamedTuple):
    line: Line
    connection: Connection


@pytest.fixture(autouse=True)
def short_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "QUIET_S", QUIET_S)


@pytest.fixture(params=["rtu", "rtu_over_tcp"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        if request.param == "rtu":
            line = await stack.enter_async_context(pty_line(tmp_path / "port"))
            link = serial_link(tmp_path / "port")
        else:
            line = await stack.enter_async_context(tcp_line())
            link = server_link(line.port)
        yield Site(line, await stack.enter_async_context(connected(link)))


@pytest.mark.both_loops
async def test_units_are_read_and_written(site: Site) -> None:
    line, connection = site
    for unit, what in ((1, block(0)), (2, block(300, 125)), (1, block(7, 20, Table.INPUT))):
        assert list(await connection.read(unit, what, 0.5)) == words(unit, what)
    coils = block(16, 11, Table.COIL)
    assert list(await connection.read(3, coils, 0.5)) == [w & 1 for w in words(3, coils)]
    assert await connection.write(3, Table.COIL, 5, [1], 0.5) is None
    assert await connection.write(3, Table.HOLDING, 5, [77], 0.5) is None
    assert await connection.write(3, Table.HOLDING, 5, [77, 78], 0.5) is None
    assert [r[1] for r in line.requests] == [3, 3, 4, 1, 5, 6, 16]
    line.script = lambda request, _answer: [
        (0.0, framed(bytes([request[0], request[1] | 0x80, 2])))
    ]
    assert await connection.read(1, block(0), 0.5) == Excepted(2)


async def test_a_late_answer_is_never_the_answer_to_the_next_request(site: Site) -> None:
    line, connection = site
    line.script = lambda _request, answer: [(0.15, answer)]  # 50 ms after the time-out
    with pytest.raises(NoAnswer, match=r"unit 1, function 3, 4 at 0x0000: no answer within 0\.1 s"):
        await connection.read(1, block(0), 0.1)
    line.script = at_once
    for addr in (200, 300, 400):
        assert list(await connection.read(1, block(addr), 0.1)) == words(1, block(addr))
    assert connection._counters["quarantines"] == 2, "at the start, and after the late one"


async def test_without_the_quarantine_late_answers_would_be_values_of_other_registers(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, connection = site
    monkeypatch.setattr(Connection, "_distrust", Connection._distrust)  # put back at the end
    await connection.read(1, block(0), 0.1)
    sabotage.no_quarantine()
    line.script = lambda _request, answer: [(0.15, answer)]
    with pytest.raises(NoAnswer):
        await connection.read(1, block(100), 0.1)
    read = await connection.read(1, block(200), 0.1)
    assert not isinstance(read, Excepted)
    assert list(read) == words(1, block(100)), "the answer to the request before"


async def test_the_quarantine_lasts_until_the_line_is_silent(site: Site) -> None:
    line, connection = site
    await connection.read(1, block(0), 0.1)
    line.script = lambda _request, answer: [(0.15 + 0.1 * i, answer) for i in range(5)]
    with pytest.raises(NoAnswer):
        await connection.read(1, block(0), 0.1)
    line.script = at_once
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert list(await connection.read(1, block(200), 0.1)) == words(1, block(200))
    # Its last answer came 0.45 s after the time-out, 0.55 s after the request: twice that is silent.
    assert 1.4 < loop.time() - start < 2.0


async def test_a_cancelled_request_leaves_its_answer_to_nobody(site: Site) -> None:
    line, connection = site
    line.script = lambda _request, answer: [(0.1, answer)]
    asked = len(line.requests)
    task = asyncio.create_task(connection.read(1, block(0), 1.0))
    await eventually(lambda: len(line.requests) > asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    line.script = at_once
    assert list(await connection.read(1, block(200), 0.5)) == words(1, block(200))


def foreign(_request: bytes, answer: bytes) -> Parts:
    yield 0.0, framed(bytes([answer[0] + 1]) + answer[1:-2])


def twice(_request: bytes, answer: bytes) -> Parts:
    yield 0.0, answer + answer


def damaged(_request: bytes, answer: bytes) -> Parts:
    yield 0.0, answer[:-3] + bytes([answer[-3] ^ 0x10]) + answer[-2:]


def echo(request: bytes, answer: bytes) -> Parts:
    yield 0.0, request + answer


def short(_request: bytes, answer: bytes) -> Parts:
    yield 0.0, framed(answer[:2] + b"\x02" + answer[3:5])


@pytest.mark.parametrize(
    ("script", "kind"),
    [(foreign, "unit"), (twice, "surplus"), (damaged, "crc"), (echo, "local_echo"), (short, "count")],
)  # fmt: skip
async def test_an_answer_that_does_not_fit_is_refused_and_distrusted(
    site: Site, script: object, kind: str
) -> None:
    line, connection = site
    line.script = script  # type: ignore[assignment]  # pytest hands on what the table holds
    with pytest.raises(BadFrame) as refused:
        await connection.read(1, block(0), 0.5)
    assert refused.value.kind == kind
    line.script = at_once
    assert list(await connection.read(1, block(200), 0.5)) == words(1, block(200))


async def test_a_second_copy_between_two_requests_starts_a_quarantine(site: Site) -> None:
    line, connection = site
    line.script = lambda _request, answer: [(0.0, answer), (0.05, answer)]
    assert list(await connection.read(1, block(0), 0.5)) == words(1, block(0))
    line.script = at_once
    await eventually(lambda: connection._counters["frame_errors_unasked"] == 1)
    assert list(await connection.read(1, block(200), 0.5)) == words(1, block(200))
    assert connection._counters["quarantines"] == 2


async def test_two_answers_in_a_row_that_do_not_fit_open_the_port_anew(site: Site) -> None:
    line, connection = site
    line.script = foreign
    for _ in range(2):
        with pytest.raises(BadFrame):
            await connection.read(1, block(0), 0.5)
    line.script = at_once
    assert list(await connection.read(1, block(200), 0.5)) == words(1, block(200))
    assert connection._counters["reopened"] == 1


async def test_a_line_that_never_falls_silent_is_down(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, connection = site
    monkeypatch.setattr(quarantine, "MOST_NOISE_S", 0.8)
    line.script = lambda _request, _answer: [(0.05 * i, b"\x55") for i in range(60)]
    with pytest.raises(BadFrame):
        await connection.read(1, block(0), 0.5)
    with pytest.raises(LinkDown, match="the line does not fall silent"):
        await connection.read(1, block(0), 0.5)


async def test_requests_keep_the_gap_and_the_pause_of_the_profile(site: Site) -> None:
    _, connection = site
    await connection.read(1, block(0), 0.5)
    loop = asyncio.get_running_loop()
    start = loop.time()
    for _ in range(5):
        await connection.read(1, block(0), 0.5, 0.04)
    assert loop.time() - start >= 0.2
