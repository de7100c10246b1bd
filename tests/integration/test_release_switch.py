"""Upgrades that are killed, and releases that do not work: the machine always comes back with one that does."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.switching import Box, box

OLD, NEW, NEXT = "1.0", "2.0", "3.0"


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Box]:
    """Release 1.0 is installed and runs."""
    one = box(tmp_path)
    assert one.call("install", str(one.source(OLD))).returncode == 0
    one.boot()
    yield one
    one.end()


def test_a_release_that_works_becomes_the_current_one_and_the_old_one_stays(old: Box) -> None:
    done = old.call("install", str(old.source(NEW)))
    assert done.returncode == 0, done.stderr
    assert "release 2.0 works" in done.stdout
    assert old.call("list").stdout == "1.0 (previous)\n2.0 (current)\n"
    old.call("install", str(old.source(NEXT)))
    assert old.call("list").stdout == "2.0 (previous)\n3.0 (current)\n", "and only one of them"


def test_a_release_that_does_not_start_is_left_again(old: Box) -> None:
    done = old.call("install", str(old.source(NEW, works=False)))
    assert done.returncode == 1
    assert "release 2.0 does not work: it does not answer; release 1.0 runs again" in done.stderr
    assert old.current == OLD


def test_the_one_before_comes_back_by_hand(old: Box) -> None:
    assert "there is no previous release" in old.call("rollback").stderr
    old.call("install", str(old.source(NEW)))
    assert old.call("rollback").returncode == 0
    assert old.call("list").stdout == "1.0 (current)\n2.0 (previous)\n"


def test_a_service_that_does_not_run_is_not_started_and_tries_later(old: Box) -> None:
    (old.base / "active").unlink()
    old.end()
    assert old.call("install", str(old.source(NEW, works=False))).returncode == 0
    assert old.current == NEW
    old.boot()  # which starts the trial too
    assert old.call("judge").returncode == 1
    assert old.current == OLD


def lines(one: Box, source: Path) -> int:
    """How many lines an installation takes."""
    said = one.call("install", str(source)).stderr.splitlines()[-1]
    return int(said.removeprefix("lines "))


def killed(one: Box, line: int, *, works: bool, reboot: bool) -> None:
    """An upgrade is killed at a line; then the machine boots, or the upgrade is called again."""
    source = one.source(NEW, works=works)
    done = one.call("install", str(source), line=line)
    assert one.current in {OLD, NEW, f"{NEW}-2"}, line
    assert (one.base / "current" / "complete").exists(), line
    if reboot:
        one.boot()
        one.call("judge")
    else:
        one.call("install", str(source))
    ended = one.current != OLD or not works or (reboot and done.returncode != 0)
    assert ended, (line, done.stderr)
    assert works or one.current == OLD, line
    assert not (one.base / "trial.json").exists(), line
    assert str(one.base / "releases" / one.current) in running(one), line


def running(one: Box) -> str:
    pid = (one.base / "pid").read_text().strip()
    return Path(f"/proc/{pid}/cmdline").read_text()


def run_of_kills(folder: Path, step: int, first: int) -> int:
    """One upgrade for each `step`-th line, from a fresh machine each; returns how many."""
    count = 0
    for works in (True, False):
        (folder / f"count-{works}").mkdir()
        counted = box(folder / f"count-{works}")
        fresh(counted)
        total = lines(counted, counted.source(NEW, works=works))
        counted.end()
        for line in range(first, total + 1, step):
            place = folder / f"{works}-{line}"
            place.mkdir()
            one = box(place)
            fresh(one)
            try:
                killed(one, line, works=works, reboot=bool(line // step % 2))
            finally:
                one.end()
            shutil.rmtree(place)
            count += 1
    return count


def fresh(one: Box) -> None:
    one.call("install", str(one.source(OLD)))
    one.boot()


@pytest.mark.timeout(120)
def test_an_upgrade_killed_at_any_step_leaves_a_release_that_runs(tmp_path: Path) -> None:
    assert run_of_kills(tmp_path, step=90, first=60) >= 5


@pytest.mark.chaos
def test_an_upgrade_killed_at_every_third_line_leaves_a_release_that_runs(tmp_path: Path) -> None:
    assert run_of_kills(tmp_path, step=3, first=1) >= 200
