"""Table `rule`: what each instance of a rule goes on with after a restart, with a checksum.

The rows are the business of the rules; here they are a name and bytes. They are written in the
transaction of the event that they belong to, so that both are there after a crash or neither.
"""

import logging
import sqlite3
from collections.abc import Mapping

from gateway.store.seal import crc_of

log = logging.getLogger(__name__)

Rows = Mapping[str, bytes | None]  # None: nothing is kept of it any more
NO_ROWS: Rows = {}
# A row that came with no event waits so long for others: a rule whose condition flickers would
# else wear the card out.
DELAY_S = 1.0


def read(db: sqlite3.Connection) -> dict[str, bytes]:
    """Those that fit their checksum; an instance without a row goes by its newest event."""
    found: dict[str, bytes] = {}
    for name, crc, body in db.execute("SELECT instance, crc, body FROM rule"):
        if isinstance(name, str) and isinstance(body, bytes) and crc == crc_of(name, body):
            found[name] = body
        else:
            log.error("the state of rule %r is damaged", name, extra={"component": "store"})
    return found


def write(db: sqlite3.Connection, rows: Rows) -> None:
    """Within the caller's transaction."""
    kept = [(name, crc_of(name, body), body) for name, body in rows.items() if body is not None]
    db.executemany("INSERT OR REPLACE INTO rule VALUES (?, ?, ?)", kept)
    gone = [(name,) for name, body in rows.items() if body is None]
    db.executemany("DELETE FROM rule WHERE instance=?", gone)
