"""The audit log: who did what and how it ended, append-only (docs/audit.md).

The event loop hands records over and never waits; a thread of its own seals them, writes them and
syncs them (gateway/audit_chain.py has the form). What does not fit into the queue is counted, and
the count is a record itself.
"""

import asyncio
import hashlib
import logging
import os
import time
from collections import Counter, deque
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

from gateway.audit_chain import (
    FOLDER,
    TORN,
    TORN_ALL,
    Head,
    Line,
    files,
    lines_of,
    newest_first,
    seal,
    unseal,
)
from gateway.clock import Clock
from gateway.store.identity import sync_directory
from gateway.store.inbox import Bell, Bucket
from gateway.store.thread import WorkerThread

log = logging.getLogger(__name__)

QUEUE = 4_096  # records, about 2 MB; one command makes one
BATCH = 256  # records to a sync
FILE_BYTES = 1 << 20
FILES = 64  # about 200,000 commands
TORN_FILES = 8
MAX_TEXT = 500  # characters of one text in a record
RETRY_S = 5.0  # after storage has failed
_COMPONENT = {"component": "audit"}


class _News(NamedTuple):
    """From the thread: where the log ends, why it fails, how many records are on disk since."""

    head: Head
    failing: str
    written: int


class AuditLog:
    """The log in `directory`. `start` in the loop, `close` at the end; `record` at any time between."""

    def __init__(
        self, directory: Path, clock: Clock, *, file_bytes: int = FILE_BYTES, keep: int = FILES
    ) -> None:
        self.head = Head()  # the newest line on disk
        self.failing = ""  # why nothing can be written, "" if it can
        self.counters: Counter[str] = Counter()
        self._directory = directory
        self._folder = directory / FOLDER
        self._clock = clock
        self._file_bytes, self._keep = file_bytes, keep
        self._queue: deque[dict[str, object]] = deque()
        self._taken = self._written = 0
        self._lost = 0
        self._bell = Bell()
        self._closing = False
        self._bucket = Bucket()  # syncs wear the card out
        self._thread: WorkerThread | None = None
        self._progress = asyncio.Event()
        self._fd = -1
        self._size = 0
        self._end = Head()  # of the thread: what the next line continues

    # -- the event loop's side ------------------------------------------------------------------

    def start(self) -> None:
        self._thread = WorkerThread(self._work, "audit-writer", self._ended)
        self._thread.start()

    def record(self, who: str, what: str, result: str, **about: object) -> None:
        """Keep that `who` did `what`; texts are cut to 500 characters. Never waits, never raises."""
        self._put_losses()
        if not self._put(who, what, result, about):
            self._lost += 1
            self.counters["lost"] += 1

    async def settled(self, timeout_s: float) -> bool:
        """Wait until all records so far are on disk; False if that takes longer, or storage fails."""
        goal = self._taken
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._written < goal and not self.failing:
                    self._progress.clear()
                    await self._progress.wait()
        return self._written >= goal

    async def close(self, timeout_s: float) -> None:
        """Write what is queued, then end the thread; what is left after `timeout_s` is told and lost."""
        if self._thread is None:
            return
        self._closing = True
        self._put_losses()  # the last one: the queue may be full
        self._bell.ring()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._thread.ended()
        if self._queue:
            log.error("%d records are lost: %s", len(self._queue), self.failing, extra=_COMPONENT)

    def _put_losses(self) -> None:
        if self._lost and self._put("gateway", "audit", "lost", {"records": self._lost}):
            self._lost = 0

    def _put(self, who: str, what: str, result: str, about: dict[str, object]) -> bool:
        if len(self._queue) >= QUEUE and not self._closing:
            return False
        self._queue.append({
            "time": str(self._clock.time_ns()), "boot": self._clock.boot, "who": _cut(who),
            "what": what, "result": result, "about": {key: _cut(each) for key, each in about.items()},
        })  # fmt: skip
        self._taken += 1
        self._bell.ring()
        return True

    def _hear(self, news: _News) -> None:
        if news.failing and not self.failing:
            log.error("the audit log cannot be written: %s", news.failing, extra=_COMPONENT)
        elif self.failing and not news.failing:
            log.warning("the audit log is written again", extra=_COMPONENT)
        self.head, self.failing = news.head, news.failing
        self._written += news.written
        self._progress.set()

    def _ended(self) -> None:
        """A bug in the thread must not end the gateway: alarms go on, platforms are refused."""
        assert self._thread is not None  # noqa: S101 -- it is calling
        if self._thread.error is not None:
            self.failing = repr(self._thread.error)
            log.error("the audit log has ended", exc_info=self._thread.error, extra=_COMPONENT)
        self._progress.set()

    # -- the thread's side ----------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            try:
                self._write_queue()
            except OSError as error:
                self._shut()
                self._report(str(error), 0)
                if self._closing:
                    return
                self._bell.wait(RETRY_S)
                continue
            if self._closing:
                self._shut()
                return
            self._bell.wait(None)
            if not self._closing:
                time.sleep(self._bucket.delay_s(time.monotonic()))

    def _write_queue(self) -> None:
        if self._fd < 0:
            self._open()
        while self._queue:
            batch = list(islice(self._queue, BATCH))
            self._append(batch)
            for _ in batch:
                self._queue.popleft()
            self._report("", len(batch))
            if self._size >= self._file_bytes:
                self._rotate()

    def _report(self, failing: str, written: int) -> None:
        assert self._thread is not None  # noqa: S101 -- it is calling
        self._thread.post(self._hear, _News(self._end, failing, written))

    def _append(self, records: list[dict[str, object]]) -> None:
        data, end = b"", self._end
        for fields in records:
            line, end = seal(fields, end)
            data += line
        try:
            _write(self._fd, data)
            os.fdatasync(self._fd)
        except OSError:  # nobody was promised what may be there of it
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)
        self._end = end

    def _open(self) -> None:
        """Go on behind the last whole line; what a power cut left behind it is put aside."""
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._end = next((line.head for line in newest_first(self._directory)), Head())
        torn = self._put_tail_aside()
        if self._fd < 0:
            self._begin_file()
        if torn:
            self._append([self._own("torn", torn)])

    def _put_tail_aside(self) -> dict[str, object]:
        """Opens the last file if its lines are whole. Lines that are whole but changed stay there as
        they are, for `verify` to find: then the log goes on in a new file.
        """
        path = next(reversed(files(self._directory)), None)
        if path is None:
            return {}
        raw = path.read_bytes()
        good = _whole(raw)
        tail, told = raw[good:], {}
        if tail and (b"\n" not in tail or b"\0" in tail):
            aside = self._folder / TORN.format(n=self._end.n + 1)
            self._keep_aside(aside, tail)
            told = {
                "bytes": len(tail),
                "sha256": hashlib.sha256(tail).hexdigest(),
                "file": aside.name,
            }
            log.warning("%s: a torn tail is put aside as %s", path, aside.name, extra=_COMPONENT)
        elif tail:
            return {}
        self._fd, self._size = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC), good
        os.ftruncate(self._fd, good)
        return told

    def _keep_aside(self, aside: Path, tail: bytes) -> None:
        with aside.open("wb") as file:
            file.write(tail)
            file.flush()
            os.fsync(file.fileno())
        for old in sorted(self._folder.glob(TORN_ALL))[:-TORN_FILES]:
            old.unlink()
        sync_directory(self._folder)

    def _own(self, result: str, about: dict[str, object]) -> dict[str, object]:
        return {
            "time": str(self._clock.time_ns()), "boot": self._clock.boot, "who": "gateway",
            "what": "audit", "result": result, "about": about,
        }  # fmt: skip

    def _begin_file(self) -> None:
        """Its name may be taken by a file of changed lines only: these stay."""
        path = self._folder / f"{self._end.n + 1:010}.jsonl"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o640)
        self._size = os.fstat(self._fd).st_size
        sync_directory(self._folder)

    def _rotate(self) -> None:
        """A new file; the oldest ones go, and a line tells where the rest of the chain begins."""
        self._shut()
        self._begin_file()
        old = files(self._directory)
        for path, follower in list(pairwise(old))[: max(len(old) - self._keep, 0)]:
            first: Line | None = next(lines_of(follower), None)
            about: dict[str, object] = {"file": path.name}
            if first is not None:
                about |= {"until": first.head.n - 1, "hash": first.prev}
            self._append([self._own("removed", about)])
            path.unlink()
        sync_directory(self._folder)

    def _shut(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _cut(value: object) -> object:
    """No lone surrogate either: those have no UTF-8."""
    return value[:MAX_TEXT].encode(errors="replace").decode() if isinstance(value, str) else value


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _whole(raw: bytes) -> int:
    """Where the last whole line ends."""
    end = len(raw)
    while end > 0:
        newline = raw.rfind(b"\n", 0, end)
        start = raw.rfind(b"\n", 0, max(newline, 0)) + 1
        if newline >= 0 and unseal(raw[start:newline]) is not None:
            return newline + 1
        end = newline if newline > 0 else 0
    return 0
