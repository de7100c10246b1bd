"""The documents are checked as `make docs-check` does, and the check itself is."""

import re
import shlex
from pathlib import Path

import pytest

from gateway.cli.main import main
from tests.docs.__main__ import check
from tests.docs.configuration import examples
from tests.docs.names import in_line
from tests.docs.pages import ROOT, Line, parse


def test_the_documents_are_true() -> None:
    assert check() == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[page](nothing.md)", "no file nothing.md"),
        ("[page](README.md#nothing)", "no heading for #nothing"),
        ("run `make nothing`", "no target `make nothing`"),
        ("run `gateway nothing`", "no command `gateway nothing`"),
        ("run `gateway status --nothing`", "`gateway status` has no option --nothing"),
        ("run `gateway store nothing`", "no command `gateway store nothing`"),
        ("run `gateway store info --yes`", "`gateway store info` has no option --yes"),
        ("see `test_nothing_of_this_name`", "no test test_nothing_of_this_name"),
        ("see `tests/nothing.py`", "no file tests/nothing.py"),
    ],
)
def test_what_is_not_there_is_found_with_its_line(text: str, what: str) -> None:
    (found,) = in_line(Line(ROOT / "README.md", 7, text))
    assert found.startswith("README.md:7: ")
    assert what in found


@pytest.mark.parametrize(
    "text",
    [
        "[docs](docs/modbus.md#addresses) and [a site](https://example.com/x#y)",
        "`make test`, `gateway status --json -c FILE`, `gateway.config`",
        "`gateway store retire SINK --yes`, `gateway store`",
    ],
)
def test_what_is_there_is_no_fault(text: str) -> None:
    assert list(in_line(Line(ROOT / "README.md", 7, text))) == []


def test_a_wrong_example_is_found_at_its_line() -> None:
    lines = ["version: 1", "gateway: {id: g, timezone: UTC}", "sotre: {group_commit: 2s}"]
    page = [Line(ROOT / "README.md", 8 + i, text, "yaml", 7) for i, text in enumerate(lines)]
    (found,) = examples(page)
    assert found == "README.md:10: sotre: unknown key 'sotre'"


def test_the_quick_start_of_the_readme_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = [text for line in parse(ROOT / "README.md") if line.fence for text in line.code]
    typed = [text for text in code if re.match(r"\.venv/bin/gateway (init|check) ", text)]
    assert len(typed) == 2
    for text in typed:
        assert main(shlex.split(text)[1:]) == 0
    assert "site/gateway.yaml: ok: " in capsys.readouterr().out
