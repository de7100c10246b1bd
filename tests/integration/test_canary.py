"""Secrets of every kind in one configuration, and errors of every kind: none of them comes out."""

import asyncio
import base64
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import orjson
import pytest

from gateway.redact import redact, remember
from tests.harness.broker import Mosquitto, password_line
from tests.harness.daemon import Daemon
from tests.integration.test_daemon import gateway

CONFIG = """\
version: 1
gateway: {{id: gw-test-01, timezone: Asia/Shanghai, state_dir: state}}
links:
  lights: {{driver: mqtt, url: "mqtt://127.0.0.1:{port}", username: gw, password: "${{file:secrets/lights}}"}}
  radio: {{driver: ble, adapter: "DC:A6:32:11:22:33"}}
devices:
  light-1: {{profile: streetlight-native, link: lights, topic_id: l1}}
  smoke-1: {{profile: bthome-smoke, link: radio, address: "54:EF:44:E3:9C:BC", key: "${{file:secrets/key}}"}}
upstream:
  platform: {{url: "mqtt://127.0.0.1:{port}", username: up, password: "${{env:PLATFORM_PASSWORD}}"}}
  tls: {{url: "mqtts://127.0.0.1:{port}", ca: ca.pem, client_cert: gw.pem, client_key: secrets/gw.key}}
influxdb: {{url: "http://127.0.0.1:{influx}", org: o, bucket: b, token: "${{credential:influx}}"}}
log: {{format: json, level: debug}}
"""
ANSWER = "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}"  # fmt: skip


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that repeats the token in its error message."""
    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    token = next(x for x in request.split("\r\n") if x.lower().startswith("authorization"))
    body = f'{{"code": "unauthorized", "message": "no such {token}"}}'
    writer.write(ANSWER.format(len(body), body).encode())
    await writer.drain()
    writer.close()


def write_secrets(folder: Path) -> dict[str, str]:
    """By name, what must not be seen again."""
    canaries = {name: f"canary-{name}-{secrets.token_hex(8)}" for name in ("lights", "platform", "influx")}  # fmt: skip
    canaries["key"] = secrets.token_hex(16)
    for sub in ("secrets", "credentials"):
        (folder / sub).mkdir(mode=0o700)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "secrets/gw.key",
         "-out", folder / "gw.pem", "-subj", "/CN=gw", "-days", "30"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "ca.pem").write_bytes((folder / "gw.pem").read_bytes())
    canaries["private key"] = (folder / "secrets/gw.key").read_text().splitlines()[3]
    for name, path in (("lights", "secrets/lights"), ("key", "secrets/key"), ("influx", "credentials/influx")):  # fmt: skip
        (folder / path).write_text(canaries[name])
    for one in folder.rglob("*"):
        one.chmod(0o700 if one.is_dir() else 0o600)
    return canaries


def seen(canaries: Mapping[str, str], where: str, content: bytes) -> Iterator[str]:
    for name, canary in canaries.items():
        coded = base64.b64encode(canary.encode()).rstrip(b"=")
        if canary.encode() in content or coded in content:
            yield f"{name} in {where}"


@asynccontextmanager
async def running(folder: Path, canaries: Mapping[str, str], sabotage: str | None) -> AsyncIterator[Daemon]:  # fmt: skip
    async with AsyncExitStack() as stack:
        passwords = folder / "passwd"
        passwords.write_text(password_line("gw", "another") + password_line("up", "another"))
        broker = Mosquitto(folder / "broker", ["allow_anonymous false", f"password_file {passwords}"])  # fmt: skip
        await stack.enter_async_context(broker)
        server = await stack.enter_async_context(await asyncio.start_server(echo, "127.0.0.1", 0))
        path = folder / "gateway.yaml"
        influx = server.sockets[0].getsockname()[1]
        path.write_text(CONFIG.format(port=broker.port, influx=influx), encoding="utf-8")
        one = Daemon(
            path, folder / "state", sabotage=sabotage,
            under=["env", f"PLATFORM_PASSWORD={canaries['platform']}", f"CREDENTIALS_DIRECTORY={folder}/credentials"],
        )  # fmt: skip
        await one.start()
        yield one
        await one.stop()


PAGES = (
    "status --json", "config show --resolved", "audit list", "store export", "devices --values", "influx check",
)  # fmt: skip


async def printed(one: Daemon, canaries: Mapping[str, str]) -> AsyncIterator[tuple[str, bytes]]:
    """What commands say, of a right configuration and of wrong ones."""
    where = one.config.parent / "credentials"
    environment = {"PLATFORM_PASSWORD": canaries["platform"], "CREDENTIALS_DIRECTORY": str(where)}
    right = one.config.read_text(encoding="utf-8")
    for wrong in (
        right.replace('"${file:secrets/lights}"', canaries["lights"]),
        right.replace('url: "mqtts://', f'url: "mqtts://gw:{canaries["platform"]}@'),
        right.replace("${file:secrets/key}", "${file:secrets/lights}"),
    ):
        one.config.write_text(wrong, encoding="utf-8")
        answer = await one.ask("reload")
        assert answer["outcome"] == "refused"
        yield "the answer of reload", orjson.dumps(answer)
    yield "gateway check", (await gateway("check", one.config, **environment))[1].encode()
    one.config.write_text(right, encoding="utf-8")
    for line in PAGES:
        code, text = await gateway(*line.split(), "-c", one.config, **environment)
        assert (line, code) != ("config show --resolved", 64), text
        yield f"gateway {line}", text.encode()


async def leaks(folder: Path, sabotage: str | None, *, pages: bool) -> list[str]:
    """Where secrets were seen after links and upstreams were refused, and reloads and commands failed."""
    canaries = write_secrets(folder)
    found: list[str] = []
    async with running(folder, canaries, sabotage) as one:
        status = await one.until(
            lambda s: all(x["reason"] for x in (*s["links"], *s["upstream"])), timeout_s=20
        )
        found += seen(canaries, "status", orjson.dumps(status))
        process = Path("/proc", str(one.process.pid))
        found += seen(canaries, "the command line", (process / "cmdline").read_bytes())
        if pages:
            async for where, content in printed(one, canaries):
                found += seen(canaries, where, content)
    for path in (*one.state_dir.rglob("*"), one.log):
        if path.is_file():
            found += seen(canaries, path.name, path.read_bytes())
    return found


@pytest.mark.timeout(60)
async def test_no_secret_reaches_log_status_database_audit_or_any_page(tmp_path: Path) -> None:
    assert await leaks(tmp_path, None, pages=True) == []


@pytest.mark.chaos
@pytest.mark.timeout(60)
async def test_teeth_without_the_filter_a_server_that_repeats_the_token_leaks_it(
    tmp_path: Path,
) -> None:
    found = await leaks(tmp_path, "no_redaction", pages=False)
    assert any(leak.startswith("influx in") for leak in found), found


def test_what_is_redacted_is_whole_and_coded_secrets() -> None:
    remember("tiny")
    remember("a long secret")
    assert redact("tiny talk of a long secret") == "tiny talk of ***"
    assert redact(f"Basic {base64.b64encode(b'a long secret').decode()}") == "Basic ***=="
