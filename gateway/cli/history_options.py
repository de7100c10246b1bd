"""What `gateway history` and `gateway influx` take."""

from collections.abc import Callable
from typing import Any


def add(commands: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "Show what a point showed, or many: a curve in the terminal, a table, CSV or JSON."
    example = "gateway history meter-1 elec.power.total --since 24h"
    history = command(commands, "history", "history:run", text, example)
    config_option(history)
    history.add_argument("device", metavar="DEVICE", nargs="?", help="without it: all devices")
    text = "without it: all points, of rollups"
    history.add_argument("point", metavar="POINT", nargs="?", help=text)
    moment = "ISO 8601 (UTC unless it says otherwise), or 2h: so long ago"
    history.add_argument("--since", metavar="TIME", default="24h", help=f"default 24h; {moment}")
    history.add_argument(
        "--until", metavar="TIME", help=f"up to, not with (default: now); {moment}"
    )
    text = "e.g. 5m; default: about 300 steps in the range"
    history.add_argument("--step", metavar="DURATION", help=text)
    text = "where to read: the gateway's own journal (default), or InfluxDB"
    history.add_argument(
        "--from", dest="source", choices=("journal", "influx"), default="journal", help=text
    )
    shape = history.add_mutually_exclusive_group()
    shape.add_argument("--table", action="store_true", help="a line for each step")
    shape.add_argument("--csv", action="store_true")
    shape.add_argument("--json", action="store_true")
    _influx(commands, command, config_option)


def _influx(commands: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "Prepare and check the InfluxDB server of the configuration."
    influx = command(commands, "influx", "influx:run", text, "gateway influx check")
    works = influx.add_subparsers(metavar="WORK", required=True, dest="work")
    text = "Make bucket, retention, downsampling tasks and the mapping for InfluxQL, where missing."
    init = command(
        works, "init", "influx:run", text, "gateway influx init --token-file admin-token"
    )
    text = "a file with a token that may make buckets and tasks (default: the gateway's own)"
    init.add_argument("--token-file", metavar="FILE", help=text)
    init.add_argument("--retention", metavar="DURATION", default="30d", help="of what is written (default 30d)")  # fmt: skip
    text = "Say what is wrong with url, token, org, bucket; writes one point (gateway_probe)."
    check = command(works, "check", "influx:run", text, "gateway influx check")
    for one in (init, check):
        config_option(one)
        one.add_argument("--json", action="store_true")
