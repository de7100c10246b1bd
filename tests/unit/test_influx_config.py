"""The `influxdb:` section: what is refused, and that nothing of the client is loaded without it."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from gateway.config import Config, load_config
from gateway.errors import ConfigError
from gateway.sinks.influx_settings import HttpUrl, InfluxSection
from simulators.demo import _prepare

FILE = """\
version: 1
gateway: {{id: gw-1, timezone: Asia/Shanghai, state_dir: state}}
links:
  meters: {{driver: modbus, host: 127.0.0.1, port: 1}}
devices:
  meter-1: {{profile: eastron-sdm120, link: meters, tags: {tags}}}
{more}
"""
INFLUX = 'influxdb: {{url: "{url}", org: o, bucket: b, token: "${{env:INFLUX_TEST_TOKEN}}"}}'
HERE = "http://127.0.0.1:8086"


def load(folder: Path, monkeypatch: pytest.MonkeyPatch, more: str, tags: str = "{}") -> Config:
    monkeypatch.setenv("INFLUX_TEST_TOKEN", "geheim")
    path = folder / "gateway.yaml"
    path.write_text(FILE.format(tags=tags, more=more), encoding="utf-8")
    return load_config(path)


def test_the_section_is_read_and_the_token_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(tmp_path, monkeypatch, INFLUX.format(url="https://influx.example.com"))
    assert config.influxdb is not None
    assert config.influxdb.url == HttpUrl(True, "influx.example.com", 443)
    assert str(config.influxdb.url) == "https://influx.example.com:443"
    assert not config.influxdb.url.here
    assert config.influxdb.token.get_secret_value() == "geheim"
    assert "geheim" not in repr(config)
    here = load(tmp_path, monkeypatch, INFLUX.format(url=HERE)).influxdb
    assert here is not None
    assert here.url.here
    assert load(tmp_path, monkeypatch, "").influxdb is None


@pytest.mark.parametrize(
    ("url", "what"),
    [("http://192.0.2.1:8086", "not encrypted"), ("mqtt://127.0.0.1", "no HTTP URL"),
     ("https://h/api/v2", "more than host and port"), ("https://u:geheim@h", "use the key token"), (5, "no URL")],
)  # fmt: skip
def test_other_urls_are_refused(url: object, what: str) -> None:
    with pytest.raises(ValidationError, match=what) as caught:
        InfluxSection.model_validate(
            {"url": url, "org": "o", "bucket": "b", "token": SecretStr("t")}
        )
    assert "geheim" not in str(caught.value.errors(include_input=False))


@pytest.mark.parametrize(
    ("more", "tags", "what"),
    [
        (INFLUX.format(url=HERE), "{device: x}", "devices.meter-1.tags.device: 'device' is a name"),
        (INFLUX.format(url=HERE), '{zone: "a\\nb"}', "devices.meter-1.tags.zone: 'a\\nb' has a character"),
        ('influxdb: {url: "http://127.0.0.1", org: o, bucket: b, token: geheim}', "{}", "a secret in plain text"),
        ('upstream: {influxdb: {url: "mqtt://127.0.0.1"}}', "{}", "'influxdb' is a reserved name"),
    ],
)  # fmt: skip
def test_what_would_hold_the_sink_is_refused_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, tags: str, what: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, monkeypatch, more, tags)
    assert what in str(caught.value)


def test_tags_are_free_without_influxdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(tmp_path, monkeypatch, "", "{device: x}").devices


@pytest.mark.parametrize("package", ["influxdb_client", "aiohttp"])
def test_without_the_package_the_file_is_refused_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not there
    with pytest.raises(ConfigError, match=r"install community-gateway\[influx\]"):
        load(tmp_path, monkeypatch, INFLUX.format(url=HERE))
    assert load(tmp_path, monkeypatch, "").influxdb is None


def test_the_demonstration_writes_to_the_influxdb_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"URL": HERE, "TOKEN": "geheim", "BUCKET": 'a "b"'}.items():
        monkeypatch.setenv(f"INFLUX_{name}", value)
    path = _prepare(tmp_path)
    assert "geheim" not in path.read_text()
    section = load_config(path).influxdb
    assert section is not None
    assert (str(section.url), section.org, section.bucket) == (HERE, "demo", 'a "b"')
    assert section.token.get_secret_value() == "geheim"


RUN = """\
import asyncio, sys
from pathlib import Path
import gateway.cli.main, gateway.cli.daemon, gateway.cli.simulate
from gateway.app import App
from gateway.config import load_config

async def main():
    stop = asyncio.Event()
    stop.set()
    app = App(load_config(Path(sys.argv[1])), loop_name="asyncio")
    await app.run(stop)
    print(*app.upstreams)

asyncio.run(main())
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"influxdb_client", "aiohttp", "reactivex"}))
"""


@pytest.mark.parametrize(
    ("more", "said"),
    [("", ["", ""]), (INFLUX.format(url="http://127.0.0.1:1"), ["influxdb", "aiohttp influxdb_client reactivex"])],
)  # fmt: skip
def test_only_a_gateway_with_influxdb_loads_its_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, said: list[str]
) -> None:
    load(tmp_path, monkeypatch, more)
    command = [sys.executable, "-c", RUN, str(tmp_path / "gateway.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == said


@pytest.mark.parametrize("ack_lag", ["121s", "-1s", "10"])
def test_a_lag_that_the_journal_cannot_serve_is_refused(ack_lag: str) -> None:
    keys = {"url": HERE, "org": "o", "bucket": "b", "token": SecretStr("t")}
    assert InfluxSection.model_validate({**keys, "ack_lag": "2m"}).ack_lag == 120
    with pytest.raises(ValidationError):
        InfluxSection.model_validate({**keys, "ack_lag": ack_lag})
