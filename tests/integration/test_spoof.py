"""A device that wants to be another: what may be tried, with and without the access list.

With the list of `gateway mosquitto-config` the broker keeps everything away. Without it the gateway
cannot know who publishes; it refuses what it can tell to be wrong by itself.
"""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import pytest

from gateway.cli.main import main
from gateway.snapshot import Snapshot
from tests.harness.daemon import Daemon
from tests.harness.forger import Forger
from tests.harness.ports import free_port
from tests.harness.spoofs import (
    ATTACKER,
    GATEWAY,
    VICTIM,
    Case,
    as_another,
    broken,
    is_forged,
    kept_order,
    names_another,
    odd_topics,
    orders,
    platform,
    replays,
    retained,
)
from tests.harness.users import PASSWORD, guarded, made

REAL = b'{"id":"%s","device":"b","values":{"light.level":50,"alarm.lamp_failure":false}}'
CONFIG = """\
version: 1
gateway: {{id: {gateway}, timezone: UTC, state_dir: state}}
links:
  field: {{driver: mqtt, url: "mqtt://127.0.0.1:{port}", username: gw, password: "${{file:secret}}"}}
devices:
  light-a: {{profile: streetlight-native, link: field, topic_id: a}}
  light-b: {{profile: streetlight-native, link: field, topic_id: b}}
{upstream}
"""
UPSTREAM = """
upstream:
  platform: {{url: "mqtt://127.0.0.1:{port}", username: up, password: "${{file:secret}}", lanes: [0, 1], downlink: {{config: true}}}}
commands:
  allow:
    - {{origin: platform, devices: [light-a], points: [light.level]}}
"""
ANYTHING = "pattern readwrite #\n"


class Scene:
    """A broker, the daemon, the lamp B, and A, who has a login of its own."""

    def __init__(self, folder: Path, *, open_to_all: bool, sabotage: str | None = None) -> None:
        port = free_port()
        self.config = folder / "gateway.yaml"
        (folder / "secret").write_text(PASSWORD)
        (folder / "secret").chmod(0o600)
        upstream = UPSTREAM.format(port=port) if open_to_all else ""
        self.config.write_text(CONFIG.format(gateway=GATEWAY, port=port, upstream=upstream))
        acl = folder / "open.acl"
        acl.write_text(ANYTHING)
        if not open_to_all:
            acl = made(self.config, folder / "made")
        extra = ["allow_anonymous true"] if open_to_all else []
        self.broker = guarded(folder / "broker", acl, ["gw", "a", "b", "up"], port)
        self.broker.extra = [*self.broker.extra, *extra]
        self.daemon = Daemon(self.config, folder / "state", sabotage=sabotage)
        self.lamp = Forger(port, VICTIM, PASSWORD)
        self.thief = Forger(port, ATTACKER, PASSWORD)
        self.tried: list[str] = []

    async def __aenter__(self) -> Self:
        await self.broker.start()
        return self

    async def __aexit__(self, *_what: object) -> None:
        await self.lamp.close()
        await self.thief.close()
        await self.broker.kill()

    async def attack(self, cases: Iterable[Case]) -> None:
        for case in cases:
            await self.thief.publish(case.topic, case.payload, case.qos, retain=case.retain)
            self.tried.append(case.what)

    async def up(self) -> None:
        await self.daemon.start()
        await self.daemon.until(lambda s: s["links"][0]["state"] == "up")

    async def say(self, ident: str) -> None:
        """The lamp says something and is acknowledged: all that came before has been handled."""
        await self.lamp.publish("d/b/event", REAL % ident.encode(), 1)
        wanted = b'{"id":"%s"}' % ident.encode()
        async with asyncio.timeout(10):
            while not any(x.payload == wanted and x.topic == "d/b/ack" for x in self.lamp.heard):
                await self.lamp.settle()
                await asyncio.sleep(0.01)

    async def lamp_on(self) -> None:
        assert await self.lamp.connect() == 0
        for kind in ("cmd", "ack"):
            await self.lamp.subscribe(f"d/b/{kind}")

    def exported(self) -> list[dict[str, Any]]:
        out = self.config.parent / "out.jsonl"
        assert main(["store", "export", "-c", str(self.config), "-o", str(out)]) == 0
        return [json.loads(line) for line in out.read_text().splitlines()]


