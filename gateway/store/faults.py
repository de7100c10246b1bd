"""What failing storage looks like, and what is told about it."""

import errno
import sqlite3

from gateway.errors import GatewayError, StoreFailed, StoreFull

# What a failing device, a full disk or a damaged file looks like; anything else is a bug of ours.
DEVICE_FAULTS = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_PROTOCOL,
}  # fmt: skip

DeviceError = sqlite3.Error | OSError | GatewayError
FAULTS = (sqlite3.Error, OSError, GatewayError)
# The files are as good as before: somebody else holds a lock, or memory is short.
PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM}


def device_fault(error: DeviceError) -> StoreFailed | StoreFull | None:
    """What to tell those who wait, None if the error is no fault of the storage device."""
    if isinstance(error, GatewayError):  # while opening
        return error if isinstance(error, StoreFailed | StoreFull) else StoreFailed(str(error))
    if isinstance(error, OSError):
        kind = StoreFull if error.errno in {errno.ENOSPC, errno.EDQUOT} else StoreFailed
        return kind(f"storage: {error}")
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code & 0xFF not in DEVICE_FAULTS:
        return None
    kind = StoreFull if code & 0xFF == sqlite3.SQLITE_FULL else StoreFailed
    return kind(f"storage: {error} ({error.sqlite_errorname})")
