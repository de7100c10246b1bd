"""The way of an item: number, deduplicate, store, state, point alarm, rules."""

import asyncio
from typing import Any, NamedTuple

import pytest

import gateway.bus
from gateway.bus import Bus, source_key
from gateway.errors import GatewayError, StoreFailed, StoreFull
from gateway.model import (
    RETAINED,
    Event,
    EventKind,
    Item,
    Sample,
    Severity,
    Value,
    lane_of,
    uuid7,
)
from gateway.profile import Profile
from gateway.state import State
from tests.harness.clock import FakeClock
from tests.harness.journal import MemoryJournal

DETECTOR = Profile.model_validate({
    "profile": "test-detector", "type": "detector", "facility": "fire", "protocol": "test",
    "sources": ["tests"], "status": "bench",
    "points": [{"id": "alarm.smoke", "severity": "life"}, {"id": "env.temperature", "unit": "Cel"}],
})  # fmt: skip
SMOKE, TEMPERATURE = "alarm.smoke", "env.temperature"


class Seen(NamedTuple):
    """What a decider finds when it is called."""

    sample: Sample | None
    now_ns: int
    state: Value | None
    stored: tuple[Item, ...]


class Engine:
    """A decider that keeps what it saw and wants to be called at `due_ns`."""

    def __init__(self, state: State, journal: MemoryJournal) -> None:
        self.calls: list[Seen] = []
        self.due_ns: int | None = None
        self.ticked = asyncio.Event()
        self._state = state
        self._journal = journal

    def decide(self, sample: Sample | None, now_ns: int, bus: Bus) -> None:
        reading = self._state.reading("smoke-1", SMOKE)
        value = None if reading is None else reading.value
        self.calls.append(Seen(sample, now_ns, value, tuple(self._journal.items)))
        if sample is None and self.due_ns is not None and now_ns >= self.due_ns:
            self.due_ns = None
            bus.emit(EventKind.ALARM_RAISED, Severity.LIFE, "smoke-1", {"rule": "r"})
            self.ticked.set()

    def next_due_ns(self) -> int | None:
        return self.due_ns


class Rig:
    def __init__(
        self, *, last_n: int = 0, ids: tuple[bytes, ...] = (), taken: tuple[bytes, ...] = ()
    ) -> None:
        self.clock = FakeClock()
        self.state = State({"smoke-1": DETECTOR})
        self.journal = MemoryJournal(last_n=last_n, ids=ids, taken=taken)
        self.engine = Engine(self.state, self.journal)
        self.bus = Bus(store=self.journal, state=self.state, clock=self.clock, decider=self.engine)
        self.bus.restore()

    def sample(self, values: dict[str, Value], source_id: bytes | None = None) -> Sample:
        return Sample(
            "smoke-1", self.clock.time_ns(), self.clock.boottime_ns(), 1, True, values,
            source_id=source_id,
        )  # fmt: skip

    def event(self) -> Event:
        now_ns = self.clock.time_ns()
        return Event(
            uuid7(now_ns), EventKind.POINT_ALARM, Severity.SAFETY, "panel-1", now_ns,
            self.clock.boottime_ns(), 1, True, {"text": "loop 3"},
        )  # fmt: skip


async def test_an_item_passes_store_state_point_alarm_and_rules_in_this_order() -> None:
    rig = Rig(last_n=41)
    published = await rig.bus.publish(rig.sample({SMOKE: True}))
    assert published.n == 42
    seen = rig.engine.calls[0]
    assert seen.sample == published, "rules see the numbered sample"
    assert seen.now_ns == rig.clock.boottime_ns()
    assert seen.state is True, "state is updated before the rules"
    first, alarm = seen.stored
    assert first == published, "the store finds the message before the events that it led to"
    assert isinstance(alarm, Event), "the point alarm is made before the rules run"
    assert rig.journal.items == [published, alarm]


async def test_a_point_alarm_tells_what_changed_and_carries_the_times_of_its_sample() -> None:
    rig = Rig()
    sample = await rig.bus.publish(rig.sample({SMOKE: True}))
    (alarm,) = rig.journal.events
    assert (alarm.kind, alarm.severity, alarm.device) == (EventKind.POINT_ALARM, Severity.LIFE, "smoke-1")  # fmt: skip
    assert alarm.attributes == {"point": SMOKE, "value": True, "was": None}
    assert isinstance(sample, Sample)
    assert (alarm.time_ns, alarm.received_ns, alarm.boot, alarm.clock_ok, alarm.n) == (
        sample.time_ns, sample.received_ns, sample.boot, sample.clock_ok, sample.n
    )  # fmt: skip
    assert lane_of(alarm) == 0
    assert alarm.event_id.version == 7


