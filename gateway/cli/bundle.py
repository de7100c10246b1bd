"""`gateway support-bundle`: what somebody who helps from afar wants to see, without secrets and names."""

import argparse
import base64
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path

from pydantic import SecretStr

from gateway.assemble import assemble
from gateway.cli.live import config_path
from gateway.cli.main import STATE_REFUSED
from gateway.document import mapping_at
from gateway.errors import ConfigError
from gateway.secret import resolve

PATIENCE_S = 30.0  # for one command
LOG_LINES = "2000"
UNIT = "community-gateway"
LEAST = 4  # characters: a shorter secret would take half of every word with it

# name of the file: words of the command, `CONFIG` is the configuration
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "status.json": ("status", "--json"), "devices.json": ("devices", "--json"),
    "alarms.json": ("alarms", "--json"), "rules.txt": ("rules", "list"),
    "store.json": ("store", "info", "--json"), "audit.jsonl": ("audit", "list", "-n", "500", "--json"),
    "configurations.txt": ("config", "history"), "configuration.yaml": ("config", "show", "--resolved"),
    "differs.txt": ("config", "diff"), "doctor.json": ("doctor", "--json"),
}  # fmt: skip
README = """\
Support bundle of a Community Gateway, made at {time} (UTC) by version {version}.

Each file is what a command of the gateway said; its exit code and what it said about itself are in
commands.txt. Left out: the values of meters and detectors, the contents of secrets, and the names that
people gave to devices ([name] stands for one). Ids of devices are in it, also where they hold the number
of a flat. Look through it before you hand it on.
"""


def run(options: argparse.Namespace) -> int:
    """Exit code 74 if it cannot be written. A gateway that does not run, or a faulty configuration, is no fault."""
    config = config_path(options)
    target = Path(options.output or f"gateway-bundle-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    hide = _hidden(config)
    try:
        with target.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            with tarfile.open(fileobj=file, mode="w:gz") as archive:
                for name, text in _parts(config):
                    _add(archive, f"{target.name.split('.')[0]}/{name}", _redacted(text, hide))
    except OSError as error:
        print(f"{target}: {error.strerror}: give another name with -o", file=sys.stderr)
        return STATE_REFUSED
    print(f"wrote {target}: look through it before you hand it on")
    return 0


def _parts(config: Path) -> Iterator[tuple[str, str]]:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    versions = {one.name: one.version for one in distributions()}
    yield "README.txt", README.format(time=stamp, version=versions.get("community-gateway", "?"))
    yield "system.txt", _system(versions)
    said = []
    for name, words in {**COMMANDS, "check.txt": ("check", str(config))}.items():
        where = () if words[0] == "check" else ("-c", str(config))
        code, out, error = _said([*_gateway(), *words, *where])
        said.append(f"gateway {' '.join(words)}: exit {code}\n{error}")
        yield name, out
    code, out, error = _said(["journalctl", "-u", UNIT, "-n", LOG_LINES, "--no-pager", "-o", "cat"])
    said.append(f"journalctl: exit {code}\n{error}")
    yield "log.jsonl", out
    yield "commands.txt", "\n".join(said)


def _gateway() -> list[str]:
    return [sys.executable, "-c", "import sys; from gateway.cli.main import main; sys.exit(main())"]


def _said(command: list[str]) -> tuple[int | str, str, str]:
    """Exit code, or why there is none, and both outputs."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)  # noqa: S603 -- our own words
    except FileNotFoundError:
        return "none: not installed here", "", ""
    except subprocess.TimeoutExpired:
        return f"none within {PATIENCE_S:.0f} s", "", ""
    return (
        done.returncode,
        done.stdout.decode(errors="replace"),
        done.stderr.decode(errors="replace"),
    )


def _system(versions: Mapping[str, str]) -> str:
    lines = [platform.platform(), f"Python {platform.python_version()}", f"uid {os.geteuid()}"]
    for path in ("/etc/os-release", "/proc/device-tree/model", "/proc/loadavg", "/proc/meminfo"):
        try:
            lines.append(Path(path).read_text(errors="replace").rstrip("\0\n"))
        except OSError as error:
            lines.append(f"{path}: {error.strerror}")
    return "\n".join([*lines, *(f"{name} {version}" for name, version in sorted(versions.items()))])


def _hidden(config: Path) -> dict[str, str]:
    """Texts that must not be in the bundle, and what stands for them."""
    try:
        document = assemble(config).document
    except ConfigError:
        return {}
    hide = {text: "[secret]" for text in _secrets(resolve(document, [])) if len(text) >= LEAST}
    for entry in mapping_at(mapping_at(document.value).get("devices")).values():
        name = mapping_at(entry).get("name")
        if isinstance(name, str) and len(name) > 1:
            hide.setdefault(name, "[name]")
    return hide


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, dict):
        for part in value.values():
            yield from _secrets(part)
    elif isinstance(value, list):
        for part in value:
            yield from _secrets(part)


def _redacted(text: str, hide: Mapping[str, str]) -> str:
    """The longest first: a name may be part of another one. Also as JSON escapes them, and in base64."""
    for word in sorted(hide, key=len, reverse=True):
        for form in _forms(word):
            text = text.replace(form, hide[word])
    return text


def _forms(word: str) -> tuple[str, ...]:
    escaped = (json.dumps(word, ensure_ascii=ascii_)[1:-1] for ascii_ in (True, False))
    return (word, *escaped, base64.b64encode(word.encode()).decode().rstrip("="))


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode(errors="replace")
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content), 0o600, int(time.time())
    archive.addfile(info, io.BytesIO(content))
