"""Why a serial port cannot be opened, in words for the person who has to mend it."""

import errno
import os

_WHY = {
    errno.ENOENT: "no such port: is the adapter plugged in?",
    errno.EACCES: "no permission: add the daemon's user to the group of the port (dialout)",
    errno.EBUSY: "in use by another program",
    errno.ENXIO: "the port has no device",
    errno.EIO: "the port has no device",
}


def why_not(path: str) -> str:
    """Opens and closes the port: it blocks, so call it in a thread."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        return _WHY.get(error.errno or 0, error.strerror or "cannot be opened")
    try:
        return "in use by another program" if os.isatty(handle) else "no serial port"
    finally:
        os.close(handle)
