"""`gateway tail` and `gateway log`: who watches sees what he asked for, and slows nobody down."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.ask import ask, listen
from gateway.cli.tail import _line
from gateway.control import serve
from gateway.driver import Device, DeviceSection
from gateway.loglevels import LogLevels
from gateway.model import (
    EMPTY,
    Event,
    EventKind,
    Item,
    Level,
    Quality,
    Sample,
    Severity,
    Value,
    uuid7,
)
from gateway.tap import MOST, WAITING, Tap, read_filter
from tests.harness.broker import until
from tests.unit.status_site import METER

VOLTAGE, POWER = "elec.voltage.a", "elec.power.total"
DEVICES = {name: Device(name, METER, DeviceSection(profile="test-meter", link="m")) for name in ("m-1", "m-2")}  # fmt: skip


def sample(device: str = "m-1", values: Mapping[str, Value] | None = None) -> Sample:
    return Sample(
        device, 10**18, 1, 1, True, values or {VOLTAGE: 230.5, POWER: 12.0}, EMPTY, None, 1
    )


def event(severity: Severity = Severity.SAFETY, device: str = "m-1") -> Event:
    attributes = {"rule": "overvoltage", "title": "电压高\x1b[2J"}
    return Event(uuid7(), EventKind.ALARM_RAISED, severity, device, 10**18, 1, 1, True, attributes)


class Source:
    """What the bus is for the tap."""

    def __init__(self) -> None:
        self.tap: Any = None
        self.made = Tap(DEVICES, lambda take: setattr(self, "tap", take))

    def publish(self, *items: Item) -> None:
        for item in items:
            if self.tap is not None:
                self.tap(item)


def first(directory: Path, **request: object) -> dict[str, Any]:
    """The first batch that holds something, or was cut."""
    for part in listen(directory, {"verb": "tail", **request}, 5.0):
        assert isinstance(part, dict)
        if part["items"] or part["dropped"]:
            return part
    raise AssertionError


FILTERS: list[tuple[dict[str, object], list[str]]] = [
    ({}, ["m-1 value", "m-2 value", "m-1 safety", "m-2 operational"]),
    ({"devices": ["m-2"]}, ["m-2 value", "m-2 operational"]),
    ({"devices": ["m-*"], "samples": False}, ["m-1 safety", "m-2 operational"]),
    ({"severity": "safety", "samples": False}, ["m-1 safety"]),
    ({"events": False, "points": ["elec.power.*"]}, ["m-1 value"]),
    ({"facilities": ["utilities"], "events": False}, ["m-1 value", "m-2 value"]),
    ({"facilities": ["fire"], "devices": ["m-1"]}, []),
]


@pytest.mark.parametrize(("request_", "wanted"), FILTERS)
def test_a_filter_takes_what_it_names(request_: dict[str, object], wanted: list[str]) -> None:
    items: list[Item] = [
        sample(),
        sample("m-2", {VOLTAGE: 1.0}),
        event(),
        event(Severity.OPERATIONAL, "m-2"),
    ]
    chosen = read_filter(request_)
    found = [
        f"{one.device} {one.severity.name.lower() if isinstance(one, Event) else 'value'}"
        for one in items
        if chosen.wants(one, "utilities")
    ]
    assert found == wanted


@pytest.mark.parametrize("wrong", [{"devices": "m-1"}, {"points": [1]}, {"devices": ["x"] * 51}, {"severity": "bad"}])  # fmt: skip
def test_a_wrong_filter_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"devices|points|severity"):
        read_filter(wrong)


async def test_who_watches_gets_batches_and_the_bus_is_free_afterwards(tmp_path: Path) -> None:
    source = Source()
    async with serve(tmp_path, {"tail": source.made.asked}), asyncio.TaskGroup() as group:
        task = group.create_task(asyncio.to_thread(first, tmp_path, points=[VOLTAGE]))
        await until(lambda: source.tap is not None)
        source.publish(sample(), event())
        part = await task
        assert part["items"][0]["values"] == {VOLTAGE: [230.5, "V"]}
        assert part["items"][1]["attributes"]["rule"] == "overvoltage"
        await until(lambda: source.tap is None, within_s=10.0)


async def test_who_does_not_keep_up_loses_items_and_is_told(tmp_path: Path) -> None:
    source = Source()
    async with serve(tmp_path, {"tail": source.made.asked}), asyncio.TaskGroup() as group:
        task = group.create_task(asyncio.to_thread(first, tmp_path))
        await until(lambda: source.tap is not None)
        source.publish(*[sample()] * (WAITING + 7))
        assert (await task)["dropped"] == 7
        await until(lambda: source.tap is None, within_s=10.0)


async def test_a_few_may_watch_and_the_socket_stays_free_for_others(tmp_path: Path) -> None:
    source = Source()

    async def look(request: Mapping[str, object], _uid: int) -> object:
        return request["verb"]

    async with (
        serve(tmp_path, {"tail": source.made.asked, "look": look}),
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(asyncio.to_thread(first, tmp_path)) for _ in range(MOST)]
        await until(lambda: len(source.made._readers) == MOST)
        with pytest.raises(ValueError, match="others watch already"):
            await asyncio.to_thread(first, tmp_path)
        assert await asyncio.to_thread(ask, tmp_path, {"verb": "look"}, 5.0) == "look"
        source.publish(sample())
        for task in tasks:
            await task
        await until(lambda: source.tap is None, within_s=10.0)


async def test_a_line_is_readable_and_steers_no_terminal() -> None:
    source = Source()
    stream = await source.made.asked({"verb": "tail"}, 0)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(anext(stream))
        await until(lambda: source.tap is not None)
        bad = sample()._replace(values={}, quality={POWER: Quality(Level.BAD, "timeout")})
        source.publish(sample(), bad, event())
        part: Any = await task
    await stream.aclose()
    lines = [_line(item)[13:] for item in part["items"]]
    assert lines == [
        "    m-1 elec.voltage.a=230.5 V  elec.power.total=12.0 W",
        "    m-1 elec.power.total: bad: timeout",
        "!!  m-1 alarm_raised rule=overvoltage title=电压高\\x1b[2J",
    ]


async def test_a_part_logs_more_for_a_while_and_then_as_before() -> None:
    levels, logger = LogLevels(), logging.getLogger("gateway.store.writer")
    found = await levels.asked({"name": "gateway.store", "level": "debug", "for_s": 0.2}, 0)
    assert [one["name"] for one in found] == ["gateway.store"]
    assert logger.isEnabledFor(logging.DEBUG)
    await until(lambda: not logger.isEnabledFor(logging.DEBUG))
    assert await levels.asked({}, 0) == []
    await levels.asked({"name": "gateway.store", "level": "error", "for_s": 60.0}, 0)
    assert not logger.isEnabledFor(logging.WARNING)
    await levels.asked({"name": "gateway.store", "level": "normal"}, 0)
    assert logger.isEnabledFor(logging.WARNING)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"name": "gateway.stroe", "level": "debug", "for_s": 1.0}, "did you mean 'gateway.store'"),
        ({"name": "gateway.store", "level": "loud", "for_s": 1.0}, "is no level"),
        ({"name": "gateway.store", "level": "debug", "for_s": 1e9}, "for how long"),
        ({"name": "gateway.store", "level": "debug"}, "for how long"),
    ],
)
async def test_a_wrong_level_is_refused(request_: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        await LogLevels().asked(request_, 0)
