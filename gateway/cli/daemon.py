"""`gateway run`: the daemon in the foreground, as systemd and containers want it."""

import argparse
import asyncio
import logging
import os
import signal

import uvloop

from gateway.app import App
from gateway.cli.files import show
from gateway.cli.live import config_path
from gateway.cli.main import CONFIG, STATE_REFUSED
from gateway.config import Config, load_config
from gateway.errors import AlreadyRunning, ConfigError, StateRefused
from gateway.logs import setup

log = logging.getLogger(__name__)

ALREADY_RUNNING, INTERNAL = 73, 75


def run(options: argparse.Namespace) -> int:
    try:
        config = load_config(config_path(options))
    except ConfigError as error:
        show(error.problems, [], as_json=False)
        return CONFIG
    setup(config.log.format, config.log.level)
    for note in config.notes:
        log.warning("%s", note, extra={"component": "config"})
    # auto is asyncio until uvloop has passed the 500 broker restarts (docs/libraries.md, A13).
    loop_name = "uvloop" if options.loop == "uvloop" else "asyncio"
    factory = uvloop.new_event_loop if loop_name == "uvloop" else asyncio.new_event_loop
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


async def _main(config: Config, loop_name: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop)
    while not stop.is_set():  # safe mode ends by starting anew
        await App(config, loop_name=loop_name).run(stop)


def _stop(stop: asyncio.Event) -> None:
    """The first signal stops in order; a second one means now."""
    if stop.is_set():
        log.warning("second signal: leaving at once", extra={"component": "app"})
        os._exit(130)
    stop.set()
