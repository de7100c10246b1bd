"""`gateway rules test`: the fixtures of rules."""

import argparse
import sys
from pathlib import Path

from gateway.cli.live import config_path
from gateway.cli.main import CONFIG, USAGE
from gateway.cli.say import counted, language, refuse, told
from gateway.config import load_config
from gateway.errors import ConfigError
from gateway.fixture import SUFFIX, fixtures, load_fixture, untested
from gateway.trial import Verdict, judge


def test(options: argparse.Namespace) -> int:
    """Exit code 0 when every case passes, 1 when one does not, 64 without a case, 78 when a fixture
    or its rules are refused.
    """
    try:
        paths = _paths(options)
    except ConfigError as error:
        refuse(error)
        return CONFIG
    files = fixtures(paths)
    if not files:
        where = ", ".join(map(str, paths)) or "the configuration has no rules"
        print(f"no fixture (*{SUFFIX}): {where}", file=sys.stderr)
        return USAGE
    verdicts: list[Verdict] = []
    refused = 0
    for file in files:
        try:
            fixture = load_fixture(file)
        except ConfigError as error:
            refused += 1
            for problem in error.problems:
                print(told(problem))
            continue
        found = [judge(fixture, case) for case in fixture.cases]
        verdicts += found
        _tell(file, found, show=options.show)
    for path in untested(paths):
        print(f"warning: {path}: no fixture {path.stem}{SUFFIX}")
    failed = sum(bool(verdict.problems) for verdict in verdicts)
    text = f"{counted(len(verdicts), 'case')}, {len(verdicts) - failed} passed, {failed} failed"
    print(text + (f", {counted(refused, 'file')} refused" if refused else ""))
    return CONFIG if refused else 1 if failed else 0


def _paths(options: argparse.Namespace) -> list[Path]:
    """Raises ConfigError when the configuration is needed and refused."""
    if options.paths:
        return [Path(path) for path in options.paths]
    config = load_config(config_path(options))
    return [path for path in config.rule_files if path.with_name(path.stem + SUFFIX).exists()]


def _tell(file: Path, verdicts: list[Verdict], *, show: bool) -> None:
    failed = [verdict for verdict in verdicts if verdict.problems]
    print(f"{file}: {len(verdicts) - len(failed)} of {counted(len(verdicts), 'case')} passed")
    for verdict in verdicts if show else failed:
        print(f"  {'FAILED' if verdict.problems else 'passed'}: {verdict.case.name}")
        for problem in verdict.problems:
            print(f"  {problem.said(language())}")
        print("    what happened:" if verdict.happened else "    nothing happened")
        for one in verdict.happened:
            print(f"      {one}")
