"""`gateway rules graph`: what rules read and set."""

import argparse
import sys

from gateway.cli.live import config_path
from gateway.cli.main import CONFIG, USAGE
from gateway.cli.say import refuse
from gateway.config import load_config
from gateway.document import suggest
from gateway.errors import ConfigError
from rules.graph import graph as graph_of
from rules.graph import graphviz, mermaid


def graph(options: argparse.Namespace) -> int:
    """Exit code 64 for a rule that there is not."""
    try:
        config = load_config(config_path(options))
    except ConfigError as error:
        refuse(error)
        return CONFIG
    known = {one.rule.id for one in config.rules.instances} | {one.id for one in config.rules.rules}
    for name in options.rules:
        if name not in known:
            print(f"unknown rule '{name}': {suggest(name, known)}", file=sys.stderr)
            return USAGE
    wanted = set(options.rules) or {rule.id for rule in config.rules.rules}
    found = graph_of(config.rules, wanted, single=options.devices)
    print("\n".join((graphviz if options.format == "dot" else mermaid)(found)))
    return 0
