"""`gateway devices`: who is configured and how they are, what they show, and who is not configured."""

import argparse
import sys
from typing import cast

import orjson

from gateway.cli import hearing_page
from gateway.cli.live import Daemon, with_daemon
from gateway.cli.main import USAGE
from gateway.snapshot import DeviceReadings, Snapshot, StrangerPart


def devices(options: argparse.Namespace) -> int:
    words: list[str] = options.device
    if len(words) > 2 or (len(words) == 2 and words[0] != "rekey"):
        print("write one DEVICE, or: rekey DEVICE", file=sys.stderr)
        return USAGE
    if len(words) == 2:
        return with_daemon(options, lambda daemon: _rekey(daemon, words[1]))
    if options.unknown:
        return with_daemon(options, lambda daemon: _unknown(daemon, options))
    if options.values or words:
        return with_daemon(options, lambda daemon: _values(daemon, options, *words))
    return with_daemon(options, lambda daemon: _list(daemon, options))


def _rekey(daemon: Daemon, device: str) -> int:
    daemon.ask(verb="rekey", device=device)
    print(f"{device}: its counter is forgotten, the next message counts as the first")
    return 0


def _list(daemon: Daemon, options: argparse.Namespace) -> int:
    status = cast("Snapshot", daemon.ask(verb="status"))
    parts = [*status["devices"], status["own"]]
    if options.json:
        return _json(parts)
    from gateway.cli.render import device_list, show  # noqa: PLC0415 -- 60 ms that `--json` does not need

    show(device_list(parts))
    return 0


def _values(daemon: Daemon, options: argparse.Namespace, device: str | None = None) -> int:
    answer = cast("list[DeviceReadings]", daemon.ask(verb="devices", device=device))
    if options.json:
        return _json(answer)
    from gateway.cli.render import readings, show  # noqa: PLC0415 -- as above

    show(readings(answer))
    parts = cast("Snapshot", daemon.ask(verb="status"))["devices"] if device else []
    for part in parts:
        if part["id"] == device and part["hearing"] is not None:
            print(*hearing_page.lines(part["hearing"]), sep="\n")
    return 0


def _unknown(daemon: Daemon, options: argparse.Namespace) -> int:
    from gateway.cli.strangers import introduced  # noqa: PLC0415 -- profiles and a driver, only here

    parts = cast("list[StrangerPart]", daemon.ask(verb="unknown"))
    found = list(introduced(parts, daemon.config))
    if options.json:
        return _json([{**x.part, "profile": x.profile, "yaml": x.snippet} for x in found])
    from gateway.cli.render import show, strangers  # noqa: PLC0415 -- as above

    show(strangers([(x.part, x.profile) for x in found]))
    lines = [x.snippet for x in found if x.snippet is not None]
    if lines:
        print(f"\nTo make devices of them, paste below `devices:` of {daemon.config}:\n")
        print("\n".join(f"  {line}" for line in lines))
    return 0


def _json(answer: object) -> int:
    print(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
    return 0
