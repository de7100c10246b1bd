"""`gateway mosquitto-config`, and a real Mosquitto with the access list that it makes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.cli.main import main
from tests.harness.broker import Mosquitto
from tests.harness.forger import Forger
from tests.harness.users import PASSWORD, client, guarded, made

CONFIG = """\
version: 1
gateway: {id: gw-test-01, timezone: UTC, state_dir: state}
links:
  field: {driver: mqtt, url: "mqtt://127.0.0.1:18899", username: gw}
devices:
  lamp-a: {profile: streetlight-native, link: field, topic_id: a}
  lamp-b: {profile: streetlight-native, link: field, topic_id: b}
"""
KINDS = ("state", "event", "online", "cmd", "ack", "other")
NAMES = ("a", "b", "new", "gw")
TOPICS = [f"d/{name}/{kind}" for name in NAMES for kind in KINDS]
TOPICS += ["d/a", "d", "other", "gw/gw-test-01/cmd", "gw/gw-test-01/ack"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
async def broker(config: Path) -> AsyncIterator[Mosquitto]:
    acl = await asyncio.to_thread(made, config, config.parent / "made")
    async with guarded(config.parent / "broker", acl, ["gw", "a", "b", "new"]) as running:
        yield running


async def granted(broker: Mosquitto, name: str) -> set[str]:
    """The topics that the broker lets a user publish to."""
    user = Forger(broker.port, name, PASSWORD)
    assert await user.connect() == 0
    found = {topic for topic in TOPICS if await user.publish(topic, b"x", 1) == "taken"}
    await user.close()
    return found


async def test_each_user_publishes_on_its_own_topics_only(broker: Mosquitto) -> None:
    for name in ("a", "b", "new"):
        own = {f"d/{name}/{kind}" for kind in ("state", "event", "online")}
        assert await granted(broker, name) == own
    answers = {f"d/{name}/{kind}" for name in NAMES for kind in ("cmd", "ack")}
    own = {f"d/gw/{kind}" for kind in ("state", "event", "online")}
    assert await granted(broker, "gw") == answers | own


async def test_each_device_hears_only_what_is_meant_for_it(broker: Mosquitto) -> None:
    async with client(broker, "a", "#", "d/+/cmd", "d/b/#") as lamp, client(broker, "gw", "d/#") as gateway:  # fmt: skip
        async with client(broker, "b") as other:
            await other.publish("d/b/event", b"private")
        heard = await gateway.receive()
        assert (heard.topic, heard.payload) == ("d/b/event", b"private")
        for topic in ("d/b/cmd", "d/b/ack", "d/a/cmd", "d/a/ack"):
            await gateway.publish(topic, b"x", retain=topic == "d/b/cmd")
        seen = {(await lamp.receive()).topic}
        while "d/a/ack" not in seen:
            seen.add((await lamp.receive()).topic)
    assert seen == {"d/a/cmd", "d/a/ack"}


def test_the_files_fit_the_link_and_say_how_passwords_are_made(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = config.parent / "made"
    for _ in range(2):  # what it made it may make anew
        assert main(["mosquitto-config", str(config), "--output", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "mosquitto_passwd -c /etc/mosquitto/passwd gw " in told
    assert "mosquitto_passwd /etc/mosquitto/passwd a\n" in told
    text = (folder / "mosquitto.conf").read_text()
    assert "\nlistener 18899 127.0.0.1\n" in text
    assert "\nacl_file /etc/mosquitto/mosquitto.acl\n" in text
    assert main(["mosquitto-config", str(config)]) == 0
    assert capsys.readouterr().out.endswith((folder / "mosquitto.acl").read_text())


def test_a_broker_with_tls_listens_there_and_the_gateway_gets_a_name(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace("mqtt://127.0.0.1:18899", "mqtts://192.0.2.7").replace(", username: gw", ""))  # fmt: skip
    assert main(["mosquitto-config", str(config)]) == 0
    captured = capsys.readouterr()
    assert "\nlistener 8883 192.0.2.7\n" in captured.out
    assert "\nuser gateway\n" in captured.out
    assert 'add to link field: username: gateway, password: "${file:secrets/field}"' in captured.err


def test_it_overwrites_nothing_and_asks_which_link_is_meant(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = config.parent / "mosquitto.acl"
    own.write_text("user me\n")
    assert main(["mosquitto-config", str(config), "--output", str(config.parent)]) == 64
    assert own.read_text() == "user me\n"
    assert not (config.parent / "mosquitto.conf").exists()
    assert "was not made by this command" in capsys.readouterr().err
    assert main(["mosquitto-config", str(config), "--link", "fields"]) == 64
    assert "no MQTT link 'fields': give --link, one of: field" in capsys.readouterr().err
    config.write_text(CONFIG.replace("links:", 'links:\n  more: {driver: mqtt, url: "mqtt://127.0.0.1"}'))  # fmt: skip
    assert main(["mosquitto-config", str(config)]) == 64
    assert "which MQTT link is meant is not clear" in capsys.readouterr().err


def test_other_dialects_get_what_lies_below_their_own_level(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = """\
  lamp-t: {profile: tasmota-light, link: field, topic_id: t1}
  lamp-z1: {profile: zigbee2mqtt-light, link: field, topic_id: z1, user: bridge}
  lamp-z2: {profile: zigbee2mqtt-light, link: field, topic_id: z2, user: bridge}
"""
    config.write_text(CONFIG + more)
    assert main(["mosquitto-config", str(config)]) == 0
    blocks = dict(b.split("\n", 1) for b in capsys.readouterr().out.split("\n\n") if b.startswith("user "))  # fmt: skip
    assert blocks["user t1"].splitlines() == [
        "topic write stat/t1/#", "topic write tele/t1/#", "topic read cmnd/t1/#"
    ]  # fmt: skip
    assert blocks["user bridge"].rstrip().splitlines() == [
        "topic write zigbee2mqtt/#", "topic read zigbee2mqtt/#"
    ]  # fmt: skip
    gateway = blocks["user gw"].splitlines()
    assert {"topic write cmnd/t1/Dimmer", "topic write zigbee2mqtt/z2/set"} <= set(gateway)
    assert {"topic read tele/+/STATE", "topic read zigbee2mqtt/+"} <= set(gateway)


def test_a_device_with_the_name_of_the_gateways_user_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace("topic_id: b", "topic_id: gw"))
    assert main(["mosquitto-config", str(config)]) == 78
    assert "'gw' is the gateway's own user name at this broker" in capsys.readouterr().err
