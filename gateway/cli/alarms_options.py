"""The arguments of the commands about alarms; cheap to import, for every start of the command line."""

import argparse
from collections.abc import Callable
from typing import Any

ALARM = "as `gateway alarms` shows it"


def add(
    commands: Any,
    command: Callable[..., argparse.ArgumentParser],
    config_option: Callable[[Any], None],
) -> None:
    """`gateway alarms`, `ack`, `shelve`, `unshelve`, `reset`, `out-of-service`."""

    def one(name: str, run: str, text: str, example: str) -> argparse.ArgumentParser:
        parser = command(commands, name, f"alarms:{run}", text, f"gateway {name} {example}".strip())
        config_option(parser)
        if run != "alarms":
            parser.add_argument("alarm", metavar="ALARM", help=ALARM)
        return parser

    alarms = one("alarms", "alarms", "Show the alarms that are open or put aside.", "--watch")
    alarms.add_argument("--watch", action="store_true", help="redraw every second until Ctrl-C")
    alarms.add_argument("--json", action="store_true")

    one("ack", "ack", "Say that an alarm has been seen.", "'gas-basement[gas-b3]'")

    text = "Tell nobody of an alarm for a while; what it does goes on."
    shelve = one("shelve", "shelve", text, "'door-held-open[door-1]' 2h")
    shelve.add_argument("span", metavar="DURATION", help="30m, 2h; at most its shelve_max")
    shelve.add_argument(
        "--one-shot", action="store_true", help="only until it ends, if that is sooner"
    )
    one("unshelve", "unshelve", "Tell of a shelved alarm again.", "'door-held-open[door-1]'")

    text = "End a latched alarm whose condition is over."
    reset = one("reset", "reset", text, "'gst-fire-panel.fire.signal[panel-1][17]'")
    text = "also while it is not known whether its condition is over, e.g. its device is gone"
    reset.add_argument("--force", action="store_true", help=text)
    reset.add_argument("--reason", metavar="TEXT", default="", help="why; needed with --force")

    text = "Let an alarm neither tell nor do anything, for work on its devices."
    example = "'gas-basement[gas-b3]' 2d --reason repair"
    out = one("out-of-service", "out_of_service", text, example)
    text = "at most 7d, 8h where it may save lives"
    out.add_argument("span", metavar="DURATION", nargs="?", help=text)
    out.add_argument("--reason", metavar="TEXT", default="", help="why; needed")
    out.add_argument("--end", action="store_true", help="put it back into service")
