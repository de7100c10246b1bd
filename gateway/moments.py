"""Keeps when rules with `at` had their last moment, over restarts: a small file in the state folder."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import orjson

from gateway.store.identity import sync_directory

log = logging.getLogger(__name__)

FILE = "moments.json"
KEEP_NS = 400 * 86_400 * 10**9  # of rules that are gone: a rule that comes once a year is not


class Moments:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.kept: Mapping[str, int] = {}

    def load(self) -> None:
        """Reads the file. Without one, or with one that is damaged, nothing counts as missed."""
        try:
            found = orjson.loads((self._directory / FILE).read_bytes())
            self.kept = {str(name): int(utc_ns) for name, utc_ns in found.items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, AttributeError, TypeError) as error:
            what = "%s is not understood, nothing is made up for: %s"
            log.warning(what, FILE, error, extra={"component": "rules"})

    def save(self, occurred: Mapping[str, int]) -> None:
        """Durable on return, old or new content at any power cut; nothing to do if nothing changed.

        Raises OSError.
        """
        newest = max(occurred.values(), default=0)
        kept = {name: utc for name, utc in self.kept.items() if utc > newest - KEEP_NS}
        kept |= occurred
        if kept == self.kept:
            return
        new = self._directory / f"{FILE}.new"
        with new.open("wb") as file:
            file.write(orjson.dumps(kept))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._directory / FILE)
        sync_directory(self._directory)
        self.kept = kept
