"""What is stored, as the event loop knows it from what the writer thread reports. Loop thread only."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import assert_never
from weakref import WeakSet

from gateway.clock import Clock, offset_of
from gateway.errors import StoreFailed
from gateway.model import LANES, Event
from gateway.store.files import OpenFiles
from gateway.store.fresh import Fresh
from gateway.store.inbox import CursorMove, Inbox
from gateway.store.index import Position
from gateway.store.intake import Intake
from gateway.store.journal import Usage
from gateway.store.outage import Outage
from gateway.store.reader import Reader, Slice
from gateway.store.recover import State
from gateway.store.report import Commit, Fault, Full, Reopened, Report, Rescued, Shed, Works
from gateway.store.retention import Evicted, Holding
from gateway.store.rewind import CursorLog
from gateway.store.rollup_table import LastValues
from gateway.store.stats import Figures, StoreStats


class Books:
    """`state` is what the files told when they were opened, kept up to date since.

    `pool` has one thread, in which `reader` works. `alarms`, `taken_ids` and `counted` are of the
    opening.
    """

    def __init__(self, directory: Path, clock: Clock, inbox: Inbox, intake: Intake) -> None:
        self._clock = clock
        self._inbox = inbox
        self._intake = intake
        self.state = State()
        self.moves = CursorLog()
        self.segments: list[int] = []  # first seqs of the files, oldest first
        self.figures = Figures()
        self.outage = Outage(intake.ring)
        self.fresh = Fresh()
        self.reader = Reader(directory)
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self.reading = True
        self.subscribers: WeakSet[asyncio.Event] = WeakSet()  # of those that still live
        self.reopened: Callable[[], None] = _nothing
        self.alarms: list[Event] = []
        self.taken_ids: list[bytes] = []
        self.counted: LastValues = {}
        self.rules: Mapping[str, bytes] = {}

    def adopt(self, files: OpenFiles) -> None:
        """What the files tell; what is known of cursors and commands stays known."""
        before = self.state
        self.state = files.state
        self.fresh = Fresh()
        files.state.cursors |= before.cursors
        files.state.commands |= before.commands
        files.state.offsets |= before.offsets
        self.segments = sorted(files.state.segments)
        self.alarms = files.alarms
        self.taken_ids = files.taken
        self.counted = files.counted
        self.rules = files.rules
        self._intake.replay.restore(files.replay)
        self.figures.damage.update(files.state.damage)
        self.figures.usage = files.usage
        self._clock.boot = files.state.boot
        for (sink, lane), position in files.state.cursors.items():
            self.moves.moved(sink, lane, position, self._clock.boottime_ns() / 1e9)

    async def read(
        self, lane: int, after: Position | None, max_items: int, max_bytes: int
    ) -> Slice | None:
        """As `Store.read`: what is stored, then what is in memory."""
        ring = self._intake.ring
        span = self.state.index[lane].after(after)
        if span is None:
            return ring.read(lane, after, max_items=max_items, max_bytes=max_bytes)
        if (part := self.fresh.read(lane, span, max_items, max_bytes)) is not None:
            return part
        arguments = (lane, span, list(self.segments), max_items, max_bytes)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self.pool, self.reader.read, *arguments)
        except StoreFailed:
            if not ring.epoch:
                raise
            return ring.read(lane, after, max_items=max_items, max_bytes=max_bytes)

    def rewind(self, sink: str, lane: int, seconds: float, now_s: float) -> Position | None:
        """As `Store.rewind`; `now_s` since the boot."""
        at = self.state.cursors.get((sink, lane))
        if at is None:
            return None
        back = self.moves.before(sink, lane, now_s - seconds)
        if back is None:
            back = self.state.index[lane].back_from(at, round(seconds * 1e9))
        if back is None:
            del self.state.cursors[sink, lane]
        else:
            self.state.cursors[sink, lane] = back
        self.moves.back(sink, lane, back, now_s - seconds)
        return back

    def ask_reader(self, call: Callable[..., None], *arguments: object) -> None:
        """In its thread, when it is free; not when it is closed for good."""
        if self.reading:
            self.pool.submit(call, *arguments)

    def offsets(self) -> Mapping[int, int]:
        """As in `gateway.model.timed`. That of this boot is fixed when it is asked for first: what is sent
        again has the same time.
        """
        offsets, clock = self.state.offsets, self._clock
        if clock.ok and clock.boot not in offsets:
            offsets[clock.boot] = offset_of(clock)
        return offsets

    def stats(self) -> StoreStats:
        figures = self.figures
        damage = figures.damage.copy()
        damage["corrupt"] += self.reader.corrupt
        return StoreStats(
            state="failed" if figures.reason else "ok",
            reason=figures.reason,
            epoch=self.state.epoch,
            committed=tuple(self.state.index[lane].last for lane in LANES),
            dropped=figures.dropped.copy(),
            damage=+damage,
            commits=figures.commits,
            commit_ms_p99=figures.p99_ms(),
            bytes_on_disk=figures.usage.bytes_on_disk,
            free_bytes=figures.usage.free_bytes,
            queued=self._intake.queued,
            queued_bytes=self._intake.bytes,
            written=figures.written,
            evicted=figures.evicted.copy(),
            undelivered=figures.undelivered,
            reserve=figures.holding.reserve,
            telemetry_bytes=figures.holding.telemetry_bytes,
            event_bytes=figures.holding.event_bytes,
        )

    def take(self, report: Report) -> None:
        match report:
            case Commit():
                self._committed(report)
            case Fault(error=error):
                self.figures.reason = str(error)
                self._intake.failed(report)
                self.outage.begin(self.state.epoch)
                self._wake()
            case Shed(events=events):
                self.figures.dropped["events_storage_failed"] += len(events)
                self._intake.shed(events)
                self.outage.shed(events)
            case Reopened(files=files):
                self._renewed(files)
            case Rescued(events=count, damaged=damaged):
                what: dict[str, object] = {"salvaged": count, "count": damaged}
                self.outage.lost({"reason": "salvage", **what})
            case Works():
                self.figures.reason = ""
                self.outage.end()
                self._wake()
            case Full() | Evicted() | Holding():
                self._kept(report)
            case Usage():
                self.figures.usage = report
            case _:
                assert_never(report)

    def _kept(self, report: Full | Evicted | Holding) -> None:
        match report:
            case Full(error=error):
                self._intake.failed(Fault(error, ()))
            case Evicted():
                self._evicted(report)
            case Holding():
                self.figures.holding = report

    def _evicted(self, report: Evicted) -> None:
        self.figures.lost(report)
        for lane, span, _lost, _reason, segment in report.evictions:
            self.state.index[lane].evict(span)
            self.fresh.forget(lane)
            if segment in self.segments:
                self.segments.remove(segment)
                self.ask_reader(self.reader.forget, segment)
        for lane, span, marks, _events in report.written:
            self.state.index[lane].add(span, marks)
            self.figures.written += span.last - span.first + 1
        self._wake()

    def _committed(self, commit: Commit) -> None:
        figures = self.figures
        for lane, span, marks, events in commit.written:
            self.state.index[lane].add(span, marks)
            self.fresh.take(lane, span, events)
            figures.written += span.last - span.first + 1
        if commit.segment is not None and commit.segment not in self.segments[-1:]:
            self.segments.append(commit.segment)
        figures.commits += 1
        figures.durations_ms.append(commit.duration_ms)
        self._intake.committed(commit)
        if commit.events:
            self.outage.stored()
        self._wake()

    def _wake(self) -> None:
        for event in self.subscribers:
            event.set()

    def _renewed(self, files: OpenFiles) -> None:
        self.figures.reopened += 1
        self.adopt(files)
        for (sink, lane), position in self.state.cursors.items():
            self._inbox.cursors.append(CursorMove(sink, lane, position))
        self.ask_reader(self.reader.close)  # what it holds open may be other files
        self.reopened()


def _nothing() -> None:
    pass
