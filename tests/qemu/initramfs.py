"""The first files of the guest: a static busybox and the kernel modules, in the order they need."""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

WANTED = (
    "virtio_pci", "9pnet_virtio", "9p", "overlay", "bluetooth", "hci_vhci",
    "ecdh_generic", "cmac", "ecb", "ccm", "ctr", "algif_hash", "algif_skcipher",
)  # fmt: skip

_INIT = """#!/bin/sh
B=/bin/busybox
$B mount -t proc p /proc; $B mount -t sysfs s /sys; $B mount -t devtmpfs d /dev
for m in {modules}; do $B insmod /mod/$m.ko || echo "insmod $m failed"; done
$B mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro host /ro || exec $B poweroff -f
$B mount -t tmpfs t /rw; $B mkdir /rw/u /rw/w
$B mount -t overlay -o lowerdir=/ro,upperdir=/rw/u,workdir=/rw/w o /root
for d in proc sys dev; do $B mount --move /$d /root/$d; done
$B mount -t tmpfs t /root/run
exec $B switch_root /root /bin/sh $($B sed -n 's/.*guest=\\([^ ]*\\).*/\\1/p' /root/proc/cmdline)
"""


def build(kernel: Path, busybox: Path, folder: Path) -> Path:
    """The archive, made in `folder`. `kernel`: the unpacked package of a Debian kernel.

    Raises FileNotFoundError naming a module that neither is there nor built in.
    """
    tree = folder / "initramfs"
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("bin", "mod", "proc", "sys", "dev", "root", "tmp", "ro", "rw"):
        (tree / name).mkdir(parents=True)
    shutil.copy(busybox, tree / "bin" / "busybox")
    (tree / "bin" / "sh").symlink_to("busybox")
    order = _in_order(next((kernel / "lib" / "modules").iterdir()))
    for module in order:
        shutil.copy(module, tree / "mod" / f"{_name(module)}.ko")
    init = tree / "init"
    init.write_text(_INIT.format(modules=" ".join(_name(module) for module in order)))
    init.chmod(0o755)
    archive = folder / "initramfs.gz"
    files = "\n".join(str(path.relative_to(tree)) for path in [tree, *sorted(tree.rglob("*"))])
    made = subprocess.run(
        [busybox, "cpio", "-o", "-H", "newc"], cwd=tree, input=files.encode(), capture_output=True, check=True
    )  # fmt: skip
    archive.write_bytes(gzip.compress(made.stdout, 1))
    return archive


def _in_order(modules: Path) -> list[Path]:
    """The wanted modules, each after those it depends on."""
    there = {_name(path): path for path in modules.glob("kernel/**/*.ko")}
    built_in = {_name(Path(line)) for line in (modules / "modules.builtin").read_text().split()}
    order: list[Path] = []

    def add(name: str) -> None:
        if name in built_in or (name in there and there[name] in order):
            return
        if name not in there:
            raise FileNotFoundError(f"the kernel in {modules} has no module {name}")
        for match in re.finditer(rb"\0depends=([^\0]*)\0", there[name].read_bytes()):
            for needed in filter(None, match[1].decode().split(",")):
                add(needed.replace("-", "_"))
        order.append(there[name])

    for wanted in WANTED:
        add(wanted)
    return order


def _name(module: Path) -> str:
    return module.name.removesuffix(".ko").replace("-", "_")
