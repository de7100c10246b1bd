"""Where an MQTT peer is: encrypted beyond this machine, and nothing secret in the address."""

import pytest
from pydantic import SecretStr, ValidationError

from gateway.endpoint import MqttEndpoint, MqttUrl, is_loopback
from gateway.settings import describe

PAIR = {"client_cert": "gw.pem", "client_key": "gw.key"}


def refused(**keys: object) -> str:
    with pytest.raises(ValidationError) as caught:
        MqttEndpoint.model_validate({"url": "mqtts://h", **keys})
    (error,) = caught.value.errors()
    what, fix = describe(dict(error))
    assert fix
    return f"{what}: {fix}"


@pytest.mark.parametrize(
    ("url", "found", "shown"),
    [
        (
            "mqtts://h.example.com",
            MqttUrl(True, "h.example.com", 8883),
            "mqtts://h.example.com:8883",
        ),
        ("mqtts://h:1234/", MqttUrl(True, "h", 1234), "mqtts://h:1234"),
        ("MQTTS://H", MqttUrl(True, "h", 8883), "mqtts://h:8883"),
        ("mqtt://localhost", MqttUrl(False, "localhost", 1883), "mqtt://localhost:1883"),
        ("mqtt://127.0.0.1:18830", MqttUrl(False, "127.0.0.1", 18830), "mqtt://127.0.0.1:18830"),
        ("mqtt://127.8.8.8", MqttUrl(False, "127.8.8.8", 1883), "mqtt://127.8.8.8:1883"),
        ("mqtt://[::1]", MqttUrl(False, "::1", 1883), "mqtt://[::1]:1883"),
        ("mqtts://[2001:db8::1]:99", MqttUrl(True, "2001:db8::1", 99), "mqtts://[2001:db8::1]:99"),
    ],
)
def test_a_url_gives_host_port_and_whether_it_is_encrypted(
    url: str, found: MqttUrl, shown: str
) -> None:
    assert MqttEndpoint.model_validate({"url": url}).url == found
    assert str(found) == shown


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("mqtt://192.0.2.1", "not encrypted: write mqtts://192.0.2.1:8883"),
        ("mqtt://localhost.example.com", "not encrypted"),
        ("mqtt://0.0.0.0", "not encrypted"),
        ("http://h", "no MQTT URL"),
        ("h:1883", "no MQTT URL"),
        ("mqtts://", "no MQTT URL"),
        ("mqtts://:8883", "no MQTT URL"),
        ("", "no MQTT URL"),
        ("mqtts://h:0", "no MQTT URL"),
        ("mqtts://h:65536", "no URL: write e.g. mqtts://host:8883, with a port of 1 to 65535"),
        ("mqtts://h:x", "no URL"),
        ("mqtts://[::1", "no URL"),
        ("mqtts://h/topic", "more than host and port"),
        ("mqtts://h?x=1", "more than host and port"),
        ("mqtts://h#x", "more than host and port"),
        (5, "5 is no URL"),
        (None, "None is no URL"),
    ],
)
def test_other_urls_are_refused(url: object, what: str) -> None:
    assert what in refused(url=url)


@pytest.mark.parametrize(
    "url", ["mqtts://u:geheim@h", "mqtts://u:geheim@h:99999", "http://u:geheim@h", "mqtt://u:geheim@192.0.2.1", "mqtts://geheim@h", "mqtts://u:geh@geheim@h", "mqtts://u:geheim/@h"]
)  # fmt: skip
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    assert "geheim" not in refused(url=url)


@pytest.mark.parametrize("keys", [{"client_cert": "a"}, {"client_key": "a"}])
def test_a_client_certificate_needs_its_key(keys: dict[str, object]) -> None:
    assert "go together" in refused(**keys)


def test_a_password_needs_a_user_but_a_user_needs_none() -> None:
    assert "password without username" in refused(password=SecretStr("geheim"))
    assert MqttEndpoint.model_validate({"url": "mqtts://h", "username": "u"}).password is None
    whole = {"url": "mqtts://h", "username": "u", "password": SecretStr("geheim"), **PAIR}
    assert "geheim" not in repr(MqttEndpoint.model_validate(whole))


@pytest.mark.parametrize(
    ("host", "here"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("10.0.0.1", False), ("h", False), ("", False)],
)  # fmt: skip
def test_loopback_is_this_machine_only(host: str, here: bool) -> None:
    assert is_loopback(host) is here
