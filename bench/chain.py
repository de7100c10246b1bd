"""The MQTT chain: device publish (QoS 1) to platform, against a bare aiomqtt forwarder that stores nothing.

Two real brokers with the shipped limits. The gateway's messages go through profile, rules and the
journal and are acknowledged to the device after the commit. The gateway has one core for itself,
brokers, devices and platform share the others. Window: 10,000 messages on their way.
"""

import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import Row
from gateway.cli.daemon import SETTLED_S
from gateway.errors import GatewayError
from simulators.broker import broker
from tests.harness.daemon import Daemon
from tests.harness.ports import free_ports

MESSAGES, WINDOW = 200_000, 10_000
STEADY_S, ALARM_S = 15, 60
START_S = 60.0
LINGER_MS = 200  # what telemetry may wait for company, half at the commit, half upstream

_CONFIG = """\
version: 1
gateway: {{id: gw-bench, timezone: Asia/Shanghai, state_dir: state}}
profiles: [.]
links:
  lights: {{driver: mqtt, url: "mqtt://127.0.0.1:{source}", device_rate: 100000, device_burst: 1000000}}
devices:
  light-1: {{profile: streetlight-native, link: lights, topic_id: l1}}
  alarm-1: {{profile: bench-alarm, link: lights, topic_id: a1}}
rules: [rules]
store: {{group_commit: 1s, ack_linger: {half}ms}}
upstream:
  platform: {{url: "mqtt://127.0.0.1:{target}", lanes: [0, 1, 2], linger: {half}ms}}
log: {{format: console, level: warning}}
"""
_ALARM = """\
profile: bench-alarm
schema: 1
revision: 1
vendor: ""
model: an alarm whose number counts
type: alarm
facility: lights
protocol: mqtt
dialect: native
sources: [bench/chain.py]
status: code
points:
  - {id: alarm.code, severity: life}
vectors:
  - {name: one, response: "7b2276616c756573223a7b22616c61726d2e636f6465223a317d7d", values: {alarm.code: 1}}
"""
_RULE = """\
- id: {name}-{number}
  title: "{point}"
  for_each: {{type: light}}
  when: it.{point} > {limit}
  for: 1s
  alarm: {{severity: operational}}
"""


@dataclass
class Outcome:
    """Of one run: what `bench.flow` tells, CPU seconds of the daemon, its memory and lateness."""

    flow: dict[str, Any]
    cpu_s: float = 0.0
    idle_mib: float = 0.0
    most_mib: float = 0.0
    lag_ms: float = 0.0

    @property
    def per_s(self) -> float:
        return float(self.flow["arrived"] / self.flow["seconds"])

    @property
    def cpu_per_10k(self) -> float:
        return self.cpu_s * 10_000 / float(self.flow["arrived"])


def run() -> list[Row]:
    bare = asyncio.run(_bare())
    full = asyncio.run(_ours("--window", str(WINDOW), count=MESSAGES))
    steady = asyncio.run(_ours("--rate", "2000", count=2_000 * STEADY_S))
    beside = asyncio.run(_ours("--rate", "500", "--alarms", "1", count=500 * ALARM_S))
    lost = MESSAGES - full.flow["arrived"]
    alarms, telemetry = beside.flow["alarm_s"], beside.flow["telemetry_s"]
    baseline = f"a bare forwarder ({bare.per_s:,.0f}/s)"
    return [
        Row(
            "messages stored and delivered",
            f"{full.per_s:,.0f} /s",
            baseline,
            full.per_s / bare.per_s,
        ),
        Row(f"  lost, twice, of {MESSAGES:,}", f"{lost}, {full.flow['repeats']}"),
        Row("  loop late, p99", f"{full.lag_ms:.1f} ms"),
        Row("  resident memory at most", f"{full.most_mib:.0f} MiB"),
        Row("CPU for 10,000 at 2,000/s", f"{steady.cpu_per_10k:.2f} s"),
        Row("  loop late, p99", f"{steady.lag_ms:.1f} ms"),
        Row("resident memory, idle", f"{steady.idle_mib:.0f} MiB"),
        Row(f"{len(alarms)} alarms beside 500/s, p50", f"{_part(alarms, 0.5):.1f} ms"),
        Row("  p99", f"{_part(alarms, 0.99):.1f} ms"),
        Row(f"telemetry, linger {LINGER_MS} ms, p99", f"{_part(telemetry, 0.99):.0f} ms"),
    ]


