"""The arguments of `gateway profile`; cheap to import, for every start of the command line."""

import argparse
from collections.abc import Callable
from typing import Any


def add(
    commands: Any,
    command: Callable[..., argparse.ArgumentParser],
    _config_option: Callable[[Any], None],
) -> None:
    """`gateway profile WORK`."""
    text = "Make and check device profiles."
    profile = command(commands, "profile", "profile:check", text, "gateway profile check m1.yaml")
    works = profile.add_subparsers(metavar="WORK", required=True, dest="work")

    text = "Write a commented profile to start from."
    example = "gateway profile new acme-m1 --from eastron-sdm120"
    new = command(works, "new", "profile:new", text, example)
    new.add_argument("name", metavar="NAME", help="of the profile; the file is NAME.yaml")
    text = "copy this one: a shipped profile or a file"
    new.add_argument("--from", dest="source", metavar="PROFILE", help=text)

    text = "Check profiles, run their vectors, show their points."
    example = "gateway profile check profiles/acme-m1.yaml"
    check = command(works, "check", "profile:check", text, example)
    check.add_argument("files", metavar="FILE", nargs="+")
    check.add_argument("--json", action="store_true")

    text = "Make a profile from a register table of another program."
    example = "gateway profile import --modpoll SDM120M.csv -o profiles/acme-m1.yaml"
    importer = command(works, "import", "profile:import_", text, example)
    source = importer.add_mutually_exclusive_group(required=True)
    source.add_argument("--modpoll", metavar="CSV", help="a configuration of modpoll")
    source.add_argument("--mbmap", metavar="JSON", help="a register map in the MBMap form")
    text = "with --modpoll: which device of the file"
    importer.add_argument("--device", metavar="NAME", help=text)
    importer.add_argument("-o", "--output", metavar="FILE", help="default: standard output")
