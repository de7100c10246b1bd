"""A Debian that is booted, with a real systemd as its first process (systemd-nspawn), and its power switch."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BOOT_S = 60.0
CALL_S = 150.0


class Machine:
    """`path` is its root folder; what is written there outlives `cut`. No network but loopback."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._log = path.with_suffix(".console")
        self._init = ""

    def boot(self) -> None:
        """Returns when every unit was started."""
        asked = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--private-network",
                 "--machine=gateway-test", "--directory", str(self.path)]  # fmt: skip
        with self._log.open("ab") as log:
            self._nspawn = subprocess.Popen(asked, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + BOOT_S
        while time.monotonic() < end:
            self._init = self._child()
            if self._init and self.call("systemctl", "is-system-running").stdout.strip() in {"running", "degraded"}:  # fmt: skip
                return
            if self._nspawn.poll() is not None:
                break
            time.sleep(0.2)
        said = self._log.read_text(errors="replace")[-1500:]
        self.cut()
        pytest.skip(f"no machine can be booted here: {said}")

    def _child(self) -> str:
        assert self._nspawn is not None
        pid = self._nspawn.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip().split(" ")[0]

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        asked = [*self.inside(), *command]
        return subprocess.run(asked, capture_output=True, text=True, timeout=CALL_S, check=False)

    def run(self, *command: str) -> str:
        """As `call`; a failure shows what was printed."""
        done = self.call(*command)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def inside(self) -> list[str]:
        """What runs a command in it."""
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
        return ["nsenter", "--target", self._init, *namespaces, "--"]

    def cut(self) -> None:
        """The power goes: every process of it is killed at once."""
        if self._nspawn is None:
            return
        if self._init:
            subprocess.run(["kill", "-9", self._init], capture_output=True, check=False)
        self._nspawn.kill()
        self._nspawn.wait()
        self._nspawn, self._init = None, ""

    def until(self, *command: str, says: str, within_s: float) -> str:
        """What the command prints, as soon as `says` is in it."""
        end, text = time.monotonic() + within_s, ""
        while time.monotonic() < end:
            text = self.call(*command).stdout
            if says in text:
                return text
            time.sleep(0.5)
        log = self.call("journalctl", "--no-pager", "-n", "40").stdout
        raise AssertionError(f"{command} never said {says!r}, last: {text}\n{log}")


@contextmanager
def machine(path: Path) -> Iterator[Machine]:
    """Booted. Skips where that cannot be."""
    if shutil.which("systemd-nspawn") is None:
        pytest.skip("systemd-nspawn is not installed: apt install systemd-container")
    one = Machine(path)
    try:
        one.boot()
        yield one
    finally:
        one.cut()
