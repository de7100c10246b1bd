"""How long a command takes until it does its work: every second of it is a technician who waits.

Processor time, which other work on the machine hardly changes, and wall clock beside it. The baseline
is the interpreter that imports nothing of ours. Byte code is there, as after an installation.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.report import Row

RUNS = 4  # the fastest counts
TARGET_MS = 300
FILE = "gateway.yaml"
_CONFIG = "version: 1\ngateway: {id: gw-bench, timezone: Asia/Shanghai, state_dir: state}\n"
# Each command and work once, without a gateway that runs: what is measured is the way to the question, to
# the file that is missing, to the first line that is told.
COMMANDS = (
    "--version", "--help",
    "init .", f"check {FILE}", "run -c missing.yaml", "status", "status --json", "devices", "devices --unknown",
    "mosquitto-config", "tail", "log", "support-bundle -c missing.yaml -o missing/bundle.tar.gz",
    "doctor -c missing.yaml", "command a b 1", "alarms", "ack x", "shelve x 1h", "unshelve x", "reset x",
    "out-of-service x --end", "store info", "store verify", "store export", "store salvage missing -o out",
    "store retire x", "history a b", "influx init", "influx check", "audit verify", "audit list",
    "config show", "config diff", "config history", "config rollback 1", "config desired",
    "schema gateway", "schema profile", "schema rules", "schema cases", "notify a b", "reload", "report",
    "probe modbus missing --plan", "probe ble missing", "profile new x", "profile check missing.yaml",
    "profile import --modpoll missing.csv", "rules list", "rules test missing.test.yaml", "rules explain x",
    "rules graph", "rules backtest", "rules drill x", "simulate missing.yaml",
)  # fmt: skip


class Time(NamedTuple):
    cpu_ms: float
    wall_ms: float


def run() -> list[Row]:
    gateway = str(Path(sys.executable).with_name("gateway"))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, FILE).write_text(_CONFIG)
        base = _best([sys.executable, "-c", "pass"], folder)
        rows = []
        for words in COMMANDS:
            best = _best([gateway, *words.split()], folder)
            figure = f"{best.cpu_ms:.0f} ms CPU, {best.wall_ms:.0f} ms"
            what = f"gateway {words} (at most {TARGET_MS} ms)"
            baseline = f"python -c pass ({base.cpu_ms:.0f} ms)"
            rows.append(Row(what, figure, baseline, best.cpu_ms / base.cpu_ms))
        return rows


def _best(command: Sequence[str], folder: str) -> Time:
    bytecode = {"PYTHONPYCACHEPREFIX": str(Path(folder, "bytecode"))}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | bytecode
    taken = [_one(command, folder, environment) for _ in range(RUNS + 1)]
    return Time(min(one.cpu_ms for one in taken), min(one.wall_ms for one in taken))


def _one(command: Sequence[str], folder: str, environment: dict[str, str]) -> Time:
    before, began = _spent_s(), time.perf_counter()
    subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )  # fmt: skip
    return Time((_spent_s() - before) * 1e3, (time.perf_counter() - began) * 1e3)


def _spent_s() -> float:
    """By all that we have started and that has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
