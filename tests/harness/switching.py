"""`gateway-release`, with releases that are small and a service manager that is simple, killed at any line.

`python -m tests.harness.switching LINE ARGUMENTS...`: SIGKILL before the LINE-th line of
release/target.py that is executed; 0: never. What is executed is told on standard error at the end.
A release here is one shell script instead of a virtual environment: making one takes no time.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from release import target

# What of the daemon the switch needs: a process that can be asked for its number.
GATEWAY = """\
#!/bin/sh
here=$(dirname "$0")
pidfile=$(dirname "$(dirname "$(dirname "$here")")")/pid
case "$1" in
--version) echo VERSION ;;
check) exit 0 ;;
run) [ WORKS = 1 ] || exit 1; echo $$ > "$pidfile"; while :; do sleep 1000 & wait $!; done ;;
status) pid=$(cat "$pidfile") && kill -0 "$pid" || exit 3
    echo '{"pid": '"$pid"', "health": {"word": "healthy", "reasons": []}}' ;;
esac
"""
SYSTEMCTL = """\
#!/bin/sh
base=$(dirname "$0")
case "$1" in
is-active) [ -e "$base/active" ] && echo active || { echo inactive; exit 3; } ;;
restart)
    [ -e "$base/pid" ] && kill -9 "$(cat "$base/pid")" 2>/dev/null
    rm -f "$base/pid"
    touch "$base/active"
    real=$(readlink -f "$base/current")
    setsid sh "$real/bin/gateway" run >/dev/null 2>&1 &
    ;;
esac
"""
TRIAL_S, STEADY_S, POLL_S = 0.6, 0.12, 0.02


class Box(NamedTuple):
    """A machine's folder of releases, and sources to install from by their names."""

    base: Path

    @property
    def current(self) -> str:
        return (self.base / "current").readlink().name

    def source(self, version: str, *, works: bool = True) -> Path:
        folder = self.base.parent / f"source-{version}"
        folder.mkdir(exist_ok=True)
        (folder / "version").write_text(version)
        text = GATEWAY.replace("VERSION", version).replace("WORKS", "1" if works else "0")
        (folder / "gateway").write_text(text)
        (folder / "gateway").chmod(0o755)
        return folder

    def call(self, *arguments: str, line: int = 0) -> subprocess.CompletedProcess[str]:
        asked = [sys.executable, "-m", "tests.harness.switching", str(line), "--base", str(self.base),
                 "--config", str(self.base / "none.yaml"), "--systemctl", str(self.base / "systemctl"),
                 "--trial", str(TRIAL_S), *arguments]  # fmt: skip
        return subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)

    def boot(self) -> None:
        """What the machine does when it comes up: the service, then the trial."""
        subprocess.run([str(self.base / "systemctl"), "restart"], check=True)

    def end(self) -> None:
        pid = self.base / "pid"
        if pid.exists() and pid.read_text().strip():
            subprocess.run(
                ["kill", "-9", pid.read_text().strip()], capture_output=True, check=False
            )


def box(folder: Path) -> Box:
    base = folder / "opt"
    base.mkdir()
    (base / "systemctl").write_text(SYSTEMCTL)
    (base / "systemctl").chmod(0o755)
    return Box(base)


class _Small(target.Releases):
    def _fill(self, name: str, source: Path) -> None:
        folder = self._folder / name / "bin"
        folder.mkdir(parents=True)
        shutil.copy(source / "gateway", folder)


class _Killer:
    """A trace function that counts the lines of release/target.py."""

    def __init__(self, line: int) -> None:
        self.seen, self._line = 0, line

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != target.__file__:
            return None
        if event == "line":
            self.seen += 1
            if self.seen == self._line:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.trace


def main() -> int:
    line, arguments = int(sys.argv[1]), sys.argv[2:]
    setattr(target, "Releases", _Small)  # noqa: B010 -- replaced on purpose, behind the type checker
    target.STEADY_S, target.POLL_S, target.BACK_S = STEADY_S, POLL_S, TRIAL_S
    sys.argv = ["gateway-release", *arguments]
    killer = _Killer(line)
    sys.settrace(killer.trace)
    code = target.main()
    sys.settrace(None)
    print(f"lines {killer.seen}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
