"""The rule engine: samples through the index, full conditions, one hot point, load; against a loop that only looks up.

One core, single-point samples, every value changes. The baseline does for each sample what nobody
can avoid: find the device and the point in two dictionaries and store the value.
"""

import gc
import random
import time
import tracemalloc

from bench.report import Row
from gateway.document import Document
from gateway.model import Sample, Value
from gateway.profile import Profile
from gateway.profile_alarm import AlarmRule
from gateway.site_limit import SiteLimit
from rules.alarms import Alarms
from rules.check import Report
from rules.load import DeviceView, load_rules
from rules.model import RuleSet
from rules.step import start, step

SAMPLES = 200_000
METER = Profile.model_validate({
    "profile": "bench-meter", "type": "meter", "facility": "utilities", "protocol": "test",
    "sources": ["bench"], "status": "bench",
    "points": [{"id": f"elec.p{n}", "unit": "W", "stale_after": "1h"} for n in range(12)],
})  # fmt: skip
Rules = list[dict[str, object]]


def run() -> list[Row]:
    base = _baseline()
    raw, _ = _rate(_simple(1_000), _devices(1_000))
    full, worst = _rate(_conditions(1_000), _devices(1_000))
    hot, _ = _rate(_thresholds(1_000), _devices(1), spread=0.002)
    wild, _ = _rate(_thresholds(1_000), _devices(1), spread=0.1)
    name = f"two dictionary look-ups ({base:,.0f}/s)"
    load_s, per_instance = _load()
    return [
        Row("1,000 rules, one comparison each", f"{raw:,.0f} samples/s", name, raw / base),
        Row("1,000 rules, window, group and delay", f"{full:,.0f} samples/s", name, full / base),
        Row("  one sample of 12 points, p99", f"{worst:.0f} us"),
        # Two values that are evenly spread over a range are a third of it apart, in the mean.
        Row("1,000 limits on one point, 0.7 crossed a sample", f"{1e6 / hot:.2f} us a sample"),
        Row("  33 crossed a sample", f"{1e6 / wild:.2f} us a sample"),
        Row("load and check 2,000 devices, 1,000 rules", f"{load_s:.2f} s"),
        Row("load and check 2,000 devices with alarms of profiles", f"{_load_alarms():.2f} s"),
        Row("  memory of a rule instance", f"{per_instance:.0f} bytes"),
    ]


def _devices(count: int) -> list[DeviceView]:
    return [DeviceView(f"m-{n}", METER, {"group": str(n // 10)}) for n in range(count)]


def _simple(count: int) -> Rules:
    return [_rule(n, f"m-{n}", "it.elec.p0 > 1 kW") for n in range(count)]


def _conditions(count: int) -> Rules:
    return [
        {**_rule(n, f"m-{n}", "it.elec.p0 > 1 kW and avg(it.elec.p0, 10s) > 1 kW and count_of(near.elec.p1 > 1 kW) >= 2"),
         "with": {"near": {"type": "meter", "tags": {"group": str(n // 10)}}}, "for": "5s"}
        for n in range(count)
    ]  # fmt: skip


def _thresholds(count: int) -> Rules:
    return [_rule(n, "m-0", f"it.elec.p0 > {n} W") for n in range(count)]


def _rule(number: int, device: str, when: str) -> dict[str, object]:
    return {
        "id": f"r-{number}", "for_each": {"id": device}, "when": when,
        "alarm": {"severity": "safety"},
    }  # fmt: skip


def _loaded(rules: Rules, devices: list[DeviceView]) -> RuleSet:
    found, problems = load_rules([Document("bench.yaml", {"rules": rules})], devices)  # type: ignore[dict-item] # built, not parsed
    assert problems == []
    return found


def _samples(devices: int, spread: float) -> list[Sample]:
    """`spread`: how far values go, in kW around 0.5."""
    dice = random.Random(1)
    return [
        Sample(f"m-{n % devices}", at, at, 1, True, {"elec.p0": 500 + dice.random() * 1e3 * spread})
        for n in range(SAMPLES)
        for at in (n * 500_000,)
    ]


def _rate(rules: Rules, devices: list[DeviceView], spread: float = 0.4) -> tuple[float, float]:
    """(samples a second, p99 of a sample of 12 points in us)."""
    state = start(_loaded(rules, devices), 0)
    samples = _samples(len(devices), spread)
    began = time.perf_counter()
    for sample in samples:
        state, _ = step(state, sample, sample.received_ns)
    rate = len(samples) / (time.perf_counter() - began)
    taken = []
    now = samples[-1].received_ns
    for number in range(2_000):
        now += 1_000_000
        values: dict[str, Value] = {f"elec.p{n}": 500.0 + number % 7 for n in range(12)}
        sample = Sample(f"m-{number % len(devices)}", now, now, 1, True, values)
        at = time.perf_counter()
        state, _ = step(state, sample, now)
        taken.append(time.perf_counter() - at)
    return rate, sorted(taken)[int(len(taken) * 0.99)] * 1e6


def _baseline() -> float:
    slots = {f"m-{n}": {"elec.p0": n} for n in range(1_000)}
    values: list[Value] = [0.0] * 1_000
    samples = _samples(1_000, 0.4)
    began = time.perf_counter()
    for sample in samples:
        own = slots.get(sample.device)
        if own is not None:
            for point, value in sample.values.items():
                values[own[point]] = value
    return len(samples) / (time.perf_counter() - began)


def _load_alarms() -> float:
    """Seconds: three alarms a device, one of them against a limit of its own."""
    alarms = [
        AlarmRule(id="high", when="elec.p0 > limit.high", severity="operational"),  # type: ignore[arg-type] # read from its name
        AlarmRule(id="low", when="elec.p1 < 5 W", clear="elec.p1 > 6 W", severity="safety"),  # type: ignore[arg-type] # as above
        AlarmRule(id="both", when="elec.p2 > 1 kW and stale(elec.p3, 1h)", severity="safety"),  # type: ignore[arg-type] # as above
    ]
    profile = METER.model_copy(update={"alarm_rules": alarms})
    devices = [
        DeviceView(f"m-{n}", profile, {}, {"high": SiteLimit(1_000 + n, "W")}) for n in range(2_000)
    ]
    began = time.perf_counter()
    alarms_of_all = Alarms()
    for device in devices:
        alarms_of_all.check_device(device, Report(Document("bench.yaml"), ()))
    assert len(_loaded([], devices).instances) == 3 * 2_000
    return time.perf_counter() - began


def _load() -> tuple[float, float]:
    """(seconds, bytes of an instance): half of the rules are for one device, half for ten."""
    devices = _devices(2_000)
    rules = _simple(500) + [
        {"id": f"g-{n}", "for_each": {"type": "meter", "tags": {"group": str(n % 200)}},
         "when": "it.elec.p1 > 1 kW and it.elec.p2 < 5 kW", "alarm": {"severity": "safety"}}
        for n in range(500)
    ]  # fmt: skip
    began = time.perf_counter()
    loaded = _loaded(rules, devices)
    took = time.perf_counter() - began
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = _loaded(rules, devices)
    gc.collect()  # what is garbage by now is no part of an instance
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return took, used / len(kept.instances) if loaded.instances else 0.0
