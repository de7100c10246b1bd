"""The arguments of `gateway store`; cheap to import, for every start of the command line."""

import argparse
from collections.abc import Callable
from typing import Any

LANES = (0, 1, 2, 3)  # gateway.model


def add(commands: Any, command: Callable[..., Any], config_option: Callable[[Any], None]) -> None:
    """`gateway store WORK`."""
    text = "Look into the journal, whether the gateway runs or not."
    store = command(commands, "store", "store:run", text, "gateway store info")
    works = store.add_subparsers(metavar="WORK", required=True, dest="work")

    def work(
        name: str, text: str, arguments: str, *, asks_config: bool = True
    ) -> argparse.ArgumentParser:
        example = f"gateway store {name} {arguments}".rstrip()
        parser: argparse.ArgumentParser = command(works, name, "store:run", text, example)
        if asks_config:
            config_option(parser)
        return parser

    info = work("info", "Sizes, lanes, places of the sinks, what is written each day.", "")
    info.add_argument("--json", action="store_true")
    verify = work("verify", "Check every record; exit code 1 if anything is unaccounted for.", "")
    verify.add_argument("--json", action="store_true")

    export = work("export", "Write out what is stored.", "--since 2h -o out.csv")
    export.add_argument(
        "--lane", type=int, choices=LANES, action="append", metavar="N",
        help="0 alarms, 1 events, 2 samples, 3 diagnostics; may be repeated (default: all)",
    )  # fmt: skip
    moment = "ISO 8601 (UTC unless it says otherwise), or 2h: so long ago"
    export.add_argument("--since", metavar="TIME", help=moment)
    export.add_argument("--until", metavar="TIME", help=f"up to, not with; {moment}")
    export.add_argument(
        "--format",
        choices=("jsonl", "csv"),
        help="default: csv for an output called *.csv, else jsonl",
    )
    export.add_argument("-o", "--output", metavar="FILE", help="default: standard output")

    example = "/var/lib/gateway/core.db.corrupt.1 -o saved.jsonl"
    text = "Read what can be read from a damaged database or a folder of them."
    salvage = work("salvage", text, example, asks_config=False)
    salvage.add_argument("path", metavar="PATH")
    salvage.add_argument("-o", "--output", metavar="FILE", required=True)

    text = "Forget a sink that is not configured any more; shows first what it has not got."
    retire = work("retire", text, "old-platform --yes")
    retire.add_argument("sink", metavar="SINK")
    retire.add_argument("--yes", action="store_true", help="do it")
