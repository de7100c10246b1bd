"""`make screens`: docs/screens/, what `gateway status --watch` shows of the simulated compound in a real
terminal (tmux), at 80 and 160 columns, in both languages.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.docs.pages import ROOT

GATEWAY = Path(sys.executable).with_name("gateway")
SIZES = ((80, 40), (160, 40))
READY_S = 60.0
SETTLED_S = 12.0  # until the curves have something to show
FOLDER = ROOT / "docs" / "screens"


def _until_ready(folder: Path) -> Path:
    """The configuration of the simulated compound, once its gateway answers and is well."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        for config in folder.glob("gateway-demo-*/**/gateway.yaml"):
            if subprocess.run([GATEWAY, "status", "-c", config], capture_output=True, check=False).returncode == 0:  # fmt: skip
                return config
        time.sleep(0.5)
    raise TimeoutError("the simulated compound is not well")


def _tmux(socket: Path, *words: str) -> str:
    done = subprocess.run(["tmux", "-S", str(socket), *words], capture_output=True, check=True)
    return done.stdout.decode()


def _screen(config: Path, socket: Path, width: int, height: int, language: str) -> str:
    command = f"{GATEWAY} status --watch --lang {language} -c {config}"
    _tmux(
        socket, "-u", "new-session", "-d", "-s", "s", "-x", str(width), "-y", str(height), command
    )
    try:
        time.sleep(SETTLED_S)
        return _tmux(socket, "capture-pane", "-p", "-t", "s")
    finally:
        _tmux(socket, "kill-session", "-t", "s")


def main() -> int:
    if shutil.which("tmux") is None:
        print("no tmux; install it with: sudo apt-get install tmux", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screens-") as name:
        folder = Path(name)
        environment = {**os.environ, "TMPDIR": name, "LC_ALL": "C.UTF-8"}
        demo = subprocess.Popen(
            [sys.executable, "-m", "simulators.demo"], cwd=ROOT, env=environment,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            config = _until_ready(folder)
            for width, height in SIZES:
                for language in ("en", "zh"):
                    socket = folder / f"tmux-{width}-{language}"
                    target = FOLDER / f"status-{width}-{language}.txt"
                    target.write_text(_screen(config, socket, width, height, language))
                    print(target.relative_to(ROOT))
        finally:
            demo.terminate()
            demo.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
