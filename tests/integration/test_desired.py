"""A platform proposes a configuration: kept, checked, reported, and applied by the operator alone."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import AuditLog
from gateway.audit_chain import newest_first
from gateway.errors import BadData
from gateway.sinks.desired import MAX_BYTES, Desired
from simulators.platform import Platform
from tests.harness.clock import FakeClock
from tests.harness.compound import Site, site
from tests.harness.ports import free_port
from tests.integration.test_daemon import gateway, healthy


async def propose(one: Site, payload: bytes) -> dict[str, Any]:
    """Send it, and get what the gateway reports of it."""
    before = one.platform.reported
    await one.platform.say("config/desired", payload, retain=True)
    async with asyncio.timeout(20):
        await one.platform.until(lambda p: p.reported is not before)
    found: dict[str, Any] = one.platform.reported["desired"]
    return found


def wish(text: str, **more: object) -> bytes:
    return json.dumps({"id": "rev-1", "config": text, **more}).encode()


async def audited(one: Site) -> list[tuple[object, object]]:
    lines = await asyncio.to_thread(lambda: list(newest_first(one.state_dir)))
    return [(line.fields["what"], line.fields["result"]) for line in reversed(lines)]


def test_a_proposal_that_is_too_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path, FakeClock())
    desired = Desired("p", tmp_path, tmp_path / "gateway.yaml", gateway_id="gw", audit=audit)
    with pytest.raises(BadData, match="more than 262144"):
        desired._read(wish("#" * MAX_BYTES))


@pytest.mark.timeout(90)
async def test_what_is_no_configuration_for_this_gateway_is_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    async with site(tmp_path, meters=1) as one:
        await one.daemon.until(healthy)
        text = one.daemon.config.read_text()
        secret = tmp_path / "secret.yaml"
        secret.write_text("rules: [{id: x, password: hunter2}]\n")
        cases = [
            (b"{", "payload"),
            (b'{"id": "rev-1"}', "config"),
            (wish("a: [", sha256="0" * 64), "not YAML"),
            (wish(text, sha256="0" * 64), "sha256 of config is"),
            (wish(text, id="x" * 65), "id"),
            (wish(text.replace("gw-test-01", "gw-test-02")), "it is for gateway 'gw-test-02'"),
            (wish(text.replace("eastron-sdm630", "eastron-sdm999")), "unknown profile"),
            (
                wish(text.replace("rules: [", f"rules: [{secret}, ")),
                "problems in its rules and profiles: ",
            ),
        ]
        for payload, why in cases:
            answer = await propose(one, payload)
            assert answer["state"] == "refused", answer
            assert why in answer["errors"][0]["what"], answer
            assert "hunter2" not in json.dumps(answer)
        assert one.daemon.config.read_text() == text
        told = [result for what, result in await audited(one) if what == "desired"]
        assert told == ["refused"] * len(cases)


@pytest.mark.timeout(90)
async def test_a_good_proposal_waits_for_the_operator_and_is_reported_as_applied(
    tmp_path: Path,
) -> None:
    async with site(tmp_path, meters=1) as one:
        config = one.daemon.config
        await one.daemon.until(healthy)
        assert await gateway("config", "desired", "-c", config) == (1, "no platform has sent a configuration\n")  # fmt: skip
        old = config.read_text()
        new = old.replace("topic_id: l3", "topic_id: l4").replace("log:", "reload: {rollback_after: 1s}\nlog:")  # fmt: skip
        answer = await propose(one, wish(new))
        digest = hashlib.sha256(new.encode()).hexdigest()
        assert answer == {"id": "rev-1", "sha256": digest, "errors": [], "state": "pending"}
        assert config.read_text() == old
        code, text = await gateway("config", "desired", "-c", config)
        assert (code, "+reload: {rollback_after: 1s}" in text) == (0, True), text
        code, text = await gateway("config", "desired", "-o", tmp_path / "wish.yaml", "-c", config)
        assert (code, (tmp_path / "wish.yaml").read_text()) == (0, new), text
        code, text = await gateway("config", "desired", "--apply", "-c", config)
        assert (code, config.read_text()) == (0, new), text
        assert (tmp_path / "gateway.yaml.before").read_text() == old
        assert "links changed: lights" in text or "confirmed" in text
        async with asyncio.timeout(15):
            await one.platform.until(lambda p: p.reported["running"]["sha256"] == digest)
        assert one.platform.reported["desired"]["state"] == "applied"
        assert ("reload", "applied") in await audited(one)
        assert (await audited(one)).count(("desired", "pending")) == 1, "retained, it came again"


@pytest.mark.timeout(90)
async def test_a_wish_with_which_a_link_stays_down_is_taken_back_file_and_all(
    tmp_path: Path,
) -> None:
    async with site(tmp_path, meters=1) as one:
        await one.daemon.until(healthy)
        old = one.daemon.config.read_text()
        lights = f"mqtt://127.0.0.1:{one.lights_port}"
        new = old.replace(lights, f"mqtt://127.0.0.1:{free_port()}")
        new = new.replace("log:", "reload: {rollback_after: 1s}\nlog:")
        assert (await propose(one, wish(new)))["state"] == "pending"
        code, text = await gateway("config", "desired", "--apply", "-c", one.daemon.config)
        assert (code, "link lights was up" in text) == (1, True), text
        assert one.daemon.config.read_text() == old


async def platform_applies(tmp_path: Path, sabotage: str | None = None) -> None:
    async with site(tmp_path, meters=1, sabotage=sabotage) as one:
        config = one.daemon.config
        await one.daemon.until(healthy)
        old = config.read_text().replace("config: true", "config: apply")
        old = old.replace("log:", "reload: {rollback_after: 1s}\nlog:")
        config.write_text(old)
        assert (await one.daemon.ask("reload", wait=True))["outcome"] == "confirmed"
        new = old.replace("topic_id: l3", "topic_id: l4")
        digest = hashlib.sha256(new.encode()).hexdigest()
        await one.platform.say("config/desired", wish(new), retain=True)
        async with asyncio.timeout(20):
            await one.platform.until(lambda p: states(p) == ("applied", digest))
        assert config.read_text() == new
        lights = f"mqtt://127.0.0.1:{one.lights_port}"
        bad = new.replace(lights, f"mqtt://127.0.0.1:{free_port()}")
        await one.platform.say("config/desired", wish(bad, id="rev-2"), retain=True)
        async with asyncio.timeout(20):
            await one.platform.until(lambda p: states(p) == ("rolled_back", digest))
        assert config.read_text() == new
        await one.daemon.until(healthy)


@pytest.mark.timeout(90)
async def test_a_platform_that_may_apply_does_so_and_what_breaks_a_link_goes_back(
    tmp_path: Path,
) -> None:
    await platform_applies(tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(90)
@pytest.mark.parametrize("sabotage", ["keep_the_wish", "never_go_back"])
async def test_teeth_a_wish_that_is_not_taken_back_file_and_all_is_noticed(
    tmp_path: Path, sabotage: str
) -> None:
    with pytest.raises((AssertionError, TimeoutError)):
        await platform_applies(tmp_path, sabotage)


def states(platform: Platform) -> tuple[str, str]:
    """Of the newest wish, and what runs."""
    desired = platform.reported.get("desired") or {}
    return desired.get("state", ""), platform.reported["running"]["sha256"]
