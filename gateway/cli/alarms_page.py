"""How `gateway alarms` shows them."""

from collections.abc import Sequence
from typing import cast

from rich.console import Group, RenderableType
from rich.text import Text

from gateway.cli.render import alarm_note, duration, new_table, row, styled
from gateway.cli.say import say
from gateway.cli.watch import Place
from gateway.snapshot import AlarmPart
from gateway.words.text import text

_ORDER = {"life": 0, "safety": 1, "operational": 2}


class Board:
    """`gateway.cli.watch.Scene` of alarms."""

    verb = "alarms"

    def __init__(self) -> None:
        self.place = Place()
        self.alarms: Sequence[AlarmPart] = ()  # the newest

    def take(self, answer: object) -> None:
        self.alarms = cast("Sequence[AlarmPart]", answer)
        self.place.offset = min(self.place.offset, max(0, len(self.alarms) - 1))

    def draw(self, width: int, height: int) -> RenderableType:
        told = list(self.place.told())
        keys = Text(say(text("alarms.keys")), style="dim")
        return Group(
            *told, page(self.alarms, height=height - len(told) - 1, offset=self.place.offset), keys
        )

    def whole(self) -> RenderableType:
        return page(self.alarms, height=None)

    def press(self, key: str) -> None:
        """No key of its own."""


def page(alarms: Sequence[AlarmPart], *, height: int | None, offset: int = 0) -> RenderableType:
    """The most severe first, what nobody has seen before what somebody has; from `offset` on as many as
    fit.
    """
    if not alarms:
        return Text(say(text("alarms.none")), style="bold")
    ranked = sorted(
        alarms, key=lambda one: (_ORDER[one["severity"]], one["letter"], -one["since_s"])
    )
    shown = ranked if height is None else ranked[offset:][: max(1, height - 3)]
    title = say(text("alarms.open", count=len(alarms)))
    if len(shown) < len(alarms):
        title += say(text("alarms.shown", count=len(shown)))
    table = new_table(title, "", "severity", "since", "alarm", "title")
    for one in shown:
        what = f"{one['title'] or one['rule']}{alarm_note(one)}"
        times = f" x{one['raises']}" if one["raises"] > 1 else ""
        row(
            table,
            one["letter"],
            styled(one["severity"]),
            duration(one["since_s"]),
            one["instance"] + times,
            what,
        )
    return table
