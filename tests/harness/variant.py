"""Other releases of the gateway, made of the wheels of this one: newer ones, and broken ones."""

import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from release.lock import read

DAEMON = "gateway/cli/daemon.py"


def works(text: str) -> str:
    return text


def dies_at_once(text: str) -> str:
    return text.replace("    try:\n", "    return INTERNAL\n    try:\n", 1)


def dies_soon(text: str) -> str:
    """It comes up, and ends before it could prove itself."""
    line = "    loop = asyncio.get_running_loop()\n"
    assert line in text
    return text.replace(line, f"{line}    loop.call_later(4.0, os._exit, INTERNAL)\n", 1)


def variant(source: Path, target: Path, version: str, change: Callable[[str], str]) -> Path:
    """A copy of `source` (/usr/lib/community-gateway) as release `version`, its daemon changed."""
    shutil.copytree(source, target)
    (own,) = (target / "wheels").glob("community_gateway-*.whl")
    old = own.name.split("-")[1]
    wheel = own.with_name(own.name.replace(f"-{old}-", f"-{version}-"))
    with ZipFile(own) as before, ZipFile(wheel, "w", ZIP_DEFLATED) as after:
        for name in before.namelist():
            body = before.read(name)
            if name == DAEMON:
                body = change(body.decode()).encode()
            elif name.endswith("dist-info/METADATA"):
                body = body.replace(
                    f"\nVersion: {old}\n".encode(), f"\nVersion: {version}\n".encode()
                )
            elif name.endswith("dist-info/RECORD"):
                body = body.replace(f"-{old}.dist".encode(), f"-{version}.dist".encode())
            after.writestr(name.replace(f"-{old}.dist", f"-{version}.dist"), body)
    own.unlink()
    pins = read(target / "release.lock")
    us = pins.pop()._replace(version=version, hashes=(sha256(wheel.read_bytes()).hexdigest(),))
    (target / "release.lock").write_text("".join(pin.text() for pin in (*pins, us)))
    (target / "version").write_text(f"{version}\n")
    return target
