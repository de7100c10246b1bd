"""`gateway probe modbus`: the real command line against simulated devices, lines and the daemon."""

import asyncio
import json
import os
import pty
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from simulators.modbus import Farm, Fault, Misbehaviour
from tests.harness.daemon import Daemon
from tests.harness.line import Line, Parts, at_once, pty_line, word
from tests.harness.modbus import ACTUATORS, SDM120, SDM630, farm_of

CONFIG = """\
version: 1
gateway: {{id: gw-probe-01, timezone: Asia/Shanghai, state_dir: state}}
links:
  meters: {{driver: modbus, host: 127.0.0.1, port: {port}}}
  rs485-1: {{driver: modbus, transport: rtu, path: {path}, baud: 115200}}
  lights: {{driver: mqtt, url: "mqtt://127.0.0.1:1"}}
devices:
  meter-1: {{profile: eastron-sdm120, link: meters, unit: 1}}
  meter-2: {{profile: eastron-sdm120, link: meters, unit: 2}}
  meter-3: {{profile: eastron-sdm630, link: rs485-1, unit: 3}}
"""
COMMAND = (sys.executable, "-c", "import sys; from gateway.cli.main import main; sys.exit(main())")
MAIN = [*COMMAND, "probe", "modbus"]


class Said(NamedTuple):
    code: int
    out: str
    err: str


