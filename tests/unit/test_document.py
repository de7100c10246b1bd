"""YAML with positions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.document import Plain, parse, suggest
from gateway.errors import ConfigError, Problem


def problems(text: str | bytes) -> list[Problem]:
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(ConfigError) as caught:
        parse(raw, "f.yaml")
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("no", "no"), ("yes", "yes"), ("22:00", "22:00"), ("0501", "0501"), ("1:30", "1:30"),
        ("017", "017"), ("true", True), ("FALSE", False), ("null", None), ("~", None), ("12", 12), ("-3", -3),
        ("0x20", 32), ("0o17", 15), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ('"12"', "12"), ("'true'", "true"),
        (".nan", ".nan"), (".inf", ".inf"), ("2026-03-02", "2026-03-02"), ("1_000", "1_000"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Plain) -> None:
    document = parse(f"k: {text}".encode(), "f.yaml")
    assert document.value == {"k": value}
    assert type(document.value["k"]) is type(value)


def test_every_value_has_its_place() -> None:
    document = parse(b"a:\n  b:\n    - 1\n    - {c: 2}\n", "f.yaml")
    assert document.place(("a", "b", 1, "c")) == (4, 11)
    assert document.place(("a", "missing")) == (2, 3)


@pytest.mark.parametrize(
    ("text", "line", "column", "what"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "duplicate key"),
        ("a: &x 1\n", 1, 4, "anchor &x"),
        ("a: &x 1\nb: *x\n", 2, 4, "alias *x"),
        ("a: !!str 1\n", 1, 4, "tag"),
        ("a: !x {b: 1}\n", 1, 4, "tag"),
        ("<<: {b: 1}\n", 1, 1, "merge key"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second document"),
        ("a:\n\tb: 1\n", 2, 1, "not YAML"),
        ('a: "open\n', 1, 4, "not YAML"),
        ("a: [1, 2\n", 1, 4, "not YAML"),
        ("? [a]\n: 1\n", 1, 3, "key is not a plain text"),
    ],
)
def test_what_is_refused_is_refused_at_its_place(
    text: str, line: int, column: int, what: str
) -> None:
    found = problems(text)
    assert any(p.line == line and p.column == column and what in p.what for p in found), found


def test_bytes_that_are_no_yaml_text_are_refused() -> None:
    assert problems(b"\xef\xbb\xbfa: 1")[0].what.startswith("starts with a byte order mark")
    bad = problems(b"a: 1\nb: \xff")[0]
    assert (bad.line, bad.column, bad.what) == (2, 4, "not UTF-8")
    assert "U+0000" in problems(b"a: \x00")[0].what
    assert "larger" in problems(b"#" * (1 << 20) + b"#")[0].what


def test_depth_is_bounded_before_python_is() -> None:
    deep = problems("".join(f"{' ' * n}a:\n" for n in range(30)))[0]
    assert (deep.line, "deeper" in deep.what) == (22, True)
    assert problems("[" * 2000 + "]" * 2000)


def test_all_problems_come_at_once() -> None:
    assert len(problems("a: &x 1\na: 2\nb: *x\n")) == 3


def test_a_near_name_is_suggested() -> None:
    assert suggest("polll", ["poll", "unit"]) == "did you mean 'poll'?"
    assert suggest("zzz", ["poll", "unit"]) == "write one of poll, unit"


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(max_size=200), st.text(alphabet="ab:-[]{}&*!#'\"\n \t,?|>%<0x1", max_size=80))
)
def test_any_text_gives_a_value_or_problems(text: str) -> None:
    try:
        parse(text.encode("utf-8", "surrogatepass"), "f.yaml")
    except ConfigError as error:
        assert error.problems
        assert all(p.line >= 0 and p.fix for p in error.problems)
