"""How `gateway alarms` shows them."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from gateway.cli.render import alarm_note, duration, new_table, row, styled
from gateway.snapshot import AlarmPart

_ORDER = {"life": 0, "safety": 1, "operational": 2}


def page(alarms: Sequence[AlarmPart], *, height: int | None) -> RenderableType:
    """The most severe first, what nobody has seen before what somebody has; as many as fit."""
    if not alarms:
        return Text("no alarm is open", style="bold")
    ranked = sorted(
        alarms, key=lambda one: (_ORDER[one["severity"]], one["letter"], -one["since_s"])
    )
    shown = ranked if height is None else ranked[: max(1, height - 3)]
    title = f"Alarms: {len(alarms)}" + (f", {len(shown)} shown" if len(shown) < len(alarms) else "")
    table = new_table(title, "", "severity", "since", "alarm", "title")
    for one in shown:
        text = f"{one['title'] or one['rule']}{alarm_note(one)}"
        times = f" x{one['raises']}" if one["raises"] > 1 else ""
        row(
            table,
            one["letter"],
            styled(one["severity"]),
            duration(one["since_s"]),
            one["instance"] + times,
            text,
        )
    return table
