"""simulators.broker: the broker of the demonstration."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest

from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.settings import MqttDevice, MqttLink
from gateway.driver import Device
from gateway.endpoint import MqttEndpoint
from gateway.errors import LinkDown
from gateway.mqtt import Subscription, connect
from simulators import broker as launcher
from simulators.broker import BrokerError, broker, listens
from tests.harness.broker import HOST
from tests.harness.clock import FakeClock
from tests.harness.ports import free_port
from tests.harness.recorder import Recorder
from tests.integration.test_mqtt_driver import LAMP, LIGHT
from tests.integration.test_mqtt_driver import running as driving

LAMP_SECTION = MqttDevice.model_validate(
    {"profile": "streetlight-native", "link": "field", "topic_id": "b3-01"}
)


@pytest.mark.both_loops
@pytest.mark.parametrize("kind", ["mosquitto", "iotcore"])
async def test_either_broker_keeps_what_the_gateway_has_not_acked(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "iotcore":
        monkeypatch.setattr(launcher, "mosquitto", lambda: None)
    async with broker(HOST, free_port(), tmp_path / "broker") as running:
        assert running.kind == kind
        there = MqttEndpoint.model_validate({"url": f"mqtt://{HOST}:{running.port}"})
        for dup in (False, True):
            async with connect(
                there,
                client_id="gateway",
                clock=FakeClock(),
                session_expiry_s=60,
                subscriptions=(Subscription("d/#"),),
            ) as connection:
                if not dup:
                    assert (await connection.publish("d/1/event", b"x")).ok
                async with asyncio.timeout(5):
                    message = await connection.receive()
                assert (message.payload, message.qos) == (b"x", 1)
    assert not await listens(HOST, running.port)


async def test_the_broker_dies_with_a_program_that_is_killed(tmp_path: Path) -> None:
    port = free_port()
    program = (
        "import asyncio; from pathlib import Path; from simulators.broker import broker\n"
        "async def main():\n"
        f"    async with broker('{HOST}', {port}, Path('{tmp_path}')):\n"
        "        print('ready', flush=True); await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=PIPE, stdin=DEVNULL
    )
    assert process.stdout
    assert await process.stdout.readline() == b"ready\n"
    process.kill()
    await process.wait()
    async with asyncio.timeout(5):
        while await listens(HOST, port):
            await asyncio.sleep(0.01)


async def test_what_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokerError, match=r"192\.0\.2\.1 is no loopback address"):
        async with broker("192.0.2.1", 1883, tmp_path):
            pass
    async with await asyncio.start_server(lambda _r, writer: writer.close(), HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BrokerError, match=f"{HOST}:{port} is in use"):
            async with broker(HOST, port, tmp_path):
                pass
    monkeypatch.setattr(launcher, "loopback_config", lambda *_: "nonsense\n")
    with pytest.raises(BrokerError, match=r"ended at once: .*nonsense"):
        async with broker(HOST, free_port(), tmp_path):
            pass
    monkeypatch.setattr(launcher, "mosquitto", lambda: None)
    monkeypatch.setitem(sys.modules, "iotcore", None)
    with pytest.raises(BrokerError, match="no MQTT broker: install Mosquitto"):
        async with broker(HOST, free_port(), tmp_path):
            pass


async def test_a_broker_that_hangs_up_when_it_is_asked_for_its_counters_is_used_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "mosquitto", lambda: None)
    async with broker(HOST, free_port(), tmp_path / "broker") as running:
        assert running.kind == "iotcore"
        section = MqttLink.model_validate(
            {"driver": "mqtt", "url": f"mqtt://{HOST}:{running.port}"}
        )
        driver = MqttDriver("field", section, [Device(LIGHT, LAMP, LAMP_SECTION)], FakeClock())
        with pytest.raises(LinkDown, match="dropped"):
            await driver.run(Recorder())
        async with driving(driver, Recorder()):
            assert driver.health.connects == 1
