"""Starts the real app with one part replaced: `python -m tests.harness.sabotage NAME run -c FILE`.

Each function here must turn its promise's test red; a promise whose sabotage stays green is not
tested at all.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from drivers.modbus.link import Connection
from drivers.mqtt.driver import MqttDriver
from gateway import app, attempt, execution, safemode
from gateway.allow import CommandsSection
from gateway.attempt import Plan, Writer
from gateway.beat import IDLE_S
from gateway.bus import Bus
from gateway.cli.main import main
from gateway.commands import Commands
from gateway.counters import ReplayCounters
from gateway.course import Course, Ending, Write
from gateway.decider import RuleDecider
from gateway.drill_report import DrillStep
from gateway.errors import GatewayError, Refused
from gateway.execution import LOCAL
from gateway.holds import Holds
from gateway.indicators import gather
from gateway.indicators.energy import Energy
from gateway.indicators.settings import ReportSection
from gateway.model import LANE_ALARM, Command, CommandResult, Event, EventKind, Item, Outcome, Value
from gateway.notice import Notice
from gateway.notify import Notifier
from gateway.pulse import Pulse
from gateway.recipients import RecipientSection
from gateway.store.ballast import Ballast
from gateway.store.journal import Journal, Written
from gateway.store.retention import WORTH, Keeper
from gateway.store.store import Store
from gateway.store.sweep import Sweep
from gateway.supervise import Contained
from gateway.systemd import Systemd
from gateway.watchdog import Watchdog
from rules import alarming
from rules.flow import State
from rules.rehearse import Part, Pause
from rules.sequence import Run, Thread
from rules.standing import standing
from tests.harness.sabotage_mqtt import Put, no_identity_check, no_memory_of_commands
from tests.harness.sabotage_upkeep import SABOTAGES
from tests.harness.sabotage_views import VIEWS


def ack_before_commit() -> None:
    """Devices are acknowledged when the bus has the message, not when the disk has it."""

    async def commit(self: Bus, item: Item) -> None:
        return

    setattr(Bus, "commit", commit)  # noqa: B010 -- replaced on purpose, behind the type checker


def deaf_to_itself() -> None:
    """The gateway tells nothing of its uplinks after its start."""
    proper = Pulse.states

    def states(self: Pulse) -> dict[str, Value]:
        return {k: v for k, v in proper(self).items() if not k.startswith("uplink.") or v is True}

    setattr(Pulse, "states", states)  # noqa: B010 -- as above


def no_ballast() -> None:
    """Nothing is kept in reserve for a full disk."""
    setattr(Ballast, "restore", lambda _self: True)  # noqa: B010 -- as above
    setattr(Ballast, "release", lambda _self: False)  # noqa: B010 -- as above


def evict_alarms_first() -> None:
    """Whenever samples have to go, alarms go before them, delivered or not."""
    proper = Keeper._drop_segment

    def drop(self: Keeper, reason: str) -> bool:
        return self._drop_events(LANE_ALARM, reason, worth=WORTH) or proper(self, reason)

    setattr(Keeper, "_drop_segment", drop)  # noqa: B010 -- as above


def no_quarantine() -> None:
    """After a Modbus answer that did not come or did not fit, the next request goes out at once."""
    setattr(Connection, "_distrust", lambda _self, **_how: None)  # noqa: B010 -- as above


def everything_is_allowed() -> None:
    """Whoever asks may write whatever there is."""
    setattr(CommandsSection, "allows", lambda *_: True)  # noqa: B010 -- as above


def die_after_the_intent() -> None:
    """No sabotage of a promise: power off between the intent of a platform's command and its write."""
    proper = Commands._try

    async def attempt(self: Commands, command: Command, *rest: Any, **more: Any) -> CommandResult:
        if command.origin not in LOCAL:
            os.kill(os.getpid(), signal.SIGKILL)
        return await proper(self, command, *rest, **more)

    setattr(Commands, "_try", attempt)  # noqa: B010 -- as above


def die_after_the_write() -> None:
    """No sabotage of a promise: power off when the device has the command and nobody knows yet."""
    proper = Contained.write

    async def write(self: Contained, command: Command) -> CommandResult:
        result = await proper(self, command)
        if command.origin not in LOCAL:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(Contained, "write", write)  # noqa: B010 -- as above


def forget_counters() -> None:
    """What devices counted is known until the next restart, and no longer."""
    setattr(ReplayCounters, "_post", lambda _self, _device, _counter: None)  # noqa: B010 -- as above


def forget_rules() -> None:
    """What the rules are at lives in memory alone."""
    setattr(RuleDecider, "_news", lambda _self, _now_ns: {})  # noqa: B010 -- as above


