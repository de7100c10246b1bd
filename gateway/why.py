"""What the control socket tells of rules: how each instance is, and why."""

from collections.abc import Mapping
from typing import Protocol

from gateway.clock import Clock
from gateway.commands import Commands
from gateway.control import Handler
from gateway.decider import RuleDecider
from gateway.driver import Device
from gateway.model import Quality
from gateway.state import State
from rules.account import accounts
from rules.explain import Explained, explained, named
from rules.model import LEVELS
from rules.standing import phase_of
from rules.trace import RING, Known


class Source(Protocol):
    """Where answers come from; `gateway.app` implements it. A reload changes the devices."""

    @property
    def decider(self) -> RuleDecider: ...
    @property
    def devices(self) -> Mapping[str, Device]: ...
    @property
    def own(self) -> Device: ...
    @property
    def state(self) -> State: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def commands(self) -> Commands: ...


def explaining(source: Source) -> dict[str, Handler]:
    """The verbs `rules` and `explain`."""

    async def rules(_request: Mapping[str, object], _uid: int) -> object:
        engine = source.decider.engine
        phases = [phase_of(engine, rank) for rank in range(len(engine.rules.instances))]
        instances = [one.id for one in engine.rules.instances]
        return {"instances": dict(zip(instances, phases, strict=True)), "late": engine.late}

    async def explain(request: Mapping[str, object], _uid: int) -> object:
        """`last`: how many transitions are told with each, 0 to 50."""
        decider = source.decider
        engine, now = decider.engine, decider.engine_time(source.clock.boottime_ns())
        last = request.get("last", 0)
        if not isinstance(last, int) or not 0 <= last <= RING:
            raise ValueError(f"last: write 0 to {RING}")
        ranks = named(engine, str(request.get("name")))
        found = [explained(engine, rank, now) for rank in ranks]
        return [
            {**_told(one, source), "last": _past(source, one.instance, last, now)} for one in found
        ]

    return {"rules": rules, "explain": explain}


def _told(one: Explained, source: Source) -> dict[str, object]:
    """With what only the gateway knows: units, and what drivers say of the quality."""
    told: dict[str, object] = one._asdict()
    told["when_parts"] = [part._asdict() for part in one.when_parts]
    told["until_parts"] = [part._asdict() for part in one.until_parts]
    points = []
    for known in one.points:
        reading = source.state.reading(known.device, known.point)
        quality = _quality(None if reading is None else reading.quality)
        points.append({**known._asdict(), "unit": _unit(known, source), "quality": quality})
    told["points"] = points
    places = {(device, point) for device, point, _ in one.sets}
    told["claims"] = [_claim(*place, source.commands) for place in sorted(places)]
    return told


def _unit(known: Known, source: Source) -> str:
    device = source.own if known.device == source.own.id else source.devices.get(known.device)
    point = None if device is None else device.profile.by_id.get(known.point)
    return "1" if point is None else point.unit  # "1" too where a reload has removed it


def _claim(device: str, point: str, commands: Commands) -> dict[str, object]:
    """Whom the point follows now; `holder` "" while nobody holds it."""
    ruling = commands.ruling(device, point)
    names = {level: name for name, level in LEVELS.items()}
    return {
        "device": device, "point": point, "holder": "" if ruling is None else ruling.holder,
        "value": None if ruling is None else ruling.value,
        "priority": "" if ruling is None else names.get(ruling.level, str(ruling.level)),
    }  # fmt: skip


def _past(source: Source, instance: str, last: int, now: int) -> list[dict[str, object]]:
    """The last transitions; without being asked for them, one that was a near miss."""
    found = accounts(source.decider.engine, instance, max(last, 1), now)
    if not last:
        found = [one for one in found if (one.was, one.phase) == ("pending", "normal")]
    return [
        {**one._asdict(), "parts": [{"key": key, **part._asdict()} for key, part in one.parts],
         "points": [{**p._asdict(), "unit": _unit(p, source), "quality": "good"} for p in one.points],
         "results": [result._asdict() for result in one.results]}
        for one in found
    ]  # fmt: skip


def _quality(quality: Quality | None) -> str:
    return "good" if quality is None else f"{quality.level.value}: {quality.reason}"
