"""The section `recipients`: what runs, what is refused, what a payload becomes."""

from pathlib import Path

import orjson
import pytest

from gateway.cli.main import main
from gateway.config import load_config
from gateway.recipients import RecipientSection, fill
from tests.unit.test_config import refused, write

SITE = """\
version: 1
gateway: {id: gw-demo-01, timezone: Asia/Shanghai}
links:
  meters: {driver: modbus, transport: tcp, host: 127.0.0.1, port: 5020}
  field: {driver: mqtt, url: "mqtt://127.0.0.1"}
devices:
  meter-1: {profile: eastron-sdm120, link: meters, unit: 1}
upstream:
  platform: {url: "mqtt://127.0.0.1:1884"}
  archive: {url: "mqtt://127.0.0.1:1885", lanes: [1, 2]}
recipients:
"""
GUARD = "  guard-room: {via: mqtt, link: field, topic: site/guard-room}\n"
DUTY = "  duty-manager: {via: upstream, to: platform}\n"


def test_recipients_at_a_broker_and_at_a_platform_are_taken(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, SITE + GUARD + DUTY))
    guard, duty = config.recipients["guard-room"], config.recipients["duty-manager"]
    assert (guard.link, guard.topic, guard.expires_s) == ("field", "site/guard-room", 3600)
    assert (duty.to, duty.expires_s) == ("platform", 86_400)
    assert config.uses("field")
    assert config.notes == ()  # a link without devices is in use


@pytest.mark.parametrize(
    ("entry", "path", "what", "fix"),
    [
        ("{via: mqtt, link: feild, topic: a}", "link", "unknown link 'feild'", "did you mean 'field'?"),
        ("{via: mqtt, link: meters, topic: a}", "link", "a modbus link cannot publish", "field"),
        ("{via: upstream, to: platfrom}", "to", "unknown upstream 'platfrom'", "did you mean 'platform'?"),
        ("{via: upstream, to: archive}", "to", "archive does not take lane 0", "add 0 to upstream.archive.lanes"),
        ("{via: mqtt, link: field}", "", "via mqtt needs 'topic'", "add this key"),
        ("{via: upstream, to: platform, topic: a}", "", "via upstream has no 'topic'", "remove it"),
        ("{via: mqtt, link: field, topic: site/#}", "topic", "'site/#' has wildcards", "name one topic"),
        ("{via: mqtt, link: field, topic: d/l1/state}", "topic", "belongs to devices", "choose another"),
        ("{via: mqtt, link: field, topic: a, payload: '{\"a\": 1}'}", "payload", "JSON in a text", "mapping"),
        ("{via: mqtt, link: field, topic: a, payload: '{txt}'}", "payload", "unknown part 'txt'", "did you mean 'text'?"),
        ("{via: mqtt, link: field, topic: a, payload: {a: [x, '{sverity}']}}", "payload", "unknown part", "'severity'?"),
        ("{via: mqtt, link: field, topic: a, expires: 30}", "expires", "has no unit", "30"),
        ("{via: mqtt, link: field, topic: a, expires: 8d}", "expires", "not allowed", "1s to 7d"),
        ("{via: sms, link: field}", "via", "'sms' is not allowed", "'mqtt' or 'upstream'"),
        ("{via: mqtt, link: field, topik: a}", "topik", "unknown key 'topik'", "did you mean 'topic'?"),
    ],
)  # fmt: skip
def test_a_recipient_that_cannot_be_reached_is_refused_with_the_fix(
    tmp_path: Path, entry: str, path: str, what: str, fix: str
) -> None:
    (problem, *_) = [
        p for p in refused(tmp_path, f"{SITE}  guard: {entry}\n") if p.path.startswith("recipients")
    ]
    assert problem.path == f"recipients.guard{'.' if path else ''}{path}"
    assert problem.line == 12
    assert what in problem.what
    assert fix in problem.fix


def test_a_payload_is_filled_in_and_quotes_in_a_text_stay_inside_its_json() -> None:
    text = 'Smoke in "3-1"\\ {id}'
    section = RecipientSection.model_validate(
        {"via": "mqtt", "link": "l", "topic": "t", "payload": {"a": ["{severity}: {text}", 1], "b": True}}
    )  # fmt: skip
    assert section.payload is not None
    filled = fill(section.payload, {"severity": "life", "text": text})
    assert orjson.loads(filled) == {"a": [f"life: {text}", 1], "b": True}
    assert fill("ON", {"text": text}) == b"ON"
    assert fill("{text}", {"text": "火警"}) == "火警".encode()


def test_the_brokers_access_list_lets_the_gateway_publish_to_recipients(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, SITE + GUARD + DUTY)
    assert main(["mosquitto-config", str(config)]) == 0
    assert "topic write site/guard-room" in capsys.readouterr().out
