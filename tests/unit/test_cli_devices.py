"""`gateway devices`: the list, and who is not configured."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from gateway import control
from gateway.cli import hearing_page
from gateway.cli.main import main
from gateway.cli.strangers import introduced
from gateway.config import load_config
from gateway.health import DeviceHealth
from gateway.rekey import rekeying
from gateway.snapshot import HearingPart, Snapshot, StrangerPart
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
        self.rekeyed: list[str] = []

    async def status(self, _request: Mapping[str, object], _uid: int) -> Snapshot:
        return snapshot(self.site)

    async def unknown(self, _request: Mapping[str, object], _uid: int) -> list[StrangerPart]:
        return self.found

    def rekey(self, device: str) -> None:
        """As a driver does."""
        if device == "meter-2":
            raise ValueError("meter-2: it has no key")
        self.rekeyed.append(f"driver {device}")

    def forget(self, device: str) -> None:
        self.rekeyed.append(f"journal {device}")

    async def call(self, *arguments: str) -> int:
        return await asyncio.to_thread(main, ["devices", *arguments, "-c", str(self.config)])


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    (tmp_path / "state").mkdir()
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG)
    one = Daemon(config)
    one.site.device("lamp-1", "lamps")
    rekey = rekeying(one.site.devices, {"meters": one, "lamps": object()}, one.forget)
    verbs: dict[str, control.Handler] = {
        "status": one.status, "unknown": one.unknown, "rekey": rekey,
    }  # fmt: skip
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


HEARING: HearingPart = {
    "adverts": 312, "rssi": -71, "share": 0.62, "silent_s": 4.0,
    "gaps": {"<= 1 s": 200, "<= 30 s": 50, "> 600 s": 1}, "longest_gap_s": 31.5,
    "heard": "doubtful", "why": "only 62% of what it sends is heard",
}  # fmt: skip


async def test_the_list_says_whether_an_alarm_would_be_heard(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await daemon.call() == 0
    assert "heard" not in capsys.readouterr().out

    daemon.site.drivers["meters"].devices["meter-1"] = DeviceHealth(hearing=lambda _now: HEARING)
    assert await daemon.call("--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["hearing"] == HEARING
    assert await daemon.call() == 0
    assert "doubtful" in capsys.readouterr().out


def test_the_page_of_a_device_shows_how_well_it_is_heard() -> None:
    assert list(hearing_page.lines(HEARING)) == [
        "Would an alarm be heard? doubtful: only 62% of what it sends is heard",
        "  312 receptions in the last hours, 62% of what it sends, -71 dBm",
        "  last one 4 s ago, longest gap 31.5 s",
        "    <= 1 s  ######################################## 200",
        "   <= 30 s  ########## 50",
        "   > 600 s  # 1",
    ]
    silent: HearingPart = {**HEARING, "silent_s": None, "heard": "unknown", "why": "not heard yet"}
    assert list(hearing_page.lines(silent)) == ["Would an alarm be heard? unknown: not heard yet"]


async def test_a_device_is_rekeyed_in_its_driver_and_in_the_journal(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await daemon.call("rekey", "meter-1") == 0
    assert daemon.rekeyed == ["driver meter-1", "journal meter-1"]
    assert "the next message counts as the first" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("rekey", "metre-1"), 1, "unknown device 'metre-1': did you mean 'meter-1'?"),
        (("rekey", "meter-2"), 1, "meter-2: it has no key"),
        (("rekey", "lamp-1"), 1, "lamp-1: its messages carry no counter against replay"),
        (("rekey", "meter-1", "meter-2"), 64, "write one DEVICE, or: rekey DEVICE"),
        (("meter-1", "meter-2"), 64, "write one DEVICE, or: rekey DEVICE"),
    ],
)
async def test_a_rekey_that_cannot_be_says_why_and_forgets_nothing(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, told: str
) -> None:
    assert await daemon.call(*words) == code
    assert told in capsys.readouterr().err
    assert daemon.rekeyed == []


async def test_without_strangers_it_says_so(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.found = []
    assert await daemon.call("--unknown") == 0
    assert capsys.readouterr().out == "Nobody speaks who is not configured\n"


def test_a_stranger_of_another_make_gets_its_parts_of_the_topic(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG)
    part = stranger("hall-1", "state", "brightness", "linkquality") | {"topic": "zb/north/hall-1"}
    (found,) = introduced([part], config)
    wanted = (
        'profile: zigbee2mqtt-light, link: field, topic_id: "hall-1", captures: {"base":"zb/north"}'
    )
    assert found.snippet == f"hall-1: {{{wanted}}}"
    config.write_text(config.read_text() + f"  {found.snippet}\n")
    assert load_config(config).devices["hall-1"].profile.profile == "zigbee2mqtt-light"


def test_a_profile_that_cannot_be_read_keeps_no_other_from_being_guessed(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "broken.yaml").write_text("profile: [")
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG + "profiles: [profiles]\n")
    (found,) = introduced([stranger("new", *LAMP)], config)
    assert found.profile == "streetlight-native"
