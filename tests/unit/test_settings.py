"""The building blocks of the configuration: what they take, and what they say when they refuse."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, SecretStr

from gateway.document import parse
from gateway.errors import Problem
from gateway.settings import Duration, FilePath, Id, Port, Secret, Section, Size, Text
from gateway.validate import validate


class Inner(Section):
    number: int = 0
    word: Literal["a", "b"] = "a"


class Example(Section):
    duration: Duration = 1.0
    size: Size = 1
    id: Id = "x"
    port: Port = 1
    text: Text = ""
    secret: Secret | None = None
    file: FilePath | None = None
    real: float = 0.0
    flag: bool = False
    words: list[str] = []
    inner: Inner = Inner()
    table: dict[str, Inner] = {}
    list_: Annotated[list[Inner], Field(alias="list")] = []
    must: int = 0


def read(text: str) -> tuple[Example | None, list[Problem]]:
    document = parse(text.encode(), "/etc/gateway/f.yaml")
    problems: list[Problem] = []
    found = validate(Example, document, (), document.value, problems, not_yet={"later"})
    return found, problems


def taken(text: str) -> Example:
    found, problems = read(text)
    assert problems == []
    assert found is not None
    return found


def refused(text: str) -> Problem:
    found, problems = read(text)
    assert found is None
    (problem,) = problems
    return problem


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5), ("10s", 10.0), ("1m", 60.0), ("2h", 7200.0), ("7d", 604800.0), ("1.5h", 5400.0),
        ('" 10 s "', 10.0), ("0s", 0.0), ("10 m", 600.0),
    ],
)  # fmt: skip
def test_a_duration_is_held_in_seconds(text: str, seconds: float) -> None:
    assert taken(f"duration: {text}").duration == seconds


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1B", 1), ("64kB", 64_000), ("64KB", 64_000), ("64MB", 64_000_000), ("1GB", 10**9), ("4KiB", 4096),
        ("64MiB", 64 << 20), ("1GiB", 1 << 30), ("1.5kB", 1500),
    ],
)  # fmt: skip
def test_a_size_is_held_in_bytes(text: str, size_bytes: int) -> None:
    assert taken(f"size: {text}").size == size_bytes


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("duration: 10", "10 has no unit", "10s"),
        ("duration: 1.5", "1.5 has no unit", "10s"),
        ("duration: 10S", "'10S' is not understood", "ms, s, m, h, d"),
        ("duration: -5s", "'-5s' is not understood", "10s"),
        ("duration: s", "'s' is not understood", "10s"),
        ("duration: 5s5", "not understood", "10s"),
        ("duration: １０s", "not understood", "10s"),
        ("duration: true", "True is not understood", "10s"),
        ("duration: [1]", "not understood", "10s"),
        ("duration: null", "None is not understood", "10s"),
        ("size: 64", "64 has no unit", "64MB"),
        ("size: 64mb", "'64mb' is not understood", "MiB"),
        ("id: Meter", "'Meter' is no id", "a-z"),
        ("id: -a", "no id", "beginning with a letter"),
        ('id: "a\\n"', "no id", "a-z"),
        ("id: é", "no id", "a-z"),
        (f"id: {'a' * 64}", "no id", "1 to 63"),
        ("port: 0", "0 is no port", "1 to 65535"),
        ("port: 65536", "65536 is no port", "1 to 65535"),
        ("port: true", "True is not a whole number", "digits"),
        ("port: 1.0", "1.0 is not a whole number", "digits"),
        ("text: 1", "1 is not a text", "quotes"),
        ("real: x", "'x' is not a number", "number"),
        ("flag: yes", "'yes' is not true or false", "write true"),
        ("flag: Off", "'Off' is not true or false", "write false"),
        ("flag: 1", "1 is not true or false", "true or false"),
        ("words: a", "'a' is not a list", "- item"),
        ("inner: a", "'a' is not a mapping", "key: value"),
        ("inner: {word: c}", "'c' is not allowed", "'a' or 'b'"),
        ("file: 5", "5 is no path", "file or folder"),
        ('file: ""', "'' is no path", "file or folder"),
        ("must: null", "None is not a whole number", "digits"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_with_a_fix(text: str, what: str, fix: str) -> None:
    problem = refused(text)
    assert what in problem.what
    assert fix in problem.fix
    assert problem.path == (
        text.split(":", maxsplit=1)[0]
        if "{" not in text
        else f"{text.split(':', maxsplit=1)[0]}.word"
    )


@pytest.mark.parametrize("text", ["duration: %ss", "size: %sMB"])
def test_an_endless_number_is_refused_and_breaks_nothing(text: str) -> None:
    assert refused(text % ("9" * 400)).what


def test_a_long_text_is_shortened_in_its_message() -> None:
    problem = refused(f"text: {'x' * 201}")
    assert "..." in problem.what
    assert len(problem.what) < 120


def test_a_relative_path_is_seen_from_the_file_that_names_it() -> None:
    assert taken("file: ca.pem").file == Path("/etc/gateway/ca.pem")
    assert taken("file: /etc/ca.pem").file == Path("/etc/ca.pem")


def test_a_secret_is_never_taken_from_the_file_itself() -> None:
    problem = refused("secret: geheim")
    assert problem.what == "a secret in plain text"
    assert "geheim" not in str(problem)
    found = Example.model_validate({"secret": SecretStr("geheim")})
    assert "geheim" not in repr(found)


def test_a_resolved_secret_where_none_belongs_is_refused_without_showing_it() -> None:
    document = parse(b"text: x", "f.yaml")
    problems: list[Problem] = []
    value = {"text": SecretStr("geheim"), "words": [SecretStr("geheim")], "inner": SecretStr("geheim")}  # fmt: skip
    assert validate(Example, document, (), value, problems) is None
    assert {problem.what for problem in problems} == {"a secret is not allowed here"}
    assert "geheim" not in "".join(map(str, problems))


@pytest.mark.parametrize(
    ("text", "path", "fix"),
    [
        ("durration: 1s", "durration", "did you mean 'duration'?"),
        ("inner: {nummer: 1}", "inner.nummer", "did you mean 'number'?"),
        ("table: {x: {wrod: a}}", "table.x.wrod", "did you mean 'word'?"),
        ("list: [{word: a}, {wort: b}]", "list[1].wort", "did you mean 'word'?"),
        ("liste: []", "liste", "did you mean 'list'?"),
        ("zzzz: 1", "zzzz", "write one of"),
    ],
)
def test_an_unknown_key_is_refused_at_its_key_with_the_nearest_known_one(
    text: str, path: str, fix: str
) -> None:
    problem = refused(text)
    key = path.rsplit(".", maxsplit=1)[-1]
    assert (problem.path, problem.column) == (path, text.rindex(key) + 1)
    assert problem.what == f"unknown key '{key}'"
    assert fix in problem.fix


def test_a_key_of_a_later_version_is_refused_as_such() -> None:
    assert refused("later: 1").what == "'later' is not in this version"


def test_every_fault_of_a_section_is_found_with_its_place() -> None:
    _, problems = read(
        "duration: 1\nport: 0\ninner:\n  number: x\n  word: c\ntable:\n  y: {number: x}\n"
    )
    assert [(problem.line, problem.column, problem.path) for problem in problems] == [
        (1, 11, "duration"), (2, 7, "port"), (4, 11, "inner.number"), (5, 9, "inner.word"), (7, 15, "table.y.number"),
    ]  # fmt: skip


def test_numbers_that_are_no_numbers_are_refused() -> None:
    for value in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="real"):
            Example.model_validate({"real": value})


def test_a_section_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Example().port = 2  # type: ignore[misc]  # this is what must fail


def test_braces_in_what_is_wrong_break_no_message() -> None:
    assert "is no id" in refused('id: "{x} ${y}"').what
