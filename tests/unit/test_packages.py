"""What belongs together is all there: a driver without its simulator or page is half a driver."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from gateway.document import load, mapping_at
from gateway.driver import installed
from gateway.own import PROFILE
from gateway.profile import load_profile, shipped_folder

ROOT = Path(__file__).parents[2]
PAGES = {"ble": "ble.md", "modbus": "modbus.md", "mqtt": "mqtt-devices.md"}
SIMULATORS = {"ble": "bluez/bluez.py", "modbus": "modbus.py", "mqtt": "lights.py"}


@pytest.mark.parametrize("name", installed())
def test_a_driver_comes_with_profile_simulator_tests_and_page(name: str) -> None:
    spec = installed()[name]()
    assert spec.name == name
    profiles = [load_profile(path)[0] for path in shipped_folder().glob("*.yaml")]
    assert any(profile.protocol in spec.protocols for profile in profiles)
    assert (ROOT / "simulators" / SIMULATORS[name]).is_file()
    assert (ROOT / "tests" / "integration" / f"test_{name}_driver.py").is_file()
    assert (ROOT / "docs" / PAGES[name]).is_file()


# What the gateway tells of itself comes over no protocol.
PROFILES = [path for path in sorted(shipped_folder().glob("*.yaml")) if path.stem != PROFILE]


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_a_shipped_profile_is_right_and_says_where_it_comes_from(path: Path) -> None:
    profile, document = load_profile(path)
    (spec,) = [load() for load in installed().values() if profile.protocol in load().protocols]
    assert list(spec.check_profile(profile)) == []
    assert profile.sources
    assert profile.vectors
    assert mapping_at(document.value)["profile"] == path.stem


def test_every_shipped_yaml_file_is_read_by_somebody() -> None:
    configs = Path(str(files("configs")))
    known = {"profiles", "rules", "demo"}
    strangers = [
        path
        for path in configs.rglob("*.yaml")
        if path.parent.name not in known
        and path.name not in {"starter.yaml", "asyncapi.yaml", "profile.yaml"}
    ]
    assert strangers == []
    for path in configs.rglob("*.yaml"):
        load(path)


def test_without_a_ble_link_nothing_of_bluetooth_is_imported() -> None:
    """Configurations load every driver's checks; the libraries are for those who use them."""
    script = (
        "import sys; from gateway.driver import installed; [load() for load in installed().values()];"
        "sys.exit(', '.join({'bleak', 'dbus_fast', 'cryptography'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
