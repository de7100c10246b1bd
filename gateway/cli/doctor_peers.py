"""The doctor looks at the network: names, hosts, brokers and what they allow, InfluxDB."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator

from drivers.modbus.settings import ModbusLink
from drivers.mqtt.settings import MqttLink
from gateway.cli.doctor_host import FAIL, OK, WARN, Finding
from gateway.clock import SystemClock
from gateway.config import Config
from gateway.endpoint import MqttEndpoint, is_loopback
from gateway.errors import LinkDown, Refused
from gateway.mqtt import Connection, Subscription, connect
from gateway.words.text import text

REACH_S = 5.0
HEAR_S = 3.0


def peers(config: Config) -> Iterator[Finding]:
    hosts = dict(addresses(config))
    unknown = {host for host, _port in hosts.values() if not _resolves(host)}
    check = text("doctor.check.names")
    for host in sorted(unknown):
        fix = f"getent hosts {host}; resolvectl status; cat /etc/resolv.conf"
        yield Finding(check, FAIL, text("doctor.no_address", host=host), fix)
    if hosts and not unknown:
        yield Finding(check, OK, text("doctor.addresses"))
    clock = SystemClock()
    for name, link in config.links.items():
        section = link.section
        if not config.uses(name) or hosts.get(name, ("", 0))[0] in unknown:
            continue
        if isinstance(section, ModbusLink) and section.transport != "rtu":
            yield _reached(name, section.host, section.port)
        elif isinstance(section, MqttLink):
            yield from asyncio.run(_broker(name, section, config.gateway.id, clock))
    for name, upstream in config.upstream.items():
        if upstream.url.host not in unknown:
            yield asyncio.run(_platform(name, upstream, config.gateway.id, clock))
    if config.influxdb is not None and config.influxdb.url.host not in unknown:
        yield from _influx(config)


def addresses(config: Config) -> Iterator[tuple[str, tuple[str, int]]]:
    """(link or upstream, (host, port)) of everything that is reached over the network."""
    for name, link in config.links.items():
        section = link.section
        if config.uses(name) and isinstance(section, ModbusLink) and section.host:
            yield name, (section.host, section.port)
        elif config.uses(name) and isinstance(section, MqttLink):
            yield name, (section.url.host, section.url.port)
    for name, upstream in config.upstream.items():
        yield f"upstream {name}", (upstream.url.host, upstream.url.port)
    if config.influxdb is not None:
        yield "influxdb", (config.influxdb.url.host, config.influxdb.url.port)


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def _reached(link: str, host: str, port: int) -> Finding:
    check = text("doctor.check.link", link=link)
    try:
        with socket.create_connection((host, port), REACH_S):
            return Finding(check, OK, text("doctor.reached", host=host, port=port))
    except OSError as error:
        said = text("doctor.unreached", host=host, port=port, why=error.strerror or error)
        return Finding(check, FAIL, said, f"ping -c 3 {host}; nc -vz {host} {port}")


async def _broker(name: str, section: MqttLink, gateway: str, clock: SystemClock) -> list[Finding]:
    """Says something as to a device that does not exist, and listens for it as to all devices."""
    check, me = text("doctor.check.broker", link=name), f"{gateway}-doctor-{os.getpid()}"
    topic = f"d/{me}/cmd"
    try:
        async with connect(section, client_id=me, clock=clock, subscriptions=[Subscription(topic)]) as link:  # fmt: skip
            reason = await link.publish(topic, b"{}", qos=1)
            heard = reason.ok and await _hears(link)
    except (LinkDown, Refused) as error:
        return [Finding(check, FAIL, text("doctor.failed", why=error), _broker_fix(section))]
    fix = f"gateway mosquitto-config --link {name} --output /tmp/acl"
    if not reason.ok:
        return [Finding(check, FAIL, text("doctor.no_commands", why=reason.text), fix)]
    if not heard:
        return [Finding(check, FAIL, text("doctor.deaf"), fix)]
    found = [Finding(check, OK, text("doctor.broker_ok", url=section.url))]
    return found + await _strangers(check, section, me, clock, fix)


async def _hears(link: Connection) -> bool:
    try:
        async with asyncio.timeout(HEAR_S):
            link.ack(await link.receive())
    except TimeoutError:
        return False
    return True


async def _strangers(
    check: str, section: MqttLink, me: str, clock: SystemClock, fix: str
) -> list[Finding]:
    """A broker in the network must not let in who has no password."""
    if section.username is None and section.client_cert is None:
        state = WARN if is_loopback(section.url.host) else FAIL
        return [Finding(check, state, text("doctor.no_password"), fix)]
    nobody = section.model_copy(update={"username": None, "password": None})
    try:
        async with connect(nobody, client_id=f"{me}-nobody", clock=clock):
            return [Finding(check, FAIL, text("doctor.any_password"), fix)]
    except (LinkDown, Refused):
        return []


def _broker_fix(section: MqttEndpoint) -> str:
    if is_loopback(section.url.host):
        return "sudo systemctl status mosquitto; sudo journalctl -u mosquitto -n 20"
    return f"nc -vz {section.url.host} {section.url.port}; timedatectl"


async def _platform(name: str, section: MqttEndpoint, gateway: str, clock: SystemClock) -> Finding:
    """Under a name of its own: the running gateway keeps its connection."""
    check = text("doctor.check.upstream", name=name)
    wanted = [Subscription(f"gw/{gateway}/ack", qos=1)]
    try:
        me = f"{gateway}-{name}-doctor"
        async with connect(section, client_id=me, clock=clock, subscriptions=wanted):
            return Finding(check, OK, text("doctor.let_in", url=section.url))
    except (LinkDown, Refused) as error:
        return Finding(check, FAIL, text("doctor.failed", why=error), _broker_fix(section))


def _influx(config: Config) -> Iterator[Finding]:
    from gateway.cli.influx_api import Api  # noqa: PLC0415 -- for those who use it
    from gateway.cli.influx_check import NOTE, WRONG, check  # noqa: PLC0415 -- as above

    assert config.influxdb is not None  # noqa: S101 -- the caller has asked
    states = {NOTE: WARN, WRONG: FAIL}
    for found in check(Api(config.influxdb), config.gateway.id, time.time_ns()):
        state = states.get(found.state, OK)
        fix = "" if state == OK else "gateway influx check"
        yield Finding(text("doctor.check.influx", what=found.what), state, found.said, fix)
