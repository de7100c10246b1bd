"""What the control socket tells of rules: how each instance is, and why."""

from collections.abc import Mapping
from typing import Protocol

from gateway.clock import Clock
from gateway.control import Handler
from gateway.decider import RuleDecider
from gateway.driver import Device
from gateway.model import Quality
from gateway.state import State
from rules.explain import Explained, explained, named, phase_of


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


def explaining(source: Source) -> dict[str, Handler]:
    """The verbs `rules` and `explain`."""

    async def rules(_request: Mapping[str, object], _uid: int) -> object:
        engine = source.decider.engine
        phases = [phase_of(engine, rank) for rank in range(len(engine.rules.instances))]
        instances = [one.id for one in engine.rules.instances]
        return {"instances": dict(zip(instances, phases, strict=True)), "late": engine.late}

    async def explain(request: Mapping[str, object], _uid: int) -> object:
        decider = source.decider
        engine, now = decider.engine, decider.engine_time(source.clock.boottime_ns())
        ranks = named(engine, str(request.get("name")))
        return [_told(explained(engine, rank, now), source) for rank in ranks]

    return {"rules": rules, "explain": explain}


def _told(one: Explained, source: Source) -> dict[str, object]:
    """With what only the gateway knows: units, and what drivers say of the quality."""
    told: dict[str, object] = one._asdict()
    told["when_parts"] = [part._asdict() for part in one.when_parts]
    told["until_parts"] = [part._asdict() for part in one.until_parts]
    devices = {**source.devices, source.own.id: source.own}
    points = []
    for known in one.points:
        reading = source.state.reading(known.device, known.point)
        point = devices[known.device].profile.by_id[known.point]
        quality = _quality(None if reading is None else reading.quality)
        points.append({**known._asdict(), "unit": point.unit, "quality": quality})
    told["points"] = points
    return told


def _quality(quality: Quality | None) -> str:
    return "good" if quality is None else f"{quality.level.value}: {quality.reason}"
