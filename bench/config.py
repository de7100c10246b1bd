"""How long a configuration of 2,000 meters takes to load, checked and all, in its three forms.

Each with the one rule for all of them in 1,000 instances and more that a site has. The baseline
is PyYAML's parser in C on the file in which every device is written out.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from bench.report import Row
from gateway.config import load_config

DEVICES = 2_000
ON_A_LINK = 200
RUNS = 3  # the fastest counts
TARGET_S = 1.5

_LINK = "  bus-{n}: {{driver: modbus, transport: tcp, host: 127.0.0.1, port: {port}}}\n"
_HEAD = "version: 1\ngateway: {{id: gw-bench, timezone: Asia/Shanghai, state_dir: state}}\nlinks:\n{links}rules: [rules]\n"
_RULE = """\
rules:
- id: overvoltage
  for_each: {type: meter, has: elec.voltage.a}
  when: it.elec.voltage.a > 253 V
  until: it.elec.voltage.a < 250 V
  for: 2s
  alarm: {severity: operational}
"""


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        forms = {
            "every device written out": _written(Path(folder, "yaml")),
            "a table (CSV)": _table(Path(folder, "csv")),
            "entries for many": _many(Path(folder, "many")),
        }
        text = forms["every device written out"].read_text()
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        base_s = _best(lambda: yaml.load(text, Loader=loader))  # noqa: S506 -- a safe one
        baseline = f"PyYAML alone ({base_s:.2f} s)"
        return [
            Row(
                f"load {DEVICES} devices, {what} (at most {TARGET_S} s)",
                f"{s:.2f} s",
                baseline,
                s / base_s,
            )
            for what, file in forms.items()
            for s in (_best(lambda file=file: _load(file)),)  # type: ignore[misc] # mypy and defaults of lambdas
        ]


def _best(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def _load(file: Path) -> None:
    config = load_config(file)
    if len(config.devices) != DEVICES or len(config.rules.instances) < DEVICES:
        raise AssertionError(file)


def _site(folder: Path, more: str) -> Path:
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "all.yaml").write_text(_RULE)
    links = "".join(_LINK.format(n=n, port=5020 + n) for n in range(DEVICES // ON_A_LINK))
    file = folder / "gateway.yaml"
    file.write_text(_HEAD.format(links=links) + more)
    return file


def _device(n: int) -> tuple[str, int, int, int, int]:
    """Id, link, unit, building, room."""
    return f"meter-{n:04d}", n // ON_A_LINK, n % ON_A_LINK + 1, n // 100, n % 100


def _written(folder: Path) -> Path:
    line = '  {}: {{profile: eastron-sdm630, link: bus-{}, unit: {}, name: "{} 号楼 {} 电表", tags: {{building: "{}", room: "{}"}}}}\n'
    devices = "".join(
        line.format(name, link, unit, building, room, building, room)
        for name, link, unit, building, room in map(_device, range(DEVICES))
    )
    return _site(folder, f"devices:\n{devices}")


def _table(folder: Path) -> Path:
    file = _site(folder, "devices_from: [meters.csv]\n")
    rows = "".join(
        f"{name},eastron-sdm630,bus-{link},{unit},{building} 号楼 {room} 电表,{building},{room}\n"
        for name, link, unit, building, room in map(_device, range(DEVICES))
    )
    (folder / "meters.csv").write_text(
        f"device,profile,link,unit,name,tag.building,tag.room\n{rows}"
    )
    return file


def _many(folder: Path) -> Path:
    entries = "".join(
        f'  meter-{link}-{{room}}: {{for: {{room: ["1..{ON_A_LINK}"]}}, profile: eastron-sdm630, link: bus-{link}, unit: "{{n}}", '
        f'name: "{link} 号楼 {{room}} 电表", tags: {{building: "{link}", room: "{{room}}"}}}}\n'
        for link in range(DEVICES // ON_A_LINK)
    )
    return _site(folder, f"devices:\n{entries}")
