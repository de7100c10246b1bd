"""Devices that say nothing for longer than they may: their points are BAD, and an alarm tells."""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from drivers.mqtt.dialect import ONLINE_POINT
from drivers.mqtt.peer import Peer
from gateway.clock import Clock
from gateway.driver import Publisher
from gateway.model import EMPTY, SILENT, Quality, Sample, Value
from gateway.profile import Profile

log = logging.getLogger(__name__)

LOOK_S = 1.0  # silence is told within a second; a look at 1,000 devices takes 0.1 ms
SILENT_POINT = "alarm.silent"


async def watch(link: str, peers: Iterable[Peer], clock: Clock, bus: Publisher) -> None:
    """Works while there is a connection, and counts from its beginning: without one, nobody is heard.

    It also tells of lamps that are known to have failed while their device says nothing more.
    """
    watched = [peer for peer in peers if peer.lamps or peer.device.supervise is not None]
    since_ns = clock.boottime_ns()
    while watched:
        await asyncio.sleep(LOOK_S)
        now_ns = clock.boottime_ns()
        for peer in watched:
            if _missing(peer, since_ns, now_ns):
                peer.silent = True
                peer.remark()
                await bus.publish(_silent(peer, clock))
                log.warning("%s: %s is silent", link, peer.device.id, extra={"component": "mqtt"})
            failed = {lamp.point: True for lamp in peer.lamps if lamp.due(now_ns)}
            if failed:
                await bus.publish(_sample(peer, clock, failed, EMPTY))


def _missing(peer: Peer, since_ns: int, now_ns: int) -> bool:
    limit_s = peer.device.supervise
    if limit_s is None or peer.silent is True:
        return False
    return now_ns - max(peer.heard_ns, since_ns) > limit_s * 1e9


def heard(peer: Peer) -> dict[str, Value]:
    """A live message has come: what is to be added to it after silence, and after a start."""
    peer.silent = False
    watched = peer.device.supervise is not None and SILENT_POINT in peer.device.profile.by_id
    return {SILENT_POINT: False} if watched else {}


def _silent(peer: Peer, clock: Clock) -> Sample:
    profile = peer.device.profile
    values = {SILENT_POINT: True} if SILENT_POINT in profile.by_id else {}
    return _sample(peer, clock, values, dict.fromkeys(_unknown(profile), SILENT))


def _sample(
    peer: Peer, clock: Clock, values: Mapping[str, Value], quality: Mapping[str, Quality]
) -> Sample:
    """What the driver itself says; the device was last heard when it was."""
    return Sample(
        peer.device.id, peer.time_ns(clock.time_ns()), peer.heard_ns or clock.boottime_ns(),
        clock.boot, clock.ok, values, quality,
    )  # fmt: skip


def _unknown(profile: Profile) -> list[str]:
    """What nobody knows now: not what happened, what a device keeps, and what the broker says of it."""
    return [
        point.id
        for point in profile.points
        if point.kind != "event" and not point.latched and point.id not in {ONLINE_POINT, SILENT_POINT}
    ]  # fmt: skip
