"""`gateway history DEVICE POINT`: what a point showed, from the journal or from InfluxDB."""

import argparse
import csv
import sqlite3
import sys
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from gateway.cli.history_page import curve, table
from gateway.cli.influx_api import Api, identifier, literal
from gateway.cli.live import config_path
from gateway.cli.main import CONFIG, STATE_REFUSED, USAGE
from gateway.cli.moment import moment_ns, seconds
from gateway.cli.say import refuse
from gateway.document import load, mapping_at, suggest
from gateway.errors import ConfigError, LinkDown, Refused, StoreFailed
from gateway.statedir import state_dir_of
from gateway.store.history import SECOND, Historian, History, HistoryRow, Query
from gateway.store.readonly import core
from gateway.store.window import WINDOW_NS, WINDOW_S

# Steps that divide a day. About 300 points fill a wide terminal.
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)  # fmt: skip
POINTS = 300
COLUMNS = ("time", "t_ns", *HistoryRow._fields[1:])


def run(options: argparse.Namespace) -> int:
    """Exit code 0; 1 without values, 64 if such a range or step cannot be had, 74 if the journal
    cannot be read, 78 if the configuration is refused.
    """
    config = config_path(options)
    try:
        query = _query(options)
        if options.source == "influx":
            return _show(_from_influx(config, query), query, config, options)
        found = _read(config, query, options.step)
        return _show(found, query, config, options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE
    except ConfigError as error:
        refuse(error)
        return CONFIG
    except (FileNotFoundError, LinkDown, Refused) as error:
        print(error, file=sys.stderr)
        return 1
    except (sqlite3.Error, StoreFailed) as error:
        print(f"the journal cannot be read: {error}", file=sys.stderr)
        return STATE_REFUSED


def _query(options: argparse.Namespace) -> Query:
    now = time.time_ns()
    since, until = moment_ns(options.since, now), moment_ns(options.until, now)
    if until <= since:
        raise ValueError("the range is empty: --until must be later than --since")
    step_s = seconds(options.step) if options.step else default_step((until - since) / SECOND)
    coarse = step_s % WINDOW_S == 0
    if coarse:
        since -= since % WINDOW_NS
    return Query(options.device, options.point, since, until, step_s, now, coarse)


def default_step(range_s: float) -> int:
    """Seconds, for a range without --step."""
    return next((step for step in STEPS if range_s / step <= POINTS), STEPS[-1])


def _read(config: Path, query: Query, step: str | None) -> History:
    """Without --step: coarser if of that time only rollups are there still."""
    directory = state_dir_of(config)
    _known(directory, query)
    historian = Historian(directory)
    for coarser in (query.step_s, 300, 3_600):
        at = max(query.step_s, coarser)
        try:
            return historian.read(query._replace(step_s=-(-at // coarser) * coarser))
        except ValueError:
            if step is not None or coarser == 3_600:
                raise
    raise AssertionError("unreachable")


def _known(directory: Path, query: Query) -> None:
    """Raises ValueError if the journal has never seen this point."""
    with core(directory) as db:
        known: dict[str, list[str]] = {}
        for device, point in db.execute("SELECT device, point FROM point"):
            known.setdefault(device, []).append(point)
    if query.device not in known:
        what = f"the journal has nothing of the device '{query.device}'"
        raise ValueError(f"{what}: {suggest(query.device, known)}")
    if query.point not in known[query.device]:
        what = f"the journal has no point '{query.point}' of {query.device}"
        raise ValueError(f"{what}: {suggest(query.point, known[query.device])}")


def _from_influx(config: Path, query: Query) -> History:
    """Numbers only, without the rise of counters. Raises ConfigError, LinkDown and Refused too."""
    from gateway.config import load_config  # noqa: PLC0415 -- 100 ms that the journal does not need

    whole = load_config(config)
    if whole.influxdb is None:
        raise ValueError(f"{config} has no influxdb section: leave --from out")
    if query.device not in whole.everything:
        what = f"unknown device '{query.device}'"
        raise ValueError(f"{what}: {suggest(query.device, whole.everything)}")
    profile = whole.everything[query.device].profile
    if query.point not in profile.by_id:
        raise ValueError(f"unknown point '{query.point}': {suggest(query.point, profile.by_id)}")
    field = identifier(query.point)
    columns = ", ".join(f"{name}({field})" for name in ("count", "min", "max", "mean", "last"))
    rows = Api(whole.influxdb).rows(
        f"SELECT {columns} FROM {identifier(profile.facility)} WHERE device = {literal(query.device)}"  # noqa: S608 -- InfluxQL, escaped
        f" AND time >= {query.since_ns} AND time < {query.until_ns}"
        f" GROUP BY time({query.step_s}s) fill(none)"
    )
    return History("InfluxDB", counter=False, rows=tuple(
        HistoryRow(r["time"], r["count"], r["min"], r["max"], r["mean"], r["last"], None) for r in rows
    ))  # fmt: skip


def _show(found: History, query: Query, config: Path, options: argparse.Namespace) -> int:
    zone = _zone(config)
    if options.json:
        whole = {"device": query.device, "point": query.point, **found._asdict()}
        whole["rows"] = [row._asdict() for row in found.rows]
        print(orjson.dumps(whole).decode())
    elif options.csv:
        out = csv.writer(sys.stdout)
        out.writerow(COLUMNS)
        out.writerows((_iso(row.t_ns, zone), *row) for row in found.rows)
    elif not found.rows:
        print(f"{query.device} {query.point}: no values in this time", file=sys.stderr)
    else:
        page = table if options.table else curve
        print(page(found, query, zone))
    return 0 if found.rows else 1


def _iso(t_ns: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(t_ns // SECOND, zone).isoformat()


def _zone(config: Path) -> ZoneInfo:
    """The gateway's own: days are those of the compound."""
    name = mapping_at(mapping_at(load(config).value).get("gateway")).get("timezone")
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
