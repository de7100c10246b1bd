"""What the gateway knows of itself, published as samples of the device `gateway`.

Once a minute everything, and within a second what is true or false and has changed: rules hear of a lost
uplink as of everything else.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.bus import Bus
from gateway.driver import stale_after_s
from gateway.health import LinkHealth, LinkState
from gateway.model import Sample, Value
from gateway.own import GATEWAY, UPLINK, uplink_point
from gateway.sinks.influx_settings import NAME as INFLUX
from gateway.status import Lane, Sources

LOOK_S = 1.0
PERIOD_S = 60.0
RADIO = "ble"  # driver of links that hear devices by radio
RADIO_NS = 60 * 1_000_000_000  # the homes of a compound have a device that speaks more often
MB = 1e6
_THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")  # milli-degrees, the processor of a Pi
_STATM = Path("/proc/self/statm")  # proc(5): the second number is the resident pages

Sinks = Mapping[str, tuple[LinkHealth, list[Lane]]]


class Machine(NamedTuple):
    """What the kernel says: °C and MB, None where it does not."""

    temperature: float | None
    rss: float | None


class Pulse:
    """A reload changes links and devices of `source`."""

    def __init__(self, source: Sources, bus: Bus) -> None:
        self._source = source
        self._bus = bus
        self._told: dict[str, Value] = {}

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            machine = await asyncio.to_thread(measured)
            await self.publish(self.states() | self.figures(machine))
            for _ in range(round(PERIOD_S / LOOK_S) - 1):
                await asyncio.sleep(LOOK_S)
                states = self.states()
                await self.publish({k: v for k, v in states.items() if self._told.get(k) != v})
            await asyncio.sleep(LOOK_S)

    def states(self) -> dict[str, Value]:
        """What is true or false."""
        source, store = self._source, self._source.store()
        now_ns = source.clock.boottime_ns()
        states: dict[str, Value] = {
            "clock.ok": source.clock.ok,
            "store.ok": store["state"] == "ok" and store["reserve"],
        }
        sinks = source.sinks()
        states |= {uplink_point(name): _up(health) for name, (health, _) in sinks.items()}
        platforms = [_up(health) for name, (health, _) in sinks.items() if name != INFLUX]
        if platforms:
            states[UPLINK] = any(platforms)
        radios = [n for n in source.drivers if source.driver_name(n) == RADIO]
        if radios:
            heard = [source.drivers[name].health.last_good_ns for name in radios]
            begun = source.started_ns
            states["radio.silent"] = any(now_ns - max(at, begun) >= RADIO_NS for at in heard)
        return states

    def figures(self, machine: Machine) -> dict[str, Value]:
        source, store = self._source, self._source.store()
        down = {LinkState.DOWN, LinkState.REFUSED}
        found: dict[str, Value | None] = {
            "store.backlog": _backlog(source.sinks()),
            "disk.free": None
            if store["free_bytes"] is None
            else round(store["free_bytes"] / MB, 1),
            "cpu.temperature": machine.temperature,
            "memory.rss": machine.rss,
            "loop.lag": round(source.lag.p99_ms(), 1),
            "links.down": sum(link.health.state in down for link in source.drivers.values()),
            "devices.silent": self._silent(),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _silent(self) -> int:
        """Devices of which nothing came for too long, counted from the start where nothing came yet."""
        source = self._source
        now_ns = source.clock.boottime_ns()
        return sum(
            now_ns - (source.state.seen_ns(name) or source.started_ns) > stale_after_s(device) * 1e9
            for name, device in source.devices.items()
        )

    async def publish(self, values: Mapping[str, Value]) -> None:
        """As a sample of now."""
        if not values:
            return
        self._told |= values
        clock = self._source.clock
        now_ns = clock.boottime_ns()
        await self._bus.publish(
            Sample(GATEWAY, clock.time_ns(), now_ns, clock.boot, clock.ok, values)
        )


def measured() -> Machine:
    """Reads two files of the kernel, so not on the event loop."""
    temperature, pages = _first_number(_THERMAL, 0), _first_number(_STATM, 1)
    return Machine(
        None if temperature is None else temperature / 1000,
        None if pages is None else round(pages * os.sysconf("SC_PAGESIZE") / MB, 1),
    )


def _first_number(path: Path, index: int) -> int | None:
    """The number at `index` of a file of the kernel; None where there is no such file."""
    try:
        return int(path.read_text().split()[index])
    except (OSError, ValueError, IndexError):
        return None


def _up(health: LinkHealth) -> bool:
    return health.state is LinkState.UP


def _backlog(sinks: Sinks) -> int:
    return max((sum(lane.backlog for lane in lanes) for _, lanes in sinks.values()), default=0)
