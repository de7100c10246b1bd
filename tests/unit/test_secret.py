"""Secrets: only from outside the file, only if nobody else can read them, never shown."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.document import Document, parse
from gateway.errors import Problem
from gateway.secret import MAX_BYTES, resolve

WORD = "geheim"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return tmp_path


def secret(path: Path, content: bytes = WORD.encode(), mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def document(folder: Path, value: str) -> Document:
    return parse(f"a:\n  - k: {value}\n".encode(), str(folder / "gateway.yaml"))


def resolved(folder: Path, value: str) -> str:
    problems: list[Problem] = []
    found = resolve(document(folder, value), problems)
    assert problems == []
    match found:
        case {"a": [{"k": SecretStr() as held}]}:
            assert WORD not in repr(found)
            return held.get_secret_value()
    raise AssertionError(found)


def refused(folder: Path, value: str) -> Problem:
    problems: list[Problem] = []
    resolve(document(folder, value), problems)
    (problem,) = problems
    assert (problem.line, problem.column, problem.path) == (2, 8, "a[0].k")
    assert problem.fix
    assert WORD not in str(problem)
    return problem


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o660])
def test_a_secret_is_read_from_a_file_beside_the_configuration(folder: Path, mode: int) -> None:
    secret(folder / "s", mode=mode)
    assert resolved(folder, "${file:s}") == WORD
    assert resolved(folder, f"${{file:{folder / 's'}}}") == WORD


@pytest.mark.parametrize(
    "content", [b"geheim\n", "g\u00e4heim 密码".encode(), b"a b\tc", b"x" * MAX_BYTES]
)
def test_one_line_of_text_is_a_secret(folder: Path, content: bytes) -> None:
    secret(folder / "s", content)
    assert resolved(folder, "${file:s}") == content.decode().removesuffix("\n")


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o606, 0o601, 0o777])
def test_a_file_that_every_user_may_touch_is_refused(folder: Path, mode: int) -> None:
    problem = refused(folder, f"${{file:{secret(folder / 's', mode=mode)}}}")
    assert "open to every user" in problem.what
    assert problem.fix.startswith("chmod o=")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"geheim\n\n",
        b"geheim\nmore",
        b"\ngeheim",
        b"x" * (MAX_BYTES + 1),
        b"geheim\xff",
    ],
)
def test_what_is_not_one_line_of_text_is_refused(folder: Path, content: bytes) -> None:
    secret(folder / "s", content)
    assert str(folder / "s") in refused(folder, "${file:s}").what


def test_a_missing_file_and_a_folder_are_refused(folder: Path) -> None:
    assert "No such file" in refused(folder, "${file:missing}").what
    (folder / "d").mkdir()
    assert "Is a directory" in refused(folder, "${file:d}").what


def test_a_name_that_no_file_can_have_is_refused(folder: Path) -> None:
    assert refused(folder, '"${file:a\\0b}"').what
    assert refused(folder, "${file:%s}" % ("n" * 300)).what


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_we_may_not_read_is_refused(folder: Path) -> None:
    secret(folder / "s", mode=0)
    assert "Permission denied" in refused(folder, "${file:s}").what


def test_a_secret_comes_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GW_TEST_SECRET", WORD)
    assert resolved(folder, "${env:GW_TEST_SECRET}") == WORD
    monkeypatch.setenv("GW_TEST_SECRET", "")
    assert "GW_TEST_SECRET is not set" in refused(folder, "${env:GW_TEST_SECRET}").what
    monkeypatch.delenv("GW_TEST_SECRET")
    assert "GW_TEST_SECRET is not set" in refused(folder, "${env:GW_TEST_SECRET}").what


def test_a_secret_comes_from_the_credentials_of_systemd(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "LoadCredential=broker" in refused(folder, "${credential:broker}").fix
    secret(folder / "broker", mode=0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert resolved(folder, "${credential:broker}") == WORD


@pytest.mark.parametrize(
    "text",
    [
        "x${env:A}",
        "${env:A}x",
        '"${env:A} "',
        "${ENV:A}",
        "${vault:A}",
        "${A}",
        '"${file:}"',
        "geheim${",
    ],
)
def test_anything_around_a_reference_is_refused(
    folder: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A", WORD)
    assert "not a reference" in refused(folder, text).what


def test_values_without_a_reference_stay_what_they_are(folder: Path) -> None:
    text = b"a: $x\nb: [1, true, null, {c: '{}'}]\n"
    plain = parse(text, str(folder / "f.yaml"))
    assert resolve(plain, []) == plain.value


def test_all_faults_come_at_once(folder: Path) -> None:
    both = parse(b"a: ${file:x}\nb: ${file:y}\n", str(folder / "f.yaml"))
    problems: list[Problem] = []
    resolve(both, problems)
    assert [problem.line for problem in problems] == [1, 2]
