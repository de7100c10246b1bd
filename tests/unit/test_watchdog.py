"""What systemd is told, and when its watchdog goes hungry."""

import os
import socket
from pathlib import Path

import pytest

from gateway.beat import Beat
from gateway.lag import Lag
from gateway.systemd import Systemd
from gateway.watchdog import Stage, Watchdog
from tests.harness.manager import manager

NEVER_LATE_S, ALWAYS_LATE_S = 60.0, -1.0


def dog(*stages: Stage, systemd: Systemd | None = None) -> Watchdog:
    return Watchdog(systemd or Systemd({}), Lag(), lambda: stages)


def test_a_stage_that_does_not_turn_within_its_deadline_is_named() -> None:
    fine, late = Stage("ingest", Beat(), NEVER_LATE_S), Stage("commit", Beat(), ALWAYS_LATE_S)
    assert dog(fine).complaint(0.0) == ""
    assert "commit has not turned" in dog(fine, late).complaint(0.0)


def test_a_loop_that_was_blocked_for_five_seconds_is_a_complaint_once() -> None:
    assert dog().complaint(4.9) == ""
    assert "blocked for 5 s" in dog().complaint(5.0)
    watched = Lag()
    watched._worst = 6_000.0
    one = Watchdog(Systemd({}), watched, lambda: ())
    assert "blocked for 6 s" in one.complaint(0.0)
    assert one.complaint(0.0) == ""


async def test_what_does_not_get_on_is_told_and_not_fed(tmp_path: Path) -> None:
    with manager(tmp_path / "notify", 30.0) as hears:
        one = dog(systemd=Systemd(hears.environ))
        one._feed("commit has not turned for 301 s")
        one._feed("")
        await hears.until("STATUS=running")
    assert [said.line for said in hears.said] == [
        "STATUS=not fed: commit has not turned for 301 s", "WATCHDOG=1", "STATUS=running",
    ]  # fmt: skip


async def test_a_reload_is_announced_with_its_time(tmp_path: Path) -> None:
    with manager(tmp_path / "notify", 30.0) as hears:
        systemd = Systemd(hears.environ)
        systemd.reloading()
        systemd.ready(3)
        await hears.until("STATUS=running, devices: 3")
    reloading, at, ready, _ = [said.line for said in hears.said]
    assert (reloading, ready) == ("RELOADING=1", "READY=1")
    assert at.startswith("MONOTONIC_USEC=")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_runs_when_systemd_asks_this_process_for_it(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert Systemd(environ).watchdog_s == seconds


def test_a_service_manager_that_is_gone_is_counted_and_hurts_nobody(tmp_path: Path) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    systemd.alive()
    systemd.alive()
    assert systemd.lost == 2


def test_an_abstract_socket_is_understood() -> None:
    name = f"gateway-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(f"\0{name}")
        Systemd({"NOTIFY_SOCKET": f"@{name}"}).alive()
        assert hears.recv(100) == b"WATCHDOG=1"
