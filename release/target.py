#!/usr/bin/python3
"""Releases of the gateway on its machine: each in a virtual environment of its own, one of them current.

Runs as `gateway-release`, with the system's Python and its standard library alone: it must work when
a release does not. Below the base folder (/opt/community-gateway):

    releases/NAME/  a virtual environment; whole when it has a file `complete`
    current         symlink to the release that runs; always to a whole one
    previous        symlink to the one before it that had proved itself
    trial.json      there while the current release has not proved itself

Whoever is killed between two steps leaves `current` on a whole release: the next call goes on or tidies up.
"""

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

BASE = Path("/opt/community-gateway")
CONFIG = Path("/etc/gateway/gateway.yaml")
UNIT = "community-gateway.service"
# A release that fails is off the machine's hands within 90 s: 55 s to show itself, 25 s for the old
# one to come back, the rest for stopping both.
TRIAL_S = 55.0
BACK_S = 25.0
STEADY_S = 10.0  # one process that answers so long is no crash loop
POLL_S = 1.0
ASK_S = 15.0


class ReleaseError(Exception):
    """What is wrong and what to do; nothing has changed unless it says so."""


class Service:
    """The daemon, as systemd sees it; nothing happens where systemd does not run."""

    def __init__(self, systemctl: str | None) -> None:
        booted = Path("/run/systemd/system").exists()  # sd_booted(3)
        self._systemctl = systemctl or ("systemctl" if booted else None)

    @property
    def active(self) -> bool:
        """It runs, or systemd is about to start it again."""
        if self._systemctl is None:
            return False
        asked = [self._systemctl, "is-active", UNIT]
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        return said in {"active", "activating", "reloading"}

    def restart(self) -> None:
        """Asks for it; whether it works is for `Releases.judge` to see."""
        if self._systemctl is not None:
            subprocess.run(
                [self._systemctl, "reset-failed", UNIT], capture_output=True, check=False
            )
            subprocess.run([self._systemctl, "restart", "--no-block", UNIT], check=False)


