"""`gateway store` as its operator uses it: the real commands beside the real daemon, and after it."""

import asyncio
import csv
import errno
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.main import main
from tests.harness.compound import site
from tests.harness.daemon import Daemon

GATEWAY = [sys.executable, "-c", "import sys; from gateway.cli.main import main; sys.exit(main())"]


async def store(config: Path, *arguments: object, work: str) -> tuple[int, str, str]:
    """`gateway store WORK ...`: (exit code, output, errors)."""
    given = () if work == "salvage" else ("-c", str(config))
    process = await asyncio.create_subprocess_exec(
        *GATEWAY, "store", work, *map(str, arguments), *given, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "160"},
    )  # fmt: skip
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


@pytest.mark.timeout(60)
async def test_the_journal_is_looked_into_while_the_gateway_runs_and_after(tmp_path: Path) -> None:
    async with site(tmp_path) as one:
        config, daemon = one.daemon.config, one.daemon
        await daemon.until(lambda s: s["store"]["written"] > 40)
        code, text, errors = await store(config, "--json", work="info")
        assert code == 0, errors
        running = json.loads(text)
        assert (running["running"], running["gateway"]) == (True, "gw-test-01")
        assert running["lanes"][2]["records"] > 20
        code, text, errors = await store(config, work="verify")
        assert (code, "everything is accounted for" in text) == (0, True), text + errors
        code, text, errors = await store(config, "platform", "--yes", work="retire")
        assert (code, "'platform' is configured" in errors) == (1, True), text + errors
        assert await daemon.stop() == 0
        code, text, errors = await store(config, work="info")
        assert (code, "stopped" in text, "platform" in text) == (0, True, True), text + errors
        assert not list(one.state_dir.glob("*-journal"))
        code, text, errors = await store(config, "--json", work="verify")
        found = json.loads(text)
        assert (code, found["faults"]) == (0, 0), text + errors
        await asyncio.to_thread(exported_matches, config, tmp_path, found["records"])
        await retired_while_stopped_and_running(config, daemon)


def exported_matches(config: Path, folder: Path, records: int) -> None:
    """In this process: what matters is the files."""
    out, table = folder / "out", folder / "out.csv"

    def run(work: str, *arguments: object, to: Path = out) -> int:
        given = [] if work == "salvage" else ["-c", str(config)]
        return main(["store", work, *map(str, arguments), "-o", str(to), *given])

    assert run("export") == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == records
    assert run("export", "--lane", 2, "--format", "csv") == 0
    samples = [line for line in lines if line["lane"] == 2]
    points = sum(len(line["values"].keys() | line["quality"].keys()) for line in samples)
    assert len(list(csv.DictReader(out.read_text().splitlines()))) == points
    assert run("export", "--lane", 2, to=table) == 0
    assert table.read_text() == out.read_text()
    for span in (("--since", "2099-01-01"), ("--until", "1h", "--lane", 0), ("--until", "1999-12-31T00:00Z")):  # fmt: skip
        assert (run("export", *span), out.read_text()) == (0, "")
    assert run("export", "--since", "1h") == 0
    assert len(out.read_text().splitlines()) == records
    assert run("export", "--since", "yesterday") == 64
    assert run("salvage", config.parent / "state") == 0
    saved = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(saved) == records
    assert saved[0].pop("file").endswith("core.db")
    assert saved[0] == lines[0]


async def retired_while_stopped_and_running(config: Path, daemon: Daemon) -> None:
    whole = config.read_text()
    config.write_text(
        whole.replace("  platform:", "  another:").replace("origin: platform", "origin: another")
    )
    code, text, _ = await store(config, "platform", work="retire")
    assert (code, "platform: lane" in text, "add --yes" in text) == (1, True, True), text
    code, text, errors = await store(config, "platform", "--yes", work="retire")
    assert (code, "platform: retired" in text) == (0, True), text + errors
    await daemon.start()
    await daemon.until(lambda s: any(lane["acked"] for lane in s["upstream"][0]["lanes"]))
    assert await daemon.stop() == 0
    config.write_text(whole)
    await daemon.start()
    code, text, errors = await store(config, "another", "--yes", work="retire")
    assert (code, "another: retired" in text) == (0, True), text + errors
    code, text, errors = await store(config, "another", "--yes", work="retire")
    assert (code, "has no place in the journal" in errors) == (1, True)


async def test_without_a_journal_the_commands_say_so(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(
        "version: 1\ngateway: {id: gw-demo-01, timezone: Asia/Shanghai, state_dir: s}\n"
    )
    for work in ("info", "verify", "export"):
        code, _text, errors = await store(config, work=work)
        assert (code, "no journal there" in errors) == (1, True), errors
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "core.db").write_bytes(b"no database at all" * 500)
    for work in ("info", "verify", "export"):
        code, _text, errors = await store(config, work=work)
        assert (code, "cannot be read" in errors) == (74, True), errors
    code, text, _ = await store(config, tmp_path / "s", "-o", tmp_path / "out", work="salvage")
    assert (code, "not a database" in text) == (1, True), text


def test_a_progress_bar_is_shown_on_a_terminal_when_it_takes_longer() -> None:
    code = (
        "import gateway.cli.progress as p; p.PATIENCE_S = 0\n"
        "with p.progress('verifying') as advanced:\n"
        "    advanced(30, 60); advanced(30, 60)\n"
    )
    terminal, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(terminal, 4096):
                shown += part
        except OSError as error:
            assert error.errno == errno.EIO  # the other end has gone (pty(7))
    os.close(terminal)
    assert process.returncode == 0
    assert b"verifying" in shown
    assert b"60/60" in shown
