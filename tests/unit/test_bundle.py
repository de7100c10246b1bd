"""`gateway support-bundle`: it holds what helps, and no secret and no name of a device."""

import base64
import json
import tarfile
from pathlib import Path

import pytest

from gateway.cli import bundle as bundle_of
from gateway.cli.main import main

CANARY = "canary-5b1e-äö"
TEXT = """\
version: 1
gateway: {id: gw-demo-01, timezone: Asia/Shanghai, state_dir: state}
links:
  lights: {driver: mqtt, url: "mqtt://127.0.0.1", username: u, password: "${file:word}"}
devices:
  lamp-1: {profile: streetlight-native, link: lights, topic_id: a, name: 王小明家门口, tags: {note: "was canary-5b1e-äö"}}
"""


def written(folder: Path, text: str) -> Path:
    (folder / "gateway.yaml").write_text(text)
    word = folder / "word"
    word.touch(mode=0o600)
    word.write_text(CANARY)
    return folder / "gateway.yaml"


def bundle(folder: Path, text: str) -> dict[str, str]:
    written(folder, text)
    target = folder / "b.tar.gz"
    assert main(["support-bundle", "-o", str(target), "-c", str(folder / "gateway.yaml")]) == 0
    assert target.stat().st_mode & 0o077 == 0
    with tarfile.open(target) as archive:
        files = {one.name: archive.extractfile(one) for one in archive.getmembers()}
        return {name.split("/")[1]: file.read().decode() for name, file in files.items() if file}


def test_it_holds_what_helps_and_neither_secrets_nor_names(tmp_path: Path) -> None:
    found = bundle(tmp_path, TEXT)
    assert {"README.txt", "system.txt", "status.json", "configuration.yaml", "commands.txt", "log.jsonl"} <= found.keys()  # fmt: skip
    assert "lamp-1" in found["configuration.yaml"]
    assert "${file:word}" in found["configuration.yaml"]
    assert "[name]" in found["configuration.yaml"]
    assert "pydantic " in found["system.txt"]
    assert "gateway status --json: exit 3" in found["commands.txt"], "no gateway runs"
    whole = "\n".join(found.values())
    assert "was [secret]" in found["configuration.yaml"], "somebody has noted it there"
    assert CANARY not in whole
    assert "王小明" not in whole


def test_secrets_and_names_are_what_is_hidden(tmp_path: Path) -> None:
    hide = bundle_of._hidden(written(tmp_path, TEXT))
    said = bundle_of._redacted(f"{CANARY}, 王小明家门口, lamp-1", hide)
    assert said == "[secret], [name], lamp-1"


def test_no_form_of_a_secret_stays() -> None:
    """As it is, as JSON escapes it, in base64: in a header of HTTP, say."""
    word = 'canary "ä王"'
    coded = base64.b64encode(word.encode()).decode().rstrip("=")
    text = f"{word} {json.dumps(word)} {json.dumps(word, ensure_ascii=False)} Basic {coded}"
    assert bundle_of._redacted(text, {word: "[secret]"}) == (
        '[secret] "[secret]" "[secret]" Basic [secret]'
    )


def test_a_secret_that_somebody_wrote_into_the_file_is_not_in_it_either(tmp_path: Path) -> None:
    """The check refuses it, and its value is in no message; what refers to another file is replaced."""
    found = bundle(tmp_path, TEXT.replace('"${file:word}"', "geheim-in-the-file"))
    assert "a secret in plain text" in found["check.txt"]
    assert "geheim-in-the-file" not in "\n".join(found.values())


def test_a_configuration_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    found = bundle(tmp_path, "version: [\n")
    assert "not YAML" in found["check.txt"] + found["commands.txt"]


def test_no_file_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.tar.gz").write_text("mine")
    (tmp_path / "gateway.yaml").write_text(TEXT)
    assert main(["support-bundle", "-o", str(tmp_path / "b.tar.gz"), "-c", str(tmp_path / "gateway.yaml")]) == 74  # fmt: skip
    assert "give another name" in capsys.readouterr().err
    assert (tmp_path / "b.tar.gz").read_text() == "mine"
