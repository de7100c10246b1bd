"""The package on a machine with a real systemd: sandbox, watchdog, upgrades, power cuts. Long."""

import json
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.debian import base, package, root
from tests.harness.machine import Machine, machine
from tests.harness.variant import dies_at_once, dies_soon, variant, works

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

UNIT = "community-gateway"
HOME = Path("usr/lib/community-gateway")
ROLLBACK_S = 90.0
CUTS = 20
CREDENTIAL = """\
version: 1
gateway: {id: gw-site-01, timezone: UTC}
links: {lights: {driver: mqtt, url: "mqtt://127.0.0.1", username: gateway, password: "${credential:lights}"}}
devices: {light-1: {profile: streetlight-native, link: lights, topic_id: l1}}
"""
SIMULATION = """\
[Service]
ExecStart=/usr/bin/gateway simulate /etc/gateway/gateway.yaml
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Machine]:
    """Installed as the page says, with the starter configuration; its meter is simulated."""
    below = base("bookworm")
    with root(below, tmp_path) as there, machine(there.path) as one:
        one.run("dpkg", "--install", there.put(package(tmp_path / "dist")))
        one.run("gateway", "init", "/etc/gateway")
        (there.path / "etc/systemd/system/simulation.service").write_text(SIMULATION)
        one.run("systemctl", "enable", "--now", "simulation.service")
        one.run("systemctl", "start", UNIT)
        healthy(one)
        yield one


def status(one: Machine) -> dict[str, object]:
    done = one.call("gateway", "status", "--json")
    return dict(json.loads(done.stdout)) if done.stdout else {}


def healthy(one: Machine, within_s: float = 60.0) -> None:
    one.until("gateway", "status", "--json", says='"word": "healthy"', within_s=within_s)


def shown(one: Machine, *properties: str) -> list[str]:
    asked = [f"--property={name}" for name in properties]
    return one.run("systemctl", "show", "--value", *asked, UNIT).split()


def records(one: Machine) -> list[str]:
    return one.run("gateway", "store", "export", "--format", "jsonl").splitlines()


def current(one: Machine) -> str:
    return (one.path / "opt/community-gateway/current").readlink().name


def release(one: Machine, version: str, change: object) -> str:
    """A folder in it to install from."""
    variant(one.path / HOME, one.path / "root" / version, version, change)  # type: ignore[arg-type]
    return f"/root/{version}"


def test_the_daemon_works_in_its_sandbox_and_is_restarted_when_it_hangs(site: Machine) -> None:
    (pid,) = shown(site, "MainPID")
    kernel = site.run("cat", f"/proc/{pid}/status")
    assert "CapEff:\t0000000000000000" in kernel
    assert "NoNewPrivs:\t1" in kernel
    assert "Seccomp:\t2" in kernel
    site.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", UNIT)
    site.until("systemctl", "show", "--property=NRestarts", UNIT, says="NRestarts=1", within_s=60)
    healthy(site)
    assert "Watchdog timeout" in site.run("journalctl", "-u", UNIT, "--no-pager")
    site.run("systemctl", "stop", UNIT)
    (result,) = shown(site, "Result")
    assert result == "success"


def test_a_secret_of_root_alone_comes_as_a_credential(site: Machine) -> None:
    etc, secret = site.path / "etc", site.path / "etc/gateway/secrets/lights"
    secret.write_text("the password")
    secret.chmod(0o600)
    (etc / "gateway/gateway.yaml").write_text(CREDENTIAL)
    drop_in = etc / "systemd/system/community-gateway.service.d/secret.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nLoadCredential=lights:/etc/gateway/secrets/lights\n")
    site.run("systemctl", "daemon-reload")
    site.run("systemctl", "restart", UNIT)
    assert shown(site, "ActiveState") == ["active"]
    told = json.loads(site.call("gateway", "doctor", "--json").stdout)["findings"]
    assert ("configuration", "ok") in {(one["check"], one["state"]) for one in told}, told


@pytest.mark.parametrize("change", [dies_at_once, dies_soon])
def test_an_upgrade_loses_no_record_and_one_that_fails_goes_back_in_time(
    site: Machine, change: object
) -> None:
    before = records(site)
    site.run("gateway-release", "install", release(site, "0.8.0", works))
    assert status(site)["version"] == "0.8.0"
    began = time.monotonic()
    done = site.call("gateway-release", "install", release(site, "0.9.0", change))
    took_s = time.monotonic() - began
    assert done.returncode == 1
    assert "release 0.8.0 runs again" in done.stderr
    assert took_s < ROLLBACK_S + 60, "making the release counts too"
    print(f"back after {took_s:.0f} s, the installation in it")
    assert (current(site), status(site)["version"]) == ("0.8.0", "0.8.0")
    site.run("gateway", "store", "verify")
    assert records(site)[: len(before)] == before
    site.run("gateway-release", "rollback")
    assert status(site)["version"] != "0.8.0"


def test_the_power_goes_while_it_is_upgraded(site: Machine) -> None:
    chance, before = random.Random(13), records(site)
    folders = [release(site, "0.8.0", works), release(site, "0.9.0", dies_soon)]
    for cut in range(CUTS):
        asked = [*site.inside(), "gateway-release", "--trial", "25", "install", folders[cut % 2]]
        with subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as one:
            wait_s = chance.uniform(0.0, 80.0)
            with suppress(subprocess.TimeoutExpired):
                one.wait(wait_s)
            site.cut()
        site.boot()
        site.until("gateway-release", "list", says="(current)", within_s=ROLLBACK_S)
        healthy(site, ROLLBACK_S)
        assert (
            not current(site).startswith("0.9.0")
            or (site.path / "opt/community-gateway/trial.json").exists()
        )
        print(f"cut {cut + 1} after {wait_s:.1f} s: {current(site)}")
    site.run("gateway", "store", "verify")
    assert records(site)[: len(before)] == before
