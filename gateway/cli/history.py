"""`gateway history`: what a point showed, from the journal or from InfluxDB; or many points."""

import argparse
import csv
import sqlite3
import sys
import time
from datetime import datetime
from itertools import chain
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from gateway.cli.history_many import default_step, show, wide
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

COLUMNS = ("time", "t_ns", *HistoryRow._fields[1:])


def run(options: argparse.Namespace) -> int:
    """Exit code 0; 1 without values, 64 if such a range or step cannot be had, 74 if the journal
    cannot be read, 78 if the configuration is refused.
    """
    config = config_path(options)
    try:
        return _many(config, options) if options.point is None else _one(config, options)
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


def _range(options: argparse.Namespace, now: int) -> tuple[int, int]:
    since, until = moment_ns(options.since, now), moment_ns(options.until, now)
    if until <= since:
        raise ValueError("the range is empty: --until must be later than --since")
    return since, until


def _one(config: Path, options: argparse.Namespace) -> int:
    query = _query(options)
    if options.source == "influx":
        return _show(_from_influx(config, query), query, config, options)
    return _show(_read(config, query, options.step), query, config, options)


def _many(config: Path, options: argparse.Namespace) -> int:
    """All points of a device, or of every device."""
    if options.source == "influx":
        raise ValueError(
            "InfluxDB is asked for one point: gateway history DEVICE POINT --from influx"
        )
    directory = state_dir_of(config)
    now = time.time_ns()
    since, until = _range(options, now)
    known = _points(directory)
    if options.device is not None:
        _known_device(known, options.device)
    step_s = seconds(options.step) if options.step else None
    count = len(known[options.device] if options.device else list(chain(*known.values())))
    query = wide(options.device, since, until, step_s, now, points=max(1, count))
    return show(*Historian(directory).read_wide(query), query, _zone(config), options)


def _query(options: argparse.Namespace) -> Query:
    now = time.time_ns()
    since, until = _range(options, now)
    step_s = seconds(options.step) if options.step else default_step((until - since) / SECOND)
    coarse = step_s % WINDOW_S == 0
    if coarse:
        since -= since % WINDOW_NS
    return Query(options.device, options.point, since, until, step_s, now, coarse)


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


def _points(directory: Path) -> dict[str, list[str]]:
    """What the journal has seen: points by device."""
    known: dict[str, list[str]] = {}
    with core(directory) as db:
        for device, point in db.execute("SELECT device, point FROM point"):
            known.setdefault(device, []).append(point)
    return known


def _known_device(known: dict[str, list[str]], device: str) -> None:
    if device not in known:
        what = f"the journal has nothing of the device '{device}'"
        raise ValueError(f"{what}: {suggest(device, known)}")


def _known(directory: Path, query: Query) -> None:
    """Raises ValueError if the journal has never seen this point."""
    known = _points(directory)
    _known_device(known, query.device)
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
