"""Pages for the terminal, made from a snapshot; symbols and words, so that colour is never needed."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.snapshot import (
    AlarmPart,
    DevicePart,
    DeviceReadings,
    NotificationsPart,
    SinkPart,
    Snapshot,
    StrangerPart,
)

_STYLE = {
    "healthy": "bold green", "degraded": "bold yellow", "critical": "bold red", "up": "green",
    "good": "green", "ok": "green", "starting": "cyan", "never": "yellow", "stale": "yellow",
    "uncertain": "yellow", "down": "red", "refused": "red", "bad": "red", "failed": "red",
    "yes": "green", "doubtful": "yellow", "no": "red", "unknown": "yellow",
    "life": "bold red", "safety": "red", "operational": "yellow",
}  # fmt: skip
_LANES = {0: "alarms", 1: "events", 2: "samples", 3: "diagnostics"}
_LONG = frozenset({"errors", "counters", "title", "note"})  # columns that may take several lines
_FRAME_ROWS = 24  # rows that the other tables of a small compound take


def page(snapshot: Snapshot, *, height: int | None) -> RenderableType:
    """The whole status. With a `height`, devices that are well give way first."""
    parts: list[RenderableType] = [_head(snapshot)]
    rows = None if height is None else max(5, height - _FRAME_ROWS)
    parts.append(_devices(snapshot["devices"], rows))
    parts.append(_links(snapshot))
    if snapshot["upstream"]:
        parts.append(_upstream(snapshot["upstream"]))
    parts.append(_alarms(snapshot))
    if snapshot["notifications"]["recipients"]:
        parts.append(_notifications(snapshot["notifications"]))
    parts.append(_foot(snapshot))
    return Group(*parts)


def show(what: RenderableType) -> None:
    Console().print(what)


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "never"
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


def styled(word: str) -> Text:
    return Text(word, style=_STYLE.get(word, ""))


def new_table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False,
        padding=(0, 2, 0, 0),
    )  # fmt: skip
    for name in columns:
        right = name in {
            "age",
            "backlog",
            "oldest",
            "per s",
            "delivered",
            "since",
            "reads",
            "dead",
            "last seen",
            "messages",
        }
        table.add_column(
            name, justify="right" if right else "left", header_style="dim",
            no_wrap=name not in _LONG, overflow="fold" if name in _LONG else "ellipsis",
        )  # fmt: skip
    return table


def row(table: Table, *cells: str | Text) -> None:
    """Texts come from devices and people: they are shown as they are, never read as markup."""
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def _head(snapshot: Snapshot) -> RenderableType:
    health = snapshot["health"]
    name = f"{snapshot['gateway']} {snapshot['name']}".strip()
    line = Text.assemble(
        (name, "bold"), "  ", styled(health["word"]), f"  up {duration(snapshot['uptime_s'])}"
    )
    reasons = Table.grid(padding=(0, 1))
    for reason in health["reasons"]:
        row(reasons, "  -", reason)
    program = f"version {snapshot['version']}  pid {snapshot['pid']}  loop {snapshot['loop']}"
    parts = [line, reasons] if health["reasons"] else [line]
    return Group(*parts, Text(program, style="dim"))


def _devices(devices: list[DevicePart], rows: int | None) -> RenderableType:
    live = sum(device["live"] for device in devices)
    table = new_table(
        f"Devices: {live} of {len(devices)} live",
        "device",
        "name",
        "link",
        "age",
        "quality",
        "ack",
        "reads",
        "errors",
    )
    shown = devices
    if rows is not None and len(devices) > rows:
        shown = sorted(devices, key=lambda d: (d["live"], d["quality"] == "good"))[: rows - 1]
    for device in shown:
        row(
            table, device["id"], device["name"], device["link"], duration(device["age_s"]),
            styled(device["quality"]), device["level"] or "-", str(device["good"]), _errors(device),
        )  # fmt: skip
    if len(shown) < len(devices):
        row(table, f"... and {len(devices) - len(shown)} more", "", "", "", "", "", "", "")
    return table


def _errors(device: DevicePart) -> str:
    mix = [f"{reason} {count}" for reason, count in sorted(device["errors"].items())]
    bad = [f"{point}: {reason}" for point, reason in list(device["bad"].items())[:2]]
    return ", ".join([*mix, *bad, *([device["note"]] if device["note"] else [])])


def _links(snapshot: Snapshot) -> RenderableType:
    table = new_table("Links", "link", "driver", "state", "since", "connects", "counters")
    for link in snapshot["links"]:
        counters = ", ".join(
            f"{name} {count}" for name, count in sorted(link["counters"].items()) if count
        )
        row(
            table, link["name"], link["driver"], styled(link["state"]), duration(link["since_s"]),
            str(link["connects"]), link["reason"] or counters,
        )  # fmt: skip
    return table


def _upstream(sinks: Sequence[SinkPart]) -> RenderableType:
    table = new_table(
        "Upstream",
        "to",
        "state",
        "lane",
        "backlog",
        "oldest",
        "per s",
        "delivered",
        "dead",
    )
    for sink in sinks:
        for index, lane in enumerate(sink["lanes"]):
            first = index == 0
            row(
            table,     sink["name"] if first else "", styled(sink["state"]) if first else "",
                f"{lane['lane']} {_LANES[lane['lane']]}", str(lane["backlog"]),
                "-" if lane["oldest_s"] is None else duration(lane["oldest_s"]),
                f"{lane['rate_per_s']:.1f}", str(lane["acked"]), str(lane["dead"]),
            )  # fmt: skip
    metered = [sink for sink in sinks if any(x["bytes_today"] is not None for x in sink["lanes"])]
    return Group(table, *(_bytes(sink) for sink in metered))


def _bytes(sink: SinkPart) -> Text:
    """What left today, for whoever pays for the line."""
    metered = [
        f"{_LANES[lane['lane']]} {size(lane['bytes_today'])}"
        for lane in sink["lanes"]
        if lane["bytes_today"] is not None
    ]
    return Text(f"sent today to {sink['name']}: {', '.join(metered)}", style="dim")


def _alarms(snapshot: Snapshot) -> RenderableType:
    if not snapshot["alarms"]:
        return Text("Alarms: none active", style="bold")
    active = sum(alarm["letter"] not in "AD" for alarm in snapshot["alarms"])
    table = new_table(f"Alarms: {active} active", "severity", "device", "since", "title")
    for alarm in snapshot["alarms"]:
        title = f"{alarm['title'] or alarm['rule']}{alarm_note(alarm)}"
        row(table, styled(alarm["severity"]), alarm["device"], duration(alarm["since_s"]), title)
    return table


def alarm_note(alarm: AlarmPart) -> str:
    """What people should know of an alarm, with the command that helps."""
    notes = []
    if alarm["latched"]:
        notes.append(f"over, waits for: gateway reset '{alarm['instance']}'")
    if alarm["letter"] == "D":
        notes.append(f"over, waits for: gateway ack '{alarm['instance']}'")
    if alarm["letter"] == "H":
        notes.append("suppressed")
    if alarm["left_s"] is not None:
        what = "out of service" if alarm["letter"] == "I" else "shelved"
        why = f" ({alarm['reason']})" if alarm["reason"] else ""
        notes.append(f"{what} by {alarm['by']} for another {duration(alarm['left_s'])}{why}")
    if alarm["acked_by"]:
        notes.append(f"acknowledged by {alarm['acked_by']}")
    return "".join(f"; {note}" for note in notes)


def _notifications(part: NotificationsPart) -> RenderableType:
    counted = ", ".join(f"{word} {count}" for word, count in part["counters"].items())
    title = f"Notifications: {part['open']} open" + (f"  {counted}" if counted else "")
    if not part["waiting"]:
        return Text(title, style="bold")
    table = new_table(title, "severity", "to", "since", "title", "note")
    for one in part["waiting"][:5]:
        row(
            table, styled(one["severity"]), one["recipient"], duration(one["since_s"]), one["text"],
            one["reason"],
        )  # fmt: skip
    return table


def _foot(snapshot: Snapshot) -> RenderableType:
    store, clock = snapshot["store"], snapshot["clock"]
    lost = ", ".join(f"{reason} {count}" for reason, count in store["dropped"].items()) or "nothing"
    commands = (
        ", ".join(f"{word} {count}" for word, count in snapshot["commands"].items()) or "none"
    )
    store_line = f"  {store['written']} records written  lost {lost}  commit p99 {store['commit_ms_p99']:.1f} ms"
    reason = f"  {store['reason']}" if store["reason"] else ""
    disk = (
        f"{size(store['bytes_on_disk'])} used, {size(store['free_bytes'])} free  {store['directory']}"
        f"  samples {size(store['telemetry_bytes'])} of {size(store['telemetry_quota'])},"
        f" alarms {size(store['alarm_bytes'])} of {size(store['alarm_quota'])}"
    )
    if store["evicted"]:
        gone = ", ".join(f"{what} {count}" for what, count in store["evicted"].items())
        disk += f"  deleted {gone} ({store['undelivered']} undelivered)"
    return Group(
        Text.assemble(("Store ", "bold"), styled(store["state"]), reason, store_line),
        Text.assemble(("Disk ", "bold"), disk),
        Text.assemble(("Commands ", "bold"), commands),
        Text.assemble(
            ("Clock ", "bold"), f"{clock['time']}  ", "in sync" if clock["ok"] else "NOT in sync"
        ),
    )


def readings(devices: list[DeviceReadings]) -> RenderableType:
    table = new_table("Last values", "device", "point", "value", "unit", "age", "quality")
    for device in devices:
        for index, point in enumerate(device["points"]):
            value = "-" if point["value"] is None else str(point["value"])
            row(
            table,     device["id"] if index == 0 else "", point["point"], value, point["unit"],
                duration(point["age_s"]), styled(point["quality"]),
            )  # fmt: skip
    return table


def device_list(devices: list[DevicePart]) -> RenderableType:
    """Column `heard`: whether an alarm of a device on the radio would be heard."""
    radio = any(device["hearing"] for device in devices)
    table = new_table(
        "Devices", "device", "profile", "link", "online", "last seen", "ack", "quality",
        *(["heard"] if radio else []), "note",
    )  # fmt: skip
    for device in devices:
        online = device["live"] if device["online"] is None else device["online"]
        hearing = device["hearing"]
        heard = [styled(hearing["heard"] if hearing else "-")] if radio else []
        why = hearing["why"] if hearing and hearing["heard"] != "yes" else ""
        row(
            table, device["id"], device["profile"], device["link"], "yes" if online else "no",
            duration(device["age_s"]), device["level"] or "-", styled(device["quality"]), *heard,
            "; ".join(text for text in (device["note"], why) if text),
        )  # fmt: skip
    return table


def strangers(found: list[tuple[StrangerPart, str | None]]) -> RenderableType:
    if not found:
        return Text("Nobody speaks who is not configured", style="bold")
    table = new_table(f"Unknown: {len(found)}", "link", "topic", "count", "age", "profile", "note")
    for part, profile in found:
        keys = [key.removeprefix("values.") for key in part["keys"][:6]]
        said = ", ".join(keys) or "no JSON object"
        row(
            table, part["link"], part["topic"][:80], str(part["count"]), duration(part["last_s"]),
            profile or "?", said,
        )  # fmt: skip
    return table
