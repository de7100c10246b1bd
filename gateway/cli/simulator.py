"""`gateway simulate`: its configuration first, then the simulators, which take long to import."""

import argparse
from pathlib import Path

from gateway.cli.main import CONFIG
from gateway.cli.say import show
from gateway.config import load_config
from gateway.errors import ConfigError


def simulate(options: argparse.Namespace) -> int:
    try:
        config = load_config(Path(options.file))
        from gateway.cli.simulate import serve  # noqa: PLC0415 -- see above

        return serve(config, options)
    except ConfigError as error:
        show(error.problems, [], as_json=False)
        return CONFIG
