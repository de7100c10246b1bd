"""`gateway rules test`: the fixtures of rules."""

import argparse
import sys
from pathlib import Path

from gateway.cli.live import config_path
from gateway.cli.main import CONFIG, USAGE
from gateway.cli.say import language, number, refuse, say, told
from gateway.config import load_config
from gateway.errors import ConfigError
from gateway.fixture import SUFFIX, fixtures, load_fixture, untested
from gateway.trial import Verdict, judge
from gateway.words.text import text


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
        where = list(map(str, paths)) or text("cases.no_rules")
        print(say(text("cases.no_fixture", suffix=SUFFIX, where=where)), file=sys.stderr)
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
        missing = text("cases.untested", path=path, name=f"{path.stem}{SUFFIX}")
        print(f"{say(text('check.warning'))}{say(missing)}")
    failed = sum(bool(verdict.problems) for verdict in verdicts)
    _sum_up(len(verdicts), failed, refused)
    return CONFIG if refused else 1 if failed else 0


def _sum_up(cases: int, failed: int, refused: int) -> None:
    said = [text("cases.sum", cases=number(cases, "case"), passed=cases - failed, failed=failed)]
    if refused:
        said.append(text("cases.refused", files=number(refused, "file")))
    print(say(text("cases.all", parts=said)))


def _paths(options: argparse.Namespace) -> list[Path]:
    """Raises ConfigError when the configuration is needed and refused."""
    if options.paths:
        return [Path(path) for path in options.paths]
    config = load_config(config_path(options))
    return [path for path in config.rule_files if path.with_name(path.stem + SUFFIX).exists()]


def _tell(file: Path, verdicts: list[Verdict], *, show: bool) -> None:
    failed = [verdict for verdict in verdicts if verdict.problems]
    cases = number(len(verdicts), "case")
    print(say(text("cases.file", file=file, passed=len(verdicts) - len(failed), cases=cases)))
    for verdict in verdicts if show else failed:
        word = text("cases.failed" if verdict.problems else "cases.passed")
        print(f"  {say(word)}: {verdict.case.name}")
        for problem in verdict.problems:
            print(f"  {problem.said(language())}")
        print(f"    {say(text('cases.happened' if verdict.happened else 'cases.nothing'))}")
        for one in verdict.happened:
            print(f"      {one}")
