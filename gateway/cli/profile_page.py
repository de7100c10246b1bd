"""What `gateway profile check` shows on a terminal."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gateway.cli.profile_table import Row


def page(title: str, rows: list[Row]) -> RenderableType:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False,
        padding=(0, 2, 0, 0),
    )  # fmt: skip
    for name in Row._fields:
        table.add_column(name, header_style="dim", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
