"""Every shipped rule does what its cases say."""

from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.fixture import fixtures, load_fixture, untested
from gateway.profile import shipped_folder
from gateway.trial import judge

FOLDER = shipped_folder().parent / "rules"


@pytest.mark.parametrize("path", fixtures([FOLDER]), ids=lambda path: path.name)
def test_the_cases_of_a_shipped_rule_pass(path: Path) -> None:
    fixture = load_fixture(path)
    assert fixture.rules.notes == ()
    verdicts = [judge(fixture, case) for case in fixture.cases]
    assert [str(problem) for verdict in verdicts for problem in verdict.problems] == []
    assert all(case.only for case in fixture.cases)


def test_every_shipped_rule_has_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(untested([FOLDER])) == []
    assert main(["rules", "test", str(FOLDER)]) == 0
    assert "warning" not in capsys.readouterr().out
