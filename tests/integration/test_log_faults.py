"""The gateway goes on whatever becomes of its log."""

import asyncio
import logging
import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.log_writer import MAX_LINES, LineWriter
from tests.harness.compound import write_config
from tests.harness.daemon import Daemon
from tests.integration.test_daemon import gateway

SIZE = 64 * 1024


def daemon(folder: Path, *under: str, sabotage: str | None = None, ready_s: float = 10) -> Daemon:
    """Of a site where nobody answers: its log has something to tell."""
    config = write_config(folder, meters=1)
    text = config.read_text(encoding="utf-8").replace("level: info", "level: debug")
    config.write_text(text, encoding="utf-8")
    return Daemon(config, folder / "state", under=under, sabotage=sabotage, ready_s=ready_s)


async def answers(one: Daemon, times: int = 5) -> None:
    for _ in range(times):
        async with asyncio.timeout(2):
            await one.status()


async def test_a_log_that_nobody_reads_is_dropped_and_counted(tmp_path: Path) -> None:
    """As with a journald that was stopped: the pipe is full, a write would wait for ever."""
    reading, writing = os.pipe()
    writer = LineWriter(writing)
    logger = logging.getLogger("tests.unread")
    logger.propagate, logger.handlers = False, [writer]
    began = asyncio.get_running_loop().time()
    for number in range(2 * MAX_LINES):
        logger.warning("%d %s", number, "x" * 200)
    assert asyncio.get_running_loop().time() - began < 1.0  # nobody waited
    assert writer.lost.lines >= MAX_LINES // 2
    lines = await asyncio.to_thread(read_all, reading, writer)
    os.close(writing)
    os.close(reading)
    told = [line for line in lines if line.endswith("lines of the log were lost")]
    assert told
    assert len([x for x in lines if x not in told]) + writer.lost.lines == 2 * MAX_LINES


def read_all(reading: int, writer: LineWriter) -> list[str]:
    os.set_blocking(reading, False)
    data = b""
    while True:
        try:
            data += os.read(reading, 65_536)
        except BlockingIOError:
            if writer._lines.empty():
                break
    writer.close()
    with suppress(BlockingIOError):
        data += os.read(reading, 1 << 20)
    return data.decode().splitlines()


async def test_without_standard_files_the_gateway_runs_and_its_journal_is_whole(
    tmp_path: Path,
) -> None:
    one = daemon(tmp_path, "sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh")
    await one.start()
    await answers(one)
    assert await one.stop() == 0
    code, text = await gateway("store", "verify", "-c", one.config)
    assert code == 0, text


async def start_on_a_full_pipe(folder: Path, sabotage: str | None) -> bool:
    """Whether the gateway comes up and answers though its log is read by nobody."""
    fifo = folder / "log"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(reading, b"x" * 4096)
    one = daemon(folder, "sh", "-c", f'exec "$@" 2>{fifo}', "sh", sabotage=sabotage, ready_s=6)
    try:
        await one.start()
        await answers(one)
    except (TimeoutError, AssertionError):
        return False
    else:
        return True
    finally:
        await one.kill()
        os.close(reading)


async def test_a_gateway_whose_log_nobody_reads_starts_and_answers(tmp_path: Path) -> None:
    assert await start_on_a_full_pipe(tmp_path, None)


@pytest.mark.chaos
async def test_teeth_a_gateway_that_waits_for_its_log_hangs(tmp_path: Path) -> None:
    assert not await start_on_a_full_pipe(tmp_path, "log_at_once")


@pytest.mark.timeout(40)
async def test_a_full_log_disk_costs_log_lines_alone(tmp_path: Path) -> None:
    disk = tmp_path / "log"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "log", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        filler = disk / "filler"
        filler.write_bytes(b"x" * SIZE)
        one = daemon(tmp_path, "sh", "-c", f'exec "$@" 2>{disk}/log', "sh")
        await one.start()
        status = await one.until(lambda s: s["log"]["lost"] > 0)
        assert status["log"]["failing"] == "No space left on device"
        assert any("log: No space left" in reason for reason in status["health"]["reasons"])
        await answers(one)
        filler.unlink()
        await one.until(lambda s: s["log"]["failing"] == "")
        assert await one.stop() == 0
        assert "lines of the log were lost" in (disk / "log").read_text(encoding="utf-8")
    finally:
        subprocess.run(["umount", str(disk)], check=False)
