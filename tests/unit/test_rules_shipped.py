"""Every shipped rule does what its cases say."""

from pathlib import Path
from typing import Any

import pytest

import gateway.trial
import rules.load
from gateway.cli.main import main
from gateway.fixture import SUFFIX, fixtures, load_fixture, untested
from gateway.profile import shipped_folder
from gateway.trial import judge
from rules.predicate import Predicate

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


def _red() -> set[str]:
    """The fixtures of which a case fails."""
    loaded = [load_fixture(path) for path in fixtures([FOLDER])]
    return {
        Path(fixture.document.name).name.removesuffix(SUFFIX)
        for fixture in loaded
        for case in fixture.cases
        if judge(fixture, case).problems
    }


@pytest.mark.parametrize(("change", "red"), [
    ({"for_ns": 0}, {"doors", "lights-dusk", "overvoltage", "pumps", "fire-linkage", "detectors"}),
    ({"keep_ns": 0}, {"street-occupied", "pumps"}),
    ({"latch": False}, {"fire-linkage", "water"}),
    ({"on_unknown": "hold"}, {"chargers", "street-occupied"}),
])  # fmt: skip
def test_teeth_a_key_of_a_rule_that_is_ignored_is_noticed(
    change: dict[str, Any], red: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    proper = rules.load._rule
    monkeypatch.setattr(rules.load, "_rule", lambda section: proper(section)._replace(**change))
    assert red <= _red()


def test_teeth_unknown_taken_for_false_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    proper = Predicate.truth
    monkeypatch.setattr(Predicate, "truth", lambda self, values: proper(self, values) or False)
    assert {"chargers", "street-occupied"} <= _red()


def test_teeth_the_last_claim_instead_of_the_strongest_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway.trial, "_strongest", lambda claims: next(iter([*claims][:1]), None))
    assert "street-occupied" in _red()
