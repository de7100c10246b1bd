"""The report of a drill: what it holds, how it is shown, and the folder where reports are kept."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict, cast

import orjson

from gateway.store.identity import sync_directory

FOLDER = "drills"
_GOOD = frozenset({"confirmed", "replaced", "delivered", "logged", "over", "true"})
KEPT = 200  # reports, the newest: years of monthly drills


class DrillStep(TypedDict):
    """One thing that was done. `what`: write, tell, log or wait; `ms`: until its answer."""

    what: str
    target: str  # device.point, a recipient, a time or a condition
    value: object
    outcome: str
    reason: str
    reported: object
    ms: float | None


class DrillReport(TypedDict):
    """`id` is the event of the drill; `ok`: every write was confirmed and everybody told."""

    id: str
    instance: str
    title: str
    by: str
    dry: bool
    started: str  # ISO 8601, UTC
    took_s: float
    ok: bool
    steps: list[DrillStep]


def entry(
    what: str, target: str, outcome: str, value: object = None, *, reason: str = "",
    ms: float | None = None,
) -> DrillStep:  # fmt: skip
    """Of which the device has reported nothing."""
    return {
        "what": what, "target": target, "value": value, "outcome": outcome, "reason": reason,
        "reported": None, "ms": ms,
    }  # fmt: skip


def good(step: DrillStep) -> bool:
    """It went as it should."""
    return step["outcome"] in _GOOD


def page(report: DrillReport) -> Iterator[str]:
    """For people, line by line."""
    kind = "dry drill: nothing was done" if report["dry"] else "drill"
    yield f"{report['instance']}: {report['title']}"
    yield f"  {kind}, {report['started']}, {report['by']}, {report['took_s']:.1f} s"
    for one in report["steps"]:
        value = "" if one["what"] in {"log", "wait"} else f" = {one['value']}"
        ms = "" if one["ms"] is None else f", {one['ms']:.0f} ms"
        why = f": {one['reason']}" if one["reason"] else ""
        yield f"  {one['what']:6}{one['target']}{value}  {one['outcome']}{ms}{why}"
    if not report["dry"]:
        yield "  passed" if report["ok"] else "  FAILED"


def keep(state_dir: Path, report: DrillReport) -> None:
    """As JSON and as text, on disk on return; the oldest of more than 200 go. Raises OSError."""
    folder = state_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    text = "\n".join(page(report)) + "\n"
    _write(folder / f"{report['id']}.txt", text.encode())
    _write(folder / f"{report['id']}.json", orjson.dumps(report, option=orjson.OPT_INDENT_2))
    sync_directory(folder)
    for old in sorted(folder.glob("*.json"))[:-KEPT]:  # UUIDv7: by time
        old.with_suffix(".txt").unlink(missing_ok=True)
        old.unlink()


def kept(state_dir: Path) -> list[DrillReport]:
    """Newest first. Raises OSError, or ValueError which names the file that is damaged."""
    found = []
    for path in sorted((state_dir / FOLDER).glob("*.json"), reverse=True):
        try:
            found.append(cast("DrillReport", orjson.loads(path.read_bytes())))
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{path}: {error}: remove it") from error
    return found


def _write(path: Path, content: bytes) -> None:
    """The whole file or none: its name comes last."""
    new = path.with_suffix(f"{path.suffix}.new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
