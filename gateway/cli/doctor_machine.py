"""The doctor looks at the machine: clock, time zone, disk, memory cgroup, power."""

import os
from collections.abc import Iterator
from pathlib import Path

from gateway.cli.doctor_host import FAIL, OK, WARN, Finding, Host
from gateway.clock import RELEASE_TIME_NS, SystemClock
from gateway.config import Config
from gateway.words.text import text

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
    found, check = SystemClock(), text("doctor.check.clock")
    if found.ok:
        return Finding(check, OK, text("doctor.clock_ok"))
    fix = "sudo apt install systemd-timesyncd && sudo timedatectl set-ntp true && timedatectl"
    if found.time_ns() < RELEASE_TIME_NS:
        return Finding(check, FAIL, text("doctor.clock_old"), fix)
    return Finding(check, WARN, text("doctor.clock_free"), fix)


def time_zone(host: Host, wanted: str) -> Finding:
    """The rules go by the configured zone; people read logs in the system's."""
    link = host.path("/etc/localtime")
    target = str(link.readlink()) if link.is_symlink() else ""
    zone = target.partition("zoneinfo/")[2] or "UTC"
    check = text("doctor.check.zone")
    if zone == wanted:
        return Finding(check, OK, text("doctor.zone_ok", zone=zone))
    said = text("doctor.zone_other", zone=zone, wanted=wanted)
    return Finding(check, WARN, said, f"sudo timedatectl set-timezone {wanted}")


def disk(state_dir: Path, quota: int) -> Iterator[Finding]:
    """`quota`: what the journal may grow to, bytes."""
    where = next(path for path in (state_dir, *state_dir.parents) if path.exists())
    statistics = os.statvfs(where)
    mount, kind = mounted(where)
    check = text("doctor.check.disk")
    if statistics.f_flag & os.ST_RDONLY:
        fix = f"sudo mount -o remount,rw {mount} && dmesg | grep -i -E 'mmc|ext4|error'"
        yield Finding(check, FAIL, text("doctor.read_only", folder=where), fix)
        return
    if kind in {"tmpfs", "ramfs", "overlay"}:
        fix = "sudo raspi-config nonint disable_overlayfs && sudo reboot"
        said = text("doctor.in_memory", folder=where, kind=kind)
        yield Finding(check, FAIL if kind != "overlay" else WARN, said, fix)
    free = statistics.f_bavail * statistics.f_frsize
    used = (
        sum(p.stat().st_size for p in state_dir.glob("**/*") if p.is_file())
        if where == state_dir
        else 0
    )
    fix = f"sudo apt clean && sudo journalctl --vacuum-size=50M && sudo du -xh {mount} | sort -h | tail"
    left = f"{free / 1e9:.1f} GB"
    if free < LEAST_FREE:
        said = text("doctor.free", size=f"{free / 1e6:.0f} MB", mount=mount)
        yield Finding(check, FAIL, said, fix)
    elif free + used < quota:
        said = text("doctor.free_little", size=left, mount=mount, quota=f"{quota / 1e9:.1f} GB")
        yield Finding(check, WARN, said, fix)
    else:
        yield Finding(check, OK, text("doctor.free", size=left, mount=mount))
    if statistics.f_files and statistics.f_favail < statistics.f_files // 100:
        yield Finding(check, FAIL, text("doctor.inodes", mount=mount), fix)


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
    controllers = host.read("/sys/fs/cgroup/cgroup.controllers").split()
    check = text("doctor.check.memory")
    if "memory" in controllers:
        return Finding(check, OK, text("doctor.memory_on"))
    file = next((name for name in CMDLINE if host.path(name).exists()), CMDLINE[0])
    fix = f"sudo sed -i '1s/$/ cgroup_enable=memory cgroup_memory=1/' {file} && sudo reboot"
    return Finding(check, WARN, text("doctor.memory_off"), fix)


def power(host: Host) -> Iterator[Finding]:
    """Only a Raspberry Pi tells."""
    shown, check = host.read(THROTTLED).strip(), text("doctor.check.power")
    if not shown:
        return
    bits = int(shown, 16)
    if bits & (NOW | EVER):
        said = text("doctor.power_now" if bits & NOW else "doctor.power_ever")
        yield Finding(check, FAIL if bits & NOW else WARN, said, "vcgencmd get_throttled")
    else:
        yield Finding(check, OK, text("doctor.power_ok"))
