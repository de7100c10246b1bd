"""A small compound for whole-gateway tests: its configuration and what plays it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.cli.simulate import plan_of
from gateway.config import load_config
from gateway.profile import shipped_folder
from simulators.compound import Compound, compound
from simulators.platform import Platform
from tests.harness.daemon import Daemon
from tests.harness.ports import free_ports

GROUP_COMMIT_S = 1.0
LAMP = "streetlight-native"

_CONFIG = """\
version: 1
gateway: {{id: gw-test-01, timezone: Asia/Shanghai, state_dir: state}}
links:
  meters: {{driver: modbus, transport: tcp, host: 127.0.0.1, port: {meters}}}
  lights: {{driver: mqtt, url: "mqtt://127.0.0.1:{lights}"}}
devices:
{devices}
rules: [{rules}]
profiles: [{profiles}]
store: {{group_commit: 1s}}
upstream:
  platform: {{url: "mqtt://127.0.0.1:{platform}", lanes: [0, 1, 2], downlink: {{rate: 60, config: true}}}}
commands:
  allow:
    - {{origin: rules, devices: {{type: light}}, points: [light.level]}}
    - {{origin: cli, devices: {{type: light}}, points: [light.level]}}
    - {{origin: platform, devices: [light-1, light-2], points: [light.level]}}
log: {{format: console, level: info}}
"""


@dataclass(slots=True)
class Site:
    folder: Path
    daemon: Daemon
    running: Compound
    device_log: Path
    platform_log: Path

    @property
    def platform(self) -> Platform:
        return self.running.platforms[0]

    @property
    def state_dir(self) -> Path:
        return self.daemon.state_dir

    @property
    def lights_port(self) -> int:
        return self.running.lights[0].port


def once(folder: Path) -> str:
    """A lamp whose level must not be written twice: the name of its profile, in `folder`/profiles."""
    name, own = "lamp-once", folder / "profiles"
    own.mkdir(exist_ok=True)
    text = (
        (shipped_folder() / f"{LAMP}.yaml")
        .read_text()
        .replace(f"profile: {LAMP}", f"profile: {name}")
    )
    (own / f"{name}.yaml").write_text(text.replace("idempotent: true", "idempotent: false"))
    return name


def write_config(
    folder: Path,
    *,
    meters: int = 5,
    lamps: int = 3,
    rules: Path | None = None,
    unrepeatable: int = 0,
) -> Path:
    """`unrepeatable`: the number of a lamp with the profile of `once`, 0: none."""
    ports = free_ports(3)
    devices = [
        f"  meter-{n}: {{profile: eastron-sdm{'630' if n == 1 else '120'}, link: meters, unit: {n}, poll: {{fast: 500ms, slow: 2s}}}}"
        for n in range(1, meters + 1)
    ] + [
        f"  light-{n}: {{profile: {once(folder) if n == unrepeatable else LAMP}, link: lights, topic_id: l{n}, tags: {{use: street}}}}"
        for n in range(1, lamps + 1)
    ]
    shipped = Path(__file__).parents[2] / "configs" / "rules"
    those = [rules] if rules else [shipped / "lights-dusk.yaml", shipped / "overvoltage.yaml"]
    text = _CONFIG.format(
        meters=ports[0],
        lights=ports[1],
        platform=ports[2],
        devices="\n".join(devices),
        rules=", ".join(map(str, those)),
        profiles=folder / "profiles" if unrepeatable else "",
    )
    path = folder / "gateway.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@asynccontextmanager
async def site(
    folder: Path,
    *,
    sabotage: str | None = None,
    lamp_interval_s: float = 1.0,
    meters: int = 5,
    rules: Path | None = None,
    unrepeatable: int = 0,
    config: Path | None = None,
) -> AsyncIterator[Site]:
    """The compound runs and the daemon is up; at the end the daemon is stopped.

    `config`: a configuration of the test's own instead of that of `write_config`.
    """
    path = config or write_config(folder, meters=meters, rules=rules, unrepeatable=unrepeatable)
    plan = await asyncio.to_thread(lambda: plan_of(load_config(path)))
    device_log, platform_log = folder / "devices.jsonl", folder / "platform.jsonl"
    with device_log.open("a", encoding="utf-8", buffering=1) as log:
        plan = replace(
            plan,
            device_log=log,
            platforms=[replace(one, log=platform_log) for one in plan.platforms],
            streets=[replace(one, interval_s=lamp_interval_s) for one in plan.streets],
        )
        async with compound(plan, seed=3) as running:
            daemon = Daemon(path, folder / "state", sabotage=sabotage)
            await daemon.start()
            # What a lamp says before the broker knows the gateway is repeated later, out of order.
            await daemon.until(
                lambda s: all(x["state"] == "up" for x in (*s["links"], *s["upstream"]))
            )
            playing = asyncio.create_task(running.play())
            try:
                yield Site(folder, daemon, running, device_log, platform_log)
            finally:
                playing.cancel()
                await asyncio.wait([playing])
                await daemon.stop()
