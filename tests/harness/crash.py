"""Crash images: what a power cut in the middle of traced system calls may leave of a directory.

What was written to a file before a completed fsync or fdatasync of it is there. Of what was written
later, all, nothing, single writes or single sectors of 512 bytes may be there. Names that were made,
changed or removed are so after a sync of their directory; before it, the first few of the changes
may be. Nothing of a `-shm` file is ever there: SQLite keeps it in shared memory only.
"""

import random
import shutil
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.harness.trace import Call

SECTOR = 512
MODES = ("dropped", "kept", "torn", "reordered", "mixed")


class Write(NamedTuple):
    """A change of a file's content; `data` None cuts or stretches it to `offset` bytes."""

    end: int
    offset: int
    data: bytes | None


@dataclass(slots=True, eq=False)
class File:
    safe: bytearray = field(default_factory=bytearray)  # what was synced
    loose: list[Write] = field(default_factory=list)  # what was not
    size: int = 0  # as the process sees it
    is_directory: bool = False

    def change(self, write: Write) -> None:
        self.loose.append(write)
        end = write.offset if write.data is None else write.offset + len(write.data)
        self.size = end if write.data is None else max(self.size, end)

    def sync(self, begin: int) -> None:
        """What had been written when the sync was called is safe when it returns."""
        while self.loose and self.loose[0].end < begin:
            _apply(self.safe, self.loose.pop(0))

    def left(self, mode: str, rng: random.Random) -> bytes:
        if mode == "mixed":
            mode = rng.choice(MODES[:4])
        if mode == "dropped" or not self.loose:
            return bytes(self.safe)
        content = bytearray(self.safe)
        for write in self.loose:
            if mode == "torn" and write.data is not None:
                _tear(content, write.offset, write.data, rng)
            elif mode == "kept" or rng.random() < 0.5:
                _apply(content, write)
        return bytes(content)


def _apply(content: bytearray, write: Write) -> None:
    _, offset, data = write
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if data is None:
        del content[offset:]
    else:
        content[offset : offset + len(data)] = data


def _tear(content: bytearray, offset: int, data: bytes, rng: random.Random) -> None:
    at = 0
    while at < len(data):
        step = SECTOR - (offset + at) % SECTOR
        if rng.random() < 0.5:
            _apply(content, Write(0, offset + at, data[at : at + step]))
        at += step


Change = tuple[tuple[str, File | None], ...]  # names that change together


