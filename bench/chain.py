"""The MQTT chain: device publish (QoS 1) to platform, against a bare aiomqtt forwarder that stores nothing.

Two real brokers with the shipped limits. The gateway's messages go through profile, rules and the
journal and are acknowledged to the broker after the commit; the forwarder publishes each one on.
"""

import asyncio
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from bench.report import Row
from gateway.errors import GatewayError
from simulators.broker import broker
from tests.harness.daemon import Daemon
from tests.harness.ports import free_ports

MESSAGES = 30_000
PATIENCE_S = 120.0

_CONFIG = """\
version: 1
gateway: {{id: gw-bench, timezone: Asia/Shanghai, state_dir: state}}
links:
  lights: {{driver: mqtt, url: "mqtt://127.0.0.1:{source}", device_rate: 100000, device_burst: 100000}}
devices:
  light-1: {{profile: streetlight-native, link: lights, topic_id: l1}}
store: {{group_commit: 1s, ack_linger: 100ms}}
upstream:
  platform: {{url: "mqtt://127.0.0.1:{target}", lanes: [0, 1, 2]}}
log: {{format: console, level: warning}}
"""


def run() -> list[Row]:
    bare, _ = asyncio.run(_measure(gateway=False))
    ours, cpu_s = asyncio.run(_measure(gateway=True))
    baseline = f"a bare forwarder ({bare:,.0f}/s)"
    return [
        Row("messages stored and delivered", f"{ours:,.0f} /s", baseline, ours / bare),
        Row("daemon CPU for 10,000 messages", f"{cpu_s * 10_000 / MESSAGES:.2f} s"),
    ]


async def _measure(*, gateway: bool) -> tuple[float, float]:
    """(messages a second from the first publish to the last arrival, CPU seconds of the daemon)."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-chain-")))
        source, target = free_ports(2)
        for port in (source, target):
            place = folder / str(port)
            place.mkdir()
            await stack.enter_async_context(broker("127.0.0.1", port, place))
        collector = await _peer("collect", target, MESSAGES)
        await _line(collector)
        daemon, forwarder = None, None
        if gateway:
            daemon = await _daemon(folder, source, target)
        else:
            forwarder = await _peer("forward", source, target)
            await _line(forwarder)
        generator = await _peer("generate", source, MESSAGES)
        started = float(await _line(generator))
        ended = float(await _line(collector))
        await generator.wait()
        cpu_s = await _cpu_s(daemon) if daemon is not None else 0.0
        if forwarder is not None:
            forwarder.terminate()
            await forwarder.wait()
        return MESSAGES / (ended - started), cpu_s


async def _daemon(folder: Path, source: int, target: int) -> Daemon:
    config = folder / "gateway.yaml"
    config.write_text(_CONFIG.format(source=source, target=target), encoding="utf-8")
    daemon = Daemon(config, folder / "state")
    await daemon.start()
    await daemon.until(lambda s: all(x["state"] == "up" for x in (*s["links"], *s["upstream"])))
    return daemon


async def _cpu_s(daemon: Daemon) -> float:
    """CPU seconds of the daemon so far; stops it."""
    stat = Path(f"/proc/{daemon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(stat[11]) + int(stat[12])  # utime and stime, proc(5)
    await daemon.stop()
    return ticks / os.sysconf("SC_CLK_TCK")


async def _peer(role: str, *numbers: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.peers",
        role,
        *map(str, numbers),
        stdout=asyncio.subprocess.PIPE,
    )


async def _line(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        raise GatewayError("the peer has no output")
    async with asyncio.timeout(PATIENCE_S):
        return (await process.stdout.readline()).decode().strip()
