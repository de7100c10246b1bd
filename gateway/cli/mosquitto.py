"""`gateway mosquitto-config`: the broker's configuration and access list, from the gateway's own."""

import argparse
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from drivers.mqtt.grants import EVERYBODY, GATEWAY_USER, Grants, of_devices, of_gateway
from drivers.mqtt.settings import MqttLink
from gateway.cli.live import config_path
from gateway.cli.main import CONFIG, USAGE
from gateway.cli.say import refuse
from gateway.config import Config, load_config
from gateway.errors import ConfigError

CONF, ACL = "mosquitto.conf", "mosquitto.acl"
FOLDER = "/etc/mosquitto"
MADE = (
    "# Made by `gateway mosquitto-config`: change the gateway's configuration and make it anew.\n"
)
PLAIN, SECURE = "listener 1883 127.0.0.1", "listener 8883 192.168.50.1"  # as configs/mosquitto.conf
SHOWN_USERS = 3


class Broker(NamedTuple):
    """One MQTT link and the users of its broker, the gateway first."""

    name: str
    link: MqttLink
    users: list[Grants]


class _UsageError(Exception):
    """Nothing was written; says why and what to do."""


def mosquitto(options: argparse.Namespace) -> int:
    try:
        broker = _broker(load_config(config_path(options)), options.link)
        conf, acl = configuration(broker.link), access_list(broker)
        if options.output is None:
            print(f"# --- {FOLDER}/{CONF}\n{conf}\n# --- {FOLDER}/{ACL}\n{acl}", end="")
        else:
            _write(Path(options.output), {CONF: conf, ACL: acl})
    except ConfigError as error:
        refuse(error)
        return CONFIG
    except _UsageError as error:
        print(error, file=sys.stderr)
        return USAGE
    # Beside the files when these go to standard output.
    print(_next(broker, options.output), file=sys.stderr if options.output is None else sys.stdout)
    return 0


def _broker(config: Config, wanted: str | None) -> Broker:
    links = {n: x.section for n, x in config.links.items() if isinstance(x.section, MqttLink)}
    name = wanted or (next(iter(links)) if len(links) == 1 else None)
    if name is None or name not in links:
        named = ", ".join(links) or "none"
        what = f"no MQTT link '{name}'" if name else "which MQTT link is meant is not clear"
        raise _UsageError(f"{config.path}: {what}: give --link, one of: {named}")
    devices = config.devices_of(name)
    told = [str(one.topic) for one in config.recipients.values() if one.link == name]
    return Broker(name, links[name], [of_gateway(links[name], devices, told), *of_devices(devices)])


def configuration(link: MqttLink) -> str:
    """The shipped file, listening where the link looks for the broker."""
    text = files("configs").joinpath(CONF).read_text(encoding="utf-8")
    url = link.url
    listener = f"listener {url.port} {url.host}"
    return MADE + text.replace(SECURE if url.tls else PLAIN, listener)


def access_list(broker: Broker) -> str:
    """Who may use which topic; what is not written here nobody may."""
    gateway, *devices = broker.users
    lines = [
        f"# Users of link {broker.name}: {', '.join(user.user for user in broker.users)}", "",
        "# A device (%u is its user name) sends below its own name only, and reads the commands and",
        "# acknowledgements meant for it. So no device can speak as another.",
        *_topics("pattern", EVERYBODY), "",
    ]  # fmt: skip
    for user in (gateway, *devices):
        if user.write or user.read:
            lines += [f"user {user.user}", *_topics("topic", user), ""]
    return MADE + "\n".join(lines)


def _topics(word: str, user: Grants) -> list[str]:
    write = [f"{word} write {topic}" for topic in user.write]
    return write + [f"{word} read {topic}" for topic in user.read]


def _write(folder: Path, texts: dict[str, str]) -> None:
    """Raises _UsageError; overwrites only what this command has written before."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in texts:
            path = folder / name
            if path.exists() and not path.read_text(encoding="utf-8").startswith(MADE):
                raise _UsageError(f"{path} was not made by this command: move it away; nothing was written")  # fmt: skip
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise _UsageError(f"{folder}: {error.strerror}: give a folder that can be written") from error  # fmt: skip


def _next(broker: Broker, folder: str | None) -> str:
    gateway, *devices = broker.users
    source = folder or "."
    lines = [
        f"next, on the broker's machine as root; change the lines marked CHANGE in {CONF} first:",
        f"  install -m 644 {source}/{CONF} {source}/{ACL} {FOLDER}/",
        f"  mosquitto_passwd -c {FOLDER}/passwd {gateway.user}   # it asks for the password",
        *(f"  mosquitto_passwd {FOLDER}/passwd {user.user}" for user in devices[:SHOWN_USERS]),
    ]
    if len(devices) > SHOWN_USERS:
        left = len(devices) - SHOWN_USERS
        lines.append(
            f"  ... and so for {left} more: each `user` of {ACL} has a password of its own"
        )
    lines += ["  systemctl restart mosquitto", *_credentials(broker)]
    return "\n".join(lines)


def _credentials(broker: Broker) -> Sequence[str]:
    if broker.link.username is not None:
        return ()
    keys = f'username: {GATEWAY_USER}, password: "${{file:secrets/{broker.name}}}"'
    return (f"the broker lets nobody in without a password: add to link {broker.name}: {keys}",)
