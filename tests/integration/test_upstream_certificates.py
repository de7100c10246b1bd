"""Certificates of an upstream that are renewed while it works, well and badly."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.errors import Refused
from gateway.model import Event, EventKind, Severity
from gateway.sinks.upstream import UpstreamSink
from simulators.ledger import arrivals
from simulators.platform import Platform, platform
from tests.harness import sabotage_mqtt as sabotage
from tests.harness.broker import HOST, Mosquitto
from tests.harness.certificates import make
from tests.harness.ports import free_port
from tests.harness.site import GATEWAY, Site, running, site
from tests.harness.teeth import Tooth, bite_within


class Stage(NamedTuple):
    """A platform behind a broker that asks for certificates, and a sink that shows `gw`."""

    files: Path
    broker: Mosquitto
    place: Site
    sink: UpstreamSink
    far: Platform

    def install(self, name: str, what: str = "crt key") -> None:
        """Put a pair, or half of one, where the sink looks."""
        for kind in what.split():
            shutil.copy(self.files / f"{name}.{kind}", self.files / f"gw.{kind}")

    @property
    def told(self) -> list[EventKind]:
        return [kind for kind, _severity, _what in self.place.told]


async def until(condition: Callable[[], object], within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr("gateway.sinks.upstream.WATCH_S", 0.2)
    monkeypatch.setattr("gateway.tls.VERDICT_S", 0.3)
    await make(
        tmp_path, "ca ca; ca other; pair localhost ca; pair old ca; pair new ca; pair foreign other"
    )
    port = free_port()
    secure = [
        f"listener {port} {HOST}", f"cafile {tmp_path}/ca.crt", f"certfile {tmp_path}/localhost.crt",
        f"keyfile {tmp_path}/localhost.key", "require_certificate true", "use_identity_as_username true",
    ]  # fmt: skip
    async with (
        Mosquitto(tmp_path / "broker", secure) as broker,
        site(tmp_path / "state") as place,
        platform(HOST, broker.port, GATEWAY, log=tmp_path / "platform.jsonl") as far,
    ):
        sink = place.sink(
            f"mqtts://localhost:{port}", ca=f"{tmp_path}/ca.crt",
            client_cert=f"{tmp_path}/gw.crt", client_key=f"{tmp_path}/gw.key",
        )  # fmt: skip
        one = Stage(tmp_path, broker, place, sink, far)
        one.install("old")
        yield one


@asynccontextmanager
async def alarms(place: Site) -> AsyncIterator[None]:
    """One every 10 ms for the time of the block."""

    async def for_ever() -> None:
        while True:
            place.event()
            await asyncio.sleep(0.01)

    task = asyncio.create_task(for_ever())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def everything_arrived(stage: Stage) -> None:
    """Each alarm once and in its order, repeats aside."""
    sent = [str(item.event_id) for item in stage.place.items if isinstance(item, Event)]
    await stage.place.durable()
    await until(lambda: stage.sink.lanes()[0].backlog == 0)
    assert [x["event_id"] for x in arrivals(stage.files / "platform.jsonl", 0)] == sent


async def test_a_new_certificate_is_used_at_once_and_costs_no_alarm(stage: Stage) -> None:
    async with running(stage.sink):
        async with alarms(stage.place):
            await until(lambda: stage.far.items > 20)
            seen = stage.sink._certificates._seen
            stage.install("new", "crt")  # half of it: it does not fit the old key
            await until(lambda: stage.sink._certificates._seen != seen)
            stage.install("new", "key")
            await until(lambda: EventKind.CERTIFICATE_RENEWED in stage.told)
            await until(lambda: "u'new'" in stage.broker.log)
            before = stage.far.items
            await until(lambda: stage.far.items > before + 20)
        await everything_arrived(stage)
    assert stage.told == [EventKind.CERTIFICATE_RENEWED]
    assert stage.sink.health.connects == 2


@pytest.mark.parametrize("bad", ["foreign", "half", "gone"])
async def test_a_bad_certificate_changes_nothing_and_is_told(stage: Stage, bad: str) -> None:
    """Not even over a reconnect; and a good one afterwards is used."""
    async with running(stage.sink):
        async with alarms(stage.place):
            await until(lambda: stage.far.items > 20)
            match bad:
                case "foreign":
                    stage.install("foreign")
                case "half":
                    stage.install("new", "crt")
                case "gone":
                    (stage.files / "gw.key").unlink()
            await until(lambda: stage.sink.health.note)
            assert stage.sink.health.note.startswith("new certificate files are not used: ")
            assert stage.told == [EventKind.CERTIFICATE_REFUSED]
            assert stage.sink.health.connects == 1
            await stage.broker.kill()
            await stage.broker.start()
            await until(lambda: stage.sink.health.connects == 2)
            stage.install("new")
            await until(lambda: EventKind.CERTIFICATE_RENEWED in stage.told)
            assert stage.sink.health.note == ""
        await everything_arrived(stage)
    assert stage.told == [EventKind.CERTIFICATE_REFUSED, EventKind.CERTIFICATE_RENEWED]


async def test_files_that_were_refused_are_tried_again_when_what_is_in_use_is_refused(
    stage: Stage,
) -> None:
    """The platform moves to another authority: its new certificate was there too early."""
    async with running(stage.sink):
        await until(lambda: stage.sink.health.connects)
        stage.install("foreign")
        await until(lambda: stage.sink.health.note)
    await stage.broker.kill()
    stage.broker.extra = [x.replace("/ca.crt", "/other.crt") for x in stage.broker.extra]
    await stage.broker.start()
    with pytest.raises(Refused, match="unknown ca"):
        await stage.sink.run()
    async with running(stage.sink):
        await until(lambda: stage.sink.health.connects > 1)
        assert stage.sink.health.note == ""
    assert stage.told == [EventKind.CERTIFICATE_REFUSED, EventKind.CERTIFICATE_RENEWED]


async def test_while_nobody_can_be_asked_new_files_wait(stage: Stage) -> None:
    async with running(stage.sink):
        await until(lambda: stage.sink.health.connects)
        await stage.broker.kill()
        seen = stage.sink._certificates._seen
        stage.install("foreign")
        await until(lambda: stage.sink._certificates._seen != seen)
        await stage.broker.start()
        await until(lambda: stage.sink.health.connects == 2)
        await until(lambda: stage.told == [EventKind.CERTIFICATE_REFUSED])


async def test_a_certificate_that_is_taken_untried_cuts_the_gateway_off(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Teeth: the trial always says yes."""
    sabotage.new_files_untried(monkeypatch.setattr)
    with pytest.raises(Refused, match="unknown ca"):
        await renewed_untried(stage)
    assert stage.far.items == 0


