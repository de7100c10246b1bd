"""What `gateway simulate` takes."""

import argparse
from collections.abc import Callable
from typing import Any


def add(commands: Any, command: Callable[..., Any], _config_option: Callable[..., None]) -> None:
    text = "Serve every loopback link and upstream of a configuration with simulated devices."
    example = "gateway simulate gateway.yaml --seed 7"
    simulate = command(commands, "simulate", "simulator:simulate", text, example)
    simulate.add_argument("file", metavar="FILE")
    text = "what the platform received, as JSON lines"
    simulate.add_argument("--platform-log", metavar="PATH", help=text)
    text = "what the devices showed, as JSON lines"
    simulate.add_argument("--device-log", metavar="PATH", help=text)
    text = "of the load curves (default 1)"
    simulate.add_argument("--seed", type=int, default=1, metavar="N", help=text)
    text = "of the requests to meters that meet a fault: late, garbage, wrong unit ..."
    simulate.add_argument("--faults", type=_percent, default=0.0, metavar="PERCENT", help=text)
    text = "now and then a meter shows over-voltage"
    simulate.add_argument("--incidents", action="store_true", help=text)


def _percent(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not 0 to 100")
    return number
