"""What `gateway tail`, `log` and `support-bundle` take; cheap to import, for every start of the command line."""

from collections.abc import Callable
from typing import Any


def add(commands: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "Show values and events as they come, until Ctrl-C."
    tail = command(commands, "tail", "tail:run", text, "gateway tail 'meter-3-*' --point 'elec.*'")
    tail.add_argument("device", metavar="DEVICE", nargs="*", help="only these; may hold *")
    tail.add_argument(
        "--point", metavar="POINT", action="append", help="only these points; may hold *"
    )
    tail.add_argument(
        "--facility", metavar="NAME", action="append", help="e.g. fire, utilities, lights"
    )
    kinds = tail.add_mutually_exclusive_group()
    kinds.add_argument("--events", action="store_true", help="events only")
    kinds.add_argument("--samples", action="store_true", help="values only")
    severities = ("telemetry", "operational", "safety", "life")
    tail.add_argument(
        "--severity",
        choices=severities,
        default="telemetry",
        help="events of this severity or worse",
    )
    tail.add_argument("-n", "--lines", metavar="N", type=int, default=0, help="end after N lines")
    tail.add_argument("--json", action="store_true", help="one JSON object a line")
    config_option(tail)

    text = "Let a part of the running gateway log more, or less, for a while."
    log = command(commands, "log", "log:run", text, "gateway log drivers.modbus debug --for 10m")
    log.add_argument(
        "part",
        metavar="PART",
        nargs="?",
        help="a module or a package; default: show what is changed",
    )
    log.add_argument(
        "level", metavar="LEVEL", nargs="?", help="debug, info, warning, error; normal: as before"
    )
    log.add_argument("--for", dest="span", metavar="TIME", default="10m", help="default: 10m")
    config_option(log)

    text = "Collect what somebody who helps wants to see, without secrets and names."
    bundle = command(commands, "support-bundle", "bundle:run", text, "gateway support-bundle")
    bundle.add_argument(
        "-o", "--output", metavar="FILE", help="default: gateway-bundle-TIME.tar.gz here"
    )
    config_option(bundle)