def forget_holds() -> None:
    """What people hold lives in memory alone."""
    setattr(Holds, "recall", lambda _self, _rows, _base: None)  # noqa: B010 -- as above


def forget_notifications() -> None:
    """What is open lives in memory alone."""
    setattr(Notifier, "restore", lambda _self, _events: None)  # noqa: B010 -- as above


def believe_every_publish() -> None:
    """A notification is delivered when it was sent, whoever listens."""
    proper = MqttDriver.announce

    async def announce(self: MqttDriver, topic: str, payload: bytes, *, expiry_s: int) -> None:
        with suppress(Refused):
            await proper(self, topic, payload, expiry_s=expiry_s)

    setattr(MqttDriver, "announce", announce)  # noqa: B010 -- as above


def slow_disk() -> None:
    """No sabotage of a promise: every commit of a notification takes 2 s."""
    proper = Journal.commit_core

    def commit(self: Journal, events: Sequence[Event], *rest: Any, **more: Any) -> list[Written]:
        if any(event.kind is EventKind.NOTIFICATION for event in events):
            time.sleep(2)
        return proper(self, events, *rest, **more)

    setattr(Journal, "commit_core", commit)  # noqa: B010 -- as above


def notify_after_the_commit() -> None:
    """On a slow disk nobody hears of a notification before it is stored."""
    slow_disk()
    proper = Notifier._announced

    async def announced(self: Notifier, notice: Notice, to: RecipientSection) -> None:
        await self.stored(notice)
        await proper(self, notice, to)

    setattr(Notifier, "_announced", announced)  # noqa: B010 -- as above


def stalled_disk() -> None:
    """No sabotage of a promise: every commit of an alarm takes 2 s."""
    proper = Journal.commit_core

    def commit(self: Journal, events: Sequence[Event], *rest: Any, **more: Any) -> list[Written]:
        if any(event.kind in {EventKind.ALARM_RAISED, EventKind.POINT_ALARM} for event in events):
            time.sleep(2)
        return proper(self, events, *rest, **more)

    setattr(Journal, "commit_core", commit)  # noqa: B010 -- as above


def act_after_the_commit() -> None:
    """On a stalled disk nothing is written to a device before what led to it is stored."""
    stalled_disk()
    append, write = Store.append, Contained.write
    newest: list[tuple[Store, int]] = []

    def appended(self: Store, item: Item, **more: Any) -> bool:
        newest[:] = [(self, item.n)]
        return append(self, item, **more)

    async def written(self: Contained, command: Command) -> CommandResult:
        store, n = newest[0]
        await store.durable(n)
        return await write(self, command)

    setattr(Store, "append", appended)  # noqa: B010 -- as above
    setattr(Contained, "write", written)  # noqa: B010 -- as above


def believe_every_write(put: Put = setattr) -> None:
    """A write is confirmed when its driver took it, whatever the device shows."""

    async def believed(command: Command, how: Plan, writer: Writer, *_: Any) -> CommandResult:
        result = await writer.write(command)
        return result._replace(outcome=Outcome.CONFIRMED)

    put(execution, "attempt", believed)


def write_once(put: Put = setattr) -> None:
    """Nothing is tried again."""
    proper = attempt.plan

    def plan(*rest: Any, **more: Any) -> Plan:
        return proper(*rest, **more)._replace(attempts=1)

    put(execution, "plan", plan)


def fail_for_each() -> None:
    """What comes on failure begins for each device of the step that fails."""

    def answer(self: Run, step: int, place: tuple[str, str], *, failed: bool) -> None:
        sent = self.sent.get(step)
        if sent is not None and failed:
            self.threads.insert(0, Thread([list(sent.on_fail)]))
        elif sent is not None:
            del self.sent[step]

    setattr(Run, "answer", answer)  # noqa: B010 -- as above


def drill_believes_itself() -> None:
    """A drill takes every write for confirmed, and what it waits for for true."""
    proper, wait = Course._written, Course._waited

    def written(self: Course, one: Write, ending: Ending) -> DrillStep:
        return {**proper(self, one, ending), "outcome": "confirmed"}

    def waited(self: Course, pause: Pause) -> DrillStep:
        return {**wait(self, pause), "outcome": "true"}

    setattr(Course, "_written", written)  # noqa: B010 -- as above
    setattr(Course, "_waited", waited)  # noqa: B010 -- as above


def drill_up_to_a_wait() -> None:
    """A drill does what comes before the first wait, and has passed."""

    async def walk(self: Course, group: asyncio.TaskGroup, _seconds: float) -> str:
        for part in self._rehearsal.go_on(self._now()):
            if isinstance(part, Part):
                self._begin(part, group)
        return ""

    setattr(Course, "_walk", walk)  # noqa: B010 -- as above


