"""Which type each field had first: InfluxDB refuses another for the life of a shard.

A value of another type is written beside it, as `<field>_num`, `<field>_bool` or `<field>_str`: a
profile that was corrected, or a second profile of the same facility, holds nobody up. Kept in a
file, because the bucket remembers longer than a process.
"""

import json
import logging
import os
from pathlib import Path

from gateway.sinks.line import BOOLEAN, NUMBER, TEXT

log = logging.getLogger(__name__)

FILE = "influx-types.json"
SUFFIX = {NUMBER: "_num", BOOLEAN: "_bool", TEXT: "_str"}
MAX_FIELDS = 20_000  # of all profiles that a gateway ever had; what comes later is written as it is


class FieldTypes:
    """`load` and `save` block, `name` does not. Without a folder nothing is kept."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = folder / FILE if folder else None
        self._types: dict[str, str] = {}  # "measurement field", first type
        self.changed = False

    def load(self) -> None:
        """A file that cannot be read is begun anew: the server's word is the last one anyway."""
        if self._path is None:
            return
        try:
            known = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("%s: begun anew: %s", self._path, error, extra={"component": "influxdb"})
            return
        if isinstance(known, dict):
            self._types = {str(k): v for k, v in known.items() if v in SUFFIX}

    def name(self, measurement: str, point: str, what: str) -> str:
        """The field that takes a value of the type `what`; the first type has the plain name."""
        key = f"{measurement} {point}"
        first = self._types.get(key)
        if first is None and len(self._types) < MAX_FIELDS:
            self._types[key] = what
            self.changed = True
        return point if first in {None, what} else point + SUFFIX[what]

    def save(self) -> None:
        """Before the first line of a new field is written. On an OSError it stays `changed`."""
        if self._path is None or not self.changed:
            return
        text = json.dumps(self._types, indent=0, sort_keys=True).encode()
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        self.changed = False
