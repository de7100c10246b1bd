"""The real daemon and lamps of three makes in one group: one command, an answer and an event for each."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from gateway.cli.simulate import plan_of
from gateway.config import load_config
from simulators.compound import compound
from tests.harness.daemon import Daemon
from tests.harness.ports import free_ports

CONFIG = """\
version: 1
gateway: {{id: gw-test-01, timezone: UTC, state_dir: state}}
links:
  lights: {{driver: mqtt, url: "mqtt://127.0.0.1:{lights}"}}
devices:
  street-1: {{profile: streetlight-native, link: lights, topic_id: s1, groups: [night]}}
  yard-1: {{profile: tasmota-light, link: lights, topic_id: y1, groups: [night]}}
  yard-2: {{profile: tasmota-light, link: lights, topic_id: y2, groups: [night]}}
  hall-1: {{profile: zigbee2mqtt-light, link: lights, topic_id: h1, groups: [night]}}
upstream:
  platform: {{url: "mqtt://127.0.0.1:{platform}", downlink: {{}}}}
commands:
  allow:
    - {{origin: cli, devices: {{type: light}}, points: [light.level]}}
    - {{origin: platform, devices: {{type: light}}, points: [light.level]}}
"""
LAMPS = ["street-1", "yard-1", "yard-2", "hall-1"]


async def command(config: Path, *arguments: str) -> tuple[int, str]:
    code = "import sys; from gateway.cli.main import main; sys.exit(main())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, "command", *arguments, "-c", str(config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ},
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.timeout(60)
async def test_one_command_dims_lamps_of_three_makes_and_each_answers(tmp_path: Path) -> None:
    lights, platform = free_ports(2)
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG.format(lights=lights, platform=platform))
    plan = plan_of(await asyncio.to_thread(load_config, config))
    async with compound(plan) as running, asyncio.TaskGroup() as group:
        playing = group.create_task(running.play())
        daemon = Daemon(config, tmp_path / "state")
        try:
            await daemon.start()
            await daemon.until(lambda status: all(d["live"] for d in status["devices"]))
            code, text = await command(config, "night", "light.level", "60", "--json")
            assert code == 0, text
            answer = json.loads(text)
            assert [(x["device"], x["outcome"]) for x in answer["members"]] == [
                (name, "confirmed") for name in LAMPS
            ]
            assert answer["reason"] == "4 of 4 confirmed"
            assert [lamp.bulb.level for lamp, _ in running.tasmotas] == [60, 60]
            assert running.bridges[0][0].bulbs["h1"].level == 60
            code, text = await command(config, "night", "light.level", "300")
            assert (code, text.count("refused")) == (1, 5), text
            status = await daemon.status()
            assert status["commands"]["confirmed"] == 4
            site = running.platforms[0]
            wanted = await site.command("night", "light.level", 20)
            await site.until(lambda p: any(r["id"] == wanted for r in p.results))
            (result,) = [r for r in site.results if r["id"] == wanted]
            assert (result["outcome"], result["device"]) == ("confirmed", "night"), result
            assert [x["device"] for x in result["members"]] == LAMPS
            assert [lamp.bulb.level for lamp, _ in running.tasmotas] == [20, 20]
        finally:
            await daemon.stop()
            playing.cancel()
