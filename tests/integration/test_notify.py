"""Notifications by the real daemon: a sounder behind a real broker, a platform behind another."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.mqtt import Connection, Subscription
from gateway.snapshot import Snapshot
from simulators.platform import Platform
from tests.harness.broker import HOST, Mosquitto, until
from tests.harness.daemon import Daemon
from tests.harness.mqtt import link
from tests.harness.oracle import Arrived, Json
from tests.integration.test_daemon import gateway

GATEWAY = "gw-test-01"
CONFIG = """\
version: 1
gateway: {{id: gw-test-01, timezone: Asia/Shanghai, state_dir: state}}
links:
  field: {{driver: mqtt, url: "{field}"}}
upstream:
  platform: {{url: "{uplink}"}}
recipients:
  guard-room: {{via: mqtt, link: field, topic: site/guard-room}}
  siren: {{via: mqtt, link: field, topic: cmnd/siren/POWER, payload: "ON {{text}}", expires: 1s}}
  duty-manager: {{via: upstream, to: platform}}
"""


@dataclass(slots=True)
class Place:
    daemon: Daemon
    field: Mosquitto
    uplink: Mosquitto
    log: Path  # of the platform

    def sounder(self) -> Any:
        """Somebody who listens; the broker keeps nothing for him while he is away."""
        return link(
            self.field, "sounder", subscriptions=[Subscription("site/#"), Subscription("cmnd/#")]
        )

    def platform(self) -> Platform:
        return Platform(HOST, self.uplink.port, GATEWAY, log=self.log)

    async def notify(self, recipient: str, text: str, wait_s: float = 0, **more: object) -> Json:
        answer: Json = await self.daemon.ask(
            "notify", **{"recipient": recipient, "text": text, "severity": "safety", "wait_s": wait_s, **more}
        )  # fmt: skip
        return answer

    async def told(self, kind: str) -> list[Json]:
        """Events of this kind that have arrived at the platform."""
        arrived = await asyncio.to_thread(Arrived.read, self.log)
        return [event for event in arrived.events if event["kind"] == kind]


@asynccontextmanager
async def place(
    folder: Path, sabotage: str | None = None, *, alone: bool = False
) -> AsyncIterator[Place]:
    """The daemon runs, its platform does not; of the brokers the field's is up, or if it is `alone` none."""
    field, uplink = Mosquitto(folder / "field"), Mosquitto(folder / "uplink")
    config = folder / "gateway.yaml"
    config.write_text(CONFIG.format(field=field.url, uplink=uplink.url), encoding="utf-8")
    daemon = Daemon(config, folder / "state", sabotage=sabotage)
    async with AsyncExitStack() as stack:
        for broker in (field, uplink):
            await stack.enter_async_context(_killed(broker))
        if not alone:
            await field.start()
        await daemon.start()
        stack.push_async_callback(_ended, daemon)
        if not alone:
            await daemon.until(field_is_up)
        yield Place(daemon, field, uplink, folder / "platform.jsonl")


@asynccontextmanager
async def _killed(broker: Mosquitto) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if broker.process is not None:
            await broker.kill()


async def _ended(daemon: Daemon) -> None:
    """A stop in order would wait for the platform that is not there."""
    if daemon.process.returncode is None:
        await daemon.kill()


async def heard(sounder: Connection) -> Json:
    async with asyncio.timeout(15):
        message = await sounder.receive()
    sounder.ack(message)
    return {"topic": message.topic, **json.loads(message.payload)}


def field_is_up(status: Snapshot) -> bool:
    return status["links"][0]["state"] == "up"


def stored(status: Snapshot) -> bool:
    return status["store"]["queued"] == 0


@pytest.mark.timeout(60)
async def test_with_the_uplink_down_a_sounder_hears_at_once_and_the_platform_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with place(tmp_path) as one, one.sounder() as sounder:
        said = await one.notify("guard-room", 'Smoke in "3-1" 火警', 5)
        assert (said["outcome"], said["attempts"], said["stored"]) == ("delivered", 1, True)
        shown = await heard(sounder)
        assert shown.pop("time").isdigit()
        assert shown == {
            "topic": "site/guard-room", "v": 1, "id": said["id"], "gateway": GATEWAY,
            "recipient": "guard-room", "severity": "safety", "text": 'Smoke in "3-1" 火警', "about": {},
        }  # fmt: skip
        later = await one.notify("duty-manager", "Come, please")
        assert (later["outcome"], later["stored"]) == ("waiting", True)
        status = await one.daemon.status()
        (waiting,) = status["notifications"]["waiting"]
        assert (waiting["id"], waiting["recipient"]) == (later["id"], "duty-manager")
        await one.uplink.start()
        async with one.platform():
            await one.daemon.until(lambda s: s["notifications"]["open"] == 0, 30)
            async with asyncio.timeout(10):
                while len(await one.told("notified")) < 2:
                    await asyncio.sleep(0.05)
            assert await one.daemon.stop() == 0
        sent, ended = await one.told("notification"), await one.told("notified")
        assert {(e["attributes"]["text"], e["severity"]) for e in sent} == {
            ('Smoke in "3-1" 火警', "safety"), ("Come, please", "safety")
        }  # fmt: skip
        assert {(e["cause"], e["attributes"]["outcome"]) for e in ended} == {
            (said["id"], "delivered"), (later["id"], "delivered")
        }  # fmt: skip