class Disk:
    """Follows the calls; `root` is the directory whose files count, as it was before the first."""

    def __init__(self, root: Path, before: Path | None = None) -> None:
        self._root = str(root)
        self._now: dict[str, File] = {}
        self._loose: dict[str, list[Change]] = {}  # by directory
        self._offsets: dict[int, int] = {}  # of file descriptors that are written without one
        self._now[self._root] = File(is_directory=True)
        for path in sorted(before.rglob("*")) if before is not None and before.exists() else ():
            name = str(root / path.relative_to(before or root))
            if path.is_dir():
                self._now[name] = File(is_directory=True)
            elif path.is_file() and not name.endswith("-shm"):
                content = path.read_bytes()
                self._now[name] = File(bytearray(content), size=len(content))
        self._safe = dict(self._now)

    def concerns(self, call: Call) -> bool:
        return call.path == self._root or call.path.startswith(self._root + "/")

    def follow(self, call: Call) -> None:
        if not self.concerns(call) or call.path.endswith("-shm"):
            return
        if call.name == "openat":
            self._open(call)
        elif call.name in {"fsync", "fdatasync"}:
            self._sync(call)
        elif call.name.startswith("mkdir"):
            self._rename(((call.path, File(is_directory=True)),))
        elif call.name.startswith("unlink"):
            self._rename(((call.path, None),))
        elif call.name.startswith("rename"):
            self._rename(((call.path, None), (call.other, self._now[call.path])))
        elif call.path in self._now:  # else: it was unlinked while it is open
            self._write(call, self._now[call.path])

    def left(self, mode: str, rng: random.Random) -> dict[str, bytes | None]:
        """Content by path below the root, None for directories."""
        names = dict(self._safe)
        for changes in self._loose.values():
            share = {"dropped": 0, "kept": len(changes)}.get(mode)
            for change in changes[: rng.randint(0, len(changes)) if share is None else share]:
                names.update((name, file) for name, file in change if file is not None)
                for name in (name for name, file in change if file is None):
                    names.pop(name, None)
        found: dict[str, bytes | None] = {}
        for name, file in sorted(names.items()):
            parent = str(Path(name).parent)
            if name == self._root or (parent != self._root and parent not in names):
                continue
            found[name[len(self._root) + 1 :]] = None if file.is_directory else file.left(mode, rng)
        return found

    def _open(self, call: Call) -> None:
        self._offsets[call.fd] = 0
        if "O_CREAT" in call.flags and call.path not in self._now:
            self._rename(((call.path, File()),))
        elif "O_TRUNC" in call.flags:
            self._now[call.path].change(Write(call.end, 0, None))
        elif "O_APPEND" in call.flags:
            self._offsets[call.fd] = self._now[call.path].size

    def _write(self, call: Call, file: File) -> None:
        if call.name == "pwrite64":
            file.change(Write(call.end, call.numbers[0], call.data))
        elif call.name == "ftruncate":
            file.change(Write(call.end, call.numbers[0], None))
        elif call.name == "fallocate":
            _mode, offset, length = call.numbers
            if offset + length > file.size:
                file.change(Write(call.end, offset + length, None))
        else:
            offset = self._offsets.get(call.fd, 0)
            file.change(Write(call.end, offset, call.data))
            self._offsets[call.fd] = offset + len(call.data)

    def _sync(self, call: Call) -> None:
        file = self._now.get(call.path)
        if file is None:
            return
        if not file.is_directory:
            file.sync(call.begin)
            return
        for change in self._loose.pop(call.path, ()):
            for name, now in change:
                if now is None:
                    self._safe.pop(name, None)
                else:
                    self._safe[name] = now

    def _rename(self, change: Change) -> None:
        for name, file in change:
            if file is None:
                self._now.pop(name, None)
            else:
                self._now[name] = file
        self._loose.setdefault(str(Path(change[0][0]).parent), []).append(change)


class Image(NamedTuple):
    """The directory `path` is what may be left after the first `cut` calls; `seed` decided how."""

    path: Path
    cut: int
    seed: int
    mode: str

    def says(self, what: str) -> str:
        return f"seed {self.seed}, {self.mode} at call {self.cut}: {what}"


def images(
    calls: Sequence[Call], disk: Disk, told: Container[int], seeds: Iterable[int]
) -> Iterator[Image]:
    """One image for each seed, in the order of their cuts; each is gone when the next is made."""
    followed = 0
    with workplace() as folder:
        for cut, seed in _cuts(calls, disk, told, seeds):
            for call in calls[followed:cut]:
                disk.follow(call)
            followed = cut
            rng = random.Random(seed)
            image = Image(Path(folder) / str(seed), cut, seed, rng.choice(MODES))
            _write(disk.left(image.mode, rng), image.path)
            yield image
            shutil.rmtree(image.path)


def workplace() -> "tempfile.TemporaryDirectory[str]":
    """In memory, if the machine has a file system for it: images are real without a disk."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="cuts-", dir=memory if memory.is_dir() else None)


def _cuts(
    calls: Sequence[Call], disk: Disk, told: Container[int], seeds: Iterable[int]
) -> list[tuple[int, int]]:
    """(number of calls before the cut, seed): half of them at any call on the directory, the others
    just after a call in `told`, when a promise is youngest.
    """
    own = [i + 1 for i, call in enumerate(calls) if disk.concerns(call)]
    young = [i + 1 for i in range(len(calls)) if i in told] or own
    rngs = [(random.Random(seed), seed) for seed in seeds]
    return sorted((rng.choice(own if seed % 2 else young), seed) for rng, seed in rngs)


def _write(image: Mapping[str, bytes | None], directory: Path) -> None:
    directory.mkdir()
    for name, content in image.items():  # directories come before what is in them
        if content is None:
            (directory / name).mkdir()
        else:
            (directory / name).write_bytes(content)
