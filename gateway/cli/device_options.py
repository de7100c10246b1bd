"""What `gateway devices` and `gateway mosquitto-config` take."""

from collections.abc import Callable
from typing import Any


def add(commands: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "List the devices; with DEVICE, the last value of each of its points."
    devices = command(commands, "devices", "devices:devices", text, "gateway devices meter-1")
    config_option(devices)
    devices.add_argument(
        "device", metavar="[rekey] DEVICE", nargs="*",
        help="one device; with rekey: forget its counter against replay, after a new key or battery",
    )  # fmt: skip
    devices.add_argument("--values", action="store_true", help="the points of all devices")
    text = "who speaks without being configured, with lines to paste into the configuration"
    devices.add_argument("--unknown", action="store_true", help=text)
    devices.add_argument("--json", action="store_true")

    text = "Make the files of a Mosquitto where every device may use its own topics only."
    example = "gateway mosquitto-config gateway.yaml --output mosquitto/"
    broker = command(commands, "mosquitto-config", "mosquitto:mosquitto", text, example)
    text = "the gateway's configuration (default: ./gateway.yaml, else /etc/gateway/gateway.yaml)"
    broker.add_argument("config", metavar="CONFIG", nargs="?", help=text)
    broker.add_argument("--output", metavar="DIR", help="default: both on standard output")
    broker.add_argument("--link", metavar="NAME", help="needed when several links are MQTT")