async def probe(*arguments: str | Path) -> Said:
    process = await asyncio.create_subprocess_exec(
        *MAIN, *map(str, arguments), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(15):
        out, err = await process.communicate()
    return Said(process.returncode or 0, out.decode(), err.decode())


class Site(NamedTuple):
    config: Path
    farm: Farm
    line: Line
    path: Path


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    meters = ("meter-1", SDM120, 1), ("meter-2", SDM630, 2), ("act", ACTUATORS, 9)
    path = folder / "ttyUSB-test"
    (folder / "state").mkdir()
    async with farm_of(*meters) as farm, pty_line(path) as line:
        config = folder / "gateway.yaml"
        config.write_text(CONFIG.format(port=farm.port, path=path))
        yield Site(config, farm, line, path)


async def test_a_plan_is_shown_before_anything_runs(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        said = await probe("rs485-1", "-c", s.config, "--plan")
        assert said.code == 0, said.err
        assert "115200 baud 8N1, 1 device" in said.out
        assert "assumed: a device answers after 30.0 ms" in said.out
        assert "meter-3     3  every 10s         4   0x0000     18" in said.out
        assert "fast 10s" in said.out
        assert "slow 1m" in said.out
        assert "the bus is busy for" in said.out
        assert not s.line.requests
        assert not s.farm.accepted
        plan = json.loads((await probe("meters", "-c", s.config, "--plan", "--json")).out)
        [cycle, _] = plan["cycles"]
        assert (cycle["requests"], cycle["period_s"]) == (4, 10.0)  # a slow poll of one of two
        assert plan["devices"]["meter-1"]["polls"][0]["requests"][0]["count"] == 14


async def test_a_plan_with_measured_answers_says_who_did_not_answer(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        s.farm.stop("meter-2")
        said = await probe("meters", "-c", s.config, "--plan", "--live", "--timeout", "200ms")
        assert "measured: meter-1 answers after" in said.out
        assert "assumed: a device answers after 20.0 ms" in said.out
        assert "meter-2: unit 2" in said.err
        assert "no answer within" in said.err


async def test_registers_are_shown_with_everything_that_they_may_mean(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        s.farm.set_voltage("meter-1", 230.5)
        said = await probe("meters", "-c", s.config, "--read", "1", "input", "0x0000", "2")
        assert said.code == 0, said.err
        assert "unit 1, input 0x0000, 2 registers\nhex: 4366 8000" in said.out
        assert re.search(r"0x0000   f32   ABCD +230.5\n", said.out)
        assert "hint: 0x0000 looks like 230.5 V: type f32, order ABCD" in said.out
        uri = f"tcp://127.0.0.1:{s.farm.port}"
        said = await probe(uri, "--read", "1", "input", "0", "--type", "f32", "--json")
        assert json.loads(said.out)["data"] == [0x4366, 0x8000]
        said = await probe(uri, "--read", "1", "input", "2000")
        assert said.code == 1
        assert "exception 2 (illegal data address: it has no such register)" in said.out
        said = await probe(uri, "--read", "9", "coil", "7", "2")
        assert "0x0007   0\n0x0008   0" in said.out


async def test_a_scan_finds_the_units_that_answer(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        said = await probe("meters", "-c", s.config, "--scan", "1-9", "--timeout", "50ms")
        assert said.code == 0, said.err
        assert "unit 1 (meter-1) answers in" in said.out
        assert "unit 9 answers in" in said.out
        assert "3 of 9 units answered\nround trips: 3," in said.out
        said = await probe("meters", "-c", s.config, "--scan", "20-21", "--timeout", "50ms")
        assert (said.code, said.out) == (1, "0 of 2 units answered\n")


async def test_the_profile_of_a_unit_is_found_and_the_line_to_configure_it(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        said = await probe(f"tcp://127.0.0.1:{s.farm.port}", "--identify", "1")
        assert said.code == 0, said.err
        assert "eastron-sdm120 (Eastron SDM120) fits: its identity register says so" in said.out
        assert f"  bus-1: {{driver: modbus, transport: tcp, host: 127.0.0.1, port: {s.farm.port}}}" in said.out  # fmt: skip
        assert "  meter-1: {profile: eastron-sdm120, link: bus-1, unit: 1}" in said.out
        said = await probe("meters", "-c", s.config, "--identify", "1")
        assert "the configuration has it so, as meter-1" in said.out
        # what the configuration says of unit 2 is wrong: three phases answer
        said = await probe("meters", "-c", s.config, "--identify", "2")
        assert "the configuration has meter-2 as eastron-sdm120: write\n    profile: eastron-sdm630" in said.out  # fmt: skip
        said = await probe("meters", "-c", s.config, "--identify", "7", "--timeout", "100ms")
        assert (said.code, said.err) == (1, "unit 7 does not answer: --scan shows who does\n")
        found = json.loads((await probe("meters", "-c", s.config, "--identify", "1", "--json")).out)
        assert found["profile"] == "eastron-sdm120"
        assert found["values"].keys() == SDM120.by_id.keys()
        assert found["hints"] == []


async def test_a_meter_without_plausible_values_is_no_profile_and_the_reason_is_told(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as s:
        s.farm.set_voltage("meter-1", 23.0)
        said = await probe("meters", "-c", s.config, "--identify", "1")
        assert said.code == 1
        assert "elec.voltage.a is 23, expected 160 to 280" in said.out
        assert "no profile fits" in said.out


async def test_a_reading_that_contradicts_itself_is_pointed_at(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        s.farm.set_value("meter-1", "elec.power.total", 12345.0)
        said = await probe("meters", "-c", s.config, "--identify", "1")
        assert "look at this: phase a: V x I x PF is" in said.out
        assert "but P is 1.234e+04 W" in said.out


async def test_a_write_asks_first_and_reads_back(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        uri = f"tcp://127.0.0.1:{s.farm.port}"
        said = await probe(uri, "--write", "9", "holding", "0", "120")
        assert said.code == 64
        assert "here is no terminal to answer: add --yes" in said.err
        assert not s.farm.requests["act"]
        said = await probe(uri, "--write", "9", "holding", "0", "120", "--yes")
        assert (said.code, said.out) == (0, "unit 9, holding 0x0000: written, the device shows 0x0078\n")  # fmt: skip
        write = [uri, "--write", "9", "holding", "2", "21.5", "--type", "f32", "--order", "CDAB"]
        assert (await probe(*write, "--yes")).code == 0
        read = [uri, "--read", "9", "holding", "2", "--type", "f32", "--order", "CDAB"]
        assert "21.5" in (await probe(*read)).out
        said = await probe(uri, "--write", "9", "holding", "50", "1", "--yes")
        assert (said.code, said.out.split(":")[1]) == (1, " not written, exception 2 (illegal data address")  # fmt: skip


@pytest.mark.parametrize(("answer", "code", "written"), [("y", 0, True), ("n", 1, False)])
async def test_a_terminal_is_asked_before_a_write(
    tmp_path: Path, answer: str, code: int, *, written: bool
) -> None:
    async with site(tmp_path) as s:
        master, slave = pty.openpty()
        uri = f"tcp://127.0.0.1:{s.farm.port}"
        process = await asyncio.create_subprocess_exec(
            *MAIN,
            uri,
            "--write",
            "9",
            "coil",
            "8",
            "on",
            stdin=slave,
            stdout=asyncio.subprocess.PIPE,
        )
        os.close(slave)
        os.write(master, f"{answer}\n".encode())
        async with asyncio.timeout(15):
            out, _ = await process.communicate()
        os.close(master)
        assert process.returncode == code
        assert b"unit 9, coil 0x0008 is 0\nwrite on (1)? [y/N]" in out
        said = await probe(uri, "--read", "9", "coil", "8")
        assert ("0x0008   1" in said.out) is written


async def test_a_serial_line_is_read_scanned_and_written(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        uri = f"rtu://{s.path}?baud=115200"
        said = await probe(uri, "--read", "5", "holding", "0x10")
        assert said.code == 0, said.err
        assert f"hex: {word(5, 3, 0x10):04X}" in said.out
        s.line.script = lambda request, answer: at_once(request, answer) if request[0] == 5 else []
        said = await probe(uri, "--scan", "4-5", "--timeout", "100ms")
        assert "unit 5 answers in" in said.out
        assert "1 of 2 units answered" in said.out
        said = await probe(uri, "--read", "4", "holding", "0", "--timeout", "100ms")
        assert said.code == 1
        assert "no answer within 0.1 s" in said.err


async def test_an_adapter_that_hears_itself_is_named(tmp_path: Path) -> None:
    def echoed(request: bytes, answer: bytes) -> Parts:
        yield 0.0, request
        yield 0.01, answer

    async with site(tmp_path) as s:
        s.line.script = echoed
        for work in (["--read", "5", "holding", "0"], ["--scan", "1-5"], ["--identify", "5"]):
            said = await probe("rs485-1", "-c", s.config, *work)
            assert said.code == 1
            assert "the adapter hears what it sends itself (local echo)" in said.err


async def test_a_serial_port_of_the_running_gateway_is_left_alone(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        config = s.config.read_text().replace('  lights: {driver: mqtt, url: "mqtt://127.0.0.1:1"}\n', "")  # fmt: skip
        s.config.write_text(config)
        daemon = Daemon(s.config, tmp_path / "state")
        await daemon.start()
        try:
            for link in ("rs485-1", f"rtu://{s.path}?baud=115200"):
                said = await probe(link, "-c", s.config, "--read", "3", "input", "0")
                assert said.code == 73
                assert f"the gateway runs and reads {s.path} as link rs485-1: stop it first" in said.err  # fmt: skip
            assert (await probe("rs485-1", "-c", s.config, "--plan")).code == 0
            said = await probe("meters", "-c", s.config, "--read", "1", "input", "0", "2")
            assert said.code == 0
            assert "warning: the gateway runs and is connected to 127.0.0.1" in said.err
        finally:
            await daemon.stop()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("nowhere --plan", "no link 'nowhere' in"),
        ("lights --plan", "link lights is no Modbus link, its driver is mqtt"),
        ("tcp://127.0.0.1:2 --plan", "tcp://127.0.0.1:2 has no devices in the configuration"),
        ("udp://h --scan", "'udp://' is no Modbus link: write e.g. tcp://"),
        ("meters --scan 0-9", "--scan 0-9: write e.g. 1-247"),
        ("meters --scan a-9", "FROM a: write a whole number"),
        ("meters --scan 5 --live", "--live goes with --plan"),
        ("meters --scan 5 --type f32", "--type goes with --read and --write"),
        ("meters --read 1 input", "--read takes UNIT TABLE ADDR [COUNT]"),
        ("meters --read 1 inputs 0", "TABLE inputs: write one of coil, discrete, holding, input"),
        ("meters --read 300 input 0", "UNIT 300: write 0 to 247"),
        ("meters --read 1 input 70000", "ADDR 70000: write 0 to 0xFFFF"),
        ("meters --read 1 input 0 126", "COUNT 126: write 1 to 125"),
        ("meters --read 1 input 0 3 --type f32", "COUNT 3: a f32 takes 2 registers"),
        ("meters --read 1 input 0 --order CDAB", "--order goes with --type"),
        ("meters --read 1 coil 0 --type u16", "--type u16 means nothing in table coil"),
        ("meters --read 1 input 0 --timeout 2", "--timeout 2: write e.g. 500ms or 2s"),
        ("meters --read 1 input 0 --timeout 2h", "--timeout 2h: write 1ms to 60s"),
        ("meters --write 1 input 0 1 --yes", "table input cannot be written: write coil or holding"),
        ("meters --write 1 holding 0 70000 --yes", "VALUE 70000 is no u16"),
        ("meters --write 1 coil 0 5 --yes", "VALUE 5: write on or off"),
        ("meters --identify 999", "UNIT 999: write 0 to 247"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_explained(
    arguments: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gateway.cli.main import main

    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG.format(port=1, path="/dev/ttyS0"))
    assert main(["probe", "modbus", *arguments.split(), "-c", str(config)]) == 64
    assert said in capsys.readouterr().err


def test_a_configuration_with_faults_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    from gateway.cli.main import main

    config = tmp_path / "gateway.yaml"
    config.write_text("version: 1\n")
    assert main(["probe", "modbus", "meters", "--plan", "-c", str(config)]) == 78
    assert "missing" in capsys.readouterr().err


async def test_a_peer_that_refuses_or_answers_wrongly_is_told(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        said = await probe("tcp://127.0.0.1:1", "--read", "1", "input", "0")
        assert (said.code, said.err) == (1, "127.0.0.1:1 does not accept connections\n")
        s.farm.misbehave("meter-1", Misbehaviour(Fault.WRONG_COUNT))
        said = await probe("meters", "-c", s.config, "--read", "1", "input", "0", "2")
        assert said.code == 1
        assert "unit 1, function 4, 2 at 0x0000" in said.err