async def heard_after_kills(folder: Path, sabotage: str | None) -> list[str]:
    """What a sounder hears: one sent while its broker was away, then a kill -9; delivered, again a kill."""
    async with place(folder, sabotage, alone=True) as one:
        first = await one.notify("guard-room", "first")
        assert (first["outcome"], first["stored"]) == ("waiting", True)
        await one.daemon.kill()
        await one.field.start()
        async with one.sounder() as sounder:
            await one.daemon.start()
            await one.daemon.until(
                lambda s: field_is_up(s) and s["notifications"]["open"] == 0 and stored(s)
            )
            await one.daemon.kill()
            await one.daemon.start()
            await one.daemon.until(field_is_up)
            assert (await one.notify("guard-room", "last", 10))["outcome"] == "delivered"
            texts: list[str] = []
            while "last" not in texts:
                shown = await heard(sounder)
                assert shown["text"] != "first" or shown["id"] == first["id"]
                texts.append(shown["text"])
            return texts


@pytest.mark.parametrize(
    ("sabotage", "texts"), [(None, ["first", "last"]), ("forget_notifications", ["last"])]
)
@pytest.mark.timeout(60)
async def test_a_notification_survives_kill_9_until_it_is_delivered_and_is_not_repeated_after(
    tmp_path: Path, sabotage: str | None, texts: list[str]
) -> None:
    assert await heard_after_kills(tmp_path, sabotage) == texts


@pytest.mark.parametrize(("sabotage", "arrives"), [(None, True), ("believe_every_publish", False)])
@pytest.mark.timeout(60)
async def test_a_sounder_that_is_not_there_hears_it_when_it_is(
    tmp_path: Path, sabotage: str | None, arrives: bool
) -> None:
    async with place(tmp_path, sabotage) as one:
        said = await one.notify("guard-room", "Is anybody there?", 0.5)
        assert said["outcome"] == ("waiting" if arrives else "delivered")
        assert arrives == ("nobody listens there" in said["reason"])
        async with one.sounder() as sounder:
            await one.notify("guard-room", "Now somebody is", 10)
            await one.daemon.until(lambda s: s["notifications"]["open"] == 0)
            texts = {(await heard(sounder))["text"] for _ in range(1 + arrives)}
        assert ("Is anybody there?" in texts) == arrives


@pytest.mark.timeout(60)
async def test_what_nobody_takes_in_time_expires_and_is_told_and_audited(tmp_path: Path) -> None:
    async with place(tmp_path) as one:
        config = one.daemon.config
        code, text = await gateway("notify", "siren", "now", "--wait", "5", "-c", config)
        assert code == 1
        assert "siren: expired: publishing cmnd/siren/POWER: nobody listens there" in text
        with pytest.raises(ValueError, match="did you mean 'siren'"):
            await one.notify("sirne", "now")
        async with one.sounder() as sounder:
            assert (await one.notify("siren", "now", 10))["outcome"] == "delivered"
            async with asyncio.timeout(5):
                assert (await sounder.receive()).payload == b"ON now"
        status = await one.daemon.status()
        counters = status["notifications"]["counters"]
        assert (counters["expired"], counters["delivered"]) == (1, 1)
        code, text = await gateway("audit", "list", "--json", "-c", config)
        lines = [json.loads(line) for line in text.splitlines()]
        results = [
            (x["what"], x["result"]) for x in lines if x["what"] in {"notify", "notification"}
        ]
        assert sorted(results) == [
            ("notification", "delivered"), ("notification", "expired"), ("notify", "done"), ("notify", "done"),
            ("notify", "refused"),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("sabotage", "before"), [("slow_disk", True), ("notify_after_the_commit", False)]
)
@pytest.mark.timeout(60)
async def test_while_the_disk_stalls_a_sounder_hears_at_once(
    tmp_path: Path, sabotage: str, before: bool
) -> None:
    async with place(tmp_path, sabotage) as one, one.sounder() as sounder:
        began = time.monotonic()
        asking = asyncio.create_task(one.notify("guard-room", "Fire", severity="life"))
        assert (await heard(sounder))["text"] == "Fire"
        assert (time.monotonic() - began < 2) == before
        assert (await asking)["stored"]
        assert time.monotonic() - began >= 2


async def hear_all(sounder: Connection, heard_ids: Counter[str]) -> None:
    while True:
        message = await sounder.receive()
        sounder.ack(message)
        heard_ids[json.loads(message.payload)["id"]] += 1


async def notify_until_killed(one: Place, promised: set[str]) -> None:
    """As fast as it answers: what the gateway said is on disk has been promised."""
    with suppress(ConnectionError, TimeoutError):
        while True:
            answer = await one.notify("guard-room", f"number {len(promised)}")
            if answer["stored"]:
                promised.add(answer["id"])


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_no_promised_notification_is_lost_through_forty_kills(tmp_path: Path) -> None:
    promised: set[str] = set()
    heard_ids: Counter[str] = Counter()
    moments = random.Random(7)
    async with place(tmp_path) as one, one.sounder() as sounder:
        hearing = asyncio.create_task(hear_all(sounder, heard_ids))
        try:
            for _ in range(40):
                telling = asyncio.create_task(notify_until_killed(one, promised))
                await asyncio.sleep(moments.uniform(0, 0.5))
                await one.daemon.kill()
                await telling
                await one.daemon.start()
            await one.daemon.until(lambda s: s["notifications"]["open"] == 0, 60)
            await until(lambda: promised <= set(heard_ids), 10)
        finally:
            hearing.cancel()
        assert len(promised) > 400
        # A repeat needs a kill between a delivery and the commit of its result.
        assert heard_ids.total() - len(heard_ids) <= 40 * 2
