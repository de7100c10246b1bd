"""`gateway config show`, `diff`, `history`, `rollback`: commands that look at files and keep them."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from gateway.assemble import assemble
from gateway.cli.live import config_path
from gateway.cli.main import CONFIG, STATE_REFUSED, USAGE
from gateway.cli.say import refuse
from gateway.config_diff import SIGNS, Change, changes, whole
from gateway.config_history import ConfigHistory
from gateway.document import Plain
from gateway.dump import yaml_text
from gateway.errors import ConfigError
from gateway.statedir import state_dir_of

if TYPE_CHECKING:
    from gateway.config import Config

SHOWN = 60  # characters of a value in a line of a difference
REMOVED = ".removed"


def _guarded(
    work: Callable[[Path, argparse.Namespace], int],
) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        try:
            return work(config_path(options), options)
        except ConfigError as error:
            refuse(error)
            return CONFIG
        except ValueError as error:
            print(error, file=sys.stderr)
            return USAGE
        except OSError as error:
            print(f"{error.filename}: {error.strerror}", file=sys.stderr)
            return STATE_REFUSED

    return run


def _checked(main: Path) -> "Config":
    from gateway.config import load_config  # noqa: PLC0415 -- 100 ms that the history does not need

    return load_config(main)


def _show(main: Path, options: argparse.Namespace) -> int:
    """A literal in the place of a secret is refused by the check, and so never shown."""
    config = _checked(main)
    if not options.resolved and not options.json:
        for path in config.files:
            print(f"# {path}\n{path.read_text(encoding='utf-8').rstrip()}\n")
        return 0
    value = assemble(main).document.value
    if options.json:
        print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
    else:
        print(yaml_text(value), end="")
    return 0


def _history(main: Path, options: argparse.Namespace) -> int:
    entries = ConfigHistory(state_dir_of(main)).entries()
    if options.json:
        print(orjson.dumps([entry._asdict() for entry in entries]).decode())
        return 0
    if not entries:
        print("no configuration has run yet")
    for entry in entries:
        when = datetime.fromtimestamp(entry.time_ns / 1e9).astimezone()
        count = len(entry.files)
        files = f"{count} file{'s' if count > 1 else ''}"
        print(f"{entry.n:4}  {when:%Y-%m-%d %H:%M:%S}  {entry.sha256[:12]}  {files:9}  {entry.who}")
    return 0


def _diff(main: Path, options: argparse.Namespace) -> int:
    """Exit code 0 if nothing differs, 1 if something does."""
    history = ConfigHistory(state_dir_of(main))
    old = options.old or _newest(history)
    found = list(changes(_value(history, old), _value(history, options.new or str(main))))
    if options.json:
        print(orjson.dumps([one._asdict() for one in found]).decode())
    else:
        for change in found:
            print(_line(change))
        if not found:
            print("no difference")
    return 1 if found else 0


def _newest(history: ConfigHistory) -> str:
    newest = history.newest()
    if newest is None:
        raise ValueError("no configuration has run yet: name two files")
    return str(newest.n)


def _value(history: ConfigHistory, name: str) -> dict[str, Plain]:
    """Of a file, or of a number: its files are put into a folder as they stood to each other."""
    if not name.isdecimal():
        return whole(Path(name))
    entry, contents = history.entry(int(name)), history.contents(int(name))
    above = Path(os.path.commonpath([path.parent for path in contents]))
    with tempfile.TemporaryDirectory() as folder:
        for path, content in contents.items():
            here = Path(folder, path.relative_to(above))
            here.parent.mkdir(parents=True, exist_ok=True)
            here.write_bytes(content)
        return whole(Path(folder, Path(entry.main).relative_to(above)))


def _line(change: Change) -> str:
    path = ".".join(change.path)
    if change.kind == "changed":
        return f"~ {path}: {_short(change.old)} -> {_short(change.new)}"
    return f"{SIGNS[change.kind]} {path}: {_short(change.new if change.kind == 'added' else change.old)}"


def _short(value: Plain) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _rollback(main: Path, options: argparse.Namespace) -> int:
    """The files as they are now are kept first, so that a rollback can be rolled back.

    What is there now and was not there then would still be read: it is renamed.
    """
    history = ConfigHistory(state_dir_of(main))
    then = history.contents(options.number)
    if Path(history.entry(options.number).main) != main.resolve():
        raise ValueError(
            f"configuration {options.number} is of {history.entry(options.number).main}: give it with -c"
        )
    now = _files(main)
    before = {path: path.read_bytes() for path in now}
    kept = history.keep(now, f"before the rollback to {options.number}", time.time_ns())
    extra = [path for path in before if path not in then]
    try:
        for path, content in then.items():
            _put(path, content)
        for path in extra:
            path.rename(path.with_name(path.name + REMOVED))
        _checked(main)
    except (ConfigError, OSError):
        for path in then.keys() - before.keys():
            path.unlink(missing_ok=True)
        for path, content in before.items():
            _put(path, content)
        for path in extra:
            path.with_name(path.name + REMOVED).unlink(missing_ok=True)
        raise
    for path in extra:
        print(f"{path} was not there then: it is called {path.name}{REMOVED} now")
    if kept is not None:
        print(f"what was there is kept as configuration {kept.n}")
    print(f"configuration {options.number} is back; to run it: gateway reload")
    return 0


def _files(main: Path) -> list[Path]:
    """Those of the configuration as it is; of a faulty one as far as they can be found."""
    try:
        files = _checked(main).files
    except ConfigError:
        files = tuple(assemble(main).files)
    return [path.resolve() for path in files]


def _put(path: Path, content: bytes) -> None:
    """Atomically, with the rights that it has."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o640
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


show = _guarded(_show)
history = _guarded(_history)
diff = _guarded(_diff)
rollback = _guarded(_rollback)
