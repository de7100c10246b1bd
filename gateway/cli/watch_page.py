"""The full screen of `gateway status --watch`, made from a snapshot and what was seen before. Pure."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.cli.render import (
    alarms,
    clock_line,
    duration,
    errors,
    head_line,
    links,
    new_table,
    page,
    reasons,
    row,
    styled,
    upstream,
)
from gateway.cli.say import say
from gateway.cli.watch import Place
from gateway.snapshot import DevicePart, Snapshot
from gateway.words.text import text

SEEN = 120  # seconds of the curves
WIDE = 140  # columns from which devices stand beside the rest
BARS = "▁▂▃▄▅▆▇█"
SIGNS = {"healthy": "●", "degraded": "▲", "critical": "■"}
REASONS = 5


@dataclass(slots=True)
class View(Place):
    """What the screen remembers: (uptime, records written, backlog) each second, and where it is."""

    seen: deque[tuple[float, int, int]] = field(default_factory=lambda: deque(maxlen=SEEN))
    every: bool = False  # every device, not only those that want a look

    def take(self, snapshot: Snapshot) -> None:
        """After a restart of the gateway the curves begin anew."""
        now = snapshot["uptime_s"]
        if self.seen and now < self.seen[-1][0]:
            self.seen.clear()
        backlog = sum(lane["backlog"] for sink in snapshot["upstream"] for lane in sink["lanes"])
        self.seen.append((now, snapshot["store"]["written"], backlog))

    def rates(self) -> list[float]:
        """Records written a second, between one look and the next."""
        pairs = zip(self.seen, list(self.seen)[1:], strict=False)
        return [max(0, b[1] - a[1]) / max(b[0] - a[0], 0.001) for a, b in pairs]


class Overview:
    """`gateway.cli.watch.Scene` of snapshots."""

    verb = "status"

    def __init__(self) -> None:
        self.place = View()
        self.snapshot: Snapshot  # the newest

    def take(self, answer: object) -> None:
        self.snapshot = cast("Snapshot", answer)
        self.place.take(self.snapshot)

    def draw(self, width: int, height: int) -> RenderableType:
        return screen(self.snapshot, self.place, width, height)

    def whole(self) -> RenderableType:
        return page(self.snapshot, height=None)

    def press(self, key: str) -> None:
        if key in {"d", "D"}:
            self.place.every, self.place.offset = not self.place.every, 0


def screen(snapshot: Snapshot, view: View, width: int, height: int) -> RenderableType:
    """At most `height` lines: the head, what wants a look, and as many devices as there is room for."""
    top = list(_top(snapshot, view, width))
    keys = Text(say(text("live.keys")), style="dim")
    body = height - len(top) - 1
    if width < WIDE:
        parts = _side(snapshot)
        used = sum(lines for _, lines in parts)
        made = [part for part, _ in parts]
        return Group(*top, *made, devices(snapshot["devices"], view, max(body - used, 3)), keys)
    grid = Table.grid(padding=(0, 3), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    left = devices(snapshot["devices"], view, max(body, 3))
    grid.add_row(left, Group(*(part for part, _ in _side(snapshot))))
    return Group(*top, grid, keys)


def _top(snapshot: Snapshot, view: View, width: int) -> Iterator[Text]:
    name = snapshot["health"]["word"]
    first = _line(Text(f"{SIGNS[name]} ", style=styled(name).style))
    first.append_text(head_line(snapshot))
    yield first
    yield _line(clock_line(snapshot))
    yield _line(_curves(view, width))
    found = reasons(snapshot)
    for reason in found[:REASONS]:
        yield _line(Text(f"  - {reason}"))
    if len(found) > REASONS:
        yield _line(Text(f"  + {len(found) - REASONS}", style="dim"))
    yield from map(_line, view.told())


def _line(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _curves(view: View, width: int) -> Text:
    rates, backlog = view.rates(), [float(one[2]) for one in view.seen]
    room = max(10, min(60, (width - 50) // 2))
    line = Text()
    for name, values in (("live.records", rates), ("live.backlog", backlog)):
        last = f"{values[-1]:.0f}" if values else "-"
        line.append(f"{say(text(name))} {last} ").append(
            sparkline(values[-room:]), style="dim"
        ).append("   ")
    return line


def sparkline(values: Sequence[float]) -> str:
    """Eight heights from nothing to the largest; a flat line where there is nothing."""
    most = max(values, default=0.0)
    if most <= 0:
        return BARS[0] * len(values)
    return "".join(BARS[min(7, int(value / most * 7.999))] for value in values)


def _side(snapshot: Snapshot) -> list[tuple[RenderableType, int]]:
    """Alarms, links, upstreams, with their heights where each row takes one line."""
    lanes = sum(len(sink["lanes"]) + 1 for sink in snapshot["upstream"])
    count = len(snapshot["alarms"])
    parts: list[tuple[RenderableType, int]] = [(alarms(snapshot), count + 2 if count else 1)]
    parts.append((links(snapshot), len(snapshot["links"]) + 2))
    if snapshot["upstream"]:
        parts.append((upstream(snapshot["upstream"]), lanes + 2))
    return parts


def devices(found: Sequence[DevicePart], view: View, height: int) -> RenderableType:
    """A line for each building, and below it the devices that want a look, or every one."""
    live = sum(device["live"] for device in found)
    title = say(text("live.buildings", live=live, count=len(found)))
    made = new_table(title, "building", "live", "device", "name", "age", "quality", "errors")
    rows = list(_rows(found, every=view.every))
    room = max(1, height - 2)
    view.offset = max(0, min(view.offset, len(rows) - room))
    for cells in rows[view.offset : view.offset + room]:
        row(made, *cells)
    return made


def _rows(found: Sequence[DevicePart], *, every: bool) -> Iterator[tuple[str | Text, ...]]:
    buildings: dict[str, list[DevicePart]] = {}
    for device in found:
        buildings.setdefault(device["building"], []).append(device)
    for building in sorted(buildings, key=lambda name: (not name, name.zfill(8))):
        those = buildings[building]
        live = sum(device["live"] for device in those)
        well = live == len(those)
        sign = Text("● " if well else "▲ ", style=styled("up" if well else "stale").style)
        name = building or say(text("live.alone"))
        yield sign.append(name, style="bold"), f"{live}/{len(those)}", "", "", "", "", ""
        for device in those:
            if every or not device["live"] or device["quality"] != "good":
                yield (
                    "", "", device["id"], device["name"], duration(device["age_s"]),
                    styled(device["quality"]), errors(device),
                )  # fmt: skip
