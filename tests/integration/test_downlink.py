"""Commands of a platform: done once and answered, or refused, answered and told to the audit log."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from gateway.audit_chain import newest_first
from gateway.model import Level, Quality
from gateway.sinks import downlink
from tests.harness.broker import HOST, until
from tests.harness.downlink import ORIGIN, Back, back
from tests.harness.site import GATEWAY
from tests.unit.commands_site import BARRIER, LEVEL, MODE, ON

SECOND = 1_000_000_000


async def told(one: Back) -> list[dict[str, Any]]:
    """The audit log, oldest line first."""
    assert await one.audit.settled(5)
    lines = await asyncio.to_thread(lambda: list(newest_first(one.place.directory)))
    return [dict(line.fields) for line in reversed(lines)]


async def test_an_allowed_command_is_done_confirmed_and_told_three_times(tmp_path: Path) -> None:
    async with back(tmp_path) as one:
        one.lamp.show("lamp-1", ON, True)
        answer = await one.ask(
            "lamp-1", LEVEL, 60, id="c-1", **{"if": {"point": ON, "equals": True}}
        )
        assert (answer["id"], answer["outcome"], answer["reported"]) == ("c-1", "confirmed", 60)
        assert one.lamp.writes == [("lamp-1", LEVEL, 60)]
        assert [e.attributes["outcome"] for e in one.events] == ["confirmed"]
        (line,) = await told(one)
        assert (line["who"], line["result"], line["about"]["id"]) == (
            "platform",
            "confirmed",
            "c-1",
        )
        assert answer["audit"] == {"n": line["n"], "hash": line["hash"]}, (
            "the answer vouches for its line"
        )
        async with asyncio.timeout(5):
            await one.platform.until(lambda p: p.items >= 1)


def order(**fields: object) -> bytes:
    """A good command for lamp-1, but for `fields`; None leaves one out."""
    whole = {"id": "c-1", "device": "lamp-1", "point": LEVEL, "value": 60, "not_after": str(time.time_ns() + 30 * SECOND)}  # fmt: skip
    return json.dumps({k: v for k, v in {**whole, **fields}.items() if v is not None}).encode()


def ahead(seconds: float) -> str:
    return str(time.time_ns() + round(seconds * SECOND))


# (what is sent, part of the reason)
PAYLOADS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "payload"),
    "no JSON": (lambda: b"light.level=60", "payload"),
    "cut off": (lambda: order()[:-9], "payload"),
    "not UTF-8": (lambda: order().replace(b"lamp-1", b"lamp-\xff"), "payload"),
    "a list": (lambda: b"[" + order() + b"]", "payload"),
    "a number": (lambda: b"60", "payload"),
    "null": (lambda: b"null", "payload"),
    "too long": (lambda: order(note="x" * 5000), "bytes are more than"),
    "nested without end": (lambda: b"[" * 4000, "payload"),
    "no id": (lambda: order(id=None), "id"),
    "an empty id": (lambda: order(id=""), "id"),
    "an id that is too long": (lambda: order(id="x" * 65), "id"),
    "an id with a line break": (lambda: order(id="c-1\nc-2"), "id"),
    "an id that is a number": (lambda: order(id=17), "id"),
    "no device": (lambda: order(device=None), "device"),
    "a device that is a list": (lambda: order(device=["lamp-1", "lamp-2"]), "device"),
    "all devices": (lambda: order(device="*"), "device"),
    "a device with a slash": (lambda: order(device="lamp-1/../lamp-3"), "device"),
    "an unknown device": (lambda: order(device="lamp-9"), "unknown device"),
    "no point": (lambda: order(point=None), "point"),
    "an unknown point": (lambda: order(point="light.colour"), "cannot be written"),
    "a point that is only read": (lambda: order(point="light.shown"), "cannot be written"),
    "a topic as point": (lambda: order(point="light.level/#"), "point"),
    "no value": (lambda: order(value=None), "value"),
    "a list of values": (lambda: order(value=[60]), "value"),
    "an object as value": (lambda: order(value={"light.level": 60}), "value"),
    "a text for a number": (lambda: order(value="60"), "is not a number"),
    "true for a number": (lambda: order(value=True), "is not a number"),
    "above the range": (lambda: order(value=101), "outside 0 to 100"),
    "below the range": (lambda: order(value=-1), "outside 0 to 100"),
    "a number beyond all ranges": (lambda: order(value=2**53 - 1), "outside 0 to 100"),
    "a number that JSON cannot carry": (lambda: order(value=10**400), "value"),
    "NaN": (lambda: order().replace(b"60,", b"NaN,"), "value"),
    "infinity": (lambda: order().replace(b"60,", b"Infinity,"), "value"),
    "a text of no choice": (lambda: order(point=MODE, value="maybe"), "is not one of"),
    "a text for a switch": (lambda: order(point=ON, value="on"), "is not a number"),
    "no not_after": (lambda: order(not_after=None), "not_after"),
    "a not_after that is a number": (lambda: order(not_after=time.time_ns() + SECOND), "not_after"),
    "a not_after in ISO 8601": (lambda: order(not_after="2099-01-01T00:00:00Z"), "not_after"),
    "a not_after with a sign": (lambda: order(not_after="+" + ahead(9)), "not_after"),
    "a not_after in seconds": (lambda: order(not_after=str(int(time.time()) + 30)), "ago"),
    "a moment too late": (lambda: order(not_after=ahead(-0.001)), "ago"),
    "a day too late": (lambda: order(not_after=ahead(-86_400)), "ago"),
    "beyond max_life": (lambda: order(not_after=ahead(3_700)), "more than max_life"),
    "for ever": (lambda: order(not_after="9" * 19), "more than max_life"),
    "a device that is not allowed": (lambda: order(device="lamp-3"), "commands.allow"),
    "a point that is not allowed": (lambda: order(point=BARRIER, value=True), "commands.allow"),
    "another origin in the payload": (
        lambda: order(point=BARRIER, value=True, origin="elsewhere"),
        "platform may not",
    ),
    "the operator in the payload": (
        lambda: order(device="lamp-3", origin="cli", by="uid 0"),
        "platform may not",
    ),
    "a condition on what is not known": (
        lambda: order(**{"if": {"point": ON, "equals": True}}),
        "precondition",
    ),
    "a condition that is not met": (
        lambda: order(**{"if": {"point": "light.shown", "equals": 1}}),
        "precondition",
    ),
    "a condition of another type": (
        lambda: order(**{"if": {"point": "light.shown", "equals": False}}),
        "precondition",
    ),
    "half a condition": (lambda: order(**{"if": {"point": ON}}), "if.equals"),
    "a condition that is a text": (lambda: order(**{"if": "light.on"}), "if"),
}
EXPIRED = {"a not_after in seconds", "a moment too late", "a day too late"}


@pytest.mark.parametrize("name", PAYLOADS)
async def test_whatever_is_wrong_with_a_command_it_is_refused_answered_and_audited(
    tmp_path: Path, name: str
) -> None:
    payload, why = PAYLOADS[name]
    outcome = "expired" if name in EXPIRED else "refused"
    async with back(tmp_path) as one:
        one.lamp.show("lamp-1", "light.shown", 0)
        await one.platform.say("cmd", payload())
        (answer,) = await one.answers(1)
        assert (answer["outcome"], why in answer["reason"]) == (outcome, True), answer
        assert answer["id"] in {None, "c-1"} or "id" in name
        assert one.lamp.writes == []
        (line,) = await told(one)
        assert (line["who"], line["what"], line["result"]) == ("platform", "command", outcome)


def test_there_are_at_least_fifty_kinds_of_wrong_commands() -> None:
    assert len(PAYLOADS) >= 50


async def early(one: Back) -> None:
    one.clock.ok = False


async def bad_reading(one: Back) -> None:
    one.lamp.show("lamp-1", ON, True, Quality(Level.UNCERTAIN, "retained"))


async def old_reading(one: Back) -> None:
    one.lamp.show("lamp-1", ON, True, age_s=3600)


async def no_audit(one: Back) -> None:
    one.audit.failing = "No space left on device"


async def held_by_fire(one: Back) -> None:
    one.hold(LEVEL, 100, 1)


@pytest.mark.parametrize(
    ("before", "outcome", "why"),
    [
        (early, "refused", "clock is not right yet"),
        (bad_reading, "refused", "uncertain: retained"),
        (old_reading, "refused", "was last read 3600 s ago"),
        (no_audit, "refused", "the audit log cannot be written"),
        (held_by_fire, "overridden", "higher priority"),
    ],
)
async def test_what_the_gateway_itself_is_not_ready_for_is_refused(
    tmp_path: Path, before: Callable[[Back], Awaitable[None]], outcome: str, why: str
) -> None:
    async with back(tmp_path) as one:
        one.lamp.show("lamp-1", ON, True)
        await before(one)
        answer = await one.ask("lamp-1", LEVEL, 60, **{"if": {"point": ON, "equals": True}})
        assert (answer["outcome"], why in answer["reason"]) == (outcome, True), answer
        assert one.lamp.writes == []


async def test_a_retained_command_is_refused(tmp_path: Path) -> None:
    """Live it is a command as any other (MQTT 5 3.3.1.3), at each connect after that it is old."""
    async with back(tmp_path) as one:
        await one.platform.say("cmd", order(id="c-1"), retain=True)
        assert (await one.answers(1))[0]["outcome"] == "confirmed"
        name = f"{GATEWAY}-{ORIGIN}"  # takes the place of the gateway, which connects again
        async with aiomqtt.Client(
            HOST, one.port, identifier=name, protocol=aiomqtt.ProtocolVersion.V5
        ):
            pass
        answer = (await one.answers(2))[1]
        assert (answer["outcome"], "retained" in answer["reason"]) == ("refused", True)
        assert len(one.lamp.writes) == 1


async def test_repeats_are_answered_with_the_first_outcome_and_not_done_again(
    tmp_path: Path,
) -> None:
    async with back(tmp_path) as one:
        assert (await one.ask("lamp-1", LEVEL, 60, id="c-1"))["outcome"] == "confirmed"
        again = await one.ask("lamp-1", LEVEL, 60, id="c-1")
        assert (again["outcome"], again.get("earlier")) == ("refused", "confirmed")
        other = await one.ask("lamp-2", LEVEL, 10, id="c-1")
        assert (other["outcome"], other.get("earlier")) == ("refused", "confirmed")
        one.lamp.go.clear()
        await one.platform.command("lamp-2", LEVEL, 30, id="c-2")
        under_way = await one.ask("lamp-2", LEVEL, 30, id="c-2")
        assert under_way.get("earlier") == "under way"
        one.lamp.go.set()
        assert (await one.answers(5))[-1]["outcome"] == "confirmed"
    async with back(tmp_path) as one:
        again = await one.ask("lamp-1", LEVEL, 60, id="c-1")
        assert (again["outcome"], again.get("earlier")) == ("refused", "confirmed")
        assert one.lamp.writes == []


async def test_what_was_refused_once_is_not_done_when_it_comes_again(tmp_path: Path) -> None:
    async with back(tmp_path) as one:
        one.lamp.show("lamp-1", ON, False)
        wish = {"if": {"point": ON, "equals": True}, "id": "c-1"}
        assert (await one.ask("lamp-1", LEVEL, 60, **wish))["outcome"] == "refused"
        one.lamp.show("lamp-1", ON, True)
        again = await one.ask("lamp-1", LEVEL, 60, **wish)
        assert (again["outcome"], again.get("earlier"), one.lamp.writes) == (
            "refused",
            "refused",
            [],
        )


async def test_a_flood_is_cut_down_and_told_in_two_lines(tmp_path: Path) -> None:
    async with back(tmp_path, rate=60, burst=3) as one:
        for number in range(10):
            await one.platform.command("lamp-3", LEVEL, number)
        reasons = [answer["reason"] for answer in await one.answers(10)]
        assert sum("more than 60 commands a minute" in reason for reason in reasons) == 7
        one.downlink._allowance._tokens = 1.0  # as after a second
        assert (await one.ask("lamp-1", LEVEL, 5))["outcome"] == "confirmed"
        assert len(await told(one)) == 3 + 2 + 1
        assert (await told(one))[-2]["about"]["commands"] == 7


async def test_what_is_kept_of_commands_is_bounded_and_what_goes_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands under way, answers that wait for the connection, ids that were answered."""
    for name, most in (("UNDER_WAY", 2), ("OUTBOX", 10), ("ANSWERED", 3)):
        monkeypatch.setattr(downlink, name, most)
    async with back(tmp_path) as one:
        one.lamp.go.clear()
        for device in ("lamp-1", "lamp-2"):
            await one.platform.command(device, LEVEL, 60)
        refused = await one.ask("lamp-1", ON, True)
        assert (refused["outcome"], refused["reason"]) == ("refused", "2 commands are under way")
        one.lamp.go.set()
        await one.answers(3)
        await until(lambda: not one.downlink._outbox)
        for number in range(15):  # in one turn of the loop
            one.downlink._answer({"id": f"a-{number}", "outcome": "refused"})
        ids = [answer["id"] for answer in (await one.answers(13))[3:]]
        assert ids == [f"a-{number}" for number in range(5, 15)]
        assert one.downlink.counters["answers_dropped"] == 5
        for number in range(5):
            await one.ask("lamp-3", LEVEL, number)
        assert len(one.downlink._answered) == 3


