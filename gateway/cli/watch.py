"""`--watch`: a screen that is drawn anew each second, and a few keys."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from gateway.cli.render import duration, styled
from gateway.cli.say import say
from gateway.words.text import text

REDRAW_S = 1.0
# What a terminal sends for its keys (ECMA-48, xterm).
KEYS = {
    "\x1b[A": -1, "\x1bOA": -1, "k": -1, "\x1b[B": 1, "\x1bOB": 1, "j": 1,
    "\x1b[5~": -10, "\x1b[6~": 10, "\x1b[H": -100_000, "g": -100_000, "\x1b[F": 100_000, "G": 100_000,
}  # fmt: skip
ENDS = frozenset({"q", "Q", "\x04", ""})


class Asks(Protocol):
    def ask(self, timeout_s: float = 5.0, **request: object) -> object: ...


@dataclass(slots=True)
class Place:
    """Where the screen is scrolled to, and for how long the gateway has not answered."""

    offset: int = 0
    away: str = ""  # why it does not answer, "" if it does
    away_s: float = 0.0

    def told(self) -> Iterator[Text]:
        """That what is shown is old."""
        if self.away:
            yield Text(say(text("live.away", why=self.away)), style=styled("critical").style)
            yield Text(say(text("live.old", time=duration(self.away_s))), style="dim")


class Scene(Protocol):
    """What is shown of the answers to the question `verb`."""

    @property
    def verb(self) -> str: ...
    @property
    def place(self) -> Place: ...

    def take(self, answer: object) -> None:
        """The newest answer."""

    def draw(self, width: int, height: int) -> RenderableType:
        """For a terminal of this size."""

    def whole(self) -> RenderableType:
        """All of it, where there is no terminal."""

    def press(self, key: str) -> None:
        """A key that neither scrolls nor ends."""


def watch(daemon: Asks, scene: Scene) -> None:
    """Until `q` or Ctrl-C. Without a terminal, page after page.

    Raises what `daemon.ask` raises for the first look; on a terminal later ones are shown and tried again.
    """
    console = Console()
    scene.take(daemon.ask(verb=scene.verb))
    try:
        if console.is_terminal:
            _full(daemon, console, scene)
        else:
            _pages(daemon, console, scene)
    except KeyboardInterrupt:
        return


def _pages(daemon: Asks, console: Console, scene: Scene) -> None:
    while True:
        console.print(scene.whole())
        sys.stdout.flush()
        time.sleep(REDRAW_S)
        scene.take(daemon.ask(verb=scene.verb))


def _full(daemon: Asks, console: Console, scene: Scene) -> None:
    place, answered = scene.place, time.monotonic()
    with _keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            size = console.size
            live.update(scene.draw(size.width, size.height), refresh=True)
            if not _wait(keys, scene):
                return
            try:
                scene.take(daemon.ask(verb=scene.verb))
            except (ConnectionError, TimeoutError) as error:
                place.away, place.away_s = str(error), time.monotonic() - answered
            else:
                place.away, answered = "", time.monotonic()


def _wait(keys: int | None, scene: Scene) -> bool:
    """Until the next look is due or a key was pressed; False: it was the one that ends it."""
    if keys is None:
        time.sleep(REDRAW_S)
        return True
    if not select.select([keys], [], [], REDRAW_S)[0]:
        return True
    pressed = os.read(keys, 64).decode(errors="replace")
    if pressed in ENDS:
        return False
    scene.press(pressed)
    scene.place.offset = max(0, scene.place.offset + KEYS.get(pressed, 0))
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
