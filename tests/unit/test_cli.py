"""The command line: exit codes, help, pages."""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from bench.cli import COMMANDS
from gateway import control
from gateway.ask import NAME
from gateway.cli import live
from gateway.cli.main import build_parser, main
from gateway.snapshot import Snapshot
from gateway.status import readings, snapshot
from tests.unit.status_site import healthy

CONFIG = """\
version: 1
gateway: {id: gw-demo-01, timezone: Asia/Shanghai, state_dir: state}
links:
  meters: {driver: modbus, transport: tcp, host: 127.0.0.1, port: 5020}
devices:
  meter-1: {profile: eastron-sdm120, link: meters, unit: 1}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def commands() -> dict[str, argparse.ArgumentParser]:
    actions = build_parser()._actions
    (choices,) = [a.choices for a in actions if isinstance(a, argparse._SubParsersAction)]
    return dict(choices)


# -- usage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"Example: gateway {name}" in text
    example = text.split("Example: gateway ")[1].strip().split()
    build_parser().parse_args(example)  # the example is right


@pytest.mark.parametrize(
    "arguments",
    [[], ["dance"], ["check"], ["status", "--no-such"], ["run", "--loop", "tokio"], ["simulate", "f", "--seed", "x"], ["command", "light-1"]],
)  # fmt: skip
def test_wrong_usage_exits_64_and_says_what_is_wrong(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 64
    assert "usage: gateway" in capsys.readouterr().err


def test_a_negative_value_is_a_value() -> None:
    assert build_parser().parse_args(["command", "ac-1", "env.setpoint", "-5"]).value == "-5"


def test_the_installed_program_starts_and_imports_nothing_it_does_not_need() -> None:
    code = (
        "import sys; from gateway.cli.main import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name.split('.')[0] in {'rich', 'pymodbus', 'aiomqtt', 'pydantic'} for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "0.1.0")


# -- check and init -----------------------------------------------------------------------------


def test_check_of_a_right_file_exits_0_and_counts(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(config)]) == 0
    assert "ok: 1 device, 1 link, 0 rules, 0 upstreams" in capsys.readouterr().out
    assert main(["check", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"problems": [], "warnings": []}


def test_check_of_a_wrong_file_exits_78_and_shows_every_problem(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace("unit: 1", "unit: 300").replace("5020", "70000"))
    assert main(["check", str(config)]) == 78
    text = capsys.readouterr().out
    assert f"{config}:6:" in text
    assert "2 problems: the configuration is refused" in text
    assert main(["check", str(config), "--json"]) == 78
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert {problem["path"] for problem in problems} == {
        "devices.meter-1.unit",
        "links.meters.port",
    }


@pytest.mark.parametrize("command", ["check", "run -c", "status -c", "devices -c", "simulate"])
def test_a_file_that_is_not_there_exits_78(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), str(tmp_path / "missing.yaml")]) == 78
    captured = capsys.readouterr()
    assert "missing.yaml: No such file or directory" in captured.out + captured.err


def test_warnings_do_not_refuse_a_file(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unused = "  spare: {driver: modbus, transport: tcp, host: 127.0.0.1, port: 5021}\ndevices:"
    config.write_text(CONFIG.replace("devices:", unused))
    assert main(["check", str(config)]) == 0
    assert "warning: " in capsys.readouterr().out


def test_init_writes_a_configuration_that_is_right_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "new" / "site"
    assert main(["init", str(site)]) == 0
    assert f"gateway check {site / 'gateway.yaml'}" in capsys.readouterr().out
    assert main(["check", str(site / "gateway.yaml")]) == 0
    (site / "gateway.yaml").write_text("mine")
    assert main(["init", str(site)]) == 64
    assert (site / "gateway.yaml").read_text() == "mine"
    assert "nothing was written" in capsys.readouterr().err


def test_init_where_nothing_can_be_written_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["init", str(tmp_path / "file")]) == 64
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'file'}: Not a directory")


# -- commands that ask the daemon ---------------------------------------------------------------


@pytest.mark.parametrize("command", [["status"], ["status", "--json"], ["status", "--watch"], ["devices"], ["command", "a", "b", "1"]])  # fmt: skip
def test_without_a_daemon_they_exit_3_and_say_how_to_start_it(
    command: list[str], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "-c", str(config)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "not running: no gateway runs in" in captured.err
    assert f"start it with: gateway run -c {config}" in captured.err


class Daemon:
    """The control socket of a gateway whose status is `snapshot`."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.site = healthy()
        self.outcome = "confirmed"
        self.asked: list[Mapping[str, object]] = []

    async def status(self, _request: Mapping[str, object], _uid: int) -> Snapshot:
        return snapshot(self.site)

    async def devices(self, request: Mapping[str, object], _uid: int) -> object:
        if request["device"] not in {None, *self.site.devices}:
            raise ValueError(f"unknown device '{request['device']}'")
        return [readings(self.site, device) for device in self.site.devices.values()]

    async def command(self, request: Mapping[str, object], _uid: int) -> object:
        self.asked.append(request)
        reason = "" if self.outcome == "confirmed" else "no answer"
        one = {
            "device": "light-1",
            "outcome": self.outcome,
            "reason": reason,
            "value": 60,
            "attempts": 1,
        }
        if request["device"] != "yard":
            return {**one, "members": []}
        return {**one, "device": "", "value": None, "members": [{**one, "members": []}]}

    async def call(self, *arguments: str) -> int:
        return await asyncio.to_thread(main, [*arguments, "-c", str(self.config)])


@pytest.fixture
async def daemon(config: Path) -> AsyncIterator[Daemon]:
    one = Daemon(config)
    verbs = {"status": one.status, "devices": one.devices, "command": one.command}
    async with control.serve(config.parent / "state", verbs):
        yield one


