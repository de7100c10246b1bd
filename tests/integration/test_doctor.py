"""`gateway doctor` before machines on which something real is broken."""

import asyncio
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.cli import doctor_files, doctor_machine, doctor_peers, doctor_ports
from gateway.cli.doctor_host import FAIL, OK, WARN, Finding, Host, User, user_of_service
from gateway.config import load_config
from simulators.bluez.controller import Policy
from tests.harness.bluez import bluez, needs_dbus
from tests.harness.broker import Mosquitto, password_line
from tests.harness.disks import small_disk
from tests.harness.ports import free_port

GATEWAY = [sys.executable, "-c", "import sys; from gateway.cli.main import main; sys.exit(main())"]
CONFIG = """\
version: 1
gateway: {{id: gw-1, timezone: Asia/Shanghai, state_dir: {state}}}
links: {{{link}}}
devices: {{{device}}}
"""
METER = "meter-1: {profile: eastron-sdm120, link: meters, unit: 1}"
SERIAL = "meters: {{driver: modbus, transport: rtu, path: {path}}}"
LAMP = "light-1: {profile: streetlight-native, link: lights, topic_id: l1}"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user's rights need root")
NOBODY = User("nobody", 65534, 65534, (65534,))


def write(folder: Path, link: str, device: str = METER) -> Path:
    path = folder / "gateway.yaml"
    path.write_text(CONFIG.format(state=folder / "state", link=link, device=device))
    return path


def one(found: Sequence[Finding], check: str) -> Finding:
    """The finding of a check; of several the first that is not fine."""
    of = [finding for finding in found if finding.check == check]
    assert of, found
    return next((finding for finding in of if finding.state != OK), of[0])


