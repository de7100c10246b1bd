"""Lines that the server refuses for good, bodies that are too large, servers that want a rest."""

import asyncio
import gzip
import math
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.errors import GatewayError, LinkDown, Refused
from gateway.sinks import influx_client
from gateway.sinks.influx_client import Busy, LinesRefused, Server
from gateway.sinks.influx_post import Post
from gateway.sinks.influx_settings import HttpUrl
from gateway.sinks.line import PROBE
from gateway.store.readonly import core, read_register
from gateway.store.store import Position
from tests.harness.influx import Answer, Fake, fake, influx_sink, section, until_empty
from tests.harness.site import Site, running, site

SAMPLES = 1_000


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path / "state") as running:
        yield running


@pytest.fixture
async def server() -> AsyncIterator[Fake]:
    async with fake() as running:
        yield running


async def dead(directory: Path) -> list[tuple[int, int, str]]:
    """Of a journal that is closed: lane, seq, reason."""

    def read() -> list[tuple[str, int, int, str]]:
        with core(directory) as db:
            return read_register(db, directory).dead

    letters = await asyncio.to_thread(read)
    return [(lane, seq, reason) for sink, lane, seq, reason in letters if sink == "influxdb"]


def poisoned(body: bytes) -> Answer:
    """A server that takes nothing of a body that has a line with such a number."""
    bad = any(b".energy.total=%d77.0 " % n in body for n in range(1, 10))
    return (400, b'{"code":"invalid","message":"unable to parse"}') if bad else 204


async def test_lines_refused_for_good_are_found_by_halving_and_become_dead_letters(
    tmp_path: Path, server: Fake
) -> None:
    server.judge = poisoned
    async with site(tmp_path / "state") as one:
        await one.samples(SAMPLES)
        await one.durable()
        sink = influx_sink(one.store, one.clock, server.port)
        async with running(sink):
            await until_empty(sink)
        lane = sink.lanes()[2]
        assert (lane.acked, lane.dead) == (SAMPLES - 9, 9)
        assert one.store.cursor("influxdb", 2) == Position(one.store.epoch, one.store.last(2))
    letters = await dead(tmp_path / "state")
    assert [seq for _, seq, _ in letters] == [n * 100 + 78 for n in range(1, 10)]
    assert "400 unable to parse" in letters[0][2]
    lines = [line for line in server.lines if not line.startswith(PROBE.encode())]
    assert len(lines) == len(set(lines)) == SAMPLES - 9
    assert len(server.requests) <= 2 + 9 * 2 * math.ceil(math.log2(SAMPLES))


async def test_a_server_that_takes_part_of_a_body_and_refuses_it_misses_nothing(
    one: Site, server: Fake
) -> None:
    """As 1.x does with a line that it cannot read, and 2.x with a type conflict."""

    def partial(body: bytes) -> Answer:
        good = [line for line in body.split(b"\n") if poisoned(line) == 204]
        server.bodies.append(b"\n".join(good))
        return poisoned(body)

    server.judge = partial
    await one.samples(SAMPLES)
    await one.durable()
    sink = influx_sink(one.store, one.clock, server.port)
    async with running(sink):
        await until_empty(sink)
    assert sink.lanes()[2].dead == 9
    lines = {line for line in server.lines if line and not line.startswith(PROBE.encode())}
    assert len(lines) == SAMPLES - 9