class Releases:
    """The folder of releases. Everything that changes it wants `locked`."""

    def __init__(self, base: Path, config: Path, service: Service, trial_s: float) -> None:
        self.base = base
        self._trial_s = trial_s
        self._config = config
        self._service = service
        self._folder = base / "releases"
        self._trial = base / "trial.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One at a time; a second caller waits."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self.base / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def at(self, link: str) -> str | None:
        """The release that `current` or `previous` names, None if there is none."""
        path = self.base / link
        if not path.is_symlink():
            return None
        name = path.readlink().name
        return name if self.whole(name) else None

    def whole(self, name: str) -> bool:
        return (self._folder / name / "complete").exists()

    def names(self) -> list[str]:
        return sorted(path.name for path in self._folder.iterdir() if self.whole(path.name))

    # -- installing -------------------------------------------------------------------------------

    def install(self, source: Path) -> str:
        """Make a release of the wheels in `source`, switch to it, see whether it works.

        Raises ReleaseError; then the release before is current and runs.
        """
        self.tidy()
        name = self._free(_version(source))
        _say(f"installing release {name}")
        try:
            self._fill(name, source)
            self._check(name)
        except ReleaseError:
            shutil.rmtree(self._folder / name, ignore_errors=True)
            raise
        self._switch(name)
        if self._service.active:
            self.judge()
        return name

    def tidy(self) -> None:
        """Remove what a killed call left, and releases older than the previous one."""
        kept = {self.at("current"), self.at("previous"), self._proved()}
        for path in self._folder.iterdir():
            if path.name not in kept:
                # Without the mark first: half a folder must not look like a whole one.
                (path / "complete").unlink(missing_ok=True)
                shutil.rmtree(path)

    def _free(self, version: str) -> str:
        """A folder is never filled twice: scripts in it hold its path, and it may be running."""
        taken = {path.name for path in self._folder.iterdir()}
        n = 1
        while (name := version if n == 1 else f"{version}-{n}") in taken:
            n += 1
        return name

    def _fill(self, name: str, source: Path) -> None:
        folder = self._folder / name
        _run(
            [sys.executable, "-m", "venv", str(folder)], "python3 -m venv: apt install python3-venv"
        )
        python = str(folder / "bin" / "python")
        _run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-cache-dir",
             "--require-hashes", "--only-binary=:all:", f"--find-links={source / 'wheels'}",
             f"--requirement={source / 'release.lock'}"],
            "the package is damaged, or holds no wheels for this Python: download it again",
        )  # fmt: skip

    def _check(self, name: str) -> None:
        """Raises ReleaseError if it does not start or refuses the configuration that is there."""
        gateway = str(self._folder / name / "bin" / "gateway")
        _run([gateway, "--version"], "the release does not start: report it")
        # What comes from LoadCredential= exists inside the unit alone: then the trial has to tell.
        if self._config.exists() and "${credential:" not in self._config.read_text("utf-8"):
            fix = f"the new release refuses {self._config}: mend it, then: dpkg --configure -a"
            _run([gateway, "check", str(self._config)], fix)
        os.sync()  # the mark must not reach the disk before what it vouches for
        _write(self._folder / name / "complete", "")

    # -- switching --------------------------------------------------------------------------------

    def _switch(self, name: str) -> None:
        """`current` becomes `name`, on trial if there is something to go back to."""
        proved = self._proved()
        if proved is not None:
            trial = {"release": name, "previous": proved, "word": self._word(proved)}
            _write(self._trial, json.dumps(trial))
        self._link("current", name)

    def _proved(self) -> str | None:
        """The last release that is known to work: `current`, while it is not on trial."""
        trial = self._pending()
        return self.at("current") if trial is None else str(trial["previous"])

    def _pending(self) -> dict[str, Any] | None:
        """The trial of the current release. One of another release was cut short by going back."""
        try:
            trial = dict(json.loads(self._trial.read_text("utf-8")))
        except FileNotFoundError:
            return None
        return trial if trial["release"] == self.at("current") else None

    def _link(self, link: str, name: str) -> None:
        fresh = self.base / f".{link}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(Path("releases", name))
        fresh.replace(self.base / link)
        _sync(self.base)

    def judge(self) -> None:
        """Wait until the current release has proved itself, else go back to the one before.

        Raises ReleaseError after going back. Without a trial it only sees to it that the daemon is
        one of the current release.
        """
        trial, current = self._pending(), self.at("current")
        if current is not None and self._service.active and self._status(current) is None:
            self._service.restart()
        if trial is not None:
            failure = self._watch(
                trial["release"], self._trial_s, critical=trial["word"] == "critical"
            )
            if failure:
                self._back(trial["release"], trial["previous"], failure)
            self._link("previous", trial["previous"])
            _say(f"release {trial['release']} works")
        self._end_trial()
        self.tidy()

    def _back(self, name: str, previous: str, failure: str) -> NoReturn:
        _say(f"release {name}: {failure}: going back to {previous}")
        self._link("current", previous)
        self._service.restart()
        self._end_trial()
        again = self._watch(previous, BACK_S, critical=True)
        runs = f"release {previous} runs again" if not again else f"release {previous}: {again}"
        raise ReleaseError(
            f"release {name} does not work: {failure}; {runs}; see: journalctl -u {UNIT}"
        )

    def _end_trial(self) -> None:
        self._trial.unlink(missing_ok=True)
        _sync(self.base)

    def rollback(self) -> str:
        """By hand: the release before becomes the current one, and the other way round."""
        trial, current = self._pending(), self.at("current")
        name = self.at("previous") if trial is None else str(trial["previous"])
        if name is None or name == current:
            raise ReleaseError("there is no previous release: install its package")
        self._link("current", name)
        if current is not None:
            self._link("previous", current)
        self._end_trial()
        if self._service.active:
            self._service.restart()
            failure = self._watch(name, self._trial_s, critical=True)
            if failure:
                raise ReleaseError(f"release {name} is current, but: {failure}")
        return name

    def _watch(self, name: str, limit_s: float, *, critical: bool) -> str:
        """What was wrong last; "" as soon as one process of `name` has answered for STEADY_S.

        `critical`: it may be so, as its predecessor was.
        """
        until, since, pid = time.monotonic() + limit_s, 0.0, None
        seen = "it does not answer"
        while (now := time.monotonic()) < until:
            told = self._status(name)
            if told is None:
                pid = None
            elif told["pid"] != pid:
                pid, since, seen = told["pid"], now, "it does not keep running"
            elif told["health"]["word"] == "critical" and not critical:
                since, seen = now, "; ".join(told["health"]["reasons"])
            elif now - since >= STEADY_S:
                return ""
            time.sleep(POLL_S)
        return seen

    def _word(self, name: str) -> str:
        told = self._status(name)
        return str(told["health"]["word"]) if told else "not running"

    def _status(self, name: str) -> dict[str, Any] | None:
        """What the daemon tells, None if it is not a process of release `name`."""
        gateway = str(self._folder / name / "bin" / "gateway")
        try:
            asked = [gateway, "status", "--json", "--config", str(self._config)]
            done = subprocess.run(asked, capture_output=True, timeout=ASK_S, check=False)
            told = json.loads(done.stdout)
            executable = Path(f"/proc/{told['pid']}/cmdline").read_bytes().decode()
        except (subprocess.TimeoutExpired, ValueError, OSError):
            return None
        # The version is not enough: the same one may be installed twice.
        return told if f"/releases/{name}/" in executable else None


def _version(source: Path) -> str:
    return (source / "version").read_text("utf-8").strip()


def _run(command: Sequence[str], fix: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise ReleaseError(f"{said}\n{fix}")


def _write(path: Path, text: str) -> None:
    """Whole or not at all, also after a power cut."""
    fresh = path.with_name(f".{path.name}")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _say(text: str) -> None:
    print(f"gateway-release: {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway-release", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--base", type=Path, default=BASE, help=f"default: {BASE}")
    parser.add_argument("--config", type=Path, default=CONFIG, help=f"default: {CONFIG}")
    parser.add_argument("--systemctl", help="another program instead of systemctl")
    text = f"s that a new release has to show that it works, more than {STEADY_S:.0f} (default: {TRIAL_S:.0f})"
    parser.add_argument("--trial", type=float, default=TRIAL_S, help=text)
    works = parser.add_subparsers(dest="work", required=True)
    install = works.add_parser(
        "install", help="make a release of a folder of wheels and switch to it"
    )
    install.add_argument("source", type=Path)
    works.add_parser("judge", help="end the trial of a release that was cut short")
    works.add_parser("rollback", help="go back to the previous release")
    works.add_parser("list", help="which releases there are")
    return parser


def main() -> int:
    options = _parser().parse_args()
    releases = Releases(options.base, options.config, Service(options.systemctl), options.trial)
    try:
        with releases.locked():
            if options.work == "install":
                releases.install(options.source)
            elif options.work == "judge":
                releases.judge()
            elif options.work == "rollback":
                _say(f"release {releases.rollback()} is current")
            else:
                marks = {
                    releases.at("previous"): " (previous)",
                    releases.at("current"): " (current)",
                }
                print("\n".join(name + marks.get(name, "") for name in releases.names()))
    except ReleaseError as error:
        print(f"gateway-release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