def _part(seconds: list[float], part: float) -> float:
    return seconds[min(len(seconds) - 1, int(len(seconds) * part))] * 1e3


@asynccontextmanager
async def _brokers() -> AsyncIterator[tuple[Path, int, int]]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-chain-")))
        source, target = free_ports(2)
        os.sched_setaffinity(0, OTHERS)
        try:
            for port in (source, target):
                place = folder / str(port)
                place.mkdir()
                await stack.enter_async_context(broker("127.0.0.1", port, place))
            yield folder, source, target
        finally:
            os.sched_setaffinity(0, CORES)


CORES = os.sched_getaffinity(0)
OURS = {min(CORES)}
OTHERS = CORES - OURS or CORES


async def _bare() -> Outcome:
    async with _brokers() as (_, source, target):
        forwarder = await _peer("bench.peers", "forward", str(source), str(target), cores=OURS)
        await _line(forwarder)
        process = await _flow(source, target, MESSAGES // 10, "--bare", "--window", "500")
        flow = await _flown(process)
        forwarder.terminate()
        await forwarder.wait()
        return Outcome(flow)


async def _ours(*options: str, count: int) -> Outcome:
    async with _brokers() as (folder, source, target):
        _write(folder, source, target)
        daemon = Daemon(folder / "gateway.yaml", folder / "state")
        await daemon.start()
        for task in Path(f"/proc/{daemon.process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), OURS)
        await daemon.until(lambda s: all(x["state"] == "up" for x in (*s["links"], *s["upstream"])))
        await asyncio.sleep(SETTLED_S[0] + 1)  # the garbage collector leaves alone what is there
        idle = _mib(daemon, "VmRSS")
        process = await _flow(source, target, count, *options)
        # What the gateway told of itself before there was a platform is no message of the flow.
        await daemon.until(lambda s: not any(lane["backlog"] for x in s["upstream"] for lane in x["lanes"]))  # fmt: skip
        before = _cpu_s(daemon)
        flow = await _flown(process)
        status = await daemon.status()
        assert status is not None
        outcome = Outcome(
            flow, _cpu_s(daemon) - before, idle, _mib(daemon, "VmHWM"), status["loop_lag_ms"]["p99"]
        )
        await daemon.stop()
        return outcome


def _write(folder: Path, source: int, target: int) -> None:
    """The configuration, with 20 rules that look at every message and are never true."""
    half = LINGER_MS // 2
    (folder / "gateway.yaml").write_text(
        _CONFIG.format(source=source, target=target, half=half), encoding="utf-8"
    )
    (folder / "bench-alarm.yaml").write_text(_ALARM, encoding="utf-8")
    (folder / "rules").mkdir()
    rules = [
        _RULE.format(name=point.replace(".", "-"), number=number, point=point, limit=f"{limit + number / 20:g} {unit}")
        for point, limit, unit in (("light.level", 99, "%"), ("elec.power.total", 1_000, "W"))
        for number in range(10)
    ]  # fmt: skip
    (folder / "rules" / "bench.yaml").write_text("rules:\n" + "".join(rules), encoding="utf-8")


def _cpu_s(daemon: Daemon) -> float:
    stat = Path(f"/proc/{daemon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(stat[11]) + int(stat[12])  # utime and stime, proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def _mib(daemon: Daemon, what: str) -> float:
    lines = Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))


async def _flow(source: int, target: int, count: int, *options: str) -> Process:
    """Devices and platform, connected."""
    process = await _peer("bench.flow", str(source), str(target), str(count), *options)
    await _line(process)
    return process


async def _flown(process: Process) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    async with asyncio.timeout(300):
        said, _ = await process.communicate()
    found: dict[str, Any] = json.loads(said)
    return found


async def _peer(module: str, *words: str, cores: set[int] = OTHERS) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *words, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    os.sched_setaffinity(process.pid, cores)
    return process


async def _line(process: Process) -> str:
    if process.stdout is None:
        raise GatewayError("the peer has no output")
    async with asyncio.timeout(START_S):
        return (await process.stdout.readline()).decode().strip()
