"""The doctor looks at the user and its files: configuration, secrets, records."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway.cli.doctor_host import FAIL, OK, WARN, Finding, Host
from gateway.config import Config, load_config
from gateway.document import Plain, load
from gateway.errors import ConfigError

SHOWN = 3
FILE = re.compile(r"\$\{file:([^}]+)\}")
# Keys of links and upstreams that name a file (gateway/endpoint.py).
FILE_KEYS = frozenset({"ca", "client_cert", "client_key"})
SERIAL_GROUP, RADIO_GROUP = "dialout", "bluetooth"


def configuration(path: Path) -> tuple[Config | None, list[Finding]]:
    """The configuration, None if it is refused; what is wrong with it."""
    try:
        config = load_config(path)
    except ConfigError as error:
        found = [
            Finding("configuration", FAIL, str(p), f"gateway check {path}")
            for p in error.problems[:SHOWN]
        ]
        return None, found
    notes = [
        Finding("configuration", WARN, str(p), f"gateway check {path}")
        for p in config.notes[:SHOWN]
    ]
    return config, notes or [Finding("configuration", OK, f"{path} is accepted")]


def files(host: Host, path: Path, config: Config | None) -> Iterator[Finding]:
    yield from readable(host, path, () if config is None else config.files)
    if config is not None:
        yield from groups(host, config)
        yield from records(host, config.state_dir)


def readable(host: Host, path: Path, others: Sequence[Path]) -> Iterator[Finding]:
    """The daemon's user must read what root has written, and others must not read secrets."""
    named = dict(pair for file in dict.fromkeys((path, *others)) for pair in _named(file))
    user, there = host.user.name, [p for p in (path, *others, *named) if p.exists()]
    bad = [p for p in dict.fromkeys(there) if not host.user.may("r", p)]
    for p in bad:
        # The nearest folder that is shut, else the file itself.
        shut = next((f for f in p.parents if not host.user.may("x", f)), None)
        place, mode = (p, 640) if shut is None else (shut, 750)
        fix = f"sudo chgrp {user} {place} && sudo chmod {mode} {place}"
        yield Finding("files", FAIL, f"user {user} cannot read {p}", fix)
    loose = [p for p in there if named.get(p) and p.stat().st_mode & 0o007]
    for p in loose:
        yield Finding("secrets", FAIL, f"every user may read {p}", f"sudo chmod o= {p}")
    if not bad and not loose:
        yield Finding("files", OK, f"user {user} can read the configuration and its secrets")


def _named(path: Path) -> Iterator[tuple[Path, bool]]:
    """The files that a configuration names for its connections, and whether they are secret."""
    try:
        value = load(path).value
    except ConfigError:
        return
    for name, secret in _names(value):
        yield path.parent / name, secret


def _names(value: Plain) -> Iterator[tuple[str, bool]]:
    if isinstance(value, list):
        for one in value:
            yield from _names(one)
    if not isinstance(value, Mapping):
        return
    for key, one in value.items():
        if not isinstance(one, str):
            yield from _names(one)
        elif match := FILE.fullmatch(one):
            yield match[1], True
        elif key in FILE_KEYS:
            yield one, key == "client_key"


def groups(host: Host, config: Config) -> Iterator[Finding]:
    """Which groups the configured links need."""
    links = {name: link for name, link in config.links.items() if config.uses(name)}
    wanted = {
        SERIAL_GROUP: [n for n, x in links.items() if getattr(x.section, "transport", "") == "rtu"],
        RADIO_GROUP: [n for n, x in links.items() if x.spec.name == "ble"],
    }
    for group, named in wanted.items():
        if not named or host.user.uid == 0:
            continue
        if host.user.in_group(group):
            yield Finding("groups", OK, f"user {host.user.name} is in group {group}")
        else:
            said = f"user {host.user.name} is not in group {group}, which link {named[0]} needs"
            fix = f"sudo usermod --append --groups {group} {host.user.name} && sudo systemctl restart community-gateway"
            yield Finding("groups", FAIL, said, fix)


def records(host: Host, folder: Path) -> Iterator[Finding]:
    """`sudo gateway run`, once, leaves files of root that the service cannot open."""
    fix = f"sudo install -d -o {host.user.name} -g {host.user.name} -m 700 {folder}"
    if not folder.exists():
        made = host.user.may("w", next(p for p in folder.parents if p.exists()))
        said = f"{folder} is not there" + (": the first start makes it" if made else "")
        yield Finding("records", OK if made else FAIL, said, "" if made else fix)
        return
    foreign = [p for p in (folder, *folder.rglob("*")) if p.lstat().st_uid != host.user.uid]
    if foreign:
        said = f"{foreign[0]} and {len(foreign) - 1} more" if len(foreign) > 1 else str(foreign[0])
        fix = f"sudo chown -R {host.user.name}: {folder}"
        yield Finding("records", FAIL, f"of another user than {host.user.name}: {said}", fix)
    elif folder.stat().st_mode & 0o007:
        yield Finding(
            "records", WARN, f"every user may look into {folder}", f"sudo chmod o= {folder}"
        )
    else:
        yield Finding("records", OK, f"{folder} belongs to {host.user.name}")
