"""Home alarms and the whole gateway: what a person sees, asks and decides."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from gateway.snapshot import Snapshot
from simulators.bluez.bluez import Bluez
from simulators.bluez.sensor import Kind, Sensor
from tests.harness.ble import KEY, SMOKE, air, sensor
from tests.harness.bluez import bluez, needs_dbus
from tests.harness.daemon import Daemon
from tests.harness.gatt import ADDRESS, Pendant

pytestmark = needs_dbus

CONFIG = f"""\
version: 1
gateway: {{id: gw-ble-01, timezone: UTC, state_dir: state}}
links:
  home: {{driver: ble}}
devices:
  smoke-1: {{profile: bthome-smoke, link: home, address: "{SMOKE}", key: "${{file:smoke.key}}"}}
  pendant-1: {{profile: ble-alert, link: home, address: "{ADDRESS}"}}
store: {{group_commit: 1s}}
"""


class Home(NamedTuple):
    bluez: Bluez
    daemon: Daemon

    async def gateway(self, *arguments: str) -> str:
        """What a command of the gateway prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import sys; from gateway.cli.main import main; sys.exit(main())",
            *arguments, "-c", str(self.daemon.config), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out.decode()

    async def smoke(self) -> object:
        """The last value of the detector."""
        (device,) = await self.daemon.ask("devices", device="smoke-1")
        return {one["point"]: one["value"] for one in device["points"]}.get("alarm.smoke")

    async def shows(self, one: Sensor, *, on: bool) -> None:
        one.show(on=on)
        async with asyncio.timeout(10):
            while await self.smoke() is not on:
                await air(self.bluez, one)


@asynccontextmanager
async def home(folder: Path) -> AsyncIterator[Home]:
    config = folder / "gateway.yaml"
    config.write_text(CONFIG)
    (folder / "smoke.key").write_text(KEY.hex())
    (folder / "smoke.key").chmod(0o600)
    async with bluez() as running, asyncio.TaskGroup() as tasks:
        pendant = Pendant(running)
        pendant.peripheral.bonded = True
        sending = tasks.create_task(pendant.advertise())
        daemon = Daemon(config, folder / "state")
        try:
            await daemon.start()
            await daemon.until(lambda status: any(x["id"] == "pendant-1" and x["live"] for x in status["devices"]))  # fmt: skip
            yield Home(running, daemon)
            assert await daemon.stop() == 0
        finally:
            await daemon.stop()
            sending.cancel()


async def test_a_person_rekeys_a_device_after_a_battery_change_and_the_audit_log_knows(
    tmp_path: Path,
) -> None:
    async with home(tmp_path) as site:
        await site.shows(sensor(Kind.SMOKE, SMOKE), on=True)
        restarted = sensor(Kind.SMOKE, SMOKE, counter=2_000)
        restarted.show(on=False)
        await air(site.bluez, restarted)
        await site.daemon.until(
            lambda status: any("rekey smoke-1" in device["note"] for device in status["devices"])
        )
        assert await site.smoke() is True

        said = await site.gateway("devices", "rekey", "smoke-1")

        assert "its counter is forgotten" in said
        await site.shows(restarted, on=False)
        log = [
            json.loads(line)
            for line in (await site.gateway("audit", "list", "--json")).splitlines()
        ]
        (entry,) = [line for line in log if line["what"] == "rekey"]
        assert entry["result"] == "done"
        assert "smoke-1" in entry["about"]["request"]


async def test_the_list_says_whether_an_alarm_would_be_heard(tmp_path: Path) -> None:
    async with home(tmp_path) as site:
        one = sensor(Kind.SMOKE, SMOKE)
        for _ in range(25):
            one.renew()
            await air(site.bluez, one, copies=2)
        await site.daemon.until(heard_well)

        page = await site.gateway("devices")
        detail = await site.gateway("devices", "smoke-1")

        row = next(line for line in page.splitlines() if line.startswith("smoke-1"))
        assert " yes " in row
        assert "Would an alarm be heard? yes: 100% heard" in detail
        pendant = next(line for line in page.splitlines() if line.startswith("pendant-1"))
        assert "yes" in pendant


def heard_well(status: Snapshot) -> bool:
    parts = [device["hearing"] for device in status["devices"]]
    return any(part is not None and part["heard"] == "yes" for part in parts)
