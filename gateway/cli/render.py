"""Pages for the terminal, made from a snapshot; symbols and words, so that colour is never needed."""

from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.cli.say import say
from gateway.snapshot import (
    AlarmPart,
    DevicePart,
    DeviceReadings,
    NotificationsPart,
    SinkPart,
    Snapshot,
    StrangerPart,
)
from gateway.words.text import text
from gateway.words.wire import unpacked

# Okabe and Ito's colours for all kinds of sight (jfly.uni-koeln.de/color): what is blue is well,
# orange wants a look, vermilion wants a hand. Each goes with a word of its own, and a sign in front.
WELL, LOOK, HAND = "#56b4e9", "#e69f00", "#d55e00"
STYLE = {
    "healthy": f"bold {WELL}", "degraded": f"bold {LOOK}", "critical": f"bold {HAND}",
    "up": WELL, "good": WELL, "ok": WELL, "yes": WELL, "starting": LOOK, "never": LOOK, "stale": LOOK,
    "uncertain": LOOK, "doubtful": LOOK, "unknown": LOOK, "operational": LOOK, "down": HAND,
    "refused": HAND, "bad": HAND, "failed": HAND, "no": HAND, "safety": HAND, "life": f"bold reverse {HAND}",
}  # fmt: skip
_LONG = frozenset({"errors", "counters", "title", "note"})  # columns that may take several lines
_FRAME_ROWS = 24  # rows that the other tables of a small compound take


def page(snapshot: Snapshot, *, height: int | None) -> RenderableType:
    """The whole status. With a `height`, devices that are well give way first."""
    parts: list[RenderableType] = [_head(snapshot)]
    rows = None if height is None else max(5, height - _FRAME_ROWS)
    parts.append(_devices(snapshot["devices"], rows))
    parts.append(links(snapshot))
    if snapshot["upstream"]:
        parts.append(upstream(snapshot["upstream"]))
    parts.append(alarms(snapshot))
    if snapshot["notifications"]["recipients"]:
        parts.append(_notifications(snapshot["notifications"]))
    parts.append(_foot(snapshot))
    return Group(*parts)


def show(what: RenderableType) -> None:
    Console().print(what)


def duration(seconds: float | None) -> str:
    if seconds is None:
        return say(text("live.never"))
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    minutes = seconds / 60
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 72 * 60 else f"{minutes / 1440:.0f} d"


def size(count: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def styled(name: str) -> Text:
    """A state in the reader's language; a name that is none stays as it is."""
    known = name in STYLE
    return Text(say(text(f"word.{name}")) if known else name, style=STYLE.get(name, ""))


_RIGHT = frozenset({
    "age", "backlog", "oldest", "per s", "delivered", "since", "reads", "dead", "last seen", "messages",
    "live",
})  # fmt: skip


def new_table(title: str, *columns: str) -> Table:
    made = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False,
        padding=(0, 2, 0, 0),
    )  # fmt: skip
    for name in columns:
        made.add_column(
            say(text(f"column.{name.replace(' ', '_')}")) if name else "",
            justify="right" if name in _RIGHT else "left", header_style="dim",
            no_wrap=name not in _LONG, overflow="fold" if name in _LONG else "ellipsis",
        )  # fmt: skip
    return made


def row(table: Table, *cells: str | Text) -> None:
    """Texts come from devices and people: they are shown as they are, never read as markup."""
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def head_line(snapshot: Snapshot) -> Text:
    name = f"{snapshot['gateway']} {snapshot['name']}".strip()
    up = say(text("live.up", time=duration(snapshot["uptime_s"])))
    return Text.assemble((name, "bold"), "  ", styled(snapshot["health"]["word"]), f"  {up}")


def reasons(snapshot: Snapshot) -> list[str]:
    """Why it is not well, in the reader's language."""
    return [say(unpacked(one)) for one in snapshot["health"]["said"]]


def _head(snapshot: Snapshot) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    for reason in reasons(snapshot):
        row(grid, "  -", reason)
    program = text(
        "live.program", version=snapshot["version"], pid=snapshot["pid"], loop=snapshot["loop"]
    )
    line = head_line(snapshot)
    parts = [line, grid] if snapshot["health"]["reasons"] else [line]
    return Group(*parts, Text(say(program), style="dim"))


