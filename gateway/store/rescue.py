"""Taking over what is good in a core.db that was put aside, in the background. Writer thread only.

What is wanted: the events of lanes 0 and 1 that some sink has not had yet, and the newest event of
each alarm, which a restart continues from. They keep their `event_id` and are marked `salvaged`.
Records that the new file does not get stay in the old one.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple, cast
from uuid import UUID

import orjson

from gateway.model import LANE_ALARM, LANE_EVENT, Event
from gateway.store.encode import Damaged, EventRow, event_of
from gateway.store.identity import DAMAGE, damaged
from gateway.store.index import Position
from gateway.store.orders import CommandRow
from gateway.store.readonly import look_at
from gateway.store.replay import good
from gateway.store.salvage import Salvage
from gateway.store.schema import SEQ_BITS

LANES = (LANE_ALARM, LANE_EVENT)
BATCH = 500  # events in one commit, between two of the day's business


class Found(NamedTuple):
    """Of a damaged core.db: what must be known at once."""

    cursors: Mapping[tuple[str, int], Position]
    last_n: int
    alarms: list[Event]  # the newest event of each alarm
    replay: Mapping[str, int]  # the last admitted counter of each device
    commands: list[CommandRow]


class Step(NamedTuple):
    """Events to store; `notes` goes into table `meta` with them, None at the end.

    `newest`: those that were the newest of their alarms.
    """

    events: list[Event]
    newest: frozenset[UUID]
    notes: str | None


def look_into(path: Path) -> Found:
    """Whatever can be read of the cursors and input numbers. Never raises what damage causes."""
    cursors: dict[tuple[str, int], Position] = {}
    last_n = 0
    for row in _rows(path, "SELECT sink, lane, epoch, seq FROM cursor"):
        match row:
            case (str(sink), int(lane), int(epoch), int(seq)):
                cursors[sink, lane] = Position(epoch, seq)
    for lane in LANES:
        high = (lane + 1) << SEQ_BITS
        for row in _rows(path, f"SELECT n FROM event WHERE id < {high} ORDER BY id DESC LIMIT 1"):  # noqa: S608 -- a number
            if isinstance(row[0], int):
                last_n = max(last_n, row[0])
    replay = dict(good(_rows(path, "SELECT device, counter, crc FROM replay")))
    return Found(cursors, last_n, list(_alarms(path)), replay, list(_commands(path)))


def _commands(path: Path) -> Iterator[CommandRow]:
    for row in _rows(path, "SELECT id, state, body, at_ns FROM command"):
        match row:
            case (bytes(id_), "intent" | "done" as state, bytes(body), int(at_ns)):
                yield id_, state, body, at_ns


def _alarms(path: Path) -> Iterator[Event]:
    for (id_,) in _rows(path, "SELECT id FROM alarm"):
        if isinstance(id_, int):
            for row in _rows(path, f"SELECT * FROM event WHERE id={id_}"):  # noqa: S608 -- a number
                with suppress(Damaged):
                    yield event_of(cast("EventRow", row))[1]


def _rows(path: Path, query: str) -> Iterator[tuple[object, ...]]:
    try:
        with closing(look_at(path)) as db:
            yield from db.execute(query)
    except DAMAGE as error:
        if not damaged(error) and not isinstance(error, sqlite3.OperationalError):
            raise


class Rescue:
    """`notes` is what `start` or the last step has put into table `meta`."""

    def __init__(self, directory: Path, notes: str) -> None:
        document = orjson.loads(notes)
        self._path = directory / str(document["file"])
        self._delivered = {int(lane): int(seq) for lane, seq in document["delivered"].items()}
        self._after = (int(document["after"][0]), int(document["after"][1]))
        self._salvage = Salvage(self._path)
        self._alarms = {
            row[0] for row in _rows(self._path, "SELECT id FROM alarm") if isinstance(row[0], int)
        }
        self._events = self._wanted()
        self.count = 0

    @property
    def damaged(self) -> int:
        """Rows that could not be read so far; of pages that are gone, each 50 keys count once."""
        return self._salvage.damaged + self._salvage.lost_windows

    def step(self) -> Step:
        """The next events; the last step has no notes."""
        found = list(islice(self._events, BATCH))
        self.count += len(found)
        newest = frozenset(event.event_id for event, is_newest in found if is_newest)
        notes = self._notes() if len(found) == BATCH else None
        return Step([event for event, _ in found], newest, notes)

    def _wanted(self) -> Iterator[tuple[Event, bool]]:
        if not self._path.exists():  # deleted meanwhile: nothing to take over
            return
        for _file, record in self._salvage:
            place = (record.lane, record.seq)
            event = record.item
            if record.lane not in LANES or place <= self._after or not isinstance(event, Event):
                continue
            delivered = record.seq <= self._delivered.get(record.lane, 0)
            newest = record.lane << SEQ_BITS | record.seq in self._alarms
            if newest or not delivered:
                self._after = place
                yield event._replace(attributes={**event.attributes, "salvaged": True}), newest

    def _notes(self) -> str:
        return _notes(self._path.name, self._delivered, self._after)


def start(path: Path, cursors: Mapping[tuple[str, int], Position]) -> str:
    """Notes for a file that was put aside just now.

    Without cursors for a lane everything in it counts as not delivered: the platform drops what it
    has.
    """
    delivered: dict[int, int] = {}
    for (_sink, lane), position in cursors.items():
        delivered[lane] = min(position.seq, delivered.get(lane, position.seq))
    return _notes(path.name, delivered, (-1, 0))


def _notes(name: str, delivered: Mapping[int, int], after: tuple[int, int]) -> str:
    lanes = {str(lane): seq for lane, seq in delivered.items()}
    return orjson.dumps({"file": name, "delivered": lanes, "after": after}).decode()
