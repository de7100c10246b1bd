"""A fire panel, a level sensor and a smoke detector with alarms of their own, for tests of these."""

from gateway.document import Document
from gateway.model import EMPTY, Level, Quality, Sample, Value
from gateway.profile import Point, Profile
from gateway.site_limit import SiteLimit
from rules.load import load_rules
from rules.model import RuleSet
from rules.select import DeviceView

SECOND = 1_000_000_000
STATES = {"0": "normal", "1": "fire", "2": "fault", "7": "isolated"}
ELEMENTS = 5
ALARMS: list[dict[str, object]] = [
    {"id": "fire.signal", "title": "Fire", "when": "fire.device[*] == fire", "severity": "safety", "latch": True},
    {"id": "fire.fault", "when": "fire.device[*] == fault", "severity": "operational"},
    {"id": "fire.bus", "when": "fire.bus == fault", "severity": "safety", "hold": "5s"},
]  # fmt: skip


def profile(
    points: list[dict[str, object]], alarms: list[dict[str, object]], name: str = "test-panel"
) -> Profile:
    return Profile.model_validate({
        "profile": name, "type": "panel", "facility": "fire", "protocol": "test", "sources": ["tests"],
        "status": "bench", "points": points, "alarms": alarms,
    })  # fmt: skip


def panel(alarms: list[dict[str, object]] | None = None, elements: int = ELEMENTS) -> Profile:
    """`fire.device[1]` and so on, `fire.bus`, `alarm.smoke`, a level with and one without unit."""
    whole = profile(
        [
            {"id": "fire.device", "enum": STATES}, {"id": "fire.bus", "kind": "state", "enum": STATES},
            {"id": "alarm.smoke", "kind": "state"}, {"id": "water.level", "unit": "m", "min": 0, "max": 10},
            {"id": "door.open", "kind": "state"}, {"id": "door.count"},
        ],
        ALARMS if alarms is None else alarms,
    )  # fmt: skip
    return with_array(whole, "fire.device", elements)


def with_array(whole: Profile, name: str, elements: int) -> Profile:
    """The point `name` becomes an array: one point for each element, from 1 on."""
    points: list[Point] = []
    for point in whole.points:
        if point.id == name:
            points += [point.model_copy(update={"id": f"{name}[{n + 1}]"}) for n in range(elements)]
        else:
            points.append(point)
    return whole.model_copy(update={"points": points})


def view(
    whole: Profile | None = None,
    *,
    device: str = "panel-1",
    limits: dict[str, SiteLimit] | None = None,
    labels: dict[str, dict[str, str | dict[str, str]]] | None = None,
) -> DeviceView:
    return DeviceView(device, whole or panel(), {}, limits or {}, labels or {})


def compiled(*views: DeviceView) -> RuleSet:
    rules, problems = load_rules([], views)
    assert problems == []
    return rules


def document() -> Document:
    return Document("test-panel.yaml")


def shows(at_s: float, device: str = "panel-1", /, **values: Value | None) -> Sample:
    """`fire_3="fire"` is `fire.device[3]`; None is BAD; other names have `_` for the dot."""
    named = {
        f"fire.device[{key[5:]}]" if key[5:].isdigit() else key.replace("_", "."): value
        for key, value in values.items()
    }
    good = {name: value for name, value in named.items() if value is not None}
    bad = {name: Quality(Level.BAD, "timeout") for name, value in named.items() if value is None}
    return Sample(device, round(at_s * SECOND), round(at_s * SECOND), 1, True, good, bad or EMPTY)