def _devices(devices: list[DevicePart], rows: int | None) -> RenderableType:
    live = sum(device["live"] for device in devices)
    title = say(text("live.devices", live=live, count=len(devices)))
    made = new_table(title, "device", "name", "link", "age", "quality", "ack", "reads", "errors")
    shown = devices
    if rows is not None and len(devices) > rows:
        shown = sorted(devices, key=lambda d: (d["live"], d["quality"] == "good"))[: rows - 1]
    for device in shown:
        row(
            made, device["id"], device["name"], device["link"], duration(device["age_s"]),
            styled(device["quality"]), device["level"] or "-", str(device["good"]), errors(device),
        )  # fmt: skip
    if len(shown) < len(devices):
        row(made, say(text("live.more", count=len(devices) - len(shown))), *[""] * 7)
    return made


def errors(device: DevicePart) -> str:
    mix = [f"{reason} {count}" for reason, count in sorted(device["errors"].items())]
    bad = [f"{point}: {reason}" for point, reason in list(device["bad"].items())[:2]]
    return ", ".join([*mix, *bad, *([device["note"]] if device["note"] else [])])


def links(snapshot: Snapshot) -> RenderableType:
    title = say(text("live.links"))
    made = new_table(title, "link", "driver", "state", "since", "connects", "counters")
    for link in snapshot["links"]:
        counters = ", ".join(
            f"{name} {count}" for name, count in sorted(link["counters"].items()) if count
        )
        row(
            made, link["name"], link["driver"], styled(link["state"]), duration(link["since_s"]),
            str(link["connects"]), link["reason"] or counters,
        )  # fmt: skip
    return made


def _lane(lane: int) -> str:
    return say(text(f"lane.{lane}"))


def upstream(sinks: Sequence[SinkPart]) -> RenderableType:
    title = say(text("live.upstream"))
    made = new_table(
        title, "to", "state", "lane", "backlog", "oldest", "per s", "delivered", "dead"
    )
    for sink in sinks:
        for index, lane in enumerate(sink["lanes"]):
            first = index == 0
            row(
                made, sink["name"] if first else "", styled(sink["state"]) if first else "",
                f"{lane['lane']} {_lane(lane['lane'])}", str(lane["backlog"]),
                "-" if lane["oldest_s"] is None else duration(lane["oldest_s"]),
                f"{lane['rate_per_s']:.1f}", str(lane["acked"]), str(lane["dead"]),
            )  # fmt: skip
    metered = [sink for sink in sinks if any(x["bytes_today"] is not None for x in sink["lanes"])]
    return Group(made, *(_bytes(sink) for sink in metered))


def _bytes(sink: SinkPart) -> Text:
    """What left today, for whoever pays for the line."""
    metered = [
        f"{_lane(lane['lane'])} {size(lane['bytes_today'])}"
        for lane in sink["lanes"]
        if lane["bytes_today"] is not None
    ]
    return Text(say(text("live.sent", name=sink["name"], parts=metered)), style="dim")


def alarms(snapshot: Snapshot) -> RenderableType:
    if not snapshot["alarms"]:
        return Text(say(text("live.no_alarms")), style="bold")
    active = sum(alarm["letter"] not in "ADX" for alarm in snapshot["alarms"])
    title = say(text("live.alarms", count=active))
    made = new_table(title, "severity", "device", "since", "title")
    for alarm in snapshot["alarms"]:
        what = f"{alarm['title'] or alarm['rule']}{alarm_note(alarm)}"
        row(made, styled(alarm["severity"]), alarm["device"], duration(alarm["since_s"]), what)
    return made


def alarm_note(alarm: AlarmPart) -> str:
    """What people should know of an alarm, with the command that helps."""
    notes = []
    if alarm["latched"]:
        notes.append(text("alarm_note.latched", instance=alarm["instance"]))
    if alarm["letter"] == "D":
        notes.append(text("alarm_note.unacked", instance=alarm["instance"]))
    if alarm["letter"] == "X":
        notes.append(text("alarm_note.held"))
    if alarm["letter"] == "H":
        notes.append(text("alarm_note.suppressed"))
    if alarm["left_s"] is not None:
        kind = "out" if alarm["letter"] == "I" else "shelved"
        why = f" ({alarm['reason']})" if alarm["reason"] else ""
        time = duration(alarm["left_s"])
        notes.append(text(f"alarm_note.aside.{kind}", by=alarm["by"], time=time, why=why))
    if alarm["acked_by"]:
        notes.append(text("alarm_note.acked", by=alarm["acked_by"]))
    return "".join(f"; {say(note)}" for note in notes)


