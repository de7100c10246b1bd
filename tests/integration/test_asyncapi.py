"""configs/asyncapi.yaml describes what really goes over the wire."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import jsonschema
import pytest
import yaml

from drivers.mqtt import native
from gateway.model import Command, Severity
from gateway.sinks.encode import MAX_PAYLOAD
from simulators.platform import platform
from tests.harness.broker import HOST, Mosquitto
from tests.harness.compound import site as site_of_all
from tests.harness.site import GATEWAY, running, site

DOCUMENT = Path(__file__).parents[2] / "configs" / "asyncapi.yaml"


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    with DOCUMENT.open(encoding="utf-8") as file:
        loaded: dict[str, Any] = yaml.safe_load(file)
    return loaded


def validator(contract: dict[str, Any], name: str) -> jsonschema.Draft202012Validator:
    schema = {"$ref": f"#/components/schemas/{name}", "components": contract["components"]}
    return jsonschema.Draft202012Validator(schema)


def schema_of(contract: dict[str, Any], topic: str) -> str:
    """The name of the schema for a topic, by the address of its channel."""
    parts = topic.split("/")
    for channel in contract["channels"].values():
        address = channel["address"].split("/")
        if len(address) == len(parts) and all(
            a == p or a.startswith("{") for a, p in zip(address, parts, strict=True)
        ):
            [message] = channel["messages"].values()
            name = message["$ref"].rsplit("/", 1)[1]
            reference: str = contract["components"]["messages"][name]["payload"]["$ref"]
            return reference.rsplit("/", 1)[1]
    raise AssertionError(f"{topic} is in no channel")


class Tap:
    """Everything that a broker delivers under gw/, by topic."""

    def __init__(self) -> None:
        self.seen: defaultdict[str, list[bytes]] = defaultdict(list)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)

    def all(self, end: str) -> list[Any]:
        return [json.loads(p) for t, ps in self.seen.items() if t.endswith(end) for p in ps]


def tapped(broker: Mosquitto) -> AbstractAsyncContextManager[Tap]:
    return tapped_at(broker.port)


@asynccontextmanager
async def tapped_at(port: int) -> AsyncIterator[Tap]:
    tap = Tap()

    async def listen(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            tap.seen[message.topic.value].append(bytes(message.payload))

    async with aiomqtt.Client(HOST, port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe("gw/#", qos=1)
        task = asyncio.create_task(listen(client))
        yield tap
        task.cancel()
        await asyncio.wait({task})


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for entry in node:
            yield from references(entry)


def test_the_document_is_complete_in_itself(contract: dict[str, Any]) -> None:
    assert contract["asyncapi"] == "3.0.0"
    for reference in references(contract):
        node: Any = contract
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node, reference
    for name in contract["components"]["schemas"]:
        jsonschema.Draft202012Validator.check_schema(contract["components"]["schemas"][name])
    used = {op["channel"]["$ref"].rsplit("/", 1)[1] for op in contract["operations"].values()}
    assert used == set(contract["channels"])


async def test_the_traffic_of_the_sink_and_the_platform_is_as_published(
    contract: dict[str, Any], tmp_path: Path
) -> None:
    async with (
        Mosquitto(tmp_path / "broker") as broker,
        site(tmp_path / "state") as place,
        tapped(broker) as tap,
        platform(HOST, broker.port, GATEWAY, log=tmp_path / "log") as far,
    ):
        far.refuse(lambda i: "unknown" if i.get("attributes", {}).get("number") == 3 else None)
        place.events(10)
        place.event(text="x" * MAX_PAYLOAD)
        place.events(3, Severity.OPERATIONAL)
        await place.samples(300, bad=True)
        await place.samples(1)
        sink = place.sink(broker.url, lanes=[0, 1, 2])
        async with running(sink):
            await tap.until(lambda: far.items >= 313)
            assert await sink.drain(5)
        await tap.until(lambda: [s["online"] for s in tap.all("/state")][-1:] == [False])
        for topic, payloads in tap.seen.items():
            checker = validator(contract, schema_of(contract, topic))
            for payload in payloads:
                checker.validate(json.loads(payload))
        batches = tap.all("/up/0") + tap.all("/up/1") + tap.all("/up/2")
        acks, states = tap.all("/ack"), tap.all("/state")
        assert set(tap.seen) == {
            f"gw/{GATEWAY}/{end}" for end in ("up/0", "up/1", "up/2", "ack", "state")
        }
    assert any(batch["gaps"] for batch in batches)
    assert any("quality" in item for batch in batches for item in batch["items"])
    assert any("event_id" in item for batch in batches for item in batch["items"])
    assert any(ack.get("rejects") for ack in acks)
    assert [state["online"] for state in states] == [True, False]


@pytest.mark.timeout(60)
async def test_commands_and_configurations_go_over_the_wire_as_published(
    contract: dict[str, Any], tmp_path: Path
) -> None:
    async with site_of_all(tmp_path, meters=1) as one, tapped_at(one.platform._port) as tap:
        far = one.platform
        await one.daemon.until(lambda s: s["health"]["word"] == "healthy")
        good = await far.command("light-1", "light.level", 40, hold=60)
        await far.command("light-1", "light.level", 40, id=good, hold=0.5)
        await far.command(
            "light-3", "light.level", 40, **{"if": {"point": "light.on", "equals": True}}
        )
        await tap.until(lambda: len(tap.all("/cmd/result")) == 3)
        text = one.daemon.config.read_text()
        for config in (text + "# the same\n", text.replace("profile:", "profil:")):
            await far.say("config/desired", json.dumps({"id": "r", "config": config}).encode())
            count = len(tap.all("/config/reported"))
            await tap.until(lambda: len(tap.all("/config/reported")) > count)  # noqa: B023 -- awaited
        await far.say("cmd", b"{}")
        await tap.until(lambda: len(tap.all("/cmd/result")) == 4)
    for end, least in (
        ("/cmd", 3),
        ("/cmd/result", 4),
        ("/config/desired", 2),
        ("/config/reported", 3),
    ):
        topic = f"gw/{GATEWAY}{end}"
        payloads = [p for p in tap.seen[topic] if p != b"{}"]
        assert len(payloads) >= least, topic
        for payload in payloads:
            validator(contract, schema_of(contract, topic)).validate(json.loads(payload))
    assert {r["outcome"] for r in tap.all("/cmd/result")} == {"confirmed", "refused"}
    assert any("earlier" in r for r in tap.all("/cmd/result"))
    states = [r["desired"] and r["desired"]["state"] for r in tap.all("/config/reported")]
    assert states == [None, "pending", "refused"]


async def test_the_broker_tells_the_death_of_a_gateway_that_says_no_goodbye(
    contract: dict[str, Any], tmp_path: Path
) -> None:
    async with (
        Mosquitto(tmp_path / "broker") as broker,
        site(tmp_path / "state") as place,
        tapped(broker) as tap,
    ):
        sink = place.sink(broker.url)
        async with running(sink):
            await tap.until(lambda: tap.all("/state"))
            # Who takes over a client id makes the broker drop the first connection with its will.
            async with aiomqtt.Client(
                HOST, broker.port, identifier=f"{GATEWAY}-platform",
                protocol=aiomqtt.ProtocolVersion.V5,
            ):  # fmt: skip
                await tap.until(lambda: len(tap.all("/state")) >= 2)
        states = tap.all("/state")
        assert [state["online"] for state in states][:2] == [True, False]
        for state in states:
            validator(contract, "State").validate(state)


def test_the_payloads_for_devices_are_as_published(contract: dict[str, Any]) -> None:
    command = Command("c-1", "light-1", "light.level", 60, 0, "rules")
    validator(contract, "DeviceCommand").validate(json.loads(native.encode_command(command)))
    validator(contract, "Receipt").validate(json.loads(native.encode_ack(b"id-1")))
    for payload in (b"0", b"1", b"true", b"false"):
        native.decode_online(payload)
        validator(contract, "Presence").validate(json.loads(payload))


@pytest.mark.parametrize(
    ("schema", "wrong"),
    [
        ("Report", {"id": "x"}),
        ("Report", {"id": "", "values": {"light.on": True}}),
        ("Report", {"values": {"light.on": None}}),
        ("Batch", {"v": 1}),
        ("Ack", {"epoch": 1, "lane": 0}),
        ("Ack", {"epoch": 1, "lane": 7, "seq": 1}),
        ("State", {"v": 1, "gw": "gw-1", "online": True}),
    ],
)
def test_what_lacks_a_required_key_is_refused(
    contract: dict[str, Any], schema: str, wrong: object
) -> None:
    assert not validator(contract, schema).is_valid(wrong)
