"""`gateway rules list`: the rules of the configuration, and how they are where the gateway runs."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping

import orjson

from gateway.cli.live import Daemon
from gateway.cli.main import CONFIG
from gateway.cli.say import counted, refuse
from gateway.config import Config, load_config
from gateway.errors import ConfigError
from rules.model import LEVELS, Rule


def list_(options: argparse.Namespace) -> int:
    """The rules of the configuration; how their instances are, where the gateway runs."""
    try:
        config = load_config(Daemon(options).config)
    except ConfigError as error:
        refuse(error)
        return CONFIG
    phases = _phases(options)
    if options.json:
        print(orjson.dumps(_as_json(config, phases), option=orjson.OPT_INDENT_2).decode())
        return 0
    _print_list(config, phases)
    return 0


def _phases(options: argparse.Namespace) -> Mapping[str, str] | None:
    """By instance; None where no gateway answers."""
    try:
        answer = Daemon(options).ask(verb="rules")
    except (ConnectionError, TimeoutError, ValueError):
        return None
    return dict(answer["instances"])


def _rules(config: Config) -> Iterator[tuple[Rule, list[str]]]:
    """Those of files, then the alarms of profiles, each with its instances."""
    instances: dict[str, list[str]] = {}
    rules = {rule.id: rule for rule in config.rules.rules}
    for one in config.rules.instances:
        instances.setdefault(one.rule.id, []).append(one.id)
        rules.setdefault(one.rule.id, one.rule)
    for name, rule in rules.items():
        yield rule, sorted(instances.get(name, []))


def _as_json(config: Config, phases: Mapping[str, str] | None) -> list[dict[str, object]]:
    return [
        {"rule": rule.id, "title": rule.title, "enabled": rule.enabled, "priority": _priority(rule),
         "severity": None if rule.severity is None else rule.severity.name.lower(),
         "instances": {one: None if phases is None else phases.get(one) for one in instances}}
        for rule, instances in _rules(config)
    ]  # fmt: skip


def _priority(rule: Rule) -> str:
    return next((name for name, level in LEVELS.items() if level == rule.level), str(rule.level))


def _print_list(config: Config, phases: Mapping[str, str] | None) -> None:
    for rule, instances in _rules(config):
        alarm = "" if rule.severity is None else f", alarm {rule.severity.name.lower()}"
        off = "" if rule.enabled else ", disabled"
        count = counted(len(instances), "instance")
        print(f"{rule.id}: {rule.title} ({_priority(rule)}{alarm}{off}; {count})")
        if phases is None:
            continue
        found = Counter(phases.get(one, "not running") for one in instances)
        print(
            f"  {', '.join(f'{n} {phase}' for phase, n in sorted(found.items()))}"
            if found
            else "  -"
        )
        for one in instances:
            if phases.get(one) not in {"normal", None}:
                print(f"  {one}: {phases[one]}")
    if phases is None:
        print("the gateway does not run: how its rules are is not known", file=sys.stderr)
