"""The doctor looks at the machine: clock, time zone, disk, memory cgroup, power."""

import os
from collections.abc import Iterator
from pathlib import Path

from gateway.cli.doctor_host import FAIL, OK, WARN, Finding, Host
from gateway.clock import RELEASE_TIME_NS, SystemClock
from gateway.config import Config

# Below this the journal sheds samples, and Debian cannot upgrade itself.
LEAST_FREE = 500_000_000
CMDLINE = ("/boot/firmware/cmdline.txt", "/boot/cmdline.txt")  # since Bookworm, before
THROTTLED = "/sys/devices/platform/soc/soc:firmware/get_throttled"
# vcgencmd(1), get_throttled: under-voltage now, since the boot.
NOW, EVER = 0x1, 0x10000


def machine(host: Host, config: Config | None) -> Iterator[Finding]:
    yield clock()
    if config is not None:
        yield time_zone(host, config.gateway.timezone)
        yield from disk(config.state_dir, config.store.telemetry_quota + config.store.alarm_quota)
    yield memory(host)
    yield from power(host)


def clock() -> Finding:
    found = SystemClock()
    if found.ok:
        return Finding("clock", OK, "set, and kept by time servers")
    fix = "sudo apt install systemd-timesyncd && sudo timedatectl set-ntp true && timedatectl"
    if found.time_ns() < RELEASE_TIME_NS:
        said = "shows a time before this release was made: certificates and schedules fail"
        return Finding("clock", FAIL, said, fix)
    said = "no time server has set it since the boot: is UDP port 123 open to one?"
    return Finding("clock", WARN, said, fix)


def time_zone(host: Host, wanted: str) -> Finding:
    """The rules go by the configured zone; people read logs in the system's."""
    link = host.path("/etc/localtime")
    target = str(link.readlink()) if link.is_symlink() else ""
    zone = target.partition("zoneinfo/")[2] or "UTC"
    if zone == wanted:
        return Finding("time zone", OK, f"{wanted}, as configured")
    said = f"the system's is {zone}, the gateway's {wanted}: times in logs and in rules differ"
    return Finding("time zone", WARN, said, f"sudo timedatectl set-timezone {wanted}")


def disk(state_dir: Path, quota: int) -> Iterator[Finding]:
    """`quota`: what the journal may grow to, bytes."""
    where = next(path for path in (state_dir, *state_dir.parents) if path.exists())
    statistics = os.statvfs(where)
    mount, kind = mounted(where)
    if statistics.f_flag & os.ST_RDONLY:
        fix = f"sudo mount -o remount,rw {mount} && dmesg | grep -i -E 'mmc|ext4|error'"
        yield Finding("disk", FAIL, f"{where} is read-only: the card may be worn out", fix)
        return
    if kind in {"tmpfs", "ramfs", "overlay"}:
        fix = "sudo raspi-config nonint disable_overlayfs && sudo reboot"
        said = f"{where} is on {kind}, in memory: a power cut loses what was recorded"
        yield Finding("disk", FAIL if kind != "overlay" else WARN, said, fix)
    free = statistics.f_bavail * statistics.f_frsize
    used = (
        sum(p.stat().st_size for p in state_dir.glob("**/*") if p.is_file())
        if where == state_dir
        else 0
    )
    fix = f"sudo apt clean && sudo journalctl --vacuum-size=50M && sudo du -xh {mount} | sort -h | tail"
    if free < LEAST_FREE:
        yield Finding("disk", FAIL, f"{free / 1e6:.0f} MB free on {mount}", fix)
    elif free + used < quota:
        most = f"the journal may take {quota / 1e9:.1f} GB: lower store: telemetry_quota"
        said = f"{free / 1e9:.1f} GB free on {mount}, {most}"
        yield Finding("disk", WARN, said, fix)
    else:
        yield Finding("disk", OK, f"{free / 1e9:.1f} GB free on {mount}")
    if statistics.f_files and statistics.f_favail < statistics.f_files // 100:
        yield Finding("disk", FAIL, f"no inodes left on {mount}: too many small files", fix)


def mounted(path: Path) -> tuple[Path, str]:
    """(mount point, file system) of a path; proc(5), /proc/self/mounts."""
    path = path.resolve()
    best, kind = Path("/"), "unknown"
    for line in Path("/proc/self/mounts").read_text("utf-8").splitlines():
        _device, point, name = line.split(" ")[:3]
        place = Path(point.encode().decode("unicode_escape"))
        if path.is_relative_to(place) and len(place.parts) >= len(best.parts):
            best, kind = place, name
    return best, kind


def memory(host: Host) -> Finding:
    """Raspberry Pi OS starts with the controller off (raspberrypi/linux#6980)."""
    controllers = host.text("/sys/fs/cgroup/cgroup.controllers").split()
    if "memory" in controllers:
        return Finding("memory cgroup", OK, "on: MemoryMax= of the unit holds")
    file = next((name for name in CMDLINE if host.path(name).exists()), CMDLINE[0])
    said = "off: MemoryMax= of the unit does nothing"
    fix = f"sudo sed -i '1s/$/ cgroup_enable=memory cgroup_memory=1/' {file} && sudo reboot"
    return Finding("memory cgroup", WARN, said, fix)


def power(host: Host) -> Iterator[Finding]:
    """Only a Raspberry Pi tells."""
    text = host.text(THROTTLED).strip()
    if not text:
        return
    bits = int(text, 16)
    if bits & (NOW | EVER):
        when = "now" if bits & NOW else "at times since the boot"
        said = f"too little voltage {when}: that corrupts cards; use the maker's power supply and a short cable"
        yield Finding("power", FAIL if bits & NOW else WARN, said, "vcgencmd get_throttled")
    else:
        yield Finding("power", OK, "the voltage was never too low since the boot")
