"""A serial port of its own: a pseudo terminal behind a symbolic link, as udev names real ports."""

import asyncio
import os
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MOST_BYTES = 4096


class PortError(OSError):
    """The port cannot be made there; the text says why."""


class Port:
    """The far end of the port: what the other side of the cable sends and receives."""

    def __init__(self, path: Path, master: int) -> None:
        self.path = path
        self._master = master

    def send(self, data: bytes) -> None:
        """Bytes that nobody fetches are lost, as on a real line."""
        with suppress(BlockingIOError):
            os.write(self._master, data)

    def listen(self, received: Callable[[bytes], None]) -> None:
        """`received` gets what the near end sends, from the running loop, until `deaf`."""

        def ready() -> None:
            with suppress(BlockingIOError):
                received(os.read(self._master, _MOST_BYTES))

        asyncio.get_running_loop().add_reader(self._master, ready)

    def deaf(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)


@contextmanager
def port(path: Path) -> Iterator[Port]:
    """Make a serial port at `path`, and unplug it at the end of the block.

    `path` does not exist, or is a link that an earlier port left behind. Raises PortError.
    """
    _free(path)
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        os.set_blocking(master, False)
        path.symlink_to(os.ttyname(slave))
        try:
            # The near end stays open here too: else the far end reads EIO while nobody has it open.
            yield Port(path, master)
        finally:
            path.unlink(missing_ok=True)
    except FileNotFoundError as error:
        raise PortError(f"{path}: there is no folder {path.parent}") from error
    finally:
        os.close(slave)
        os.close(master)


def _free(path: Path) -> None:
    if path.is_symlink() and str(path.readlink()).startswith("/dev/pts/"):
        path.unlink()
    elif path.is_symlink() or path.exists():
        raise PortError(f"{path} exists and is no simulated port: name another path")
