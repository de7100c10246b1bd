"""Commands of a platform: judged, carried out at most once, answered (configs/asyncapi.yaml).

Who asks is the connection that a command came over, by its name in the configuration; nothing in a
payload can change that. What may be written is `commands.allow`. A refusal is answered and told to
the audit log as any result is.
"""

import asyncio
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import orjson

from gateway.audit import AuditLog
from gateway.clock import Clock
from gateway.commands import Commands
from gateway.errors import BadData
from gateway.execution import Ledger
from gateway.model import Command, CommandResult, Outcome, Precondition, whole_of
from gateway.mqtt import Connection, Received, Subscription
from gateway.sinks.allowance import Allowance
from gateway.sinks.desired import Desired
from gateway.sinks.order import Order, id_of, parse_order
from gateway.sinks.settings import DownlinkSection

log = logging.getLogger(__name__)

UNDER_WAY = 64  # commands at a time; each waits for a device
OUTBOX = 500  # answers that wait for the connection; lane 0 has the results too
ANSWERED = 1_000  # ids remembered, so that a repeat is not carried out after it was refused
AUDIT_S = 2.0  # how long a result waits for its line in the audit log


class Letter(NamedTuple):
    topic: str
    payload: bytes
    retain: bool = False


class GroupCommands(Protocol):
    """Commands to many devices by one name: `gateway.group`."""

    def __contains__(self, name: str) -> bool: ...
    async def execute(self, command: Command) -> list[CommandResult]:
        """Raises ValueError: no member takes it."""


