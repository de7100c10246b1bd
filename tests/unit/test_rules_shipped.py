"""The shipped rule files load against the shipped profiles and do what they say."""

from importlib.resources import files
from pathlib import Path

import pytest

from gateway.document import load
from gateway.profile import find, load_profile
from rules.load import DeviceView, load_rules
from rules.model import RuleSet
from rules.step import Claimed, Raised, Released, Tick, start, step
from tests.unit.rules_site import SECOND, sample

FOLDER = Path(str(files("configs").joinpath("rules")))


@pytest.fixture
def rules() -> RuleSet:
    devices = []
    for device, name in (("meter-1", "eastron-sdm120"), ("light-1", "streetlight-native")):
        path = find(name, [])
        assert path is not None, f"profile {name} is not shipped"
        devices.append(DeviceView(device, load_profile(path)[0], {}))
    documents = [load(path) for path in sorted(FOLDER.glob("*.yaml"))]
    rules, problems = load_rules(documents, devices)
    assert problems == []
    assert rules.notes == ()
    return rules


def test_a_street_light_burns_from_dusk_to_dawn(rules: RuleSet) -> None:
    state = start(rules)
    outputs = []
    for second, lux in enumerate([50.0, 39.0, 30.0, 30.0, 30.0, 30.0, 30.0, 100.0, 121.0]):
        state, more = step(
            state, sample("light-1", second, {"env.illuminance": lux}), second * SECOND
        )
        outputs += [(second, type(output)) for output in more]
        assert all(o.value == 60 for o in more if isinstance(o, Claimed))
    assert outputs == [(6, Claimed), (8, Released)]


def test_overvoltage_is_quiet_at_normal_supply_and_raised_above_the_limit(rules: RuleSet) -> None:
    state = start(rules)
    for second, volts in enumerate([225.0, 230.0, 232.0, 235.4]):
        state, outputs = step(
            state, sample("meter-1", second, {"elec.voltage.a": volts}), second * SECOND
        )
        assert outputs == []
    state, outputs = step(state, sample("meter-1", 4, {"elec.voltage.a": 235.5}), 4 * SECOND)
    assert outputs == []
    state, outputs = step(state, Tick(), 6 * SECOND)
    assert [type(output) for output in outputs] == [Raised]
