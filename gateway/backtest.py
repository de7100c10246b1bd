"""What rules would have done: run over the samples that the journal holds, beside what happened.

Engine time is the wall clock of each boot as its events tell it. The journal has what report
strategies let through, so a rule may see fewer samples here than it saw, or would have seen, live.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gateway.model import LANE_ALARM, LANE_EVENT, LANE_SAMPLE, RETAINED, Event, EventKind, Sample
from gateway.store.export import Export
from gateway.trial import Happened, Trial
from rules.load import DeviceView
from rules.model import RuleSet

SECOND = 1_000_000_000
WARM_NS = 24 * 3600 * SECOND  # the longest window: read before, so that it is full
SAME_NS = 1 * SECOND  # a raise that is off by less is the same: commits and polls have their time
MOVED_NS = 600 * SECOND  # one that is off by less is the same, moved
MAX_RAISES = 100_000  # of all rules; beyond, a rule flaps and the count alone is kept


class Raise(NamedTuple):
    """`at`: ns since 1970."""

    at: int
    instance: str

    @property
    def rule(self) -> str:
        return self.instance.partition("[")[0]


class Move(NamedTuple):
    instance: str
    was: int
    now: int


@dataclass(slots=True)
class Diff:
    """By rule: alarms that only the rules have, that only the journal has, that came at another time."""

    same: Counter[str] = field(default_factory=Counter)
    added: dict[str, list[Raise]] = field(default_factory=dict)
    removed: dict[str, list[Raise]] = field(default_factory=dict)
    moved: dict[str, list[Move]] = field(default_factory=dict)

    @property
    def rules(self) -> list[str]:
        return sorted({*self.same, *self.added, *self.removed, *self.moved})


@dataclass(slots=True)
class Backtest:
    """`samples` that were fed, `damaged` records that could not be read, `uncounted` raises beyond 100,000."""

    raised: list[Raise] = field(default_factory=list)
    stored: list[Raise] = field(default_factory=list)
    samples: int = 0
    damaged: int = 0
    uncounted: int = 0


class _Past(NamedTuple):
    """What events tell: which alarms were active when the run begins, raises in the range, clocks."""

    active: frozenset[str]
    raises: tuple[Raise, ...]
    offsets: Mapping[int, int]  # boot -> wall clock minus engine time, ns


def backtest(
    directory: Path,
    rules: RuleSet,
    devices: Mapping[str, DeviceView],
    since_ns: int,
    until_ns: int,
    advanced: Callable[[int, int], None] = lambda _count, _total: None,
) -> Backtest:
    """Raises FileNotFoundError without a journal, sqlite3.Error if it cannot be read."""
    begin = max(0, since_ns - WARM_NS)
    found = Backtest()
    past = _past(directory, begin, since_ns, until_ns, found)
    found.stored = list(past.raises)
    export = Export(directory, (LANE_SAMPLE,), begin, until_ns, advanced)
    samples = (record.item for record in export if isinstance(record.item, Sample))
    trial = Trial(rules, devices, begin, raised=past.active, wall_ns=0)
    boot = 0
    for sample, now in _timed(samples, rules, past.offsets):
        if boot not in {0, sample.boot}:
            trial.reboot(max(0, now - trial.now))  # nothing was decided meanwhile
        boot = sample.boot
        trial.take(sample, max(now, trial.now))
        found.samples += 1
        _collect(found, trial.happened, since_ns)
    trial.wait(until_ns)
    _collect(found, trial.happened, since_ns)
    found.damaged += export.damaged
    return found


def _past(directory: Path, begin: int, since_ns: int, until_ns: int, found: Backtest) -> _Past:
    """Lane by lane, so in order for each instance: its raise and its clear are in one lane."""
    active: dict[str, None] = {}
    raises: list[Raise] = []
    offsets: dict[int, int] = {}
    export = Export(directory, (LANE_ALARM, LANE_EVENT), 0, until_ns)
    for record in export:
        event = record.item
        if not isinstance(event, Event):
            continue
        if event.clock_ok:
            offset = event.time_ns - event.received_ns
            offsets[event.boot] = max(offset, offsets.get(event.boot, offset))
        instance = str(event.attributes.get("instance"))
        if event.kind is EventKind.ALARM_RAISED and event.time_ns >= since_ns:
            raises.append(Raise(event.time_ns, instance))
        elif event.kind is EventKind.ALARM_RAISED and event.time_ns < begin:
            active[instance] = None
        elif event.kind is EventKind.ALARM_CLEARED and event.time_ns < begin:
            active.pop(instance, None)
    found.damaged += export.damaged
    raises.sort()
    return _Past(frozenset(active), tuple(raises), offsets)


def _timed(
    samples: Iterable[Sample], rules: RuleSet, known: Mapping[int, int]
) -> Iterator[tuple[Sample, int]]:
    """Samples that rules read, on the wall clock, with when they came. A boot without events goes
    by its first sample.
    """
    offsets = dict(known)
    for sample in samples:
        if sample.boot not in offsets:
            offsets[sample.boot] = sample.time_ns - sample.received_ns
        if sample.device in rules.slots and RETAINED not in sample.quality.values():
            now = sample.received_ns + offsets[sample.boot]
            yield sample._replace(received_ns=now), now


def _collect(found: Backtest, happened: list[Happened], since_ns: int) -> None:
    """Takes over what was raised, and forgets the rest: a week of it would fill the memory."""
    for one in happened:
        if one.kind != "raised" or one.at < since_ns:
            continue
        if len(found.raised) < MAX_RAISES:
            found.raised.append(Raise(one.at, one.name))
        else:
            found.uncounted += 1
    happened.clear()


def diff(stored: Sequence[Raise], raised: Sequence[Raise]) -> Diff:
    """Each raise is paired with the nearest free one of its instance, at most 10 min away."""
    whole = Diff()
    before, after = _by_instance(stored), _by_instance(raised)
    for instance in sorted({*before, *after}):
        rule = instance.partition("[")[0]
        left = before.get(instance, [])
        for at in after.get(instance, []):
            index = _nearest(left, at)
            if index is None or abs(left[index] - at) > MOVED_NS:
                whole.added.setdefault(rule, []).append(Raise(at, instance))
                continue
            near = left.pop(index)
            if abs(near - at) <= SAME_NS:
                whole.same[rule] += 1
            else:
                whole.moved.setdefault(rule, []).append(Move(instance, near, at))
        if left:
            whole.removed.setdefault(rule, []).extend(Raise(at, instance) for at in left)
    return whole


def _nearest(times: Sequence[int], at: int) -> int | None:
    """The index of the one nearest to `at` in sorted `times`."""
    index = bisect_left(times, at)
    near = range(max(0, index - 1), min(len(times), index + 1))
    return min(near, key=lambda one: abs(times[one] - at), default=None)


def _by_instance(raises: Iterable[Raise]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for one in raises:
        found.setdefault(one.instance, []).append(one.at)
    return found
