"""References to secrets: `${file:PATH}`, `${env:NAME}`, `${credential:NAME}`. Nothing else holds one."""

import os
import stat
from pathlib import Path

from pydantic import SecretStr

from gateway.document import Document, Path_, Plain
from gateway.errors import Problem
from gateway.redact import remember
from gateway.settings import REFERENCE
from gateway.words.text import fault

MAX_BYTES = 4096  # the longest secret in use is a PEM-encoded key pair's password or a 2 KB token


class _UnusableError(Exception):
    """(what is wrong, how to fix it); stays inside this module."""


def resolve(document: Document, problems: list[Problem]) -> object:
    """The document's value with every reference replaced by a `SecretStr`.

    Adds a problem for each one that cannot be resolved; its message never holds content.
    """
    return _resolve(document, (), document.value, problems)


def _resolve(document: Document, path: Path_, value: Plain, problems: list[Problem]) -> object:
    if isinstance(value, dict):
        return {k: _resolve(document, (*path, k), v, problems) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolve(document, (*path, i), v, problems) for i, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        secret = _read(value, document.folder_of(path))
    except _UnusableError as error:
        problems.append(document.problem(path, *error.args))
        return SecretStr("")
    remember(secret)
    return SecretStr(secret)


def _read(reference: str, folder: Path) -> str:
    match = REFERENCE.fullmatch(reference)
    if not match:
        raise _UnusableError(*fault("secret.reference"))
    kind, name = match.groups()
    if kind == "env":
        if not os.environ.get(name):
            raise _UnusableError(*fault("secret.environment", name=name))
        return os.environ[name]
    if kind == "credential":
        where = os.environ.get("CREDENTIALS_DIRECTORY")  # systemd.exec(5), LoadCredential=
        if not where:
            raise _UnusableError(*fault("secret.credentials", name=name))
        return _file(Path(where, name))
    return _file(Path(folder, name))


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise _UnusableError(*fault("secret.file", path=str(path), why=why)) from error
    if mode & stat.S_IRWXO:
        raise _UnusableError(*fault("secret.open", path=str(path)))
    try:
        text = raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise _UnusableError(*fault("secret.encoding", path=str(path))) from error
    if not text or "\n" in text or len(raw) > MAX_BYTES:
        raise _UnusableError(*fault("secret.lines", path=str(path)))
    return text