async def test_the_second_message_of_a_source_id_triggers_nothing_and_gets_the_first_number() -> (
    None
):
    rig = Rig()
    first = await rig.bus.publish(rig.sample({SMOKE: True}, b"7"), held=True)
    stored = list(rig.journal.items)
    again = await rig.bus.publish(rig.sample({SMOKE: False}, b"7"), held=True)
    assert again.n == first.n
    assert rig.journal.items == stored
    assert len(rig.engine.calls) == 1
    reading = rig.state.reading("smoke-1", SMOKE)
    assert reading is not None
    assert reading.value is True
    assert rig.bus.counters["duplicates"] == 1


async def test_the_same_source_id_of_another_device_is_another_message() -> None:
    rig = Rig()
    await rig.bus.publish(rig.sample({SMOKE: True}, b"7"))
    await rig.bus.publish(rig.sample({SMOKE: True}, b"7")._replace(device="smoke-2"))
    await rig.bus.publish(rig.sample({SMOKE: True}, b""))
    assert len(rig.journal.samples) == 3


async def test_messages_without_source_id_are_all_taken() -> None:
    rig = Rig()
    numbers = [(await rig.bus.publish(rig.sample({TEMPERATURE: 20.0}))).n for _ in range(3)]
    assert numbers == [1, 2, 3]
    assert len(rig.journal.samples) == 3


async def test_ids_seen_before_the_restart_are_known_and_commit_without_waiting_for_new_data() -> (
    None
):
    rig = Rig(last_n=9, ids=(source_key("smoke-1", b"7"),))
    repeat = await rig.bus.publish(rig.sample({SMOKE: True}, b"7"))
    assert rig.journal.items == []
    assert rig.engine.calls == []
    await rig.bus.commit(repeat)
    assert rig.journal.awaited == [0], "what the journal held at the start is durable"
    assert (await rig.bus.publish(rig.sample({SMOKE: True}, b"8"))).n == 10


async def test_a_repeat_that_comes_before_the_commit_waits_for_the_commit_of_the_first() -> None:
    rig = Rig()
    rig.journal.gate.clear()
    await rig.bus.publish(rig.sample({SMOKE: True}, b"7"), held=True)
    repeat = await rig.bus.publish(rig.sample({SMOKE: True}, b"7"), held=True)
    async with asyncio.TaskGroup() as group:
        commit = group.create_task(rig.bus.commit(repeat))
        await asyncio.sleep(0)
        assert not commit.done()
        rig.journal.gate.set()
    assert rig.journal.awaited == [1]


async def test_the_oldest_ids_are_forgotten_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway.bus, "MAX_IDS", 2)
    rig = Rig()
    for source_id in (b"1", b"2", b"3", b"2", b"1"):
        await rig.bus.publish(rig.sample({TEMPERATURE: 20.0}, source_id))
    assert [sample.source_id for sample in rig.journal.samples] == [b"1", b"2", b"3", b"1"]


async def test_samples_that_the_full_store_refuses_still_reach_state_and_rules() -> None:
    rig = Rig()
    rig.journal.full = True
    for value in (False, True, True):
        await rig.bus.publish(rig.sample({SMOKE: value}))
    assert [call.state for call in rig.engine.calls] == [False, True, True]
    assert rig.journal.samples == []
    assert [event.kind for event in rig.journal.events] == [EventKind.POINT_ALARM]
    assert rig.bus.counters["store_stalled"] == 3
    assert rig.bus.counters["samples"] == 0
    rig.journal.shedding = True  # for want of room on the disk
    await rig.bus.publish(rig.sample({SMOKE: True}))
    assert rig.bus.counters["store_shed"] == 1