async def test_a_server_that_hangs_is_a_link_that_is_down_and_gets_the_same_lines_again(
    one: Site, server: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(influx_client, "TIMEOUT_S", 0.3)
    server.answers.append("hang")
    await one.samples(10)
    await one.durable()
    sink = influx_sink(one.store, one.clock, server.port)
    with pytest.raises(LinkDown, match=r"no answer within 0\.3 s"):
        await sink.run()
    assert [lane.backlog for lane in sink.lanes()] == [0, 0, 10]
    async with running(sink):
        await until_empty(sink)
    assert server.bodies == server.refused


@pytest.mark.parametrize("status", [400, 422, 418])
async def test_a_server_that_refuses_every_line_holds_the_sink_and_nothing_is_given_up(
    tmp_path: Path, server: Fake, status: int
) -> None:
    server.judge = lambda _body: status
    async with site(tmp_path / "state") as one:
        await one.samples(100)
        await one.durable()
        sink = influx_sink(one.store, one.clock, server.port)
        with pytest.raises(Refused, match="it refuses every line"):
            await sink.run()
        assert len(server.requests) == 2
        assert [lane.backlog for lane in sink.lanes()] == [0, 0, 100]
        server.judge = lambda _body: 204
        async with running(sink):
            await until_empty(sink)
    assert await dead(tmp_path / "state") == []


async def test_teeth_without_the_probe_a_server_that_refuses_everything_empties_the_journal(
    one: Site, server: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trust(_self: Post, _refusal: LinesRefused) -> None:
        return

    monkeypatch.setattr(Post, "_prove", trust)
    server.judge = lambda _body: 400
    await one.samples(10)
    await one.durable()
    sink = influx_sink(one.store, one.clock, server.port)
    async with running(sink):
        await until_empty(sink)
    assert sink.lanes()[2].dead == 10


async def test_teeth_a_sink_that_takes_any_answer_for_a_yes_loses_lines(
    one: Site, server: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    proper = Server.write

    async def credulous(self: Server, body: bytes) -> None:
        with suppress(GatewayError):
            await proper(self, body)

    monkeypatch.setattr(Server, "write", credulous)
    server.answers.append(503)
    await one.samples(100)
    await one.durable()
    sink = influx_sink(one.store, one.clock, server.port, max_lines=10)
    async with running(sink):
        await until_empty(sink)
    assert len(server.lines) == 90


async def test_a_body_that_is_too_large_is_halved_and_the_next_ones_are_smaller(
    one: Site, server: Fake
) -> None:
    server.judge = lambda body: 413 if len(body) > 60_000 else 204
    await one.samples(4 * SAMPLES)
    await one.durable()
    sink = influx_sink(one.store, one.clock, server.port)
    async with running(sink):
        await until_empty(sink)
    assert sink.lanes()[2].acked == len(server.lines) == 4 * SAMPLES
    assert len(server.refused) <= 4


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_asks_for_a_rest_gets_it(one: Site, server: Fake, status: int) -> None:
    one.event()
    await one.durable()
    server.answers.append((status, b"", {"Retry-After": "1"}))
    sink = influx_sink(one.store, one.clock, server.port)
    async with running(sink):  # it is started again after 50 ms
        await server.until_refused(1)
        refused_at = time.monotonic()
        await server.until(1)
        assert time.monotonic() - refused_at > 0.9


@pytest.mark.parametrize(("said", "wait_s"), [("99999999", 600), ("0", 0)])
async def test_nobody_can_ask_for_a_rest_of_more_than_ten_minutes(
    one: Site, server: Fake, said: str, wait_s: float
) -> None:
    one.event()
    await one.durable()
    server.answers.append((503, b"", {"Retry-After": said}))
    with pytest.raises(Busy) as caught:
        await influx_sink(one.store, one.clock, server.port).run()
    assert caught.value.wait_s == wait_s


async def test_lines_for_a_server_elsewhere_are_compressed(one: Site, server: Fake) -> None:
    # Linux connects 0.0.0.0 to this machine, and it is no loopback address.
    url = HttpUrl(tls=False, host="0.0.0.0", port=server.port)  # noqa: S104 -- see above
    there = section(server.port).model_copy(update={"url": url})
    await one.samples(SAMPLES)
    await one.durable()
    sink = influx_sink(one.store, one.clock, server.port, to=there)
    async with running(sink):
        await until_empty(sink)
    assert {r.headers["Content-Encoding"] for r in server.requests} == {"gzip"}
    assert len(server.lines) == SAMPLES  # the server inflates before it tells
    sizes = [int(r.headers["Content-Length"]) for r in server.requests]
    assert sum(sizes) < sum(map(len, server.bodies)) / 3
    assert gzip.decompress(gzip.compress(server.bodies[0], 1)) == server.bodies[0]


async def test_a_backlog_for_a_server_elsewhere_waits_a_while_for_alarms_of_a_platform(
    one: Site, server: Fake
) -> None:
    one.event()
    await one.samples(3 * SAMPLES)
    await one.durable()
    url = HttpUrl(tls=False, host="0.0.0.0", port=server.port)  # noqa: S104 -- see above
    there = section(server.port).model_copy(update={"url": url})
    first = Position(one.store.epoch, 0)
    one.store.advance("platform", 0, first)  # it has not got the alarm yet
    sink = influx_sink(one.store, one.clock, server.port, to=there)
    async with running(sink):
        await server.until(1)
        begun = time.monotonic()
        await asyncio.sleep(0.3)
        assert len(server.lines) == 1, "the samples wait"
        one.store.advance("platform", 0, Position(one.store.epoch, one.store.last(0)))
        await server.until(1 + 3 * SAMPLES)
        assert time.monotonic() - begun < 2
