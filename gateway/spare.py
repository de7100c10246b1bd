"""File descriptors put aside: when there are none left, who asks what is wrong is answered all the same."""

import asyncio
import errno
import logging
import os
import resource

log = logging.getLogger(__name__)

KEPT = 4  # so many may ask in one second while there are none left
LOOK_S = 1.0
QUIET = 5  # looks at which there were enough, one after the other: then it is over
# Of this process, of the machine, and memory of the kernel for one: accept(2).
SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Spare:
    """Event loop only. Holds nothing before the first `look`."""

    def __init__(self) -> None:
        self._held: list[int] = []
        self._quiet = QUIET
        self.reason = ""  # why nothing can be opened, "" when it can

    async def run(self) -> None:
        """Until cancelled; gives all of them back then."""
        try:
            while True:
                self.look()
                await asyncio.sleep(LOOK_S)
        finally:
            while self.lend():
                pass

    def lend(self) -> bool:
        """One descriptor is free from now on, for whoever is first. False if none is put aside."""
        if not self._held:
            return False
        os.close(self._held.pop())
        return True

    def look(self) -> None:
        """Put aside what was lent, and see whether there is one more."""
        try:
            while len(self._held) < KEPT:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            os.close(os.dup(self._held[0]))
        except OSError as error:
            self.missed(error)
            return
        self._quiet += 1
        if self.reason and self._quiet >= QUIET:
            self.reason = ""
            log.warning("there are file descriptors again", extra={"component": "files"})

    def missed(self, error: OSError) -> None:
        """Something could not be opened; said once until there have been enough for a while."""
        self._quiet = 0
        if self.reason:
            return
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.reason = f"{error.strerror} (the limit is {most})"
        log.error(
            "no file descriptor is left: %s; what is open works, nothing new can be opened: raise "
            "LimitNOFILE, or see what holds them: ls -l /proc/%d/fd", self.reason, os.getpid(),
            extra={"component": "files"},
        )  # fmt: skip
