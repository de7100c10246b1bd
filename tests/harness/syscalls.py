"""The nth system call fails: strace takes hold of a child and answers in the kernel's place."""

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness.forks import Forks


@dataclass(frozen=True, slots=True)
class Fault:
    """`call` fails as `how` says ("error=EIO", or "retval=0": nothing of a write was taken) for the
    nth time that a thread makes it on one of our files, and for ever after if `on`.
    """

    call: str
    how: str
    n: int
    on: bool = False

    @property
    def expression(self) -> str:
        return f"inject={self.call}:{self.how}:when={self.n}{'+' if self.on else ''}"

    def __str__(self) -> str:
        return f"{self.call} {self.how} {self.n}{'+' if self.on else ''}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`hits` calls failed; the child ended with `code`, having taken and promised these numbers."""

    hits: int
    code: int | None
    taken: tuple[int, ...]
    promised: tuple[int, ...]


def our_files(directory: Path) -> list[Path]:
    """What may be opened in a state directory: opening other files is not to fail."""
    databases = [directory / "core.db", *(directory / "ts" / f"{n:020d}.db" for n in range(1, 200))]
    logs = [path.with_name(path.name + end) for path in databases for end in ("-wal", "-journal")]
    others = ("", "ts", "lock", "epoch", "epoch.new", "reserve.bin")
    return [*databases, *logs, *(directory / name for name in others)]


async def run(
    forks: Forks, directory: Path, fault: Fault, trace: Path, kind: str | None = None
) -> Outcome:
    """One life of a child under `fault`."""
    pid = await forks.fork(directory, kind or ("doomed" if fault.on else "steady"))
    paths = our_files(directory) if fault.call == "openat" else []
    async with asyncio.timeout(30):
        strace = await _attach(pid, fault, paths, trace)
        await forks.go()
        lines = await forks.rest()
        await strace.wait()
    hits = (await asyncio.to_thread(trace.read_text)).count("(INJECTED)")
    taken = [int(line.split()[1]) for line in lines if line.startswith(b"taken")]
    promised = [int(line) for line in lines if line[:1].isdigit()]
    return Outcome(hits, forks.code, tuple(taken), tuple(promised))


async def _attach(
    pid: int, fault: Fault, paths: Sequence[Path], trace: Path
) -> asyncio.subprocess.Process:
    """Returns when the child is held; it must be waiting."""
    files = [argument for path in paths for argument in ("-P", str(path))]
    strace = await asyncio.create_subprocess_exec(
        "strace", "-f", "-s", "0", "-p", str(pid), "-o", str(trace), *files,
        "-e", f"trace={fault.call}", "-e", fault.expression, stderr=PIPE,
    )  # fmt: skip
    assert strace.stderr is not None
    line = await strace.stderr.readline()
    while b"attached" not in line:
        assert line, "strace has ended"
        line = await strace.stderr.readline()
    return strace
