"""Gateway, broker and platform are killed again and again; no acknowledged alarm is lost."""

import random
from pathlib import Path

import pytest

from tests.harness.killing import judge, kill_at_random, place, settle


@pytest.mark.parametrize(
    ("kills", "devices", "alarms"),
    [
        pytest.param(60, 3, 500, marks=pytest.mark.timeout(150)),
        pytest.param(300, 10, 10_000, marks=[pytest.mark.chaos, pytest.mark.timeout(1500)]),
    ],
)
async def test_no_alarm_acknowledged_to_its_device_is_lost_whoever_is_killed(
    tmp_path: Path, kills: int, devices: int, alarms: int
) -> None:
    async with place(tmp_path, tellers=devices) as one:
        await kill_at_random(one, kills, random.Random(5))
        probe_s = await settle(one)
        assert await one.daemon.stop() == 0
    verdict = judge(one)
    said = sum(len(teller.acked) for teller in one.tellers)
    print(f"{one.kills}, {said} acknowledged, {verdict}, a new alarm after {probe_s:.1f} s")
    assert verdict.faults == (0, 0, 0, 0)
    assert verdict.alarms >= alarms
    assert one.kills.keys() == {"gateway", "broker", "platform"}


@pytest.mark.timeout(90)
async def test_an_acknowledgement_before_the_commit_loses_alarms(tmp_path: Path) -> None:
    moments = random.Random(5)
    async with place(tmp_path, sabotage="ack_before_commit") as one:
        for _ in range(10):
            await one.kill("gateway", moments)
        await settle(one)
        await one.daemon.stop()
    verdict = judge(one)
    assert verdict.lost > 0
