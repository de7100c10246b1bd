"""Pages of `gateway store` for the terminal."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.cli.render import size
from gateway.store.audit import Audit
from gateway.store.info import Info
from gateway.store.record import iso

_LANES = {0: "alarms", 1: "events", 2: "samples", 3: "diagnostics"}


def _table(title: str, *columns: str) -> Table:
    """Columns that begin with a blank are numbers: to the right."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False,
        padding=(0, 2, 0, 0),
    )  # fmt: skip
    for name in columns:
        table.add_column(
            name.strip(), justify="right" if name[0] == " " else "left", header_style="dim",
            overflow="fold",
        )  # fmt: skip
    return table


def _row(table: Table, *cells: object) -> None:
    """Texts are shown as they are, never read as markup."""
    table.add_row(*(Text(str(cell)) for cell in cells))


def _time(time_ns: str | None) -> str:
    return "-" if time_ns is None else iso(int(time_ns))[:19].replace("T", " ")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items())) or "-"


def _lane(number: int) -> str:
    return f"{number} {_LANES[number]}"


def info_page(found: Info) -> RenderableType:
    state = "running" if found["running"] else "stopped" if found["clean_stop"] else "not stopped in order"  # fmt: skip
    where = f"  {found['directory']}  {state}  epoch {found['epoch']}"
    head = Text.assemble((f"Journal of {found['gateway']}", "bold"), where)
    lanes = _table("Lanes", "lane", " records", "oldest (UTC)", "newest (UTC)", " epochs")
    for lane in found["lanes"]:
        times = _time(lane["oldest_ns"]), _time(lane["newest_ns"])
        _row(lanes, _lane(lane["lane"]), lane["records"], *times, lane["epochs"])
    cursors = _table("Sinks", "sink", "lane", " backlog", "oldest not sent (UTC)", "dead letters", "at")  # fmt: skip
    for at in found["cursors"]:
        place = f"{at['epoch']}/{at['seq']}"
        oldest, dead = _time(at["oldest_unsent_ns"]), _counts(at["dead"])
        _row(cursors, at["sink"], _lane(at["lane"]), at["backlog"], oldest, dead, place)
    sinks = cursors if found["cursors"] else Text("Sinks: none has got anything yet", "bold")
    files = _table("Files", "file", " size")
    for file in found["files"]:
        _row(files, file["name"], size(file["bytes"]))
    for file in found["quarantined"]:
        _row(files, f"{file['name']} (quarantined)", size(file["bytes"]))
    _row(files, "all, and free", f"{size(found['bytes'])}, {size(found['free_bytes'])}")
    return Group(head, lanes, sinks, files, _written(found))


def _written(found: Info) -> RenderableType:
    if not found["written"]:
        return Text("Written: not known yet")
    table = _table("Written to the disk by the gateway", "day (UTC)", " size")
    for part in found["written"]:
        _row(table, part["day"], size(part["bytes"]))
    if found["written_per_day"] is not None:
        _row(table, "mean of full days", size(found["written_per_day"]))
    return table


def audit_page(audit: Audit) -> RenderableType:
    lanes = _table("Lanes", "lane", " produced", " stored", " damaged", "evicted", " missing")
    for lane in audit.lanes:
        counts = lane.produced, lane.stored, lane.damaged, _counts(lane.evicted), lane.missing
        _row(lanes, _lane(lane.lane), *counts)
    sinks = _table("Sinks", "sink", "lane", " delivered", " pending", " dead letters")
    for sink in audit.sinks:
        _row(sinks, sink.sink, _lane(sink.lane), sink.delivered, sink.pending, sink.dead)
    if not audit.faults:
        good = f"{audit.records} records verified: everything is accounted for"
        return Group(lanes, sinks, Text(good, style="green"))
    findings = _table(f"{audit.faults} findings", "what", "where", "detail")
    for finding in audit.findings:
        _row(findings, *finding)
    return Group(lanes, sinks, findings)
