"""What `gateway doctor` takes."""

from collections.abc import Callable
from typing import Any


def add(commands: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "Check the machine, the configuration and everything it names, and say how to mend it."
    doctor = command(commands, "doctor", "doctor:run", text, "gateway doctor --user gateway")
    config_option(doctor)
    doctor.add_argument(
        "--user", metavar="NAME", help="who runs the gateway (default: gateway as root, else you)"
    )
    doctor.add_argument("--json", action="store_true")
