"""The schemas that editors use: true of every shipped file, and they find what is wrong."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.cli.main import main
from gateway.document import load
from gateway.schema import KINDS, schema

CONFIGS = Path(__file__).parents[2] / "configs"
LINE = "# yaml-language-server: $schema="
SHIPPED = [path for path in sorted(CONFIGS.rglob("*.yaml")) if path.name != "asyncapi.yaml"]
VALIDATORS = {kind: Draft202012Validator(schema(kind)) for kind in KINDS}


def told(path: Path) -> str:
    """The schema that the first line of a file names."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(LINE), f"{path}: begin with {LINE}../schema/KIND.json"
    return first.removeprefix(LINE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_one(kind: str) -> None:
    Draft202012Validator.check_schema(schema(kind))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(CONFIGS).as_posix())
def test_a_shipped_file_names_its_schema_and_keeps_it(path: Path) -> None:
    name = told(path)
    beside = "profiles" if path.name == "profile.yaml" else ""  # where it is copied to
    assert (path.parent / beside / name).resolve().parent == CONFIGS / "schema"
    errors = list(VALIDATORS[Path(name).stem].iter_errors(load(path).value))
    assert not errors, errors[0].message


METER = {"profile": "eastron-sdm120", "link": "m", "unit": 1}
LINK = {"driver": "modbus", "host": "127.0.0.1"}
RULE = {"id": "x", "when": "it.alarm.smoke"}
# (kind of file, what stands in it, what the schema says of it: "" if it is right)
WRITTEN: list[tuple[str, dict[str, Any], str]] = [
    ("gateway", {"devices": {"m-1": METER | {"poll": "10s"}}}, ""),
    ("gateway", {"devices": {"m-1": METER | {"poll": {"fast": "10s"}}}}, ""),
    ("gateway", {"devices": {"m-{n}": METER | {"for": {"n": [1]}, "unit": "{n}"}}}, ""),
    ("gateway", {"devices": {"m-1": METER | {"unti": 1}}}, "not valid under any"),
    ("gateway", {"links": {"m": LINK}}, ""),
    ("gateway", {"links": {"m": LINK | {"hots": 1}}}, "'hots' was unexpected"),
    ("gateway", {"links": {"m": {"driver": "modbsu"}}}, "'modbsu' is not one of"),
    ("gateway", {"links": {"m": {"driver": "mqtt", "url": "mqtt://x", "password": "${file:x}"}}}, ""),
    ("gateway", {"store": {"group_commit": "10s", "telemetry_quota": "2GB"}}, ""),
    ("gateway", {"sotre": {}}, "'sotre' was unexpected"),
    ("rules", {"rules": [RULE]}, ""),
    ("rules", {"rules": [RULE | {"for": "10s", "alarm": {"severity": "life"}}]}, ""),
    ("rules", {"rules": [RULE | {"whne": "x"}]}, "'whne' was unexpected"),
    ("rules", {"rules": [RULE | {"alarm": {"severity": "awful"}}]}, "awful"),
    ("rules", {"rules": [{"id": "x", "at": "07:30"}]}, ""),
    ("cases", {"devices": {}, "tests": [{"name": "x", "inptu": []}]}, "'inptu' was unexpected"),
    ("profile", {"profile": "x", "ponits": []}, "'ponits' was unexpected"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "said"), WRITTEN)
def test_a_schema_finds_what_is_misspelt(kind: str, value: dict[str, Any], said: str) -> None:
    messages = [error.message for error in VALIDATORS[kind].iter_errors(value)]
    if said:
        assert any(said in message for message in messages), messages
    else:
        assert messages == []


def test_init_puts_the_schemas_where_the_files_look_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path)]) == 0
    assert (tmp_path / told(tmp_path / "gateway.yaml")).is_file()
    capsys.readouterr()
    assert main(["schema", "rules"]) == 0
    assert capsys.readouterr().out == (tmp_path / "schema" / "rules.json").read_text()
