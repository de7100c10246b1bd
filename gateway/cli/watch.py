"""`gateway status --watch`: a full screen that is drawn anew each second, and a few keys."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from rich.console import Console
from rich.live import Live

from gateway.cli.render import page
from gateway.cli.watch_page import View, screen
from gateway.health import Word
from gateway.snapshot import Snapshot

REDRAW_S = 1.0
# What a terminal sends for its keys (ECMA-48, xterm).
KEYS = {
    "\x1b[A": -1, "\x1bOA": -1, "k": -1, "\x1b[B": 1, "\x1bOB": 1, "j": 1,
    "\x1b[5~": -10, "\x1b[6~": 10, "\x1b[H": -100_000, "g": -100_000, "\x1b[F": 100_000, "G": 100_000,
}  # fmt: skip


class Asks(Protocol):
    def ask(self, timeout_s: float = 5.0, **request: object) -> object: ...


def watch(daemon: Asks) -> int:
    """Until `q` or Ctrl-C; the exit code is that of `status`. Without a terminal, page after page.

    Raises what `daemon.ask` raises for the first look; later ones are shown and tried again.
    """
    console = Console()
    snapshot = cast("Snapshot", daemon.ask(verb="status"))
    try:
        if console.is_terminal:
            return _full(daemon, console, snapshot)
        while True:
            console.print(page(snapshot, height=None))
            sys.stdout.flush()
            time.sleep(REDRAW_S)
            snapshot = cast("Snapshot", daemon.ask(verb="status"))
    except KeyboardInterrupt:
        return Word(snapshot["health"]["word"]).code


def _full(daemon: Asks, console: Console, snapshot: Snapshot) -> int:
    view, answered = View(), time.monotonic()
    view.take(snapshot)
    with _keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            size = console.size
            live.update(screen(snapshot, view, size.width, size.height), refresh=True)
            if not _wait(keys, view):
                return Word(snapshot["health"]["word"]).code
            try:
                snapshot = cast("Snapshot", daemon.ask(verb="status"))
            except (ConnectionError, TimeoutError) as error:
                view.away, view.away_s = str(error), time.monotonic() - answered
            else:
                view.take(snapshot)
                view.away, answered = "", time.monotonic()


def _wait(keys: int | None, view: View) -> bool:
    """Until the next look is due or a key was pressed; False: it was the one that ends it."""
    if keys is None:
        time.sleep(REDRAW_S)
        return True
    if not select.select([keys], [], [], REDRAW_S)[0]:
        return True
    pressed = os.read(keys, 64).decode(errors="replace")
    if pressed in {"q", "Q", "\x04", ""}:
        return False
    if pressed in {"d", "D"}:
        view.every, view.offset = not view.every, 0
    view.offset = max(0, view.offset + KEYS.get(pressed, 0))
    return True


@contextmanager
def _keys() -> Iterator[int | None]:
    """Keys one by one, as they are pressed; None where standard input is no terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield number
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
