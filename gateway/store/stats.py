"""Figures about the store, for `status`."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.store.journal import Usage
from gateway.store.retention import Evicted, Holding


class StoreStats(NamedTuple):
    """A copy of the figures; counters are totals since the store was opened.

    `state` is "ok" or "failed", then `reason` says why. `committed` has the highest durable seq of
    each lane. `dropped` counts samples by reason, `damage` what was found wrong in the files:
    "tail_lost", "cursor_ahead", "segment_missing", "segment_damaged", "core_damaged",
    "core_missing", "core_outdated" (at start), "corrupt" (records). `queued` items, of which the
    samples take `queued_bytes` of memory, are not durable yet. `written` counts durable records.
    `evicted` counts records that were deleted, by "lane <n> <reason>", `undelivered` those of them
    that some sink had not taken. Without `reserve` the disk is full: samples are refused.
    """

    state: str
    reason: str
    epoch: int
    committed: tuple[int, ...]
    dropped: Mapping[str, int]
    damage: Mapping[str, int]
    commits: int
    commit_ms_p99: float
    bytes_on_disk: int
    free_bytes: int
    queued: int
    queued_bytes: int
    written: int
    evicted: Mapping[str, int]
    undelivered: int
    reserve: bool
    telemetry_bytes: int
    event_bytes: tuple[int, ...]  # by lane, roughly


@dataclass(slots=True)
class Figures:
    """Kept by the event loop from what the writer thread reports."""

    reason: str = ""  # why storage fails, "" while it works
    dropped: Counter[str] = field(default_factory=Counter)
    damage: Counter[str] = field(default_factory=Counter)
    commits: int = 0
    written: int = 0
    reopened: int = 0  # times that the files were opened anew after an I/O error
    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    evicted: Counter[str] = field(default_factory=Counter)
    undelivered: int = 0
    holding: Holding = field(
        default_factory=lambda: Holding(reserve=True, telemetry_bytes=0, event_bytes=(0, 0, 0, 0))
    )
    durations_ms: deque[float] = field(default_factory=lambda: deque(maxlen=512))

    def lost(self, evicted: Evicted) -> None:
        for eviction in evicted.evictions:
            self.evicted[f"lane {eviction.lane} {eviction.reason}"] += eviction.records
            self.undelivered += eviction.lost

    def p99_ms(self) -> float:
        """Of the last 512 commits, 0 before the first."""
        ordered = sorted(self.durations_ms)
        return ordered[len(ordered) * 99 // 100] if ordered else 0.0
