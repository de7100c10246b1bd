"""One MQTT broker with devices behind it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from drivers.mqtt import identity, native, silence
from drivers.mqtt.admit import UNKNOWN_AWAY_S, Pace
from drivers.mqtt.backlog import Backlog, Pending
from drivers.mqtt.dialect import (
    EVENT,
    ONLINE,
    ONLINE_POINT,
    STATE,
    Reader,
    group_outgoing,
    outgoing,
    patterns,
    readers,
    topic_id_in,
)
from drivers.mqtt.dropped import Dropped
from drivers.mqtt.echo import Deaf, Echo
from drivers.mqtt.lamp import lamp_watches
from drivers.mqtt.peer import Peer
from drivers.mqtt.refusals import Refusals, own_event
from drivers.mqtt.rival import Rival
from drivers.mqtt.settings import MqttDevice, MqttLink
from drivers.mqtt.strangers import Strangers
from gateway.clock import Clock
from gateway.driver import Device, Publisher
from gateway.errors import BadData, LinkDown, Refused, StoreFailed, StoreFull
from gateway.health import DeviceHealth, LinkHealth
from gateway.model import (
    EMPTY,
    Command,
    CommandResult,
    EventKind,
    Item,
    Level,
    Outcome,
    Sample,
    Severity,
)
from gateway.mqtt import Connection, Received, Subscription, connect
from gateway.snapshot import StrangerPart

log = logging.getLogger(__name__)

# Wildcards: a few filters however many devices there are, and a device that nobody configured is
# seen and counted. Who may publish where is for the broker's access control to say.
NATIVE_FILTERS = tuple(f"d/+/{kind}" for kind in (STATE, EVENT, ONLINE))
SESSION_EXPIRY_S = 7 * 86_400  # how long the broker keeps for us what comes while we are away
RECEIVE_MAX = 1_000  # messages that may wait for their commit
COMMIT_RETRY_S = 0.5  # after a commit that failed; the store itself tries every second
MAX_LOGGED = 100  # unknown topic ids that are worth a log line each
NO_MATCHING_SUBSCRIBERS = 0x10  # MQTT 5.0, 3.4.2.1: the broker threw the message away


class MqttDriver:
    """Takes what devices publish, acknowledges it once it is on disk, sends them commands.

    One task reads and hands to the bus; another waits for the disk and acknowledges, in the order
    of arrival (MQTT 5.0, 4.6). What is not acknowledged when `run` ends, the broker sends again.
    """

    def __init__(self, name: str, link: MqttLink, devices: Sequence[Device], clock: Clock) -> None:
        self.name = name
        self.health = LinkHealth()
        self.devices: Mapping[str, DeviceHealth] = {device.id: DeviceHealth() for device in devices}
        self._link = link
        self._clock = clock
        self._routes: dict[str, tuple[Peer, Reader]] = {}  # by topic
        self._filters = dict.fromkeys(NATIVE_FILTERS)
        self._by_id: dict[str, Peer] = {}
        for device in devices:
            if not isinstance(device.section, MqttDevice):
                msg = f"{device.id}: {type(device.section).__name__} is no MqttDevice"
                raise TypeError(msg)
            pace = Pace(link.device_rate, link.device_burst)
            lamps = lamp_watches(device.profile)
            peer = Peer(device, device.section, self.devices[device.id], pace, lamps)
            self._by_id[device.id] = peer
            self._routes |= {t: (peer, reader) for t, reader in readers(device, device.section)}
            self._filters |= dict.fromkeys(sorted(patterns(device, device.section)))
        self._connection: Connection | None = None
        self._logged: set[tuple[str, str]] = set()  # (device, reason)
        self._strangers = Strangers()
        self._refusals = Refusals(name, clock)
        self._left_ns: int | None = None  # when the last connection ended
        self._echo = Echo(self.client_id, self.health)
        self._dropped = Dropped(self.health)
        self._rival = Rival(link.url)

    @property
    def client_id(self) -> str:
        """Ours on this broker: two gateways there have two user names."""
        return "-".join(part for part in ("gw", self._link.username, self.name) if part)

    async def run(self, bus: Publisher) -> None:
        try:
            await self._connected(bus)
        except LinkDown as error:
            self._dropped.blame(str(error))
            raise

    async def _connected(self, bus: Publisher) -> None:
        async with connect(
            self._link,
            client_id=self.client_id,
            clock=self._clock,
            session_expiry_s=SESSION_EXPIRY_S,
            receive_max=RECEIVE_MAX,
            subscriptions=[
                *map(Subscription, self._filters),
                self._echo.subscription,
                *self._dropped.subscriptions,
            ],
        ) as connection:
            await self._count_connect(bus, connection)
            self._connection, since_ns = connection, self._clock.boottime_ns()
            try:
                await self._serve(bus, connection)
            except Deaf:
                raise
            except LinkDown as error:
                lived_s = (self._clock.boottime_ns() - since_ns) / 1e9
                raise await self._rival.judge(error, lived_s) from error
            finally:
                self._connection = None
                self._left_ns = self._clock.boottime_ns()

    async def write(self, command: Command) -> CommandResult:
        """Publish the command; it expires at the broker when it does here."""
        peer = self._by_id.get(command.device)
        if peer is None or command.point not in peer.device.profile.by_command:
            msg = f"{command.device}: no command writes {command.point}"
            raise Refused(msg)
        try:
            topic, payload = outgoing(peer.device, peer.section, command)
        except ValueError as error:
            msg = f"{command.device}: writing {command.point}: {error}"
            raise Refused(msg) from error
        return await self.write_group([command.device], topic, payload, command)

    def group_target(self, device: str, command: Command) -> tuple[str, bytes] | None:
        peer = self._by_id[device]
        try:
            return group_outgoing(peer.device, peer.section, command)
        except ValueError:  # each member will say so
            return None

    async def write_group(
        self, devices: Sequence[str], topic: str, payload: bytes, command: Command
    ) -> CommandResult:
        """Publish a command for one device or for many."""
        doing = f"{command.device}: writing {command.point}"
        if self._connection is None:
            msg = f"{doing}: {self.name} has no connection"
            raise LinkDown(msg)
        left_ns = command.not_after_ns - self._clock.boottime_ns()
        if left_ns <= 0:
            return CommandResult(command, Outcome.EXPIRED, "too late to publish")
        for name in devices:
            for lamp in self._by_id[name].lamps:
                lamp.commanded(command.point, command.value)
        reason = await self._connection.publish(
            topic,
            payload,
            expiry_s=max(1, left_ns // 1_000_000_000),  # MQTT 5.0, 3.3.2.3.3: whole seconds
        )
        if reason.code == NO_MATCHING_SUBSCRIBERS:
            msg = f"{doing}: it is not connected to the broker"
            raise Refused(msg)
        if not reason.ok:
            msg = f"{doing}: the broker refused: {reason.text}"
            raise Refused(msg)
        return CommandResult(command, Outcome.WRITTEN, attempts=1)

    async def announce(self, topic: str, payload: bytes, *, expiry_s: int) -> None:
        """Publish to somebody who is no device; returns at the PUBACK."""
        doing = f"publishing {topic}"
        if self._connection is None:
            raise LinkDown(f"{doing}: {self.name} has no connection")
        reason = await self._connection.publish(topic, payload, expiry_s=expiry_s)
        if reason.code == NO_MATCHING_SUBSCRIBERS:
            raise Refused(f"{doing}: nobody listens there")
        if not reason.ok:
            raise Refused(f"{doing}: the broker refused: {reason.text}")

    async def _count_connect(self, bus: Publisher, connection: Connection) -> None:
        now_ns = self._clock.boottime_ns()
        self.health.connects += 1
        self.health.good(now_ns)
        if connection.session_present:
            left_ns = self._left_ns
            away_s = UNKNOWN_AWAY_S if left_ns is None else (now_ns - left_ns) / 1e9
            for peer in self._by_id.values():
                peer.pace.credit(away_s)
        # After a restart of the daemon: devices spoke to us here, so there was a session.
        elif self.health.connects > 1 or any(map(bus.remembers, self._by_id)):
            self.health.counters["session_lost"] += 1
            log.error(
                "%s: the broker lost our session and what it kept for us",
                self.name,
                extra={"component": "mqtt"},
            )
            what: dict[str, object] = {"reason": "session_lost", "link": self.name}
            lost = own_event(self._clock, EventKind.DATA_LOSS, Severity.SAFETY, "gateway", what)
            await bus.publish(lost)

    async def _serve(self, bus: Publisher, connection: Connection) -> None:
        pending = Backlog()
        ended: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    self._read(bus, connection, pending), name=f"mqtt:{self.name}:read"
                )
                group.create_task(
                    silence.watch(self.name, self._by_id.values(), self._clock, bus),
                    name=f"mqtt:{self.name}:silence",
                )
                group.create_task(self._acknowledge(bus, connection, pending), name=f"mqtt:{self.name}:ack")  # fmt: skip
                group.create_task(self._echo.run(connection), name=f"mqtt:{self.name}:echo")
        except* (LinkDown, Refused) as errors:
            ended = errors.exceptions[0]
        if ended is not None:
            raise ended

    async def _read(self, bus: Publisher, connection: Connection, pending: Backlog) -> None:
        """Waits for nothing but messages: an alarm behind telemetry acts while storage stalls.

        `receive_max` of the connection bounds what waits here for its commit.
        """
        while True:
            messages = await connection.receive_all()
            self.health.good(messages[-1].received_ns)
            for message in messages:
                pending.add(await self._take(bus, message))

    async def _acknowledge(self, bus: Publisher, connection: Connection, pending: Backlog) -> None:
        """Acknowledge in order, all that one commit covers at once."""
        while True:
            entries, newest = await pending.take()
            if newest is not None:
                await self._durable(bus, newest)
            # QoS 0: if one is lost, the device repeats its message and gets another one.
            connection.answer(
                [entry.message for entry in entries],
                [
                    (entry.topic, native.encode_ack(entry.source_id))
                    for entry in entries
                    if entry.source_id is not None
                ],
            )

    async def _durable(self, bus: Publisher, item: Item) -> None:
        """Wait until the item is on disk, however long storage fails.

        The link stays up, so that lights obey. The broker stops sending when the window is full.
        """
        while True:
            try:
                await bus.commit(item)
            except (StoreFull, StoreFailed) as error:
                self.health.counters["commits_failed"] += 1
                log.debug("%s: not acknowledged: %s", self.name, error, extra={"component": "mqtt"})
            else:
                return
            await asyncio.sleep(COMMIT_RETRY_S)

    async def _take(self, bus: Publisher, message: Received) -> Pending:
        """Hand one message to the bus, or refuse and count it."""
        route = self._routes.get(message.topic)
        if route is None:
            if not self._echo.take(message) and not self._dropped.take(message):
                self._unknown(message)
            return Pending(message)
        peer, reader = route
        try:
            if not peer.pace.admits(message.received_ns, alarm=reader.kind != STATE):
                raise BadData("too_fast")
            reading = _read_message(reader, message)
            identity.check(peer.section, reading.sender)
        except BadData as error:
            await self._refuse(bus, peer, message.topic, str(error))
            return Pending(message)
        self._note(peer, reader.kind, message, reading)
        if reader.kind == ONLINE and ONLINE_POINT not in peer.device.profile.by_id:
            reading = reading._replace(values={})
        if (peer.lamps or peer.silent is not False) and not message.retain:
            reading = _worked_out(peer, message, reading)
        if not (reading.values or reading.quality):
            return Pending(message)
        held = message.qos > 0 or reading.source_id is not None
        item = await bus.publish(self._sample(peer, message, reading), held=held)
        if not held:
            return Pending(message)
        if not peer.native:  # nobody listens for our acknowledgement
            return Pending(message, item)
        return Pending(message, item, f"d/{peer.topic_id}/ack", reading.source_id)

    def _sample(self, peer: Peer, message: Received, reading: native.Reading) -> Sample:
        return Sample(
            peer.device.id,
            peer.time_ns(self._clock.time_ns()),
            message.received_ns,
            self._clock.boot,
            self._clock.ok,
            reading.values,
            reading.quality or EMPTY,
            reading.source_id,
        )

    def _note(self, peer: Peer, kind: str, message: Received, reading: native.Reading) -> None:
        """Keep the health of the device up to date."""
        health = peer.health
        health.good += 1
        health.last_good_ns = message.received_ns
        health.errors.update(reading.ignored)
        bad = [quality.reason for quality in reading.quality.values() if quality.level is Level.BAD]
        health.errors.update(bad)
        if kind != ONLINE and not message.retain:
            peer.without_ids = peer.native and reading.source_id is None
        if kind == ONLINE and ONLINE_POINT in reading.values:
            health.online = reading.values[ONLINE_POINT] is True
        if not message.retain and (
            kind != ONLINE or health.online
        ):  # a last will is no sign of life
            peer.heard_ns = message.received_ns
        peer.remark()

    async def _refuse(self, bus: Publisher, peer: Peer, topic: str, reason: str) -> None:
        """Count it; tell the journal where it may be an attempt. Nothing is acknowledged to a device."""
        event = self._refusals.event(peer.device.id, topic, reason)
        if event is not None:
            await bus.publish(event)
        peer.health.errors[reason] += 1
        self.health.counters["refused"] += 1
        if (peer.device.id, reason) not in self._logged:
            self._logged.add((peer.device.id, reason))
            log.warning(
                "%s: a message on %s is refused: %s (logged once)",
                peer.device.id,
                topic,
                reason,
                extra={"component": "mqtt"},
            )

    def strangers(self) -> list[StrangerPart]:
        return self._strangers.parts(self.name, self._clock.boottime_ns())

    def _unknown(self, message: Received) -> None:
        name = topic_id_in(message.topic, self._filters)
        if name is None:
            self.health.counters["unknown_topic"] += 1
        else:
            self._stranger(name, message)

    def _stranger(self, name: str, message: Received) -> None:
        self.health.counters["unknown_device"] += 1
        new = self._strangers.heard(name, message.topic, message.payload, message.received_ns)
        if new and len(self._strangers) + self._strangers.forgotten <= MAX_LOGGED:
            log.warning(
                "%s: messages from %r, which is no configured device (logged once)",
                self.name,
                name[:64],
                extra={"component": "mqtt"},
            )


def _read_message(reader: Reader, message: Received) -> native.Reading:
    """Raises BadData."""
    if message.retain and reader.kind == EVENT:
        raise BadData("retained")  # an old event is no event
    reading = reader.read(message.payload)
    return native.retained(reading) if message.retain and reader.kind == STATE else reading


def _worked_out(peer: Peer, message: Received, reading: native.Reading) -> native.Reading:
    """With the alarms that are worked out from what the device says, and that it says something."""
    alive = peer.silent is not False and peer.heard_ns == message.received_ns
    found = {lamp.point: lamp.take(reading.values, message.received_ns) for lamp in peer.lamps}
    known = {name: failed for name, failed in found.items() if failed is not None}
    news = silence.heard(peer) if alive else {}
    return reading._replace(values={**reading.values, **known, **news})