@pytest.mark.parametrize(
    "tooth",
    [
        Tooth(sabotage.half_a_pair, test_a_new_certificate_is_used_at_once_and_costs_no_alarm, "stage.told =="),
        Tooth(sabotage.from_now_on, test_a_new_certificate_is_used_at_once_and_costs_no_alarm, "== sent"),
    ],
    ids=str,
)  # fmt: skip
async def test_teeth_a_renewal_that_costs_an_alarm_or_takes_half_a_pair_is_noticed(
    stage: Stage, tooth: Tooth, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bite_within(15, tooth, monkeypatch.setattr, stage=stage)


async def renewed_untried(stage: Stage) -> None:
    async with running(stage.sink):
        await until(lambda: stage.sink.health.connects)
        stage.install("foreign")
        await until(lambda: EventKind.CERTIFICATE_RENEWED in stage.told)
        stage.place.event()
        with suppress(TimeoutError):
            await until(lambda: stage.far.items, within_s=1.5)


@asynccontextmanager
async def expired(folder: Path, host: str, *, allow: bool) -> AsyncIterator[Stage]:
    """A platform whose certificate is not good today, and a gateway that does not know the day."""
    await make(folder, "ca ca; DAYS=-1 pair localhost ca")
    port = free_port()
    secure = [
        f"listener {port} {HOST}", f"certfile {folder}/localhost.crt", f"keyfile {folder}/localhost.key",
        "allow_anonymous true",
    ]  # fmt: skip
    async with (
        Mosquitto(folder / "broker", secure) as broker,
        site(folder / "state") as place,
        platform(HOST, broker.port, GATEWAY, log=folder / "platform.jsonl") as far,
    ):
        place.clock.ok = False
        sink = place.sink(
            f"mqtts://{host}:{port}", ca=f"{folder}/ca.crt", lanes=[0, 1, 2], allow_unsynced_clock=allow
        )  # fmt: skip
        yield Stage(folder, broker, place, sink, far)


async def test_while_the_day_is_not_known_alarms_go_out_and_nothing_else_until_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sinks.upstream.WATCH_S", 0.2)
    async with expired(tmp_path, "localhost", allow=True) as stage:
        stage.place.event()
        await stage.place.samples(5)
        task = asyncio.create_task(stage.sink.run())
        await until(lambda: stage.far.items == 1)
        stage.place.event(Severity.OPERATIONAL)
        for _ in range(5):  # after each of them the others could go
            stage.place.event()
            await stage.place.durable()
            await until(lambda: stage.sink.lanes()[0].backlog == 0)
        assert [len(list(arrivals(tmp_path / "platform.jsonl", lane))) for lane in (0, 1, 2)] == [6, 0, 0]  # fmt: skip
        stage.place.clock.ok = True
        with pytest.raises(Refused, match="expired"):
            await task


@pytest.mark.parametrize(
    ("host", "allow", "why"), [("127.0.0.1", True, "127.0.0.1"), ("localhost", False, "expired")]
)
async def test_the_name_is_checked_all_the_same_and_dates_too_where_it_is_not_allowed(
    tmp_path: Path, host: str, *, allow: bool, why: str
) -> None:
    async with expired(tmp_path, host, allow=allow) as stage:
        with pytest.raises(Refused, match=why):
            await stage.sink.run()
