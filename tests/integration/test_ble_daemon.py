"""The whole gateway on a simulated BlueZ, killed: what was recorded before is of no use after."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.snapshot import Snapshot
from simulators.bluez.bluez import Bluez
from simulators.bluez.peripheral import Advert
from simulators.bluez.sensor import Kind
from tests.harness.ble import KEY, SMOKE, air, sensor
from tests.harness.bluez import FCD2, bluez, needs_dbus
from tests.harness.daemon import Daemon

pytestmark = needs_dbus

CONFIG = f"""
version: 1
gateway: {{id: gw-ble, timezone: UTC, state_dir: state}}
links:
  radio: {{driver: ble}}
devices:
  smoke-1: {{profile: bthome-smoke, link: radio, address: "{SMOKE}", key: "${{file:key}}"}}
store: {{group_commit: 60s}}
"""


def configured(folder: Path) -> Path:
    path = folder / "gateway.yaml"
    path.write_text(CONFIG)
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_text(KEY.hex())
    (folder / "state").mkdir(mode=0o700)
    return path


async def alarms(state_dir: Path) -> int:
    """Point alarms in the journal."""

    def count() -> int:
        with closing(sqlite3.connect(state_dir / "core.db")) as db:
            query = "SELECT count(*) FROM event WHERE kind='point_alarm' AND device='smoke-1'"
            return int(db.execute(query).fetchone()[0])

    return await asyncio.to_thread(count)


def heard(number: int, snapshot: Snapshot) -> bool:
    return snapshot["links"][0]["counters"].get("adverts", 0) >= number


async def replayed(folder: Path, sabotage: str | None = None) -> int:
    """Smoke comes and goes; kill -9; the recorded frames again. How many alarms there are."""
    async with bluez() as air_of:
        gateway = Daemon(configured(folder), folder / "state", sabotage=sabotage)
        await gateway.start()
        await gateway.until(lambda s: s["links"][0]["state"] == "up")
        recorded = await _burn(air_of, gateway)
        await gateway.kill()
        await gateway.start()
        await gateway.until(lambda s: s["links"][0]["state"] == "up")
        real = sensor(Kind.SMOKE, SMOKE)
        for frame in [*recorded, *recorded]:
            air_of.advertise(real.peripheral, Advert({FCD2: frame}))
        await gateway.until(lambda s: heard(4, s))
        for reason, forged in forgeries().items():
            await _refused(air_of, gateway, reason, forged)
        assert await gateway.stop() == 0
        return await alarms(folder / "state")


def forgeries() -> dict[str, Advert]:
    """Smoke, by a wrong key with a high counter, without a key, with a counter used before."""
    wrong = sensor(Kind.SMOKE, SMOKE, bytes(16), counter=9_000)
    plain = sensor(Kind.SMOKE, SMOKE, None)
    equal = sensor(Kind.SMOKE, SMOKE)
    for one in (wrong, plain, equal):
        one.show(on=True)
    return {"mic": wrong.advert(), "plain": plain.advert(), "old_counter": equal.advert()}


async def _refused(air_of: Bluez, gateway: Daemon, reason: str, forged: Advert) -> None:
    """Advertised until it has been refused for this reason once more."""

    def refused(snapshot: Snapshot) -> int:
        return snapshot["devices"][0]["errors"].get(reason, 0)

    before = refused(await gateway.status())
    async with asyncio.timeout(10):
        while refused(await gateway.status()) == before:
            air_of.advertise(sensor(Kind.SMOKE, SMOKE).peripheral, forged)
            await asyncio.sleep(0.05)


async def _burn(air_of: Bluez, gateway: Daemon) -> list[bytes]:
    real, frames = sensor(Kind.SMOKE, SMOKE), []
    for number, on in enumerate((True, False), 1):
        real.show(on=on)
        frames.append(real.frame)
        await air(air_of, real, 1)
        async with asyncio.timeout(10):
            while await alarms(gateway.state_dir) < number:
                await asyncio.sleep(0.01)
    return frames


async def test_recorded_and_forged_frames_raise_nothing_after_kill_9(tmp_path: Path) -> None:
    assert await replayed(tmp_path) == 2


async def test_without_stored_counters_recorded_frames_raise_the_alarm_again(
    tmp_path: Path,
) -> None:
    assert await replayed(tmp_path, "forget_counters") > 2
