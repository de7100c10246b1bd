"""Bringing an older core.db to the present schema, all of it or nothing."""

import sqlite3
from collections.abc import Sequence

from gateway.store.schema import SCHEMA_VERSION
from gateway.store.segment import transaction

# What leads from version n to n + 1. Tables that are only new need no line: CORE makes them.
MIGRATIONS: Sequence[Sequence[str]] = (
    (
        "ALTER TABLE command ADD COLUMN at_ns INTEGER NOT NULL DEFAULT 0",
        "UPDATE command SET at_ns = CAST(strftime('%s', 'now') AS INTEGER) * 1000000000",
    ),
)


def migrate(db: sqlite3.Connection) -> int:
    """Returns how many versions it went up; does nothing to a database without a version."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name='meta'").fetchall():
        return 0
    row = db.execute("SELECT v FROM meta WHERE k='schema_version'").fetchone()
    version = SCHEMA_VERSION if row is None else int(row[0])
    steps = MIGRATIONS[version:SCHEMA_VERSION] if version >= 0 else ()
    if not steps:
        return 0
    with transaction(db):
        for statement in (text for step in steps for text in step):
            db.execute(statement)
        db.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", (SCHEMA_VERSION,))
    return len(steps)