def nobody_need_see_alarms() -> None:
    """An alarm is over when its condition is, whether somebody has acknowledged it or not."""
    proper = alarming.settle

    def settle(state: State, rank: int) -> None:
        if not standing(state, rank) and rank in state.incidents:
            state.incidents[rank].acked_ns = 0
        proper(state, rank)

    setattr(alarming, "settle", settle)  # noqa: B010 -- as above


def short_safe_mode() -> None:
    """No sabotage of a promise: safe mode lasts for 2 s instead of 10 min."""
    safemode.STABLE_S = 2.0


def report_without_the_newest() -> None:
    """The operation report believes that the rollups hold everything."""
    setattr(Sweep, "_fresh", lambda *_: {})  # noqa: B010 -- as above


def report_of_few_households() -> None:
    """The operation report tells of households however few they are."""

    def energy(devices: Any, period: Any, settings: ReportSection, at: Any) -> Energy:
        return Energy(devices, period, settings.model_copy(update={"min_households": 1}), at)

    setattr(gather, "Energy", energy)  # noqa: B010 -- as above


def quick_influx() -> None:
    """No sabotage of a promise: what is for InfluxDB does not wait for company."""
    from gateway.sinks import influx  # loads the client: for those who use it

    influx.HERE = influx.Timing(linger_s=0.05, event_linger_s=0.05, pause_s=0.01)


def any_answer_is_a_yes() -> None:
    """Whatever InfluxDB answers, or that it does not, the cursor moves on."""
    from gateway.sinks.influx_client import Server

    quick_influx()
    proper = Server.write

    async def write(self: Server, body: bytes) -> None:
        with suppress(GatewayError):
            await proper(self, body)

    setattr(Server, "write", write)  # noqa: B010 -- as above


def short_deadlines() -> None:
    """No sabotage of a promise: what is idle has hardly time for its idle turn."""
    for name in ("INGEST_S", "COMMIT_S"):
        setattr(app, name, IDLE_S + 1)
    setattr(app, "FORWARD_S", 2 * IDLE_S)  # noqa: B010 -- as above; it backs off at first


def block_on_signal() -> None:
    """No sabotage of a promise: SIGUSR1 holds the event loop for 5.2 s."""
    signal.signal(signal.SIGUSR1, lambda *_: time.sleep(5.2))


def bare_watchdog() -> None:
    """A timer feeds the watchdog, whatever the stages do."""
    block_on_signal()

    def feed(systemd: Systemd) -> None:
        while True:
            systemd.alive()
            time.sleep(1.0)

    async def run(self: Watchdog) -> None:
        threading.Thread(target=feed, args=(self._systemd,), daemon=True).start()
        self._systemd.status("running")
        await asyncio.sleep(7.0)
        self._systemd.status("running")

    setattr(Watchdog, "run", run)  # noqa: B010 -- as above


if __name__ == "__main__":
    {
        **SABOTAGES,
        **VIEWS,
        "short_deadlines": short_deadlines,
        "block_on_signal": block_on_signal,
        "bare_watchdog": bare_watchdog,
        "ack_before_commit": ack_before_commit,
        "deaf_to_itself": deaf_to_itself,
        "no_ballast": no_ballast,
        "no_quarantine": no_quarantine,
        "no_identity_check": no_identity_check,
        "evict_alarms_first": evict_alarms_first,
        "any_answer_is_a_yes": any_answer_is_a_yes,
        "quick_influx": quick_influx,
        "forget_counters": forget_counters,
        "report_of_few_households": report_of_few_households,
        "report_without_the_newest": report_without_the_newest,
        "forget_rules": forget_rules,
        "forget_holds": forget_holds,
        "forget_notifications": forget_notifications,
        "slow_disk": slow_disk,
        "stalled_disk": stalled_disk,
        "drill_believes_itself": drill_believes_itself,
        "drill_up_to_a_wait": drill_up_to_a_wait,
        "act_after_the_commit": act_after_the_commit,
        "notify_after_the_commit": notify_after_the_commit,
        "believe_every_publish": believe_every_publish,
        "believe_every_write": believe_every_write,
        "write_once": write_once,
        "fail_for_each": fail_for_each,
        "nobody_need_see_alarms": nobody_need_see_alarms,
        "short_safe_mode": short_safe_mode,
        "no_memory_of_commands": no_memory_of_commands,
        "everything_is_allowed": everything_is_allowed,
        "die_after_the_intent": die_after_the_intent,
        "die_after_the_write": die_after_the_write,
    }[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
