"""A process that has loaded everything and forks one child for each life of a store.

Starting Python takes longer than most of these lives last. `python -m tests.harness.forks` reads
lines "DIRECTORY KIND" and answers with "pid N"; the child says "begun" when the next line comes, so
that somebody may take hold of it before. "ended N" tells how it ended: exit code, or minus a signal.
"""

import asyncio
import ctypes
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

from tests.harness import steady_child, store_child

BEGUN = b"begun\n"
ENDED = b"ended "
WORKS: dict[str, Callable[[Path], Coroutine[None, None, None]]] = {
    "honest": store_child.honest,
    "liar": store_child.liar,
    "steady": steady_child.steady,
    "doomed": steady_child.doomed,
    "cramped": steady_child.cramped,
    "hasty": steady_child.hasty,
}


class Forks:
    """One child at a time; `fork`, `go`, then read `lines` until the child has ended."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.code: int | None = None

    async def fork(self, directory: Path, kind: str) -> int:
        """The process id of a child that waits."""
        self.code = None
        await self._say(f"{directory} {kind}")
        return int((await self._line()).split()[1])

    async def go(self) -> None:
        """From here on it may be killed: it does not read our next words any more."""
        await self._say("go")
        assert await self._line() == BEGUN

    async def line(self) -> bytes | None:
        """The next line that the child writes, None when it has ended: see `code`."""
        line = await self._line()
        if not line.startswith(ENDED):
            return line
        self.code = int(line.removeprefix(ENDED))
        return None

    async def rest(self) -> list[bytes]:
        """The lines until the child ends."""
        lines = []
        while (line := await self.line()) is not None:
            lines.append(line)
        return lines

    async def _say(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n".encode())
        await self._process.stdin.drain()

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the process that forks has ended"
        return line


@asynccontextmanager
async def forks(log: Path) -> AsyncIterator[Forks]:
    """`log` gets what the children write to stderr."""
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.harness.forks", stdin=PIPE, stdout=PIPE, stderr=stderr,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
    try:
        yield Forks(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(10):
            await process.wait()


def _read_line() -> bytes:
    """Byte by byte: what is read ahead here, a child would read a second time or never."""
    line = b""
    while (byte := os.read(0, 1)) not in {b"\n", b""}:
        line += byte
    return line


def _serve() -> None:
    while request := _read_line():
        directory, kind = request.decode().split(" ")
        child = os.fork()
        if child == 0:
            _allow_tracing()
            _read_line()
            os.write(1, BEGUN)
            _live(Path(directory), kind)
        os.write(1, b"pid %d\n" % child)
        status = os.waitpid(child, 0)[1]
        os.write(1, b"%s%d\n" % (ENDED, os.waitstatus_to_exitcode(status)))


def _allow_tracing() -> None:
    """By any process of this user: Yama allows only parents (prctl(2), PR_SET_PTRACER)."""
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(2**64 - 1), 0, 0, 0)


def _live(directory: Path, kind: str) -> None:
    """Does not return: what the parent has to clean up is not ours."""
    code = 1
    try:
        asyncio.run(WORKS[kind](directory))
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
