"""What the packages are made from: the lock file, and the unit."""

import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.app import AUDIT_S, CLOSE_S, DRAIN_S
from gateway.control import CLOSE_S as CONTROL_S
from gateway.supervise import STOP_S
from release import target
from release.deb import FILES, ROOT
from release.lock import read

UNIT = FILES / "systemd/community-gateway.service"
SLACK_S = 5.0


def settings() -> dict[str, str]:
    lines = (line.partition("=") for line in UNIT.read_text().splitlines())
    return {key: value for key, _, value in lines if value}


def test_every_package_of_the_lock_is_known_with_its_hashes() -> None:
    pins = read(ROOT / "requirements.lock")
    assert {"uvloop", "pymodbus", "pydantic-core"} <= {pin.name for pin in pins}
    text = (ROOT / "requirements.lock").read_text()
    assert sum(len(pin.hashes) for pin in pins) == text.count("--hash")
    assert all(pin.on_linux != pin.name.startswith(("winrt", "pyobjc")) for pin in pins)


def test_a_package_without_a_hash_is_refused_by_name(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("rich==15.0.0 \\\n    --hash=sha256:" + "0" * 64 + "\nuvloop==0.23.0\n")
    with pytest.raises(ValueError, match=r"uvloop==0\.23\.0"):
        read(lock)


def test_systemd_waits_longer_for_a_stop_than_the_stages_of_a_stop_may_take() -> None:
    # Drivers, what is still to be sent, sinks, the core; then audit, journal, control socket.
    stages_s = STOP_S + DRAIN_S + STOP_S + STOP_S + AUDIT_S + CLOSE_S + CONTROL_S
    assert stages_s + SLACK_S <= float(settings()["TimeoutStopSec"])


def test_refusals_that_a_restart_cannot_mend_are_not_repeated() -> None:
    assert settings()["RestartPreventExitStatus"].split() == ["73", "74", "78"]


def test_the_sandbox_of_the_unit_scores_at_most_2() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: apt install systemd")
    asked = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_a_release_that_fails_is_gone_back_from_within_90_seconds() -> None:
    # Stopping it may take as long as systemd allows, but then it has answered, and the old one is not waited for.
    assert target.TRIAL_S + target.BACK_S + 2 * target.POLL_S + SLACK_S <= 90.0
    assert target.STEADY_S < target.BACK_S
