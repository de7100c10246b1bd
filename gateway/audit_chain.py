"""The form of the audit log: JSON lines, each sealed with the hash of the one before.

A line is `{"n", "time", "boot", "who", "what", "result", "about", "prev", "hash"}`. `hash` is the
SHA-256 of the bytes of the line before `,"hash"`, and `prev` is the `hash` of line n - 1, so no byte
of any line can change without a trace. Files are `audit/<number of their first line>.jsonl`.
"""

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import orjson

FOLDER = "audit"
GENESIS = "0" * 64  # `prev` of line 1
TORN = "torn-{n:010}.bin"  # what a power cut left behind line n - 1
TORN_ALL = "torn-*.bin"
_SEALED = re.compile(rb'(\{"n":[0-9]{1,18},.*,"prev":"[0-9a-f]{64}"),"hash":"([0-9a-f]{64})"\}', re.DOTALL)  # fmt: skip
_NAME = re.compile(r"[0-9]{10}\.jsonl")


class Head(NamedTuple):
    """The newest line: its number and its hash, which stands for all lines before it."""

    n: int = 0
    hash: str = GENESIS


NOTHING_KNOWN = Head()


class Line(NamedTuple):
    """A line whose seal is whole."""

    head: Head
    prev: str
    fields: Mapping[str, object]


class Fault(NamedTuple):
    """A place where the chain is broken. `line` counts from 1 within the file."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


class Verdict(NamedTuple):
    """What `verify` found. `torn`: files with what power cuts left, each told by a line of its own."""

    lines: int
    files: int
    first: int
    head: Head
    faults: list[Fault]
    torn: list[str]


def seal(fields: Mapping[str, object], before: Head) -> tuple[bytes, Head]:
    """The line that follows `before`, with its newline."""
    numbered = {"n": before.n + 1, **fields, "prev": before.hash}
    body = orjson.dumps(numbered, default=str)[:-1]
    digest = hashlib.sha256(body).hexdigest()
    return body + b',"hash":"' + digest.encode() + b'"}\n', Head(before.n + 1, digest)


def unseal(line: bytes) -> Line | None:
    """A line without its newline, None if a byte of it is not as it was written."""
    match = _SEALED.fullmatch(line)
    if match is None or hashlib.sha256(match[1]).hexdigest().encode() != match[2]:
        return None
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:  # sealed, but by somebody else
        return None
    n = fields.get("n")
    return Line(Head(n, match[2].decode()), fields["prev"], fields) if isinstance(n, int) else None


def files(directory: Path) -> list[Path]:
    """The files of a state directory's audit log, oldest first."""
    folder = directory / FOLDER
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if _NAME.fullmatch(path.name))


def lines_of(path: Path) -> Iterator[Line]:
    """The whole lines of one file; broken ones are left out (`verify` names them)."""
    return filter(None, map(unseal, _finished(path)))


def newest_first(directory: Path) -> Iterator[Line]:
    """The whole lines of the log, newest first."""
    for path in reversed(files(directory)):
        yield from filter(None, map(unseal, reversed(_finished(path))))


def _finished(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1]


def _at_rest(path: Path) -> bytes:
    """A running gateway may be in the middle of a line."""
    raw = path.read_bytes()
    for _ in range(3):
        if not raw or raw.endswith(b"\n"):
            break
        time.sleep(0.05)
        raw = path.read_bytes()
    return raw


class _Checker:
    """Walks the lines in order and knows what the next one must be."""

    def __init__(self, known: Head) -> None:
        self._known = known
        self.count = 0
        self.first: Line | None = None
        self.head = Head()
        self.broken = 0  # broken lines since the last whole one
        self.faults: list[Fault] = []
        self.removed: set[tuple[int, str]] = {(0, GENESIS)}  # ends of files that were let go

    def take(self, file: str, number: int, raw: bytes) -> None:
        line = unseal(raw)
        if line is None:
            self.broken += 1
            self.faults.append(Fault(file, number, "not as it was written"))
            return
        if self.first is not None or self.broken:
            what = self._misfit(line)
            if what:
                self.faults.append(Fault(file, number, what))
        if line.head.n == self._known.n and line.head.hash != self._known.hash:
            self.faults.append(
                Fault(file, number, "another line than the one that was known before")
            )
        self.first = self.first or line
        self.count += 1
        self.head, self.broken = line.head, 0
        about = line.fields.get("about")
        if line.fields.get("what") == "audit" and isinstance(about, dict) and "until" in about:
            self.removed.add((about["until"], str(about.get("hash"))))

    def _misfit(self, line: Line) -> str:
        follows = self.head.n + 1 <= line.head.n <= self.head.n + 1 + self.broken
        if self.first is None:  # the file begins with broken lines
            return ""
        if not follows:
            return f"line {line.head.n} follows line {self.head.n}: lines are missing or came back"
        if line.head.n == self.head.n + 1 and line.prev != self.head.hash:
            return (
                f"line {line.head.n} does not continue line {self.head.n}: that one was exchanged"
            )
        return ""

    def end(self, file: str) -> None:
        if self.head.n < self._known.n:
            what = (
                f"the log ends with line {self.head.n}, but line {self._known.n} was known: cut off"
            )
            self.faults.append(Fault(file, self.count + 1, what))

    def begin(self, file: str) -> None:
        """The oldest line must be line 1, or continue files that were let go."""
        if self.first is not None and (self.first.head.n - 1, self.first.prev) not in self.removed:
            what = f"the log begins with line {self.first.head.n}; nothing tells where those before it went"
            self.faults.insert(0, Fault(file, 1, what))


def verify(directory: Path, known: Head = NOTHING_KNOWN) -> Verdict:
    """Read every byte of the log in a state directory. Raises OSError if it cannot be read.

    What the chain alone cannot show: lines cut off at the very end, and a whole chain computed
    anew. `known` does, a head that went upstream with the result of a command.
    """
    checker, paths = _Checker(known), files(directory)
    for path in paths:
        raw = _at_rest(path)
        parts = raw.split(b"\n")
        tail = parts.pop()
        for number, part in enumerate(parts, 1):
            checker.take(path.name, number, part)
        if tail:
            checker.broken += 1
            checker.faults.append(Fault(path.name, len(parts) + 1, "not finished"))
    checker.end(paths[-1].name if paths else FOLDER)
    if paths:
        checker.begin(paths[0].name)
    torn = sorted(path.name for path in (directory / FOLDER).glob(TORN_ALL))
    first = checker.first.head.n if checker.first else 0
    return Verdict(checker.count, len(paths), first, checker.head, checker.faults, torn)