def accepted(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the gateway believed: a value of a case that is GOOD, or an alarm of the lamp."""
    found = []
    for record in records:
        values = record.get("values") or {}
        good = {k: v for k, v in values.items() if k not in (record.get("quality") or {})}
        written = record.get("kind") == "command_result" and record["attributes"]["attempts"] > 0
        if is_forged(good) or written or record.get("kind") == "point_alarm":
            found.append(record)
    return found


def sum_of(status: Snapshot, *names: str) -> int:
    """Of the counters of platform commands that begin so."""
    wanted = tuple(f"platform {name}" for name in names)
    return sum(n for name, n in status["commands"].items() if name.startswith(wanted))


async def with_the_list(scene: Scene) -> None:
    async with scene:
        await scene.up()
        await scene.lamp_on()
        assert await scene.thief.connect() == 0
        for topic in ("#", "+/+/+", "d/b/#", "d/b/cmd", "d/b/ack", "d/+/event", "gw/#", "$SYS/#"):
            await scene.thief.subscribe(topic)
            scene.tried.append(f"listens to {topic}")
        await scene.say("real-1")
        await scene.attack([*as_another(), *platform(), *odd_topics(), *replays("real-1")])
        await scene.attack([*names_another(), *broken()])
        await last_wills(scene)
        await scene.daemon.kill()
        await scene.attack([*replays("real-1"), *map(retained, (0, 1, 2))])
        await scene.up()
        await scene.attack(replays("real-1"))
        await scene.say("real-2")
        status = await scene.daemon.status()
        assert status["links"][0]["connects"] == 1
        await scene.daemon.kill()


async def last_wills(scene: Scene) -> None:
    """A will is published by the broker itself; logins that are not A's own."""
    port = scene.broker.port
    for case in [*as_another()][::2]:
        thief = Forger(port, ATTACKER, PASSWORD)
        if await thief.connect((case.topic, case.payload)) == 0:
            thief.vanish()
        scene.tried.append(f"last will: {case.what}")
    for user, password in (("b", ""), ("b", "guess"), ("gw", ""), ("", ""), ("b\0", PASSWORD)):
        assert await Forger(port, user, password, VICTIM).connect() != 0
        scene.tried.append(f"login as {user!r}")
    for name in ("b", "gw", "gw-field", "gw-gw-field"):
        borrower = Forger(port, ATTACKER, PASSWORD, name)
        assert await borrower.connect() == 0  # it gets its own name all the same
        await borrower.publish("d/b/event", b"{}", 1)
        borrower.vanish()
        scene.tried.append(f"borrows the client id {name}")
    await scene.thief.close()  # its session was taken over by the borrowers
    assert await scene.thief.connect() == 0


@pytest.mark.timeout(60)
async def test_with_the_access_list_no_device_can_be_another(tmp_path: Path) -> None:
    scene = await asyncio.to_thread(Scene, tmp_path, open_to_all=False)
    await with_the_list(scene)
    assert len(scene.tried) >= 150
    assert accepted(await asyncio.to_thread(scene.exported)) == []
    assert [x for x in scene.thief.heard if not x.topic.startswith("d/a/")] == []
    assert {x.topic for x in scene.lamp.heard} == {"d/b/ack"}


async def without_the_list(scene: Scene) -> None:
    async with scene:
        assert await scene.thief.connect() == 0
        await scene.attack([*map(retained, (0, 1, 2)), kept_order()])
        await scene.thief.subscribe("d/a/cmd")
        await scene.up()
        await scene.daemon.until(lambda s: s["upstream"][0]["state"] == "up")
        await scene.lamp_on()
        await scene.say("real-1")
        await scene.attack([*replays("real-1"), *names_another(), *broken()])
        await scene.attack([*odd_topics(), *platform(), *orders()])
        orders_refused = await scene.daemon.until(lambda s: sum_of(s, "answered_") >= 35)
        assert sum_of(orders_refused, "answered_refused", "answered_expired") == 35
        await scene.daemon.kill()
        await scene.attack(replays("real-1"))
        await scene.up()
        await scene.attack(replays("real-1"))
        await scene.say("real-2")
        status = await scene.daemon.status()
        assert status["links"][0]["connects"] == 1
        assert [lane["acked"] for lane in status["upstream"][0]["lanes"]] == [0, 0]
        await scene.daemon.kill()


@pytest.mark.timeout(60)
async def test_an_access_list_that_allows_everything_is_found_out(tmp_path: Path) -> None:
    scene = await asyncio.to_thread(Scene, tmp_path, open_to_all=False)
    acl = tmp_path / "made" / "mosquitto.acl"
    await asyncio.to_thread(acl.write_text, ANYTHING)
    async with scene:
        await scene.up()
        await scene.lamp_on()
        assert await scene.thief.connect() == 0
        await scene.attack(as_another())
        await scene.thief.settle()  # another connection: the lamp may overtake it
        await scene.say("real-2")  # an `ack` for real-1 has been forged
        await scene.daemon.kill()
    assert accepted(await asyncio.to_thread(scene.exported))
    assert "d/b/cmd" in {x.topic for x in scene.lamp.heard}


@pytest.mark.timeout(60)
async def test_without_an_access_list_the_gateway_refuses_what_it_can_tell(tmp_path: Path) -> None:
    scene = await asyncio.to_thread(Scene, tmp_path, open_to_all=True)
    await without_the_list(scene)
    assert len(scene.tried) >= 150
    records = await asyncio.to_thread(scene.exported)
    assert accepted(records) == []
    told = {r["attributes"]["reason"] for r in records if r.get("kind") == "message_refused"}
    assert told == {"identity_mismatch", "retained"}
    assert sum(r.get("kind") == "message_refused" for r in records) <= 4
    assert "d/b/cmd" not in {x.topic for x in scene.lamp.heard}
    assert "d/a/cmd" not in {x.topic for x in scene.thief.heard}
    log = b"".join(f.read_bytes() for f in (tmp_path / "state" / "audit").glob("*.jsonl"))
    assert b'"who":"device light-b","what":"message","result":"refused"' in log


@pytest.mark.timeout(60)
async def test_a_gateway_that_believes_payloads_is_found_out(tmp_path: Path) -> None:
    scene = await asyncio.to_thread(Scene, tmp_path, open_to_all=True, sabotage="no_identity_check")
    async with scene:
        await scene.up()
        await scene.lamp_on()
        assert await scene.thief.connect() == 0
        await scene.attack(names_another())
        await scene.say("real-1")
        await scene.daemon.kill()
    assert accepted(await asyncio.to_thread(scene.exported))
