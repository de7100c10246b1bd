"""`gateway rules list`, `explain` and `graph` beside a running gateway."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.compound import Site, site
from tests.integration.test_daemon import gateway, healthy


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as running:
        yield running


@pytest.mark.timeout(60)
async def test_an_operator_asks_why_an_alarm_is_active_and_why_another_one_is_not(
    one: Site,
) -> None:
    config = one.daemon.config
    await one.daemon.until(healthy)
    one.running.farms[0].set_voltage("meter-2", 258.0)
    await one.daemon.until(lambda s: len(s["alarms"]) == 1)
    code, text = await gateway("rules", "list", "-c", config)
    assert (code, "overvoltage[meter-2]: active" in text) == (0, True), text
    code, text = await gateway("rules", "explain", "overvoltage", "-c", config)
    assert code == 0, text
    assert text.startswith("overvoltage[meter-2]: Supply voltage above 235.4 V\n  active, since"), (
        text
    )
    assert "    true       1 elec.voltage.a (258) > 235.4" in text
    code, text = await gateway(
        "rules", "explain", "overvoltage[meter-2]", "--last", "5", "-c", config
    )
    assert code == 0, text
    assert ": pending -> active after 2 s of 2 s (" in text
    assert "      alarm raised (operational)" in text
    code, text = await gateway("rules", "explain", "overvoltage", "--last", "51", "-c", config)
    assert (code, "write 0 to 50" in text) == (1, True), text
    code, text = await gateway("rules", "explain", "overvoltage[meter-1]", "--json", "-c", config)
    told = json.loads(text)[0]
    assert (told["phase"], told["when_parts"][0]["truth"]) == ("normal", False)
    assert (told["points"][0]["unit"], told["points"][0]["quality"]) == ("V", "good")
    code, text = await gateway("rules", "explain", "overvoltag", "-c", config)
    assert (code, "did you mean 'overvoltage'?" in text) == (1, True), text
    code, text = await gateway("rules", "graph", "-c", config)
    assert (code, text.splitlines()[0]) == (0, "flowchart LR")


async def test_without_a_gateway_the_rules_are_listed_and_nothing_is_explained(one: Site) -> None:
    await one.daemon.stop()
    code, text = await gateway("rules", "list", "-c", one.daemon.config)
    assert (code, "overvoltage: Supply voltage" in text, "does not run" in text) == (0, True, True)
    assert (await gateway("rules", "explain", "overvoltage", "-c", one.daemon.config))[0] == 3