def call(*arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [*GATEWAY, "doctor", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_what_does_not_work_is_said_with_a_command_that_mends_it(tmp_path: Path) -> None:
    port = free_port()
    config = write(tmp_path, f"meters: {{driver: modbus, host: 127.0.0.1, port: {port}}}")
    code, text = call("-c", config, "--json")
    found = [Finding(**finding) for finding in json.loads(text)["findings"]]
    assert code == 2
    assert one(found, "configuration").state == OK
    meters = one(found, "link meters")
    assert (meters.state, "Connection refused" in meters.said) == (FAIL, True)
    assert f"nc -vz 127.0.0.1 {port}" in meters.fix
    code, text = call("-c", config)
    assert f"fail link meters: 127.0.0.1:{port}" in text


def test_it_speaks_chinese_where_that_is_asked_for(tmp_path: Path) -> None:
    link = f'lights: {{driver: mqtt, url: "mqtt://127.0.0.1:{free_port()}"}}'
    config = write(tmp_path, link, LAMP)
    code, text = call("-c", config, "--lang", "zh")
    said = [line for line in text.splitlines() if not line.startswith(" ")]
    assert code == 2
    assert all(re.search(r"[一-鿿].*: .*[一-鿿]", line) for line in said), text
    assert any(line.startswith("故障   链路 lights 的消息服务器: 失败：") for line in said)
    code, text = call("-c", config, "--lang", "zh", "--json")
    found = [Finding(**finding) for finding in json.loads(text)["findings"]]
    assert {"configuration", "clock", "broker of lights"} < {one.check for one in found}
    assert one(found, "broker of lights").said.startswith("失败：")


def test_a_refused_configuration_is_said_and_the_machine_is_looked_at_all_the_same(
    tmp_path: Path,
) -> None:
    config = write(tmp_path, "meters: {driver: modbuss}")
    code, text = call("-c", config)
    assert code == 2
    assert f"fail configuration: {config}:3" in text
    assert f"gateway check {config}" in text
    assert "memory cgroup" in text


@needs_root
def test_files_that_the_user_of_the_gateway_cannot_read_are_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    link = (
        'lights: {driver: mqtt, url: "mqtt://127.0.0.1", username: gw, password: "${file:secret}"}'
    )
    config, secret = write(tmp_path, link, LAMP), tmp_path / "secret"
    secret.write_text("x")
    for path in tmp_path.parents:
        if not path.stat().st_mode & 0o001 and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)
    config.chmod(0o644)
    secret.chmod(0o600)
    found = list(doctor_files.readable(Host(NOBODY), config, ()))
    assert [(x.state, x.fix) for x in found] == [
        (FAIL, f"sudo chgrp nobody {secret} && sudo chmod 640 {secret}")
    ]
    secret.chmod(0o644)
    found = list(doctor_files.readable(Host(NOBODY), config, ()))
    assert [(x.check, x.fix) for x in found] == [("secrets", f"sudo chmod o= {secret}")]


@needs_root
def test_records_that_root_has_left_behind_are_given_back(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    os.chown(state, NOBODY.uid, NOBODY.gid)
    assert next(doctor_files.records(Host(NOBODY), state)).state == OK
    (state / "core.db").touch()
    found = next(doctor_files.records(Host(NOBODY), state))
    assert (found.state, found.fix) == (FAIL, f"sudo chown -R nobody: {state}")


def test_the_user_has_to_be_in_the_group_of_the_serial_ports(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, SERIAL.format(path="/dev/null")))
    found = one(list(doctor_files.groups(Host(NOBODY), config)), "groups")
    assert found.state == FAIL
    assert "usermod --append --groups dialout nobody" in found.fix


@pytest.fixture
def machine(tmp_path: Path) -> Host:
    """Another machine's files; a port is a real character device."""
    for folder in ("dev/serial/by-path", "etc", "proc", "sys/fs/cgroup", "boot/firmware"):
        (tmp_path / "root" / folder).mkdir(parents=True)
    return Host(user_of_service(), tmp_path / "root")


def plug(machine: Host, name: str, stable: str) -> None:
    os.mknod(machine.path(f"/dev/{name}"), stat.S_IFCHR | 0o660, os.makedev(1, 3))
    machine.path(f"/dev/serial/by-path/{stable}").symlink_to(f"../../{name}")


@needs_root
def test_a_serial_port_is_named_by_its_place(machine: Host, tmp_path: Path) -> None:
    config = write(tmp_path, SERIAL.format(path="/dev/ttyUSB0"))
    plug(machine, "ttyUSB0", "platform-xhci-usb-0:1.2:1.0-port0")
    stable = "/dev/serial/by-path/platform-xhci-usb-0:1.2:1.0-port0"
    found = one(list(doctor_ports.ports(machine, load_config(config))), "serial port of meters")
    assert (found.state, stable in found.said) == (WARN, True)
    subprocess.run(["sh", "-c", found.fix.replace("sudo ", "")], check=True)
    assert stable in config.read_text(), "the fix can be pasted"
    found = one(list(doctor_ports.ports(machine, load_config(config))), "serial port of meters")
    assert found.state == OK


@needs_root
def test_a_serial_port_that_is_gone_closed_or_the_console_is_told(
    machine: Host, tmp_path: Path
) -> None:
    config = load_config(write(tmp_path, SERIAL.format(path="/dev/ttyAMA0")))
    nobodys = Host(NOBODY, machine.root)

    def found() -> Finding:
        return one(list(doctor_ports.ports(nobodys, config)), "serial port of meters")

    assert "there is no /dev/ttyAMA0" in found().said
    plug(machine, "ttyAMA0", "uart")
    assert "may not use /dev/ttyAMA0" in found().said
    for path in (machine.root, *machine.root.parents):
        if path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)
    machine.path("/dev/ttyAMA0").chmod(0o666)
    assert found().state == OK
    machine.path("/proc/cmdline").write_text("console=ttyAMA0,115200 root=/dev/mmcblk0p2\n")
    assert "do_serial_cons" in found().fix


