"""Reads `requirements.lock`: what runs on a gateway, with the hashes that a download must have."""

import re
from pathlib import Path
from typing import NamedTuple

HEAD = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+(?:\[[a-z,]+\])?)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))?$"
)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# Markers of packages that no Linux machine gets.
ELSEWHERE = ("sys_platform == 'win32'", "sys_platform == 'darwin'")


class Pin(NamedTuple):
    """One package of the lock; `hashes` are SHA-256 of all its files."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    @property
    def on_linux(self) -> bool:
        return self.marker not in ELSEWHERE

    def text(self) -> str:
        """As in a requirements file."""
        marker = f" ; {self.marker}" if self.marker else ""
        hashes = "".join(f" \\\n    --hash=sha256:{value}" for value in self.hashes)
        return f"{self.name}=={self.version}{marker}{hashes}\n"


def read(path: Path) -> list[Pin]:
    """Every package of a lock file. Raises ValueError, which names the entry that has no hash."""
    text = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8"))
    return [_pin(line, path) for line in text.splitlines() if line and line[0] not in " #"]


def _pin(line: str, path: Path) -> Pin:
    head, *rest = re.split(r"\s+(?=--hash)", line.strip(), maxsplit=1)
    match, hashes = HEAD.match(head), HASH.findall(rest[0]) if rest else []
    if match is None or not hashes:
        raise ValueError(f"{path}: '{head}': want NAME==VERSION with a hash: run make lock")
    return Pin(match["name"], match["version"], match["marker"] or "", tuple(hashes))
