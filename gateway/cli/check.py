"""`gateway check`: whether a configuration is right, with its profiles and rules."""

import argparse
from pathlib import Path

from gateway.cli.main import CONFIG
from gateway.cli.say import number, say, show
from gateway.config import load_new_config
from gateway.errors import ConfigError
from gateway.words.text import text


def check(options: argparse.Namespace) -> int:
    try:
        config = load_new_config(Path(options.file), Path(options.at) if options.at else None)
    except ConfigError as error:
        show(error.problems, [], as_json=options.json)
        return CONFIG
    show([], config.notes, as_json=options.json)
    if not options.json:
        counts = [
            number(len(config.devices), "device"), number(len(config.links), "link"),
            number(len(config.rules.rules), "rule"), number(len(config.upstream), "upstream"),
        ]  # fmt: skip
        print(say(text("check.ok", file=options.file, counts=counts)))
    return 0