def test_a_machine_without_memory_cgroup_right_zone_or_power_is_told(machine: Host) -> None:
    machine.path("/sys/fs/cgroup/cgroup.controllers").write_text("cpuset cpu io pids\n")
    machine.path("/boot/firmware/cmdline.txt").write_text("root=/dev/mmcblk0p2\n")
    found = doctor_machine.memory(machine)
    assert (found.state, "/boot/firmware/cmdline.txt" in found.fix) == (WARN, True)
    machine.path("/sys/fs/cgroup/cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert doctor_machine.memory(machine).state == OK
    machine.path("/etc/localtime").symlink_to("/usr/share/zoneinfo/Europe/London")
    found = doctor_machine.time_zone(machine, "Asia/Shanghai")
    assert found.fix == "sudo timedatectl set-timezone Asia/Shanghai"
    throttled = machine.path(doctor_machine.THROTTLED)
    throttled.parent.mkdir(parents=True)
    for bits, state in (("0", OK), ("50000", WARN), ("50005", FAIL)):
        throttled.write_text(f"{bits}\n")
        assert next(doctor_machine.power(machine)).state == state


def test_a_disk_that_is_full_read_only_or_in_memory_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        found = list(doctor_machine.disk(disk / "state", 1_000_000))
        assert [("in memory" in x.said, x.state) for x in found[:1]] == [(True, FAIL)]
        assert any("MB free" in x.said and x.state == FAIL for x in found)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        found = list(doctor_machine.disk(disk / "state", 1_000_000))
    assert "read-only" in found[0].said
    assert f"remount,rw {disk}" in found[0].fix


async def ask(folder: Path, link: str) -> Finding:
    def look() -> list[Finding]:
        return list(doctor_peers.peers(load_config(write(folder, link, LAMP))))

    found = await asyncio.to_thread(look)
    return one(found, "broker of lights")


async def test_a_broker_that_lets_everybody_in_or_nobody_is_told(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path / "broker") as broker:
        link = f'lights: {{driver: mqtt, url: "{broker.url}"}}'
        found = await ask(tmp_path, link)
        assert (found.state, "without a password" in found.said) == (WARN, True)
        await broker.stop()
        found = await ask(tmp_path, link)
    assert found.state == FAIL
    assert "systemctl status mosquitto" in found.fix


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ("topic readwrite #", "we hear devices and may command them"),
        ("topic write d/#", "we may not hear devices"),
        ("topic read d/#", "we may not send commands"),
    ],
)
async def test_an_access_list_that_keeps_the_gateway_out_is_told(
    tmp_path: Path, allowed: str, said: str
) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    (folder / "passwd").write_text(password_line("gateway", "right"))
    (folder / "acl").write_text(f"user gateway\n{allowed}\n")
    for name in ("passwd", "acl"):
        (folder / name).chmod(0o644)
    extra = ["allow_anonymous false", f"password_file {folder}/passwd", f"acl_file {folder}/acl"]
    secret = tmp_path / "secret"
    secret.write_text("right")
    secret.chmod(0o600)
    async with Mosquitto(folder, extra) as broker:
        link = f'lights: {{driver: mqtt, url: "{broker.url}", username: gateway, password: "${{file:secret}}"}}'
        assert said in (await ask(tmp_path, link)).said
        secret.write_text("wrong")
        found = await ask(tmp_path, link)
    assert (found.state, "ot authori" in found.said) == (FAIL, True)


def test_a_name_without_an_address_is_told(tmp_path: Path) -> None:
    link = 'lights: {driver: mqtt, url: "mqtts://broker.invalid"}'
    config = load_config(write(tmp_path, link, LAMP))
    found = one(list(doctor_peers.peers(config)), "DNS")
    assert (found.state, "broker.invalid" in found.fix) == (FAIL, True)


@needs_dbus
@pytest.mark.parametrize(("monitors", "state"), [(True, OK), (False, WARN)])
async def test_bluetooth_without_experimental_is_told(
    machine: Host, state: str, *, monitors: bool
) -> None:
    async with bluez(Policy(monitors=monitors)):
        found = await asyncio.to_thread(lambda: list(doctor_ports.radio(machine, None)))
    assert found[0].state == state, found
    assert ("Experimental = true" in found[0].fix) == (not monitors)


def test_bluetooth_that_is_switched_off_is_told(machine: Host) -> None:
    switch = machine.path("/sys/class/rfkill/rfkill0")
    switch.mkdir(parents=True)
    (switch / "type").write_text("bluetooth\n")
    (switch / "soft").write_text("1\n")
    found = next(doctor_ports.radio(machine, None))
    assert (found.state, found.fix) == (FAIL, "sudo rfkill unblock bluetooth")
