"""`make test-ble-real`: the BLE scripts on a real bluetoothd and kernel, in a virtual machine.

The guest sees the files of this machine, but cannot change them, and has no network.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.qemu import initramfs
from tests.qemu.all import ALL
from tests.qemu.parts import MissingError, Parts, fetch

LIMIT_S = 900
TCG = ("-accel", "tcg,thread=multi", "-cpu", "max")
KVM = ("-accel", "kvm", "-cpu", "host")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.qemu", description=__doc__)
    parser.add_argument("--kvm", action="store_true", help="faster, where it works")
    options = parser.parse_args()
    try:
        parts = fetch()
    except MissingError as missing:
        print(f"skipped: {missing}")
        return 0
    archive = initramfs.build(parts.kernel, parts.busybox, parts.folder)
    command = _command(parts, archive, KVM if options.kvm else TCG)
    with subprocess.Popen(
        ["timeout", str(LIMIT_S), *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        errors="replace",
    ) as machine:  # fmt: skip
        passed = _watch(machine)
    print(f"{passed} of {len(ALL)} scripts passed on the real stack")
    return 0 if passed == len(ALL) else 1


def _command(parts: Parts, archive: Path, accelerator: tuple[str, ...]) -> list[str]:
    tree = Path.cwd()
    words = {
        "console": "ttyS0", "panic": "-1", "guest": tree / "tests/qemu/guest.sh",
        "parts": parts.folder, "tree": tree, "python": sys.executable,
    }  # fmt: skip
    return [
        parts.emulator, *accelerator, "-m", "1G", "-smp", "2", "-nodefaults", "-no-user-config",
        "-no-reboot", "-display", "none", "-serial", "stdio",
        "-kernel", str(parts.image), "-initrd", str(archive),
        "-append", "quiet loglevel=4 " + " ".join(f"{name}={value}" for name, value in words.items()),
        "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
    ]  # fmt: skip


def _watch(machine: subprocess.Popen[str]) -> int:
    passed = 0
    for line in machine.stdout or ():
        print(line.rstrip(), flush=True)
        passed += line.startswith("SCENARIO ") and " ok " in line
    return passed


if __name__ == "__main__":
    sys.exit(main())
