"""The InfluxDB sink against a server that does what it is told, and in the whole daemon."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import GatewayError, LinkDown, Refused
from gateway.model import Severity
from gateway.sinks.influx import InfluxSink, Timing
from gateway.store.store import Position
from tests.harness.clock import FakeClock
from tests.harness.daemon import Daemon
from tests.harness.influx import (
    BUCKET,
    ORG,
    TOKEN,
    Answer,
    Fake,
    fake,
    influx_sink,
    served_on,
    shim,
    until_empty,
)
from tests.harness.influxd import Influxd, needs_influxd
from tests.harness.ports import free_ports
from tests.harness.site import Site, running, site


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path / "state") as running:
        yield running


@pytest.fixture
async def server() -> AsyncIterator[Fake]:
    async with fake() as running:
        yield running


def sink_to(one: Site, server: Fake, **options: Any) -> InfluxSink:
    return influx_sink(one.store, one.clock, server.port, **options)


async def ran(sink: InfluxSink) -> GatewayError:
    """How a run ended that must end by itself."""
    async with asyncio.timeout(10):
        with pytest.raises(GatewayError) as caught:
            await sink.run()
    return caught.value


@pytest.mark.both_loops
async def test_records_of_three_lanes_arrive_once_and_the_cursors_follow(
    one: Site, server: Fake
) -> None:
    one.events(5)
    one.events(5, Severity.OPERATIONAL)
    one.events(5, Severity.TELEMETRY)  # lane 3 stays here
    await one.samples(100)
    await one.durable()
    sink = sink_to(one, server)
    async with running(sink):
        await until_empty(sink)
        assert await sink.drain(0)
    assert len(server.lines) == len(set(server.lines)) == 110
    assert server.lines[0].startswith(
        b"event,device=smoke-1,gateway=gw-test-01,kind=point_alarm,lane=0,severity=life "
    )
    assert [(lane.lane, lane.backlog, lane.acked, lane.dead) for lane in sink.lanes()] == [
        (0, 0, 5, 0), (1, 0, 5, 0), (2, 0, 100, 0),
    ]  # fmt: skip
    for lane in range(3):
        assert one.store.cursor("influxdb", lane) == Position(one.store.epoch, one.store.last(lane))
    assert one.store.cursor("influxdb", 3) is None
    first = server.requests[0]
    assert first.query == {"org": ORG, "bucket": BUCKET, "precision": "ns"}
    assert first.headers["Authorization"] == f"Token {TOKEN}"
    assert "Content-Encoding" not in first.headers


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (401, Refused, "writing to iot_raw at http://127.0.0.1:{port}: 401 Unauthorized"),
        ((403, b'{"code":"forbidden","message":"insufficient\\n permissions"}'), Refused, "403 insufficient permissions"),
        (404, Refused, "404"), (405, Refused, "405"), (302, Refused, "302"),
        (502, LinkDown, "502"), (504, LinkDown, "504"),
        ((500, b"\xff\xfe not text"), LinkDown, "500"), ((503, b"x" * 5000), LinkDown, "503 xxxx"),
        (429, LinkDown, "429"), (408, LinkDown, "408"),
        (200, LinkDown, "neither 201 nor 204"), ("reset", LinkDown, "disconnected"),
    ],
)  # fmt: skip
async def test_any_other_answer_ends_the_run_and_loses_nothing(
    one: Site, server: Fake, answer: Answer, kind: type[GatewayError], said: str
) -> None:
    one.events(3)
    await one.samples(10)
    await one.durable()
    server.answers.append(answer)
    sink = sink_to(one, server)
    error = await ran(sink)
    assert type(error) is kind
    assert said.format(port=server.port) in str(error)
    assert len(str(error)) < 300
    assert "\n" not in str(error)
    assert TOKEN not in str(error)
    assert [lane.backlog for lane in sink.lanes()] == [3, 0, 10]
    assert one.store.cursor("influxdb", 0) is None
    async with running(sink):
        await server.until(13)
    assert len(server.lines) == 13
    assert server.refused[0] == server.bodies[0], "the same lines again"


async def test_a_server_that_is_not_there_is_a_link_that_is_down(one: Site) -> None:
    (port,) = free_ports(1)
    sink = influx_sink(one.store, one.clock, port)
    error = await ran(sink)  # with nothing to write it asks whether somebody is there
    assert isinstance(error, LinkDown)
    assert "influxdb: ping" in str(error)


async def test_a_server_that_comes_back_misses_nothing(one: Site) -> None:
    server = Fake()
    (port,) = free_ports(1)
    sink = influx_sink(one.store, one.clock, port)
    async with running(sink):
        one.events(50)
        for round_ in range(1, 4):
            async with served_on(server, port):
                one.events(50)
                await server.until(50 + 50 * round_)
    assert len(server.lines) == len(set(server.lines)) == 200


@pytest.mark.both_loops
async def test_cancelling_a_write_under_way_is_clean_and_the_write_comes_again(
    one: Site, server: Fake
) -> None:
    await one.samples(10)
    await one.durable()
    server.answers.append("hang")
    sink = sink_to(one, server)
    task = asyncio.create_task(sink.run())
    await server.until_refused(1)
    task.cancel()
    async with asyncio.timeout(1):
        await asyncio.wait({task})
    assert task.cancelled()
    async with running(sink):
        await server.until(10)
    assert server.refused == server.bodies


async def test_with_nothing_to_write_it_asks_once_and_is_up(one: Site, server: Fake) -> None:
    sink = sink_to(one, server)
    up = asyncio.Event()
    sink.health.on_up = up.set
    async with running(sink), asyncio.timeout(5):
        await up.wait()
    assert server.pings == 1
    assert server.requests == []


async def test_what_comes_soon_after_a_write_waits_for_company(one: Site, server: Fake) -> None:
    timing = Timing(linger_s=3600, event_linger_s=0.2, pause_s=0)
    sink = sink_to(one, server, timing=timing)
    one.event()
    async with running(sink):
        await server.until(1)
        await one.samples(20)
        await one.durable()
        await asyncio.sleep(0.05)
        assert len(server.lines) == 1
        one.event()
        await server.until(22)  # an alarm waits less, and takes the others along
        await one.samples(20)
        await one.durable()
        assert await sink.drain(5), "a stop does not wait for company"
        assert len(server.lines) == 42


async def test_a_full_write_waits_for_nothing(one: Site, server: Fake) -> None:
    sink = sink_to(one, server, timing=Timing(linger_s=3600, pause_s=0), max_lines=100)
    one.event()
    async with running(sink):
        await server.until(1)
        await one.samples(250)
        await one.durable()
        await server.until(201)
    assert max(len(body.split(b"\n")) for body in server.bodies) == 100


async def test_writes_are_bounded_in_bytes_and_an_alarm_overtakes_a_backlog(
    one: Site, server: Fake
) -> None:
    await one.samples(3000, points=30)
    await one.durable()
    sink = sink_to(one, server, timing=Timing(linger_s=0, pause_s=0.01))
    async with running(sink):
        await server.until(1)
        one.event()
        await server.until(3001)
    assert max(len(body) for body in server.bodies) <= 200_000
    place = [line.startswith(b"event") for line in server.lines].index(True)
    assert place < 2500


async def test_a_stop_gives_up_in_time_when_the_server_is_away(one: Site, server: Fake) -> None:
    one.event()
    await one.durable()
    server.answers.append("hang")
    sink = sink_to(one, server)
    async with running(sink):
        await server.until_refused(1)
        assert not await sink.drain(0.05)


async def test_records_without_anything_to_write_are_passed_and_counted(
    one: Site, server: Fake
) -> None:
    one.unread(3)
    await one.durable()
    sink = sink_to(one, server)
    async with running(sink):
        await until_empty(sink)
    assert server.requests == []
    assert sink.health.counters["empty"] == 3
    assert one.store.cursor("influxdb", 2) == Position(one.store.epoch, one.store.last(2))


async def test_nothing_is_written_while_the_clock_may_be_wrong(one: Site, server: Fake) -> None:
    clock = FakeClock()
    clock.ok = False
    one.event()
    await one.durable()
    timing = Timing(linger_s=0, event_linger_s=0, pause_s=0)
    sink = influx_sink(one.store, clock, server.port, timing=timing)
    async with running(sink):
        await asyncio.sleep(0.1)
        one.event()
        await one.durable()
        assert server.requests == []
        clock.ok = True
        one.event()  # whatever is stored makes it look again
        await server.until(3)
    clock.ok = False
    one.event()
    await one.durable()
    late = influx_sink(one.store, clock, server.port)
    clock.advance(121)  # it has waited long enough
    async with running(late):
        await server.until(4)


CONFIG = """\
version: 1
gateway: {{id: gw-test-01, timezone: Asia/Shanghai, state_dir: state}}
links:
  meters: {{driver: modbus, host: 127.0.0.1, port: {meters}}}
