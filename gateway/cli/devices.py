"""`gateway devices`: who is configured and how they are, what they show, and who is not configured."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import orjson

from drivers.mqtt.guess import guess, guess_topic
from drivers.mqtt.settings import TOPIC_ID
from gateway.cli import hearing_page
from gateway.cli.live import Daemon, with_daemon
from gateway.cli.main import USAGE
from gateway.document import load, mapping_at
from gateway.errors import ConfigError
from gateway.profile import Profile, find, load_profile, names
from gateway.snapshot import DeviceReadings, Snapshot, StrangerPart


class Stranger(NamedTuple):
    """Somebody unknown, the profile that fits, and the lines that make a device of it."""

    part: StrangerPart
    profile: str | None
    snippet: str | None  # None: no profile fits, or its name cannot be a topic id


def devices(options: argparse.Namespace) -> int:
    words: list[str] = options.device
    if len(words) > 2 or (len(words) == 2 and words[0] != "rekey"):
        print("write one DEVICE, or: rekey DEVICE", file=sys.stderr)
        return USAGE
    if len(words) == 2:
        return with_daemon(options, lambda daemon: _rekey(daemon, words[1]))
    if options.unknown:
        return with_daemon(options, lambda daemon: _unknown(daemon, options))
    if options.values or words:
        return with_daemon(options, lambda daemon: _values(daemon, options, *words))
    return with_daemon(options, lambda daemon: _list(daemon, options))


def _rekey(daemon: Daemon, device: str) -> int:
    daemon.ask(verb="rekey", device=device)
    print(f"{device}: its counter is forgotten, the next message counts as the first")
    return 0


def _list(daemon: Daemon, options: argparse.Namespace) -> int:
    status = cast("Snapshot", daemon.ask(verb="status"))
    parts = [*status["devices"], status["own"]]
    if options.json:
        return _json(parts)
    from gateway.cli.render import device_list, show  # noqa: PLC0415 -- 60 ms that `--json` does not need

    show(device_list(parts))
    return 0


def _values(daemon: Daemon, options: argparse.Namespace, device: str | None = None) -> int:
    answer = cast("list[DeviceReadings]", daemon.ask(verb="devices", device=device))
    if options.json:
        return _json(answer)
    from gateway.cli.render import readings, show  # noqa: PLC0415 -- as above

    show(readings(answer))
    parts = cast("Snapshot", daemon.ask(verb="status"))["devices"] if device else []
    for part in parts:
        if part["id"] == device and part["hearing"] is not None:
            print(*hearing_page.lines(part["hearing"]), sep="\n")
    return 0


def _unknown(daemon: Daemon, options: argparse.Namespace) -> int:
    parts = cast("list[StrangerPart]", daemon.ask(verb="unknown"))
    found = list(introduced(parts, daemon.config))
    if options.json:
        return _json([{**x.part, "profile": x.profile, "yaml": x.snippet} for x in found])
    from gateway.cli.render import show, strangers  # noqa: PLC0415 -- as above

    show(strangers([(x.part, x.profile) for x in found]))
    lines = [x.snippet for x in found if x.snippet is not None]
    if lines:
        print(f"\nTo make devices of them, paste below `devices:` of {daemon.config}:\n")
        print("\n".join(f"  {line}" for line in lines))
    return 0


def _json(answer: object) -> int:
    print(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
    return 0


def introduced(parts: Sequence[StrangerPart], config: Path) -> Iterator[Stranger]:
    """With a guess each, from the profiles that this configuration can use."""
    value = mapping_at(load(config).value)
    listed = value.get("profiles")
    folders = [config.parent / str(x) for x in listed] if isinstance(listed, list) else []
    profiles = list(_mqtt_profiles(folders))
    taken = set(mapping_at(value.get("devices")))
    for part in parts:
        other = guess_topic(part["topic"], part["name"], part["keys"], profiles)
        profile = other.profile if other is not None else guess(part["keys"], profiles)
        if profile is None or not TOPIC_ID.fullmatch(part["name"]):
            yield Stranger(part, profile.profile if profile else None, None)
            continue
        name = _free_id(part["name"], taken)
        taken.add(name)
        keys = f'profile: {profile.profile}, link: {part["link"]}, topic_id: "{part["name"]}"'
        if other is not None and other.captures:
            keys += f", captures: {orjson.dumps(other.captures).decode()}"  # JSON is YAML
        yield Stranger(part, profile.profile, f"{name}: {{{keys}}}")


def _mqtt_profiles(folders: Sequence[Path]) -> Iterator[Profile]:
    """Those that can be read: a faulty file is for `gateway check` to tell of."""
    for name in names(folders):
        path = find(name, folders)
        try:
            profile = load_profile(path)[0] if path is not None else None
        except ConfigError:
            continue
        if profile is not None and profile.protocol == "mqtt":
            yield profile


def _free_id(name: str, taken: set[str]) -> str:
    """A device id like `name` that nobody has."""
    base = re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")[:56] or "device"
    return next(
        x for x in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if x not in taken
    )
