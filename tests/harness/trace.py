"""System calls of a process as strace wrote them down: which file, which bytes, in which order."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

CALLS = (
    "openat,pwrite64,write,writev,sendto,sendmsg,ftruncate,fallocate,fsync,fdatasync,"
    "unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat"
)

_LINE = re.compile(r"(\d+) +(\d+\.\d+) (.*)")
_FD = re.compile(r"(\d+|AT_FDCWD)<([^>]*)>")
_STRING = re.compile(r'"([^"]*)"')


class Call(NamedTuple):
    """One call that succeeded, between the lines `begin` and `end` of the trace.

    `path` is what it was called on (a file, a directory, "pipe:[..]", "socket:[..]"), `other` the
    new name of a rename, `data` what was written, as much of it as the kernel took. `numbers` are
    its plain arguments, for `openat` none; `flags` those of `openat`. `fd` is what it wrote to or
    opened, -1 for calls that take a path.
    """

    begin: int
    end: int
    time_s: float
    name: str
    path: str
    data: bytes = b""
    numbers: tuple[int, ...] = ()
    flags: str = ""
    other: str = ""
    fd: int = -1

    @property
    def out(self) -> bool:
        """It tells somebody something, instead of writing a file."""
        return self.path.startswith(("pipe:", "socket:"))

    @property
    def at(self) -> int:
        """What is told may be known from the call on; a file is written when it returns."""
        return self.begin if self.out else self.end


def refused() -> str:
    """Why no process can be traced here, "" if it can: some containers forbid it."""
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return tried.stderr.decode().strip()


def command(trace: Path, program: Sequence[str]) -> list[str]:
    """The command line that runs `program` and writes the trace; its exit code is the program's."""
    return [
        "strace", "-f", "-y", "-xx", "-ttt", "-s", "200000", "--seccomp-bpf", "-qq",
        "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(trace), *program,
    ]  # fmt: skip


def read(trace: Path) -> list[Call]:
    """The calls of all threads in the order in which they took effect."""
    return sorted(_calls(trace), key=lambda call: call.at)


def _calls(trace: Path) -> Iterator[Call]:
    unfinished: dict[str, tuple[int, str]] = {}
    with trace.open(encoding="ascii") as lines:
        for number, line in enumerate(lines):
            match = _LINE.match(line)
            assert match, f"{trace}:{number + 1}: {line[:200]}"
            pid, time, text = match.groups()
            begin = number
            if text.startswith("<... "):
                begin, head = unfinished.pop(pid)
                text = head + text.partition(" resumed>")[2]
            if text.endswith("<unfinished ...>"):
                unfinished[pid] = (begin, text.removesuffix("<unfinished ...>"))
            elif (call := _call(text, begin, number, float(time))) is not None:
                yield call


def _call(text: str, begin: int, end: int, time_s: float) -> Call | None:
    """None for calls that failed and for what is no call."""
    arguments, equals, result = text.rpartition(" = ")
    if not equals or not result[0].isdigit():
        return None
    name, _, arguments = arguments.partition("(")
    arguments = arguments.rstrip(" )")
    fd = _FD.match(arguments)
    strings = [_bytes(text) for text in _STRING.findall(arguments)]
    if name == "openat":
        opened = _FD.match(result)
        assert opened
        flags = arguments.rsplit('"', 1)[1]
        return Call(
            begin, end, time_s, name, _text(opened[2]), flags=flags, fd=int(opened[1])
        )  # fmt: skip
    if name in {"write", "writev", "pwrite64", "sendto", "sendmsg"}:
        assert fd
        data = b"".join(strings)[: int(result)]
        offset = (int(arguments.rsplit(", ", 1)[1]),) if name == "pwrite64" else ()
        return Call(begin, end, time_s, name, _text(fd[2]), data, offset, fd=int(fd[1]))
    if name in {"ftruncate", "fallocate", "fsync", "fdatasync"}:
        assert fd
        numbers = tuple(int(part, 0) for part in arguments.split(", ")[1:])
        return Call(begin, end, time_s, name, _text(fd[2]), numbers=numbers, fd=int(fd[1]))
    folders = [_text(match[2]) for match in _FD.finditer(arguments)] or ["/", "/"]
    paths = [str(Path(folders[i], path.decode())) for i, path in enumerate(strings)]
    return Call(begin, end, time_s, name, paths[0], other=paths[1] if len(paths) > 1 else "")


def _bytes(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


def _text(hexadecimal: str) -> str:
    return _bytes(hexadecimal).decode()
