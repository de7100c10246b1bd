"""The clocks of the machine."""

import time
from pathlib import Path

import pytest

from gateway import clock
from gateway.clock import RELEASE_TIME_NS, SystemClock, boot_id


def test_the_wall_clock_is_utc_and_the_other_counts_from_boot() -> None:
    one = SystemClock()
    assert abs(one.time_ns() - time.time_ns()) < 1_000_000_000
    first = one.boottime_ns()
    assert 0 < first <= one.boottime_ns()
    assert one.boot == 0


@pytest.mark.parametrize(
    ("systemd", "synchronized", "ok"),
    [(False, False, True), (True, False, False), (True, True, True), (False, True, True)],
)
def test_the_wall_clock_is_right_when_systemd_says_so_or_is_not_there(
    systemd: bool,
    synchronized: bool,
    ok: bool,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path_factory.mktemp("run")
    for name, there in (("_SYSTEMD", systemd), ("_SYNCHRONIZED", synchronized)):
        monkeypatch.setattr(clock, name, folder / name)
        if there:
            (folder / name).touch()
    assert SystemClock().ok is ok


def test_a_clock_that_was_set_later_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"now": 0}
    monkeypatch.setattr(SystemClock, "time_ns", lambda _: times["now"])
    one = SystemClock()
    assert not one.ok, "a Pi boots in 1970"
    times["now"] = RELEASE_TIME_NS
    monkeypatch.setattr(clock, "_SYSTEMD", Path("/nonexistent"))
    one.refresh()
    assert one.ok


def test_the_boot_has_an_id_or_none_where_it_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    assert boot_id() == boot_id()
    monkeypatch.setattr(clock, "_BOOT_ID", Path("/nonexistent"))
    assert boot_id() == ""


def test_where_nobody_can_be_asked_a_clock_that_shows_less_than_it_did_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "_SYSTEMD", Path("/nonexistent"))
    times = {"now": RELEASE_TIME_NS + 10**15}
    monkeypatch.setattr(SystemClock, "time_ns", lambda _: times["now"])
    SystemClock().remember(tmp_path)
    times["now"] -= 10**12
    one = SystemClock()
    one.remember(tmp_path)
    assert not one.ok
    times["now"] += 10**12
    one.refresh()
    assert one.ok


def test_a_clock_that_ran_ahead_by_decades_does_not_make_us_doubt_it_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "_SYSTEMD", Path("/nonexistent"))
    times = {"now": RELEASE_TIME_NS + 56 * 365 * 86_400 * 10**9}
    monkeypatch.setattr(SystemClock, "time_ns", lambda _: times["now"])
    SystemClock().remember(tmp_path)
    times["now"] = RELEASE_TIME_NS + 21 * 365 * 86_400 * 10**9
    one = SystemClock()
    one.remember(tmp_path)
    assert one.ok


@pytest.mark.parametrize(("says", "ok"), [("yes", True), ("no", False), ("", False)])
def test_where_chrony_keeps_the_time_timedatectl_is_asked(
    says: str, *, ok: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "timedatectl"
    tool.write_text(f"#!/bin/sh\necho {says}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(clock, "_SYSTEMD", tmp_path)
    monkeypatch.setattr(clock, "_SYNCHRONIZED", tmp_path / "nowhere")
    one = SystemClock()
    assert not one.ok
    one.refresh()
    assert one.ok is ok
