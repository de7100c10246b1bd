"""Power cuts of the real daemon: a lamp tells alarms over MQTT until each is acknowledged to it."""

import asyncio
import os
import re
import shutil
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import aiomqtt
import orjson

from gateway.model import LANE_EVENT, LANE_SAMPLE, Event, EventKind, Sample
from tests.harness import trace
from tests.harness.broker import HOST, Mosquitto
from tests.harness.crash import Disk, Image, images
from tests.harness.cuts import OPEN_S, Life
from tests.harness.daemon import Daemon
from tests.harness.stores import items, make_store

GATEWAY = "gw-test-01"
WAVE = 6
_ACK = re.compile(rb'd/l1/ack.{0,9}\{"id": ?"(\d+)"\}', re.DOTALL)

_CONFIG = """\
version: 1
gateway: {{id: {gateway}, timezone: Asia/Shanghai, state_dir: state}}
links:
  lights: {{driver: mqtt, url: "{url}"}}
devices:
  light-1: {{profile: streetlight-native, link: lights, topic_id: l1}}
store: {{group_commit: 1s}}
log: {{format: console, level: info}}
"""


async def live(folder: Path, messages: int, sabotage: str | None = None) -> Life:
    """Trace a daemon from its first start to a stop in good order, while a lamp tells alarms."""
    config = folder / "gateway.yaml"
    one = Life(folder / "state", folder / "none", folder / "daemon.trace")
    async with Mosquitto(folder / "broker") as broker:
        config.write_text(_CONFIG.format(gateway=GATEWAY, url=broker.url), encoding="utf-8")
        daemon = Daemon(config, one.root, sabotage=sabotage, under=trace.command(one.trace, ()))
        await daemon.start()
        try:
            await daemon.until(lambda s: all(link["state"] == "up" for link in s["links"]))
            async with asyncio.timeout(30):
                await _lamp(broker.port, messages)
        finally:
            os.kill(_traced(daemon.process.pid), signal.SIGTERM)
            async with asyncio.timeout(15):
                await daemon.process.wait()
    await asyncio.to_thread(shutil.copytree, one.root, one.after)
    return one


def _traced(strace: int) -> int:
    """strace keeps signals for itself: the process below it."""
    return int(
        Path(f"/proc/{strace}/task/{strace}/children").read_text(encoding="ascii").split()[0]
    )


async def _lamp(port: int, messages: int) -> None:
    """Some messages at a time, each with the alarm changed, the next when all are acknowledged."""
    async with aiomqtt.Client(HOST, port, protocol=aiomqtt.ProtocolVersion.V5) as lamp:
        await lamp.subscribe("d/l1/ack")
        acked = lamp.messages
        for first in range(0, messages, WAVE):
            wave = range(first, first + WAVE)
            for number in wave:
                values = {"alarm.lamp_failure": number % 2 == 0, "elec.energy.total": number}
                await lamp.publish("d/l1/state", orjson.dumps({"id": str(number), "values": values}), qos=1)  # fmt: skip
            waiting = set(wave)
            while waiting:
                message = await anext(acked)
                assert isinstance(message.payload, bytes)
                waiting.discard(int(orjson.loads(message.payload)["id"]))


def acknowledged(calls: Sequence[trace.Call]) -> list[tuple[int, int]]:
    """(index of the call, number of the message)."""
    return [
        (index, int(number))
        for index, call in enumerate(calls)
        if call.out
        for number in _ACK.findall(call.data)
    ]


def judge(one: Life, seeds: Iterable[int]) -> list[str]:
    """As `tests.harness.cuts.judge`; every message that was acknowledged has a sample and an alarm."""
    calls = trace.read(one.trace)
    told = acknowledged(calls)
    return [
        image.says(fault)
        for image in images(calls, Disk(one.root), {index for index, _ in told}, seeds)
        for fault in _faults(image, told)
    ]


def _faults(image: Image, told: Sequence[tuple[int, int]]) -> Iterator[str]:
    due = {number for index, number in told if index < image.cut}
    try:
        opened_s, damage, found, alarms = asyncio.run(_look(image.path))
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is the finding
        yield f"cannot be opened: {error!r}"
        return
    if damage:
        yield f"damage: {damage}"
    if opened_s > OPEN_S:
        yield f"opened in {opened_s:.1f} s"
    if lost := due - found.keys():
        yield f"{len(lost)} acknowledged messages lost: {sorted(lost)[:5]}"
    if silent := [number for number in due & found.keys() if found[number] not in alarms]:
        yield f"alarms of {len(silent)} acknowledged messages lost: {sorted(silent)[:5]}"


async def _look(directory: Path) -> tuple[float, dict[str, int], dict[int, int], set[int]]:
    """(seconds to open, damage, input number by message, input numbers with an alarm)."""
    store = make_store(directory, gateway_id=GATEWAY)
    began = time.perf_counter()
    await asyncio.to_thread(store.open)
    opened_s = time.perf_counter() - began
    await store.start()
    try:
        samples = [item for item in await items(store, LANE_SAMPLE) if isinstance(item, Sample)]
        found = {int(one.source_id): one.n for one in samples if one.source_id is not None}
        events = [item for item in await items(store, LANE_EVENT) if isinstance(item, Event)]
        alarms = {one.n for one in events if one.kind == EventKind.POINT_ALARM}
        return opened_s, dict(store.stats().damage), found, alarms
    finally:
        await store.close()
