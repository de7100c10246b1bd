"""The configurations that ran, numbered: `state_dir/configurations/NNNN.tar` with their files.

Secrets are only referenced in these files, so none is kept. Files are named from the folder that
holds them all; they go back to where they were.
"""

import hashlib
import io
import logging
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

log = logging.getLogger(__name__)

FOLDER = "configurations"
KEPT = 50
ABOUT = "about.json"


class Entry(NamedTuple):
    """`main` and `files` are where they stood; `time_ns` is when it began to run, or was replaced."""

    n: int
    time_ns: int
    who: str
    sha256: str
    main: str
    files: tuple[str, ...]


def remember(state_dir: Path, files: Sequence[Path], who: str, time_ns: int) -> None:
    """Keep what runs now. It runs also where it cannot be kept: that is logged."""
    try:
        ConfigHistory(state_dir).keep(files, who, time_ns)
    except (OSError, ValueError) as error:
        log.warning("the configuration is not kept: %s", error, extra={"component": "config"})


class ConfigHistory:
    """Reads and writes one folder. Raises OSError; a damaged archive is a ValueError."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / FOLDER

    def entries(self) -> list[Entry]:
        """Oldest first."""
        found = sorted(self._folder.glob("[0-9]*.tar")) if self._folder.is_dir() else []
        return [self._about(path) for path in found]

    def newest(self) -> Entry | None:
        found = self.entries()
        return found[-1] if found else None

    def keep(self, files: Sequence[Path], who: str, time_ns: int) -> Entry | None:
        """Number and keep them, the main one first; None if the newest entry is the same."""
        newest = self.newest()
        real = [path.resolve() for path in files]
        digest = fingerprint(tuple(real))
        if newest is not None and newest.sha256 == digest:
            return None
        number = newest.n + 1 if newest is not None else 1
        entry = Entry(number, time_ns, who, digest, str(real[0]), tuple(map(str, real)))
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{number:04d}.tar"
        new = path.with_suffix(".new")
        with new.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            _write(file, entry, real)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        for old in sorted(self._folder.glob("[0-9]*.tar"))[:-KEPT]:
            old.unlink()
        return entry

    def contents(self, number: int) -> dict[Path, bytes]:
        """What the files of an entry held, by where they stood. Raises ValueError: no such entry."""
        path = self._path(number)
        entry = self._about(path)
        with _opened(path) as archive:
            return {
                Path(name): _member(archive, index, path) for index, name in enumerate(entry.files)
            }

    def entry(self, number: int) -> Entry:
        """Raises ValueError: there is no such entry."""
        return self._about(self._path(number))

    def _path(self, number: int) -> Path:
        path = self._folder / f"{number:04d}.tar"
        if not path.is_file():
            known = ", ".join(str(entry.n) for entry in self.entries()[-10:])
            raise ValueError(
                f"no configuration {number}: there are {known}"
                if known
                else "no configuration has run yet"
            )
        return path

    def _about(self, path: Path) -> Entry:
        with _opened(path) as archive:
            about = orjson.loads(_read(archive, ABOUT, path))
        return Entry(**{**about, "files": tuple(about["files"])})


def _opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r:")
    except tarfile.TarError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _member(archive: tarfile.TarFile, index: int, path: Path) -> bytes:
    return _read(archive, f"{index}", path)


def _read(archive: tarfile.TarFile, name: str, path: Path) -> bytes:
    try:
        member = archive.extractfile(name)
    except KeyError as error:
        raise ValueError(f"{path} is damaged: no {name}") from error
    assert member is not None  # noqa: S101 -- only plain files are written
    return member.read()


def _write(file: io.BufferedWriter, entry: Entry, files: Sequence[Path]) -> None:
    parts = {ABOUT: orjson.dumps(entry._asdict())}
    parts |= {str(index): path.read_bytes() for index, path in enumerate(files)}
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mtime = entry.time_ns // 10**9
            archive.addfile(info, io.BytesIO(content))


def fingerprint(files: tuple[Path, ...]) -> str:
    """SHA-256 over names and contents."""
    digest = hashlib.sha256()
    for path in files:
        try:
            content = path.read_bytes()
        except OSError:  # gone since it was read: a change as well
            content = b""
        digest.update(f"{path.name}\0{len(content)}\0".encode(errors="replace") + content)
    return digest.hexdigest()
