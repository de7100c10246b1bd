"""The durable store: what is appended survives power cuts, and is read back in order by cursors.

Lanes 0, 1 and 3 hold events (`core.db`), lane 2 samples (segment files). The order is
(epoch, seq) of a lane: within an epoch seqs are contiguous, and no pair is ever given out twice.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import assert_never

from gateway.clock import Clock
from gateway.errors import StoreFailed, StoreFull
from gateway.model import LANES, Event, Item
from gateway.store.files import OpenFiles, open_files
from gateway.store.inbox import CommandNote, CursorMove, Inbox
from gateway.store.index import Position
from gateway.store.intake import Intake
from gateway.store.journal import CommandRow, Usage
from gateway.store.reader import Reader, Slice
from gateway.store.recover import State
from gateway.store.settings import StoreSettings
from gateway.store.stats import Figures, StoreStats
from gateway.store.thread import WorkerThread
from gateway.store.writer import Commit, Dropped, Fault, Report, Writer

__all__ = ["Position", "Slice", "Store", "StoreStats"]

log = logging.getLogger(__name__)

STOP_S = 10.0


class Store:
    """Belongs to the event loop's thread, but for `open`. Construction opens nothing."""

    ack_linger_s = 2.0  # an awaited sample waits this long for company: fsyncs wear the card

    def __init__(
        self, directory: Path, *, gateway_id: str, settings: StoreSettings, clock: Clock
    ) -> None:
        self._directory = directory
        self._gateway_id = gateway_id
        self._settings = settings
        self._clock = clock
        self._inbox = Inbox()
        self._intake = Intake(self._inbox, self.ack_linger_s)
        self._figures = Figures()
        self._reader = Reader(directory)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._state = State()
        self._segments: list[int] = []  # first seqs of the files, oldest first
        self._subscribers: list[asyncio.Event] = []
        self._files: OpenFiles | None = None
        self._thread: WorkerThread | None = None
        self.last_n = 0
        self.epoch = 0
        self.alarms: list[Event] = []  # at `open`: the newest event of each alarm and alarm point
        self.taken_ids: list[bytes] = []  # at `open`: messages whose alarms are stored already

    def open(self) -> None:
        """Take the directory over (made if missing) and recover; blocks, so not on the loop.

        Sets `clock.boot`, `last_n`, `epoch`. Raises AlreadyRunning, StateRefused, and StoreFailed
        if the device fails or core.db is no database any more.
        """
        files = open_files(self._directory, self._gateway_id, self._clock)
        self._files, self._state = files, files.state
        self._segments = sorted(files.state.segments)
        self.epoch = files.state.epoch
        self.last_n = files.state.last_n
        self.alarms = files.journal.alarms()
        self.taken_ids = files.journal.taken()
        self._figures.damage.update(files.state.damage)
        self._figures.usage = files.journal.usage()
        self._clock.boot = files.state.boot

    async def start(self) -> None:
        """Start the writer thread; everything is reported to the running loop."""
        assert self._files is not None, "open() first"  # noqa: S101 -- a bug of the caller
        group_commit_s = self._settings.group_commit
        writer = Writer(self._files.journal, self._inbox, self._post, group_commit_s)
        self._thread = WorkerThread(writer.run, "store-writer", self._ended)
        self._thread.start()

    async def close(self) -> None:
        """Store everything that was appended, mark the stop as clean, let go of the directory.

        Takes at most 10 s; a thread that still hangs then is left alone and the next start will
        be an unclean one. Closing a store that is not open does nothing.
        """
        if self._files is None:
            return
        if self._thread is None:
            await self.start()
        files, self._files = self._files, None
        try:
            async with asyncio.timeout(STOP_S):
                await self._stop_threads()
        except TimeoutError:
            extra = {"component": "store"}
            log.error("storage hangs: not stopped within %g s", STOP_S, extra=extra)  # noqa: TRY400 -- the traceback tells no more
        else:
            files.unlock()
        self._pool.shutdown(wait=False)
        self._intake.end(StoreFailed("the store is closed"))

    async def _stop_threads(self) -> None:
        """The reader first: the last connection to close a file should be the one that writes."""
        assert self._thread is not None  # noqa: S101 -- `close` has started it
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._pool, self._reader.close)
        finally:
            self._inbox.closing = True
            self._inbox.bell.ring()
        await self._thread.ended()

    async def watch(self) -> None:
        """Returns when the store is closed; raises what ended the writer thread: a bug."""
        assert self._thread is not None, "start() first"  # noqa: S101 -- a bug of the caller
        await self._thread.watch()

    def append(self, item: Item, *, held: bool = False) -> bool:
        """Queue an item; `item.n` is set and never decreases. Never blocks.

        Events are always taken. A sample is refused (False, the caller counts the drop) while
        samples of 16 MB wait, unless it is `held`: its source repeats it until it is acknowledged
        and has a window of its own.
        """
        return self._intake.append(item, held=held)

    async def durable(self, n: int) -> None:
        """Wait until everything appended with an input number up to `n` is on disk.

        Raises StoreFailed or StoreFull if a commit failed meanwhile: nothing of this input may be
        acknowledged. A held sample is dropped then, its source repeats it. Cancelling is harmless.
        """
        await self._intake.durable(n)

    async def room(self) -> None:
        """Wait until less than 16 MB of samples wait."""
        await self._intake.room()

    def recent_ids(self) -> list[bytes]:
        """Message ids known when the store was opened: device, NUL, source id; oldest first."""
        return self._state.keys

    async def read(
        self, lane: int, after: Position | None, *, max_items: int, max_bytes: int
    ) -> Slice | None:
        """The next committed records after a position (None: the oldest), None if there are none.

        At least one record or gap is returned whatever the limits. Raises StoreFailed.
        """
        span = self._state.index[lane].after(after)
        if span is None:
            return None
        arguments = (lane, span, list(self._segments), max_items, max_bytes)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._reader.read, *arguments)

    def last(self, lane: int) -> int:
        """Highest committed seq, 0 if there is none."""
        return self._state.index[lane].last

    def backlog(self, lane: int, after: Position | None) -> int:
        """Number of records after the position."""
        return self._state.index[lane].count_after(after)

    def oldest_time_ns(self, lane: int, after: Position | None) -> int | None:
        """Wall time of the first record after the position, None if there is none.

        Accurate to one commit group; to 1/64 of a segment for what an earlier process stored.
        """
        return self._state.index[lane].time_after_ns(after)

    def subscribe(self) -> asyncio.Event:
        """An event that is set after every commit; the subscriber clears it."""
        event = asyncio.Event()
        self._subscribers.append(event)
        return event

    def cursor(self, sink: str, lane: int) -> Position | None:
        return self._state.cursors.get((sink, lane))

    def advance(self, sink: str, lane: int, position: Position) -> None:
        """Everything up to `position` is delivered. On disk within 5 s (lanes 0, 1) or 60 s.

        Raises ValueError if the cursor would move back.
        """
        now = self.cursor(sink, lane)
        if now is not None and position < now:
            raise ValueError(f"cursor {sink}/{lane} at {now} cannot move back to {position}")
        self._state.cursors[sink, lane] = position
        self._inbox.cursors.append(CursorMove(sink, lane, position))
        self._inbox.bell.ring()

    def dead_letter(
        self, sink: str, lane: int, seq: int, status: int, error: str, body: bytes
    ) -> None:
        """Keep a record that a sink's peer refuses for good; on disk within 5 s."""
        row = (sink, lane, seq, status, error, body, self._clock.time_ns())
        self._inbox.dead.append(row)
        self._inbox.bell.ring()

    def command_known(self, command_id: str) -> bool:
        return command_id in self._state.commands

    async def command_intent(self, command_id: str, body: bytes) -> None:
        """Durable on return: the command is never executed a second time, whatever happens.

        Raises StoreFailed or StoreFull if it cannot be made so; the id is unknown again then.
        """
        known = self._state.commands
        known.add(command_id)
        try:
            await self._intake.intent(self._command(command_id, "intent", body))
        except (StoreFailed, StoreFull):
            known.discard(command_id)
            raise

    def command_done(self, command_id: str, body: bytes) -> None:
        """How the command ended; on disk within 5 s."""
        self._inbox.commands.append(CommandNote(self._command(command_id, "done", body)))
        self._inbox.bell.ring()

    def _command(self, command_id: str, state: str, body: bytes) -> CommandRow:
        return command_id.encode(), state, body, self._clock.time_ns()

    def stats(self) -> StoreStats:
        figures = self._figures
        damage = figures.damage.copy()
        damage["corrupt"] += self._reader.corrupt
        return StoreStats(
            state="failed" if figures.reason else "ok",
            reason=figures.reason,
            epoch=self.epoch,
            committed=tuple(self.last(lane) for lane in LANES),
            dropped=figures.dropped.copy(),
            damage=+damage,
            commits=figures.commits,
            commit_ms_p99=figures.p99_ms(),
            bytes_on_disk=figures.usage.bytes_on_disk,
            free_bytes=figures.usage.free_bytes,
            queued=self._intake.queued,
            queued_bytes=self._intake.bytes,
            written=figures.written,
        )

    def _post(self, report: Report) -> None:
        """Runs in the writer thread."""
        assert self._thread is not None  # noqa: S101 -- it is calling
        self._thread.post(self._take, report)

    def _take(self, report: Report) -> None:
        match report:
            case Commit():
                self._committed(report)
            case Fault(error=error):
                self._figures.reason = str(error)
                self._intake.failed(report)
            case Dropped(numbers=numbers):
                self._figures.dropped["storage_failed"] += len(numbers)
                self._intake.dropped(report)
            case Usage():
                self._figures.usage = report
            case _:
                assert_never(report)

    def _committed(self, commit: Commit) -> None:
        figures = self._figures
        for lane, span, marks in commit.written:
            self._state.index[lane].add(span, marks)
            figures.written += span.last - span.first + 1
        if commit.segment is not None and commit.segment not in self._segments[-1:]:
            self._segments.append(commit.segment)
        figures.reason = ""
        figures.commits += 1
        figures.durations_ms.append(commit.duration_ms)
        self._intake.committed(commit)
        for event in self._subscribers:
            event.set()

    def _ended(self) -> None:
        assert self._thread is not None  # noqa: S101 -- it is calling
        self._intake.end(self._thread.error or StoreFailed("the store is closed"))
