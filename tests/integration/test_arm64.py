"""The package for a Raspberry Pi, installed and run in an emulated arm64 Debian: `make deb-arm`. Long."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.debian import Root, base, package, root

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

SLOW_S = 1200.0  # qemu-user is about 20 times slower than the machine it runs on


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[Root]:
    below = base("bookworm", "arm64")
    with root(below, tmp_path) as there:
        deb = there.put(package(tmp_path / "dist", "arm64"))
        there.run("dpkg", "--install", deb, within_s=SLOW_S)
        yield there


def test_the_simulated_compound_runs_on_arm64(pi: Root) -> None:
    assert pi.run("uname", "-m").stdout == "aarch64\n"
    pi.run("gateway", "init", "/etc/gateway", within_s=SLOW_S)
    pi.run("gateway", "check", "/etc/gateway/gateway.yaml", within_s=SLOW_S)
    python = "/opt/community-gateway/current/bin/python"
    # Emulated it may take longer than a minute until the last lamp has reported: degraded is fine.
    told = pi.run(python, "-m", "simulators.demo", "--for", "60", within_s=SLOW_S, check=False)
    last = told.stdout[told.stdout.rindex("Links") :]
    assert told.returncode in {0, 1}, told.stdout[-3000:] + told.stderr
    for line in ("meters  modbus  up", "lights  mqtt    up", "platform  up"):
        assert line in last, last
