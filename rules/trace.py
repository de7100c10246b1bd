"""What was known when an instance changed its phase: for whoever asks later why, and why not. Pure.

Only transitions are kept, so a rule that rests costs nothing. The texts are made when somebody asks.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.model import Value
from rules.outputs import Claimed, Commanded, Output, Released
from rules.predicate import Predicate

RING = 50  # traces of one rule
MOST_BYTES = 20_000_000  # of all together; a gateway has 1 GB
POINTS = 64  # of one trace: a rule about 500 devices is no reason to copy 500 values
RESULTS = 32  # of one trace
LATER = 64  # outputs of one trace: what its later steps do beyond that is not told


class Known(NamedTuple):
    """A point behind a condition. `age_ns` None: it was never seen. Of an unknown one `why`, and since
    how long, if it was known before.
    """

    device: str
    point: str
    value: Value | None
    age_ns: int | None
    why: str
    unknown_ns: int | None = None


class Test(NamedTuple):
    """A condition and the values of its inputs; without a predicate: whether it was the hour of `during`."""

    key: str
    predicate: Predicate | None
    values: tuple[Value | None, ...]


class Result(NamedTuple):
    """How a write ended."""

    device: str
    point: str
    outcome: str


@dataclass(slots=True, eq=False)
class Trace:
    """A transition of `instance` from phase `was` to `phase` at engine time `at`.

    `n` is the number of the input that led to it, 0 without one: a delay was over, or somebody did
    something. `hash` tells versions of a rule apart. Of a delay of `wait_ns` that ended, `waited_ns`
    had passed. `more` points are left out. `results` come later.
    """

    at: int
    n: int
    rule: str
    instance: str
    hash: str
    was: str
    phase: str
    waited_ns: int
    wait_ns: int
    tests: tuple[Test, ...]
    points: tuple[Known, ...]
    more: int
    outputs: tuple[Output, ...]
    results: list[Result] = field(default_factory=list)

    def writes(self, device: str, point: str) -> bool:
        return any(
            (one.device, one.point) == (device, point)
            for one in self.outputs if isinstance(one, Claimed | Commanded | Released)
        )  # fmt: skip

    @property
    def bytes(self) -> int:
        """About so many: measured with CPython 3.11 on 64 bits."""
        inputs = sum(len(test.values) for test in self.tests)
        return 600 + 160 * len(self.points) + 16 * inputs + 300 * len(self.outputs) + 120 * RESULTS


class Traces:
    """The newest of each rule, the oldest first. Beyond `most` bytes the oldest of all go."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._rings: OrderedDict[str, deque[Trace]] = OrderedDict()  # by rule, the stalest first
        self.bytes = 0

    def keep(self, trace: Trace) -> None:
        ring = self._rings.setdefault(trace.rule, deque())
        self._rings.move_to_end(trace.rule)
        ring.append(trace)
        self.bytes += trace.bytes
        if len(ring) > RING:
            self.bytes -= ring.popleft().bytes
        while self.bytes > self._most and len(self._rings) > 1:
            stalest = next(iter(self._rings))
            self.bytes -= self._rings[stalest].popleft().bytes
            if not self._rings[stalest]:
                del self._rings[stalest]

    def later(self, instance: str, outputs: Sequence[Output]) -> None:
        """What the steps of an instance did some time after the transition that began them."""
        for trace in self.of(instance):
            if trace.outputs:
                before, room = trace.bytes, max(0, LATER - len(trace.outputs))
                trace.outputs = (*trace.outputs, *outputs[:room])
                self.bytes += trace.bytes - before
                return

    def of(self, instance: str) -> list[Trace]:
        """The newest first."""
        ring = self._rings.get(instance.partition("[")[0], ())
        return [trace for trace in reversed(ring) if trace.instance == instance]

    def result(self, instance: str, result: Result) -> None:
        """A write that the instance wanted has ended: it belongs to its newest trace that wanted it.

        What a member of a group wrote stands in none: to the newest that did anything.
        """
        did = [trace for trace in self.of(instance) if trace.outputs]
        wanted = [trace for trace in did if trace.writes(result.device, result.point)]
        for trace in (wanted or did)[:1]:
            if len(trace.results) < RESULTS:
                trace.results.append(result)
