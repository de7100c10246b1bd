"""`gateway devices`: the list, and who is not configured."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from gateway import control
from gateway.cli.devices import introduced
from gateway.cli.main import main
from gateway.config import load_config
from gateway.health import DeviceHealth
from gateway.snapshot import Snapshot, StrangerPart
from gateway.status import snapshot
from tests.unit.status_site import Site, healthy

CONFIG = """\
version: 1
gateway: {id: gw-test-01, timezone: UTC, state_dir: state}
links:
  field: {driver: mqtt, url: "mqtt://127.0.0.1"}
devices:
  lamp-1: {profile: streetlight-native, link: field, topic_id: lamp-1}
"""
LAMP = ["id", "values.light.level", "values.light.on", "values.colour"]


def stranger(name: str, *keys: str) -> StrangerPart:
    return {
        "link": "field", "name": name, "topic": f"d/{name}/state", "count": 17, "first_s": 60.0,
        "last_s": 2.0, "keys": list(keys),
    }  # fmt: skip


FOUND = [
    stranger("Lamp-1", *LAMP), stranger("1e3", *LAMP), stranger("lamp?", *LAMP),
    stranger("pump", "values.pump.speed", "values.light.on", "values.pump.on"), stranger("noise"),
]  # fmt: skip


class Daemon:
    """The control socket of a gateway with a stranger or more."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.site: Site = healthy()
        self.found = FOUND

    async def status(self, _request: Mapping[str, object], _uid: int) -> Snapshot:
        return snapshot(self.site)

    async def unknown(self, _request: Mapping[str, object], _uid: int) -> list[StrangerPart]:
        return self.found

    async def call(self, *arguments: str) -> int:
        return await asyncio.to_thread(main, ["devices", *arguments, "-c", str(self.config)])


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    (tmp_path / "state").mkdir()
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG)
    one = Daemon(config)
    verbs: dict[str, control.Handler] = {"status": one.status, "unknown": one.unknown}
    async with control.serve(tmp_path / "state", verbs):
        yield one


async def test_the_list_says_how_each_device_is_acknowledged(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    told = DeviceHealth(online=False, level="L1", note="no message ids: at least once")
    daemon.site.drivers["meters"].devices["meter-1"] = told
    assert await daemon.call("--json") == 0
    part = json.loads(capsys.readouterr().out)[0]
    assert (part["id"], part["level"], part["online"]) == ("meter-1", "L1", False)
    assert await daemon.call() == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "meter-1" in line)
    assert all(word in row for word in ("no ", "L1"))


async def test_the_lines_for_strangers_can_be_pasted(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await daemon.call("--unknown") == 0
    page = capsys.readouterr().out
    lines = page.split("gateway.yaml:\n\n")[1]
    assert lines.count("streetlight-native") == 2
    daemon.config.write_text(CONFIG + lines)
    config = await asyncio.to_thread(load_config, daemon.config)
    assert list(config.devices) == ["lamp-1", "lamp-1-2", "1e3"]
    assert await daemon.call("--unknown", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [x["profile"] for x in told] == ["streetlight-native"] * 3 + [None] * 2
    assert [x["yaml"] is None for x in told] == [False, False, True, True, True]


async def test_without_strangers_it_says_so(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.found = []
    assert await daemon.call("--unknown") == 0
    assert capsys.readouterr().out == "Nobody speaks who is not configured\n"


def test_a_profile_that_cannot_be_read_keeps_no_other_from_being_guessed(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "broken.yaml").write_text("profile: [")
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG + "profiles: [profiles]\n")
    (found,) = introduced([stranger("new", *LAMP)], config)
    assert found.profile == "streetlight-native"
