"""How `gateway alarms` shows them."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from gateway.cli.render import alarm_note, duration, new_table, row, styled
from gateway.cli.say import say
from gateway.snapshot import AlarmPart
from gateway.words.text import text

_ORDER = {"life": 0, "safety": 1, "operational": 2}


def page(alarms: Sequence[AlarmPart], *, height: int | None) -> RenderableType:
    """The most severe first, what nobody has seen before what somebody has; as many as fit."""
    if not alarms:
        return Text(say(text("alarms.none")), style="bold")
    ranked = sorted(
        alarms, key=lambda one: (_ORDER[one["severity"]], one["letter"], -one["since_s"])
    )
    shown = ranked if height is None else ranked[: max(1, height - 3)]
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
