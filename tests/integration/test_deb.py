"""The Debian package, installed into a clean Debian without network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.debian import Root, base, package, root

pytestmark = pytest.mark.timeout(240)  # the first run fetches a Debian: 50 s


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def bookworm(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """The package is installed in it."""
    below = base("bookworm")
    with root(below, tmp_path_factory.mktemp("bookworm")) as there:
        there.run("dpkg", "--install", there.put(deb))
        yield there


def test_the_package_installs_without_network_and_the_starter_is_accepted(bookworm: Root) -> None:
    assert bookworm.run("gateway", "--version").stdout.strip()
    bookworm.run("gateway", "init", "/etc/gateway")
    assert ": ok: " in bookworm.run("gateway", "check", "/etc/gateway/gateway.yaml").stdout


def test_the_user_of_the_gateway_owns_its_records_and_may_read_but_not_write_its_configuration(
    bookworm: Root,
) -> None:
    bookworm.run("gateway", "init", "/etc/gateway", check=False)
    as_gateway = ("setpriv", "--reuid=gateway", "--regid=gateway", "--init-groups")
    bookworm.run(*as_gateway, "gateway", "check", "/etc/gateway/gateway.yaml")
    bookworm.run(*as_gateway, "touch", "/var/lib/gateway/x")
    assert bookworm.run(*as_gateway, "touch", "/etc/gateway/x", check=False).returncode != 0
    assert "dialout" in bookworm.run("id", "gateway").stdout


def test_the_service_starts_at_boot(bookworm: Root) -> None:
    wanted = Path("etc/systemd/system/multi-user.target.wants/community-gateway.service")
    assert (bookworm.path / wanted).is_symlink()


def test_a_damaged_wheel_is_refused_and_the_release_before_stays(bookworm: Root) -> None:
    wheel = next((bookworm.path / "usr/lib/community-gateway/wheels").glob("rich-*.whl"))
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[:1000] + b"\0" + whole[1001:])
    try:
        done = bookworm.run("gateway-release", "install", "/usr/lib/community-gateway", check=False)
    finally:
        wheel.write_bytes(whole)
    assert done.returncode == 1
    assert "rich" in done.stderr
    assert "the package is damaged" in done.stderr
    releases = bookworm.run("gateway-release", "list").stdout.split("\n")
    assert [line for line in releases if line] == [f"{_version(bookworm)} (current)"]
    assert len(list((bookworm.path / "opt/community-gateway/releases").iterdir())) == 1


def test_the_same_commit_makes_the_same_package(deb: Path, tmp_path: Path) -> None:
    assert package(tmp_path).read_bytes() == deb.read_bytes()


def test_removing_keeps_what_was_recorded_and_purging_does_not(bookworm: Root) -> None:
    (bookworm.path / "var/lib/gateway/core.db").touch()
    bookworm.run("dpkg", "--remove", "community-gateway")
    assert (bookworm.path / "var/lib/gateway/core.db").exists()
    assert not (bookworm.path / "opt/community-gateway").exists()
    bookworm.run("dpkg", "--purge", "community-gateway")
    assert not (bookworm.path / "var/lib/gateway").exists()
    assert not (bookworm.path / "etc/gateway").exists()


def _version(there: Root) -> str:
    return there.run("gateway", "--version").stdout.strip()


@pytest.mark.chaos
def test_the_package_installs_on_the_debian_after_it_too(deb: Path, tmp_path: Path) -> None:
    with root(base("trixie"), tmp_path) as there:
        there.run("dpkg", "--install", there.put(deb))
        assert "3.13" in there.run("/opt/community-gateway/current/bin/python", "--version").stdout
        there.run("gateway", "init", "/etc/gateway")
        there.run("gateway", "check", "/etc/gateway/gateway.yaml")