async def test_losses_are_reported_once_for_each_report(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.journal.full = True
    for _ in range(3):
        await rig.bus.publish(rig.sample({TEMPERATURE: 20.0}))
    rig.bus.report_losses()
    rig.bus.report_losses()
    (loss,) = rig.journal.events
    assert loss.kind is EventKind.DATA_LOSS
    assert loss.attributes == {"lane": 2, "count": 3, "reason": "store_stalled"}
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    await rig.bus.publish(rig.sample({TEMPERATURE: 20.0}))
    rig.bus.report_losses()
    assert [event.attributes["count"] for event in rig.journal.events] == [3, 1]
    assert rig.bus.counters["store_stalled"] == 4


async def test_a_full_store_takes_what_its_source_holds_and_events() -> None:
    rig = Rig()
    rig.journal.full = True
    await rig.bus.publish(rig.sample({SMOKE: False}, b"7"), held=True)
    await rig.bus.publish(rig.event())
    assert len(rig.journal.items) == 2
    rig.bus.report_losses()
    assert len(rig.journal.items) == 2


async def test_a_refused_message_is_not_remembered_so_that_its_repeat_is_taken() -> None:
    rig = Rig()
    rig.journal.full = True
    await rig.bus.publish(rig.sample({TEMPERATURE: 20.0}, b"7"))
    rig.journal.full = False
    await rig.bus.publish(rig.sample({TEMPERATURE: 20.0}, b"7"))
    assert len(rig.journal.samples) == 1
    assert rig.bus.counters["duplicates"] == 0


@pytest.mark.parametrize("failure", [StoreFull("no room"), StoreFailed("EIO")])
async def test_a_message_whose_commit_failed_is_not_taken_again(failure: GatewayError) -> None:
    rig = Rig()
    smoke = await rig.bus.publish(rig.sample({SMOKE: True}, b"1"), held=True)
    rig.journal.failure = failure
    with pytest.raises(type(failure)):
        await rig.bus.commit(smoke)
    again = await rig.bus.publish(rig.sample({SMOKE: True}, b"1"), held=True)
    with pytest.raises(type(failure)):
        await rig.bus.commit(again)
    rig.journal.failure = None
    await rig.bus.commit(again)
    assert again.n == smoke.n
    assert rig.journal.awaited == [1, 1, 1], "the repeat waits for the commit of the first"
    assert (len(rig.journal.samples), len(rig.journal.events), len(rig.engine.calls)) == (1, 1, 1)


async def test_a_journal_that_was_opened_late_is_continued_behind_its_end() -> None:
    rig = Rig()
    await rig.bus.publish(rig.sample({TEMPERATURE: 1.0}, b"new"), held=True)
    rig.journal.last_n = 40
    rig.journal.ids[:] = [source_key("smoke-1", b"old"), source_key("smoke-1", b"new")]
    rig.bus.reopened()
    for source_id, n in ((b"old", 0), (b"new", 1), (b"newer", 41)):
        assert (await rig.bus.publish(rig.sample({TEMPERATURE: 1.0}, source_id))).n == n


async def test_a_message_whose_alarm_was_stored_before_the_restart_alarms_no_second_time() -> None:
    rig = Rig(last_n=5, taken=(source_key("smoke-1", b"7"),))
    published = await rig.bus.publish(rig.sample({SMOKE: True}, b"7"), held=True)
    assert rig.journal.items == [published]
    assert rig.bus.counters["replayed"] == 1
    # State and rules need it: a rule may still have been waiting for its time.
    assert rig.state.reading("smoke-1", SMOKE) is not None
    assert len(rig.engine.calls) == 1


async def test_a_retained_value_reaches_state_and_raises_nothing() -> None:
    rig = Rig()
    retained = rig.sample({SMOKE: True})._replace(quality={SMOKE: RETAINED})
    await rig.bus.publish(retained)
    assert rig.journal.events == []
    reading = rig.state.reading("smoke-1", SMOKE)
    assert reading is not None
    assert (reading.value, reading.quality) == (True, RETAINED)
    await rig.bus.publish(rig.sample({SMOKE: True}))
    assert [event.kind for event in rig.journal.events] == [EventKind.POINT_ALARM]


async def test_events_of_drivers_are_numbered_and_stored() -> None:
    rig = Rig(last_n=4)
    event = rig.event()
    published = await rig.bus.publish(event)
    assert published == event.numbered(5)
    assert rig.journal.items == [published]
    assert rig.engine.calls == []


async def test_an_event_of_the_gateway_carries_the_number_of_the_input_that_led_to_it() -> None:
    rig = Rig(last_n=4)
    await rig.bus.publish(rig.sample({TEMPERATURE: 20.0}))
    cause = uuid7()
    event = rig.bus.emit(EventKind.LINK_DOWN, Severity.OPERATIONAL, "gateway", {"link": "l"}, cause)
    assert rig.journal.items[-1] == event
    assert (event.n, event.cause, event.time_ns) == (5, cause, rig.clock.time_ns())
    assert (event.boot, event.clock_ok) == (1, True)


async def test_a_counter_is_admitted_before_the_events_that_its_message_leads_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig()
    order: list[str] = []
    append = rig.journal.append

    def note(item: Item, **how: Any) -> bool:
        order.append(f"{type(item).__name__} {rig.journal.replay.last('smoke-1')}")
        return append(item, **how)

    monkeypatch.setattr(rig.journal, "append", note)
    await rig.bus.publish(rig.sample({SMOKE: True})._replace(counter=77))
    assert order == ["Sample 77", "Event 77"]
    assert rig.bus.last_counter("smoke-1") == 77
    rig.bus.forget_counter("smoke-1")
    assert rig.bus.last_counter("smoke-1") is None


async def test_room_is_the_room_of_the_store() -> None:
    rig = Rig()
    rig.journal.roomy.clear()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(rig.bus.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        rig.journal.roomy.set()


async def test_publish_never_gives_the_loop_away() -> None:
    rig = Rig()
    rig.journal.full = True
    rig.journal.gate.clear()
    rig.journal.roomy.clear()
    for item in (rig.sample({SMOKE: True}), rig.event()):
        with pytest.raises(StopIteration):  # it returned at its first step
            rig.bus.publish(item).send(None)


async def test_the_bus_remembers_who_sent_messages_with_ids_over_a_restart() -> None:
    rig = Rig(ids=(b"smoke-1\0a-1",))
    assert rig.bus.remembers("smoke-1")
    assert not rig.bus.remembers("smoke")
