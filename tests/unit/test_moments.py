"""The last moments of rules are kept over restarts, whatever becomes of the file."""

from pathlib import Path

import pytest

from gateway.moments import FILE, KEEP_NS, Moments


def test_what_is_kept_is_read_back_and_rules_that_are_paused_are_kept_too(tmp_path: Path) -> None:
    first = Moments(tmp_path)
    first.load()
    first.save({"a": KEEP_NS + 10, "b": 20})
    second = Moments(tmp_path)
    second.load()
    second.save({"a": KEEP_NS + 11})  # b is paused
    third = Moments(tmp_path)
    third.load()
    assert third.kept == {"a": KEEP_NS + 11, "b": 20}
    third.save({"a": 2 * KEEP_NS})  # b is gone for long
    assert third.kept == {"a": 2 * KEEP_NS}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": "x"}', b'{"a": null}', b"\xff"])
def test_a_damaged_file_is_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    moments = Moments(tmp_path)
    moments.load()
    assert moments.kept == {}
    moments.save({"a": 1})
    assert (tmp_path / FILE).read_bytes() == b'{"a":1}'


def test_without_news_nothing_is_written(tmp_path: Path) -> None:
    moments = Moments(tmp_path)
    moments.save({})
    assert not (tmp_path / FILE).exists()
