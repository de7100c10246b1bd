"""Sabotages of what keeps a gateway up: its log, its reload, its clock."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from drivers.mqtt import driver
from gateway import app, control, log_writer, plan, reload, supervise
from gateway.clock import SystemClock
from gateway.config import Config, load_config, load_new_config
from gateway.door import Connected
from gateway.errors import Problem
from gateway.log_writer import FD, LineWriter
from gateway.model import Item
from gateway.plan import Change, Plan
from gateway.reload import Reload
from gateway.sinks import encode
from gateway.snapshot import ReloadAnswer
from gateway.spare import Spare
from tests.harness import steered

Doors = Sequence[tuple[socket.socket, Connected]]


def log_at_once() -> None:
    """Whoever logs writes the line, and waits for it."""

    def emit(self: LineWriter, record: logging.LogRecord) -> None:
        os.write(FD, self.format(record).encode() + b"\n")

    setattr(LineWriter, "emit", emit)  # noqa: B010 -- replaced on purpose, behind the type checker


def steered_clock() -> None:
    """No sabotage of a promise: the wall clock is that of the test."""
    config = Path(sys.argv[sys.argv.index("-c") + 1])
    steered.steer(lambda: config.with_name(steered.NAME))


def wall_clock_timer() -> None:
    """Whatever waits, waits by the clock on the wall."""
    steered_clock()
    setattr(SystemClock, "boottime_ns", SystemClock.time_ns)  # noqa: B010 -- as above


def no_backfill() -> None:
    """What was recorded before the clock was set keeps the time that it showed."""
    steered_clock()

    def as_it_is(item: Item, _offsets: Mapping[int, int]) -> tuple[Item, str]:
        return item, ""

    setattr(encode, "timed", as_it_is)  # noqa: B010 -- as above


def no_redaction() -> None:
    """What others repeat of our secrets is told as it is."""
    for module in (supervise, log_writer):
        setattr(module, "redact", lambda text: text)  # noqa: B010 -- as above


def quick_housekeeping() -> None:
    """No sabotage of a promise: what is looked after every 10 s is every 0.3 s."""
    app.HOUSEKEEPING_S = 0.3


def restart_everything() -> None:
    """A reload ends and begins all links and upstreams."""
    proper = plan.plan

    def whole(old: Config, new: Config, *, rules: bool) -> Plan:
        change = proper(old, new, rules=rules)
        links = Change(changed=tuple(old.links))
        return change._replace(links=links, sinks=Change(changed=tuple(old.upstream)))

    setattr(reload, "plan", whole)  # noqa: B010 -- as above


def forget_sessions() -> None:
    """The broker keeps nothing for a link that is away."""
    driver.SESSION_EXPIRY_S = 0


def never_go_back() -> None:
    """Whatever becomes of a link, the configuration stays."""
    setattr(Reload, "_fallen", lambda _self, _up: [])  # noqa: B010 -- as above


def end_before_the_check() -> None:
    """A reload ends the links, and then looks what it has got."""
    proper = Reload._take

    async def take(self: Reload, by: str, *, wished: bool = False) -> ReloadAnswer:
        app = self._app
        await app.links.stop(app.drivers)
        app.run_links(app.drivers)
        return await proper(self, by, wished=wished)

    setattr(Reload, "_take", take)  # noqa: B010 -- as above


def reload_as_at_a_start() -> None:
    """A reload takes what a start would take: with certificates that cannot be used, too."""
    setattr(reload, "load_new_config", load_config)  # noqa: B010 -- as above


def faulty_check() -> None:
    """No sabotage of a promise: the check of a configuration with a device `bug` has a bug."""
    proper = load_new_config

    def load(path: Path) -> Config:
        if "\n  bug: " in path.read_text():
            raise KeyError("bug")
        return proper(path)

    setattr(reload, "load_new_config", load)  # noqa: B010 -- as above


def no_place() -> None:
    """What is wrong is said without its line."""
    proper = Reload._refused

    def refused(self: Reload, by: str, problems: list[Problem]) -> ReloadAnswer:
        return proper(self, by, [problem._replace(line=0) for problem in problems])

    setattr(Reload, "_refused", refused)  # noqa: B010 -- as above


def loop_server() -> None:
    """Who asks is let in by the event loop's own server."""

    @asynccontextmanager
    async def open_doors(doors: Doors, _spare: Spare, *, limit: int) -> AsyncIterator[None]:
        servers = [
            await asyncio.start_unix_server(connected, sock=listener, limit=limit)
            for listener, connected in doors
        ]
        yield
        for server in servers:
            server.close()

    setattr(control, "open_doors", open_doors)  # noqa: B010 -- as above


SABOTAGES = {
    "loop_server": loop_server,
    "end_before_the_check": end_before_the_check,
    "reload_as_at_a_start": reload_as_at_a_start,
    "no_place": no_place,
    "faulty_check": faulty_check,
    "restart_everything": restart_everything,
    "forget_sessions": forget_sessions,
    "never_go_back": never_go_back,
    "quick_housekeeping": quick_housekeeping,
    "no_redaction": no_redaction,
    "log_at_once": log_at_once,
    "steered_clock": steered_clock,
    "wall_clock_timer": wall_clock_timer,
    "no_backfill": no_backfill,
}