devices:
  meter-1: {{profile: eastron-sdm120, link: meters, tags: {{building: "3"}}}}
store: {{group_commit: 1s}}
influxdb: {{url: "http://127.0.0.1:{port}", org: {org}, bucket: {bucket}, token: "${{file:token}}"}}
log: {{format: console, level: info}}
"""


@pytest.mark.parametrize("last_words", [{"Connection": "close"}, {}])
async def test_with_a_lag_only_a_connection_that_ended_by_surprise_is_repaired(
    one: Site, server: Fake, last_words: dict[str, str]
) -> None:
    """And a server that closes every connection is no reason to write the same for ever."""
    server.headers = last_words
    sink = sink_to(one, server, ack_lag="10s", max_lines=10)
    async with running(sink):
        await one.samples(50)
        await one.durable()
        await until_empty(sink)
    assert len(set(server.lines)) == 50
    # The first connection of a process is one whose past is unknown.
    assert len(server.lines) == 60


@needs_influxd
@pytest.mark.timeout(40)
async def test_the_daemon_writes_its_journal_when_the_server_is_there(tmp_path: Path) -> None:
    influxd = Influxd(tmp_path / "influxd")
    await asyncio.to_thread(influxd.start)
    (meters,) = free_ports(1)
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    async with shim(influxd.port) as port:
        config = tmp_path / "gateway.yaml"
        config.write_text(CONFIG.format(meters=meters, port=port, org=ORG, bucket=BUCKET))
        daemon = Daemon(config, tmp_path / "state")
        await daemon.start()
        status = await daemon.until(lambda s: [x["state"] for x in s["upstream"]] == ["up"])
        assert [x["name"] for x in status["upstream"]] == ["influxdb"]
        # Nothing listens at the meter's port: the link goes down, which is an event.
        await daemon.until(lambda s: [x["state"] for x in s["links"]] == ["down"])
        assert await daemon.stop() == 0
    rows = await asyncio.to_thread(influxd.query, "SELECT * FROM event")
    await asyncio.to_thread(influxd.kill)
    assert {"link_down"} <= {row["kind"] for row in rows}
    assert {row["gateway"] for row in rows} == {"gw-test-01"}
    assert TOKEN not in daemon.text()
