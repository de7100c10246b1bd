"""`gateway probe ble`: the real command line listens to simulated homes."""

import asyncio
import fcntl
import json
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.cli.main import main
from simulators.bluez.bluez import ADDRESS, Bluez
from simulators.bluez.peripheral import Advert, Peripheral
from simulators.bluez.sensor import Kind, Press, Sensor
from tests.harness.bluez import bluez, needs_dbus

pytestmark = needs_dbus

MAIN = (sys.executable, "-c", "import sys; from gateway.cli.main import main; sys.exit(main())")
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")  # a published test key
SMOKE, DOOR, BUTTON, PENDANT = (f"54:48:E6:8F:80:0{n}" for n in range(4))
PHONE = "7C:11:22:33:44:55"


class Said(NamedTuple):
    code: int
    out: str
    err: str


async def probe(*arguments: str | Path, seconds: str = "700ms") -> Said:
    process = await asyncio.create_subprocess_exec(
        *MAIN, "probe", "ble", "--for", seconds, *map(str, arguments), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(15):
        out, err = await process.communicate()
    return Said(process.returncode or 0, out.decode(), err.decode())


@asynccontextmanager
async def homes(key: bytes | None = None) -> AsyncIterator[Bluez]:
    """A smoke detector, a door, a button, a pendant to connect to, and a phone. `key`: of the detector."""
    async with bluez() as running:
        smoke = Sensor("smoke", Kind.SMOKE, SMOKE, key)
        door = Sensor("door", Kind.DOOR, DOOR, None, on=True, rssi=-80)
        button = Sensor("button", Kind.BUTTON, BUTTON, None)
        button.press(Press.LONG)
        sending: list[tuple[Peripheral, Callable[[], Advert]]] = [
            (one.peripheral, one.advert) for one in (smoke, door, button)
        ]
        pendant = Advert(uuids=["1811", "180f"], name="pendant [bold]", rssi=-50)
        phone = Advert(manufacturer_data={0x4C: bytes.fromhex("1005031c2a3b4c")}, rssi=-40)
        sending.append((Peripheral(PENDANT, "pendant"), lambda: pendant))
        sending.append((Peripheral(PHONE), lambda: phone))
        task = asyncio.get_running_loop().create_task(_send(running, sending))
        try:
            yield running
        finally:
            task.cancel()
            await asyncio.wait({task})


async def _send(running: Bluez, sending: list[tuple[Peripheral, Callable[[], Advert]]]) -> None:
    while True:
        for peripheral, advert in sending:
            running.advertise(peripheral, advert())
        await asyncio.sleep(0.02)


async def test_it_says_who_is_in_the_air_what_they_show_and_which_profile_reads_them() -> None:
    async with homes():
        said = await probe("--json", "--all")

    assert said.code == 0, said.err
    found = {one["address"]: one for one in json.loads(said.out)}
    assert {a: x["profile"] for a, x in found.items()} == {
        SMOKE: "bthome-smoke", DOOR: "bthome-door", BUTTON: "bthome-button", PENDANT: "ble-alert", PHONE: None,
    }  # fmt: skip
    assert found[SMOKE]["values"] == {"battery.level": 97, "alarm.smoke": False}
    assert found[BUTTON]["values"]["button.event"] == "long_press"
    assert found[PENDANT]["format"] == "connectable"
    assert found[PHONE]["yaml"] is None
    assert found[DOOR]["rssi"] < found[SMOKE]["rssi"] < found[PENDANT]["rssi"] == -50


async def test_the_lines_can_be_pasted_and_pass_the_check(tmp_path: Path) -> None:
    async with homes():
        said = await probe()
    assert said.code == 0, said.err
    assert "and 1 in other formats: --all shows them" in said.out
    assert "pendant [bold]" in said.out

    lines, _, warnings = said.out.split("paste below `devices:`\n\n")[1].partition("\n\n")
    checked = await check(configuration(tmp_path, lines))

    assert checked.code == 0, checked.out + checked.err
    assert lines.count("link: ble") == 4
    assert f"{SMOKE} sends in plain" in warnings
    assert DOOR not in warnings


async def test_who_encrypts_is_shown_with_the_place_for_its_key() -> None:
    async with homes(KEY):
        said = await probe()

    assert "its key is needed to read it" in said.out
    assert (
        f'ble-1: {{profile: FILL-IN, link: ble, address: "{SMOKE}", key: "${{file:keys/ble-1}}"}}'
        in said.out
    )


async def test_with_its_key_it_is_read_and_no_key_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "smoke.key"
    file.write_text(KEY.hex() + "\n")
    async with homes(KEY):
        said = await probe("--key", f"{SMOKE}={file}")

    line = next(line for line in said.out.splitlines() if "profile: bthome-smoke" in line)
    assert f'key: "${{file:{file}}}"' in line
    assert KEY.hex() not in said.out + said.err


async def test_a_configured_device_is_read_with_its_key_and_needs_no_line(tmp_path: Path) -> None:
    file = tmp_path / "smoke.key"
    file.write_text(KEY.hex())
    file.chmod(0o600)
    line = f'  smoke-1: {{profile: bthome-smoke, link: home, address: "{SMOKE}", key: "${{file:smoke.key}}"}}\n'
    config = configuration(tmp_path, line)
    async with homes(KEY):
        said = await probe("home", "--json", "-c", config)

    assert said.code == 0, said.err
    found = {one["address"]: one for one in json.loads(said.out)}
    assert found[SMOKE]["device"] == "smoke-1"
    assert found[SMOKE]["yaml"] is None
    assert found[SMOKE]["values"]["alarm.smoke"] is False
    assert found[DOOR]["yaml"].startswith("door-1: {profile: bthome-door, link: home,")
    assert KEY.hex() not in said.out + said.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("attic",), "no BLE link 'attic'"),
        (("--key", SMOKE), "write ADDRESS=FILE"),
        (("--key", f"{SMOKE}=/nowhere"), "/nowhere"),
        (("--for", "2"), "--for 2: write e.g. 500ms or 2s"),
    ],
)
def test_what_cannot_be_done_is_said(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert main(["probe", "ble", *arguments]) == 64
    assert told in capsys.readouterr().err


async def test_an_adapter_that_is_not_there_is_named() -> None:
    async with bluez():
        said = await probe("00:11:22:33:44:99")

    assert (said.code, said.err) == (1, "no adapter 00:11:22:33:44:99\n")


@pytest.mark.timeout(60)
async def test_on_a_terminal_the_list_is_live_until_it_is_interrupted() -> None:
    async with homes():
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 150, 0, 0))
        process = await asyncio.create_subprocess_exec(
            *MAIN, "probe", "ble", "--for", "1h", stdin=theirs, stdout=theirs, stderr=theirs,
            env={**os.environ, "COLUMNS": "150"},
        )  # fmt: skip
        os.close(theirs)
        page = rest = b""
        try:
            async with asyncio.timeout(40):
                while b"long_press" not in page:
                    page += await asyncio.to_thread(os.read, ours, 65_536)
                process.send_signal(signal.SIGINT)
                rest = await asyncio.to_thread(_rest, ours)
                assert await process.wait() == 0
        except TimeoutError:
            process.kill()  # and what it showed until then tells why
            pytest.fail(f"{page[-2_000:]!r} ... {rest!r}")
        os.close(ours)

    assert b"paste below" not in page
    assert b"paste below" in rest


def _rest(descriptor: int) -> bytes:
    """What a terminal still gets; EIO when the other side has closed it (pty(7))."""
    found = b""
    try:
        while chunk := os.read(descriptor, 65_536):
            found += chunk
    except OSError:
        return found
    return found


async def test_repeats_are_heard_although_the_controller_hides_them() -> None:
    async with homes():
        said = await probe("--json")

    (smoke,) = [one for one in json.loads(said.out) if one["address"] == SMOKE]
    assert smoke["count"] >= 5


async def test_an_empty_air_is_no_success() -> None:
    async with bluez():
        said = await probe(ADDRESS)

    assert said.code == 1
    assert "0 in the air" in said.out


async def check(config: Path) -> Said:
    process = await asyncio.create_subprocess_exec(
        *MAIN, "check", str(config), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return Said(process.returncode or 0, out.decode(), err.decode())


def configuration(folder: Path, devices: str) -> Path:
    path = folder / "gateway.yaml"
    link = "ble" if "link: ble" in devices else "home"
    path.write_text(
        "version: 1\n"
        "gateway: {id: gw-ble-01, timezone: UTC, state_dir: state}\n"
        f"links:\n  {link}: {{driver: ble}}\n"
        f"devices:\n{devices}"
    )
    return path
