"""Log lines on standard error: JSON for machines, or plain for people."""

import logging
import time
from typing import Literal

import orjson

from gateway.log_writer import LineWriter, Lost


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, component, text, and the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "component": getattr(record, "component", record.name),
            "text": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps({key: _encodable(text) for key, text in line.items()}).decode()


def _encodable(text: str) -> str:
    """Names of files may hold bytes that are no UTF-8: surrogates, which JSON cannot carry."""
    return text.encode(errors="backslashreplace").decode()


class ConsoleFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        component = getattr(record, "component", record.name)
        text = f"{clock} {record.levelname:<7} {component}: {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def setup(style: Literal["json", "console"], level: str) -> None:
    """Also while it runs: with another style or level."""
    writer = _writer() or LineWriter()
    writer.setFormatter(JsonFormatter() if style == "json" else ConsoleFormatter())
    root = logging.getLogger()
    root.handlers[:] = [writer]
    root.setLevel(level.upper())
    for noisy in ("pymodbus", "aiomqtt", "mqtt", "paho"):  # they log attempts; we log transitions
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def lost() -> Lost:
    """Of the log of this process."""
    writer = _writer()
    return Lost(0, "") if writer is None else writer.lost


def _writer() -> LineWriter | None:
    return next((h for h in logging.getLogger().handlers if isinstance(h, LineWriter)), None)