async def test_status_exits_with_the_word_of_the_gateway(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await daemon.call("status") == 0
    assert "healthy" in capsys.readouterr().out
    daemon.site.device("new")
    assert await daemon.call("status") == 1
    daemon.site.storage["state"] = "failed"
    assert await daemon.call("status", "--json") == 2
    text = capsys.readouterr().out.split("\n{", 1)[1]
    assert json.loads("{" + text)["health"]["word"] == "critical"


async def test_devices_shows_last_values_and_refuses_unknown_ones(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await daemon.call("devices", "meter-1") == 0
    assert "elec.voltage.a" in capsys.readouterr().out
    assert await daemon.call("devices", "--values", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == "meter-1"
    assert await daemon.call("devices", "meter-9") == 1
    assert capsys.readouterr().err == "unknown device 'meter-9'\n"


@pytest.mark.parametrize(
    ("text", "value"), [("60", 60), ("-2.5", -2.5), ("true", True), ("auto", "auto"), ("on", "on")]
)
async def test_command_sends_the_value_as_yaml_means_it(
    daemon: Daemon, text: str, value: object
) -> None:
    assert await daemon.call("command", "light-1", "light.level", text) == 0
    (asked,) = daemon.asked
    assert (asked["value"], type(asked["value"])) == (value, type(value))


async def test_command_exits_1_with_the_reason_when_it_was_not_confirmed(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.outcome = "unconfirmed"
    assert await daemon.call("command", "light-1", "light.level", "61") == 1
    assert capsys.readouterr().out == (
        "light-1 light.level 61: unconfirmed: no answer (the device reports 60)\n"
    )


async def test_command_to_a_group_tells_of_each_member(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.outcome = "unconfirmed"
    assert await daemon.call("command", "yard", "light.level", "61") == 1
    assert capsys.readouterr().out == (
        "light-1 light.level 61: unconfirmed: no answer (the device reports 60)\n"
        "yard light.level 61: unconfirmed: no answer\n"
    )


async def test_an_output_that_nobody_reads_is_no_gateway_that_is_not_running(
    daemon: Daemon,
) -> None:
    """As in `gateway status --json | head -1`, with little and with much to say."""
    code = "import sys; from gateway.cli.main import main; sys.exit(main(sys.argv[1:]))"
    for options, more in ((["--json"], 0), (["--json"], 400), ([], 400)):
        for number in range(more):
            daemon.site.device(f"meter-9-{number}")
        arguments = [sys.executable, "-c", code, "status", "-c", str(daemon.config), *options]
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = await asyncio.create_subprocess_exec(
                *arguments, stdout=writing, stderr=asyncio.subprocess.PIPE
            )
        finally:
            os.close(writing)
        _, told = await done.communicate()
        assert told == b""
        assert done.returncode != 3


def test_a_daemon_that_does_not_answer_is_critical(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as blocked:
        blocked.bind(str(config.parent / "state" / NAME))
        blocked.listen(1)
        monkeypatch.setattr(live.Daemon.ask, "__defaults__", (0.05,))
        assert main(["status", "-c", str(config)]) == 2
    assert "its event loop is blocked" in capsys.readouterr().err


def test_the_configuration_is_the_one_here_or_the_one_of_the_machine(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    nothing, given = build_parser().parse_args(["status"]), argparse.Namespace(config="x.yaml")
    assert live.config_path(nothing) == Path("gateway.yaml")
    assert live.config_path(given) == Path("x.yaml")
    config.unlink()
    assert live.config_path(nothing) == Path("/etc/gateway/gateway.yaml")


# -- how they start -----------------------------------------------------------------------------

HEAVY = {"pydantic", "asyncio", "rich", "pymodbus", "aiomqtt", "bleak", "uvloop", "aiohttp"}


def leaves(parser: argparse.ArgumentParser, name: str = "") -> dict[str, argparse.ArgumentParser]:
    """Every command that does something, by its words."""
    works = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not works:
        return {name: parser}
    return {k: v for n, p in works[0].items() for k, v in leaves(p, f"{name} {n}".strip()).items()}


def imported(arguments: list[str], watched: set[str], before: str = "") -> list[str]:
    """Which of `watched` a process has imported that runs `before` and then the command."""
    code = (
        f"import sys; {before}\n"
        "from gateway.cli.main import main\n"
        f"main({arguments!r})\n"
        f"print(*sorted({watched!r}.intersection(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(
    "command",
    ["status --json", "devices --json", "alarms --json", "ack x", "command a b 1", "notify a b", "tail", "log", "reload",
     "store info --json", "audit list", "config history", "config diff", "config desired"],
)  # fmt: skip
def test_a_command_that_asks_or_looks_starts_without_what_only_the_daemon_needs(
    command: str, config: Path
) -> None:
    assert imported([*command.split(), "-c", str(config)], {*HEAVY, "gateway.config"}) == []


def test_teeth_a_command_that_imports_an_event_loop_is_found(config: Path) -> None:
    found = imported(["ack", "x", "-c", str(config)], HEAVY, "import gateway.control")
    assert found == ["asyncio"]


def test_a_configuration_is_checked_without_an_event_loop_and_drivers_that_no_link_uses(
    config: Path,
) -> None:
    watched = HEAVY - {"pydantic"} | {"drivers.mqtt", "drivers.ble"}
    assert imported(["check", str(config)], watched) == []


def test_the_benchmark_starts_every_command() -> None:
    measured = [build_parser().parse_args(x.split()) for x in COMMANDS if not x.startswith("--")]
    assert len({(one.run, getattr(one, "work", "")) for one in measured}) >= 40
    assert all(
        any(x == name or x.startswith(f"{name} ") for x in COMMANDS)
        for name in leaves(build_parser())
    )
