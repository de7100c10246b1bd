"""`gateway config desired`: what a platform wishes, for the operator to decide. Reads files only."""

import argparse
import difflib
import sys
from pathlib import Path
from typing import Any

import orjson

from gateway import config_file
from gateway.cli import reload
from gateway.cli.live import config_path, with_daemon
from gateway.cli.main import CONFIG, NOT_RUNNING, USAGE
from gateway.cli.say import show
from gateway.errors import ConfigError
from gateway.statedir import state_dir_of

NONE, UNREADABLE = 1, 75


def run(options: argparse.Namespace) -> int:
    """Exit code 0; 1 if there is no wish, 64 if it is not said whose, 78 if it is refused."""
    config = config_path(options)
    try:
        wish = _find(state_dir_of(config) / config_file.WISHES, options.origin)
        if isinstance(wish, str):
            print(wish, file=sys.stderr)
            return USAGE if "--from" in wish else NONE
        return _work(wish, config, options)
    except ConfigError as error:
        show(error.problems, [], as_json=False)
        return CONFIG
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return UNREADABLE


def _find(folder: Path, origin: str | None) -> Path | str:
    """The file of a wish, or why there is none."""
    found = sorted(folder.glob("*.json")) if folder.is_dir() else []
    wanted = [path for path in found if origin in {None, path.stem}]
    if not wanted:
        return "no platform has sent a configuration"
    if len(wanted) > 1:
        return f"--from {' | '.join(path.stem for path in wanted)}: say whose"
    return wanted[0].with_suffix(".yaml")


def _work(wish: Path, config: Path, options: argparse.Namespace) -> int:
    known: dict[str, Any] = orjson.loads(wish.with_suffix(".json").read_bytes())
    text = wish.read_text(encoding="utf-8")
    if options.output:
        Path(options.output).write_text(text, encoding="utf-8")
        print(f"wrote {options.output}")
        return 0
    if options.apply:
        return _apply(wish, config, options)
    if options.json:
        print(orjson.dumps({**known, "from": wish.stem, "config": text}).decode())
        return 0
    print(f"{wish.stem} wishes {known['id']} (sha256 {known['sha256']}): {known['state']}")
    for error in known["errors"]:
        place = f"{error['line']}:{error['column']}: " if "line" in error else ""
        print(f"  {place}{error['what']}")
    old = config.read_text(encoding="utf-8").splitlines()
    print("\n".join(difflib.unified_diff(old, text.splitlines(), str(config), wish.stem, lineterm="")))  # fmt: skip
    return 0


def _apply(wish: Path, config: Path, options: argparse.Namespace) -> int:
    """Raises ConfigError. The running gateway takes it over; if it goes back, so does the file."""
    from gateway.config import load_new_config  # noqa: PLC0415 -- 100 ms that looking does not need

    load_new_config(wish, config)
    config_file.put(config, wish.read_bytes())
    print(f"{config} is the wish of {wish.stem} now, the old one is {config_file.before(config)}")
    code = with_daemon(options, lambda daemon: reload.ask(daemon, wait=True))
    if code in {CONFIG, reload.ROLLED_BACK}:
        config_file.take_back(config)
        print(f"{config} is the old one again")
    return 0 if code == NOT_RUNNING else code
