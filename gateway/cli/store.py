"""`gateway store ...`: looking into the journal, with the gateway running or stopped."""

import argparse
import csv
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

import orjson

from gateway.ask import ask
from gateway.cli.live import config_path
from gateway.cli.main import CONFIG, STATE_REFUSED, USAGE
from gateway.cli.moment import moment_ns
from gateway.cli.progress import progress
from gateway.cli.say import refuse
from gateway.document import load, mapping_at
from gateway.errors import AlreadyRunning, ConfigError, StateRefused
from gateway.model import LANES
from gateway.statedir import state_dir_of
from gateway.store.audit import Auditor
from gateway.store.export import FOREVER_NS, Export
from gateway.store.index import Position
from gateway.store.info import CursorPart, Info, info
from gateway.store.record import COLUMNS, Record, csv_rows, json_line
from gateway.store.retire import retire
from gateway.store.salvage import Salvage

ASK_S = 5.0
RETIRE_S = 30.0  # it waits for the disk

Cursors = Mapping[tuple[str, int], Position]


def run(options: argparse.Namespace) -> int:
    works: dict[str, Callable[[argparse.Namespace], int]] = {
        "info": _info, "verify": _verify, "export": _export, "salvage": _salvage, "retire": _retire,
    }  # fmt: skip
    try:
        return works[options.work](options)
    except ConfigError as error:
        refuse(error)
        return CONFIG
    except BrokenPipeError:
        raise  # the reader of our output has gone
    except OSError as error:  # no journal there, no room for the output, not allowed
        print(error, file=sys.stderr)
        return 1
    except (sqlite3.Error, StateRefused) as error:
        print(f"the journal cannot be read: {error}", file=sys.stderr)
        return STATE_REFUSED


def _directory(options: argparse.Namespace) -> Path:
    return state_dir_of(config_path(options))


def live_cursors(directory: Path) -> Cursors | None:
    """The cursors of the running gateway; None if none runs, or one that does not answer."""
    try:
        answer = cast("list[Any]", ask(directory, {"verb": "cursors"}, ASK_S))
    except (ConnectionError, TimeoutError):
        return None
    return {(sink, lane): Position(epoch, seq) for sink, lane, epoch, seq in answer}


def _look(directory: Path) -> Info:
    return info(directory, live_cursors(directory), datetime.now(UTC))


def _print_json(value: object) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _info(options: argparse.Namespace) -> int:
    found = _look(_directory(options))
    if options.json:
        _print_json(found)
        return 0
    from rich.console import Console  # noqa: PLC0415 -- only here

    from gateway.cli.store_pages import info_page  # noqa: PLC0415 -- only here

    Console().print(info_page(found))
    return 0


def _verify(options: argparse.Namespace) -> int:
    """Exit code 0 when everything is accounted for, else 1."""
    with progress("verifying") as advanced:
        audit = Auditor(_directory(options), advanced).run()
    if options.json:
        _print_json({
            "faults": audit.faults, "records": audit.records,
            "lanes": [x._asdict() for x in audit.lanes], "sinks": [x._asdict() for x in audit.sinks],
            "findings": [x._asdict() for x in audit.findings],
        })  # fmt: skip
    else:
        from rich.console import Console  # noqa: PLC0415 -- only here

        from gateway.cli.store_pages import audit_page  # noqa: PLC0415 -- only here

        Console().print(audit_page(audit))
    return 1 if audit.faults else 0


@contextmanager
def _output(path: str | None) -> Iterator[IO[bytes]]:
    if path is None:
        yield sys.stdout.buffer
        return
    with Path(path).open("wb") as file:
        yield file


def _as_csv(options: argparse.Namespace) -> bool:
    if options.format is not None:
        return bool(options.format == "csv")
    return options.output is not None and options.output.lower().endswith(".csv")


def _export(options: argparse.Namespace) -> int:
    """Exit code 1 if records could not be read; the others are written all the same."""
    try:
        since, until = moment_ns(options.since, 0), moment_ns(options.until, FOREVER_NS)
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE
    lanes = sorted(set(options.lane)) if options.lane else LANES
    count = 0
    with progress("exporting") as advanced, _output(options.output) as out:
        export = Export(_directory(options), lanes, since, until, advanced)
        write = _csv_writer(out) if _as_csv(options) else _json_writer(out)
        for record in export:
            write(record)
            count += 1
        out.flush()
    unread = f"; {export.damaged} damaged places could not be read" if export.damaged else ""
    print(f"{count} records{unread}", file=sys.stderr)
    return 1 if export.damaged else 0


def _json_writer(out: IO[bytes]) -> Callable[[Record], object]:
    return lambda record: out.write(json_line(record))


def _csv_writer(out: IO[bytes]) -> Callable[[Record], object]:
    """RFC 4180, UTF-8 without a mark."""
    line = csv.writer(_Encoded(out))
    line.writerow(COLUMNS)
    return lambda record: line.writerows(csv_rows(record))


class _Encoded:
    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def write(self, text: str) -> int:
        return self._out.write(text.encode())


def _salvage(options: argparse.Namespace) -> int:
    """Exit code 1 if nothing could be read."""
    count = 0
    salvage = Salvage(Path(options.path))
    with progress("salvaging") as advanced, Path(options.output).open("wb") as out:
        for file, record in salvage:
            out.write(b'{"file":%b,%b' % (orjson.dumps(str(file)), json_line(record)[1:]))
            count += 1
            if count % 1000 == 0:
                advanced(1000, count)
        out.flush()
        os.fsync(out.fileno())
    for name, reason in salvage.refused.items():
        print(f"{name}: {reason}")
    print(
        f"{count} records from {salvage.files} files; {salvage.lost_windows} windows of 50 with rows "
        f"that cannot be read, {salvage.damaged} rows with a wrong checksum"
    )
    return 0 if count else 1


def _retire(options: argparse.Namespace) -> int:
    """Shows what is pending first; without --yes nothing is changed (exit code 1)."""
    config = config_path(options)
    directory, sink = state_dir_of(config), options.sink
    live = live_cursors(directory)
    found = [c for c in info(directory, live, datetime.now(UTC))["cursors"] if c["sink"] == sink]
    if not found:
        print(f"'{sink}' has no place in the journal of {directory}", file=sys.stderr)
        return 1
    for cursor in found:
        print(f"{sink}: {_pending(cursor)}")
    if not options.yes:
        print("nothing was changed; to give this up: add --yes")
        return 1
    try:
        if live is None:
            retire(directory, _gateway_id(config), sink)
        else:
            ask(directory, {"verb": "retire", "sink": sink}, RETIRE_S)
    except (ValueError, ConnectionError, TimeoutError, AlreadyRunning) as error:
        print(f"not retired: {error}", file=sys.stderr)
        return 1
    print(f"{sink}: retired")
    return 0


def _gateway_id(config: Path) -> str:
    return str(mapping_at(mapping_at(load(config).value).get("gateway")).get("id"))


def _pending(cursor: CursorPart) -> str:
    dead = sum(cursor["dead"].values())
    return f"lane {cursor['lane']}: {cursor['backlog']} records not delivered, {dead} dead letters"
