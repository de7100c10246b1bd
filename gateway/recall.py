"""What the rules go on with after a restart: their rows and the samples of their windows, read again."""

import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson

from gateway.clock import Clock
from gateway.config import Config
from gateway.decider import Memory, RuleDecider
from gateway.holds import HOLD
from gateway.model import RETAINED, Sample
from gateway.store.lately import lately
from gateway.store.store import Store
from gateway.timeline import MARK, Timeline, mark_of, offset
from rules.keep import Kept
from rules.model import RuleSet
from rules.restart import horizon

log = logging.getLogger(__name__)

# What is read again at most, so that a start is bounded: at 100 samples a second more than an hour.
# One core of a PC takes 11 us a sample (measured), a Raspberry Pi 4 about four times as long.
MOST = 400_000
LONGEST_S = 10.0
PROBE = 2_000  # the newest ones, from which the speed of this machine is known


def recall(
    decider: RuleDecider, journal: Store, config: Config, clock: Clock, moments: Mapping[str, int]
) -> None:
    """The rules go on with what they were at. Blocks, since their windows are read again: in a thread,
    when the journal is open and nothing is decided yet.
    """
    now_ns, timeline = clock.boottime_ns(), Timeline(mark_of(journal.rules.get(MARK)), clock)
    history = History(config.state_dir, config.rules, timeline, offset(clock))
    samples = history.since(timeline.at(now_ns))
    memory = Memory(journal.alarms, rows_of(journal.rules), moments, samples)
    decider.recall(memory, now_ns, timeline)


def rows_of(stored: Mapping[str, bytes]) -> dict[str, Kept]:
    """The rows of instances, as `rules.keep` gave them; what is not understood is left out."""
    found: dict[str, Kept] = {}
    for name, body in stored.items():
        if name.startswith(HOLD):
            continue
        try:
            row = orjson.loads(body)
        except orjson.JSONDecodeError:
            row = None
        if isinstance(row, dict) and name != MARK:
            found[name] = row
        elif name != MARK:
            log.error("the state of rule %s is not understood", name, extra={"component": "rules"})
    return found


class History:
    """Iterate over it once, in a thread: samples as the engine took them, with the engine time at which
    they came, which stands in for `received_ns` too.
    """

    def __init__(self, directory: Path, rules: RuleSet, timeline: Timeline, wall_ns: int | None) -> None:  # fmt: skip
        """`wall_ns`: UTC minus CLOCK_BOOTTIME, None while it is not known."""
        self._directory = directory
        self._rules = rules
        self._timeline = timeline
        self._wall_ns = None if wall_ns is None else wall_ns - timeline.base

    def since(self, now: int) -> Iterator[tuple[Sample, int]]:
        """As far back as the rules look, before engine time `now`."""
        span, count = horizon(self._rules), 0
        if not span:
            return
        begin = now - self._timeline.off_ns - span
        started = time.monotonic()
        since_ns = 0 if self._wall_ns is None else begin + self._wall_ns
        try:
            for sample in lately(self._directory, since_ns, self._affordable(since_ns)):
                came = self._came(sample)
                if came is not None and begin < came <= now:
                    count += 1
                    yield sample._replace(received_ns=came), came
        except sqlite3.Error as error:
            log.warning("the windows of rules begin anew: %s", error, extra={"component": "rules"})
        log.info(
            "%d samples read again for the rules in %.2f s", count, time.monotonic() - started,
            extra={"component": "rules"},
        )  # fmt: skip

    def _affordable(self, since_ns: int) -> int:
        """How many samples can be read in `LONGEST_S`."""
        started = time.perf_counter()
        count = sum(1 for _ in lately(self._directory, since_ns, PROBE))
        each_s = (time.perf_counter() - started) / max(1, count)
        return min(MOST, int(LONGEST_S / each_s)) if count >= PROBE else MOST

    def _came(self, sample: Sample) -> int | None:
        base = self._timeline.bases.get(sample.boot)
        if sample.device not in self._rules.slots or RETAINED in sample.quality.values():
            return None
        return None if base is None else sample.received_ns + base
