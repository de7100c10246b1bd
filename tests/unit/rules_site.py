"""A small compound for the tests of the rules: meters, lights, smoke detectors, doors."""

from collections.abc import Collection

from gateway.document import parse
from gateway.errors import Problem
from gateway.model import EMPTY, Level, Quality, Sample, Value
from gateway.profile import Profile
from rules.load import DeviceView, load_rules
from rules.model import RuleSet

SECOND = 1_000_000_000


def _profile(name: str, type_: str, points: list[object], commands: list[object]) -> Profile:
    return Profile.model_validate({
        "profile": name, "type": type_, "facility": "utilities", "protocol": "test",
        "sources": ["tests"], "status": "bench", "points": points, "commands": commands,
    })  # fmt: skip


METER = _profile(
    "test-meter",
    "meter",
    [
        {"id": "elec.voltage.a", "unit": "V", "min": 0, "max": 300},
        {"id": "elec.power.total", "unit": "W", "stale_after": "30s"},
        {"id": "elec.pf.total", "min": -1, "max": 1},
        {"id": "water.pressure", "unit": "kPa", "latched": True},
        {"id": "meter.serial", "integer": True, "poll": "once"},
        {"id": "env.temperature", "unit": "Cel", "poll": "5m"},
    ],
    [],
)
LIGHT = _profile(
    "test-light",
    "light",
    [
        {"id": "light.level", "unit": "%", "min": 0, "max": 100},
        {"id": "light.on", "kind": "state"},
        {"id": "light.mode", "kind": "state", "enum": {"0": "auto", "1": "hand"}},
        {"id": "light.group"},
        {"id": "light.fade", "unit": "s"},
        {"id": "env.illuminance", "unit": "lx", "min": 0, "max": 100000},
    ],
    [
        {"id": "level", "point": "light.level", "range": [0, 100]},
        {"id": "on", "point": "light.on"},
        {"id": "mode", "point": "light.mode", "enum": {"0": "auto", "1": "hand"}},
        {"id": "group", "point": "light.group"},
        {"id": "fade", "point": "light.fade"},
    ],
)
DEVICES = [
    DeviceView("meter-2", METER, {"building": "2", "medium": "electricity"}),
    DeviceView("meter-1", METER, {"building": "1"}),
    DeviceView("light-1", LIGHT, {"building": "1", "use": "street"}),
]


def load(text: str, *more: str, recipients: Collection[str] = ()) -> tuple[RuleSet, list[Problem]]:
    """Rule files given as texts, named a.yaml, b.yaml, ..., for the devices of this module."""
    names = "abcdefgh"
    documents = [parse(t.encode(), f"{names[i]}.yaml") for i, t in enumerate((text, *more))]
    return load_rules(documents, DEVICES, recipients)


def usable(text: str, *more: str, recipients: Collection[str] = ()) -> RuleSet:
    rules, problems = load(text, *more, recipients=recipients)
    assert problems == []
    return rules


def sample(
    device: str,
    received_s: float,
    values: dict[str, Value],
    *,
    bad: tuple[str, ...] = (),
    uncertain: tuple[str, ...] = (),
) -> Sample:
    quality = {name: Quality(Level.BAD, "timeout") for name in bad}
    quality |= {name: Quality(Level.UNCERTAIN, "implausible") for name in uncertain}
    received = round(received_s * SECOND)
    return Sample(device, received, received, 1, True, values, quality or EMPTY)
