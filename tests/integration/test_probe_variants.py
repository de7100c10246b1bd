"""`gateway check` and `gateway probe` with profiles that leave a choice open."""

import asyncio
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config import load_config
from gateway.errors import ConfigError
from simulators.modbus import SimMeter, serve
from tests.harness.modbus import shipped

DTSU = shipped("chint-dtsu666")
NOISE = """\
profile: noise
type: noise
facility: environment
protocol: modbus
sources: ["manual: 0.1 dB", "somebody's code: whole dB"]
status: contested
defaults: {at: {table: holding, type: u16}}
points:
  - {id: env.noise, unit: dB, at: 0, contested: {tenths: {scale: "0.1"}, whole: {scale: "1"}}}
vectors:
  - {name: 45.1 dB, request: "01 03 00 00 00 01 84 0A", response: "01 03 02 01 C3 F9 85", decisions: {env.noise: tenths}, values: {env.noise: 45.1}}
  - {name: 451 dB, request: "01 03 00 00 00 01 84 0A", response: "01 03 02 01 C3 F9 85", decisions: {env.noise: whole}, values: {env.noise: 451}}
"""
CONFIG = """\
version: 1
gateway: {id: gw-test-01, timezone: Asia/Shanghai, state_dir: state}
profiles: [.]
links:
  bus: {driver: modbus, host: 127.0.0.1}
devices:
"""


def written(folder: Path, device: str) -> Path:
    (folder / "noise.yaml").write_text(NOISE, encoding="utf-8")
    path = folder / "gateway.yaml"
    path.write_text(f"{CONFIG}  d-1: {device}\n", encoding="utf-8")
    return path


def said(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return [f"{p.path}: {p.what}: {p.fix}" for p in caught.value.problems]


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("{profile: noise, link: bus}", "devices.d-1: sources disagree about env.noise of profile 'noise': find out which is right, then add decisions: {env.noise: tenths | whole}"),
        ("{profile: noise, link: bus, decisions: {env.noise: tenth}}", "devices.d-1.decisions.env.noise: no choice 'tenth': did you mean 'tenths'?"),
        ("{profile: renke-wind, link: bus, decisions: {env.wind.speed: x}}", "devices.d-1.decisions.env.wind.speed: nothing is contested about 'env.wind.speed' in profile 'renke-wind': remove it"),
        ("{profile: chint-dtsu666, link: bus, variant: gen2018}", "devices.d-1.variant: profile 'chint-dtsu666' has no variant 'gen2018': did you mean 'gen2019'?"),
        ("{profile: chint-dtsu666, link: bus, vars: {ct: 0}}", "devices.d-1.vars.ct: 0 is outside 1 to 9999: look at the type plate"),
        ('{profile: gst-fire-panel, link: bus, labels: {fire.device: {243: "x"}}}', "devices.d-1.labels.fire.device.243: fire.device has no element 243: write 1 to 242"),
    ],
)  # fmt: skip
def test_a_choice_that_is_missing_or_wrong_is_refused(
    tmp_path: Path, device: str, problem: str
) -> None:
    assert problem in said(written(tmp_path, device))


def test_a_decided_device_is_right_and_a_panel_without_labels_is_noted(tmp_path: Path) -> None:
    device = "{profile: noise, link: bus, decisions: {env.noise: whole}}"
    assert load_config(written(tmp_path, device)).notes == ()
    notes = load_config(written(tmp_path, "{profile: gst-fire-panel, link: bus}")).notes
    assert any("no labels for fire.device" in note.what for note in notes)


async def test_a_probe_says_which_variant_it_is_and_what_to_write() -> None:
    meter = SimMeter(
        "m", DTSU, 5, ("gen2019", "energy-401e"), {"ct": Decimal(40), "pt": Decimal(1)}
    )
    async with serve("127.0.0.1", 0, [meter]) as farm:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import sys; from gateway.cli.main import main; sys.exit(main())",
            "probe", "modbus", f"tcp://127.0.0.1:{farm.port}", "--identify", "5",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(15):
            out, err = await process.communicate()
    text = out.decode()
    assert process.returncode == 0, err.decode()
    assert "chint-dtsu666 (Chint DTSU666) fits" in text
    assert "gen2019: register 0x000c is 0, elec.voltage.a is" in text
    assert "profile: chint-dtsu666, link: bus-1, unit: 5, variant: [gen2019, energy-401e]" in text
