"""What the notifier keeps in a real journal: over restarts, without repeats, bounded."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from gateway.model import Event, EventKind, Severity, uuid7
from gateway.notice import Ending, Notice
from gateway.notify import MAX_TEXT, SLOTS, Notifier
from gateway.recipients import RecipientSection
from gateway.store.store import Store
from tests.harness.clock import FakeClock
from tests.harness.stores import NOW_NS, opened

GUARD = {"guard": RecipientSection(via="mqtt", link="field", topic="site/guard")}
CAUSE = UUID("01890000-0000-7000-8000-000000000001")


class Place:
    """A notifier on a journal; `said` are the events that it made."""

    def __init__(self, store: Store, recipients: Mapping[str, RecipientSection]) -> None:
        self.store, self.clock = store, FakeClock()
        self.said: list[Event] = []
        self.ended: list[Notice] = []
        self.notifier = Notifier(
            recipients, gateway_id="gw-1", announcers={}, journal=store,
            clock=self.clock, emit=self.emit, told=self.ended.append,
        )  # fmt: skip
        self.notifier.restore(store.alarms)

    def emit(
        self, kind: EventKind, severity: Severity, device: str, attributes: dict[str, object],
        cause: UUID | None = None,
    ) -> Event:  # fmt: skip
        now_ns = NOW_NS + len(self.said)
        event = Event(
            uuid7(now_ns), kind, severity, device, now_ns, self.clock.boottime_ns(), self.clock.boot, True,
            attributes, cause, self.store.last_n + 1,
        )  # fmt: skip
        self.store.append(event)
        self.said.append(event)
        return event

    def send(
        self, text: str, severity: Severity = Severity.OPERATIONAL, cause: UUID | None = None
    ) -> Notice | None:
        return self.notifier.send("guard", text, severity, cause=cause)


@asynccontextmanager
async def place(
    folder: Path, recipients: Mapping[str, RecipientSection] = GUARD
) -> AsyncIterator[Place]:
    async with opened(folder) as store:
        yield Place(store, recipients)


async def test_what_was_open_is_open_after_a_restart_with_its_id(tmp_path: Path) -> None:
    async with place(tmp_path) as first:
        sent = first.send("Smoke in 3-1", Severity.LIFE, CAUSE)
        assert sent is not None
        assert await first.notifier.stored(sent)
    async with place(tmp_path) as second:
        (found,) = second.notifier.open
        assert (found.id, found.text, found.recipient) == (sent.id, "Smoke in 3-1", "guard")
        assert (found.event.severity, found.event.cause) == (Severity.LIFE, CAUSE)
        assert second.said == []


async def test_the_same_for_the_same_cause_is_sent_once_over_restarts(tmp_path: Path) -> None:
    async with place(tmp_path) as first:
        sent = first.send("Smoke", cause=CAUSE)
        assert first.send("Smoke", cause=CAUSE) is sent
        again = first.notifier.send("guard", "Smoke", cause=CAUSE, occasion="reminder 1")
        assert again is not sent
        assert first.send("Smoke") is not sent  # a person may say it twice
        assert first.send("Smoke", cause=uuid7()) is not sent
        assert sent is not None
        first.notifier._end(sent, Ending.DELIVERED, "")
    async with place(tmp_path) as second:
        assert len(second.notifier.open) == 3
        assert second.send("Smoke", cause=CAUSE) is None
        assert second.notifier.counters["duplicates"] == 1
        assert second.said == []


async def test_a_recipient_that_is_gone_ends_what_waits_for_it(tmp_path: Path) -> None:
    async with place(tmp_path) as first:
        first.send("Smoke", Severity.SAFETY)
    async with place(tmp_path, {}) as second:
        assert second.notifier.open == []
        (told,) = second.said
        assert told.kind is EventKind.NOTIFIED
        assert told.severity is Severity.SAFETY
        assert (told.attributes["outcome"], told.attributes["recipient"]) == ("gone", "guard")
        with pytest.raises(ValueError, match="unknown recipient 'guard'"):
            second.send("Smoke")


async def test_when_too_many_wait_the_least_severe_gives_way_and_each_drop_is_told(
    tmp_path: Path,
) -> None:
    async with place(tmp_path) as one:
        waiting = [one.send(f"Lamp {n}") for n in range(SLOTS)]
        refused = one.send("Lamp too many")
        assert refused is not None
        assert refused.ending is Ending.DROPPED
        life = one.send("Fire", Severity.LIFE)
        assert life is not None
        assert one.notifier.open[0] is life
        assert len(one.notifier.open) == SLOTS
        assert [n for n in waiting if n is not None and n.ending is not None] == [waiting[0]]
        assert one.notifier.counters["dropped"] == len(one.ended) == 2
        outcomes = [e.attributes["outcome"] for e in one.said if e.kind is EventKind.NOTIFIED]
        assert outcomes == ["dropped", "dropped"]
    async with place(tmp_path) as after:
        assert {n.text for n in after.notifier.open} == {
            "Fire",
            *(f"Lamp {n}" for n in range(1, SLOTS)),
        }


async def test_the_journal_keeps_no_more_than_the_slots(tmp_path: Path) -> None:
    async with place(tmp_path) as one:
        for n in range(3 * SLOTS):
            sent = one.send(f"Lamp {n}", cause=uuid7())
            assert sent is not None
            one.notifier._end(sent, Ending.DELIVERED, "")
        assert one.notifier.open == []
    async with opened(tmp_path) as store:
        assert len(store.alarms) == SLOTS


async def test_a_text_without_end_is_cut_and_counted(tmp_path: Path) -> None:
    async with place(tmp_path) as one:
        sent = one.send("x" * 5_000)
        assert sent is not None
        assert len(sent.text) == MAX_TEXT
        assert one.notifier.counters["cut"] == 1
