"""Making a Sample, against the frozen dataclass it could have been."""

import timeit
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.report import Row
from gateway.model import EMPTY, Quality, Sample, Value, uuid7

ROUNDS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    device: str
    time_ns: int
    received_ns: int
    boot: int
    clock_ok: bool
    values: Mapping[str, Value]
    quality: Mapping[str, Quality]
    source_id: bytes | None = None
    n: int = 0


def _ns(work: Callable[[], object]) -> float:
    return min(timeit.repeat(work, number=ROUNDS, repeat=3)) / ROUNDS * 1e9


def run() -> list[Row]:
    values: Mapping[str, Value] = {"elec.power.total": 1.5}
    sample = Sample("meter-1", 1, 2, 1, True, values)
    frozen = _ns(lambda: Frozen(device="meter-1", time_ns=1, received_ns=2, boot=1, clock_ok=True, values=values, quality=EMPTY))  # fmt: skip
    made = _ns(lambda: Sample("meter-1", 1, 2, 1, True, values, EMPTY))
    numbered = _ns(lambda: sample.numbered(7))
    baseline = f"a frozen dataclass ({frozen:.0f} ns)"
    return [
        Row("Sample(...)", f"{made:.0f} ns", baseline, made / frozen),
        Row("sample.numbered(n)", f"{numbered:.0f} ns", baseline, numbered / frozen),
        Row("uuid7()", f"{_ns(uuid7):.0f} ns"),
    ]