class Downlink:
    """The way back of one upstream. `run` carries commands out, whether the connection lives or not;
    `take` gets what came over it, `answer` sends over it what is to be said.
    """

    def __init__(
        self,
        origin: str,
        section: DownlinkSection,
        *,
        gateway_id: str,
        commands: Commands,
        ledger: Ledger,
        audit: AuditLog,
        clock: Clock,
        desired: Desired | None = None,
        groups: GroupCommands | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._origin = origin
        self._section = section
        self._topic = f"gw/{gateway_id}"
        self._commands, self._ledger, self._audit = commands, ledger, audit
        self._clock = clock
        self._desired = desired
        self._groups = groups
        self._allowance = Allowance(section.rate, section.burst)
        self._over = 0  # refused since the allowance was used up
        self._answered: OrderedDict[str, str] = OrderedDict()  # id -> outcome
        self._under_way: set[str] = set()
        self._outbox: deque[Letter] = deque()
        self._post = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        desired = (Subscription(f"{self._topic}/config/desired"),) if self._desired else ()
        return (Subscription(f"{self._topic}/cmd"), *desired)

    async def run(self) -> None:
        """Owns what is under way; works until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            if self._desired is not None:
                await self._desired.run(self._report)
            await asyncio.Event().wait()

    def now_runs(self, sha256: str) -> None:
        """The gateway goes by a configuration file of this content from now on."""
        if self._desired is not None:
            self._desired.now_runs(sha256)

    async def answer(self, link: Connection) -> None:
        """Send answers over a connection for as long as it lives. Raises LinkDown."""
        self._report()
        while True:
            while self._outbox:
                letter = self._outbox[0]
                reason = await link.publish(*letter[:2], qos=1, retain=letter.retain)
                if not reason.ok:
                    self.counters["answers_unheard"] += 1
                if self._outbox and self._outbox[0] is letter:
                    self._outbox.popleft()
            self._post.clear()
            await self._post.wait()

    def take(self, message: Received) -> bool:
        """False if it is not for us. Never waits, never raises what a payload causes."""
        if self._desired is not None and message.topic == f"{self._topic}/config/desired":
            self._desired.take(message.payload)
            return True
        if message.topic != f"{self._topic}/cmd":
            return False
        self.counters["commands"] += 1
        if not self._allowance.take(self._now()):
            self._too_many(message)
            return True
        self._end_of_flood()
        try:
            if message.retain:
                raise BadData("retained: a command is sent live")
            self._judge(parse_order(message.payload))
        except BadData as error:
            self._turn_away(id_of(message.payload), str(error))
        return True

    # -- judging --------------------------------------------------------------------------------

    def _judge(self, order: Order) -> None:
        earlier = self._earlier(order.id)
        if earlier is not None:
            self._turn_away(order.id, f"a repeat of a command: {earlier}", earlier)
            return
        left_ns = int(order.not_after) - self._clock.time_ns()
        command = self._command(order, left_ns)
        if (expired := self._clock.ok and left_ns <= 0) or (why := self._unfit(left_ns)):
            outcome = Outcome.EXPIRED if expired else Outcome.REFUSED
            reason = f"not_after was {-left_ns / 1e9:.1f} s ago" if expired else why
            self._reply(self._commands.refuse(command, outcome, reason))
            return
        assert self._group is not None  # noqa: S101 -- `_unfit` looked
        self._under_way.add(command.id)
        self._group.create_task(self._execute(command), name=f"downlink:{command.id}")

    def _earlier(self, command_id: str) -> str | None:
        """The outcome of a command with this id, None if there was none."""
        known = self._ledger.command_outcome(command_id)
        if known == "" or command_id in self._under_way:
            return "under way"
        return self._answered.get(command_id) if known is None else known

    def _unfit(self, left_ns: int) -> str:
        """Why no command can be taken just now, or not this one; "" if it can."""
        if not self._clock.ok:
            return "the gateway's clock is not right yet: not_after cannot be judged"
        if left_ns > self._section.max_life * 1e9:
            return f"not_after is more than max_life ({self._section.max_life:g} s) ahead"
        if self._audit.failing:
            return f"the audit log cannot be written: {self._audit.failing}"
        if self._group is None or len(self._under_way) >= UNDER_WAY:
            return f"{UNDER_WAY} commands are under way" if self._group else "starting"
        return ""

    def _command(self, order: Order, left_ns: int) -> Command:
        wish = order.condition
        condition = None if wish is None else Precondition(wish.point, wish.equals)
        not_after_ns = self._clock.boottime_ns() + left_ns
        return Command(
            order.id,
            order.device,
            order.point,
            order.value,
            not_after_ns,
            self._origin,
            condition,
            hold_s=order.hold,
        )

    def _too_many(self, message: Received) -> None:
        """Told once, then counted: a flood must not fill the audit log."""
        self.counters["too_many"] += 1
        reason = f"more than {self._section.rate:g} commands a minute"
        if not self._over:
            self._tell_refusal(id_of(message.payload), reason)
        self._over += 1
        self._answer({"id": id_of(message.payload), "outcome": Outcome.REFUSED, "reason": reason})

    def _end_of_flood(self) -> None:
        if self._over > 1:
            self._audit.record(self._origin, "command", "refused", reason="too many", commands=self._over)  # fmt: skip
        self._over = 0

    def _turn_away(self, command_id: str | None, reason: str, earlier: str | None = None) -> None:
        """Refuse what never becomes a command: no event, it could repeat for ever."""
        self.counters["refused"] += 1
        self._tell_refusal(command_id, reason)
        answer: dict[str, object] = {"id": command_id, "outcome": Outcome.REFUSED, "reason": reason}
        self._answer(answer if earlier is None else {**answer, "earlier": earlier})

    def _tell_refusal(self, command_id: str | None, reason: str) -> None:
        self._audit.record(self._origin, "command", "refused", id=command_id, reason=reason)
        log.warning(
            "command %s of %s: %s", command_id, self._origin, reason,
            extra={"component": f"downlink:{self._origin}"},
        )  # fmt: skip

    # -- carrying out and answering -------------------------------------------------------------

    async def _execute(self, command: Command) -> None:
        members: list[CommandResult] = []
        try:
            if self._groups is not None and command.device in self._groups:
                members = await self._groups.execute(command)
                result = whole_of(command, members)
            else:
                result = await self._commands.execute(command)
        except ValueError as error:
            result = self._commands.refuse(command, Outcome.REFUSED, str(error))
        finally:
            self._under_way.discard(command.id)
        await self._audit.settled(AUDIT_S)  # so that the head in the answer covers it
        self._reply(result, members)

    def _reply(self, result: CommandResult, members: Sequence[CommandResult] = ()) -> None:
        command = result.command
        self._answered[command.id] = result.outcome.value
        if len(self._answered) > ANSWERED:
            self._answered.popitem(last=False)
        self._answer({
            "id": command.id, "outcome": result.outcome, "reason": result.reason, "device": command.device,
            "point": command.point, "reported": result.value, "attempts": result.attempts,
            **({"members": [_of_member(one) for one in members]} if members else {}),
        })  # fmt: skip

    def _answer(self, fields: dict[str, object]) -> None:
        self.counters[f"answered_{fields['outcome']}"] += 1
        head = self._audit.head
        whole = {
            "v": 1, **fields, "time": str(self._clock.time_ns()), "audit": {"n": head.n, "hash": head.hash},
        }  # fmt: skip
        self._send(Letter(f"{self._topic}/cmd/result", orjson.dumps(whole)))

    def _report(self) -> None:
        payload = self._desired.report() if self._desired is not None else None
        if payload is not None:
            self._send(Letter(f"{self._topic}/config/reported", payload, retain=True))

    def _send(self, letter: Letter) -> None:
        if len(self._outbox) >= OUTBOX:
            self._outbox.popleft()
            self.counters["answers_dropped"] += 1
        self._outbox.append(letter)
        self._post.set()

    def _now(self) -> float:
        return self._clock.boottime_ns() / 1e9


def _of_member(result: CommandResult) -> dict[str, object]:
    return {
        "device": result.command.device, "outcome": result.outcome, "reason": result.reason,
        "reported": result.value, "attempts": result.attempts,
    }  # fmt: skip
