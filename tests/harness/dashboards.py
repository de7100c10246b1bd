"""The shipped Grafana dashboards: their queries, and what the sink writes for the shipped profiles."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gateway.driver import Device
from gateway.model import Event, EventKind, Sample, Severity, Value, uuid7
from gateway.point import Point
from gateway.profile import load_profile, shipped_folder
from gateway.profile_model import Profile
from gateway.sinks.influx_encode import EVENT, Encoder
from tests.harness.influx import meters

FOLDER = Path(__file__).parents[2] / "configs" / "grafana"
NAMES = ("alarms", "gateway", "lights", "meter", "overview")
TAGS = frozenset({"gateway", "device", "profile", "kind", "lane", "severity"})
_FROM = re.compile(r'FROM "([^"]+)"')
_ALIAS = re.compile(r'AS "([^"]+)"')
_QUOTED = re.compile(r'"([^"]+)"')


class Query(NamedTuple):
    """`panel` is its title, or the name of the variable that the query fills."""

    dashboard: str
    panel: str
    text: str

    @property
    def measurements(self) -> set[str]:
        return set(_FROM.findall(self.text))

    @property
    def names(self) -> set[str]:
        """Fields and tags, without the names that the query gives itself."""
        own = {*_ALIAS.findall(self.text), *self.measurements}
        return set(_QUOTED.findall(self.text)) - own

    def filled_in(self) -> str:
        """As Grafana sends it with everything chosen."""
        text = self.text.replace("$timeFilter", "time >= now() - 2d")
        text = text.replace("$__interval", "10m")
        return text.replace("$device", ".*").replace("$gateway", ".*")


def load(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def queries(name: str) -> Iterator[Query]:
    whole = load(name)
    for panel in whole["panels"]:
        for target in panel["targets"]:
            yield Query(name, panel["title"], target["query"])
    for variable in whole["templating"]["list"]:
        if variable["type"] == "query":
            yield Query(name, variable["name"], variable["query"])


def profiles() -> list[Profile]:
    return [load_profile(path)[0] for path in sorted(shipped_folder().glob("*.yaml"))]


def written(shipped: list[Profile]) -> dict[str, set[str]]:
    """Measurement: its fields. Every point of every shipped profile, and events."""
    found: dict[str, set[str]] = {EVENT: {"event_id", "attributes", "clock_ok", "cause"}}
    for profile in shipped:
        found.setdefault(profile.facility, set()).update(profile.by_id)
    return found


def lines(shipped: list[Profile], now_ns: int) -> list[bytes]:
    """A compound with two readings of one device of every profile, and an event of every kind."""
    section = meters(1)["meter-0"].section
    devices = {p.profile: Device(p.profile, p, section) for p in shipped}
    encoder = Encoder("gw-test-01", devices)
    made = []
    for profile in shipped:
        for n in range(2):
            values = {p.id: _value(p, n) for p in profile.points}
            at = now_ns - (1 - n) * 25 * 3_600 * 10**9 - 10**10
            made.append(encoder.sample(Sample(profile.profile, at, at, 1, True, values)))
    for lane, severity in ((0, Severity.LIFE), (1, Severity.OPERATIONAL)):
        for n, kind in enumerate(EventKind):
            at = now_ns - 10**10
            attributes: Mapping[str, object] = {"n": n}
            event = Event(uuid7(at), kind, severity, "gateway", at, at, 1, n > 0, attributes)
            made.append(encoder.event(lane, n, event))
    return [line.encode() for line in made if line]


def _value(point: Point, n: int) -> Value:
    if point.enum:
        return next(iter(point.enum.values()))
    return bool(n) if point.kind in {"state", "event"} else 20.0 + n
