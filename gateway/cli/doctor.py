"""`gateway doctor`: everything that is easily got wrong on the machine, and how to mend it."""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson

from gateway.cli.doctor_files import configuration, files
from gateway.cli.doctor_host import FAIL, WARN, Finding, Host, user_named, user_of_service
from gateway.cli.doctor_machine import machine
from gateway.cli.live import config_path
from gateway.cli.main import USAGE
from gateway.cli.say import say
from gateway.words.text import text

VERSION = 1
CREDENTIALS = Path("/run/credentials/community-gateway.service")  # systemd.exec(5), LoadCredential=
CODES = {WARN: 1, FAIL: 2}
COLOURS = {WARN: "\x1b[33m", FAIL: "\x1b[31m"}
PLAIN = "\x1b[0m"


def run(options: argparse.Namespace) -> int:
    """Exit code 0 if all is well, 1 with warnings, 2 if something does not work."""
    user = user_named(options.user) if options.user else user_of_service()
    if user is None:
        print(say(text("doctor.no_user", name=options.user)), file=sys.stderr)
        return USAGE
    if CREDENTIALS.is_dir():  # of the running service; for root to see
        os.environ.setdefault("CREDENTIALS_DIRECTORY", str(CREDENTIALS))
    found = []
    for finding in findings(options, Host(user)):
        found.append(finding)
        if not options.json:
            show(finding)
    if options.json:
        told = {"v": VERSION, "findings": [_said(one) for one in found]}
        print(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
    return max((CODES.get(one.state, 0) for one in found), default=0)


def findings(options: argparse.Namespace, host: Host) -> Iterator[Finding]:
    """One after the other, as each is known: some wait for the network."""
    path = config_path(options)
    config, told = configuration(path)
    yield from told
    yield from files(host, path, config)
    yield from machine(host, config)
    if config is not None:
        from gateway.cli.doctor_peers import peers  # noqa: PLC0415 -- MQTT client, for what is configured
        from gateway.cli.doctor_ports import ports  # noqa: PLC0415 -- as above

        yield from ports(host, config)
        yield from peers(config)


def _said(finding: Finding) -> dict[str, str]:
    """`check` and `state` are the same in each language."""
    return {**finding._asdict(), "check": str(finding.check), "said": say(finding.said)}


def show(finding: Finding) -> None:
    colour = COLOURS.get(finding.state, "") if sys.stdout.isatty() else ""
    state = f"{say(text(f'doctor.state.{finding.state}')):4}"
    print(f"{colour}{state}{PLAIN if colour else ''} {say(finding.check)}: {say(finding.said)}")
    if finding.fix:
        print(f"       {finding.fix}")
    sys.stdout.flush()
