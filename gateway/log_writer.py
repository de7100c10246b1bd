"""Log lines on their way to standard error: whoever logs never waits, whatever is at the other end.

A log disk that is full, a journald that was stopped, a pipe that nobody reads: lines are dropped then
and counted, and the first line that gets through again is followed by how many were.
"""

import logging
import os
import threading
import time
from queue import Empty, SimpleQueue
from typing import NamedTuple

from gateway.redact import redact

FD = 2  # standard error
MAX_LINES = 2_000  # that wait; of 200 bytes, 400 KB
MAX_LINE = 16_384  # bytes, some 150 lines of a traceback
FLUSH_S = 1.0  # at the end; then the rest is lost with the process
PAUSE_S = 0.2  # after an error: a full disk is not asked without a break


class Lost(NamedTuple):
    lines: int  # since the start
    failing: str  # why the last line was not written, "" if it was


class LineWriter(logging.Handler):
    def __init__(self, fd: int = FD) -> None:
        super().__init__()
        self._fd = fd
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._turned_away = 0  # written under the handler's own lock, by those who log
        self._unwritten = 0  # written by the thread alone
        self._told = 0  # of both
        self._failing = ""
        self._torn = False  # the last line was written in part
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> Lost:
        return Lost(self._turned_away + self._unwritten, self._failing)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = redact(self.format(record)).encode(errors="backslashreplace")
        except (TypeError, ValueError) as error:  # the text does not fit its arguments
            line = f"log line of {record.pathname}:{record.lineno}: {error}".encode()
        if self._lines.qsize() >= MAX_LINES:
            self._turned_away += 1
        else:
            self._lines.put(line[:MAX_LINE] + b"\n")

    def flush(self) -> None:
        """Wait until everything is written, at most `FLUSH_S`."""
        until = time.monotonic() + FLUSH_S
        while not self._lines.empty() and time.monotonic() < until and self._thread.is_alive():
            time.sleep(0.005)

    def close(self) -> None:
        """Write what waits, at most for `FLUSH_S`."""
        self._lines.put(None)
        self._thread.join(FLUSH_S)
        super().close()

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            if self._wrote(line):
                self._tell()
            else:
                self._unwritten += 1
                time.sleep(PAUSE_S)
                self._make_room()

    def _wrote(self, line: bytes) -> bool:
        rest = b"\n" + line if self._torn else line
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
                self._torn = bool(rest)
        except OSError as error:
            self._failing = error.strerror or str(error)
            return False
        self._failing = ""
        return True

    def _make_room(self) -> None:
        """While it fails the newest half is worth more than the oldest."""
        while self._lines.qsize() > MAX_LINES // 2:
            try:
                self._lines.get_nowait()
            except Empty:
                return
            self._unwritten += 1

    def _tell(self) -> None:
        """After the first line that got through: how many did not."""
        lines = self.lost.lines
        if lines == self._told:
            return
        text = "%d lines of the log were lost"
        args = (lines - self._told,)
        record = logging.LogRecord("gateway.logs", logging.WARNING, __file__, 0, text, args, None)
        if self._wrote(self.format(record).encode() + b"\n"):
            self._told = lines


def fill_standard_files() -> None:
    """A closed standard file would be the next one that is opened: log lines in a database."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
