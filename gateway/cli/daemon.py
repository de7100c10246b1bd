"""`gateway run`: the daemon in the foreground, as systemd and containers want it."""

import argparse
import asyncio
import ctypes
import gc
import logging
import os
import resource
import signal
import sys
from contextlib import suppress

import uvloop

from gateway.cli.live import config_path
from gateway.cli.main import ALREADY_RUNNING, CONFIG, STATE_REFUSED
from gateway.cli.say import show
from gateway.config import Config, load_config
from gateway.errors import AlreadyRunning, ConfigError, StateRefused
from gateway.log_writer import fill_standard_files
from gateway.logs import setup

log = logging.getLogger(__name__)

INTERNAL = 75
# What is there by then stays: links, devices, profiles. The garbage collector does not go through it
# again: with 1,000 links it held the loop for 0.1 s every 10 s, with 5,000 for 0.6 s.
SETTLED_S = (5.0, 10.0, 20.0, 40.0, 80.0)
MOST_FILES = 65_536
# The loop waits at most this long for a thread that computes (Python's own is 5 ms).
SWITCH_S = 0.0005
M_ARENA_MAX = -8  # malloc.h of glibc, mallopt(3)


def run(options: argparse.Namespace) -> int:
    fill_standard_files()
    try:
        config = load_config(config_path(options))
    except ConfigError as error:
        show(error.problems, [], as_json=False)
        return CONFIG
    setup(config.log.format, config.log.level)
    for note in (*config.notes, *config.doubts):
        log.warning("%s", note, extra={"component": "config"})
    # auto is uvloop: it has passed the 500 broker restarts (docs/decisions/0008-event-loop.md).
    loop_name = "asyncio" if options.loop == "asyncio" else "uvloop"
    factory = uvloop.new_event_loop if loop_name == "uvloop" else asyncio.new_event_loop
    _allow_files()
    _share_memory()
    sys.setswitchinterval(SWITCH_S)
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_main(config, loop_name))
    except AlreadyRunning as error:
        log.error("%s", error, extra={"component": "app"})  # noqa: TRY400 -- no bug, no traceback
        return ALREADY_RUNNING
    except StateRefused as error:
        log.error("%s", error, extra={"component": "app"})  # noqa: TRY400 -- no bug, no traceback
        return STATE_REFUSED
    except ExceptionGroup:
        log.critical(
            "internal error of the core; what is stored is safe",
            exc_info=True,
            extra={"component": "app"},
        )
        return INTERNAL
    return 0


def _allow_files() -> None:
    """As many open files as the system lets us have: each link takes one, and 1,024 is the usual start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _share_memory() -> None:
    """One heap for all threads, which seldom allocate at once: one each keeps 4 MB more."""
    with suppress(AttributeError):  # a C library other than glibc
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


async def _main(config: Config, loop_name: str) -> None:
    from gateway.app import App  # noqa: PLC0415 -- a faulty configuration is told without it

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop)
    gc.collect()
    for after in SETTLED_S:
        loop.call_later(after, gc.freeze)
    while not stop.is_set():  # safe mode ends by starting anew
        app = App(config, loop_name=loop_name)
        loop.add_signal_handler(signal.SIGHUP, app.reload.hang_up)
        await app.run(stop)


def _stop(stop: asyncio.Event) -> None:
    """The first signal stops in order; a second one means now."""
    if stop.is_set():
        log.warning("second signal: leaving at once", extra={"component": "app"})
        os._exit(130)
    stop.set()
