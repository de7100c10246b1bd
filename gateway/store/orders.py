"""Commands that must not be done twice: what table `command` knows, and for how long."""

import random
import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gateway.clock import Clock

CommandRow = tuple[bytes, str, bytes, int]  # in the order of table `command`
# How long an id is known: longer than any command may be under way (`downlink.max_life`, a day).
KNOWN_NS = 7 * 86_400 * 1_000_000_000
UNKNOWN = "unknown"  # the outcome of what began before a crash
_SWEEP = 256


class Order(NamedTuple):
    """`outcome` is "" while it is under way. `body` tells what it was, if it was interrupted."""

    outcome: str
    at_ns: int
    body: bytes = b""


def read(db: sqlite3.Connection) -> dict[str, Order]:
    """What is known at a start, oldest first; whose end is not known may have been done or not."""
    rows = db.execute("SELECT id, state, body, at_ns FROM command ORDER BY at_ns")
    return {
        bytes(id_).decode(): Order(bytes(body).decode(), at_ns)
        if state == "done"
        else Order(UNKNOWN, at_ns, bytes(body))
        for id_, state, body, at_ns in rows
    }


def outcome(orders: Mapping[str, Order], command_id: str) -> str | None:
    known = orders.get(command_id)
    return None if known is None else known.outcome


def interrupted(orders: Mapping[str, Order]) -> list[tuple[str, bytes]]:
    """(id, body) of those that a crash came between: for the caller to tell, then to note as done."""
    return [(id_, order.body) for id_, order in orders.items() if order.body]


def write(db: sqlite3.Connection, rows: Iterable[CommandRow]) -> None:
    """By chance, one time in 256, the old ones go: a look at all of them at each command is too much."""
    kept = list(rows)
    db.executemany("INSERT OR REPLACE INTO command VALUES (?, ?, ?, ?)", kept)
    if kept and random.randrange(_SWEEP) == 0:
        db.execute("DELETE FROM command WHERE at_ns < ?", (kept[-1][3] - KNOWN_NS,))


def sweep(db: sqlite3.Connection, clock: Clock) -> None:
    """At a start, if the clock can be trusted."""
    if clock.ok:
        db.execute("DELETE FROM command WHERE at_ns < ?", (clock.time_ns() - KNOWN_NS,))


def forget(orders: dict[str, Order], now_ns: int) -> None:
    """The oldest ones whose time is over; they were put in in the order of time."""
    while orders:
        first = next(iter(orders))
        if orders[first].at_ns >= now_ns - KNOWN_NS:
            return
        del orders[first]
