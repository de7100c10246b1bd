"""A disk that takes 200 ms for each commit, and devices that are faster."""

import asyncio
from pathlib import Path

import orjson
import pytest

from drivers.mqtt.driver import RECEIVE_MAX, MqttDriver
from drivers.mqtt.settings import MqttDevice, MqttLink
from gateway.clock import SystemClock
from gateway.driver import Device
from gateway.model import Item
from gateway.mqtt_read import READ_BYTES
from gateway.profile import load_profile
from tests.harness.broker import Mosquitto, until
from tests.harness.mqtt import link as device
from tests.harness.recorder import Recorder
from tests.harness.teller import PROFILE, text_of

COUNT = 6_000
COMMIT_S = 0.2


class SlowBus(Recorder):
    """Remembers how many messages the driver held, unacknowledged, at each commit."""

    def __init__(self) -> None:
        super().__init__()
        self.driver: MqttDriver | None = None
        self.most_held = 0

    async def commit(self, item: Item) -> None:
        assert self.driver is not None
        if self.driver._connection is not None:
            self.most_held = max(self.most_held, self.driver._connection.held)
        await asyncio.sleep(COMMIT_S)
        await super().commit(item)


def driver_at(folder: Path, url: str) -> MqttDriver:
    path = folder / "panel-oracle.yaml"
    path.write_text(PROFILE, encoding="utf-8")
    link = MqttLink.model_validate(
        {"driver": "mqtt", "url": url, "device_rate": 100_000, "device_burst": 100_000}
    )
    section = MqttDevice(profile="panel-oracle", link="panels", topic_id="panel-1")
    panel = Device("panel-1", load_profile(path)[0], section)
    return MqttDriver("panels", link, [panel], SystemClock())


def payload(number: int) -> bytes:
    return orjson.dumps({"id": f"a-{number}", "values": {"alarm.code": text_of("p", number)}})


@pytest.mark.both_loops
async def test_with_slow_commits_a_bounded_number_of_messages_is_held_and_none_is_lost(
    tmp_path: Path,
) -> None:
    bus = SlowBus()
    async with Mosquitto(tmp_path / "broker") as broker:
        bus.driver = await asyncio.to_thread(driver_at, tmp_path, broker.url)
        running = asyncio.create_task(bus.driver.run(bus))
        try:
            await until(lambda: bus.driver is not None and bus.driver.health.connects > 0)
            async with device(broker, "panel-1") as panel:
                for number in range(COUNT):
                    panel.publish_nowait("d/panel-1/event", payload(number))
                await bus.until(lambda item: item.n == COUNT)
        finally:
            running.cancel()
            await asyncio.wait({running})
    assert {sample.source_id for sample in bus.samples} == {b"a-%d" % n for n in range(COUNT)}
    print(f"at most {bus.most_held} held, window {RECEIVE_MAX}")
    one_read = READ_BYTES // len(payload(0))
    assert RECEIVE_MAX // 2 < bus.most_held <= 2 * RECEIVE_MAX + one_read
