"""`gateway report`: the operation report of a day or a week, beside a running gateway or without one."""

import argparse
import sqlite3
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.cli.live import config_path
from gateway.cli.main import CONFIG, STATE_REFUSED, USAGE
from gateway.cli.progress import progress
from gateway.cli.say import refuse
from gateway.cli.store import live_cursors
from gateway.config import Config, load_config
from gateway.errors import ConfigError, StoreFailed
from gateway.indicators.gather import Asked, Compound, gather
from gateway.indicators.model import Sheet
from gateway.indicators.words import Language


def run(options: argparse.Namespace) -> int:
    try:
        config = load_config(config_path(options))
    except ConfigError as error:
        refuse(error)
        return CONFIG
    zone = ZoneInfo(config.gateway.timezone)
    now = datetime.now(UTC)
    try:
        day = _day(options, now.astimezone(zone).date())
        asked = Asked(day, options.week is not None, int(now.timestamp() * 1e9))
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE
    try:
        with progress("reading the journal") as advanced:
            sheet = gather(_compound(config, zone), asked, advanced)
        return _write(options, sheet, options.lang or config.gateway.locale)
    except (ValueError, OSError) as error:  # no journal, nothing of that time, no room
        print(error, file=sys.stderr)
        return 1
    except (sqlite3.Error, StoreFailed) as error:
        print(f"the journal cannot be read: {error}", file=sys.stderr)
        return STATE_REFUSED


def _day(options: argparse.Namespace, today: date) -> date:
    """Raises ValueError."""
    written = options.day or options.week
    if not written:
        return today
    try:
        day = date.fromisoformat(written)
    except ValueError:
        raise ValueError(f"'{written}' is no date: write e.g. {today:%Y-%m-%d}") from None
    if day > today:
        raise ValueError(f"{day} has not come yet: write {today} or an earlier day")
    return day


def _compound(config: Config, zone: ZoneInfo) -> Compound:
    live = live_cursors(config.state_dir) or {}
    return Compound(
        config.gateway.id, config.gateway.name, zone, config.state_dir, config.devices,
        config.report, live,
    )  # fmt: skip


def _write(options: argparse.Namespace, sheet: Sheet, language: Language) -> int:
    from gateway.indicators.document import document  # noqa: PLC0415 -- when there is something to tell

    if options.html:
        from gateway.indicators.page import html  # noqa: PLC0415 -- only here

        page = Path(options.html)
        beside = page.with_suffix(".json")
        if beside == page:
            print(
                f"{page}: the page would overwrite its JSON: call it report.html", file=sys.stderr
            )
            return USAGE
        page.write_text(html(sheet, language), encoding="utf-8")
        beside.write_bytes(document(sheet))
        print(f"{page} and {beside} are written")
        return 0
    if options.json:
        print(document(sheet).decode(), end="")
        return 0
    from rich.console import Console  # noqa: PLC0415 -- only here

    from gateway.cli.report_page import report_page  # noqa: PLC0415 -- only here

    Console().print(report_page(sheet, language))
    return 0
