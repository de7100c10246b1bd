"""How long a command takes until it says something: every second of it is a technician who waits.

The baseline is the interpreter that imports nothing of ours.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.report import Row

RUNS = 5  # the fastest counts
TARGET_MS = 300
_CONFIG = "version: 1\ngateway: {id: gw-bench, timezone: Asia/Shanghai, state_dir: state}\n"
# Without a gateway that runs: what is measured is the way to the question.
COMMANDS = (
    ("--version",), ("--help",), ("status",), ("status", "--json"), ("devices",), ("alarms",), ("ack", "x"),
    ("command", "a", "b", "1"), ("tail",), ("log",), ("rules", "list"), ("config", "history"),
    ("schema", "rules"), ("check",), ("store", "info"), ("audit", "list"),
)  # fmt: skip


def run() -> list[Row]:
    gateway = str(Path(sys.executable).with_name("gateway"))
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "gateway.yaml")
        config.write_text(_CONFIG)
        base = _best([sys.executable, "-c", "pass"], folder)
        rows = []
        for words in COMMANDS:
            last = [str(config)] if words == ("check",) else []
            ms = _best([gateway, *words, *last], folder)
            what = f"gateway {' '.join(words)} (at most {TARGET_MS} ms)"
            rows.append(Row(what, f"{ms:.0f} ms", f"python -c pass ({base:.0f} ms)", ms / base))
        return rows


def _best(command: Sequence[str], folder: str) -> float:
    best = float("inf")
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, capture_output=True, check=False)
        best = min(best, (time.perf_counter() - began) * 1e3)
    return best
