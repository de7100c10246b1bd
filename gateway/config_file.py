"""The configuration file is replaced as a whole; the one before stays beside it as FILE.before. Blocks."""

import os
from pathlib import Path

WISHES = "desired"  # folder of the state directory: what platforms wish


def before(path: Path) -> Path:
    return path.with_name(f"{path.name}.before")


def put(path: Path, content: bytes) -> None:
    """Old or new content at any power cut, with the mode of the old one. Raises OSError."""
    before(path).write_bytes(path.read_bytes())
    _replace(path, content)


def take_back(path: Path) -> None:
    """The one before `put`. Raises OSError."""
    _replace(path, before(path).read_bytes())


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.chmod(path.stat().st_mode & 0o777)
    new.replace(path)
