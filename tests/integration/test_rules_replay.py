"""A day in the journal decides the same again: as it was live, twice, and on both event loops."""

import asyncio
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from gateway.decider import Memory
from gateway.model import EventKind, Sample, Value
from gateway.store.lately import lately
from rules.model import RuleSet
from rules.outputs import Cleared, Output, Raised
from rules.step import Tick, next_due, start, step
from tests.harness.clock import FakeClock
from tests.harness.stores import opened
from tests.unit.rules_site import SECOND
from tests.unit.test_decider import Site

RULES = """
rules:
- id: high
  for_each: {type: meter}
  when: it.elec.voltage.a > 240 V
  until: it.elec.voltage.a < 236 V
  for: 90s
  keep_for: 60s
  alarm: {severity: safety, cooldown: 1h}
- id: busy
  for_each: {type: meter}
  when: avg(it.elec.power.total, 10m) > 52 W and count(it.elec.power.total, 10m) >= 3
  alarm: {severity: operational, ack: required}
- id: everything
  with: {meters: {type: meter}}
  when: count_of(meters.elec.voltage.a > 235 V) >= 2
  on_unknown: assume_false
  alarm: {severity: operational}
- id: dark
  for_each: {type: light}
  when: it.env.illuminance < 40 lx
  do:
  - set: {device: it, point: light.level, value: 60 %}
  - wait: 5m
  - set: {device: it, point: light.level, value: 30 %}
- id: silent
  for_each: {type: meter}
  when: stale(it.elec.power.total, 3m)
  alarm: {severity: operational}
"""
ANSWERS: set[bytes] = set()  # of each loop
SAMPLES = 3_000
BEGIN = FakeClock().boottime_ns()
TOLD = frozenset({EventKind.ALARM_RAISED, EventKind.ALARM_CLEARED})


def day(seed: int = 11) -> Iterable[tuple[float, str, dict[str, Value]]]:
    """Seconds since the sample before, device, what it shows."""
    rng = random.Random(seed)
    for _ in range(SAMPLES):
        gap = rng.choice([1.0, 5.0, 29.0, 30.0, 61.0])
        device = rng.choice(["meter-1", "meter-2", "light-1"])
        if device == "light-1":
            yield gap, device, {"env.illuminance": rng.choice([10.0, 39.0, 40.0, 300.0])}
        else:
            volts, watts = rng.uniform(230, 245), rng.uniform(0, 100)
            yield gap, device, {"elec.voltage.a": volts, "elec.power.total": watts}


def replayed(rules: RuleSet, samples: Iterable[Sample], begin: int, end: int) -> list[tuple[int, Output]]:  # fmt: skip
    state, found = start(rules, begin), list[tuple[int, Output]]()

    def take(taken: Sample | Tick, now: int) -> None:
        nonlocal state
        state, outputs = step(state, taken, now)
        found.extend((now, output) for output in outputs)

    for sample in samples:
        while (due := next_due(state)) is not None and due <= sample.received_ns:
            take(Tick(), due)
        take(sample, sample.received_ns)
    while (due := next_due(state)) is not None and due <= end:
        take(Tick(), due)
    return found


async def live(folder: Path) -> tuple[RuleSet, list[tuple[int, str, str]]]:
    """A gateway lives through the day: the alarms that it told, by time. Its journal is in `folder`."""
    one = Site(RULES)
    owner = asyncio.create_task(one.commands.run())
    await asyncio.sleep(0)
    one.decider.recall(Memory(), one.clock.boottime_ns())
    one.decider.restore(one.clock.boottime_ns(), one.bus)
    for gap, device, values in day():
        until = one.clock.boottime_ns() + round(gap * SECOND)
        while (due := one.decider.next_due_ns()) is not None and due <= until:
            one.clock.advance((due - one.clock.boottime_ns()) / 1e9)
            one.decider.decide(None, due, one.bus)
        one.clock.advance((until - one.clock.boottime_ns()) / 1e9)
        sample = Sample(device, one.clock.time_ns(), until, 1, True, values)
        await one.bus.publish(sample)
    owner.cancel()
    await asyncio.wait([owner])
    async with opened(folder) as store:
        for item in one.journal.items:
            store.append(item)
    told = [event for event in one.journal.events if event.kind in TOLD]
    return one.decider.engine.rules, [
        (event.received_ns, event.kind.value, str(event.attributes["instance"])) for event in told
    ]


def answer(folder: Path, rules: RuleSet) -> list[tuple[int, Output]]:
    samples = list(lately(folder, 0, 100_000))
    assert len(samples) == SAMPLES
    return replayed(rules, samples, BEGIN, samples[-1].received_ns)


@pytest.mark.both_loops
@pytest.mark.timeout(60)
async def test_a_day_of_the_journal_decides_the_same_again_and_on_both_loops(
    tmp_path: Path,
) -> None:
    rules, told = await live(tmp_path)
    found = await asyncio.to_thread(answer, tmp_path, rules)
    names = {Raised: "alarm_raised", Cleared: "alarm_cleared"}
    again = [(at, names[type(o)], o.instance) for at, o in found if isinstance(o, Raised | Cleared)]
    assert again == told
    assert len({kind for _, kind, _ in told}) == 2
    assert len({name for _, _, name in told}) >= 6, "all rules have something to say"
    assert await asyncio.to_thread(answer, tmp_path, rules) == found
    ANSWERS.add(repr(found).encode())
    assert len(ANSWERS) == 1, "on the other loop too"
