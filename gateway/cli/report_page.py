"""The operation report on a terminal."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.indicators.model import Sheet
from gateway.indicators.page import hours, period, summary
from gateway.indicators.phrase import grouped, phrase
from gateway.indicators.words import Language, text

STYLES = {"good": "green", "bad": "bold red", "open": "dim", "": ""}


def report_page(sheet: Sheet, language: Language) -> RenderableType:
    return Group(*_parts(sheet, language))


def _parts(sheet: Sheet, language: Language) -> Iterator[RenderableType]:
    title = f"{text('title', language)} · {sheet.name or sheet.gateway}"
    yield Text(title, style="bold")
    yield Text(f"{period(sheet, language)}\n{summary(sheet, language)}")
    for group, indicators in grouped(sheet).items():
        if not indicators:
            continue
        table = Table(title=text(group, language), title_justify="left", expand=True)
        for column in ("indicator", "value", "target", "count", "known"):
            table.add_column(text(column, language), justify="left", overflow="fold")
        for indicator in indicators:
            said = phrase(indicator, language)
            value = Text(said.value, style=STYLES[said.verdict])
            table.add_row(said.name, value, said.target, said.counted, said.known)
        yield table
    lines = (text("meaning", language), text("basis", language), hours(sheet, language))
    yield Text("\n".join(lines), style="dim")
