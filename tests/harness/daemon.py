"""The real daemon in a process of its own: start, ask, stop, kill.

A sabotage is the name of a function in `tests.harness.sabotage` that replaces one part of the real
app before it starts; the shipped code has no switch for it.
"""

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from gateway import safemode
from gateway.ask import ask
from gateway.snapshot import Snapshot

READY_S = 10.0


class Daemon:
    """`gateway run -c CONFIG`, its log in CONFIG's folder; `under` is a command that runs it."""

    def __init__(
        self,
        config: Path,
        state_dir: Path,
        *,
        sabotage: str | None = None,
        arguments: Sequence[str] = (),
        under: Sequence[str] = (),
        ready_s: float = READY_S,
    ) -> None:
        self.config = config
        self.state_dir = state_dir
        self.log = config.with_suffix(".log")
        self.kills = 0
        self.counts_crashes = False  # kills are ours: they must not lead to safe mode
        self.sabotage = sabotage
        self.environ: Mapping[str, str] | None = None  # None: as ours
        self._arguments = arguments
        self._under = under
        self._ready_s = ready_s
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("not started")
        return self._process

    async def start(self) -> None:
        """Returns when the control socket answers."""
        await self.spawn()
        async with asyncio.timeout(self._ready_s):
            while await self._asked("status") is None:
                if self.process.returncode is not None:
                    raise AssertionError(f"the daemon ended:\n{self.text()}")
                await asyncio.sleep(0.05)

    async def spawn(self) -> None:
        """Start the process and wait for nothing: it may be killed while it opens its files."""
        if not self.counts_crashes:
            (self.state_dir / safemode.FILE).unlink(missing_ok=True)
        command = ["-c", "import sys; from gateway.cli.main import main; sys.exit(main())"]
        if self.sabotage:
            command = ["-m", "tests.harness.sabotage", self.sabotage]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._under,
                sys.executable,
                *command,
                "run",
                "-c",
                str(self.config),
                *self._arguments,
                stdout=log,
                stderr=log,
                env=self.environ,
            )

    async def _asked(self, verb: str, **request: object) -> Any:
        try:
            return await asyncio.to_thread(ask, self.state_dir, {"verb": verb, **request}, 5.0)
        except (ConnectionError, TimeoutError):
            return None

    async def status(self) -> Snapshot:
        answer = await self._asked("status")
        assert answer is not None, self.text()
        return cast("Snapshot", answer)

    async def ask(self, verb: str, **request: object) -> Any:
        return await asyncio.to_thread(ask, self.state_dir, {"verb": verb, **request}, 60.0)

    async def until(
        self, condition: Callable[[Snapshot], bool], timeout_s: float = 15.0
    ) -> Snapshot:
        """The first status for which `condition` holds."""
        last: Snapshot | None = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    last = await self.status()
                    if condition(last):
                        return last
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(
                f"never came true; last status: {last}\n{self.text()[-3000:]}"
            ) from None

    async def kill(self) -> None:
        """Power off for the process: SIGKILL, nothing is flushed by it."""
        self.process.kill()
        await self.process.wait()
        self.kills += 1

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            return await self.process.wait()

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")
