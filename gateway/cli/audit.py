"""`gateway audit`: what was done, by whom, and whether the log of it is whole. Reads files only."""

import argparse
import sys
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import orjson

from gateway.audit_chain import FOLDER, NOTHING_KNOWN, Head, files, lines_of, verify
from gateway.cli.live import config_path
from gateway.cli.main import CONFIG
from gateway.cli.say import refuse
from gateway.errors import ConfigError
from gateway.statedir import state_dir_of

BROKEN, UNREADABLE = 1, 75


def run(options: argparse.Namespace) -> int:
    """Exit code 0; 1 if `verify` finds a fault, 75 if the log cannot be read."""
    try:
        directory = state_dir_of(config_path(options))
    except ConfigError as error:
        refuse(error)
        return CONFIG
    try:
        return (
            _verify(directory, options) if options.work == "verify" else _list(directory, options)
        )
    except OSError as error:
        print(f"{directory / FOLDER}: {error.strerror or error}", file=sys.stderr)
        return UNREADABLE


def _verify(directory: Path, options: argparse.Namespace) -> int:
    found = verify(directory, Head(*options.head) if options.head else NOTHING_KNOWN)
    if options.json:
        whole = {**found._asdict(), "head": found.head._asdict(), "faults": [f._asdict() for f in found.faults]}  # fmt: skip
        print(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode())
        return BROKEN if found.faults else 0
    for fault in found.faults:
        print(f"{directory / FOLDER}/{fault}")
    for name in found.torn:
        print(f"{directory / FOLDER}/{name}: left by a power cut; a line of the log tells of it")
    where = f"from {found.first} to {found.head.n}, head {found.head.hash}"
    print(f"{found.lines} lines in {found.files} files, {where}")
    print(f"{len(found.faults)} faults" if found.faults else "the chain is whole")
    return BROKEN if found.faults else 0


def _list(directory: Path, options: argparse.Namespace) -> int:
    """The newest `-n` lines, oldest of them first."""
    newest: deque[Mapping[str, object]] = deque(maxlen=options.lines)
    for path in files(directory):
        newest.extend(line.fields for line in lines_of(path) if _wanted(line.fields, options.who))
    for fields in newest:
        print(orjson.dumps(fields).decode() if options.json else _row(fields))
    return 0


def _wanted(fields: Mapping[str, object], who: str | None) -> bool:
    return who is None or str(fields["who"]).split(" ")[0] == who


def _row(fields: Mapping[str, object]) -> str:
    at = datetime.fromtimestamp(int(str(fields["time"])) / 1e9, UTC).isoformat(timespec="seconds")
    about = fields["about"] if isinstance(fields["about"], dict) else {}
    told = " ".join(f"{key}={value}" for key, value in about.items() if value not in (None, ""))
    return f"{fields['n']:>7} {at} {fields['who']}: {fields['what']} {fields['result']} {told}".rstrip()
