"""The durable store: what is appended survives power cuts, and is read back in order by cursors.

Lanes 0, 1 and 3 hold events (`core.db`), lane 2 samples (segment files). The order is
(epoch, seq) of a lane: within an epoch seqs are contiguous, and no pair is ever given out twice.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

from gateway.beat import Beat
from gateway.clock import Clock
from gateway.counters import ReplayCounters
from gateway.errors import StoreFailed, StoreFull
from gateway.model import Event, Item, Sample
from gateway.store import orders
from gateway.store.access import Access, Undo, undo
from gateway.store.books import Books
from gateway.store.files import OpenFiles, open_files
from gateway.store.history import History, Query
from gateway.store.history_thread import HistoryThread
from gateway.store.inbox import CommandNote, CursorMove, Inbox
from gateway.store.index import Position
from gateway.store.intake import Intake
from gateway.store.kept import NO_ROWS, Rows
from gateway.store.orders import CommandRow, Order
from gateway.store.points import Descriptions
from gateway.store.reader import Slice
from gateway.store.report import Report
from gateway.store.rollup_table import LastValues
from gateway.store.settings import StoreSettings
from gateway.store.stats import StoreStats
from gateway.store.thread import WorkerThread
from gateway.store.upkeep import Upkeep
from gateway.store.writer import Writer

__all__ = ["Position", "Slice", "Store", "StoreStats"]

log = logging.getLogger(__name__)

STOP_S = 10.0


class Store:
    """Belongs to the event loop's thread, but for `open`. Construction opens nothing."""

    def __init__(self, directory: Path, *, gateway_id: str, settings: StoreSettings, clock: Clock) -> None:  # fmt: skip
        self._directory = directory
        self._gateway_id = gateway_id
        self._settings = settings
        self._clock = clock
        self._inbox = Inbox()
        self.beat = Beat()  # of the writer thread
        self._intake = Intake(self._inbox, settings.ack_linger)
        self._books = Books(directory, clock, self._inbox, self._intake)
        self._history = HistoryThread(directory)
        self._infos: Descriptions = {}
        self._files: OpenFiles | None = None
        self._lock: int | None = None  # of the directory; taken by `open` or later by the thread
        self._opened = False
        self._thread: WorkerThread | None = None
        self._sinks: Mapping[str, Collection[int]] = {}
        self._upkeep = Upkeep(directory, settings, clock, sinks=lambda: self._sinks, report=self._post)  # fmt: skip

    @property
    def epoch(self) -> int:
        return self._books.state.epoch

    @property
    def last_n(self) -> int:
        """The highest input number that was stored when the store was opened."""
        return self._books.state.last_n

    @property
    def alarms(self) -> list[Event]:
        """When it was opened: the newest event of each alarm, alarm-bearing point, counter, notification."""
        return self._books.alarms

    @property
    def taken_ids(self) -> list[bytes]:
        """When it was opened: ids of messages whose alarms are stored already."""
        return self._books.taken_ids

    @property
    def counted(self) -> LastValues:
        """When it was opened: of each counter by (device, point) the last value of its rollups, and
        when that window begins (s, UTC).
        """
        return self._books.counted

    @property
    def rules(self) -> Mapping[str, bytes]:
        """When it was opened: what instances of rules go on with, as `append` and `keep` took it."""
        return self._books.rules

    @property
    def replay(self) -> ReplayCounters:
        """The last admitted counter of each device; kept together with the events it led to."""
        return self._intake.replay

    def on_reopen(self, call: Callable[[], None]) -> None:
        """Call `call` when the files were opened anew: `last_n`, `recent_ids` may be other ones."""
        self._books.reopened = call

    def describe(self, infos: Descriptions) -> None:
        """What the profiles say about points; before `open`, and again when they say something else.

        Counters are rolled up by their rise.
        """
        self._infos = infos
        if self._thread is not None:
            self._inbox.descriptions.append(infos)
            self._inbox.bell.ring()

    def open(self) -> None:
        """Take the directory over (made if missing), recover, set `clock.boot`; blocks, so not on the loop.

        Raises AlreadyRunning, StateRefused. A device that fails is no reason not to start: then
        nothing is known, `stats` tells, and the thread tries again.
        """
        try:
            files = open_files(self._directory, self._gateway_id, self._clock, infos=self._infos)
        except StoreFailed as error:
            log.error("%s; starting without it", error, extra={"component": "store"})  # noqa: TRY400 -- the traceback tells no more
            self._books.figures.reason = str(error)
            self._books.outage.began_at_start(self._directory, self._clock)
        else:
            self._files, self._lock = files, files.lock
            self._books.adopt(files)
        self._opened = True

    async def start(self) -> None:
        """Start the writer thread; everything is reported to the running loop."""
        assert self._opened, "open() first"  # noqa: S101 -- a bug of the caller
        access, group_commit_s = Access(self._files, self._renew), self._settings.group_commit
        writer = Writer(access, self._inbox, self._post, group_commit_s, self._upkeep, self.beat)
        self._thread = WorkerThread(writer.run, "store-writer", self._ended)
        self._thread.start()

    def sinks(self, lanes: Mapping[str, Collection[int]]) -> None:
        """Which sinks exist, and what each of them takes: for them undelivered records are kept.

        Cursors of other sinks keep records too, until these are retired.
        """
        self._sinks = dict(lanes)

    async def close(self) -> None:
        """Store everything that was appended, mark the stop as clean, let go of the directory.

        Takes at most 10 s; a thread that still hangs then is left alone and the next start will
        be an unclean one. Closing a store that is not open does nothing.
        """
        if not self._opened:
            return
        if self._thread is None:
            await self.start()
        self._opened = self._books.reading = False
        try:
            async with asyncio.timeout(STOP_S):
                await self._stop_threads()
        except TimeoutError:
            extra = {"component": "store"}
            log.error("storage hangs: not stopped within %g s", STOP_S, extra=extra)  # noqa: TRY400 -- the traceback tells no more
        else:
            if self._lock is not None:
                os.close(self._lock)
            self._files = None
        self._books.pool.shutdown(wait=False)
        self._intake.end(StoreFailed("the store is closed"))

    async def _stop_threads(self) -> None:
        """The reader first: the last connection to close a file should be the one that writes."""
        assert self._thread is not None  # noqa: S101 -- `close` has started it
        try:
            await self._history.close()
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._books.pool, self._books.reader.close)
        finally:
            self._inbox.closing = True
            self._inbox.bell.ring()
        await self._thread.ended()

    async def watch(self) -> None:
        """Returns when the store is closed; raises what ended the writer thread: a bug."""
        assert self._thread is not None, "start() first"  # noqa: S101 -- a bug of the caller
        await self._thread.watch()

    def append(self, item: Item, *, held: bool = False, rows: Rows = NO_ROWS) -> bool:
        """Queue an item; `item.n` is set and never decreases. Never blocks. `rows`, the state of rules,
        are stored in the transaction of an event.

        Events are always taken. A sample is refused (False, the caller counts the drop) while
        samples of 16 MB wait, storage fails or the disk is full, unless it is `held`: its source waits until it is
        acknowledged and has a window of its own.
        """
        if (self._books.figures.reason or self.shedding) and not held and isinstance(item, Sample):
            reason = "storage_failed" if self._books.figures.reason else "store_shed"
            self._books.figures.dropped[reason] += 1
            return False
        return self._intake.append(item, held=held, rows=rows)

    def keep(self, rows: Rows) -> None:
        """As `append`, without an event; on disk within 1 s."""
        self._intake.keep(rows)

    async def durable(self, n: int) -> None:
        """Wait until everything appended with an input number up to `n` is on disk.

        Raises StoreFailed or StoreFull if a commit failed meanwhile: nothing of this input may be
        acknowledged yet. It stays queued, so call again. Cancelling is harmless.
        """
        await self._intake.durable(n)

    async def room(self) -> None:
        """Wait until less than 16 MB of samples wait."""
        await self._intake.room()

    def recent_ids(self) -> list[bytes]:
        """Message ids known when the store was opened: device, NUL, source id; oldest first."""
        return self._books.state.keys

    async def read(self, lane: int, after: Position | None, *, max_items: int, max_bytes: int) -> Slice | None:  # fmt: skip
        """The next committed records after a position (None: the oldest), None if there are none.

        At least one record or gap is returned whatever the limits. While storage fails, what is in
        memory follows behind what is stored, or comes in its place if that cannot be read. Raises
        StoreFailed.
        """
        part = await self._books.read(lane, after, max_items, max_bytes)
        return None if part is None else part._replace(offsets=self._books.offsets())

    async def history(
        self, device: str, point: str, since_ns: int, until_ns: int, step_s: int
    ) -> History:
        """What a point showed in [`since_ns`, `until_ns`), UTC, in steps of `step_s`, at most 10,000.

        Of up to 24 hours from raw samples while they are kept, else from 5 min rollups (90 days), else
        from 1 h ones; from rollups the steps are multiples of that, and whole. Raises ValueError,
        which says what to ask for instead, and StoreFailed.
        """
        now_ns = self._clock.time_ns()
        return await self._history.read(Query(device, point, since_ns, until_ns, step_s, now_ns))

    def last(self, lane: int) -> int:
        """Highest committed seq, 0 if there is none."""
        return self._books.state.index[lane].last

    def backlog(self, lane: int, after: Position | None) -> int:
        """Number of records after the position."""
        waiting = self._intake.ring.count_after(lane, after)
        return self._books.state.index[lane].count_after(after) + waiting

    def oldest_time_ns(self, lane: int, after: Position | None) -> int | None:
        """Wall time of the first record after the position, None if there is none.

        Accurate to one commit group; to 1/64 of a segment for what an earlier process stored.
        """
        stored = self._books.state.index[lane].time_after_ns(after)
        return self._intake.ring.time_after_ns(lane, after) if stored is None else stored

    @property
    def shedding(self) -> bool:
        """The disk is full: samples are refused, what room there is serves alarms."""
        return not self._books.figures.holding.reserve

    def subscribe(self) -> asyncio.Event:
        """An event that is set after every commit; the subscriber clears it."""
        event = asyncio.Event()
        self._books.subscribers.add(event)
        return event

    @property
    def generation(self) -> int:
        """When it rises, positions in memory are void: take the cursors from here again."""
        return self._books.outage.generation

    def take_losses(self) -> list[dict[str, object]]:
        """Attributes of `data_loss` events that nobody has emitted yet; each is given out once."""
        return self._books.outage.take_losses()

    def cursor(self, sink: str, lane: int) -> Position | None:
        return self._books.state.cursors.get((sink, lane))

    def advance(self, sink: str, lane: int, position: Position) -> None:
        """Everything up to `position` is delivered. On disk within 5 s (lanes 0, 1) or 60 s.

        A place in memory is not kept: what is there comes again when it is stored. Raises ValueError
        if the cursor would move back.
        """
        if position.epoch in self._intake.ring.epochs:
            return
        now = self.cursor(sink, lane)
        if now is not None and position < now:
            raise ValueError(f"cursor {sink}/{lane} at {now} cannot move back to {position}")
        self._books.state.cursors[sink, lane] = position
        self._books.moves.moved(sink, lane, position, self._now())
        self._inbox.cursors.append(CursorMove(sink, lane, position))
        self._inbox.bell.ring()

    def rewind(self, sink: str, lane: int, seconds: float) -> Position | None:
        """Take the cursor back to where it was `seconds` (at most 120) ago, and return it.

        For a sink whose peer is not durable when it acknowledges. Only in memory: the disk keeps the
        later place until `advance`. What an earlier process delivered goes by the times of the records.
        """
        return self._books.rewind(sink, lane, seconds, self._now())

    def cursors(self) -> dict[tuple[str, int], Position]:
        """By sink and lane, those of sinks that are not configured any more too."""
        return dict(self._books.state.cursors)

    async def retire(self, sink: str) -> None:
        """Forget a sink that is not running: its cursors and its dead letters. Durable on return.

        Raises StoreFailed or StoreFull if the disk does not take it; then nothing has changed.
        """
        await self._intake.retire(sink)
        for key in [key for key in self._books.state.cursors if key[0] == sink]:
            del self._books.state.cursors[key]
            self._books.moves.forget(*key)

    def dead_letter(
        self, sink: str, lane: int, seq: int, status: int, error: str, body: bytes
    ) -> None:
        """Keep a record that a sink's peer refuses for good; on disk within 5 s."""
        row = (sink, lane, seq, status, error, body, self._clock.time_ns())
        self._inbox.dead.append(row)
        self._inbox.bell.ring()

    def command_outcome(self, command_id: str) -> str | None:
        """How it ended, "" while it is under way, `unknown` after a crash; None: never heard of."""
        return orders.outcome(self._books.state.commands, command_id)

    def interrupted(self) -> list[tuple[str, bytes]]:
        return orders.interrupted(self._books.state.commands)

    async def command_intent(self, command_id: str, body: bytes) -> None:
        """Durable on return: the command is never executed a second time, whatever happens.

        Raises StoreFailed or StoreFull if it cannot be made so; the id is unknown again then.
        """
        orders.forget(self._books.state.commands, self._clock.time_ns())
        self._books.state.commands[command_id] = Order("", self._clock.time_ns())
        try:
            await self._intake.intent(self._command(command_id, "intent", body))
        except (StoreFailed, StoreFull):
            self._books.state.commands.pop(command_id, None)
            raise

    def command_done(self, command_id: str, body: bytes) -> None:
        """How the command ended; on disk within 5 s."""
        self._books.state.commands[command_id] = Order(body.decode(), self._clock.time_ns())
        self._inbox.commands.append(CommandNote(self._command(command_id, "done", body)))
        self._inbox.bell.ring()

    def _now(self) -> float:
        return self._clock.boottime_ns() / 1e9

    def _command(self, command_id: str, state: str, body: bytes) -> CommandRow:
        return command_id.encode(), state, body, self._clock.time_ns()

    def stats(self) -> StoreStats:
        return self._books.stats()

    def _post(self, report: Report) -> None:
        """Runs in the writer thread."""
        assert self._thread is not None  # noqa: S101 -- it is calling
        self._thread.post(self._books.take, report)

    def _renew(self, promised: Undo | None) -> OpenFiles:
        """Runs in the writer thread."""
        repair = None if promised is None else partial(undo, promised=promised)
        files = open_files(
            self._directory, self._gateway_id, self._clock,
            lock=self._lock, repair=repair, infos=self._infos,
        )  # fmt: skip
        if self._lock not in {None, files.lock}:
            os.close(self._lock)
        self._files, self._lock = files, files.lock
        return files

    def _ended(self) -> None:
        assert self._thread is not None  # noqa: S101 -- it is calling
        self._intake.end(self._thread.error or StoreFailed("the store is closed"))
