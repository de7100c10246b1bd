"""Whatever rules did in the running gateway is traced to its cause: event, transition, values, result."""

from pathlib import Path
from typing import Any

import pytest

from tests.harness.compound import Site, site
from tests.harness.oracle import Arrived
from tests.integration.test_daemon import healthy

# The second write waits for its turn: by then the transition that it belongs to is over.
RULES = """\
rules:
- id: high
  title: Voltage high
  for_each: {type: meter}
  with: {one: light-1, two: light-2}
  when: it.elec.voltage.a > 250 V
  for: 1s
  alarm: {severity: safety}
  do:
  - set: {device: one, point: light.level, value: 80 %}
  - wait: 1s
  - command: {device: two, point: light.level, value: 30 %}
- id: dusk
  with: {lamp: light-3}
  when: lamp.env.illuminance < 40 lx
  do: [{set: {device: lamp, point: light.level, value: 60 %}}]
"""
WRITES = {("light-1", 80), ("light-2", 30), ("light-3", 60)}


async def act(one: Site) -> None:
    """Until all three lamps have obeyed, and the platform knows."""
    lights = one.running.lights[0]
    lights.set_illuminance(500.0)
    await one.daemon.until(healthy)
    one.running.farms[0].set_voltage("meter-1", 258.0)
    await one.daemon.until(lambda s: bool(s["alarms"]))
    lights.set_illuminance(10.0)
    await one.daemon.until(lambda _: {(e["device"], e["attributes"]["value"]) for e in results(one)} == WRITES, 30)  # fmt: skip


def results(one: Site) -> list[dict[str, Any]]:
    events = Arrived.read(one.platform_log).events
    return [e for e in events if e["kind"] == "command_result"]


async def untraced(one: Site) -> list[str]:
    """What rules did and cannot be told the cause of."""
    arrived = Arrived.read(one.platform_log)
    alarms = {e["attributes"]["instance"]: e for e in arrived.events if e["kind"] == "alarm_raised"}
    assert set(alarms) == {"high[meter-1]"}
    found = []
    for event in results(one):
        about = event["attributes"]
        place = {"device": event["device"], "point": about["point"], "outcome": about["outcome"]}
        cause = alarms.get(about["by"], {"event_id": None})["event_id"]
        (told,) = await one.daemon.ask("explain", name=about["by"], last=50)
        wanted = [t for t in told["last"] if any(deed.endswith(f"{event['device']}.light.level = {about['value']}") for deed in t["deeds"])]  # fmt: skip
        if event["cause"] != cause:
            found.append(f"{place}: its event names {event['cause']}")
        if not any(place in t["results"] for t in wanted):
            found.append(f"{place}: no transition that wanted it tells how it ended")
        if not all(known(t["points"]) for t in wanted):
            found.append(f"{place}: nobody knows on which values")
    why = alarms["high[meter-1]"]["attributes"].get("why", {"points": []})
    shown = {("meter-1", s["values"].get("elec.voltage.a")) for s in arrived.samples}
    if [(p["device"], p["value"]) for p in why["points"]] != [("meter-1", 258.0)] or not shown:
        found.append("the event of the alarm does not say why")
    return found


def known(points: list[dict[str, Any]]) -> bool:
    """Each shows the value that made the rule active."""
    return bool(points) and all(
        p["value"] > 250 if p["point"] == "elec.voltage.a" else p["value"] < 40 for p in points
    )


async def traced(folder: Path, sabotage: str | None = None) -> None:
    rules = folder / "rules.yaml"
    rules.write_text(RULES, encoding="utf-8")
    async with site(folder, lamp_interval_s=0.5, meters=1, rules=rules, sabotage=sabotage) as one:
        await act(one)
        assert await untraced(one) == []


@pytest.mark.timeout(90)
async def test_each_action_of_a_rule_is_traced_to_its_cause(tmp_path: Path) -> None:
    await traced(tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    "sabotage", ["forget_causes", "traces_without_deeds", "results_of_nobody", "alarms_without_why"]
)
async def test_teeth_an_action_without_its_cause_is_noticed(tmp_path: Path, sabotage: str) -> None:
    with pytest.raises(AssertionError, match=r"names None|no transition|does not say why"):
        await traced(tmp_path, sabotage)
