"""The audit log of a running gateway, as its operator reads it."""

import json
from pathlib import Path

import pytest

from tests.harness.compound import site
from tests.integration.test_daemon import gateway, healthy


@pytest.mark.timeout(60)
async def test_commands_refusals_resets_and_a_changed_configuration_are_in_the_log(
    tmp_path: Path,
) -> None:
    async with site(tmp_path, meters=1) as one:
        config = one.daemon.config
        await one.daemon.until(healthy)
        await one.daemon.ask("command", device="light-1", point="light.level", value=35)
        await one.daemon.ask("command", device="meter-1", point="light.level", value=1)
        with pytest.raises(ValueError, match="no-such"):
            await one.daemon.ask("reset", alarm="no-such")
        assert await one.daemon.stop() == 0
        config.write_text(config.read_text() + "# another one\n")
        await one.daemon.start()
        code, text = await gateway("audit", "list", "--json", "-c", config)
        assert code == 0, text
        lines = [json.loads(line) for line in text.splitlines()]
        found = [(x["who"].split()[0], x["what"], x["result"]) for x in lines]
        assert found == [
            ("gateway", "start", "done"), ("cli", "command", "confirmed"), ("cli", "command", "refused"),
            ("cli", "reset", "refused"), ("gateway", "config", "changed"), ("gateway", "start", "done"),
        ]  # fmt: skip
        assert lines[1]["about"]["value"] == 35
        code, text = await gateway("audit", "verify", "-c", config)
        assert (code, "the chain is whole" in text) == (0, True), text
        (log,) = (one.state_dir / "audit").glob("*.jsonl")
        log.write_bytes(log.read_bytes().replace(b'"value":35', b'"value":36'))
        code, text = await gateway("audit", "verify", "-c", config)
        assert (code, ":2: not as it was written" in text) == (1, True), text
