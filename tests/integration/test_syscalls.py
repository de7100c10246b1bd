"""Every system call that touches the journal fails once, or from then on: nothing promised is lost.

strace answers in the kernel's place. The process goes on and ends in good order; once the fault is
over everything is promised again; and what was promised is found by the next start.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.harness import cuts, syscalls, trace
from tests.harness.forks import Forks, forks
from tests.harness.syscalls import Fault, Outcome

REFUSED = trace.refused()
pytestmark = pytest.mark.skipif(bool(REFUSED), reason=f"no process can be traced: {REFUSED}")

EIO, ENOSPC, SHORT = "error=EIO", "error=ENOSPC", "retval=0"
FAULTS = [
    ("pwrite64", EIO), ("pwrite64", ENOSPC), ("pwrite64", SHORT), ("fdatasync", EIO),
    ("fdatasync", ENOSPC), ("fsync", EIO), ("ftruncate", EIO), ("openat", EIO),
    ("openat", ENOSPC), ("unlink", EIO),
]  # fmt: skip
FEW = {"fsync", "openat", "unlink", "ftruncate"}  # of these every one, always


async def wrong(directory: Path, outcome: Outcome, *, over: bool) -> list[str]:
    """What a child under a fault did wrong; `over`: the fault has passed before it ended."""
    faults = [] if outcome.code == 0 else [f"ended with {outcome.code}"]
    if over and (open_ends := set(outcome.taken) - set(outcome.promised)):
        faults.append(f"{len(open_ends)} records never promised: {sorted(open_ends)[:5]}")
    seen, _ = await cuts.look(directory, ())
    faults += seen.faults
    if lost := set(outcome.promised) - seen.places.keys():
        faults.append(f"{len(lost)} promised records lost: {sorted(lost)[:5]}")
    return faults


async def sweep(
    child: Forks, folder: Path, fault: tuple[str, str], numbers: range, *, on: bool
) -> list[str]:
    """Let the call fail for each n, until so many calls are not made any more."""
    found: list[str] = []
    for n in numbers:
        one = Fault(*fault, n, on)
        directory = folder / f"{'-on' if on else 's'}{n}"
        outcome = await syscalls.run(child, directory, one, directory.with_suffix(".trace"))
        found += [f"{one}: {what}" for what in await wrong(directory, outcome, over=not on)]
        if not outcome.hits:
            return found
    raise AssertionError("there is no end of calls")


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(7, marks=pytest.mark.timeout(120)),
        pytest.param(1, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)]),
    ],
)
@pytest.mark.parametrize("fault", FAULTS, ids="-".join)
async def test_any_system_call_may_fail(tmp_path: Path, fault: tuple[str, str], step: int) -> None:
    step = 1 if fault[0] in FEW else step
    starts = [(1, 2 * step, False), (1 + step, 2 * step, False), (2, 5 * step, True)]
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        sweeps = []
        for first, every, on in starts:
            child = await stack.enter_async_context(forks(tmp_path / "log"))
            numbers = range(first, 2_000, every)
            sweeps.append(group.create_task(sweep(child, tmp_path, fault, numbers, on=on)))
    assert [found for one in sweeps for found in one.result()] == []


async def test_a_file_that_may_not_grow_cuts_writes_short(tmp_path: Path) -> None:
    async with forks(tmp_path / "log") as child:
        await child.fork(tmp_path / "s", "cramped")
        await child.go()
        lines = await child.rest()
    taken = tuple(int(line.split()[1]) for line in lines if line.startswith(b"taken"))
    promised = tuple(int(line) for line in lines if line[:1].isdigit())
    assert "disk I/O error" in (tmp_path / "log").read_text()
    outcome = Outcome(1, child.code, taken, promised)
    assert await wrong(tmp_path / "s", outcome, over=False) == []
    assert promised[-1:] == taken[-1:]


async def test_a_promise_while_storage_fails_is_noticed(tmp_path: Path) -> None:
    fault = Fault("pwrite64", EIO, 40, on=True)
    async with forks(tmp_path / "log") as child:
        outcome = await syscalls.run(child, tmp_path / "s", fault, tmp_path / "trace", "hasty")
    assert any("lost" in what for what in await wrong(tmp_path / "s", outcome, over=False))
