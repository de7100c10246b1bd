"""The doctor looks at the user and its files: configuration, secrets, records."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway.cli.doctor_host import FAIL, OK, WARN, Finding, Host
from gateway.cli.say import language
from gateway.config import Config, load_config
from gateway.document import Plain, load
from gateway.errors import ConfigError
from gateway.words.text import text

SHOWN = 3
CHECK = text("doctor.check.configuration")
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
            Finding(CHECK, FAIL, p.said(language()), f"gateway check {path}")
            for p in error.problems[:SHOWN]
        ]
        return None, found
    notes = [
        Finding(CHECK, WARN, p.said(language()), f"gateway check {path}")
        for p in config.notes[:SHOWN]
    ]
    return config, notes or [Finding(CHECK, OK, text("doctor.accepted", path=path))]


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
        said = text("doctor.unreadable", user=user, path=p)
        yield Finding(text("doctor.check.files"), FAIL, said, fix)
    loose = [p for p in there if named.get(p) and p.stat().st_mode & 0o007]
    for p in loose:
        said = text("doctor.open_secret", path=p)
        yield Finding(text("doctor.check.secrets"), FAIL, said, f"sudo chmod o= {p}")
    if not bad and not loose:
        yield Finding(text("doctor.check.files"), OK, text("doctor.readable", user=user))


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
    check = text("doctor.check.groups")
    for group, named in wanted.items():
        if not named or host.user.uid == 0:
            continue
        if host.user.in_group(group):
            yield Finding(check, OK, text("doctor.in_group", user=host.user.name, group=group))
        else:
            said = text("doctor.not_in_group", user=host.user.name, group=group, link=named[0])
            fix = f"sudo usermod --append --groups {group} {host.user.name} && sudo systemctl restart community-gateway"
            yield Finding(check, FAIL, said, fix)


def records(host: Host, folder: Path) -> Iterator[Finding]:
    """`sudo gateway run`, once, leaves files of root that the service cannot open."""
    check, user = text("doctor.check.records"), host.user.name
    fix = f"sudo install -d -o {user} -g {user} -m 700 {folder}"
    if not folder.exists():
        made = host.user.may("w", next(p for p in folder.parents if p.exists()))
        said = text("doctor.made" if made else "doctor.no_folder", folder=folder)
        yield Finding(check, OK if made else FAIL, said, "" if made else fix)
        return
    foreign = [p for p in (folder, *folder.rglob("*")) if p.lstat().st_uid != host.user.uid]
    if foreign:
        said = text("doctor.foreign", user=user, path=foreign[0])
        if len(foreign) > 1:
            said = text("doctor.foreign_many", user=user, path=foreign[0], more=len(foreign) - 1)
        fix = f"sudo chown -R {user}: {folder}"
        yield Finding(check, FAIL, said, fix)
    elif folder.stat().st_mode & 0o007:
        said = text("doctor.open_folder", folder=folder)
        yield Finding(check, WARN, said, f"sudo chmod o= {folder}")
    else:
        yield Finding(check, OK, text("doctor.owned", folder=folder, user=user))
