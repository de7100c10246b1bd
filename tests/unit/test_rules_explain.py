"""Why a rule is active and why not, as it is told; what the graph of rules shows."""

import re
from typing import Any

import pytest

from gateway.cli.rules_live import page
from rules.explain import Part, explained, named
from rules.flow import State
from rules.graph import graph, graphviz, mermaid
from rules.model import RuleSet
from rules.step import Tick, start, step
from tests.unit.rules_site import SECOND, sample, usable

RULES = """\
rules:
- id: high
  title: Much power at a low voltage
  for_each: {type: meter, tags: {building: "1"}}
  when: it.elec.power.total > 1 kW and (it.elec.voltage.a < 200 V or it.env.temperature > 60 °C)
  for: 30s
  keep_for: 20s
  alarm: {severity: safety}
- id: dark
  for_each: {type: light}
  when: it.env.illuminance < 40 lx and not active("high", any)
  allow_feedback: true
  do: [{set: {device: it, point: light.level, value: 60 %}}]
"""


@pytest.fixture
def rules() -> RuleSet:
    return usable(RULES)


def told(state: State, name: str, now_s: float) -> list[str]:
    one = explained(state, named(state, name)[0], round(now_s * SECOND))
    raw: dict[str, Any] = one._asdict()
    for key in ("when_parts", "until_parts"):
        raw[key] = [part._asdict() for part in raw[key]]
    raw["points"] = [
        {**p._asdict(), "unit": "1", "quality": "bad: timeout" if p.why == "bad" else "good"}
        for p in one.points
    ]
    return list(page(raw))


def test_each_part_of_a_condition_is_true_false_or_unknown(rules: RuleSet) -> None:
    state, _ = step(
        start(rules),
        sample("meter-1", 1, {"elec.power.total": 1500}, bad=("env.temperature",)),
        SECOND,
    )
    one = explained(state, named(state, "high[meter-1]")[0], 3 * SECOND)
    assert one.phase == "normal"
    assert one.when_parts == (
        Part(0, "all of", None),
        Part(1, "elec.power.total (1500) > 1000", truth=True, column=1),
        Part(1, "any of", None),
        Part(2, "elec.voltage.a (unknown) < 200", None, 33),
        Part(2, "env.temperature (unknown) > 60", None, 62),
    )
    lines = told(state, "high", 3)
    assert "    meter-1.elec.power.total = 1500, 2 s ago" in lines
    assert "    meter-1.elec.voltage.a = unknown, never seen" in lines
    clock = r"unknown since \d\d:\d\d \(2 s\): bad: timeout"
    assert any(re.fullmatch(f"    meter-1.env.temperature = {clock}", line) for line in lines)


def test_a_delay_that_runs_says_how_long(rules: RuleSet) -> None:
    values: dict[str, Any] = {"elec.power.total": 1500, "elec.voltage.a": 190}
    state, _ = step(start(rules), sample("meter-1", 0, values), 0)
    assert told(state, "high", 12)[:2] == [
        "high[meter-1]: Much power at a low voltage",
        "  pending 12 s of 30 s",
    ]
    state, _ = step(state, Tick(), 30 * SECOND)
    assert told(state, "high", 31)[1] == "  active, since 1 s"
    state, _ = step(
        state, sample("meter-1", 40, {"elec.voltage.a": 230, "env.temperature": 20}), 40 * SECOND
    )
    assert told(state, "high", 45)[1] == "  clearing 5 s of 20 s, since 15 s"


def test_a_value_that_is_too_old_says_so(rules: RuleSet) -> None:
    state, _ = step(start(rules), sample("meter-1", 0, {"elec.power.total": 1500}), 0)
    state, _ = step(state, Tick(), 40 * SECOND)
    (line,) = [one for one in told(state, "high", 40) if "power.total = " in one]
    age = round((40 * SECOND - state.rules.stale_ns[0]) / SECOND)
    assert re.fullmatch(rf".* = unknown since \d\d:\d\d \({age} s\): too old", line)


def test_what_a_rule_sets_and_asks_is_told(rules: RuleSet) -> None:
    state, _ = step(start(rules), sample("light-1", 0, {"env.illuminance": 10.0}), 0)
    lines = told(state, "dark[light-1]", 1)
    assert lines[1] == "  active, since 1 s"
    assert "    true      32   not active(high) (false)" in lines
    assert lines[-1] == "  sets light-1.light.level = 60"


def test_a_name_that_nobody_bears_is_refused(rules: RuleSet) -> None:
    with pytest.raises(ValueError, match=r"no rule or instance 'hihg': did you mean 'high'\?"):
        named(start(rules), "hihg")


def test_the_graph_has_points_rules_and_what_they_ask(rules: RuleSet) -> None:
    lines = list(mermaid(graph(rules, {"high", "dark"}, single=False)))
    assert lines == [
        "flowchart LR",
        '  n0["elec.power.total"]', '  n1(["high"])', '  n2["elec.voltage.a"]', '  n3["env.temperature"]',
        '  n4["env.illuminance"]', '  n5(["dark"])', '  n6["light.level"]',
        "  n0 --> n1", "  n2 --> n1", "  n3 --> n1", "  n4 --> n5", "  n1 -.-> n5", "  n5 ==> n6",
    ]  # fmt: skip
    dot = list(graphviz(graph(rules, {"dark"}, single=True)))
    assert '  n1 [label="dark[light-1]", shape=ellipse];' in dot
    assert '  n0 [label="light-1.env.illuminance", shape=box];' in dot
    assert "  n1 -> n3 [style=bold];" in dot
    assert "  n2 -> n1 [style=dashed];" in dot


def test_a_point_of_several_devices_is_one_node_that_counts_them() -> None:
    rules = usable(
        "rules:\n- id: v\n  for_each: {type: meter}\n  when: it.elec.voltage.a > 250 V\n  alarm: {severity: safety}\n"
    )
    assert '  n0["elec.voltage.a<br/>2 devices"]' in list(
        mermaid(graph(rules, {"v"}, single=False))
    )