async def test_a_result_that_nobody_hears_on_its_topic_comes_in_lane_0(
    tmp_path: Path,
) -> None:
    async with back(tmp_path) as one:
        one.lamp.go.clear()
        await one.platform.command("lamp-1", LEVEL, 60, id="c-1")
        async with asyncio.timeout(5):
            while not one.lamp.writes:
                await asyncio.sleep(0.01)
        one.platform.vanish()
        one.lamp.go.set()
        async with asyncio.timeout(5):
            while not one.events:
                await asyncio.sleep(0.01)
        assert one.events[-1].attributes["outcome"] == "confirmed"
        await until(lambda: one.downlink.counters["answers_unheard"] == 1)
        one.platform.come_back()
        async with asyncio.timeout(10):
            await one.platform.until(lambda p: p.items >= 1)  # the event, in lane 0


def published_acl() -> str:
    """The access list of docs/upstream.md; its platform has no name here."""
    page = (Path(__file__).parents[2] / "docs" / "upstream.md").read_text(encoding="utf-8")
    text = page.split("An access list for the platform's broker")[1].split("```")[1]
    gateways, platforms = text.split("user platform\n")
    return platforms + gateways


async def test_with_the_published_access_list_only_the_platform_commands(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text(published_acl())
    acl.chmod(0o600)
    async with back(tmp_path, acl=acl) as one:
        for user in ("intruder", "gw-test-02", GATEWAY):
            async with aiomqtt.Client(
                HOST, one.port, username=user, protocol=aiomqtt.ProtocolVersion.V5
            ) as client:
                await client.publish(f"gw/{GATEWAY}/cmd", order(id=user, value=1), qos=1)
        assert (await one.ask("lamp-1", LEVEL, 60, id="c-1"))["outcome"] == "confirmed"
        assert [answer["id"] for answer in one.platform.results] == ["c-1"]
        assert one.lamp.writes == [("lamp-1", LEVEL, 60)]
