"""Log lines: one JSON object each, whatever is in the text."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from gateway.log_writer import LineWriter
from gateway.logs import ConsoleFormatter, JsonFormatter, setup


def record(text: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("gateway.bus", logging.WARNING, "f.py", 1, text, args, None)
    made.created, made.msecs = 1_772_391_600.25, 250.0
    for name, value in extra.items():
        setattr(made, name, value)
    return made


def with_bug() -> logging.LogRecord:
    made = record("it failed", component="link meters")
    try:
        raise ValueError("bad\nvalue")
    except ValueError:
        made.exc_info = sys.exc_info()
    return made


def line(made: logging.LogRecord) -> dict[str, Any]:
    text = JsonFormatter().format(made)
    assert "\n" not in text
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def test_a_json_line_has_time_level_component_and_text() -> None:
    assert line(record("%d samples lost: %s", 3, "store_stalled", component="bus")) == {
        "time": "2026-03-01T19:00:00.250Z",
        "level": "warning",
        "component": "bus",
        "text": "3 samples lost: store_stalled",
    }


def test_the_component_is_the_logger_unless_one_is_given() -> None:
    assert line(record("x"))["component"] == "gateway.bus"


def test_a_traceback_stays_in_its_line() -> None:
    found = line(with_bug())
    assert found["text"] == "it failed"
    assert "ValueError: bad\nvalue" in found["traceback"]


@pytest.mark.parametrize(
    "text", ['"quotes"\n\t\\', "玉华苑 ℃ 💡", "\x00\x1b[31m", "file \udcff\ud800"]
)
def test_any_text_makes_a_line(text: str) -> None:
    found = line(record("%s", text, component=text))
    encodable = text.encode("utf-8", "backslashreplace").decode()
    assert found["text"] == encodable
    assert found["component"] == encodable


def test_a_console_line_is_for_people() -> None:
    text = ConsoleFormatter().format(record("up", component="link meters"))
    assert re.fullmatch(r"\d\d:\d\d:\d\d WARNING link meters: up", text)
    assert ConsoleFormatter().format(with_bug()).endswith("ValueError: bad\nvalue")


@pytest.fixture
def untouched() -> Iterator[None]:
    """Give the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    noisy = {
        name: logging.getLogger(name).level for name in ("pymodbus", "aiomqtt", "mqtt", "paho")
    }
    yield
    for ours in root.handlers:
        if isinstance(ours, LineWriter):
            ours.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in noisy.items():
        logging.getLogger(name).setLevel(before)


@pytest.mark.parametrize("style", ["json", "console"])
def test_setup_writes_to_standard_error_from_the_level_on(
    untouched: None, style: Literal["json", "console"], capfd: pytest.CaptureFixture[str]
) -> None:
    setup(style, "info")
    setup(style, "info")  # again: still one handler
    log = logging.getLogger("gateway.test_logs")
    log.debug("hidden")
    log.info("shown", extra={"component": "c"})
    logging.getLogger("pymodbus").error("an attempt failed")
    root = logging.getLogger().handlers
    assert len(root) == 1
    root[0].flush()
    captured = capfd.readouterr()
    assert captured.out == ""
    (shown,) = captured.err.splitlines()
    assert "shown" in shown
    assert (style == "json") == shown.startswith("{")