def _notifications(part: NotificationsPart) -> RenderableType:
    counted = ", ".join(f"{name} {count}" for name, count in part["counters"].items())
    title = say(text("live.notices", count=part["open"])) + (f"  {counted}" if counted else "")
    if not part["waiting"]:
        return Text(title, style="bold")
    made = new_table(title, "severity", "to", "since", "title", "note")
    for one in part["waiting"][:5]:
        row(
            made, styled(one["severity"]), one["recipient"], duration(one["since_s"]), one["text"],
            one["reason"],
        )  # fmt: skip
    return made


def _counted(counts: Mapping[str, int], nothing: str) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or say(text(nothing))


def _foot(snapshot: Snapshot) -> RenderableType:
    store = snapshot["store"]
    written = text(
        "live.written", count=store["written"], lost=_counted(store["dropped"], "live.nothing"),
        ms=f"{store['commit_ms_p99']:.1f}",
    )  # fmt: skip
    reason = f"  {store['reason']}" if store["reason"] else ""
    disk = say(text(
        "live.used", used=size(store["bytes_on_disk"]), free=size(store["free_bytes"]),
        directory=store["directory"], samples=size(store["telemetry_bytes"]),
        sample_quota=size(store["telemetry_quota"]), alarms=size(store["alarm_bytes"]),
        alarm_quota=size(store["alarm_quota"]),
    ))  # fmt: skip
    if store["evicted"]:
        gone = _counted(store["evicted"], "live.nothing")
        disk += say(text("live.deleted", what=gone, undelivered=store["undelivered"]))
    return Group(
        Text.assemble(
            (say(text("live.store")), "bold"), styled(store["state"]), reason, "  ", say(written)
        ),
        Text.assemble((say(text("live.disk")), "bold"), disk),
        Text.assemble(
            (say(text("live.commands")), "bold"), _counted(snapshot["commands"], "live.none")
        ),
        clock_line(snapshot),
    )


def clock_line(snapshot: Snapshot) -> Text:
    clock = snapshot["clock"]
    synced = text("live.synced") if clock["ok"] else text("live.unsynced")
    return Text.assemble((say(text("live.clock")), "bold"), f"{clock['time']}  ", say(synced))


def readings(devices: list[DeviceReadings]) -> RenderableType:
    made = new_table(say(text("live.values")), "device", "point", "value", "unit", "age", "quality")
    for device in devices:
        for index, point in enumerate(device["points"]):
            value = "-" if point["value"] is None else str(point["value"])
            row(
            made, device["id"] if index == 0 else "", point["point"], value, point["unit"],
                duration(point["age_s"]), styled(point["quality"]),
            )  # fmt: skip
    return made


def device_list(devices: list[DevicePart]) -> RenderableType:
    """Column `heard`: whether an alarm of a device on the radio would be heard."""
    radio = any(device["hearing"] for device in devices)
    made = new_table(
        say(text("live.list")), "device", "profile", "link", "online", "last seen", "ack", "quality",
        *(["heard"] if radio else []), "note",
    )  # fmt: skip
    for device in devices:
        online = device["live"] if device["online"] is None else device["online"]
        hearing = device["hearing"]
        heard = [styled(hearing["heard"] if hearing else "-")] if radio else []
        why = hearing["why"] if hearing and hearing["heard"] != "yes" else ""
        row(
            made, device["id"], device["profile"], device["link"], say(text("word.yes" if online else "word.no")),
            duration(device["age_s"]), device["level"] or "-", styled(device["quality"]), *heard,
            "; ".join(text for text in (device["note"], why) if text),
        )  # fmt: skip
    return made


def strangers(found: list[tuple[StrangerPart, str | None]]) -> RenderableType:
    if not found:
        return Text(say(text("live.no_strangers")), style="bold")
    made = new_table(
        say(text("live.strangers", count=len(found))),
        "link",
        "topic",
        "count",
        "age",
        "profile",
        "note",
    )
    for part, profile in found:
        keys = [key.removeprefix("values.") for key in part["keys"][:6]]
        said = ", ".join(keys) or say(text("live.no_object"))
        row(
            made, part["link"], part["topic"][:80], str(part["count"]), duration(part["last_s"]),
            profile or "?", said,
        )  # fmt: skip
    return made
